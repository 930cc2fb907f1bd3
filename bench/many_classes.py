"""A thousand classes at once: time and peak memory, beside scikit-learn's one-vs-rest.

The rows are synthetic embeddings, Gaussian clouds around 1,000 centres. gpulr trains all classes;
scikit-learn's OneVsRestClassifier some of them (the others are "none of these"), which takes it the
same time for each, so its time for all is computed. Each runs in a process of its own::

    python -m bench.many_classes --output bench/results/many-classes.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import gpulr
from bench.machine import ROOT, circumstances
from bench.quiet import Watch
from bench.report import write

KIND = "gpulr-many-classes"
SPREAD = 0.2  # of the centres, in standard deviations of a cloud


def rows(
    n_samples: int, n_features: int, n_classes: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return clouds around the centres, and the class of each row; none is without rows."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(n_samples) % n_classes)
    centres = SPREAD * rng.standard_normal((n_classes, n_features), dtype=np.float32)
    X = rng.standard_normal((n_samples, n_features), dtype=np.float32)
    for start in range(0, n_samples, 10_000):  # centres[y] as a whole would be as large as X
        X[start : start + 10_000] += centres[y[start : start + 10_000]]
    return X, y


def peak() -> int:
    """Return the most memory this process has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Train one contestant in this process, and say what it took."""
    warnings.simplefilter("ignore")
    n = job["n_samples"]
    X_all, y_all = rows(n + job["n_test"], job["n_features"], job["n_classes"])
    X, y = X_all[:n], y_all[:n]
    found: dict[str, Any] = {"library": job["library"], "tol": job["tol"]}
    if job["library"] == "gpulr":
        gpulr.train(X[:2000], y[:2000] % 5, max_iter=3, tol=0)  # no one is charged for imports
    else:
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier

        y = (y[:, np.newaxis] == np.arange(job["sampled"])).astype(np.uint8)
        LogisticRegression(max_iter=3).fit(X[:2000], np.arange(2000) % 2)
    before, watch = peak(), Watch()
    started = time.perf_counter()
    if job["library"] == "gpulr":
        model = gpulr.train(X, y, tol=job["tol"])
        found["classes"], found["n_iter"] = model.n_models, model.n_iter
        found["converged"] = model.converged
    else:
        one = LogisticRegression(tol=job["tol"], max_iter=2000)
        fitted = OneVsRestClassifier(one).fit(X, y)
        found["classes"] = job["sampled"]
        found["n_iter"] = max(int(each.n_iter_[0]) for each in fitted.estimators_)
    found["seconds"] = time.perf_counter() - started
    found["seconds_for_all"] = found["seconds"] * job["n_classes"] / found["classes"]
    found |= {"peak_before": before, "peak": peak(), "others_cpu": watch.share()}
    if job["library"] == "gpulr":
        found["test_accuracy"] = model.score(X_all[n:], y_all[n:])
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.many_classes", description=__doc__)
    parser.add_argument("--output", type=Path, help="where to write the results (default: stdout)")
    parser.add_argument("--n-samples", type=int, default=50_000)
    parser.add_argument("--n-test", type=int, default=5_000)
    parser.add_argument("--n-features", type=int, default=768)
    parser.add_argument("--n-classes", type=int, default=1_000)
    parser.add_argument("--sampled", type=int, default=5, help="classes that scikit-learn trains")
    parser.add_argument("--tol", type=float, default=1e-4)
    parser.add_argument("--worker", choices=["gpulr", "sklearn"], help=argparse.SUPPRESS)
    options = vars(parser.parse_args(arguments))
    output, worker = options.pop("output"), options.pop("worker")
    if worker:
        print(json.dumps(work({**options, "library": worker})))
        return 0
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    results = []
    for library in ("gpulr", "sklearn"):
        print(f"{library} …", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "bench.many_classes", "--worker", library, *given]
        run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        results.append(json.loads(run.stdout))
    write(
        {"kind": KIND, "schema": 1, **circumstances(), "data": options, "results": results}, output
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
