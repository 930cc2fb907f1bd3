"""Thresholds of the best F1, precision or recall on rows that a model has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError, ParameterError, ParameterWarning, warn
from gpulr.model.held_out import Floats, held_out, names_of
from gpulr.model.record import ThresholdRecord, Trained
from gpulr.words import shown

Model = TypeVar("Model", bound=Trained)


def with_thresholds(
    model: Model,
    Z: Any,
    y: Any,
    rule: str | Mapping[str, float] = "f1",
    sample_weight: Any = None,
) -> Model:
    """Return the model with a threshold for each label, chosen on margins Z of rows new to it.

    ::

        Z = gpulr.cross_val_predict(X, y, method="decision_function")
        model = gpulr.train(X, y).with_thresholds(Z, y, "f1")

    Z may be out-of-fold margins, as here (with the settings that the model was trained with), or
    those of held-out rows, ``model.decision_function(X_held_out)``. Margins of the model's training
    rows would promise more than it keeps.

    Each model gets the threshold that is best for its own yes or no by the rule. All thresholds
    that tell these rows apart are compared; each lies half way between the two margins that it
    parts. Probabilities stay as they are. If rows have one of several classes, ``predict`` returns
    the one whose margin lies furthest above its threshold.

    Parameters
    ----------
    Z : (n_rows, n_models)
        Margins of rows that the model has not seen; a Dask array is used as by :meth:`calibrated`.
    y : labels of these rows, as :meth:`evaluate` takes them
        Unknown entries of a matrix have no weight.
    rule : "f1", {"precision": p} or {"recall": r}
        What is best: the largest F1 (of equal ones, the one with the larger recall); the largest
        recall with a precision of at least p; or the largest precision with a recall of at least r.
    sample_weight : (n_rows,), optional
        How much each row counts.

    Raises
    ------
    DataError
        Z and y are not margins and labels of one model, or no label has positive rows.
    ParameterError
        There is no such rule.

    Warns
    -----
    ParameterWarning
        Some labels have no positive rows, and keep their threshold (0 if they had none). For others
        no threshold has the precision: theirs is infinite, and they are never predicted.
    """
    by, least = check_rule(rule)
    rows = held_out(model, Z, y, sample_weight)
    (thresholds,) = rows.of_models(partial(_chosen, by, least))
    if (absent := np.isnan(thresholds)).all():
        raise DataError(
            "No label of y has positive rows: there is nothing to choose thresholds by."
        )
    if absent.any():
        warn(
            f"No threshold chosen, as y has no positive rows of them: {names_of(model, absent)}.",
            ParameterWarning,
        )
    if (never := np.isposinf(thresholds)).any():
        warn(
            f"No threshold has a precision of {least:g} on these rows, so these labels are never "
            f"predicted: {names_of(model, never)}.",
            ParameterWarning,
        )
    before = np.zeros(model.n_models) if model.thresholds is None else model.thresholds
    record: ThresholdRecord = {"by": by, "least": least, "n_samples": rows.n_rows}
    return replace(
        model,
        thresholds=np.where(absent, before, thresholds),
        data={**model.data, "thresholds": record},
    )


def _chosen(
    by: str, least: float | None, Z: Floats, truth: npt.NDArray[np.bool_], weight: Floats
) -> tuple[Floats]:
    return (best_thresholds(Z, truth, weight, by, least),)


def check_rule(rule: Any) -> tuple[str, float | None]:
    """Return what a rule goes by, and the least precision or recall; or raise ParameterError."""
    if isinstance(rule, str) and rule == "f1":
        return rule, None
    if isinstance(rule, Mapping) and len(rule) == 1:
        ((by, least),) = rule.items()
        number = isinstance(least, float | int | np.floating | np.integer)
        if by in ("precision", "recall") and number and 0 < least <= 1:
            return by, float(least)
    raise ParameterError(
        f'{shown(rule)} is no rule for thresholds; use "f1", {{"precision": 0.9}} or '
        '{"recall": 0.9}, with a number above 0, at most 1.'
    )


def best_thresholds(
    Z: Floats,
    truth: npt.NDArray[np.bool_],
    weight: Floats,
    by: str,
    least: float | None = None,
) -> Floats:
    """Return the best threshold of each model, (n_models,): all cut points are compared.

    Z, truth and weight are (n_models, n_rows). NaN where no row is positive, ∞ where no threshold
    will do.
    """
    each, Z = np.arange(len(Z)), np.where(weight > 0, Z, -np.inf)  # below all others
    order = np.argsort(-Z, axis=1)  # of equal margins in any order
    Z, weight = np.take_along_axis(Z, order, axis=1), np.take_along_axis(weight, order, axis=1)
    known, truth = weight > 0, np.take_along_axis(truth, order, axis=1)
    # What is predicted with the first row, the first two rows, …: of equal margins all or none.
    predicted, right = weight.cumsum(axis=1), (weight * truth).cumsum(axis=1)
    below = np.concatenate([Z[:, 1:], np.full((len(Z), 1), -np.inf)], axis=1)
    possible = known & (below < Z) & (right > 0)
    positives = right[:, -1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / predicted, right / positives
    if by == "f1":
        value, latest = 2 * right / (predicted + positives), True
    elif by == "precision":
        possible &= precision >= least
        value, latest = recall, False
    else:
        possible &= recall >= least
        value, latest = precision, True
    value = np.where(possible, value, -1.0)
    # Of equal values the one with the larger recall, which is the last, or precision, the first.
    at = value.shape[1] - 1 - value[:, ::-1].argmax(axis=1) if latest else value.argmax(axis=1)
    upper, lower = Z[each, at], below[each, at]
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isinf(lower), upper, lower + (upper - lower) / 2)
    # Between neighbours there is no number, and rounding may lead to the lower one.
    chosen = np.where(middle > lower, middle, upper)
    chosen = np.where(possible[each, at], chosen, np.inf)
    return np.where(positives[:, 0] > 0, chosen, np.nan)
