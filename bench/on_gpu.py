"""What bench/on_gpu.sh asks before and after its parts; needs nothing that may be missing.

::

    python -m bench.on_gpu needs              # which packages are missing, how to bring them
    python -m bench.on_gpu to-install         # those of the wheels that this Python does not have
    python -m bench.on_gpu summary OUTDIR     # OUTDIR/parts/*.json to OUTDIR/on-gpu.json

What this Python has stays in use, CuPy, torch and jax above all, with the NumPy that they were
built for. Exit codes of needs: 0 all is here, 1 something is left out, 3 nothing can run.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.files import ROOT, write

WHEELS = ROOT / "wheels"
# Without these nothing can be measured; without the others there are fewer tests.
ESSENTIAL = ("array-api-compat", "numpy", "scikit-learn", "scipy", "threadpoolctl")
ONCE = ("date", "commit", "machine", "versions", "blas", "environment", "card", "data", "rehearsal")


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed() -> list[str]:
    """Return what gpulr and its tests require, as pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own, extras = f"{project['name']}[", project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["test-on-gpu"]]
    for line in lines:  # grows: an extra may be made of others
        if line.startswith(own):
            for extra in line.removeprefix(own).partition("]")[0].split(","):
                lines += extras[extra.strip()]
    lines = [line for line in lines if not line.startswith(own)]
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines]
    return list(dict.fromkeys(map(normal, names)))


def missing(names: Iterable[str]) -> list[str]:
    """Return the distributions that are not installed."""
    installed = {normal(d.metadata["Name"]) for d in metadata.distributions() if d.metadata["Name"]}
    return [name for name in names if normal(name) not in installed]


def to_install(wheels: Path = WHEELS) -> list[str]:
    """Return the distributions that have a wheel in the folder and are not installed."""
    return missing(sorted({normal(path.name.partition("-")[0]) for path in wheels.glob("*.whl")}))


def needs() -> tuple[list[str], int]:
    """Return what to tell, line by line, and the exit code; CuPy is tried out if all is here."""
    absent, lines = missing(needed()), []
    essential = [name for name in absent if name in ESSENTIAL]
    if absent:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        lines += [
            f"Missing packages: {', '.join(absent)}.",
            "Without them " + ("nothing can run." if essential else "some tests cannot run."),
            f"To bring them: on a machine with a network and pip, fill {WHEELS.name}/ in the "
            "checkout, and start again:",
            "  python -m pip download --only-binary :all: --dest wheels "
            f"--python-version {version} --platform manylinux_2_28_x86_64 {' '.join(absent)}",
            "(wheels of what this Python has already are left alone, and may be deleted there)",
        ]
    rehearsal = os.environ.get("GPULR_BENCH_REHEARSE")
    no_cupy = find_spec("cupy") is None and not rehearsal
    if no_cupy:
        lines.append("CuPy is missing: cupy-cuda12x or cupy-cuda13x, whichever fits the driver.")
    if peers := [name for name in ("torch", "jax", "cuml") if find_spec(name) is None]:
        lines.append(f"Not installed, and left out of the comparison: {', '.join(peers)}.")
    code = 3 if essential or no_cupy else int(bool(absent))
    if code < 3 and not rehearsal:
        from gpulr.backend import probe  # what it needs is here

        status = probe("cupy")
        if status.usable:
            lines.append(f"CuPy works, on {status.device}.")
        else:
            lines.append(f"CuPy cannot be used: {status.reason}. To use it: {status.remedy}.")
            code = 3
    return lines or ["All packages are here."], code


def merge(folder: Path) -> dict[str, Any]:
    """Return what all parts have found: the circumstances once, results by part."""
    merged: dict[str, Any] = {"kind": "gpulr-on-gpu", "schema": 1}
    parts: dict[str, Any] = {}
    for line in (folder / "parts.txt").read_text(encoding="utf-8").splitlines():
        name, code, seconds = line.split()
        try:
            found = json.loads((folder / "parts" / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}  # the part was killed before it wrote, or has no record of this kind
        for key in set(ONCE) & set(found):
            value = found.pop(key)
            if merged.setdefault(key, value) != value and key not in ("date", "environment"):
                found[key] = value  # it differs: versions of what a part alone has loaded
        for key in ("kind", "schema", "part"):
            found.pop(key, None)
        parts[name] = {"exit_code": int(code), "wall_seconds": int(seconds), **found}
    return {**merged, "parts": parts}


def in_words(name: str, part: dict[str, Any]) -> str:
    """Return what became of a part."""
    code = part["exit_code"]
    words = {0: "done", 124: "out of time", 137: "killed"}.get(code, f"exit code {code}")
    words += f" after {part['wall_seconds']} s"
    if failed := part.get("failed"):
        words += f"; failed: {', '.join(f['name'] for f in failed[:5])}"
        words += ", …" if len(failed) > 5 else ""
    if absent := part.get("absent"):
        words += f"; not measured: {', '.join(a['name'] for a in absent)}"
    return f"{name:10} {words}"


def main(arguments: list[str]) -> int:
    """Do what is asked for, and return the exit code."""
    code = 0
    if arguments == ["to-install"]:
        lines = to_install()
    elif arguments == ["needs"]:
        lines, code = needs()
    else:
        merged = merge(Path(arguments[1]))
        write(merged, Path(arguments[1]) / "on-gpu.json")
        lines = [in_words(name, part) for name, part in merged["parts"].items()]
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
