"""What runs in the own process of each contestant of :mod:`bench.search`: its runs, timed.

Rows are in memory, in the dtype that the contestant is given, before any clock starts; a small fit
comes first, so that no one is charged for imports, thread pools or compilation.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from bench.peer_data import indicator
from bench.peer_fits import Fit, Point, sklearn_fit
from bench.peer_worker import repeat
from bench.quiet import Patience

Pairs = list[tuple[Any, Any]]


def gpulr_fit(X: Any, y: Any, pairs: Pairs, job: dict[str, Any]) -> Fit:
    """gpulr.search as a whole: checks, conversion, factorisation, training, scores, the model."""
    import gpulr
    from gpulr.families import search as searching

    kept: list[Any] = []

    class Kept(searching.CrossValidation):  # whose parameters are not part of what search returns
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            kept[:] = [self]

    searching.CrossValidation = Kept
    refit = job["name"] == "gpulr-refit"

    def fit(setting: dict[str, Any]) -> Iterator[Point]:
        started = time.perf_counter()
        found = gpulr.search(
            X,
            y,
            Cs=job["Cs"],
            cv=pairs,
            scale=job["scale"],
            backend="numpy",
            refit=refit,
            **setting,
        )
        seconds = time.perf_counter() - started
        theta = kept[0].theta.transpose(1, 0, 2, 3)  # (n_folds, n_Cs, n_features + 1, n_classes)
        about = {
            "models": found.converged.size + (found.model.n_models if found.model else 0),
            "converged": int(found.converged.sum()),
            "iterations": [int(found.n_iter.min()), int(found.n_iter.max())],
            "scores": found.scores.tolist(),
        }
        yield Point(setting, seconds, theta, np.arange(theta.shape[-1]), about)

    return fit


def sklearn_cv_fit(X: Any, y: Any, pairs: Pairs, job: dict[str, Any]) -> Fit:
    """LogisticRegressionCV for each class against all others, on the same folds."""
    from sklearn.linear_model import LogisticRegressionCV

    Y = indicator(y, job["classes"], np.int64)
    options = {"Cs": job["Cs"], "cv": pairs, "solver": "lbfgs", "scoring": "accuracy"}

    def fit(setting: dict[str, Any]) -> Iterator[Point]:
        started = time.perf_counter()
        models = [
            LogisticRegressionCV(**options, max_iter=100_000, refit=False, **setting).fit(X, column)
            for column in Y.T
        ]
        seconds = time.perf_counter() - started
        shape = (len(pairs), len(job["Cs"]), X.shape[1] + 1)
        paths = [_positive(model.coefs_paths_).reshape(shape) for model in models]
        iterations = np.concatenate([np.ravel(model.n_iter_) for model in models])
        about = {
            "models": len(models) * shape[0] * shape[1],
            "iterations": [int(iterations.min()), int(iterations.max())],
        }
        yield Point(setting, seconds, np.stack(paths, axis=-1), np.array(job["classes"]), about)

    return fit


def _positive(paths: Any) -> Any:
    """Return the array of the positive class; scikit-learn has kept it in a dict."""
    return np.asarray(paths[1] if isinstance(paths, dict) else paths)


def one_vs_rest_fit(X: Any, y: Any, pairs: Pairs, job: dict[str, Any]) -> Fit:
    """One fit of each class on all rows, with one C: what the whole search is measured by."""
    inner = sklearn_fit(X, y, {**job, "C": 1.0, "options": {"solver": "lbfgs"}})

    def fit(setting: dict[str, Any]) -> Iterator[Point]:
        for point in inner(setting):
            point.about["models"] = point.W.shape[1]
            yield point

    return fit


FITS = {
    "gpulr": gpulr_fit,
    "gpulr-refit": gpulr_fit,
    "sklearn-cv": sklearn_cv_fit,
    "sklearn-ovr": one_vs_rest_fit,
}


def warm_up(X: Any, y: Any, job: dict[str, Any]) -> None:
    """Fit twenty rows of every class on two folds."""
    first = np.concatenate([np.flatnonzero(y == c)[:20] for c in range(int(y.max()) + 1)])
    half = np.arange(len(first)) % 2 == 0
    pairs = [(np.flatnonzero(half), np.flatnonzero(~half))]
    fit = FITS[job["name"]](X[first], y[first], pairs, {**job, "Cs": [0.1, 1.0]})
    list(fit({"tol": 0.1}))


def main() -> int:
    job = json.load(sys.stdin)
    folder = Path(job["folder"])
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {"runs": [], "others_cpu": 0.0}
    try:
        X, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")
        if not job["name"].startswith("gpulr"):
            X = (X * job["scale"]).astype(job["dtype"], copy=False)
            found["versions"] = {"scikit-learn": metadata.version("scikit-learn")}
        else:
            found["versions"] = {}
        pairs = []
        for path in sorted(folder.glob("fold-*.npz")):
            with np.load(path) as fold:
                pairs.append((fold["train"], fold["test"]))
        warm_up(X, y, job)
        fit = FITS[job["name"]](X, y, pairs, job)
        for point, share in repeat(fit, {"tol": job["tol"]}, Patience(job["patience"])):
            if not found["runs"]:
                np.savez(folder / f"{job['name']}.npz", theta=point.W, classes=point.b)
                found |= point.about
            found["runs"].append(float(f"{point.seconds:.4g}"))
            found["others_cpu"] = max(found["others_cpu"], round(share, 3))
    except Exception as error:
        import traceback

        traceback.print_exc()
        found["error"] = f"{type(error).__name__}: {error}"
    (folder / f"{job['name']}.json").write_text(json.dumps(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
