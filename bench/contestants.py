"""Who computes one pass or one training: the notebook, plain NumPy, gpulr's ways, other libraries.

Every contestant becomes a function without arguments that leaves nothing to be done when it
returns: devices are synchronised inside. Its result is compared with the float64 reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

import gpulr
from bench import libraries
from bench.data import ITERATIONS, LEARNING_RATE, N_MODELS, Data
from bench.run import Run, setting
from gpulr.backend import Backend, select, to_host
from gpulr.backend.compiled_rows import compiler
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets
from gpulr.kernels import problem_class

Floats = npt.NDArray[Any]

TASKS = ("pass", "training")
# Of the largest entry. float32 is good to about 1e-5 here; TF32 is not, and is to be noticed.
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}
LIBRARIES = {"numpy": "NumPy", "cupy": "CuPy"}
BASELINES = {
    "notebook": "the notebook: plain NumPy, one digit at a time",
    "plain": "plain NumPy, ten columns, gradient without cost",
}
WAYS = {
    "loop": "one digit at a time",
    "batched": "ten columns",
    "uncompiled": "ten columns, without the compiler",
    "portable": "ten columns, without the fused kernel",
    "fused": "ten columns, with the fused kernel",
}


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way of doing a task.

    Attributes
    ----------
    way : str
        Of BASELINES, of WAYS (gpulr one column at a time, all columns, or all columns under a
        setting in the environment), or of :mod:`bench.libraries`: "peer" or "peer-blocks".
    backend : str
        The array library that computes.
    dtype : str
        In which it computes.
    rows : "uint8", "float32" or "float64"
        How X is stored before the clock starts: as bytes, or scaled already.
    """

    way: str
    backend: str
    dtype: str
    rows: str = "uint8"

    @property
    def is_peer(self) -> bool:
        """Whether another library computes."""
        return (self.backend, self.way) in libraries.PASSES

    @property
    def id(self) -> str:
        return f"{self.backend}-{self.dtype}-{self.way}-on-{self.rows}"

    @property
    def label(self) -> str:
        """The way in words, for charts and tables."""
        if self.way in BASELINES:
            return BASELINES[self.way]
        if self.is_peer:
            tuned = ", tuned, in blocks" if self.way == "peer-blocks" else ""
            return f"{libraries.label(self.backend)}{tuned}, {self.rows} rows"
        words = f"gpulr on {LIBRARIES.get(self.backend, self.backend)}, {WAYS[self.way]}"
        return words if self.rows == "uint8" else f"{words}, {self.rows} rows"

    def about(self, task: str) -> dict[str, Any]:
        """Return what the JSON records of it whether it took part or not."""
        found = {"task": task, "way": self.way, "label": self.label, "backend": self.backend}
        return {**found, "dtype": self.dtype, "rows": self.rows}


NOTEBOOK = Contestant("notebook", "numpy", "float64", "float64")
PLAIN = Contestant("plain", "numpy", "float32", "float32")


def contestants(task: str, backend: str) -> list[Contestant]:
    """Return the contestants of one backend, the baselines first.

    One pass has more than training: with NumPy's come other libraries, on bytes and on rows that
    are float32 already, and what they are to be compared with.
    """
    own = [Contestant(w, backend, d) for d in ("float64", "float32") for w in ("loop", "batched")]
    more = []
    if task == "pass":
        more = [Contestant("batched", backend, "float32", "float32")]
    if task == "pass" and backend != "numpy":
        more += [Contestant("portable", backend, "float32", r) for r in ("float32", "uint8")]
    if backend != "numpy":
        return [*own, *more]
    peers = []
    if task == "pass":
        more.insert(0, Contestant("uncompiled", "numpy", "float32"))
        for rows in ("float32", "uint8"):
            peers += [Contestant(w, b, "float32", rows) for b, w in libraries.PASSES]
    return [NOTEBOOK, PLAIN, *peers, *own, *more]


def obstacle(contestant: Contestant) -> str | None:
    """Return why a contestant that is optional cannot take part here; None if it can."""
    if contestant.is_peer:
        return libraries.obstacle(contestant.backend)
    if contestant.way == "uncompiled" and not compiler().usable:
        return "nothing is compiled"
    return None


def check(task: str, contestant: Contestant, result: Any, work: Data) -> float:
    """Return a result's largest deviation, relative to the largest entry of the reference.

    Raises
    ------
    ArithmeticError
        If it is not what was to be computed.
    """
    columns = [np.vstack([to_host(part) for part in parts]) for parts in result]
    found = np.hstack(columns).astype(np.float64)
    expected = work.expected_pass if task == "pass" else work.expected_training
    if task == "pass" and contestant.way == "plain":
        expected = expected[1:]  # it has no cost
    assert found.shape == expected.shape, (found.shape, expected.shape)
    error = float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))
    if not error <= TOLERANCE[contestant.dtype]:
        raise ArithmeticError(
            f"{contestant.id}: the result of the {task} is off by {error:.1e} of its largest "
            f"entry; at most {TOLERANCE[contestant.dtype]:.0e} is allowed. Nothing was timed."
        )
    return error


def entry(task: str, contestant: Contestant, result: Any, work: Data) -> dict[str, Any]:
    """Check a result, and return what the JSON records of the contestant besides its times."""
    error = check(task, contestant, result, work)
    device = "cpu" if contestant.is_peer else select(contestant.backend).device_name
    found = {
        **contestant.about(task),
        "device": device,
        **work.sizes,
        "error": float(f"{error:.2g}"),
    }
    if task == "training":
        found |= {"solver": "gd", "learning_rate": LEARNING_RATE, "iterations": ITERATIONS}
    return found


