"""What the page answers when it is asked: of the pass over the rows that evaluates them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gpulr.model.one_vs_all import OneVsAll
from gpulr.reporting.behind import behind_of
from gpulr.reporting.mistakes import mistakes_of
from gpulr.reporting.thresholds import MOST_MODELS, counts_above, edges_of

MOST_CLASSES = 200  # of which rows behind cells are kept: a block has some for each


def asked_of(model: OneVsAll) -> dict[str, Callable[..., Any]]:
    """Return what is added up over all rows: mistakes, and what the page answers with."""
    sums: dict[str, Callable[..., Any]]
    sums = {"mistakes": partial(mistakes_of, thresholds=model.thresholds)}
    if not model.multilabel and len(model.classes) <= MOST_CLASSES:
        sums["behind"] = partial(behind_of, thresholds=model.thresholds)
    yes_or_no = model.multilabel or model.n_models == 1
    if yes_or_no and model.n_models <= MOST_MODELS:
        edges, own = edges_of(model)
        inclusive = model.thresholds is not None
        sums["thresholds"] = partial(counts_above, edges=edges, own=own, inclusive=inclusive)
    return sums
