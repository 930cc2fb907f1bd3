"""How good a model is on labelled rows, as the page has it: figures, confusions and mistakes."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import numpy as np

from gpulr.datasets import Dataset
from gpulr.model.evaluation import Evaluation, MultilabelEvaluation
from gpulr.model.one_vs_all import OneVsAll, evaluated
from gpulr.reporting.answers import asked_of
from gpulr.reporting.behind import cells_of, shown_behind
from gpulr.reporting.mistakes import Mistakes, rows_at
from gpulr.reporting.pictures import row_pictures
from gpulr.reporting.thresholds import sliders_of
from gpulr.reporting.trial import rows_to_try, trial_of
from gpulr.show.predictions import is_image, labelled_rows
from gpulr.show.similarity import AS_THEY_ARE, by_similarity

MOST_CONFUSED = 30  # classes for which the whole confusion matrix is shown
MOST_LISTED = 10  # confusions, of more classes
FULL_SHARE = 0.2  # of a class's rows, mistakes that have full colour at least


def tested_on(model: OneVsAll, X: Any, y: Any, classes: list[str]) -> dict[str, Any]:
    """Return figures and mistakes on labelled rows, or a Dataset as X.

    Raises DataError as :meth:`OneVsAll.evaluate` does.
    """
    part = "the rows passed to report()"
    if isinstance(X, Dataset):
        part = f"{'all' if X.X_test is None else 'the test'} rows of {X.name}"
    X, y = labelled_rows(X, y)
    asked = asked_of(model)
    result, sums = evaluated(model, X, y, list(asked.values()))
    answered = dict(zip(asked, sums, strict=True))
    found: Mistakes = answered["mistakes"]
    figures = _of_labels(result, found.n) if model.multilabel else _of_classes(result)
    pictured = is_image(model.image_shape) and len(found.rows) > 0
    needed = [found.rows[: len(found.rows) if pictured else 0]]
    if behind := answered.get("behind"):
        behind = shown_behind(behind, figures["shown"])
        needed.append(behind.rows)
    to_try, about = rows_to_try(found, behind, classes)
    if not is_image(model.image_shape):
        needed.append(to_try)
    take = rows_at(model, X, np.concatenate(needed))
    pictures = row_pictures(take(found.rows), model) if pictured else repeat("")
    names = classes[-model.n_models :]
    said = ["absent", "present"] if model.multilabel else classes
    counts = answered.get("thresholds")
    return figures | {
        "part": part,
        "n": found.n,
        "result": result,
        "mistakes": list(zip(found.rows, *_said(model, found, classes), pictures, strict=False)),
        "pictured": pictured,
        "n_wrong": found.n_wrong,
        "behind": cells_of(model, behind, take(behind.rows), classes) if behind else {},
        "trial": {}
        if is_image(model.image_shape)
        else trial_of(model, take(to_try), about, classes),
        "thresholds": {} if counts is None else sliders_of(model, counts, names, said),
    }


def _said(model: OneVsAll, found: Mistakes, classes: list[str]) -> list[Any]:
    """Return the true classes, the predicted ones and their probabilities, of mistakes.

    Of a row with several labels, whether one is there, its name, and its probability twice.
    """
    there = ("absent", "present") if model.multilabel else classes
    names = [there[i] for i in found.true], [classes[i] for i in found.said]
    return [*names, found.p_true, found.p_said]


def _of_labels(result: MultilabelEvaluation, n: int) -> dict[str, Any]:
    share = result.positives / n
    return {
        "never": np.mean(1 - share),
        "commoner": np.mean(np.maximum(share, 1 - share)),
        "confusion": None,
        "confused": [],
        "shown": None,
    }


def _of_classes(result: Evaluation) -> dict[str, Any]:
    """Return what the confusion matrix says; the recall of a class without rows is NaN.

    ``shade`` is of its counts, from 0 to 9: right ones by their share of the true class, wrong ones
    by theirs, on a scale that ends at a fifth, or at the largest one. ``confused`` are the ten
    commonest confusions, true and predicted class and rows; ``shown`` are the cells that the page
    shows, and ``order`` is that of classes in the matrix.
    """
    counts, n = result.confusion, len(result.confusion)
    true, predicted, right = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    with np.errstate(invalid="ignore"):
        recall, precision = right / true, right / predicted
    share, wrong = counts / np.maximum(true, 1)[:, np.newaxis], counts - np.diag(right)
    wrong_share = share - np.diag(np.diag(share))
    shade = np.ceil(9 * wrong_share / max(FULL_SHARE, wrong_share.max())).astype(int)
    np.fill_diagonal(shade, (9 * np.diag(share)).astype(int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_LISTED]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    confused = [(int(i), int(j), int(wrong[i, j])) for i, j in pairs if wrong[i, j]]
    whole = n <= MOST_CONFUSED
    shown = np.full(counts.shape, whole)
    for i, j, _ in confused:
        shown[i, j] = True
    never = 1 - true / true.sum()
    return {
        "several": n > 2,
        "rows": true,
        "recall": recall,
        "precision": precision,
        "nevers": never,
        "never": np.mean(never) if n > 2 else max(true) / true.sum(),
        "confusion": counts if whole else None,
        "order": by_similarity(counts) if AS_THEY_ARE < n <= MOST_CONFUSED else np.arange(n),
        "sorted": n > AS_THEY_ARE,
        "shade": shade,
        "confused": confused,
        "shown": shown,
    }
