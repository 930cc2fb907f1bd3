"""What runs in the own process of each contestant of :mod:`bench.peers`: its runs, timed.

Rows are in memory, in the dtype that the contestant is given, before any clock starts; a small fit
comes first, so that no one is charged for imports, thread pools or compilation. What gpulr's first
call costs is recorded beside. Each family's function is given the job, and returns its Fit.
"""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegressionCV
from sklearn.multiclass import OneVsRestClassifier

import gpulr
from bench.data import indicator
from bench.run import Patience, Watch, wait
from gpulr.families import search as searching

Setting = dict[str, Any]
# From a setting: the weights that it ends with and what led to them, once or at several points.
Fit = Callable[[Setting], Iterator["Point"]]

SHORT = 5.0  # seconds; runs below it are made three times, and again when they were disturbed
MEDIUM = 20.0  # seconds; runs below it are made twice


@dataclass(slots=True)
class Point:
    """Weights (…, n_features, k) and intercepts, what led to them, and for how long."""

    setting: Setting
    seconds: float
    W: Any
    b: Any
    about: dict[str, Any]


def sklearn_fit(X: Any, y: Any, job: dict[str, Any]) -> Fit:
    """One-vs-rest as scikit-learn does it; one binary model after the other if classes are few."""
    from sklearn.linear_model import LogisticRegression  # here, since sklearnex patches it

    options = {"C": job["C"], "max_iter": 100_000, "solver": job["options"]["solver"]}
    whole = len(job["classes"]) == int(y.max()) + 1
    labels = y if whole else indicator(y, job["classes"], np.int64)

    def fit(setting: Setting) -> Iterator[Point]:
        started = time.perf_counter()
        estimator = LogisticRegression(**options, **setting)
        if whole:
            models = OneVsRestClassifier(estimator).fit(X, labels).estimators_
        else:
            models = [clone(estimator).fit(X, column) for column in labels.T]
        seconds = time.perf_counter() - started
        W = np.column_stack([model.coef_[0] for model in models])
        b = np.array([np.ravel(model.intercept_)[0] for model in models])
        iterations = [int(np.max(model.n_iter_)) for model in models]
        about = {"iterations": [min(iterations), max(iterations)], "models": len(models)}
        yield Point(setting, seconds, W, b, about)

    return fit


def intelex_fit(X: Any, y: Any, job: dict[str, Any]) -> Fit:
    """Do the same under patch_sklearn, which must say for every fit that its own code ran."""
    from sklearnex import patch_sklearn

    said: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())
    log = logging.getLogger("sklearnex")
    log.setLevel(logging.INFO)
    log.propagate, log.handlers = False, [listener]
    patch_sklearn(verbose=False)
    inner = sklearn_fit(X, y, job)

    def fit(setting: Setting) -> Iterator[Point]:
        said.clear()
        for point in inner(setting):
            # A fit is logged once or twice, by the layers that it goes through.
            fits = [words for words in said if "LogisticRegression.fit:" in words]
            own = sum("running accelerated version" in words for words in fits)
            if own < len(fits) or own < len(job["classes"]):
                raise RuntimeError(f"scikit-learn-intelex's code ran in {own} of {len(fits)} fits")
            point.about["accelerated"] = True
            yield point

    return fit


