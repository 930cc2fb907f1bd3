"""Training every class on every fold along C, as columns of one matrix, and scoring them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.core.rows import Rows
from gpulr.families.folds import Folds
from gpulr.families.settings import Settings
from gpulr.families.training import folded, weighted_problem
from gpulr.model.scores import Scorer
from gpulr.solvers import LBFGS, minimize
from gpulr.solvers.continuation import Continuation
from gpulr.solvers.driver import Progress
from gpulr.solvers.lbfgs import Prepared
from gpulr.validation.labels import LabelMatrix, Labels

__all__ = ["CLOSER", "CrossValidation", "SearchProgress"]

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


class CrossValidation:
    """Models of each class, on each fold, with each C.

    Parameters
    ----------
    rows, labels, folds
        Of the same n_samples.
    weight : (n_samples,) float64 or None
    Cs : (n_Cs,) float64
    memory : int
        Bytes that columns trained together may take; classes are trained in groups accordingly.

    Attributes
    ----------
    theta : (n_Cs, n_folds, n_features + 1, n_models) in the compute dtype, NumPy
        Where models ended; of the scaled rows.
    n_iter, converged, stalled, rounding, cost, gradient_norm : (n_folds, n_Cs, n_models)
    done : (n_Cs,) bool
        The values of C with which all classes have been trained.
    prepared : Prepared or None
        What all models share, once training has begun; it does not depend on the labels.
    """

    def __init__(
        self,
        rows: Rows,
        labels: Labels | LabelMatrix,
        folds: Folds,
        weight: npt.NDArray[np.float64] | None,
        settings: Settings,
        Cs: npt.NDArray[np.float64],
        memory: int,
    ) -> None:
        self.rows, self.labels, self.folds = rows, labels, folds
        self.weight, self.settings, self.Cs = weight, settings, Cs
        self.solver = LBFGS()
        shape = (len(folds), len(Cs), labels.n_models)
        parameters = (len(Cs), len(folds), rows.n_features + 1, labels.n_models)
        self.theta = np.zeros(parameters, dtype=settings.dtype)
        self.n_iter = np.zeros(shape, dtype=np.int64)
        self.converged, self.stalled, self.rounding = np.zeros((3, *shape), dtype=np.bool_)
        self.cost, self.gradient_norm = np.zeros((2, *shape))
        self.done = np.zeros(len(Cs), dtype=np.bool_)
        self.prepared: Prepared | None = None
        columns = labels.n_models * len(folds)
        available = max(1, rows.backend.available_bytes(memory))
        n_groups = -(-columns * self.solver.column_bytes(rows) // available)
        n_groups = min(max(1, n_groups), labels.n_models)
        self.groups = np.array_split(np.arange(labels.n_models), n_groups)

    def train(
        self,
        callbacks: Sequence[Callable[[SearchProgress], object]],
        interrupted: Callable[[], bool],
    ) -> bool:
        """Train all models; returns whether that was not interrupted."""
        backend, started = self.rows.backend, time.perf_counter()
        targets = self.labels.targets(backend, self.rows.dtype)
        sets = backend.asarray(self.folds.counts)
        n_done, n_folds = 0, len(self.folds)

        def tell(done: int, C: float) -> None:
            now = SearchProgress(done, self.n_iter.size, C, time.perf_counter() - started)
            for callback in callbacks:
                callback(now)

        for number, group in enumerate(self.groups):
            models = backend.asarray(np.tile(group, n_folds).astype(np.int32))
            fold_of = np.repeat(np.arange(n_folds, dtype=np.int32), len(group))
            problem = weighted_problem(
                self.rows,
                targets.select(models),
                1.0,
                self.weight,
                intercept=self.settings.fit_intercept,
                weight_sets=sets,
                set_index=backend.asarray(fold_of),
            )
            unit = problem.C
            if self.prepared is None:
                self.prepared = self.solver.prepare(problem)
            continuation: Continuation | None = None
            for c in np.argsort(self.Cs, kind="stable"):
                C = float(self.Cs[c])
                problem = replace(problem, C=unit * C)

                def count(progress: Progress, C: float = C, before: int = n_done) -> None:
                    tell(before + int(progress.converged.sum()), C)

                solution = minimize(
                    self.solver,
                    problem,
                    max_iter=self.settings.max_iter,
                    tol=self.settings.tol / CLOSER,
                    callbacks=[count],
                    prepared=self.prepared,
                    begin=None if continuation is None else continuation.begin(self.prepared),
                    leaving=(following := Continuation(self.solver, problem)).collect,
                    interrupted=interrupted,
                )
                continuation = following
                if solution.result in ("interrupted", "stopped"):
                    return False
                parts = solution.theta.reshape(-1, n_folds, len(group))
                self.theta[c][:, :, group] = parts.transpose(1, 0, 2)
                converged = solution.gradient_norm[-1] <= self.settings.tol
                ends = {
                    "n_iter": solution.n_iter,
                    "converged": converged,
                    "stalled": solution.stalled & ~converged,
                    "rounding": solution.rounding & ~converged,
                    "cost": solution.cost[-1],
                    "gradient_norm": solution.gradient_norm[-1],
                }
                for name, end in ends.items():
                    getattr(self, name)[:, c, group] = end.reshape(n_folds, len(group))
                self.done[c] = number == len(self.groups) - 1
                n_done += len(fold_of)
                if not solution.converged.all():  # which those that ended so were not told as
                    try:
                        tell(n_done, C)
                    except (KeyboardInterrupt, StopIteration):
                        return False
        return True

    def score(
        self, scorer: Scorer, sample_weight: npt.NDArray[np.float64] | None
    ) -> npt.NDArray[np.float64]:
        """Return the scores on held-out rows of the values of C that are done, (n_folds, n_done).

        ``sample_weight`` (n_samples,) counts in the scores; None: all rows the same.
        """
        backend, done = self.rows.backend, np.flatnonzero(self.done)
        scores = np.zeros((len(self.folds), len(done)))
        if not len(done):
            return scores
        for f, test in enumerate(self.folds.tests):
            held_out = self.rows.sample(backend.asarray(test))
            truth = self.labels.truth(test)
            weight = np.ones(len(test)) if sample_weight is None else sample_weight[test]
            for i, c in enumerate(done):
                theta = backend.asarray(self.theta[c, f], backend.xp.float64)
                scores[f, i] = scorer.function(to_host(held_out.margins(theta)), truth, weight)
        return scores

    def mean_theta(self, C: float) -> npt.NDArray[Any]:
        """Return the mean over the folds of the parameters at C, (n_features + 1, n_models)."""
        mean: npt.NDArray[Any] = self.theta[self.Cs == C][0].mean(axis=0, dtype=np.float64)
        return mean

    def coefficients(self) -> npt.NDArray[Any]:
        """Return the parameters for X as it was passed, (n_folds, n_Cs, n_models, n_features + 1).

        In the compute dtype, the intercept last; without it where none is fitted.
        """
        n_Cs, n_folds, _, n_models = self.theta.shape
        columns = np.moveaxis(self.theta, 2, 0).reshape(self.theta.shape[2], -1)
        of_X = folded(columns, self.rows)
        parts = [of_X["weights"]]
        if self.settings.fit_intercept:
            parts.append(of_X["intercept"][np.newaxis])
        coefficients = np.concatenate(parts).astype(self.theta.dtype)
        return coefficients.T.reshape(n_Cs, n_folds, n_models, -1).swapaxes(0, 1)
