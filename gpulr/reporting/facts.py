"""What the page says of a model, for the template, and how its figures are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from unicodedata import east_asian_width

import numpy as np

from gpulr.backend import to_host
from gpulr.families.search_result import choose, standard_errors
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import weight_steps
from gpulr.reporting.charts import search_chart, training_charts
from gpulr.reporting.command import reproduction
from gpulr.reporting.paths import file_name, without_folders
from gpulr.reporting.pictures import canvas_of, weight_pictures
from gpulr.reporting.tested import tested_on
from gpulr.show.labels import label_texts, shortened, shortened_apart
from gpulr.show.predictions import feature_names, is_image, largest_weights, odds_ratio, square_of
from gpulr.words import counted, score_words

MOST_ROWS = 200  # of a table with a row for each model
MOST_PICTURES = 60
LARGEST_WEIGHTS = 8  # of each model, where rows are not images
LONGEST_NAME, LONGEST_TEXT = 40, 200  # characters


def facts_of(
    model: OneVsAll, X: Any, y: Any, search: Mapping[str, Any] | None, absent: str
) -> dict[str, Any]:
    """Return everything that the template shows.

    X and y are labelled rows, a Dataset as X, or None, None, and ``absent`` says why; ``search`` is
    as of :func:`gpulr.families.search_result.search_record`.
    """
    if model.image_shape is None:
        model = replace(model, image_shape=square_of(model))
    decoded = (c.decode("latin-1") if isinstance(c, bytes) else c for c in model.classes)
    classes = label_texts(decoded, LONGEST_NAME)
    names = classes[-model.n_models :]
    canvas, no_canvas = canvas_of(model, classes)
    tested = None if X is None else tested_on(model, X, y, classes)
    command, notes = reproduction(model)
    reason = without_folders(model.fallback_reason or "")
    return {
        "title": _title(model, classes),
        "model": model,
        "history": model.history,
        "status": _status(model),
        "kind": "label" if model.multilabel else "class",
        "one_model": model.n_models == 1 and not model.multilabel,
        "classes": classes,
        "names": names,
        "most_rows": MOST_ROWS,
        "longest": max(map(len, classes)),
        "upright": [any(east_asian_width(c) in "WF" for c in name) for name in classes],
        "tested": tested,
        "behind": tested and tested["behind"],
        "thresholds": tested and tested["thresholds"],
        "absent": without_folders(absent, str(model.data.get("source", ""))),
        "canvas": canvas,
        "no_canvas": no_canvas,
        "weights": _weights(model, names),
        "charts": training_charts(model, names),
        "search": None if search is None else _search(search),
        "data_facts": _data(model),
        "machine": {
            "backend": model.backend,
            "device": model.device,
            **({"why not another": reason} if reason else {}),
            **model.versions,
        },
        "command": command,
        "notes": notes,
    }


def _title(model: OneVsAll, classes: list[str]) -> str:
    """Return the data's name, or where it has none, the classes."""
    name = str(model.data.get("name", "arrays"))
    if name not in ("arrays", "unnamed"):
        return shortened(name, 80)
    if len(classes) == 2 and not model.multilabel:
        return f"{classes[1]} or {classes[0]}"
    ends = classes if len(classes) <= 3 else [classes[0], "…", classes[-1]]
    return shortened(", ".join(ends), 80)


def _status(model: OneVsAll) -> list[str]:
    """Return how the training of each model ended."""
    settings, history = model.settings, model.history
    words = {
        "converged": history.converged,
        f"as close as {settings.get('dtype', 'the dtype')} allows": history.stalled,
        "ran all iterations" if settings.get("tol") == 0 else "reached max_iter": (
            history.n_iter >= settings.get("max_iter", 0)
        ),
    }
    status: list[str] = np.select(list(words.values()), list(words), "ended early").tolist()
    return status


