"""One JSON file of all parts' records, and what keeps a result out of bench/results.

::

    python -m bench.gpu.summary OUTDIR    # OUTDIR/parts/*.json and parts.txt to OUTDIR/on-gpu.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench.report import write

KIND = "gpulr-on-gpu"
ONCE = ("date", "commit", "machine", "versions", "blas", "environment", "card", "data", "rehearsal")


def merge(folder: Path) -> dict[str, Any]:
    """Return what all parts have found: the circumstances once, results by part."""
    merged: dict[str, Any] = {"kind": KIND, "schema": 1}
    parts: dict[str, Any] = {}
    for name, code, seconds in statuses(folder / "parts.txt"):
        found = _read(folder / "parts" / f"{name}.json")
        for key in ONCE:
            if key in found:
                value = found.pop(key)
                merged.setdefault(key, value)
                if merged[key] != value and key not in ("date", "environment"):
                    found[key] = value  # it differs: versions of what a part alone has loaded
        for key in ("kind", "schema", "part"):
            found.pop(key, None)
        parts[name] = {"exit_code": code, "wall_seconds": seconds, **found}
    return {**merged, "parts": parts}


def statuses(path: Path) -> list[tuple[str, int, int]]:
    """Return name, exit code and seconds of every part that was begun."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        (name, int(code), int(seconds)) for name, code, seconds in (line.split() for line in lines)
    ]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # the part was killed before it wrote, or has no record of this kind
    return found if isinstance(found, dict) else {}


def obstacle(content: dict[str, Any]) -> str | None:
    """Return why a result does not belong into bench/results; None if it does.

    Whatever CuPy computed has to come from a card, which ``machine`` names, and no rehearsal does.
    """
    about = content.get("machine_info", content)
    if about.get("rehearsal"):
        return "it is a rehearsal, whose figures mean nothing"
    kind = content.get("kind")
    if kind == "gpulr-prediction":
        return "it is computed, not measured"
    backends = {str(found.get("backend")) for found in content.get("results", [])}
    backends |= {str(b["extra_info"].get("backend")) for b in content.get("benchmarks", [])}
    if kind == KIND or "cupy" in backends:
        if not about.get("machine", {}).get("gpu"):
            return "it names no card, and says that CuPy computed it"
        if about["environment"].get("GPULR_BENCH_REHEARSE"):
            return "it is a rehearsal, whose figures mean nothing"
    return None


def lines(merged: dict[str, Any]) -> list[str]:
    """Return what became of every part, in words."""
    found = []
    for name, part in merged["parts"].items():
        code = part["exit_code"]
        words = {0: "done", 124: "out of time", 137: "killed"}.get(code, f"exit code {code}")
        words += f" after {part['wall_seconds']} s"
        if part.get("failed"):
            words += f"; failed: {', '.join(f['name'] for f in part['failed'][:5])}"
            words += ", …" if len(part["failed"]) > 5 else ""
        if part.get("absent"):
            words += f"; not measured: {', '.join(a['name'] for a in part['absent'])}"
        found.append(f"{name:10} {words}")
    return found


def main() -> int:
    folder = Path(sys.argv[1])
    merged = merge(folder)
    write(merged, folder / "on-gpu.json")
    print("\n".join(lines(merged)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
