"""Margins of rows that a model has not seen, beside what is true of these: checked, by models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import is_sparse, to_host
from gpulr.errors import DataError, ParameterWarning, warn
from gpulr.model.record import Trained
from gpulr.validation.conversion import as_numpy, real_numbers
from gpulr.validation.label_values import codes_of
from gpulr.validation.labels import check_indicator, check_row_weight
from gpulr.words import counted, listed

Floats = npt.NDArray[np.float64]
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

    def blocks(self) -> Iterator[tuple[slice, Floats, npt.NDArray[np.bool_], Floats]]:
        """Yield some models at a time, a row for each: which, margins, truth and weights.

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
            yield some, Z, truth, weight if self.weight is None else weight * self.weight


def held_out(model: Trained, Z: Any, y: Any, sample_weight: Any) -> HeldOut:
    """Check margins of a model and the labels of their rows.

    Raises DataError where they are not such, or do not belong together; warns of what looks like
    probabilities.
    """
    Z = real_numbers(as_numpy(Z, "Z"), "Z")
    if Z.ndim == 1 and model.n_models == 1:
        Z = Z[:, np.newaxis]
    if Z.ndim != 2 or Z.shape[1] != model.n_models or not len(Z):
        raise DataError(
            f"Z has shape {Z.shape}; expected margins, a row for each row and "
            f"{counted(model.n_models, 'column')}, as decision_function returns them."
        )
    least, most = Z.min(), Z.max()
    if not np.isfinite(least) or not np.isfinite(most):
        raise DataError(
            "Z holds NaN or infinity; expected margins of rows that were all predicted."
        )
    if least >= 0 and most <= 1 and least < most:
        warn(
            "Z lies between 0 and 1, as probabilities do; expected margins, which are negative "
            'where a label is improbable: pass method="decision_function" to cross_val_predict.',
            ParameterWarning,
        )
    n_rows = len(Z)
    weight = None if sample_weight is None else check_row_weight(sample_weight, n_rows)
    if model.multilabel:
        _, Y = check_indicator(y, n_rows, model.classes)
        truth = Y.toarray() if is_sparse(Y) else to_host(Y)
    else:
        truth = codes_of(y, n_rows, model.classes)
    positive = np.arange(len(model.classes))[-model.n_models :]
    return HeldOut(Z, truth, weight, positive)


def names_of(model: Trained, which: npt.NDArray[np.bool_]) -> str:
    """Return the names of some models' labels, ten at most, for warnings."""
    return listed(model.classes[-model.n_models :][which].tolist())
