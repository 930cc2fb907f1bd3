"""The page on two models: scores, each one's own, and rows that one of them alone gets right."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.model.comparison import Comparison
from gpulr.model.one_vs_all import OneVsAll
from gpulr.reporting.facts import MOST_ROWS
from gpulr.reporting.mistakes import rows_at
from gpulr.reporting.page import put_together
from gpulr.reporting.pictures import row_pictures
from gpulr.reporting.words import LONGEST_NAME, LONGEST_TEXT
from gpulr.show.labels import label_text, label_texts, shortened, shortened_apart
from gpulr.show.predictions import Predictions, is_image

MOST_ALONE = 24


def write(
    found: Comparison,
    path: Path,
    models: tuple[OneVsAll, OneVsAll],
    names: tuple[str, str],
    X: Any,
    y: Any,
    *,
    where: str,
) -> None:
    """Write the page on a comparison; ``where`` tells of the rows."""
    model, other = models
    alone = [_alone(other, found.rows_a, X, y), _alone(model, found.rows_b, X, y)]
    ends = np.abs([found.table[name] for name in ("low", "high")])
    limit = float(np.nanmax(ends, initial=0.0)) or 1.0
    labels = label_texts(found.table["name"][:MOST_ROWS], LONGEST_NAME)
    facts = {
        "kind_of_page": "comparison",
        "data": {},
        "title": " and ".join(shortened(Path(name).stem, LONGEST_NAME) for name in names),
        "names": [shortened(name, LONGEST_TEXT) for name in names],
        "where": shortened(where, LONGEST_TEXT),
        "found": found,
        "kind": "label" if found.multilabel else "class",
        "labels": labels,
        "places": lambda x: round(50 * x / limit, 1),
        "short": shortened_apart(labels, 26),
        "alone": alone,
        "counts": [len(found.rows_a), len(found.rows_b)],
        "pictured": is_image(model.image_shape),
        "most": MOST_ALONE,
    }
    put_together("compare.html.j2", facts, path)


def _alone(model: OneVsAll, rows: npt.NDArray[np.int64], X: Any, y: Any) -> list[Any]:
    """Return the first of the rows that a model gets wrong.

    That is their number, what is true, what the model says, its probability of this (None of
    several labels), and a picture or nothing.
    """
    rows = rows[:MOST_ALONE]
    if not len(rows):
        return []
    pictures: Any = repeat("")
    some = rows_at(model, X, rows)(rows)
    if is_image(model.image_shape):
        pictures = row_pictures(some, model)
    true: Any = np.asarray(y)[rows]
    said, p = to_host(model.predict(some)), repeat(None)
    if not model.multilabel:
        found = Predictions.of(model, some)
        p = found.probabilities[found.predicted]

    def in_words(answers: Any) -> list[str]:
        if model.multilabel:
            answers = [", ".join(map(str, model.classes[row == 1])) or "none" for row in answers]
        return [label_text(each, LONGEST_NAME) for each in answers]

    return list(zip(rows.tolist(), in_words(true), in_words(said), p, pictures, strict=False))
