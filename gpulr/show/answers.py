"""What a model says of rows, beside what is true of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.model.one_vs_all import OneVsAll
from gpulr.show.canvas import labels_of

__all__ = ["Answers"]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a model says of some rows, and whether it is right.

    Attributes
    ----------
    names : list of str
        What the columns of P are about.
    P : (n_rows, n_names) float64
        Each model's own probability; where two classes have one model, 1 − P and P.
    predicted, true : (n_rows, n_names) bool
        Which names were predicted, and which are true: one in each row, or any number of labels.
    confidence : (n_rows,) float64
        Margin of the predicted class, or of the wrong answer that is surest.
    known : bool
        Whether the truth is known; else nothing is true, and nothing right.
    """

    names: list[str]
    P: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.bool_]
    true: npt.NDArray[np.bool_]
    confidence: npt.NDArray[np.float64]
    known: bool

    @classmethod
    def of(cls, model: OneVsAll, Z: npt.NDArray[Any], truth: npt.NDArray[Any] | None) -> Answers:
        """Return what margins Z (n_rows, n_models) say, beside true codes or an indicator."""
        from scipy.special import expit

        Z = Z.astype(np.float64)
        if model.n_models == 1 and not model.multilabel:
            Z = np.hstack([-Z, Z])
        names = np.arange(Z.shape[1])
        true = np.zeros(Z.shape, dtype=np.bool_)
        if model.multilabel:
            predicted = Z > 0
            if truth is not None:
                true = truth.astype(np.bool_)
            confidence = np.where(predicted != true, np.abs(Z), 0.0).max(axis=1)
        else:
            predicted = Z.argmax(axis=1)[:, np.newaxis] == names
            if truth is not None:
                true = truth[:, np.newaxis] == names
            confidence = Z.max(axis=1)
        words = labels_of(model.classes)
        return cls(words, expit(Z), predicted, true, confidence, truth is not None)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether all that is predicted of a row is true, and nothing else is; (n_rows,)."""
        same: npt.NDArray[np.bool_] = (self.predicted == self.true).all(axis=1)
        return same
