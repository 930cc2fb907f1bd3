"""Choosing C by cross-validation: gpulr.search beside scikit-learn's LogisticRegressionCV.

All classes × ten values of C × five stratified folds, the same folds for both, to the same
tolerance; each contestant in its own process (:mod:`bench.search_worker`), one after the other::

    python -m bench.search --output bench/results/search-mnist.json
    python -m bench.search --data embeddings --output bench/results/search-embeddings.json

scikit-learn takes minutes; ``--classes N`` gives it N of the classes only, and its time is then
scaled up, which the results say. The objective of every model of both, in float64 on its fold's
rows, and the scores on held-out rows come from :mod:`bench.search_compare`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from bench.machine import ROOT, circumstances
from bench.peer_data import PeerData, mnist, save, synthetic200
from bench.report import write
from bench.search_compare import compare
from bench.search_report import KIND, lines

CS = np.logspace(-4, 4, 10)
N_FOLDS = 5
TOL = 1e-4
LIMIT = 3600.0  # seconds until a contestant's process is ended

OURS, OURS_REFIT, THEIRS, ONE_FIT = "gpulr", "gpulr-refit", "sklearn-cv", "sklearn-ovr"
LABELS = {
    OURS: "gpulr.search",
    OURS_REFIT: "gpulr.search, with the refitted model",
    THEIRS: "scikit-learn, LogisticRegressionCV for each class",
    ONE_FIT: "scikit-learn, OneVsRestClassifier once: one C, no folds",
}


def embeddings() -> PeerData:
    """Rows as embeddings are: 512 correlated features, 20 overlapping classes."""
    return replace(synthetic200(20_000, 512, 20), name="embeddings")


DATA: dict[str, Callable[[], PeerData]] = {"mnist": mnist, "embeddings": embeddings}


def their_dtype(data: PeerData) -> str:
    """Return what scikit-learn's users would pass: pixels ÷ 255, or float32 as it is."""
    return "float32" if data.X.dtype == np.float32 else "float64"


def run(name: str, data: PeerData, classes: list[int], folder: Path, patience: float) -> Any:
    """Run one contestant in its own process, and return what it wrote."""
    dtype = str(data.X.dtype) if name.startswith("gpulr") else their_dtype(data)
    sampled = classes if name == THEIRS else list(range(data.n_classes))
    job = {
        "name": name,
        "dtype": dtype,
        "scale": data.scale,
        "Cs": CS.tolist(),
        "tol": TOL,
        "classes": sampled,
        "folder": str(folder),
        "patience": patience,
    }
    try:
        subprocess.run(
            [sys.executable, "-m", "bench.search_worker"],
            input=json.dumps(job),
            text=True,
            timeout=LIMIT,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{LABELS[name]} did not end in {LIMIT:.0f} s; try --classes 1.") from None
    found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    if "error" in found:
        raise SystemExit(f"{LABELS[name]}: {found['error']}")
    factor = data.n_classes / len(sampled)
    seconds = factor * float(np.median(found["runs"]))
    return {
        "name": name,
        "label": LABELS[name],
        "dtype": dtype,
        "seconds": float(f"{seconds:.4g}"),
        "extrapolated_from_classes": len(sampled) if factor > 1 else None,
        **found,
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--data", choices=tuple(DATA), default="mnist")
    parser.add_argument("--output", type=Path, help="the JSON file to write (default: stdout)")
    parser.add_argument(
        "--classes", type=int, metavar="N", help="how many classes scikit-learn trains (all)"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long each may wait, in all, until others leave the cores alone (default: 10)",
    )
    options = parser.parse_args(arguments)
    if options.classes is not None and options.classes < 1:
        parser.error(f"--classes {options.classes}; expected at least 1.")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    data = DATA[options.data]()
    about = circumstances()  # before measuring: the code that is loaded is this commit's
    classes = list(range(min(options.classes or data.n_classes, data.n_classes)))
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(data, folder)
        pairs = list(StratifiedKFold(N_FOLDS).split(data.X, data.y))
        for number, (train, test) in enumerate(pairs):
            np.savez(folder / f"fold-{number}.npz", train=train, test=test)
        for contestant in LABELS:
            print(f"{LABELS[contestant]} …", file=sys.stderr, flush=True)
            results.append(run(contestant, data, classes, folder, options.patience))
        print("comparing …", file=sys.stderr, flush=True)
        with np.load(folder / f"{OURS}.npz") as ours, np.load(folder / f"{THEIRS}.npz") as theirs:
            compared = compare(data, CS, pairs, classes, dict(ours), dict(theirs))
    for result in results:
        about["versions"] |= result.pop("versions")
    report = {"kind": KIND, "schema": 1, **about, "data": data.sizes}
    report |= {"Cs": CS.tolist(), "n_folds": N_FOLDS, "tol": TOL}
    report |= {"results": results, "compared": compared}
    for line in lines(report):
        print(line, file=sys.stderr)
    write(report, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
