"""`gpulr train --calibrate --thresholds`: both by margins of rows that models have not seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpulr.datasets import Dataset
from gpulr.errors import ParameterError
from gpulr.families.out_of_fold import cross_val_predict
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.thresholds import check_rule

FOLDS = 5
Rule = str | Mapping[str, float]


def rule_of(text: str) -> Rule:
    """Return what `with_thresholds` takes: of "f1", "precision=0.9" or "recall=0.9"."""
    by, _, least = text.partition("=")
    try:
        rule: Rule = {by: float(least)} if "=" in text else by
        check_rule(rule)
    except (ValueError, ParameterError):
        raise ParameterError(
            f"--thresholds {text}; expected f1, precision=0.9 or recall=0.9, with a number above "
            "0, at most 1."
        ) from None
    return rule


def refined(
    model: OneVsAll,
    dataset: Dataset,
    settings: Mapping[str, Any],
    *,
    seed: int,
    calibrate: bool,
    rule: Rule | None,
) -> OneVsAll:
    """Return the model with thresholds, calibrated, or both, by out-of-fold margins.

    Each row's are of models that were trained on the other folds, with the same settings. Raises as
    :func:`gpulr.cross_val_predict` does.
    """
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    Z = cross_val_predict(dataset, cv=folds, method="decision_function", **settings)
    if rule is not None:
        model = model.with_thresholds(Z, dataset.y, rule)
        if record := model.data["thresholds"]:
            record["folds"] = FOLDS
    if calibrate:
        model = model.calibrated(Z, dataset.y)
        if calibration := model.data["calibration"]:
            calibration["folds"] = FOLDS
    return model
