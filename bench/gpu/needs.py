"""Which packages are missing here, and how to bring them to a machine without a network.

Needs none of them itself, and tries CuPy out if all is here. ``--to-install`` prints those of the
wheels in the folder ``wheels`` that this Python does not have: what it has stays in use, CuPy,
torch and jax above all, with the NumPy that they were built for. Exit codes: 0 all is here, 1
something is left out, 3 nothing can run.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WHEELS = ROOT / "wheels"
# Without these nothing can be measured; without the others there are fewer tests.
ESSENTIAL = ("array-api-compat", "numpy", "platformdirs", "scikit-learn", "scipy", "threadpoolctl")
PEERS = ("torch", "jax")


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed() -> list[str]:
    """Return what gpulr and its tests require, as pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], f"{project['name']}[test-on-gpu]"]
    for line in lines:  # grows: an extra may be made of others
        if own := re.fullmatch(rf"{project['name']}\[([^]]*)\]", line):
            for extra in own[1].split(","):
                lines += project["optional-dependencies"][extra.strip()]
    lines = [line for line in lines if not line.startswith(f"{project['name']}[")]
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines]
    return list(dict.fromkeys(map(normal, names)))


def missing(names: Iterable[str]) -> list[str]:
    """Return the distributions that are not installed."""
    installed = {normal(d.metadata["Name"]) for d in metadata.distributions() if d.metadata["Name"]}
    return [name for name in names if normal(name) not in installed]


def to_install(wheels: Path = WHEELS) -> list[str]:
    """Return the distributions that have a wheel in the folder and are not installed."""
    names = {normal(path.name.partition("-")[0]) for path in wheels.glob("*.whl")}
    return missing(sorted(names))


def report() -> tuple[list[str], int]:
    """Return what to tell, line by line, and the exit code."""
    absent = missing(needed())
    essential = [name for name in absent if name in ESSENTIAL]
    lines = []
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
    no_cupy = find_spec("cupy") is None and not os.environ.get("GPULR_BENCH_REHEARSE")
    if no_cupy:
        lines.append("CuPy is missing: cupy-cuda12x or cupy-cuda13x, whichever fits the driver.")
    if peers := [name for name in PEERS if find_spec(name) is None]:
        lines.append(f"Not installed, and left out of the comparison: {', '.join(peers)}.")
    return lines, 3 if essential or no_cupy else int(bool(absent))


def main() -> int:
    if sys.argv[1:] == ["--to-install"]:
        print("\n".join(to_install()))
        return 0
    lines, code = report()
    if code < 3 and not os.environ.get("GPULR_BENCH_REHEARSE"):
        from gpulr.backend import probe  # what it needs is here

        status = probe("cupy")
        if status.usable:
            lines.append(f"CuPy works, on {status.device}.")
        else:
            lines.append(f"CuPy cannot be used: {status.reason}. To use it: {status.remedy}.")
            code = 3
    print("\n".join(lines or ["All packages are here."]))
    return code


if __name__ == "__main__":
    sys.exit(main())