def jax_fit(X: Any, y: Any, job: dict[str, Any]) -> Fit:
    """Full-batch gradient descent on all columns at once, compiled before the clock starts.

    Weights are kept as (k, n_features): XLA's products with Xᵀ on the left take twice as long.
    """
    import jax
    import jax.numpy as jnp

    (m, n), k = X.shape, len(job["classes"])
    lam = 1.0 / (job["C"] * m)
    X = jnp.asarray(X)
    Y = jnp.asarray(indicator(y, job["classes"], np.float32).T.copy())

    @jax.jit
    def curvature(X: Any) -> Any:
        def turn(_: int, v: Any) -> Any:
            u = X @ v[:-1] + v[-1]
            v = jnp.append(u @ X, u.sum())
            return v / jnp.linalg.norm(v)

        v = jax.lax.fori_loop(0, 30, turn, jnp.ones(n + 1) / jnp.sqrt(n + 1.0))
        u = X @ v[:-1] + v[-1]
        return 1.02 * (u @ u) / (4.0 * m) + lam

    @jax.jit
    def descend(X: Any, Y: Any, W: Any, b: Any, step: Any, turns: Any) -> Any:
        def turn(_: int, state: Any) -> Any:
            W, b = state
            R = (jax.nn.sigmoid(W @ X.T + b[:, None]) - Y) / m
            return W - step * (R @ X + lam * W), b - step * R.sum(axis=1)

        return jax.lax.fori_loop(0, turns, turn, (W, b))

    start = jnp.zeros((k, n)), jnp.zeros(k)
    started = time.perf_counter()
    bound = curvature.lower(X).compile()
    run = descend.lower(X, Y, *start, jnp.float32(1.0), jnp.int32(1)).compile()
    compiling = time.perf_counter() - started
    marks = sorted(setting["max_iter"] for setting in job["settings"])

    def fit(setting: Setting) -> Iterator[Point]:
        """One run yields all points: those with fewer iterations are on its way."""
        if setting["max_iter"] != marks[-1]:
            return
        points: list[Point] = []
        (W, b), done, spent = start, 0, 0.0
        started = time.perf_counter()
        step = 1.0 / bound(X)
        for mark in marks:
            W, b = jax.block_until_ready(run(X, Y, W, b, step, jnp.int32(mark - done)))
            spent, done = spent + time.perf_counter() - started, mark
            about = {"iterations": [done, done], "compile_seconds": round(compiling, 3)}
            at = np.asarray(W).T, np.asarray(b)
            points.append(Point({"max_iter": mark}, spent, *at, about))
            started = time.perf_counter()
        yield from reversed(points)  # the last, which the table shows, first

    return fit


def gpulr_fit(X: Any, y: Any, job: dict[str, Any]) -> Fit:
    """gpulr.train as a whole: checks, conversion, factorisation, iterations, the model."""
    settings = {"backend": "numpy", "solver": job["name"].removeprefix("gpulr-"), "C": job["C"]}

    def fit(setting: Setting) -> Iterator[Point]:
        started = time.perf_counter()
        model = gpulr.train(X, y, scale=job["scale"], **settings, **{"tol": 0.0, **setting})
        seconds = time.perf_counter() - started
        W = model.weights.astype(np.float64) / job["scale"]
        iterations = [int(np.min(model.history.n_iter)), int(np.max(model.history.n_iter))]
        about = {"iterations": iterations, "converged": int(np.sum(model.history.converged))}
        yield Point(setting, seconds, W, model.intercept, about)

    return fit


def gpulr_search_fit(X: Any, y: Any, job: dict[str, Any]) -> Fit:
    """gpulr.search as a whole: checks, conversion, factorisation, training, scores, the model."""
    kept: list[Any] = []

    class Kept(searching.CrossValidation):  # whose parameters are not part of what search returns
        def train(self, *calls: Any) -> Any:
            kept[:] = [super().train(*calls)]
            return kept[0]

    searching.CrossValidation = Kept
    settings = {"Cs": job["Cs"], "cv": job["pairs"], "scale": job["scale"], "backend": "numpy"}
    settings |= job["options"]

    def fit(setting: Setting) -> Iterator[Point]:
        started = time.perf_counter()
        found = gpulr.search(X, y, **settings, **setting)
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


