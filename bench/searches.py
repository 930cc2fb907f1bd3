"""Choosing C by cross-validation beside scikit-learn, each search in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

import gpulr
from bench.contestants import SKLEARN, Fit, Job, Part, Peer, Setting
from bench.data import DATA, Data, Objective, indicator
from bench.files import rounded
from bench.peers import run
from gpulr.families import search as searching

Floats = npt.NDArray[Any]
Pairs = Sequence[tuple[Any, Any]]

CS, N_FOLDS, TOL = np.logspace(-4, 4, 10), 5, 1e-4
EQUAL = 1e-9  # a difference of mean log-losses that is none


def gpulr_search_fit(X: Any, y: Any, job: Job) -> Fit:
    """gpulr.search as a whole: checks, conversion, factorisation, training, scores, the model."""
    kept: list[Any] = []

    class Kept(searching.CrossValidation):  # whose parameters are not part of what search returns
        def train(self, *calls: Any, **how: Any) -> Any:
            kept[:] = [super().train(*calls, **how)]
            return kept[0]

    searching.CrossValidation = Kept  # type: ignore[misc]
    settings = {"Cs": job.Cs, "cv": job.pairs, "scale": job.scale, "backend": "numpy"}

    def fit(setting: Setting) -> Iterator[Part]:
        started = time.perf_counter()
        found = gpulr.search(X, y, **settings, **job.peer.options, **setting)
        seconds = time.perf_counter() - started
        theta = kept[0].theta.transpose(1, 0, 2, 3)  # (n_folds, n_Cs, n_features + 1, n_classes)
        about = {
            "models": found.converged.size + (found.model.n_models if found.model else 0),
            "converged": int(found.converged.sum()),
            "iterations": int(found.n_iter.max()),
            "scores": found.scores.tolist(),
        }
        classes = list(range(theta.shape[-1]))
        yield Part(setting, classes, seconds, theta, np.array(classes), about)

    return fit


def sklearn_cv_fit(X: Any, y: Any, job: Job) -> Fit:
    """LogisticRegressionCV for each class against all others, on the same folds."""
    Y = indicator(y, job.classes, np.int64)
    options = {"Cs": job.Cs, "cv": job.pairs, "solver": "lbfgs", "scoring": "accuracy"}
    options |= {"max_iter": 100_000, "refit": False}
    shape = (len(job.pairs), len(job.Cs), X.shape[1] + 1)

    def fit(setting: Setting) -> Iterator[Part]:
        started = time.perf_counter()
        models = [LogisticRegressionCV(**options, **setting).fit(X, column) for column in Y.T]
        seconds = time.perf_counter() - started
        paths = [model.coefs_paths_ for model in models]
        # Of the positive class; scikit-learn has kept it in a dict.
        paths = [np.asarray(p[1] if isinstance(p, dict) else p).reshape(shape) for p in paths]
        about = {"models": len(models) * shape[0] * shape[1]}
        about["iterations"] = max(int(np.max(model.n_iter_)) for model in models)
        theta = np.stack(paths, axis=-1)
        yield Part(setting, job.classes, seconds, theta, np.array(job.classes), about)

    return fit


def search_peers(dtype: str) -> list[Peer]:
    """Return the searches; ``dtype`` is what scikit-learn's users would pass."""
    settings, words = ({"tol": TOL},), "scikit-learn, LogisticRegressionCV for each class"
    return [
        Peer("gpulr", "gpulr.search", gpulr_search_fit, (), settings, "", {"refit": False}, runs=3),
        Peer("sklearn-cv", words, sklearn_cv_fit, SKLEARN, settings, dtype),
    ]


