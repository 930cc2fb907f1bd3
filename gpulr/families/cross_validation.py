"""Training every class on every fold along C, as columns of one matrix."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import WorkersLostError
from gpulr.families.advice import END, ends_of
from gpulr.families.folds import Folds
from gpulr.families.path import Path
from gpulr.families.training_data import TrainingData
from gpulr.solvers import LBFGS, Run, minimize
from gpulr.solvers.continuation import Continuation
from gpulr.solvers.groups import WORKING_BYTES, in_memory
from gpulr.solvers.solution import Solution

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
        Number of models that have ended (converged or not), and of all models.
    C : float
        The C in training.
    seconds : float
        Time since the first iteration.
    """

    done: int
    total: int
    C: float
    seconds: float


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What a search trains: models of each class, on each fold, with each C."""

    data: TrainingData
    folds: Folds
    Cs: npt.NDArray[np.float64]
    memory: int | None = None  # bytes that columns trained at once may take; None: the usual
    solver: LBFGS = field(default_factory=lambda: LBFGS())
    after_step: Callable[[Path], object] = lambda path: None

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """The values of C as they are trained with, the smallest first, (n_Cs,)."""
        return np.argsort(self.Cs, kind="stable")

    @cached_property
    def counts(self) -> Array:
        """The weight sets of the folds, where problems take them."""
        return self.data.sets(self.folds.counts)

    def train(
        self,
        path: Path,
        callbacks: Sequence[Callable[[SearchProgress], object]],
        interrupted: Callable[[], bool],
        *,
        keep: Callable[[Path], object] | None = None,
        seconds: float = 0.0,
    ) -> Path:
        """Train all models, or those that there is time for until an interruption.

        ``keep`` is called with each path that can be gone on with, as ``path`` here, which took
        ``seconds``.
        """
        started = time.perf_counter() - seconds

        def tell(done: int, C: float) -> None:
            now = SearchProgress(done, path.ends.size, C, time.perf_counter() - started)
            for callback in callbacks:
                callback(now)

        if path.complete:  # of a search that goes on with the refitted model
            path = replace(path, stopped=_is_stopped(tell, path.n_trained, float(self.Cs.max())))
        while not (path.complete or path.stopped):
            try:
                further = self.step(path, tell, interrupted, keep)
                self.after_step(further)
            except WorkersLostError as lost:
                return replace(path, lost=lost)
            path = further
        return path

    def begin(self) -> Path:
        """Return the path of which nothing has been trained."""
        rows, n_folds, n_Cs, k = self.data.rows, len(self.folds), len(self.Cs), self.data.n_models
        shape = (n_Cs, n_folds, rows.n_features + 1, k)
        theta = np.zeros(shape, dtype=self.data.settings.dtype)
        budget = WORKING_BYTES if self.memory is None else self.memory
        how: Any = {"width": n_folds, "strict": self.memory is not None}
        groups = tuple(in_memory(k, self.solver, rows, budget, **how))
        return Path(self, groups, theta, np.zeros((n_folds, n_Cs, k), END))

    def step(
        self,
        path: Path,
        tell: Callable[[int, float], None],
        interrupted: Callable[[], bool],
        keep: Callable[[Path], object] | None = None,
    ) -> Path:
        """Train the next group of classes, or the same with the next C, on all folds."""
        number, place = divmod(path.n_steps, len(self.Cs))
        group, c, C, settings = path.groups[number], path.place, path.C, self.data.settings
        shape, unit = (len(self.folds), len(group)), path.unit
        prepared = path.prepared or self.solver.prepare(unit)
        path = replace(path, problem=unit, prepared=prepared)
        problem = replace(unit, C=unit.C * C)
        continuation = path.collected or Continuation(problem.penalty)
        classes = np.tile(np.arange(shape[1]), shape[0])

        def keep_run(run: Run) -> None:
            assert keep is not None
            keep(replace(path, run=run, collected=continuation.so_far()))

        solution = minimize(
            self.solver,
            problem,
            max_iter=settings.max_iter,
            tol=settings.tol / CLOSER,
            callbacks=[lambda now: tell(path.n_trained + int(now.converged.sum()), C)],
            prepared=prepared,
            begin=path.continuation.begin(prepared, classes) if path.continuation else None,
            leaving=continuation.collect,
            interrupted=interrupted,
            checkpoint=None if keep is None else keep_run,
            resumed=path.run,
        )
        if solution.result in ("interrupted", "stopped"):
            return replace(path, stopped=True)
        path.theta[c][:, :, group] = solution.theta.reshape(-1, *shape).transpose(1, 0, 2)
        path.ends[:, c, group] = ends_of(at_tolerance(solution, settings.tol)).reshape(shape)
        last, n_trained = place == len(self.Cs) - 1, path.n_trained + shape[0] * shape[1]
        too_few = path.too_few
        if solution.result == "max_iter" and too_few is None:
            too_few = len(solution.seconds) - 1
        path = replace(
            path,
            too_few=too_few,
            n_steps=path.n_steps + 1,
            n_trained=n_trained,
            problem=None if last else unit,
            continuation=None if last else continuation,
            run=None,
            collected=None,
        )
        if keep is not None:
            keep(path)
        if not solution.converged.all():  # which those that ended so were not told as
            path = replace(path, stopped=_is_stopped(tell, n_trained, C))
        return path


def _is_stopped(tell: Callable[[int, float], None], done: int, C: float) -> bool:
    """Tell callbacks, and return whether one of them ends the search."""
    try:
        tell(done, C)
    except (KeyboardInterrupt, StopIteration):
        return True
    return False


def at_tolerance(solution: Solution, tol: float) -> Solution:
    """Return a solution that was sought to ``tol / CLOSER`` with what it says of ``tol``."""
    converged = solution.gradient_norm[-1] <= tol
    stalled, rounding = solution.stalled & ~converged, solution.rounding & ~converged
    return replace(solution, converged=converged, stalled=stalled, rounding=rounding)
