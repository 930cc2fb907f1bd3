"""How good a model is on labelled rows, and where it is most wrong, for the template."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import is_sparse, to_host
from gpulr.model.metrics import Evaluation, MultilabelEvaluation
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.reporting.names import MOST_ROWS, percent
from gpulr.reporting.pictures import can_be_shown, row_pictures
from gpulr.validation.label_values import check_labels
from gpulr.validation.labels import check_indicator

__all__ = ["tested"]

MOST_CONFUSED = 30  # classes for which the whole confusion matrix is shown
MOST_MISTAKES = 24


def tested(model: OneVsAll, X: Any, y: Any, classes: list[str], part: str) -> dict[str, Any]:
    """Return figures and mistakes on labelled rows, which ``part`` says what they are.

    Raises
    ------
    DataError
        As :meth:`OneVsAll.evaluate`.
    """
    X = rows_for(model, X)
    result = model.evaluate(X, y)
    n = int(X.shape[0])
    facts: dict[str, Any] = {"part": part, "n": f"{n:,}", "confusion": None, "confused": []}
    if isinstance(result, MultilabelEvaluation):
        return facts | _labels_tested(result, classes, n) | _wrong_labels(model, X, y, classes)
    return facts | _classes_tested(result, classes) | _mistakes(model, X, y, classes)


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


def _mistakes(model: OneVsAll, X: Any, y: Any, classes: list[str]) -> dict[str, Any]:
    """Return the rows that are wrong by the widest margins."""
    Z = to_host(model.decision_function(X)).astype(np.float64)
    if model.n_models == 1:
        Z = np.hstack([-Z, Z])
    true = np.searchsorted(model.classes, check_labels(y, len(Z)))
    predicted, each = Z.argmax(axis=1), np.arange(len(Z))
    gap = Z[each, predicted] - Z[each, true]
    wrong = np.flatnonzero(predicted != true)
    worst = wrong[np.argsort(-gap[wrong], kind="stable")][:MOST_MISTAKES]
    probability = 0.5 * (1 + np.tanh(Z[worst] / 2))
    items = [
        {
            "row": f"{i:,}",
            "true": classes[true[i]],
            "predicted": classes[predicted[i]],
            "p_true": f"{p[true[i]]:.3f}",
            "p_predicted": f"{p[predicted[i]]:.3f}",
        }
        for i, p in zip(worst, probability, strict=True)
    ]
    return _with_pictures(model, X, worst, items) | {
        "n_wrong": f"{len(wrong):,}",
        "all_shown": len(wrong) == len(worst),
    }


def _wrong_labels(model: OneVsAll, X: Any, y: Any, labels: list[str]) -> dict[str, Any]:
    """Return the entries of a matrix of labels that are wrong by the widest margins."""
    Z = to_host(model.decision_function(X)).astype(np.float64)
    _, Y = check_indicator(y, len(Z), model.classes)
    Y = Y.toarray() if is_sparse(Y) else to_host(Y)
    wrong = (Z > 0) != (Y > 0)
    gap = np.where(wrong, np.abs(Z), -1.0)
    order = np.argsort(-gap, axis=None, kind="stable")[:MOST_MISTAKES]
    i, j = np.unravel_index(order[gap.ravel()[order] >= 0], Z.shape)
    items = [
        {
            "row": f"{row:,}",
            "true": "present" if Y[row, label] else "absent",
            "predicted": labels[label],
            "p_true": "",
            "p_predicted": f"{0.5 * (1 + np.tanh(Z[row, label] / 2)):.3f}",
        }
        for row, label in zip(i, j, strict=True)
    ]
    return _with_pictures(model, X, i, items) | {
        "n_wrong": f"{int(wrong.sum()):,}",
        "all_shown": int(wrong.sum()) == len(items),
    }


def _with_pictures(
    model: OneVsAll, X: Any, rows: npt.NDArray[Any], items: list[dict[str, str]]
) -> dict[str, Any]:
    pictured = can_be_shown(model.image_shape) and len(rows) > 0
    if pictured:
        if is_sparse(X):
            values = X[rows].toarray()
        else:  # one by one: not every library takes an array of rows
            values = np.stack([to_host(X[int(row), :]) for row in rows])
        for item, picture in zip(items, row_pictures(values, model), strict=True):
            item["picture"] = picture
    return {"mistakes": items, "pictured": pictured}


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