def prepare(task: str, contestant: Contestant, work: Data) -> Run:
    """Put the contestant's data in place and return what is to be timed."""
    if contestant.way in BASELINES:
        return _baseline(task, contestant.way, work)
    if task == "training":
        return _training(contestant, work)
    if contestant.is_peer:
        start, wait = libraries.PASSES[contestant.backend, contestant.way](work, contestant.rows)
        return lambda: wait(start())
    backend = select(contestant.backend)
    assert backend.name == contestant.backend, backend.fallback_reason
    issue = passes(contestant, work, backend)

    def run() -> Any:
        with setting(contestant.way), backend.activate():
            results = issue()
            backend.synchronize()
        return results

    return run


def passes(contestant: Contestant, work: Data, backend: Backend) -> Callable[[], list[Any]]:
    """Return gpulr's pass, which may leave a device at work when it returns.

    It is to be called under the way's setting, with the backend activated.
    """
    found = parts(contestant, work, backend)
    return lambda: [problem.evaluate(at) for problem, at in found]


def parts(contestant: Contestant, work: Data, backend: Backend) -> list[tuple[Problem, Any]]:
    """Return the problems that gpulr's pass evaluates, and each one's parameters."""
    with setting(contestant.way), backend.activate():
        X, scale = work.rows(contestant.rows)
        dtype = getattr(backend.xp, contestant.dtype)
        codes, table = work.y.astype(np.int32), np.eye(N_MODELS, dtype=contestant.dtype)
        whole = problem_class(backend).of(
            Rows(backend.asarray(X), scale, None, backend, dtype),
            ClassTargets(backend.asarray(codes), backend.asarray(table), backend),
            backend.asarray(np.full(N_MODELS, np.inf)),
        )
        theta = backend.asarray(work.theta)
        if contestant.way != "loop":
            return [(whole, theta)]
        index = [backend.asarray(np.array([j], dtype=np.int32)) for j in range(N_MODELS)]
        return [(whole.select(j), backend.xp.take(theta, j, axis=1)) for j in index]


def _training(contestant: Contestant, work: Data) -> Run:
    """Gradient descent at a fixed step for a fixed number of iterations, from the host's rows."""
    settings = {"backend": contestant.backend, "dtype": contestant.dtype, "scale": work.scale}
    settings |= {"solver": "gd", "learning_rate": LEARNING_RATE, "max_iter": ITERATIONS}
    settings |= {"C": np.inf, "tol": 0.0, "batched": contestant.way == "batched"}

    def run() -> Any:
        model = gpulr.train(work.X, work.y, **settings)
        assert model.backend == contestant.backend, model.fallback_reason
        assert np.all(model.history.n_iter == ITERATIONS)
        return [(model.weights / work.scale, model.intercept)]  # on the host: all is done

    return run


def _baseline(task: str, way: str, work: Data) -> Run:
    """Return the notebook's way, one digit after the other, or plain NumPy in a batch."""
    if way == "plain":
        X, Y, W, b = (
            a.astype(np.float32)
            for a in (work.rows_float32, work.targets, work.theta[:-1], work.theta[-1])
        )
        if task == "pass":
            return lambda: [batched_gradient(X, Y, W, b)]
        return lambda: [batched_optimize(X, Y, ITERATIONS, LEARNING_RATE)]
    X, b = work.rows_float64, work.theta[-1]
    ys = [work.targets[:, [j]].copy() for j in range(N_MODELS)]
    ws = [work.theta[:-1, [j]].copy() for j in range(N_MODELS)]
    if task == "pass":
        return lambda: [
            propagate(X, y, w, b[j]) for j, (y, w) in enumerate(zip(ys, ws, strict=True))
        ]
    return lambda: [optimize(X, y, ITERATIONS, LEARNING_RATE)[:2] for y in ys]


def propagate(X: Floats, y: Floats, w: Floats, b: float) -> tuple[float, Floats, float]:
    """One digit: cost, and its gradient with respect to w and b, as the notebook writes them.

    X (m, n) float64 has been divided by 255; y and w are columns, (m, 1) and (n, 1). The notebook's
    slip in db is mended, so that results can be compared.
    """
    m = X.shape[0]
    y_hat = 1 / (1 + np.exp(-(np.dot(X, w) + b)))
    cost = -1 / m * np.sum(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat))
    dw = 1 / m * np.dot(X.T, y_hat - y)
    db = 1 / m * np.sum(y_hat - y)
    return cost, dw, db


def optimize(
    X: Floats, y: Floats, iterations: int, learning_rate: float
) -> tuple[Floats, float, list[float]]:
    """One digit: gradient descent from zero, keeping the cost of every iteration."""
    w, b = np.zeros((X.shape[1], 1)), 0.0
    costs = []
    for _ in range(iterations):
        cost, dw, db = propagate(X, y, w, b)
        w = w - learning_rate * dw
        b = b - learning_rate * db
        costs.append(cost)
    return w, b, costs


def batched_gradient(X: Floats, Y: Floats, W: Floats, b: Floats) -> tuple[Floats, Floats]:
    """All columns at once in whatever dtype comes in: the gradient alone, no cost."""
    R = expit(X @ W + b) - Y
    return X.T @ R / len(X), R.mean(axis=0)


def batched_optimize(
    X: Floats, Y: Floats, iterations: int, learning_rate: float
) -> tuple[Floats, Floats]:
    """All columns at once: gradient descent from zero, without looking at the cost."""
    W, b = np.zeros((X.shape[1], Y.shape[1]), X.dtype), np.zeros(Y.shape[1], X.dtype)
    for _ in range(iterations):
        dW, db = batched_gradient(X, Y, W, b)
        W, b = W - learning_rate * dW, b - learning_rate * db
    return W, b
