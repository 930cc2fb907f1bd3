"""Whether training can begin at a trained model."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpulr.backend import to_host
from gpulr.errors import ParameterError
from gpulr.model.one_vs_all import OneVsAll
from gpulr.validation.labels import LabelMatrix, Labels
from gpulr.words import counted


def check_start(start: Any, labels: Labels | LabelMatrix, n_features: int) -> OneVsAll | None:
    """Return the model to begin at, or raise ParameterError if it is none of these labels and rows.

    Only the weights have to fit: a model of other rows, settings or backend is as good a start.
    """
    if start is None:
        return None
    if not isinstance(start, OneVsAll):
        raise ParameterError(
            f"start is a {type(start).__name__}; expected a model that gpulr.train returned, or "
            "that gpulr.load read."
        )
    if start.n_features != n_features:
        raise ParameterError(
            f"start is a model of {counted(start.n_features, 'feature')}, and X has {n_features}. "
            "Train on "
            "the same features, or leave start out."
        )
    if start.multilabel != labels.multilabel:
        forms = ("one class for each row", "any number of labels for each row")
        raise ParameterError(
            f"start is a model of {forms[start.multilabel]}, and y holds "
            f"{forms[labels.multilabel]}. Train on labels of one form, or leave start out."
        )
    if not np.array_equal(start.classes, labels.classes):
        raise ParameterError(
            f"start is a model of the classes {start.classes[:20].tolist()}, and y holds "
            f"{labels.classes[:20].tolist()}. Train on the same classes, or leave start out."
        )
    if not all(np.all(np.isfinite(to_host(a))) for a in (start.weights, start.intercept)):
        raise ParameterError("start holds weights that are not finite. Leave start out.")
    return start
