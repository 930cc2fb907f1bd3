"""How good a model is on labelled rows, and where it is most wrong, for the template."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import numpy as np

from gpulr.backend import to_host
from gpulr.datasets import Dataset
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.model.scores import Evaluation, MultilabelEvaluation
from gpulr.reporting.pictures import row_pictures
from gpulr.show.predictions import (
    Array,
    Predictions,
    is_image,
    labelled_rows,
    most_probable,
    take_rows,
    true_names,
)

MOST_CONFUSED = 30  # classes for which the whole confusion matrix is shown
MOST_MISTAKES = 24


def tested(model: OneVsAll, X: Any, y: Any, classes: list[str]) -> dict[str, Any]:
    """Return figures and mistakes on labelled rows, or a Dataset as X.

    Raises DataError as :meth:`OneVsAll.evaluate` does.
    """
    part = "the rows passed to report()"
    if isinstance(X, Dataset):
        part = f"{'all' if X.X_test is None else 'the test'} rows of {X.name}"
    X, y = labelled_rows(X, y)
    X = rows_for(model, X)
    result, n = model.evaluate(X, y), int(X.shape[0])
    predictions = Predictions.of(model, X, true_names(model, y, n))
    rows, mistakes, n_wrong = _mistakes(predictions, classes)
    pictured = is_image(model.image_shape) and len(rows) > 0
    pictures = row_pictures(to_host(take_rows(X, rows)), model) if pictured else repeat("")
    figures = _of_labels(result, n) if model.multilabel else _of_classes(result, classes)
    return figures | {
        "part": part,
        "n": n,
        "result": result,
        "mistakes": list(zip(rows, *mistakes, pictures, strict=False)),
        "pictured": pictured,
        "n_wrong": n_wrong,
    }


def _of_labels(result: MultilabelEvaluation, n: int) -> dict[str, Any]:
    share = result.positives / n
    return {
        "never": np.mean(1 - share),
        "commoner": np.mean(np.maximum(share, 1 - share)),
        "confusion": None,
        "confused": [],
    }


def _of_classes(result: Evaluation, classes: list[str]) -> dict[str, Any]:
    """Return what the confusion matrix says; the recall of a class without rows is NaN.

    ``shade`` is of its counts, from 0 to 9: right ones by their share of the true class, wrong ones
    relative to the largest such share. ``confused`` are the ten commonest confusions.
    """
    counts, several = result.confusion, len(classes) > 2
    true, predicted, right = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    with np.errstate(invalid="ignore"):
        recall, precision = right / true, right / predicted
    share, wrong = counts / np.maximum(true, 1)[:, np.newaxis], counts - np.diag(right)
    wrong_share = share - np.diag(np.diag(share))
    shade = np.ceil(9 * wrong_share / (wrong_share.max() or 1)).astype(int)
    np.fill_diagonal(shade, (9 * np.diag(share)).astype(int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:10]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    never = 1 - true / true.sum()
    return {
        "several": several,
        "rows": true,
        "recall": recall,
        "precision": precision,
        "nevers": never,
        "never": np.mean(never) if several else max(true) / true.sum(),
        "confusion": counts if len(classes) <= MOST_CONFUSED else None,
        "shade": shade,
        "confused": [(classes[i], classes[j], wrong[i, j]) for i, j in pairs if wrong[i, j]],
    }


def _mistakes(predictions: Predictions, classes: list[str]) -> tuple[Array, list[Any], int]:
    """Return the rows that are wrong by the widest margins, what to say of each, and how many.

    That is the true class, the predicted one and their probabilities; of a row with several labels,
    whether one is there, its name, and its probability twice.
    """
    Z, true, predicted = predictions.Z, predictions.true, predictions.predicted
    if predictions.multilabel:
        wrong, margin = predicted != true, np.abs(Z)
    else:
        wrong = ~predictions.right
        margin = Z.max(axis=1) - np.where(true, Z, -np.inf).max(axis=1)
    n_wrong = int(wrong.sum())
    worst = most_probable(np.where(wrong, margin, -1.0).ravel(), min(n_wrong, MOST_MISTAKES))
    if predictions.multilabel:
        worst, said = np.unravel_index(worst, wrong.shape)
        truly, words = said, ["present" if there else "absent" for there in true[worst, said]]
    else:
        truly, said = true[worst].argmax(axis=1), predicted[worst].argmax(axis=1)
        words = [classes[j] for j in truly]
    P, each = predictions.take(worst).probabilities, np.arange(len(worst))
    names = [classes[j] for j in said]
    return worst, [words, names, P[each, truly], P[each, said]], n_wrong
