"""What the page answers when it is asked: of one pass over the rows, with the mistakes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gpulr.model.one_vs_all import OneVsAll
from gpulr.reporting.behind import Behind, behind_of, cells_of
from gpulr.reporting.mistakes import mistakes_of
from gpulr.reporting.thresholds import MOST_MODELS, counts_above, edges_of, sliders_of


def sums_of(model: OneVsAll, most_classes: int) -> Callable[..., tuple[Any, ...]]:
    """Return what is added up over all rows: mistakes, and what the page answers with.

    The rows behind cells are those of at most so many classes.
    """
    sums: list[Callable[..., tuple[Any, ...]]]
    sums = [partial(mistakes_of, thresholds=model.thresholds)]
    if not model.multilabel and len(model.classes) <= most_classes:
        sums.append(partial(behind_of, thresholds=model.thresholds))
    if _sliding(model):
        edges, own = edges_of(model)
        inclusive = model.thresholds is not None
        sums.append(partial(counts_above, edges=edges, own=own, inclusive=inclusive))
    return partial(_each, sums)


def _each(sums: list[Callable[..., tuple[Any, ...]]], *rows: Any) -> tuple[Any, ...]:
    return tuple(found for each in sums for found in each(*rows))


def _sliding(model: OneVsAll) -> bool:
    yes_or_no = model.multilabel or model.n_models == 1
    return yes_or_no and model.n_models <= MOST_MODELS


def answers_of(
    model: OneVsAll, X: Any, others: list[Any], classes: list[str]
) -> dict[str, dict[str, Any]]:
    """Return what scripts of the page show when they are asked."""
    answers: dict[str, dict[str, Any]] = {"behind": {}, "thresholds": {}}
    for found in others:
        if isinstance(found, Behind):
            answers["behind"] = cells_of(model, X, found, classes)
        else:
            said = ["absent", "present"] if model.multilabel else classes
            answers["thresholds"] = sliders_of(model, found, classes[-model.n_models :], said)
    return answers
