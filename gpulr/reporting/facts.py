"""What the page says of a model, for the template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unicodedata import east_asian_width

import numpy as np

from gpulr.families.intervals import Bootstrap
from gpulr.families.search_result import choose, standard_errors
from gpulr.model.one_vs_all import OneVsAll
from gpulr.reporting.charts import search_chart, training_charts
from gpulr.reporting.command import reproduction
from gpulr.reporting.paths import file_name, without_folders
from gpulr.reporting.pictures import canvas_of
from gpulr.reporting.tested import tested_on
from gpulr.reporting.weights import weights_of
from gpulr.reporting.words import LONGEST_NAME, LONGEST_TEXT, in_words, minus
from gpulr.show.labels import label_texts, shortened, shortened_apart
from gpulr.show.predictions import square_of
from gpulr.words import counted

MOST_ROWS = 200  # of a table with a row for each model


def facts_of(
    model: OneVsAll,
    X: Any,
    y: Any,
    search: Mapping[str, Any] | None,
    replicates: Bootstrap | None,
    absent: str,
) -> dict[str, Any]:
    """Return everything that the template shows.

    X and y are labelled rows, a Dataset as X, or None, None, and ``absent`` says why; ``search`` is
    as of :func:`gpulr.families.search_result.search_record`, ``replicates`` are the model's.
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
    upright = [any(east_asian_width(c) in "WF" for c in name) for name in classes]
    heads = zip(upright, *(shortened_apart(classes, n) for n in (8, 14)), strict=True)
    return {
        "kind_of_page": "report",
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
        "upright": upright,
        "heads": [tall if is_upright else wide for is_upright, tall, wide in heads],
        "tested": tested,
        "absent": without_folders(absent, str(model.data.get("source", ""))),
        "data": {
            "model": canvas,
            "trial": tested and tested["trial"],
            "behind": tested and tested["behind"],
            "thresholds": tested and tested["thresholds"],
        },
        "no_canvas": no_canvas,
        "weights": weights_of(model, names, replicates),
        "charts": training_charts(model, names if len(names) > 1 else [""]),
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
    if len(classes) > 3:
        return counted(len(classes), *(("label",) if model.multilabel else ("class", "classes")))
    return shortened(", ".join(classes), 80)


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
        facts["values"] = minus(f"{data['dtype']}, {low:.6g} to {high:.6g}")
    if split := data.get("split"):
        facts["held out"] = f"{in_words(split['test_size'])} of the rows, seed {split['seed']}"
    for words in model.refinements:
        what, _, how = words.partition(" ")
        facts[what] = how or "assigned"
    if data.get("label") is not None:
        facts["label column"] = str(data["label"])
    return facts
