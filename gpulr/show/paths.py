"""What a search found along C: its scores, and the weights that it kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from gpulr.backend import to_host
from gpulr.errors import ParameterError
from gpulr.model.record import weight_steps
from gpulr.show.canvas import INKS, Colour, axes, bare, grid, model_names, model_of, tidy
from gpulr.show.curve_lines import style
from gpulr.show.features import MOST, features_of
from gpulr.show.lettering import fitted, plain, widest
from gpulr.show.line_ends import LONGEST_NAME, name_ends
from gpulr.show.models import chosen_models
from gpulr.show.room import beside, columns_that_fit, inches_of, is_small, panels_that_fit, settled
from gpulr.show.sizes import score_label, score_line
from gpulr.validation.parameters import whole_number
from gpulr.words import counted

Floats = npt.NDArray[np.float64]

COLUMNS = 3
PANEL, HEIGHT, ALONE = 2.4, 2.1, 4.0  # inches: of a panel, and the height of a single one
LEAST_PANEL, LEAST_HEIGHT = 2.2, 1.4  # inches of a panel in the caller's Axes, with its names
NAME = 0.16  # inches of a line of letters
MOST_LINES = 200  # features that have a line, of each model


@settled
def c_path(
    search: Any,
    *,
    score_name: str | None = None,
    negate_score: bool = False,
    std_display_style: str | None = "fill_between",
    line_kw: Mapping[str, Any] | None = None,
    fill_between_kw: Mapping[str, Any] | None = None,
    errorbar_kw: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw mean score and standard error against C, and mark both choices.

    If each model has a C of its own, marks show how many models chose each.

    Parameters
    ----------
    search : Search, or a fitted OneVsAllLogisticRegressionCV
        The search whose scores to draw.
    score_name, negate_score, std_display_style, line_kw, fill_between_kw, errorbar_kw
        As for :func:`learning_curve`.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        C is logarithmic; C = ∞ has no place on the axis, and is named only if it was chosen.
    """
    found = search_of(search)
    brief = ax is not None and is_small(ax)
    ax = axes(ax, 6.4, 4.0)
    order = np.argsort(found.Cs)
    finite = order[np.isfinite(found.Cs[order])]
    C, mean, error = found.Cs[finite], found.mean_scores[finite], found.standard_errors[finite]
    words = "mean" if std_display_style is None else "mean ± standard error"
    line = {"color": Colour.BLUE, "marker": "o", "label": words, **style(line_kw)}
    mean = -mean if negate_score else mean
    score_line(ax, C, mean, error, line, std_display_style, fill_between_kw, errorbar_kw)
    marks: dict[float, tuple[str, str]] = {}
    if np.ndim(found.best_C):
        for value, n in zip(*np.unique(found.best_C, return_counts=True), strict=True):
            marks[float(value)] = (f"best of {counted(int(n), 'model')}", ":")
    else:
        marks = {found.best_C: ("best", "-"), found.best_C_1se: ("one standard error", "--")}
    if len(marks) == 1 and not np.ndim(found.best_C):
        marks = {found.best_C: ("best, and within one standard error", "-")}
    for value, (name, dashes) in marks.items():
        name = name.split(",")[0] if brief else name
        look: dict[str, Any] = {"color": Colour.VERMILION, "linestyle": dashes}
        look["label"] = f"C = {value:.3g} ({name})"
        if np.isfinite(value):
            ax.axvline(value, zorder=1, **look)
        else:
            ax.plot([], [], **look)
    ax.set(xscale="log", xlabel="C (inverse regularisation strength)")
    said = score_label(found.scoring, score_name, negate=negate_score)
    ax.set_ylabel(f"{said} of held-out rows", **plain([said]))
    ax.set_title(counted(len(found.scores), "fold"), loc="left")
    ax.legend(framealpha=1.0)
    tidy(ax)
    return ax


