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
from bench import notebook, pass_peers
from bench.settings import knows, setting
from bench.workload import ITERATIONS, LEARNING_RATE, N_MODELS, Workload
from gpulr.backend import Backend, select, to_host
from gpulr.backend.compiled_rows import compiler
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets
from gpulr.kernels.fused_problem import problem_class

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
    way : "notebook", "plain", "loop", "batched", one of SETTINGS, "peer" or "peer-blocks"
        The baselines of :mod:`bench.notebook`; gpulr, one column at a time; gpulr, all columns;
        the same under a setting (:mod:`bench.settings`); another library
        (:mod:`bench.pass_peers`).
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
        return (self.backend, self.way) in pass_peers.PASSES

    @property
    def id(self) -> str:
        return f"{self.backend}-{self.dtype}-{self.way}-on-{self.rows}"

    @property
    def label(self) -> str:
        """The way in words, for charts and tables."""
        if self.is_peer:
            words = pass_peers.NAMES[self.backend]
            if version := pass_peers.version(self.backend):
                words += f" {version}"
            if self.way == "peer-blocks":
                words += ", tuned, in blocks"
            return f"{words}, {self.rows} rows"
        if self.way in ("notebook", "plain"):
            return {
                "notebook": "the notebook: plain NumPy, one digit at a time",
                "plain": "plain NumPy, ten columns, gradient without cost",
            }[self.way]
        words = {
            "loop": "one digit at a time",
            "batched": "ten columns",
            "uncompiled": "ten columns, without the compiler",
            "portable": "ten columns, without the fused kernel",
            "fused": "ten columns, with the fused kernel",
        }
        label = f"gpulr on {LIBRARIES.get(self.backend, self.backend)}, {words[self.way]}"
        return label if self.rows == "uint8" else f"{label}, {self.rows} rows"


NOTEBOOK = Contestant("notebook", "numpy", "float64", "float64")
PLAIN = Contestant("plain", "numpy", "float32", "float32")


def contestants(task: str, backend: str) -> list[Contestant]:
    """Return the contestants of one backend, the baselines first.

    One pass has more than training: with NumPy's come other libraries, on bytes and on rows that
    are float32 already, and what they are to be compared with.
    """
    baselines, more = [NOTEBOOK, PLAIN], []
    if task == "pass":
        for rows in ("float32", "uint8"):
            baselines += [Contestant(w, b, "float32", rows) for b, w in pass_peers.PASSES]
        more = [
            Contestant("uncompiled", "numpy", "float32"),
            Contestant("batched", "numpy", "float32", "float32"),
        ]
    own = [
        Contestant(way, backend, dtype)
        for dtype in ("float64", "float32")
        for way in ("loop", "batched")
    ]
    if backend == "numpy":
        return [*baselines, *own, *more]
    if task == "pass":
        own += [
            Contestant("batched", backend, "float32", "float32"),
            *(Contestant("portable", backend, "float32", rows) for rows in ("float32", "uint8")),
        ]
    return own


def obstacle(contestant: Contestant) -> str | None:
    """Return why a contestant that is optional cannot take part here; None if it can."""
    if contestant.is_peer:
        return pass_peers.obstacle(contestant.backend)
    if contestant.way == "uncompiled" and not compiler().usable:
        return "nothing is compiled"
    if contestant.way == "fused" and not knows("GPULR_FUSED"):
        return "this gpulr has no fused kernel"
    return None


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
        **about(task, contestant),
        "device": "cpu" if contestant.is_peer else select(contestant.backend).device_name,
        **work.sizes,
        "error": float(f"{deviation:.2g}"),
    }
    if task == "training":
        found |= {"solver": "gd", "learning_rate": LEARNING_RATE, "iterations": ITERATIONS}
    return found


def about(task: str, contestant: Contestant) -> dict[str, Any]:
    """Return what the JSON records of a contestant whether it took part or not."""
    return {
        "task": task,
        "way": contestant.way,
        "label": contestant.label,
        "backend": contestant.backend,
        "dtype": contestant.dtype,
        "rows": contestant.rows,
    }


def problem_of(work: Workload, backend: Backend, dtype: str, rows: str = "uint8") -> Problem:
    """Return the ten problems on the backend's device."""
    X, scale = pass_peers.stored(work, rows)
    X = backend.asarray(X)
    codes, table = work.y.astype(np.int32), np.eye(N_MODELS, dtype=dtype)
    return problem_class(backend).of(
        Rows(X, scale, None, backend, getattr(backend.xp, dtype)),
        ClassTargets(backend.asarray(codes), backend.asarray(table), backend),
        backend.asarray(np.full(N_MODELS, np.inf)),
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

    if contestant.is_peer:
        return pass_peers.PASSES[contestant.backend, contestant.way](work, contestant.rows)

    backend = select(contestant.backend)
    assert backend.name == contestant.backend, backend.fallback_reason
    issue = passes(contestant, work, backend)

    def run() -> Any:
        with setting(contestant.way), backend.activate():
            results = issue()
            backend.synchronize()
        return results

    return run


def passes(contestant: Contestant, work: Workload, backend: Backend) -> Run:
    """Return gpulr's pass, which may leave a device at work when it returns.

    It is to be called under the way's :func:`setting`, with the backend activated.
    """
    found = parts(contestant, work, backend)
    return lambda: [problem.evaluate(at) for problem, at in found]


def parts(contestant: Contestant, work: Workload, backend: Backend) -> list[tuple[Problem, Any]]:
    """Return the problems that gpulr's pass evaluates, and each one's parameters."""
    with setting(contestant.way), backend.activate():
        whole = problem_of(work, backend, contestant.dtype, contestant.rows)
        theta = backend.asarray(work.theta)
        if contestant.way != "loop":
            return [(whole, theta)]
        index = [backend.asarray(np.array([j], dtype=np.int32)) for j in range(N_MODELS)]
        return [(whole.select(j), backend.xp.take(theta, j, axis=1)) for j in index]


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
