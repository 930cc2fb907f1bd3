"""What an H100 should measure, by arithmetic; and which targets a result meets.

::

    python -m bench.predict                          # write bench/predictions/h100.json
    python -m bench.predict --check                  # fail if that file is not what this writes
    python -m bench.predict --compare on-gpu.json    # prediction, target and measurement

A prediction is none of the results: it has been computed from :mod:`bench.cost_model`'s
assumptions, and nothing is claimed by it. Targets are confirmed or refuted by measurements alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import cost_model as model
from bench.cost_model import CODE, DEVICE
from bench.report import write
from bench.targets import FLOAT32, UINT8, Found, targets

PREDICTION = Path(__file__).resolve().parent / "predictions" / "h100.json"


def prediction() -> Found:
    """Return what is written to bench/predictions."""

    def named(assumed: dict[str, Any]) -> Found:
        return {name: {"value": v, "source": source} for name, (v, source) in assumed.items()}

    def rounded(value: float) -> float:
        return float(f"{value:.3g}")

    return {
        "kind": "gpulr-prediction",
        "schema": 1,
        "of": DEVICE["name"][0],
        "words": "Computed, not measured; bench/cost_model.py has the arithmetic.",
        "device": named(DEVICE),
        "code": named(CODE),
        "bounds": {
            rows: {name: rounded(bound) for name, bound in model.bounds(size).items()}
            for rows, size in (("float32", FLOAT32), ("uint8", UINT8))
        },
        "kernel": {
            "float32": rounded(model.fused_kernel(FLOAT32)),
            "uint8": rounded(model.fused_kernel(UINT8)),
        },
        "targets": [
            {
                **{"name": t.name, "words": t.words, "goal": t.goal},
                "unit": "ratio" if t.ratio else "seconds",
                **{"predicted": rounded(t.predicted), "predicted_to_meet": t.met_by(t.predicted)},
                "how": t.how,
            }
            for t in targets()
        ],
    }


def compared(content: Found) -> list[str]:
    """Return a result beside the prediction, line by line, and which targets were met."""
    card = content.get("card", {}).get("name", "an unknown card")
    found = [f"{'':52} {'target':>9} {'predicted':>10} {'measured':>9}"]
    for target in targets():
        value: float | None = None
        verdict = "not measured"
        try:
            value = target.measured(content["parts"])
            verdict = "met" if target.met_by(value) else "refuted"
            verdict = "a rehearsal" if content.get("rehearsal") else verdict
        except (KeyError, TypeError, ZeroDivisionError):
            pass
        bound = ("≥ " if target.ratio else "≤ ") + target.in_words(target.goal)
        found.append(
            f"{target.words:52} {bound:>9} {target.in_words(target.predicted):>10} "
            f"{target.in_words(value):>9}  {verdict}"
        )
    if content.get("rehearsal"):
        found.append("This was a rehearsal: its figures mean nothing.")
    elif "H100" not in card:
        found.append(f"Targets and predictions are of {DEVICE['name'][0]}; this is {card}.")
    data = content.get("data", {}).get("data")
    if data != "MNIST":
        found.append(f"Of {data}, not of MNIST: training and search are another problem.")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.predict", description=__doc__)
    parser.add_argument("--compare", type=Path, metavar="RESULT", help="an on-gpu.json")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    if options.compare:
        try:
            content = json.loads(options.compare.read_text(encoding="utf-8"))
            lines = compared(content) if content["kind"] == "gpulr-on-gpu" else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            parser.error(f"{options.compare} cannot be read ({type(error).__name__}: {error})")
        if lines is None:
            parser.error(f"{options.compare} is no result of bench/on_gpu.sh")
        print("\n".join(lines))
        return 0
    if options.check:
        return int(json.loads(PREDICTION.read_text(encoding="utf-8")) != prediction())
    write(prediction(), PREDICTION)
    return 0


if __name__ == "__main__":
    sys.exit(main())
