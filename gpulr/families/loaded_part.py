"""Rows of one part where they are, loaded and checked, and what all parts are to know of them.

A part is made in stages, each a new part that shares the rows: rows, their labels, their weights.
What is common to all parts, the client finds out from what each answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import NumPyBackend, backend_of, is_sparse, to_host
from gpulr.core.moments import Moments
from gpulr.core.rows import Rows, feature_sums, overview
from gpulr.distributed import Before
from gpulr.errors import named
from gpulr.families.prepared_part import PreparedPart
from gpulr.families.row_hashes import hashes_of
from gpulr.sources.dask_arrays import n_rows
from gpulr.validation.arrays import check_rows, finite_rows
from gpulr.validation.label_values import check_labels
from gpulr.validation.labels import LabelMatrix, Labels, check_indicator, check_row_weight

Array = Any
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RowsSummary:
    """What rows of a part are."""

    n_samples: int
    n_features: int
    dtype: np.dtype[Any]
    nnz: int | None  # of a sparse X


@dataclass(frozen=True, slots=True)
class LabelsSummary:
    """What labels of a part are: classes that its rows have, or labels that they may have.

    Of classes, ``first`` has each one's first row, and ``rows`` how many have it. Of a matrix of
    labels, ``rows`` are (2, n_labels), those that are known to lack and to have each label.
    """

    classes: npt.NDArray[Any]
    rows: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64] | None = None
    n_unknown: int = 0


@dataclass(frozen=True, eq=False)
class LoadedPart:
    """Rows (n, n_features), NumPy's or CSR; and once they are there, labels and weights."""

    name: str
    X: Array  # None: no rows, where their number was not known before
    labels: Any = None  # Labels, first with the classes of this part's rows, or LabelMatrix
    weight: Floats | None = None
    scored: Floats | None = None  # without the weights of classes

    @staticmethod
    def load(name: str, X: Any) -> LoadedPart:
        """Check rows, and return the part; raises DataError that names it."""
        with named(name):
            if not n_rows(X):
                return LoadedPart(name, None)
            X = check_rows(X)
        if not is_sparse(X):  # where a network wrote it, NumPy would compute without BLAS
            X = np.require(to_host(X), requirements="A")
        return LoadedPart(name, X)

    def rows_summary(self) -> RowsSummary | None:
        """Say what the rows are; None where there are none."""
        X = self.X
        if X is None:
            return None
        n_samples, n_features = X.shape
        nnz = int(X.nnz) if is_sparse(X) else None
        return RowsSummary(int(n_samples), int(n_features), X.dtype, nnz)

    def with_labels(
        self, y: Any, matrix: bool, known: npt.NDArray[Any] | None = None
    ) -> LoadedPart:
        """Return the part with labels of its rows, of as many classes as there are here.

        Of a ``matrix`` of labels, with their names where these are ``known``.
        """
        n = int(self.X.shape[0])
        with named(self.name):
            if matrix:
                if known is not None:  # and checked
                    return replace(self, labels=LabelMatrix(known, y))
                names, indicator = check_indicator(y, n)
                indicator = indicator if is_sparse(indicator) else to_host(indicator)
                return replace(self, labels=LabelMatrix(names, indicator))
            classes, codes = np.unique(check_labels(y, n), return_inverse=True)
        return replace(self, labels=Labels(classes, codes.astype(np.int32)))

    def labels_summary(self) -> LabelsSummary:
        """Say what the labels are."""
        labels = self.labels
        if isinstance(labels, LabelMatrix):
            return LabelsSummary(labels.classes, self.kinds(None), n_unknown=labels.n_unknown)
        rows, n_classes = np.bincount(labels.codes), len(labels.classes)
        first = np.full(n_classes, len(labels.codes))
        np.minimum.at(first, labels.codes, np.arange(len(labels.codes)))
        return LabelsSummary(labels.classes, rows, first)

    def kinds(self, rows: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.int64]:
        """Count the rows, or some, known to lack and to have each label, (2, n_labels)."""
        Y = self.labels.indicator if rows is None else self.labels.indicator[rows]
        if is_sparse(Y):
            have = np.asarray(Y.sum(axis=0), dtype=np.int64).ravel()
            return np.stack([Y.shape[0] - have, have])
        return np.stack([np.count_nonzero(kind == Y, axis=0) for kind in (0, 1)])

    def in_classes(self, classes: npt.NDArray[Any]) -> LoadedPart:
        """Return the part with the classes of all parts."""
        if isinstance(self.labels, LabelMatrix):
            return self
        codes = np.searchsorted(classes, self.labels.classes)[self.labels.codes]
        return replace(self, labels=Labels(classes, codes.astype(np.int32)))

    def weighted(self, sample_weight: Any, each: Floats | None) -> LoadedPart:
        """Return the part with the weights of its rows, times those of their classes."""
        n = int(self.X.shape[0])
        with named(self.name):
            scored = None if sample_weight is None else check_row_weight(sample_weight, n)
        weight = np.ones(n) if scored is None else scored
        weight = weight if each is None else weight * each[self.labels.codes]
        return replace(self, weight=weight, scored=scored)

    def weights_summary(self) -> tuple[float, Floats]:
        """Return the sum of weights, and those of the rows of each kind.

        Of rows with one class each (n_classes,), of a matrix of labels (2, n_labels), as
        :meth:`kinds` has them.
        """
        labels, weight = self.labels, self.weight
        if not isinstance(labels, LabelMatrix):
            rows = np.bincount(labels.codes, weight, minlength=len(labels.classes))
            return float(rows.sum() if weight is None else weight.sum()), rows.astype(np.float64)
        if weight is None:
            return float(self.X.shape[0]), self.kinds(None).astype(np.float64)
        Y = labels.indicator
        have = weight @ (Y if is_sparse(Y) else (Y == 1))
        lack = weight.sum() - have if is_sparse(Y) else weight @ (Y == 0)
        return float(weight.sum()), np.stack([lack, have])

    def hashes(self) -> tuple[str, str, str]:
        """Return hashes of rows, labels, and weights of rows alone, as fingerprints have them."""
        return hashes_of(self.X, self.labels, self.scored)

    def overview(
        self, dtype: np.dtype[Any], moments: bool
    ) -> tuple[tuple[Floats, Floats], Moments | None]:
        """Return the extremes and the moments of features; raises DataError for NaN and the like.

        As :func:`gpulr.core.rows.overview` does, and for what is computed in ``dtype``.
        """
        backend = backend_of(self.X)
        with named(self.name):
            known, its = overview(self.X, backend, self.scored, moments=moments)
            finite_rows(self.X, backend, dtype, known=known)
        return known, its

    def feature_sums(self, power: int = 1, center: Floats | None = None) -> tuple[Floats, ...]:
        """Return the sums that standardising needs: see :func:`gpulr.core.rows.feature_sums`."""
        return feature_sums(self.X, backend_of(self.X), power, center)

    def n_weighted(self) -> int:
        """Return how many rows have a weight."""
        n = int(self.X.shape[0])
        return n if self.weight is None else int(np.count_nonzero(self.weight))

    def prepared(
        self, rows: dict[str, Any], unit: float, before: Before, requested: str
    ) -> PreparedPart:
        """Return the part as problems take it.

        Parameters
        ----------
        rows : what :class:`gpulr.core.rows.Rows` has in common
        unit : the mean weight of all rows
        before : what lies in the parts before
        requested : the backend that was asked for
        """
        backend, weight, s = NumPyBackend("numpy", np), self.weight, None
        own = Rows(self.X, backend=backend, **rows)
        if weight is not None:
            s = (weight[:, np.newaxis] / unit).astype(own.dtype)
        targets = self.labels.targets(backend, own.dtype)
        return PreparedPart(self.scored, own, targets, s, before, requested)

    def first_rows(self, n: int) -> Array:
        """Return the first rows, as they were passed."""
        return self.X[:n]