def sklearn_cv_fit(X: Any, y: Any, job: dict[str, Any]) -> Fit:
    """LogisticRegressionCV for each class against all others, on the same folds."""
    Y = indicator(y, job["classes"], np.int64)
    options = {"Cs": job["Cs"], "cv": job["pairs"], "solver": "lbfgs", "scoring": "accuracy"}
    options |= {"max_iter": 100_000, "refit": False}
    shape = (len(job["pairs"]), len(job["Cs"]), X.shape[1] + 1)

    def fit(setting: Setting) -> Iterator[Point]:
        started = time.perf_counter()
        models = [LogisticRegressionCV(**options, **setting).fit(X, column) for column in Y.T]
        seconds = time.perf_counter() - started
        paths = [model.coefs_paths_ for model in models]
        # Of the positive class; scikit-learn has kept it in a dict.
        paths = [np.asarray(p[1] if isinstance(p, dict) else p).reshape(shape) for p in paths]
        iterations = np.concatenate([np.ravel(model.n_iter_) for model in models])
        about = {"models": len(models) * shape[0] * shape[1]}
        about["iterations"] = [int(iterations.min()), int(iterations.max())]
        yield Point(setting, seconds, np.stack(paths, axis=-1), np.array(job["classes"]), about)

    return fit


FITS = {"sklearn": sklearn_fit, "intelex": intelex_fit, "jax": jax_fit, "gpulr": gpulr_fit}
FITS |= {"gpulr-search": gpulr_search_fit, "sklearn-cv": sklearn_cv_fit}
DISTRIBUTIONS = {"sklearn": ("scikit-learn",), "sklearn-cv": ("scikit-learn",)}
DISTRIBUTIONS |= {"intelex": ("scikit-learn-intelex", "daal", "scikit-learn")}
DISTRIBUTIONS |= {"jax": ("jax", "jaxlib")}


def fits(**job: Any) -> Iterator[dict[str, Any]]:
    """Make a contestant's runs; yield what is known of each, its weights are in the folder."""
    warnings.simplefilter("ignore")
    folder, family = Path(job["folder"]), job["family"]
    X, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")
    if job["dtype"]:
        X = (X * job["scale"]).astype(job["dtype"], copy=False)
    yield {"versions": {d: metadata.version(d) for d in DISTRIBUTIONS.get(family, ())}}
    with np.load(folder / "folds.npz") as folds:
        parts = [(folds[f"train{i}"], folds[f"test{i}"]) for i in range(len(folds) // 2)]
    if family not in ("jax", "gpulr"):  # those compile when they are built, or are timed at it
        few = np.concatenate([np.flatnonzero(y == c)[:20] for c in range(int(y.max()) + 1)])
        half = np.arange(len(few)) % 2 == 0
        small = {**job, "Cs": [0.1, 1.0], "pairs": [(np.flatnonzero(half), np.flatnonzero(~half))]}
        list(FITS[family](X[few], y[few], small)({"tol": 0.1}))
    fit, patience = FITS[family](X, y, {**job, "pairs": parts}), Patience(job["patience"])
    if family == "gpulr" and job["settings"]:
        started = time.perf_counter()
        list(fit(job["settings"][0]))
        yield {"first_call_seconds": time.perf_counter() - started}
    number = 0
    for setting in job["settings"]:
        known: dict[str, str] = {}
        for point, share in repeat(fit, setting, patience):
            key = json.dumps(point.setting)
            if key not in known:  # the first run's weights count
                known[key] = str(folder / f"{job['name']}-{number}.npz")
                np.savez(known[key], W=point.W, b=point.b)
                number += 1
            about = {"setting": point.setting, **point.about, "weights": known[key]}
            yield {"point": about, "seconds": point.seconds, "others_cpu": round(share, 3)}


def repeat(fit: Fit, setting: Setting, patience: Patience) -> Iterator[tuple[Point, float]]:
    """Yield the points of one to three runs, with the share of the cores that others used."""
    spent, runs = 0.0, 0
    while True:
        each = spent / max(runs, 1)
        if runs >= (3 if each < SHORT else 2 if each < MEDIUM else 1):
            return
        wait(patience)
        watch = Watch()
        points = list(fit(setting))
        wall, share = watch.wall(), watch.share() or 0.0
        if not points:
            return
        if wall < SHORT and watch.disturbed() and patience.spend(wall):
            continue
        spent, runs = spent + wall, runs + 1
        yield from ((point, share) for point in points)
