"""What is timed: each way of computing the same pass or the same training.

Every contestant becomes a function without arguments that leaves nothing to be done when it
returns: devices are synchronised inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import gpulr
from bench import notebook
from bench.workload import ITERATIONS, LEARNING_RATE, N_MODELS, Workload
from gpulr.backend import Backend, select, to_host
from gpulr.problem import Problem
from gpulr.rows import Rows

Floats = npt.NDArray[Any]
Run = Callable[[], Any]

TASKS = ("pass", "training")
LIBRARIES = {"numpy": "NumPy", "cupy": "CuPy"}
# Of the largest entry. float32 is good to about 1e-5 here; TF32 is not, and is to be noticed.
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way of doing a task.

    Attributes
    ----------
    way : "notebook", "plain", "loop" or "batched"
        The baselines of :mod:`bench.notebook`; gpulr, one column at a time; gpulr, all columns.
    backend, dtype : str
    """

    way: str
    backend: str
    dtype: str

    @property
    def id(self) -> str:
        return f"{self.backend}-{self.dtype}-{self.way}"

    @property
    def label(self) -> str:
        """The way in words, for charts and tables."""
        words = {
            "notebook": "the notebook: plain NumPy, one digit at a time",
            "plain": "plain NumPy, ten columns, gradient without cost",
            "loop": f"gpulr on {LIBRARIES[self.backend]}, one digit at a time",
            "batched": f"gpulr on {LIBRARIES[self.backend]}, ten columns",
        }
        return words[self.way]


def contestants(backend: str) -> list[Contestant]:
    """Return the contestants of one backend, the baselines first."""
    baselines = [
        Contestant("notebook", "numpy", "float64"),
        Contestant("plain", "numpy", "float32"),
    ]
    own = [
        Contestant(way, backend, dtype)
        for dtype in ("float64", "float32")
        for way in ("loop", "batched")
    ]
    return (baselines if backend == "numpy" else []) + own


def prepare(task: str, contestant: Contestant, work: Workload) -> Run:
    """Put the contestant's data in place and return what is to be timed."""
    build = {"pass": _pass, "training": _training}[task]
    return build(contestant, work)


def error(task: str, contestant: Contestant, result: Any, work: Workload) -> float:
    """Return the largest deviation from the float64 reference, relative to its largest entry."""
    columns = [np.vstack([to_host(part) for part in parts]) for parts in result]
    found = np.hstack(columns).astype(np.float64)
    expected = work.expected_pass if task == "pass" else work.expected_training
    if task == "pass" and contestant.way == "plain":
        expected = expected[1:]  # it has no cost
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


def check(task: str, contestant: Contestant, result: Any, work: Workload) -> float:
    """Return the error of a result, or raise if it is not what was to be computed."""
    deviation = error(task, contestant, result, work)
    if not deviation <= TOLERANCE[contestant.dtype]:
        raise ArithmeticError(
            f"{contestant.id}: the result of the {task} is off by {deviation:.1e} of its largest "
            f"entry; at most {TOLERANCE[contestant.dtype]:.0e} is allowed. Nothing was timed."
        )
    return deviation


def entry(task: str, contestant: Contestant, result: Any, work: Workload) -> dict[str, Any]:
    """Check a result, and return what the JSON records of the contestant besides its times."""
    deviation = check(task, contestant, result, work)
    found = {
        "task": task,
        "way": contestant.way,
        "label": contestant.label,
        "backend": contestant.backend,
        "device": select(contestant.backend).device_name,
        "dtype": contestant.dtype,
        **work.sizes,
        "error": float(f"{deviation:.2g}"),
    }
    if task == "training":
        found |= {"solver": "gd", "learning_rate": LEARNING_RATE, "iterations": ITERATIONS}
    return found


def problem_of(work: Workload, backend: Backend, dtype: str) -> Problem:
    """Return the ten problems on the backend's device."""
    X = backend.asarray(work.X)
    return Problem(
        rows=Rows(X, work.scale, None, backend, getattr(backend.xp, dtype)),
        codes=backend.asarray(work.y.astype(np.int32)),
        targets=backend.asarray(np.eye(N_MODELS, dtype=dtype)),
        C=backend.asarray(np.full(N_MODELS, np.inf)),
        sample_weight=None,
        m=float(len(work.y)),
    )


def _pass(contestant: Contestant, work: Workload) -> Run:
    """Cost and gradient at the same parameters; the rows are on the device already."""
    W, b = work.theta[:-1], work.theta[-1]
    if contestant.way == "notebook":
        X, ys = work.rows_float64, [work.targets[:, [j]].copy() for j in range(N_MODELS)]
        ws = [W[:, [j]].copy() for j in range(N_MODELS)]
        return lambda: [notebook.propagate(X, ys[j], ws[j], b[j]) for j in range(N_MODELS)]
    if contestant.way == "plain":
        X, Y, W, b = (a.astype(np.float32) for a in (work.rows_float32, work.targets, W, b))
        return lambda: [notebook.batched_gradient(X, Y, W, b)]

    backend = select(contestant.backend)
    assert backend.name == contestant.backend, backend.fallback_reason
    with backend.activate():
        whole = problem_of(work, backend, contestant.dtype)
        theta = backend.asarray(work.theta)
        parts = [(whole, theta)]
        if contestant.way == "loop":
            index = [backend.asarray(np.array([j], dtype=np.int32)) for j in range(N_MODELS)]
            parts = [(whole.select(j), backend.xp.take(theta, j, axis=1)) for j in index]

    def run() -> Any:
        with backend.activate():
            results = [problem.evaluate(at) for problem, at in parts]
            backend.synchronize()
        return results

    return run


def _training(contestant: Contestant, work: Workload) -> Run:
    """Gradient descent at a fixed step for a fixed number of iterations, from the host's rows."""
    if contestant.way == "notebook":
        X, ys = work.rows_float64, [work.targets[:, [j]].copy() for j in range(N_MODELS)]
        return lambda: [notebook.optimize(X, y, ITERATIONS, LEARNING_RATE)[:2] for y in ys]
    if contestant.way == "plain":
        X32, Y = work.rows_float32, work.targets.astype(np.float32)
        return lambda: [notebook.batched_optimize(X32, Y, ITERATIONS, LEARNING_RATE)]

    def run() -> Any:
        model = gpulr.train(
            work.X,
            work.y,
            backend=contestant.backend,
            solver="gd",
            C=np.inf,
            scale=work.scale,
            learning_rate=LEARNING_RATE,
            max_iter=ITERATIONS,
            tol=0.0,
            dtype=contestant.dtype,
            batched=contestant.way == "batched",
        )
        assert model.backend == contestant.backend, model.fallback_reason
        assert np.all(model.history.n_iter == ITERATIONS)
        return [(model.weights / work.scale, model.intercept)]  # on the host: all is done

    return run
