"""A row of a table whose values are moved on the page: the model, and rows to start from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import weight_steps
from gpulr.reporting.mistakes import Mistakes
from gpulr.reporting.pictures import computed_from
from gpulr.reporting.words import LONGEST_NAME
from gpulr.show.labels import shortened_apart
from gpulr.show.predictions import feature_names

MOST_FEATURES = 200  # of a table that has a row to try
LARGEST = 60_000  # weights
FIRST = 12  # features that are shown before more are asked for
MOST_ROWS = 12  # to start from
SHORT = 18  # characters of a feature's name


def trial_of(
    model: OneVsAll, rows: npt.NDArray[Any], about: list[str], names: list[str]
) -> dict[str, Any]:
    """Return what ``trial.js`` shows: ``rows`` to start from, and what each is called.

    Values move between the smallest and the largest of these rows and of two standard deviations
    about their mean; whole numbers stay whole. Nothing is returned where nothing could be moved.
    """
    if not len(rows) or model.n_features > MOST_FEATURES or model.weights.size > LARGEST:
        return {}
    rows, step = rows.astype(np.float64), weight_steps(model)[0]
    known = model.center is not None
    mean = to_host(model.center).astype(np.float64) if known else rows.mean(axis=0)
    spread = 2 * (rows.std(axis=0) if model.feature_std is None else model.feature_std)
    whole = (rows == np.rint(rows)).all(axis=0) & (spread > 1)
    low, high = mean - spread, mean + spread
    low = np.minimum(rows.min(axis=0), np.where(rows.min(axis=0) < 0, low, np.maximum(low, 0)))
    high = np.maximum(rows.max(axis=0), high)
    low, high = np.where(whole, np.floor(low), low), np.where(whole, np.ceil(high), high)
    counts = np.abs(step[:, np.newaxis] * to_host(model.weights).astype(np.float64)).max(axis=1)
    moving, features = np.flatnonzero(high > low), feature_names(model, LONGEST_NAME)
    return computed_from(model, names) | {
        "features": features,
        "short_features": shortened_apart(features, SHORT),
        "order": moving[np.argsort(-counts[moving], kind="stable")].tolist(),
        "first": FIRST,
        "steps": whole.astype(int).tolist(),
        "low": _short(low),
        "high": _short(high),
        "mean": _short(mean),
        "mean_of": "in training" if known else "over the rows to start from",
        "rows": [_short(row) for row in rows[:MOST_ROWS]],
        "about": about[:MOST_ROWS],
    }


def rows_to_try(found: Mistakes, behind: Any, classes: list[str]) -> tuple[Any, list[str]]:
    """Return rows to start from, and what each is: some that are right, and the worst mistakes."""
    rows: list[int] = []
    about: list[str] = []
    if behind:
        for i in range(len(classes)):
            (right,) = np.nonzero((behind.true == i) & (behind.said == i))
            if len(right) and len(rows) < MOST_ROWS // 2:
                rows.append(int(behind.rows[right[0]]))
                about.append(f"row {rows[-1]}, {classes[i]}")
    for row, true, said in zip(found.rows.tolist(), found.true, found.said, strict=True):
        if row not in rows and len(rows) < MOST_ROWS:
            rows.append(row)
            mistake = f"{classes[true]} taken for {classes[said]}" if behind else "a mistake"
            about.append(f"row {row}, {mistake}")
    return np.array(rows, np.intp), about


def _short(values: npt.NDArray[np.float64]) -> list[float]:
    return [float(f"{x:.7g}") for x in values]
