"""Training every class on every fold along C, as columns of one matrix, and scoring them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import backend_of
from gpulr.core.problem import Problem
from gpulr.errors import WorkersLostError
from gpulr.families.advice import END, ends_of
from gpulr.families.folds import Folds
from gpulr.families.partitioned_data import PartitionedData
from gpulr.families.scoring import weight_of
from gpulr.families.training_data import TrainingData
from gpulr.model.scores import Scorer
from gpulr.solvers import LBFGS, minimize
from gpulr.solvers.continuation import Continuation
from gpulr.solvers.groups import WORKING_BYTES, in_memory
from gpulr.solvers.lbfgs_state import Prepared
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
    """What a search trains: models of each class, on each fold, with each C."""

    data: TrainingData
    folds: Folds
    Cs: npt.NDArray[np.float64]
    memory: int | None = None  # bytes that columns trained at once may take; None: the usual
    solver: LBFGS = field(default_factory=lambda: LBFGS())
    after_step: Callable[[Path], object] = lambda path: None

    @cached_property
    def groups(self) -> list[npt.NDArray[np.int64]]:
        """Classes that are trained at once."""
        budget = WORKING_BYTES if self.memory is None else self.memory
        how: Any = {"width": len(self.folds), "strict": self.memory is not None}
        return in_memory(self.data.n_models, self.solver, self.data.rows, budget, **how)

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """The values of C as they are trained with, the smallest first, (n_Cs,)."""
        return np.argsort(self.Cs, kind="stable")

    @cached_property
    def _counts(self) -> Array:
        return self.data.sets(self.folds.counts)

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
            try:
                further = self.step(path, tell, interrupted)
                self.after_step(further)
            except WorkersLostError as lost:
                return replace(path, lost=lost)
            path = further
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
        C, shape = float(self.Cs[c]), (len(self.folds), len(group))
        unit = path.problem or self.data.problem(1.0, weight_sets=self._counts, models=group)
        prepared = path.prepared or self.solver.prepare(unit)
        problem = replace(unit, C=unit.C * C)
        continuation, classes = Continuation(problem), np.tile(np.arange(shape[1]), shape[0])
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
        )
        if solution.result in ("interrupted", "stopped"):
            return replace(path, prepared=prepared, stopped=True)
        path.theta[c][:, :, group] = solution.theta.reshape(-1, *shape).transpose(1, 0, 2)
        path.ends[:, c, group] = ends_of(at_tolerance(solution, settings.tol)).reshape(shape)
        last, n_trained = place == len(self.Cs) - 1, path.n_trained + shape[0] * shape[1]
        if not solution.converged.all():  # which those that ended so were not told as
            try:
                tell(n_trained, C)
            except (KeyboardInterrupt, StopIteration):
                path = replace(path, stopped=True)
        return replace(
            path,
            n_steps=path.n_steps + 1,
            n_trained=n_trained,
            problem=None if last else unit,
            prepared=prepared,
            continuation=None if last else continuation,
        )


def at_tolerance(solution: Solution, tol: float) -> Solution:
    """Return a solution that was sought to ``tol / CLOSER`` with what it says of ``tol``."""
    converged = solution.gradient_norm[-1] <= tol
    stalled, rounding = solution.stalled & ~converged, solution.rounding & ~converged
    return replace(solution, converged=converged, stalled=stalled, rounding=rounding)


@dataclass(frozen=True, eq=False)
class Path:
    """How far a search has come along C: all that is needed to go on.

    The two arrays are those of the steps before, with more filled in. They hold where models ended,
    (n_Cs, n_folds, n_features + 1, n_models) of the scaled rows in the compute dtype, and how,
    (n_folds, n_Cs, n_models) of END. A step trains a group of classes with one C; steps go through
    all C of a group, then to the next group.
    """

    task: CrossValidation
    theta: npt.NDArray[Any]
    ends: npt.NDArray[Any]
    n_steps: int = 0
    n_trained: int = 0  # models
    problem: Problem | None = None  # of the group that is in training, with C = 1
    prepared: Prepared | None = None  # what all models share; it does not depend on the labels
    continuation: Continuation | None = None  # where the group ended with the last C
    stopped: bool = False  # by a callback or an interrupt
    lost: WorkersLostError | None = None  # what ended it, where the rows are elsewhere
    # By the place of C, of those that were scored as soon as they were done: (n_folds, …).
    scores: dict[int, npt.NDArray[np.float64]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether all models have been trained."""
        return self.n_trained == self.ends.size

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """The values of C with which all classes have been trained, (n_Cs,)."""
        n_Cs = len(self.task.Cs)
        done = np.zeros(n_Cs, dtype=np.bool_)
        done[self.task.order[: max(0, self.n_steps - (len(self.task.groups) - 1) * n_Cs)]] = True
        return done

    def score(self, scorer: Scorer, *, per_model: bool = False) -> npt.NDArray[np.float64]:
        """Return the scores on held-out rows of the values of C that are done, (n_folds, n_done).

        Or (n_folds, n_done, n_models), of each model by itself.
        """
        data, done = self.task.data, np.flatnonzero(self.done).tolist()
        tests, n_folds = self.task.folds.tests, len(self.task.folds)
        function = scorer.per_model if per_model else scorer.function
        scores = np.zeros((n_folds, len(done), *((data.n_models,) if per_model else ())))
        if isinstance(data, PartitionedData):
            rule = self.task.folds.counts
            new = [c for c in done if c not in self.scores]
            found = data.scores(rule, scorer, self.theta[new], per_model=per_model)
            self.scores.update(zip(new, np.moveaxis(found, 1, 0), strict=True))
            for i, c in enumerate(done):
                scores[:, i] = self.scores[c]
            return scores
        for f, test in enumerate(tests if len(done) else ()):
            truth = data.inputs.labels.truth(test)
            weight = weight_of(data.inputs, test)
            for i, Z in enumerate(data.margins((self.theta[c, f] for c in done), test)):
                scores[f, i] = function(Z, truth, weight)
        return scores

    def mean_theta(self, Cs: npt.ArrayLike) -> Array:
        """Return the mean over the folds of the parameters at these C.

        ``Cs`` is one C, or broadcasts to one for each fold and model, (n_folds, n_models).
        (n_features + 1, n_models) float64, on the device.
        """
        _, n_folds, _, k = self.theta.shape
        chosen = np.broadcast_to(Cs, (n_folds, k))[..., np.newaxis]
        index = np.argmax(chosen == self.task.Cs, axis=-1)  # (n_folds, n_models)
        thetas = self.theta[index, np.arange(n_folds)[:, np.newaxis], :, np.arange(k)]
        theta = np.ascontiguousarray(thetas.mean(axis=0, dtype=np.float64).T)
        return self.task.data.rows.backend.asarray(theta)

    def coefficients(self) -> Array:
        """Return the parameters for X as it was passed, of the values of C that are done.

        (n_folds, n_done, n_models, n_features + 1) in the compute dtype, the intercept last;
        without it where none is fitted.
        """
        data, theta = self.task.data, self.theta[self.done]
        sets, columns = theta.shape[:2], np.moveaxis(theta, 2, 0).reshape(theta.shape[2], -1)
        of_X = data.parameters(columns, sets)
        parts, here = [of_X["weights"]], backend_of(of_X["weights"])
        xp = here.xp
        with here.activate():
            if data.settings.fit_intercept:
                parts.append(xp.expand_dims(of_X["intercept"], axis=-2))
            return xp.permute_dims(xp.concat(parts, axis=-2), (1, 0, 3, 2))
