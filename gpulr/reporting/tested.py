"""How good a model is on labelled rows, and where it is most wrong, for the template."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.model.scores import Evaluation, MultilabelEvaluation
from gpulr.reporting.pictures import row_pictures
from gpulr.reporting.words import MOST_ROWS, percent
from gpulr.show.predictions import Predictions, is_image, most_probable, take_rows, true_names

MOST_CONFUSED = 30  # classes for which the whole confusion matrix is shown
MOST_MISTAKES = 24


def tested(model: OneVsAll, X: Any, y: Any, classes: list[str], part: str) -> dict[str, Any]:
    """Return figures and mistakes on labelled rows; ``part`` says which rows they are.

    Raises
    ------
    DataError
        As :meth:`OneVsAll.evaluate`.
    """
    X = rows_for(model, X)
    result, n = model.evaluate(X, y), int(X.shape[0])
    facts: dict[str, Any] = {"part": part, "n": f"{n:,}", "confusion": None, "confused": []}
    predictions = Predictions.of(model, X, true_names(model, y, n))
    if isinstance(result, MultilabelEvaluation):
        facts |= _labels_tested(result, classes, n)
        rows, items, n_wrong = _wrong_labels(predictions, classes)
    else:
        facts |= _classes_tested(result, classes)
        rows, items, n_wrong = _mistakes(predictions, classes)
    pictured = is_image(model.image_shape) and len(rows) > 0
    if pictured:
        pictures = row_pictures(to_host(take_rows(X, rows)), model)
        items = [item | {"picture": pic} for item, pic in zip(items, pictures, strict=True)]
    return facts | {
        "mistakes": items,
        "pictured": pictured,
        "n_wrong": f"{n_wrong:,}",
        "all_shown": n_wrong == len(items),
    }


def _classes_tested(result: Evaluation, classes: list[str]) -> dict[str, Any]:
    confusion = result.confusion
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    n, right = int(confusion.sum()), np.diag(confusion)
    several = len(classes) > 2
    rows = [
        {
            "name": name,
            "rows": f"{true[j]:,}",
            "recall": percent(right[j] / true[j]) if true[j] else "–",
            "precision": percent(right[j] / predicted[j]) if predicted[j] else "–",
            "binary": percent(result.binary_accuracy[j]) if several else "",
            "never": percent(1 - true[j] / n),
        }
        for j, name in enumerate(classes)
    ]
    never = float(np.mean(1 - true / n)) if several else float(max(true) / n)
    return {
        "accuracy": percent(result.accuracy),
        "mean_binary": percent(result.mean_binary_accuracy),
        "never": percent(never),
        "rows": rows[:MOST_ROWS],
        "left_out": max(0, len(rows) - MOST_ROWS),
        "several": several,
        "confusion": _shaded(confusion) if len(classes) <= MOST_CONFUSED else None,
        "confused": _confused(confusion, classes),
    }


def _shaded(confusion: npt.NDArray[np.int64]) -> list[list[tuple[str, str]]]:
    """Return each count and the class of its colour: right ones blue, wrong ones red.

    The shade is by the share of the true class; of the wrong ones relative to the largest such.
    """
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    wrong = share - np.diag(np.diag(share))
    level = np.ceil(9 * wrong / (wrong.max() or 1)).astype(int)
    cells = []
    for i, row in enumerate(confusion):
        shades = [
            f"right{int(9 * share[i, i])}" if i == j else f"wrong{k}"
            for j, k in enumerate(level[i])
        ]
        cells.append([(f"{n}" if n else "·", s) for n, s in zip(row, shades, strict=True)])
    return cells


def _confused(confusion: npt.NDArray[np.int64], classes: list[str]) -> list[dict[str, str]]:
    """Return the ten commonest confusions."""
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:10]
    pairs = np.column_stack(np.unravel_index(order, wrong.shape))
    return [
        {"true": classes[i], "predicted": classes[j], "n": f"{wrong[i, j]:,}"}
        for i, j in pairs
        if wrong[i, j]
    ]


Mistakes = tuple[npt.NDArray[np.intp], list[dict[str, str]], int]


def _mistakes(predictions: Predictions, classes: list[str]) -> Mistakes:
    """Return the rows that are wrong by the widest margins, what to say of each, and how many."""
    Z, wrong = predictions.Z, np.flatnonzero(~predictions.right)
    gap = Z.max(axis=1) - np.where(predictions.true, Z, -np.inf).max(axis=1)
    worst = wrong[most_probable(gap[wrong], MOST_MISTAKES)]
    shown = predictions.take(worst)
    items = [
        {
            "row": f"{row:,}",
            "true": classes[true],
            "predicted": classes[predicted],
            "p_true": f"{p[true]:.3f}",
            "p_predicted": f"{p[predicted]:.3f}",
        }
        for row, true, predicted, p in zip(
            worst,
            shown.true.argmax(axis=1),
            shown.predicted.argmax(axis=1),
            shown.probabilities,
            strict=True,
        )
    ]
    return worst, items, len(wrong)


def _wrong_labels(predictions: Predictions, labels: list[str]) -> Mistakes:
    """Return the rows of the labels that are wrong by the widest margins, and so on."""
    wrong = predictions.predicted != predictions.true
    n_wrong = int(wrong.sum())
    gap = np.where(wrong, np.abs(predictions.Z), -1.0).ravel()
    worst = most_probable(gap, min(n_wrong, MOST_MISTAKES))
    rows, which = np.unravel_index(worst, wrong.shape)
    P = predictions.probabilities
    items = [
        {
            "row": f"{i:,}",
            "true": "present" if predictions.true[i, j] else "absent",
            "predicted": labels[j],
            "p_true": "",
            "p_predicted": f"{P[i, j]:.3f}",
        }
        for i, j in zip(rows, which, strict=True)
    ]
    return rows, items, n_wrong


def _labels_tested(result: MultilabelEvaluation, labels: list[str], n: int) -> dict[str, Any]:
    share = result.positives / n
    rows = [
        {
            "name": name,
            "rows": f"{result.positives[j]:,}",
            "predicted": f"{result.predicted_positives[j]:,}",
            "accuracy": percent(result.label_accuracy[j]),
            "f1": f"{result.label_f1[j]:.4f}",
        }
        for j, name in enumerate(labels)
    ]
    return {
        "subset": percent(result.subset_accuracy),
        "mean_label": percent(result.mean_label_accuracy),
        "never": percent(float(np.mean(1 - share))),
        "commoner": percent(float(np.mean(np.maximum(share, 1 - share)))),
        "micro_f1": f"{result.micro_f1:.4f}",
        "macro_f1": f"{result.macro_f1:.4f}",
        "rows": rows[:MOST_ROWS],
        "left_out": max(0, len(rows) - MOST_ROWS),
    }
