"""The same rows as one problem, and as one whose rows lie in parts."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np

from gpulr.backend import NumPyBackend, is_sparse
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows, extremes, standardized
from gpulr.core.targets import ClassTargets, LabelTargets
from gpulr.distributed import Before, Elsewhere, Here, Part, PartitionedProblem, Parts


class Losing(Here):
    """Parts in this process, some of which are made anew from pickles at some of the trips."""

    def __init__(self, parts, loses=lambda trip, part: False):
        super().__init__(parts)
        self.loses, self.lost = loses, 0

    def _answers(self, method, calls):
        for number, _ in calls:
            if self.loses(self.counts.trips, number):
                self.parts[number] = pickle.loads(pickle.dumps(self.parts[number]))
                self.lost += 1
        return super()._answers(method, calls)


def targets_of(y, backend, dtype):
    """Return the targets of class indices or of a matrix of labels."""
    if getattr(y, "ndim", 1) == 2:
        return LabelTargets(y, np.arange(y.shape[1], dtype=np.int32), backend, dtype)
    table = np.eye(int(y.max()) + 1)
    table = table[:, -(table.shape[1] if table.shape[1] > 2 else 1) :]
    return ClassTargets(y.astype(np.int32), table.astype(dtype), backend)


class Parted:
    """Rows X and labels y, whole and cut at some rows."""

    def __init__(
        self,
        X,
        y,
        edges,
        *,
        weight=None,
        dtype=np.float32,
        standardize=False,
        largest_C=None,
        loses=lambda trip, part: False,
        source=lambda X: X,
    ):
        backend = NumPyBackend("numpy", np)
        known = extremes(X, backend)
        rows = Rows(X, 1.0, None, backend, dtype, known=known)
        if standardize:
            rows = replace(standardized(X, backend, dtype), known=known)
        if largest_C is not None:
            rows = rows.equilibrated(centered=True, largest_C=largest_C)
        self.rows, self.targets = rows, targets_of(y, backend, dtype)
        if weight is not None:
            weight = (weight / weight.mean()).astype(dtype)[:, np.newaxis]
        self.weight = weight
        codes = self.targets.codes if isinstance(self.targets, ClassTargets) else 0 * y[:, 0]
        codes = np.zeros(len(X.indptr) - 1 if is_sparse(X) else len(X), int) + codes
        n_classes = int(codes.max()) + 1
        parts = []
        for a, b in pairwise([0, *edges, X.shape[0]]):
            before = Before(
                np.bincount(codes[:a], minlength=n_classes),
                a if weight is None else int(np.count_nonzero(weight[:a])),
            )
            own = self.targets.sample(np.arange(a, b))
            some = None if weight is None else weight[a:b]
            parts.append(Part(replace(rows, X=source(X[a:b])), own, some, before, "numpy"))
        self.engine = Losing(parts, loses)
        nnz = X.nnz if is_sparse(X) else None
        self.parts = Parts(
            self.engine,
            replace(rows, X=Elsewhere(X.shape, X.dtype, nnz=nnz)),
            self.targets.sample(np.arange(0)),
        )

    def problems(self, C, *, models=None, sets=None, rule=None, set_index=None, **how):
        """Return the problem, whole and in parts."""
        models = np.arange(self.targets.n_models) if models is None else models
        C = np.full(len(models), C, float)
        whole = Problem.of(
            self.rows,
            self.targets.select(models),
            C,
            sample_weight=self.weight,
            weight_sets=sets,
            set_index=set_index,
            **how,
        )
        parted = PartitionedProblem.of(
            self.parts, C, models=models, rule=rule, set_index=set_index, **how
        )
        return whole, parted