@settled
def path(
    search: Any, *, n: int = 5, models: Sequence[int] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the weights of each model against C: how regularisation holds them, and lets them go.

    Lines are means over the folds, and bands reach from the least fold to the greatest. The n
    weights that are largest at the best C (a dotted line) are named; the others are grey. With more
    than 200 features, only the 200 largest are drawn. Weights of a table are per standard deviation
    of the feature.

    Parameters
    ----------
    search : Search, or a fitted OneVsAllLogisticRegressionCV
        A search with ``keep_paths=True`` that has a refitted model.
    n : int
        Number of features to name, ten at most.
    models : sequence of int, optional
        Models to draw, by their column; None draws all, or the first 12.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        ``ax.lines``, or those of each of ``ax.child_axes`` if there are several models, are those
        of the named features, the largest first, then the best C. C is logarithmic; C = ∞ has no
        place on the axis.

    Raises
    ------
    ParameterError
        The search kept no weights or has no model, or a setting cannot be used.
    """
    found = search_of(search)
    if found.paths is None:
        raise ParameterError(
            "This search kept no weights of its folds. Search again with keep_paths=True."
        )
    model, n = model_of(found), whole_number("n", n, least=1, most=len(INKS))
    chosen, names = chosen_models(models, model.n_models, MOST), model_names(model)
    chosen = chosen[: panels_that_fit(ax, len(chosen), COLUMNS, LEAST_PANEL, LEAST_HEIGHT)]
    order = np.argsort(found.Cs, kind="stable")
    order = order[np.isfinite(found.Cs[order])]
    if not len(order):
        raise ParameterError("C = ∞ has no place on a logarithmic axis, and there is no other C.")
    step, words = weight_steps(model)
    C, features = found.Cs[order], features_of(model)
    best = np.broadcast_to(found.best_C, (model.n_models,))
    W = to_host(found.paths)[:, order][:, :, chosen, : model.n_features] * step
    at = [int(np.argmin(np.abs(np.log(C) - np.log(min(each, C[-1]))))) for each in best[chosen]]
    largest = [
        np.argsort(-np.abs(W[:, k, i].mean(axis=0)), kind="stable")[:MOST_LINES]
        for i, k in enumerate(at)
    ]
    longest, brief = LONGEST_NAME, ax is not None and is_small(ax)
    if ax is not None:
        longest = min(longest, 0.33 * beside(ax) / columns_that_fit(ax, COLUMNS, LEAST_PANEL))
    wide = min(widest([features[f] for each in largest for f in each[:n]], "small"), longest)
    ax, panels, high = _panels(ax, [names[j] for j in chosen], wide + 0.35)
    for i, panel in enumerate(panels):
        own = W[:, :, i, largest[i]]
        shown = [features[f] for f in largest[i][:n]]
        _draw(panel, C, own, shown, float(best[chosen[i]]), NAME / high, longest)
    said = "C" if brief else "C (inverse regularisation strength; dotted: the best)"
    ax.set(xlabel=said, ylabel=words)
    title = "Weights along C"
    if len(panels) == 1:
        title += f" for {names[chosen[0]]}"
    if len(chosen) < model.n_models:
        title += f", {len(chosen)} of {model.n_models} models"
    ax.set_title(f"{title} ({counted(len(W), 'fold')})", loc="left", **plain([title]))
    return ax


def _panels(ax: Axes | None, names: Sequence[str], beside: float) -> tuple[Axes, list[Axes], float]:
    """Return the Axes, in it one for each model with room for names beside it, and their height.

    All in inches.
    """
    if len(names) == 1:
        high = ALONE if ax is None else inches_of(ax)[1]
        ax = axes(ax, 6.4, ALONE)
        return ax, [ax], high
    rows, columns = grid(len(names), columns_that_fit(ax, COLUMNS, LEAST_PANEL))
    wide, high = PANEL + 0.35 + beside, HEIGHT + 0.6
    if ax is not None:
        wide, high = inches_of(ax)[0] / columns, inches_of(ax)[1] / rows
    width, height = wide - 0.35 - beside, high - 0.6
    ax = axes(ax, columns * wide + 0.4, rows * high + 0.6)
    bare(ax)
    panels = []
    for i, name in enumerate(names):
        row, column = divmod(i, columns)
        place = (column + 0.35 / wide) / columns, 1 - (row + 1) / rows + 0.3 / high / rows
        panel = ax.inset_axes((*place, width / wide / columns, height / high / rows))
        (name,) = fitted([name], width, "medium")
        panel.set_title(name, fontsize="medium", pad=2, **plain([name]))
        panel.tick_params(labelsize="x-small")
        panels.append(panel)
    return ax, panels, height


def _draw(
    ax: Axes, C: Floats, W: Floats, named: Sequence[str], best: float, step: float, longest: float
) -> None:
    """Draw weights (n_folds, n_Cs, n_features) of one model, of which the first are named."""
    mean, low, high = W.mean(axis=0), W.min(axis=0), W.max(axis=0)
    others = [np.column_stack([C, each]) for each in mean[:, len(named) :].T]
    ax.add_collection(LineCollection(others, colors="#cccccc", linewidths=0.6, zorder=1.5))
    lines = []
    for k, name in enumerate(named):
        ax.fill_between(C, low[:, k], high[:, k], color=INKS[k], alpha=0.2, linewidth=0)
        (line,) = ax.plot(C, mean[:, k], "." if len(C) == 1 else "-", color=INKS[k])
        lines.append((name, line, INKS[k]))
    ax.set_xscale("log")
    ax.autoscale_view()
    if np.isfinite(best):
        ax.axvline(best, color=Colour.BLACK, linestyle=":", linewidth=1.0, zorder=1)
    tidy(ax)
    name_ends(ax, lines, step, longest)


def search_of(search: Any) -> Any:
    """Return the search that was passed, or that a fitted estimator holds."""
    found = getattr(search, "search_", search)
    if not hasattr(found, "best_C_1se"):
        raise ParameterError(
            f"search is of type {type(search).__name__}; expected what gpulr.search returns, or a "
            "fitted OneVsAllLogisticRegressionCV."
        )
    return found
