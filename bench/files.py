"""Where results are, and how they are written; needs nothing but Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"


def rounded(value: float, digits: int = 4) -> float:
    return float(f"{value:.{digits}g}")


def write(report: dict[str, Any], output: Path | None) -> None:
    """Write a report as JSON, to standard output where no file is named."""
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if output is None:
        print(text, end="")
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