def search(
    *,
    data: str = "mnist",
    classes: int | None = None,
    size: float = 1.0,
    patience: float = 10.0,
) -> dict[str, Any]:
    """Choosing C by cross-validation: gpulr.search beside scikit-learn's LogisticRegressionCV.

    All classes × ten values of C × five stratified folds, the same folds for both, to the same
    tolerance. scikit-learn takes minutes; ``--classes N`` gives it N of the classes only, and its
    time is then scaled up, which the results say. --data is one of bench.data.DATA.
    """
    rows = DATA[data]().part(size)
    every = list(range(rows.n_classes))
    few = every[: max(classes, 1)] if classes is not None else every
    pairs = list(StratifiedKFold(N_FOLDS).split(rows.X, rows.y))
    results, weights = [], {}
    # What scikit-learn's users would pass: pixels ÷ 255, or float32 as it is.
    for peer in search_peers("float32" if rows.X.dtype == np.float32 else "float64"):
        sampled = few if peer.name == "sklearn-cv" else every
        job = Job(peer, sampled, rows.scale, 1.0, 1e9, patience, CS, pairs)
        found, points = run(job, rows, limit=3600.0)
        if "error" in found:
            raise RuntimeError(f"{peer.label}: {found['error']}")
        runs = [part for (part,) in points[0]]
        seconds = [part.seconds for part in runs]
        weights[peer.name] = runs[0].W, runs[0].b
        factor = len(every) / len(sampled)
        found["seconds"] = rounded(factor * float(np.median(seconds)))
        found["runs"] = [rounded(each) for each in seconds]
        found["extrapolated_from_classes"] = len(sampled) if factor > 1 else None
        results.append({**found, "setting": runs[0].setting, **runs[0].about})
    compared = compare(rows, CS, pairs, few, weights["gpulr"], weights["sklearn-cv"])
    about = {"Cs": CS.tolist(), "n_folds": N_FOLDS, "tol": TOL}
    return {"data": rows.about, **about, "results": results, "compared": compared}


def compare(
    data: Data,
    Cs: Floats,
    pairs: Pairs,
    classes: list[int],
    ours: tuple[Floats, Floats],
    theirs: tuple[Floats, Floats],
) -> dict[str, Any]:
    """Compare the objectives of the models of ``classes``, and the scores made of them.

    Each of the two has theta (n_folds, n_Cs, n_features + 1, n_models) of the scaled rows, the
    intercept last, and the class of each model. ``difference`` (n_folds, n_Cs, n_models) is our
    objective less theirs.
    """
    whole = len(classes) == data.n_classes
    columns = np.tile(np.arange(len(classes)), len(Cs))
    differences, scores = [], []
    for fold, (train, test) in enumerate(pairs):
        objective = Objective(data.X[train], data.y[train], classes, 1.0, data.scale)
        objective.lam = 1.0 / (np.repeat(Cs, len(classes)) * len(train))  # of every column its own
        costs, right = [], []
        for found, trained in (ours, theirs):
            at = [int(np.flatnonzero(trained == c)[0]) for c in classes]
            theta = found[fold][:, :, at].astype(np.float64)
            theta = theta.transpose(1, 0, 2).reshape(theta.shape[1], -1)  # one C's columns together
            costs.append(objective.costs(theta[:-1], theta[-1], columns).reshape(len(Cs), -1))
            Z = data.X[test] * np.float64(data.scale) @ theta[:-1] + theta[-1]
            Z = Z.reshape(len(test), len(Cs), -1)
            y = data.y[test][:, np.newaxis]
            if whole:
                right.append((Z.argmax(axis=2) == y).mean(axis=0))
            else:  # of a sample of the classes, each one's binary accuracy
                right.append(((Z > 0) == (y[..., np.newaxis] == classes)).mean(axis=0))
        differences.append(costs[0] - costs[1])
        scores.append(np.abs(right[0] - right[1]))
    difference = np.stack(differences)
    return {
        "models": int(difference.size),
        "at_least_as_good": int(np.sum(difference <= EQUAL)),
        "equal": EQUAL,
        "largest_excess": rounded(max(float(difference.max()), 0.0), 3),
        "largest_gain": rounded(max(float(-difference.min()), 0.0), 3),
        "score": "multiclass accuracy" if whole else "binary accuracy",
        "largest_score_difference": rounded(float(np.max(scores)), 3),
        "difference": [[[rounded(d, 3) for d in c] for c in f] for f in difference.tolist()],
    }
