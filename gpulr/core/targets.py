"""What differs from model to model of a problem: targets and row weights, a block at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from gpulr import logistic
from gpulr.backend import Backend, is_sparse

Array = Any
UNKNOWN = 2  # in a matrix of labels: whether the row has the label is not known


@dataclass(frozen=True, eq=False)
class ClassTargets:
    """Targets of rows that have one class each: Y = table[codes, :].

    The table is (n_classes, n_models) of 0 and 1 in the compute dtype, codes (n_samples,) int32.
    ``positive`` (n_models,) in the compute dtype is what a row weighs that a model is to answer
    with 1, beside one that it is to answer with 0; None: as much.
    """

    codes: Array
    table: Array
    backend: Backend
    positive: Array | None = None

    @property
    def n_models(self) -> int:
        """Number of models."""
        return int(self.table.shape[1])

    def block(self, rows: slice) -> Array:
        """Return Y of a block, (n_rows, n_models) in the compute dtype."""
        return self.backend.xp.take(self.table, self.codes[rows], axis=0)

    @cached_property
    def signed_table(self) -> Array:
        """What :meth:`signed` has for each class, (n_classes, n_models)."""
        return _signed(self.table, self.positive, self.backend.xp)

    def signed(self, rows: slice) -> Array:
        """Return the signed targets of a block: see :func:`gpulr.logistic.unsigned`."""
        return self.backend.xp.take(self.signed_table, self.codes[rows], axis=0)

    def select(self, models: Array) -> ClassTargets:
        """Return the targets of some of the models."""
        table, positive = (
            None if part is None else self.backend.xp.take(part, models, axis=part.ndim - 1)
            for part in (self.table, self.positive)
        )
        return replace(self, table=table, positive=positive)

    def sample(self, index: Array) -> ClassTargets:
        """Return the targets of some of the rows."""
        return replace(self, codes=self.backend.xp.take(self.codes, index))


@dataclass(frozen=True, eq=False)
class LabelTargets:
    """Targets of rows that have any number of labels: Y = indicator[:, label].

    The indicator is (n_samples, n_labels) of 0 and 1, and 2 for what is not known, in any dtype, or
    a SciPy CSR array, on NumPy; label (n_models,) int is the one that each model predicts, and
    dtype the compute dtype.
    """

    indicator: Array
    label: Array
    backend: Backend
    dtype: Any
    positive: Array | None = None  # as ClassTargets has it; all are known where it is None

    @property
    def n_models(self) -> int:
        """Number of models."""
        return int(self.label.shape[0])

    def block(self, rows: slice) -> Array:
        """Return Y of a block, (n_rows, n_models) in the compute dtype."""
        xp, part = self.backend.xp, self.indicator[rows, :]
        if is_sparse(part):
            return part[:, self.label].toarray().astype(self.dtype)
        return xp.astype(xp.take(part, self.label, axis=1), self.dtype)

    def signed(self, rows: slice) -> Array:
        """Return the signed targets of a block: see :func:`gpulr.logistic.unsigned`."""
        return _signed(self.block(rows), self.positive, self.backend.xp)

    def select(self, models: Array) -> LabelTargets:
        """Return the targets of some of the models."""
        label, positive = (
            None if part is None else self.backend.xp.take(part, models)
            for part in (self.label, self.positive)
        )
        return replace(self, label=label, positive=positive)

    def sample(self, index: Array) -> LabelTargets:
        """Return the targets of some of the rows."""
        return replace(self, indicator=self.backend.take_rows(self.indicator, index))


Targets = ClassTargets | LabelTargets


def _signed(Y: Array, positive: Array | None, xp: Any) -> Array:
    """Return what positives weigh where Y is 1, -1 where it is 0, and 0 where it is 2."""
    assert positive is not None  # else Y says all that there is
    T = Y * positive  # choosing takes NumPy twice as long; products and sums with 0 are exact
    T += Y - 1.0
    T *= xp.astype(Y < UNKNOWN, Y.dtype)
    return T


@dataclass(frozen=True, eq=False)
class RowWeights:
    """Weights of the rows: base, or base ∘ weight_sets[:, set_index] where they differ by model.

    Folds of a cross-validation are sets of zeros and ones, bootstrap replicates sets of counts.
    What rows weigh by what a model is to answer, the targets say.
    """

    base: Array | None  # (n_samples, 1) in the compute dtype; None: all ones
    weight_sets: Array | None  # (n_samples, n_sets), any real dtype
    set_index: Array | None  # (n_models,) int: the set that each model uses
    backend: Backend
    dtype: Any  # the compute dtype

    def shared(self, rows: slice) -> Array | None:
        """Return what all models share, (n_rows, 1), or None where that is all ones."""
        return None if self.base is None else self.base[rows, :]

    def block(self, rows: slice) -> Array | None:
        """Return the weights of a block, (n_rows, 1) or (n_rows, n_models); None: all ones."""
        base = self.shared(rows)
        if self.weight_sets is None:
            return base
        xp = self.backend.xp
        sets = xp.astype(self.weight_sets[rows, :], self.dtype)
        return xp.take(sets if base is None else base * sets, self.set_index, axis=1)

    def of_entries(self, rows: slice, targets: Targets) -> Array | None:
        """Return :meth:`block` times what rows weigh by the targets, where these say so."""
        s = self.block(rows)
        return s if targets.positive is None else logistic.unsigned(targets.signed(rows), s)[1]

    def select(self, models: Array) -> RowWeights:
        """Return the weights that some of the models use."""
        if self.set_index is None:
            return self
        return replace(self, set_index=self.backend.xp.take(self.set_index, models))

    def sample(self, index: Array) -> RowWeights:
        """Return the weights of some of the rows."""
        base, sets = (
            None if part is None else self.backend.xp.take(part, index, axis=0)
            for part in (self.base, self.weight_sets)
        )
        return replace(self, base=base, weight_sets=sets)
