"""Curves of how models rank rows, and of how true their probabilities are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import precision_recall_curve, roc_curve

from gpulr.logistic import sigmoid
from gpulr.model.ranking import area, precision, precision_steps, roc_corners
from gpulr.show.curve_lines import draw, style
from gpulr.show.judged import Floats, Kind, Line, Problem, judged, share
from gpulr.show.room import settled
from gpulr.validation.parameters import one_of, whole_number

STRATEGIES = ("uniform", "quantile")
GRID = np.linspace(0.0, 1.0, 1001)  # along x, where curves are averaged


@settled
def roc(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    classes: Any = None,
    pos_label: Any = None,
    per_model: bool = False,
    drop_intermediate: bool = True,
    name: str | None = None,
    plot_chance_level: bool = True,
    chance_level_kw: Mapping[str, Any] | None = None,
    curve_kwargs: Mapping[str, Any] | None = None,
    despine: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw each model's ROC curve: its own class or label against all others.

    With more than ten models, or more than small Axes have room to name, two averages are drawn
    instead: micro, of all answers as one, and macro, the mean of the curves. Curves that an earlier
    call drew on ``ax`` stay there, so that models can be compared. A class that no row has, or that
    all have, has no curve, and the legend says so.

    Parameters
    ----------
    model : OneVsAll, fitted estimator or Search
        The model; of a search, the one that was refitted.
    X, y, sample_weight
        As for ``model.evaluate``; a Dataset as X gives its test part, if it has one. Unknown
        entries of y do not count.
    classes : sequence of labels, optional
        Classes whose models to draw; for two classes, which have one model, either.
    pos_label : label, optional
        The same as ``classes=[pos_label]``.
    per_model : bool
        Whether each model has Axes of its own, with the others' curves in grey. The models are
        those of ``classes``, or the first 12.
    drop_intermediate : bool
        Whether to leave out points that lie on a line between others.
    name : str, optional
        Name of the model, which is put before the names of its classes.
    plot_chance_level : bool
        Whether to draw the curve of rows that are ranked at random.
    chance_level_kw, curve_kwargs : dict, optional
        Passed to ``ax.plot`` for that line, and for the curves.
    despine : bool
        Whether to leave out the lines above and on the right.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        The curves are those of ``ax.lines`` whose ``get_gid()`` is "curve", in the order of the
        models; with ``per_model``, each of ``ax.child_axes`` has one.

    Raises
    ------
    DataError
        As ``model.evaluate``; no model has a curve.
    ParameterError
        A class is unknown to the model, or a setting cannot be used.
    """
    found = judged(model, X, y, sample_weight, classes, pos_label)

    def line(problem: Problem) -> Line:
        z, truth, w = problem
        x, up, _ = roc_curve(truth, z, sample_weight=w, drop_intermediate=drop_intermediate)
        return Line(x, up, *area(z, truth, w, None), share(problem))

    def quickly(problem: Problem) -> Line:
        return Line(*roc_corners(*problem), share(problem))

    def macro(lines: Sequence[Line]) -> Line:
        up = np.mean([np.interp(GRID, each.x, each.y) for each in lines], axis=0)
        score = float(np.mean([each.score for each in lines]))
        return Line(np.append(0.0, GRID), np.append(0.0, up), score)

    kind = Kind(
        "ROC curve",
        "false positive rate: share of the others that are taken for it",
        "true positive rate: share that is found",
        "AUC",
        "chance" if plot_chance_level else None,
        "lower right",
        line,
        quickly,
        macro,
        undefined=(0.0, 1.0),
    )
    return draw(
        found,
        kind,
        chance_level_kw,
        curve_kwargs,
        per_model=per_model,
        name=name,
        despine=despine,
        ax=ax,
    )


