"""Probabilities made right on rows that a model has not seen, or for another share of positives.

Both move margins along a line, which weights and intercept absorb: nothing is added to a model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gpulr.backend import backend_of
from gpulr.errors import DataError, ParameterError, ParameterWarning, warn
from gpulr.logistic import log_loss, sigmoid
from gpulr.model.held_out import Floats, held_out, names_of
from gpulr.model.record import CalibrationRecord, Trained
from gpulr.words import shown

Model = TypeVar("Model", bound=Trained)
_STEPS, _HALVINGS = 100, 40
_RIDGE = 1e-12  # of the Hessian, as in Lin, Lin and Weng


def calibrated(model: Model, Z: Any, y: Any, sample_weight: Any = None) -> Model:
    """Return the model with calibrated probabilities, fitted to margins Z of rows new to it.

    ::

        Z = gpulr.cross_val_predict(X, y, method="decision_function")
        model = gpulr.train(X, y).calibrated(Z, y)

    Z may be out-of-fold margins, as here (with the settings that the model was trained with), or
    those of held-out rows, ``model.decision_function(X_held_out)``. Margins of the model's training
    rows would be too sure.

    Each model gets Platt's a and b, for which σ(a z + b) best fits the targets (n₊ + 1) / (n₊ + 2)
    for its positive rows and 1 / (n₋ + 2) for the others, as in scikit-learn's
    ``CalibratedClassifierCV``. Weights and intercept absorb both, and thresholds move along, so
    that they predict the same. If margins say nothing, so that a would be negative, a is 0: the
    model then gives every row the share of its positives, and never predicts its label by a
    threshold. ``data["calibration"]`` has a, b and the number of rows.

    Parameters
    ----------
    Z : (n_rows, n_models)
        Margins of rows that the model has not seen. Blocks of a Dask array, as
        ``model.decision_function`` returns it, are computed on the workers of the current
        ``distributed.Client``, if there is one; one worker then gets all those of a model.
    y : labels of these rows, as :meth:`evaluate` takes them
        Unknown entries of a matrix have no weight.
    sample_weight : (n_rows,), optional
        How much each row counts.

    Raises
    ------
    DataError
        Z and y are not margins and labels of one model, or no label has both positive and other
        rows.

    Warns
    -----
    ParameterWarning
        Some labels have no positive rows, or no others, and are left as they are; or the margins of
        some say nothing.

    References
    ----------
    J. Platt, Probabilistic outputs for support vector machines, 1999; H.-T. Lin, C.-J. Lin and
    R. Weng, A note on Platt's probabilistic outputs for support vector machines, Machine Learning
    68, 2007.
    """
    rows = held_out(model, Z, y, sample_weight)
    a, b, share = rows.of_models(platt)
    one_sided = np.isnan(a)
    if one_sided.all():
        raise DataError("No label of y has both positive rows and others: nothing to calibrate by.")
    if one_sided.any():
        warn(
            f"Not calibrated, as y has no positive rows of them, or no others: "
            f"{names_of(model, one_sided)}.",
            ParameterWarning,
        )
    if (flat := a == 0.0).any():
        warn(
            "The margins say nothing about these labels, whose probability is now the share of "
            f"their rows: {names_of(model, flat)}.",
            ParameterWarning,
        )
    a, b = np.where(one_sided, 1.0, a), np.where(one_sided, 0.0, b)
    record: Any = {**model.data, "calibration": _composed(model, a, b, rows.n_rows)}
    if prior := model.data.get("prior"):
        record["prior"] = np.where(one_sided, prior, share).tolist()
    elif not one_sided.any():
        record["prior"] = share.tolist()
    thresholds = model.thresholds
    if thresholds is not None:
        with np.errstate(invalid="ignore"):  # 0 · ∞
            thresholds = np.where(a > 0.0, a * thresholds + b, np.inf)
    return _moved(model, a, b, data=record, thresholds=thresholds)


def with_prior(model: Model, p: float | npt.ArrayLike) -> Model:
    """Return the model for rows with another share p of positives than its training rows had.

    If one row in a hundred is positive, for example, use ``gpulr.train(X, y,
    class_weight="balanced").with_prior(0.01)``. Margins move by logit(p) − logit(share in
    training). This is right if only the shares of the classes differ, not what the rows of each
    look like (Elkan 2001). The share in training, ``data["prior"]``, counts rows by their weights:
    it is 1/2 if ``class_weight`` was "balanced". Thresholds stay where they are, so a label is
    predicted from the same probability on.

    Parameters
    ----------
    p : float or (n_models,)
        The share of positive rows, between 0 and 1.

    Raises
    ------
    ParameterError
        p is no such number, or the share in training is not known.

    Warns
    -----
    ParameterWarning
        Training had no positive rows of some labels, or no others; these labels are left as they
        are.

    References
    ----------
    C. Elkan, The foundations of cost-sensitive learning, IJCAI 2001.
    """
    try:
        share = np.broadcast_to(np.asarray(p, dtype=np.float64), (model.n_models,))
    except (TypeError, ValueError):
        share = np.full(1, np.nan)
    if not np.all((share > 0) & (share < 1)):
        raise ParameterError(
            f"p={shown(p)}; expected a share between 0 and 1, or {model.n_models} of them, one for "
            "each model."
        )
    before = np.asarray(model.data.get("prior") or np.nan)
    if np.isnan(before).any():
        raise ParameterError(
            "This model does not say what share of its training rows was positive (an earlier "
            "gpulr trained it, or its weights were assigned). Train it again."
        )
    record: Any = {**model.data, "prior": share.tolist()}
    possible = (before > 0) & (before < 1)
    if not possible.all():
        warn(
            "These labels stay as they are, as training had no positive rows of them, or no "
            f"others: {names_of(model, ~possible)}.",
            ParameterWarning,
        )
    before = np.where(possible, before, share)
    shift = np.log(share / (1 - share)) - np.log(before / (1 - before))
    return _moved(model, np.ones(model.n_models), shift, data=record)


def platt(Z: Floats, truth: npt.NDArray[np.bool_], weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Return a, b and the share of positives for each row of margins; all (n_models,).

    Z, truth and weight are (n_models, n_rows). NaN where only one of the two occurs.

    Newton's method on the cost of σ(a z + b), which is convex, for all models at once; each halves
    its step until its cost falls enough.
    """
    n = weight.sum(axis=1)
    n_positive = (weight * truth).sum(axis=1)
    n_negative = (weight * ~truth).sum(axis=1)
    some = (n_positive > 0) & (n_negative > 0)
    with np.errstate(invalid="ignore"):
        weight = weight / n[:, np.newaxis]
        share = n_positive / n
    # Margins of mean 0 and variance 1: both parameters have curvatures of one size.
    mean = (weight * Z).sum(axis=1, keepdims=True)
    spread = np.sqrt((weight * (Z - mean) ** 2).sum(axis=1, keepdims=True))
    spread[~(spread > 1e-12 * np.abs(mean))] = np.inf  # all the same, but for rounding
    z = (Z - mean) / spread
    high, low = (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2)
    target = np.where(truth, high[:, np.newaxis], low[:, np.newaxis])
    of_all = (weight * target).sum(axis=1)
    yes, no = np.log(of_all), np.log1p(-of_all)
    constant, cost = yes - no, -of_all * yes - (1.0 - of_all) * no
    theta = np.stack([np.zeros(len(Z)), constant])
    left = np.flatnonzero(some)
    for _ in range(_STEPS):
        if len(left):
            of_those = (array[left] for array in (cost, z, target, weight))
            theta[:, left], cost[left], done = _newton_step(theta[:, left], *of_those)
            left = left[~done]
    # The best that does not turn margins round has no slope where the best of all does.
    rises = theta[0] > 0
    a = np.where(rises, theta[0] / spread[:, 0], 0.0)
    b = np.where(rises, theta[1], constant) - a * mean[:, 0]
    return np.where(some, a, np.nan), np.where(some, b, np.nan), share


