"""What the page says of a model, as plain data for the template."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from gpulr._version import __version__
from gpulr.backend import to_host
from gpulr.families.search_result import choose, standard_errors
from gpulr.model.one_vs_all import OneVsAll
from gpulr.reporting.canvas import canvas_of
from gpulr.reporting.charts import cost_chart, gradient_chart, search_chart
from gpulr.reporting.command import reproduction
from gpulr.reporting.pictures import weight_pictures
from gpulr.reporting.tested import tested
from gpulr.reporting.words import LONGEST_TEXT, MOST_ROWS, in_words, names_of
from gpulr.show.predictions import is_image, shortened
from gpulr.words import counted

MOST_PICTURES = 60
LARGEST_WEIGHTS = 3  # of each sign, where rows are not images


def facts_of(
    model: OneVsAll, X: Any, y: Any, *, part: str, search: Mapping[str, Any] | None, absent: str
) -> dict[str, Any]:
    """Return everything that the template shows.

    Parameters
    ----------
    model : OneVsAll
    X, y : labelled rows, or None, None
    part : str
        What rows they are, in words.
    search : mapping, optional
        As of :func:`gpulr.families.search_result.search_record`.
    absent : str
        Why there are no rows.
    """
    classes = names_of(model.classes)
    names = classes[-model.n_models :]
    canvas, no_canvas = canvas_of(model, classes)
    command, notes = reproduction(model)
    return {
        "title": _title(model, classes),
        "what": _what(model),
        "n_models": model.n_models,
        "multilabel": model.multilabel,
        "one_model": model.n_models == 1 and not model.multilabel,
        "classes": classes,
        "longest": max(map(len, classes)),
        "tested": None if X is None else tested(model, X, y, classes, part),
        "absent": absent,
        "headline": _headline(model),
        "canvas": canvas,
        "no_canvas": no_canvas,
        "weights": _weights(model, names),
        "charts": _charts(model, names),
        "training": _training(model, names),
        "search": None if search is None else _search(search),
        "settings": [(name, in_words(value)) for name, value in model.settings.items()],
        "data_facts": _data(model),
        "machine": _machine(model),
        "command": command,
        "notes": notes,
        "version": __version__,
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
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


def _what(model: OneVsAll) -> str:
    if model.n_models == 1 and not model.multilabel:
        return "One logistic model that tells two classes apart"
    kind = "label" if model.multilabel else "class"
    return f"{model.n_models:,} logistic models, one for each {kind}, trained as one weight matrix"


def _headline(model: OneVsAll) -> dict[str, str]:
    history = model.history
    return {
        "converged": f"{int(history.converged.sum()):,} of {model.n_models:,}",
        "n_iter": f"{model.n_iter:,}",
        "seconds": _seconds(float(history.seconds[-1])),
        "matrix": f"{model.n_features:,} × {model.n_models:,}",
    }


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def _weights(model: OneVsAll, names: list[str]) -> dict[str, Any]:
    if is_image(model.image_shape):
        pictures, scale = weight_pictures(model, MOST_PICTURES)
        return {
            "pictures": list(zip(names, pictures, strict=False)),
            "scale": f"{scale:.3g}",
            "left_out": max(0, model.n_models - MOST_PICTURES),
            "colour": len(model.image_shape or ()) == 3,
        }
    rows = []
    for name, w in zip(names, to_host(model.weights).T[:MOST_PICTURES], strict=False):
        order = np.argsort(w, kind="stable")
        largest, smallest = order[::-1][:LARGEST_WEIGHTS], order[:LARGEST_WEIGHTS]
        up = [(f"{i}", f"{w[i]:+.3g}") for i in largest if w[i] > 0]
        down = [(f"{i}", f"{w[i]:.3g}".replace("-", "−")) for i in smallest if w[i] < 0]
        rows.append((name, up, down))
    return {"pictures": [], "rows": rows, "left_out": max(0, model.n_models - MOST_PICTURES)}


def _charts(model: OneVsAll, names: list[str]) -> list[Any]:
    tol = float(model.settings.get("tol", 0.0))
    charts = cost_chart(model.history, names), gradient_chart(model.history, names, tol)
    return [chart for chart in charts if chart is not None]


def _training(model: OneVsAll, names: list[str]) -> dict[str, Any]:
    history = model.history
    rows = [
        {
            "name": name,
            "cost": f"{history.cost[-1, j]:.5f}",
            "gradient": f"{history.gradient_norm[-1, j]:.1e}",
            "n_iter": f"{history.n_iter[j]:,}",
            "status": _status(model, j),
            "converged": bool(history.converged[j]),
        }
        for j, name in enumerate(names)
    ]
    return {"rows": rows[:MOST_ROWS], "left_out": max(0, len(rows) - MOST_ROWS)}


def _status(model: OneVsAll, j: int) -> str:
    settings, history = model.settings, model.history
    if history.converged[j]:
        return "converged"
    if history.stalled[j]:
        return f"as close as {settings.get('dtype', 'the dtype')} allows"
    if history.n_iter[j] >= settings.get("max_iter", 0):
        return "ran all iterations" if settings.get("tol") == 0 else "reached max_iter"
    return "ended early"


def _search(search: Mapping[str, Any]) -> dict[str, Any]:
    Cs = np.array([np.inf if C is None else C for C in search["Cs"]])  # as JSON holds infinity
    scores = np.asarray(search["scores"], dtype=np.float64)
    best, one_se = choose(scores, Cs)
    choices = {"best": best, "within one standard error": one_se}
    rows = [
        {
            "C": in_words(C),
            "mean": f"{mean:.4f}",
            "error": f"{error:.4f}",
            "marks": ", ".join(name for name, choice in choices.items() if choice == C),
        }
        for C, mean, error in zip(Cs, scores.mean(axis=0), standard_errors(scores), strict=True)
    ]
    return {
        "rows": rows,
        "scoring": search["scoring"],
        "folds": len(scores),
        "chart": search_chart(Cs, scores, search["scoring"], best, one_se),
        "words": f"{counted(search['models'], 'model')} in {_seconds(search['seconds'])}, "
        f"{search['converged']:,} converged",
    }


def _data(model: OneVsAll) -> list[tuple[str, str]]:
    data = model.data
    words = {
        "name": shortened(data.get("name", "–"), LONGEST_TEXT),
        "source": data.get("source", "–"),
    }
    if "n_samples" in data:
        words["training rows"] = f"{data['n_samples']:,}"
    words["features"] = f"{model.n_features:,}"
    if model.image_shape is not None:
        words["features"] += f" ({'×'.join(map(str, model.image_shape))} images)"
    if "dtype" in data:
        low, high = data.get("feature_range", (np.nan, np.nan))
        words["values"] = f"{data['dtype']}, {low:.6g} to {high:.6g}"
    if split := data.get("split"):
        words["held out"] = f"{in_words(split['test_size'])} of the rows, seed {split['seed']}"
    if data.get("label") is not None:
        words["label column"] = str(data["label"])
    return list(words.items())


def _machine(model: OneVsAll) -> list[tuple[str, str]]:
    words = [("backend", model.backend), ("device", model.device)]
    if model.fallback_reason:
        words.append(("why not another", model.fallback_reason))
    return words + [(name, version) for name, version in model.versions.items()]
