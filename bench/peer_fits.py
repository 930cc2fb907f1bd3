"""How each contestant is run, and timed: from one setting to the weights that it ends with."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.peer_data import indicator


@dataclass(slots=True)
class Point:
    """Weights (n_features, k) and intercepts (k,), what led to them, and for how long."""

    setting: dict[str, Any]
    seconds: float
    W: Any
    b: Any
    about: dict[str, Any]


Fit = Callable[[dict[str, Any]], Iterator[Point]]


def sklearn_fit(X: Any, y: Any, job: dict[str, Any]) -> Fit:
    """One-vs-rest as scikit-learn does it; one binary model after the other if classes are few."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    options = {"C": job["C"], "max_iter": 100_000, "solver": job["options"]["solver"]}
    whole = len(job["classes"]) == int(y.max()) + 1
    labels = y if whole else indicator(y, job["classes"], np.int64)

    def fit(setting: dict[str, Any]) -> Iterator[Point]:
        started = time.perf_counter()
        estimator = LogisticRegression(**options, **setting)
        if whole:
            models = OneVsRestClassifier(estimator).fit(X, labels).estimators_
        else:
            models = [_clone(estimator).fit(X, column) for column in labels.T]
        seconds = time.perf_counter() - started
        W = np.column_stack([model.coef_[0] for model in models])
        b = np.array([np.ravel(model.intercept_)[0] for model in models])
        iterations = [int(np.max(model.n_iter_)) for model in models]
        yield Point(setting, seconds, W, b, {"iterations": [min(iterations), max(iterations)]})

    return fit


def _clone(estimator: Any) -> Any:
    from sklearn.base import clone

    return clone(estimator)


def intelex_fit(X: Any, y: Any, job: dict[str, Any]) -> Fit:
    """Do the same under patch_sklearn, which must say for every fit that its own code ran."""
    from sklearnex import patch_sklearn

    said: list[str] = []
    log = logging.getLogger("sklearnex")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.handlers = [_Listener(said)]
    patch_sklearn(verbose=False)
    inner = sklearn_fit(X, y, job)

    def fit(setting: dict[str, Any]) -> Iterator[Point]:
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


class _Listener(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def jax_fit(X: Any, y: Any, job: dict[str, Any]) -> Fit:
    """Full-batch gradient descent on all columns at once, compiled before the clock starts.

    Weights are kept as (k, n_features): XLA's products with Xᵀ on the left take twice as long.
    """
    import jax
    import jax.numpy as jnp

    n, k = X.shape[1], len(job["classes"])
    lam, m = 1.0 / (job["C"] * len(X)), len(X)
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

    W0, b0 = jnp.zeros((k, n)), jnp.zeros(k)
    started = time.perf_counter()
    bound = curvature.lower(X).compile()
    run = descend.lower(X, Y, W0, b0, jnp.float32(1.0), jnp.int32(1)).compile()
    compiling = time.perf_counter() - started
    marks = sorted(setting["max_iter"] for setting in job["settings"])

    def fit(setting: dict[str, Any]) -> Iterator[Point]:
        """One run yields all points: those with fewer iterations are on its way."""
        if setting["max_iter"] != marks[-1]:
            return
        points: list[Point] = []
        W, b, done, spent = W0, b0, 0, 0.0
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
    import gpulr

    settings = {"backend": "numpy", "solver": job["name"].removeprefix("gpulr-"), "C": job["C"]}

    def fit(setting: dict[str, Any]) -> Iterator[Point]:
        extra = setting if "tol" in setting else {"tol": 0.0, **setting}
        started = time.perf_counter()
        model = gpulr.train(X, y, scale=job["scale"], **settings, **extra)
        seconds = time.perf_counter() - started
        W = model.weights.astype(np.float64) / job["scale"]
        iterations = [int(np.min(model.history.n_iter)), int(np.max(model.history.n_iter))]
        about = {"iterations": iterations, "converged": int(np.sum(model.history.converged))}
        yield Point(setting, seconds, W, model.intercept, about)

    return fit


FITS = {"sklearn": sklearn_fit, "intelex": intelex_fit, "jax": jax_fit, "gpulr": gpulr_fit}