def _newton_step(
    theta: Floats, cost: Floats, z: Floats, target: Floats, weight: Floats
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return slopes and offsets (2, n_models) after a step, their cost, and which models are done.

    The cost (n_models,) that is passed is that of theta.
    """

    def margins(theta: Floats) -> Floats:
        Z: Floats = theta[0][:, np.newaxis] * z + theta[1][:, np.newaxis]
        return Z

    P = sigmoid(margins(theta))
    R, S = weight * (P - target), weight * P * (1.0 - P)
    Sz = S * z
    g = np.stack([(R * z).sum(axis=1), R.sum(axis=1)])
    aa, ab, bb = (Sz * z).sum(axis=1) + _RIDGE, Sz.sum(axis=1), S.sum(axis=1) + _RIDGE
    step = np.stack([ab * g[1] - bb * g[0], ab * g[0] - aa * g[1]]) / (aa * bb - ab**2)
    # Of costs that differ by less none is the smaller: they are differences of margins' size.
    rounding = 1e-13 * cost + 1e-15 * np.abs(theta).sum(axis=0)
    slope, t, tries = (g * step).sum(axis=0), np.ones(theta.shape[1]), 0
    while tries < _HALVINGS:
        after = (weight * log_loss(margins(theta + t * step), target)).sum(axis=1)
        too_far = ~(after <= cost + 1e-4 * t * slope + rounding)
        if not too_far.any():
            break
        t, tries = np.where(too_far, t / 2, t), tries + 1
    # What a step gains is the square of its size: after one that gains 1e-14 nothing is left.
    done = (np.abs(step) <= 1e-10 * (1.0 + np.abs(theta))).all(axis=0) | (-slope <= 1e-14 * cost)
    return theta + t * step, after, done


def _composed(model: Trained, a: Floats, b: Floats, n_rows: int) -> CalibrationRecord:
    """Return the record of a calibration: from the margins of training, whatever came between."""
    if before := model.data.get("calibration"):
        a, b = a * np.asarray(before["a"]), a * np.asarray(before["b"]) + b
    return {"n_samples": n_rows, "a": a.tolist(), "b": b.tolist()}


def _moved(model: Model, a: Floats, b: Floats, **fields: Any) -> Model:
    """Return the model with the margins a z + b, rounded once, where its weights are."""
    backend = backend_of(model.weights)

    def of(array: Any, offset: Floats | None = None) -> Any:
        if array is None:
            return None
        moved = array * backend.asarray(a, backend.widest)
        if offset is not None:
            moved = moved + backend.asarray(offset, backend.widest)
        return backend.xp.astype(moved, array.dtype)

    with backend.activate():
        fields["intercept_at_center"] = of(model.intercept_at_center, b)
        return replace(model, weights=of(model.weights), intercept=of(model.intercept, b), **fields)
