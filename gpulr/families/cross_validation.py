"""Training every class on every fold along C, as columns of one matrix, and scoring them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.core.problem import Problem
from gpulr.families.folds import Folds
from gpulr.families.prepare import TrainingData
from gpulr.model.scores import Scorer
from gpulr.solvers import LBFGS, minimize
from gpulr.solvers.continuation import Continuation
from gpulr.solvers.lbfgs import Prepared
from gpulr.solvers.solution import Progress, Solution

Array = Any

# A model that starts where it ended with another C may be within tol at once, and stay as far from
# the optimum as it was. So they go on, to tol / CLOSER. On MNIST (500 models) that takes 1.8 times
# as long, and then none has a larger cost than scikit-learn's path of the same tolerance.
CLOSER = 4.0


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """What callbacks of a search are told after each iteration (on a device, a few at a time).

    Attributes
    ----------
    done, total : int
        Models that have been trained (converged, or ended otherwise), of all.
    C : float
        What is being trained with.
    seconds : float
        Since the first iteration.
    """

    done: int
    total: int
    C: float
    seconds: float


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What a search trains: models of each class, on each fold, with each C.

    Attributes
    ----------
    data : TrainingData
    folds : Folds
    Cs : (n_Cs,) float64
    memory : int
        Bytes that columns trained together may take; classes are trained in groups accordingly.
    """

    data: TrainingData
    folds: Folds
    Cs: npt.NDArray[np.float64]
    memory: int
    solver: LBFGS = field(default_factory=lambda: LBFGS())

    @cached_property
    def groups(self) -> list[npt.NDArray[np.int64]]:
        """Classes that are trained together."""
        rows, n_models = self.data.rows, self.data.n_models
        available = max(1, rows.backend.available_bytes(self.memory))
        taken = n_models * len(self.folds) * self.solver.column_bytes(rows)
        n_groups = min(max(1, -(-taken // available)), n_models)
        return np.array_split(np.arange(n_models), n_groups)

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """The values of C as they are trained with, the smallest first, (n_Cs,)."""
        return np.argsort(self.Cs, kind="stable")

    def train(
        self,
        callbacks: Sequence[Callable[[SearchProgress], object]],
        interrupted: Callable[[], bool],
    ) -> Path:
        """Train all models, or those that there is time for until an interruption."""
        path, started = self.begin(), time.perf_counter()

        def tell(done: int, C: float) -> None:
            now = SearchProgress(done, path.ends.size, C, time.perf_counter() - started)
            for callback in callbacks:
                callback(now)

        while not (path.complete or path.stopped):
            path = self.step(path, tell, interrupted)
        return path

    def begin(self) -> Path:
        """Return the path of which nothing has been trained."""
        n_folds, n_Cs, k = len(self.folds), len(self.Cs), self.data.n_models
        shape = (n_Cs, n_folds, self.data.rows.n_features + 1, k)
        theta = np.zeros(shape, dtype=self.data.settings.dtype)
        return Path(self, theta, np.zeros((n_folds, n_Cs, k), END))

    def step(
        self, path: Path, tell: Callable[[int, float], None], interrupted: Callable[[], bool]
    ) -> Path:
        """Train the next group of classes, or the same with the next C, on all folds."""
        number, place = divmod(path.n_steps, len(self.Cs))
        group, c, settings = self.groups[number], self.order[place], self.data.settings
        n_folds, C, before = len(self.folds), float(self.Cs[c]), path.n_trained
        unit = path.problem or self.data.problem(1.0, group, self._counts)
        problem = replace(unit, C=unit.C * C)
        prepared = path.prepared or self.solver.prepare(unit)
        begin = path.continuation.begin(prepared) if path.continuation else None

        def count(progress: Progress) -> None:
            tell(before + int(progress.converged.sum()), C)

        solution = minimize(
            self.solver,
            problem,
            max_iter=settings.max_iter,
            tol=settings.tol / CLOSER,
            callbacks=[count],
            prepared=prepared,
            begin=begin,
            leaving=(continuation := Continuation(self.solver, problem)).collect,
            interrupted=interrupted,
        )
        path = replace(path, problem=unit, prepared=prepared)
        if solution.result in ("interrupted", "stopped"):
            return replace(path, stopped=True)
        parts = solution.theta.reshape(-1, n_folds, len(group))
        path.theta[c][:, :, group] = parts.transpose(1, 0, 2)
        judged = at_tolerance(solution, settings.tol)
        for name in ("n_iter", "converged", "stalled", "rounding"):
            path.ends[name][:, c, group] = getattr(judged, name).reshape(n_folds, len(group))
        for name in ("cost", "gradient_norm"):
            path.ends[name][:, c, group] = getattr(judged, name)[-1].reshape(n_folds, len(group))
        path = replace(path, n_steps=path.n_steps + 1, continuation=continuation)
        if place == len(self.Cs) - 1:
            path = replace(path, problem=None, continuation=None)
        if not solution.converged.all():  # which those that ended so were not told as
            try:
                tell(path.n_trained, C)
            except (KeyboardInterrupt, StopIteration):
                return replace(path, stopped=True)
        return path

    @cached_property
    def _counts(self) -> Array:
        return self.data.rows.backend.asarray(self.folds.counts)


def at_tolerance(solution: Solution, tol: float) -> Solution:
    """Return a solution that was sought to ``tol / CLOSER`` with what it says of ``tol``."""
    converged = solution.gradient_norm[-1] <= tol
    stalled, rounding = solution.stalled & ~converged, solution.rounding & ~converged
    return replace(solution, converged=converged, stalled=stalled, rounding=rounding)


END = np.dtype(
    [("n_iter", np.int64), ("cost", np.float64), ("gradient_norm", np.float64)]
    + [(name, np.bool_) for name in ("converged", "stalled", "rounding")]
)


@dataclass(frozen=True, eq=False)
class Path:
    """How far a search has come along C: all that is needed to go on.

    The two arrays are those of the steps before, with more filled in.

    Attributes
    ----------
    task : CrossValidation
    theta : (n_Cs, n_folds, n_features + 1, n_models) in the compute dtype, NumPy
        Where models ended; of the scaled rows.
    ends : (n_folds, n_Cs, n_models) of END
        How they ended.
    n_steps : int
        Steps that are done: of each group of classes, one with each C.
    problem : Problem or None
        Of the group of classes that is in training, with C = 1.
    prepared : Prepared or None
        What all models share, once training has begun; it does not depend on the labels.
    continuation : Continuation or None
        Where it ended with the last C.
    stopped : bool
        A callback or an interrupt ended the search.
    """

    task: CrossValidation
    theta: npt.NDArray[Any]
    ends: npt.NDArray[Any]
    n_steps: int = 0
    problem: Problem | None = None
    prepared: Prepared | None = None
    continuation: Continuation | None = None
    stopped: bool = False

    @property
    def complete(self) -> bool:
        """Whether all models have been trained."""
        return self.n_steps == len(self.task.groups) * len(self.task.Cs)

    @property
    def n_trained(self) -> int:
        """How many models have been trained."""
        number, place = divmod(self.n_steps, len(self.task.Cs))
        sizes = [len(group) for group in self.task.groups] + [0]
        each = sum(sizes[:number]) * len(self.task.Cs) + sizes[number] * place
        return each * len(self.task.folds)

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """The values of C with which all classes have been trained, (n_Cs,)."""
        n_Cs = len(self.task.Cs)
        done = np.zeros(n_Cs, dtype=np.bool_)
        done[self.task.order[: max(0, self.n_steps - (len(self.task.groups) - 1) * n_Cs)]] = True
        return done

    def score(
        self, scorer: Scorer, sample_weight: npt.NDArray[np.float64] | None
    ) -> npt.NDArray[np.float64]:
        """Return the scores on held-out rows of the values of C that are done, (n_folds, n_done).

        ``sample_weight`` (n_samples,) counts in the scores; None: all rows the same.
        """
        data, done = self.task.data, np.flatnonzero(self.done)
        backend, tests = data.rows.backend, self.task.folds.tests
        scores = np.zeros((len(tests), len(done)))
        for f, test in enumerate(tests if len(done) else ()):
            held_out = data.rows.sample(backend.asarray(test))
            truth = data.inputs.labels.truth(test)
            weight = np.ones(len(test)) if sample_weight is None else sample_weight[test]
            for i, c in enumerate(done):
                theta = backend.asarray(self.theta[c, f], backend.xp.float64)
                scores[f, i] = scorer.function(to_host(held_out.margins(theta)), truth, weight)
        return scores

    def mean_theta(self, Cs: npt.ArrayLike) -> Array:
        """Return the mean over the folds of the parameters at these C, one for each fold or all.

        (n_features + 1, n_models) float64, on the device.
        """
        Cs = np.broadcast_to(Cs, len(self.task.folds))
        thetas = [self.theta[self.task.Cs == C, f][0] for f, C in enumerate(Cs)]
        return self.task.data.rows.backend.asarray(np.mean(thetas, axis=0, dtype=np.float64))

    def coefficients(self) -> Array:
        """Return the parameters for X as it was passed, (n_folds, n_Cs, n_models, n_features + 1).

        In the compute dtype, the intercept last; without it where none is fitted.
        """
        data, sets = self.task.data, self.theta.shape[:2]
        columns = np.moveaxis(self.theta, 2, 0).reshape(self.theta.shape[2], -1)
        of_X = data.parameters(columns, sets)
        xp = array_api_compat.array_namespace(of_X["weights"])
        parts = [of_X["weights"]]
        if data.settings.fit_intercept:
            parts.append(xp.expand_dims(of_X["intercept"], axis=-2))
        return xp.permute_dims(xp.concat(parts, axis=-2), (1, 0, 3, 2))
