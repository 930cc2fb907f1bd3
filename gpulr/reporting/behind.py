"""What is behind each cell of the confusion matrix: its most confident rows, which add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.predicted import Thresholds
from gpulr.reporting.answered import Answered
from gpulr.reporting.pictures import row_sheet
from gpulr.show.predictions import Array, Predictions, feature_names, is_image

MOST_BEHIND = 6  # rows of a cell
MOST_ROWS = 600  # of all cells
LARGEST = 45_000  # characters of their pictures
MANY_SHADES, FEW_SHADES = 16, 4  # of grey in them: few where many do not fit
MOST_REASONS = 3  # features of a row that argued for what was predicted


class Behind(Answered):
    """The most confident rows of each cell of the confusion matrix."""

    def __add__(self, other: Behind) -> Behind:
        """Return the most confident of these and of those of the rows that come after them."""
        return self.followed_by(other).most(MOST_BEHIND)

    def most(self, n: int) -> Behind:
        """Return at most n rows of each cell, cell after cell, the most confident first."""
        order = np.lexsort((self.rows, -self.confidence, self.said, self.true))
        true, said = self.true[order], self.said[order]
        begins = np.ones(len(order), dtype=bool)
        begins[1:] = (true[1:] != true[:-1]) | (said[1:] != said[:-1])
        place = np.arange(len(order))
        return self.take(order[place - np.maximum.accumulate(np.where(begins, place, 0)) < n])


def behind_of(
    Z: Array, truth: Array, weight: Array, thresholds: Thresholds | None = None
) -> Behind:
    """Return the rows behind the cells, of margins and of true classes (n_rows,)."""
    true = truth[:, np.newaxis] == np.arange(max(2, Z.shape[1]))
    predictions = Predictions.of_margins(Z, true, thresholds, multilabel=False)
    said, P = predictions.predicted.argmax(axis=1), predictions.probabilities
    each, truth = np.arange(len(Z)), truth.astype(np.intp)
    p = P[each, truth], P[each, said]
    return Behind(len(Z), each, truth, said, predictions.confidence, *p).most(MOST_BEHIND)


def shown_behind(found: Behind, shown: npt.NDArray[np.bool_]) -> Behind:
    """Return the rows behind cells that the page shows, (n_classes, n_classes): few of many."""
    found = found.take(np.flatnonzero(shown[found.true, found.said]))
    n_cells = len(set(zip(found.true.tolist(), found.said.tolist(), strict=True)))
    return found.most(min(MOST_BEHIND, max(1, MOST_ROWS // max(1, n_cells))))


def cells_of(
    model: OneVsAll, found: Behind, rows: npt.NDArray[Any], classes: list[str]
) -> dict[str, Any]:
    """Return what ``behind.js`` shows of rows: their pictures, or what argued for them."""
    if not len(rows):
        return {}
    facts: dict[str, Any] = {"names": classes, "pictures": is_image(model.image_shape)}
    if not facts["pictures"]:
        reasons = _reasons(model, rows.astype(np.float64), found)
        used = sorted({feature for each in reasons for feature, _, _ in each})
        names = feature_names(model)
        facts["features"] = {feature: names[feature] for feature in used}
        facts["mean"] = "in training" if model.center is not None else "over the rows shown here"
        return facts | {"cells": _cells(found, reasons)}
    for fewer, shades in [
        (MOST_BEHIND, MANY_SHADES),
        *((k, FEW_SHADES) for k in range(MOST_BEHIND, 0, -1)),
    ]:
        some = found.most(fewer)
        sheet = row_sheet(rows[np.isin(found.rows, some.rows)], model, shades)
        if len(sheet["sheet"]) <= LARGEST:
            return facts | sheet | {"cells": _cells(some, list(range(len(some.rows))))}
    return {}


def _cells(found: Behind, each: list[Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for k, (i, j) in enumerate(zip(found.true, found.said, strict=True)):
        p_said, p_true = round(found.p_said[k], 5), round(found.p_true[k], 5)
        cells.setdefault(f"{i},{j}", []).append([int(found.rows[k]), p_said, p_true, each[k]])
    return cells


def _reasons(
    model: OneVsAll, rows: npt.NDArray[np.float64], found: Behind
) -> list[list[tuple[int, float, float]]]:
    """Return features, values, and what they add to the margin of what was predicted.

    Of a wrong row: beyond what they add to that of the true class. All compared with the mean of
    training, or where it is not known of these rows.
    """
    W = to_host(model.weights).astype(np.float64)
    if W.shape[1] == 1:
        direction = np.where(found.said == 1, W, -W)
    else:
        direction = W[:, found.said] - np.where(found.said != found.true, W[:, found.true], 0.0)
    center = rows.mean(axis=0) if model.center is None else to_host(model.center)
    adds = (rows - center) * direction.T
    reasons = []
    for values, each in zip(rows, adds, strict=True):
        largest = np.argsort(-np.abs(each), kind="stable")[:MOST_REASONS].tolist()
        reasons.append([(f, _short(values[f]), _short(each[f])) for f in largest if each[f]])
    return reasons


def _short(x: float) -> float:
    return float(f"{x:.3g}")
