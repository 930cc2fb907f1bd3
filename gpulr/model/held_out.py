"""Margins of rows that a model has not seen, beside what is true of these: checked, by models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import is_sparse, to_host
from gpulr.distributed import Engine
from gpulr.errors import DataError, ParameterWarning, warn
from gpulr.model.labelled_blocks import sums_of_blocks
from gpulr.model.ranked import as_they_are, ranked
from gpulr.model.record import Trained
from gpulr.sources.dask_arrays import computed, current_client, dask_of
from gpulr.validation.conversion import as_numpy, real_numbers
from gpulr.validation.label_values import codes_of
from gpulr.validation.labels import check_indicator, check_row_weight
from gpulr.words import counted, listed

Floats = npt.NDArray[np.float64]
# Margins, truth and weights of some models, (n_models, n_rows) -> arrays (n_models,)
Function = Callable[[Floats, npt.NDArray[np.bool_], Floats], Sequence[Floats]]
_ENTRIES = 2**19  # of a block of models: 4 MiB for each array of them


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Margins and labels of rows that a model has not seen.

    Attributes
    ----------
    Z : (n_rows, n_models)
        Margins, real and finite.
    truth : (n_rows,) class indices, or (n_rows, n_models) of 0, 1 and 2 (unknown)
    weight : (n_rows,) float64, or None where all are 1
    positive : (n_models,)
        The classes that models tell from all others, of one class for each row.
    """

    Z: npt.NDArray[Any]
    truth: npt.NDArray[Any]
    weight: Floats | None
    positive: npt.NDArray[np.int64]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.Z)

    def of_models(self, function: Function) -> list[Floats]:
        """Return what a function says of all models, each of its results (n_models,)."""
        found = [function(*some) for some in self._blocks()]
        return [np.concatenate(each) for each in zip(*found, strict=True)]

    def _blocks(self) -> Iterator[tuple[Floats, npt.NDArray[np.bool_], Floats]]:
        """Yield margins, truth and weights of some models at a time, a row for each.

        An entry that is not known has weight 0.
        """
        n_rows, n_models = self.Z.shape
        step = max(1, _ENTRIES // n_rows)
        for start in range(0, n_models, step):
            some = slice(start, min(start + step, n_models))
            Z = np.ascontiguousarray(self.Z[:, some].T, dtype=np.float64)
            if self.truth.ndim == 1:
                truth = self.truth == self.positive[some, np.newaxis]
                weight = np.ones(Z.shape)
            else:
                values = np.ascontiguousarray(self.truth[:, some].T)
                truth, weight = values == 1, (values <= 1).astype(np.float64)
            yield Z, truth, weight if self.weight is None else weight * self.weight


@dataclass(frozen=True, eq=False)
class HeldOutBlocks:
    """The same where margins are blocks of a Dask array, on the workers of a cluster."""

    engine: Engine  # of LabelledBlock
    n_rows: int
    n_models: int

    def of_models(self, function: Function) -> list[Floats]:
        """Return what a function says of all models, each by all of its margins at one worker."""
        sizes = self.n_models, self.n_models * self.n_rows
        how = partial(_of_one, function), *sizes, "ranked_columns", as_they_are
        return ranked(self.engine, *how)[:-1]


def _of_one(function: Function, z: Any, y: Any, w: Any, at: Any) -> tuple[float, ...]:
    one = z[np.newaxis].astype(np.float64), y[np.newaxis] == 1, w[np.newaxis].astype(np.float64)
    return tuple(float(each[0]) for each in function(*one))


def held_out(model: Trained, Z: Any, y: Any, sample_weight: Any) -> HeldOut | HeldOutBlocks:
    """Check margins of a model and the labels of their rows.

    Raises DataError where they are not such, or do not belong together; warns of what looks like
    probabilities.
    """
    lazy = dask_of(Z)
    if lazy is not None and current_client() is not None:
        read = partial(_read, model)
        sums, engine = sums_of_blocks(lazy, y, sample_weight, read, _outside, name="Z", keep=True)
        n_rows, outside, inside = map(int, sums)
        _tell_probabilities(seems=inside > 0 and not outside)
        return HeldOutBlocks(engine, n_rows, model.n_models)
    Z, truth, weight = _read(model, *map(computed, (Z, y, sample_weight)))
    least, most = Z.min(), Z.max()
    _tell_probabilities(seems=least >= 0 and most <= 1 and least < most)
    positive = np.arange(len(model.classes))[-model.n_models :]
    return HeldOut(Z, truth, weight, positive)


def _outside(Z: Any, truth: Any, weight: Any) -> tuple[int, int, int]:
    """Return how many rows there are, and margins that are no, or some, probability."""
    inside = np.count_nonzero((Z > 0) & (Z < 1))
    return len(Z), int(np.count_nonzero((Z < 0) | (Z > 1))), int(inside)


def _tell_probabilities(*, seems: bool) -> None:
    if seems:
        warn(
            "Z lies between 0 and 1, as probabilities do; expected margins, which are negative "
            'where a label is improbable: pass method="decision_function" to cross_val_predict.',
            ParameterWarning,
        )


def _read(model: Trained, Z: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Floats | None]:
    """Return margins, truth and weights, checked."""
    Z = real_numbers(as_numpy(Z, "Z"), "Z")
    if Z.ndim == 1 and model.n_models == 1:
        Z = Z[:, np.newaxis]
    if Z.ndim != 2 or Z.shape[1] != model.n_models or not len(Z):
        raise DataError(
            f"Z has shape {Z.shape}; expected margins, a row for each row and "
            f"{counted(model.n_models, 'column')}, as decision_function returns them."
        )
    if not np.isfinite(Z.min()) or not np.isfinite(Z.max()):
        raise DataError(
            "Z holds NaN or infinity; expected margins of rows that were all predicted."
        )
    n_rows = len(Z)
    weight = None if sample_weight is None else check_row_weight(sample_weight, n_rows)
    if model.multilabel:
        _, Y = check_indicator(y, n_rows, model.classes)
        truth = Y.toarray() if is_sparse(Y) else to_host(Y)
    else:
        truth = codes_of(y, n_rows, model.classes)
    return Z, truth, weight


def names_of(model: Trained, which: npt.NDArray[np.bool_]) -> str:
    """Return the names of some models' labels, ten at most, for warnings."""
    return listed(model.classes[-model.n_models :][which].tolist())
