"""What differs from model to model of a problem: targets and row weights, a block at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gpulr import logistic
from gpulr.backend import Backend, is_sparse

Array = Any
UNKNOWN = 2  # in a matrix of labels: whether the row has the label is not known


@dataclass(frozen=True, eq=False)
class ClassTargets:
    """Targets of rows that have one class each: Y = table[codes, :].

    The table is (n_classes, n_models) of 0 and 1 in the compute dtype, codes (n_samples,) int32.
    """

    codes: Array
    table: Array
    backend: Backend

    @property
    def n_models(self) -> int:
        """Number of models."""
        return int(self.table.shape[1])

    def block(self, rows: slice) -> Array:
        """Return Y of a block, (n_rows, n_models) in the compute dtype."""
        return self.backend.xp.take(self.table, self.codes[rows], axis=0)

    def select(self, models: Array) -> ClassTargets:
        """Return the targets of some of the models."""
        return replace(self, table=self.backend.xp.take(self.table, models, axis=1))

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

    def select(self, models: Array) -> LabelTargets:
        """Return the targets of some of the models."""
        return replace(self, label=self.backend.xp.take(self.label, models))

    def sample(self, index: Array) -> LabelTargets:
        """Return the targets of some of the rows."""
        return replace(self, indicator=self.backend.take_rows(self.indicator, index))


Targets = ClassTargets | LabelTargets


@dataclass(frozen=True, eq=False)
class RowWeights:
    """Weights of the rows: base, or base ∘ weight_sets[:, set_index] where they differ by model.

    Folds of a cross-validation are sets of zeros and ones, bootstrap replicates sets of counts. By
    ``positive`` rows weigh for a model what it is to answer: see :func:`logistic.entry_weights`.
    """

    base: Array | None  # (n_samples, 1) in the compute dtype; None: all ones
    weight_sets: Array | None  # (n_samples, n_sets), any real dtype
    set_index: Array | None  # (n_models,) int: the set that each model uses
    backend: Backend
    dtype: Any  # the compute dtype
    # (n_models,) in the compute dtype; None: the same for 0 and 1, and every entry is known.
    positive: Array | None = None

    def shared(self, rows: slice) -> Array | None:
        """Return what all models share, (n_rows, 1), or None where that is all ones."""
        return None if self.base is None else self.base[rows, :]

    def block(self, rows: slice) -> Array | None:
        """Return the weights of a block, (n_rows, 1) or (n_rows, n_models); None: all ones.

        Without what ``positive`` multiplies them by.
        """
        base = self.shared(rows)
        if self.weight_sets is None:
            return base
        xp = self.backend.xp
        sets = xp.astype(self.weight_sets[rows, :], self.dtype)
        return xp.take(sets if base is None else base * sets, self.set_index, axis=1)

    def of_entries(self, rows: slice, targets: Targets) -> Array | None:
        """Return what the rows of a block weigh for each model, shaped as :meth:`block` says."""
        s = self.block(rows)
        if self.positive is None:
            return s
        return logistic.entry_weights(targets.block(rows), self.positive, s)

    def select(self, models: Array) -> RowWeights:
        """Return the weights that some of the models use."""
        set_index, positive = (
            None if part is None else self.backend.xp.take(part, models)
            for part in (self.set_index, self.positive)
        )
        return replace(self, set_index=set_index, positive=positive)

    def sample(self, index: Array) -> RowWeights:
        """Return the weights of some of the rows."""
        base, sets = (
            None if part is None else self.backend.xp.take(part, index, axis=0)
            for part in (self.base, self.weight_sets)
        )
        return replace(self, base=base, weight_sets=sets)