def _weights(model: OneVsAll, names: list[str]) -> dict[str, Any]:
    left_out = max(0, model.n_models - MOST_PICTURES)
    if is_image(model.image_shape):
        pictures, scale = weight_pictures(model, MOST_PICTURES)
        named = list(zip(names, pictures, strict=False))
        unit = "" if model.scale == 1.0 else f" × {1 / model.scale:.4g}"
        return {"pictures": named, "scale": f"{scale:.3g}", "unit": unit, "left_out": left_out}
    step, unit = weight_steps(model)
    W = step[:, np.newaxis] * to_host(model.weights).astype(np.float64)[:, :MOST_PICTURES]
    which, features = largest_weights(W, LARGEST_WEIGHTS), feature_names(model, LONGEST_NAME)
    limit = float(np.abs(W).max()) or 1.0
    bars = [
        [(features[f], *_bar(W[f, j], limit), odds_ratio(W[f, j])) for f in which[:, j]]
        for j in range(W.shape[1])
    ]
    return {
        "pictures": [],
        "bars": list(zip(names, bars, strict=False)),
        "n": len(which),
        "unit": None if model.feature_std is None else unit,
        "left_out": left_out,
    }


def _bar(w: float, limit: float) -> tuple[str, float, float]:
    """Return a weight in words, and where its bar is from and how wide, from -50 to 50."""
    width = round(50 * abs(w) / limit, 1)
    return minus(f"{w:+.3g}"), -width if w < 0 else 0.0, width


def _search(search: Mapping[str, Any]) -> Mapping[str, Any]:
    Cs = np.array([np.inf if C is None else C for C in search["Cs"]])  # as JSON holds infinity
    scores = np.asarray(search["scores"], dtype=np.float64)
    choices = dict(zip(("best", "within one standard error"), choose(scores, Cs), strict=True))
    marks = [", ".join(name for name, choice in choices.items() if choice == C) for C in Cs]
    own = [np.inf if C is None else C for C in search.get("best_C", ())]
    if own:  # of each model
        numbers = [int(np.sum(np.array(own) == C)) for C in Cs]
        marks = [f"best of {counted(n, 'model')}" if n else "" for n in numbers]
    rows = zip(Cs, scores.mean(axis=0), standard_errors(scores), marks, strict=True)
    chart = search_chart(Cs, scores, search["scoring"], marked=not own)
    return {**search, "rows": list(rows), "folds": len(scores), "chart": chart}


def _data(model: OneVsAll) -> dict[str, Any]:
    data = model.data
    features = f"{model.n_features:,}"
    if model.image_shape is not None:
        features += f" ({'×'.join(map(str, model.image_shape))} images)"
    name, source = data.get("name", "–"), file_name(str(data.get("source", "–")))
    facts: dict[str, Any] = {"name": shortened(name, LONGEST_TEXT), "source": source}
    if "origin" in data:
        facts["made of"] = shortened(data["origin"], LONGEST_TEXT)
    if "n_samples" in data:
        facts["training rows"] = data["n_samples"]
    facts["features"] = features
    if "dtype" in data:
        low, high = data.get("feature_range", (np.nan, np.nan))
        facts["values"] = f"{data['dtype']}, {low:.6g} to {high:.6g}"
    if split := data.get("split"):
        facts["held out"] = f"{in_words(split['test_size'])} of the rows, seed {split['seed']}"
    for words in model.refinements:
        what, _, how = words.partition(" ")
        facts[what] = how or "assigned"
    if data.get("label") is not None:
        facts["label column"] = str(data["label"])
    return facts


def in_words(value: Any) -> str:
    """Return a setting as text, numbers as short as they can be read back, 0.0001 or 1/255."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return shortened(", ".join(map(in_words, value)), LONGEST_TEXT)
    if isinstance(value, dict):
        return in_words([f"{key}: {in_words(item)}" for key, item in value.items()])
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if math.isinf(value):
        return "∞"
    if value == 1 / 255:
        return "1/255"
    return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))


def percent(x: float) -> str:
    """Return a share as a percentage, for columns and sentences whose unit is %."""
    return "–" if np.isnan(x) else f"{100 * x:.2f}"


def duration(seconds: float) -> str:
    """Return seconds in the unit that suits them."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def probability(p: float) -> str:
    """Return a probability with three decimals; of none that is not, 0 or 1."""
    if 0 < p < 0.0005:
        return "<\u20090.001"
    return ">\u20090.999" if 0.9995 <= p < 1 else f"{p:.3f}"


def minus(figure: str) -> str:
    """Return a figure in words with the sign that is as wide as its digits, and no hyphen."""
    return figure.replace("-", "−")


FILTERS: dict[str, Callable[..., str]] = {
    "words": in_words,
    "percent": percent,
    "duration": duration,
    "probability": probability,
    "score": score_words,
    "short": shortened,
    "apart": shortened_apart,
    "whole": "{:,}".format,
    "minus": minus,
}