@settled
def precision_recall(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    classes: Any = None,
    pos_label: Any = None,
    per_model: bool = False,
    drop_intermediate: bool = False,
    name: str | None = None,
    plot_chance_level: bool = True,
    chance_level_kw: Mapping[str, Any] | None = None,
    curve_kwargs: Mapping[str, Any] | None = None,
    despine: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw each model's precision against its recall: its own class or label against all others.

    Steps go from point to point, and the area below them is the average precision. The level of
    chance is the share of rows that have the class, a dotted line for each curve. All else is as
    for :func:`roc`, also the averages that are drawn of more than ten models.
    """
    found = judged(model, X, y, sample_weight, classes, pos_label)

    def line(problem: Problem) -> Line:
        z, truth, w = problem
        how = {"sample_weight": w, "drop_intermediate": drop_intermediate}
        height, x, _ = precision_recall_curve(truth, z, **how)
        return Line(x, height, *precision(z, truth, w, None), share(problem))

    def quickly(problem: Problem) -> Line:
        x, height, score = precision_steps(*problem)
        x, height = np.append(0.0, x)[::-1], np.append(1.0, height)[::-1]  # as scikit-learn has it
        return Line(x, height, score, share(problem))

    def macro(lines: Sequence[Line]) -> Line:
        places = [np.searchsorted(each.x[::-1], GRID) for each in lines]
        heights = [each.y[::-1][at] for each, at in zip(lines, places, strict=True)]
        height = np.mean(heights, axis=0)
        score, level = (np.mean([getattr(e, name) for e in lines]) for name in ("score", "share"))
        return Line(GRID[::-1], height[::-1], float(score), float(level))

    kind = Kind(
        "Precision and recall",
        "recall: share that is found",
        "precision: share of what is found that is right",
        "AP",
        "chance: its share of rows" if plot_chance_level else None,
        "lower left",
        line,
        quickly,
        macro,
        level=True,
        undefined=(0.0,),
    )
    steps = {"drawstyle": "steps-post", **style(curve_kwargs)}
    return draw(
        found,
        kind,
        chance_level_kw,
        steps,
        per_model=per_model,
        name=name,
        despine=despine,
        ax=ax,
    )


@settled
def calibration(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    classes: Any = None,
    pos_label: Any = None,
    per_model: bool = False,
    n_bins: int = 5,
    strategy: str = "uniform",
    name: str | None = None,
    ref_line: bool = True,
    curve_kwargs: Mapping[str, Any] | None = None,
    despine: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often each model's class or label is true, against the predicted probability.

    Below the diagonal a model is too sure, above it not sure enough. Probabilities are each model's
    own, as ``model.predict_proba(X)`` returns them. With more than ten models one line is drawn
    instead, of all answers as one. The legend has Brier scores; all else is as for :func:`roc`.

    Parameters
    ----------
    n_bins : int
        Number of bins of probabilities; empty ones have no point.
    strategy : "uniform" or "quantile"
        Whether bins are equally wide, or have as many rows each.
    ref_line : bool
        Whether to draw the diagonal, on which probabilities are true.
    """
    n_bins = whole_number("n_bins", n_bins, least=1)
    one_of("strategy", strategy, STRATEGIES)
    found = judged(model, X, y, sample_weight, classes, pos_label)
    of_bins = partial(_reliability, n_bins=n_bins, strategy=strategy)
    kind = Kind(
        "Calibration",
        "mean predicted probability",
        "share of rows that have it",
        "Brier",
        "perfectly calibrated" if ref_line else None,
        "upper left",
        of_bins,
        of_bins,
    )
    dots = {"marker": "o", "markersize": 4, **style(curve_kwargs)}
    return draw(
        found,
        kind,
        None,
        dots,
        per_model=per_model,
        name=name,
        despine=despine,
        ax=ax,
    )


def _reliability(problem: Problem, *, n_bins: int, strategy: str) -> Line:
    """Return the share of positives of each bin along its mean probability, weighted."""
    z, truth, w = problem
    P: Floats = sigmoid(z.astype(np.float64))
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    if strategy == "quantile":
        edges = np.percentile(P, 100 * edges)
    bins = np.searchsorted(edges[1:-1], P)
    total, mean, true = (
        np.bincount(bins, weights=each, minlength=n_bins) for each in (w, w * P, w * truth)
    )
    some = total > 0
    brier = float(np.average((P - truth) ** 2, weights=w))
    return Line(mean[some] / total[some], true[some] / total[some], brier, share(problem))
