"""Weights along C, of a search that kept them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from gpulr.backend import to_host
from gpulr.errors import ParameterError
from gpulr.model.record import weight_steps
from gpulr.show.canvas import Colour, axes, bare, grid, model_names, model_of, tidy
from gpulr.show.features import MOST, features_of
from gpulr.show.lettering import fitted, plain, widest
from gpulr.show.models import INKS, LONGEST_NAME, chosen_models, name_ends, search_of
from gpulr.validation.parameters import whole_number
from gpulr.words import counted

Floats = npt.NDArray[np.float64]

COLUMNS = 3
PANEL, HEIGHT, ALONE = 2.4, 2.1, 4.0  # inches: of a panel, and the height of a single one
NAME = 0.16  # inches of a line of letters
MOST_LINES = 200  # features that have a line, of each model


def path(
    search: Any, *, n: int = 5, models: Sequence[int] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the weights of each model along C: how regularisation holds them, and lets them go.

    Lines are means over the folds, and bands reach from the least fold to the greatest. The n
    weights that are largest at the best C (a dotted line) are named, and the others grey; of more
    than 200 features, the 200 largest. Weights of a table are per standard deviation of the
    feature.

    Parameters
    ----------
    search : Search, or a fitted OneVsAllLogisticRegressionCV
        With ``keep_paths=True``, and refitted.
    n : int
        Features that are named, ten at most.
    models : sequence of int, optional
        Which models, by their column; without, all, or the first 12.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        ``ax.lines`` of one model, or of each of ``ax.child_axes``, are the named features', the
        largest first, then the best C. C is logarithmic; C = ∞ has no place on the axis.

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
    order = np.argsort(found.Cs, kind="stable")
    order = order[np.isfinite(found.Cs[order])]
    if not len(order):
        raise ParameterError("C = ∞ has no place on a logarithmic axis, and there is no other C.")
    step, words = weight_steps(model)
    many = len(chosen) > 1
    C, features = found.Cs[order], features_of(model)
    best = np.broadcast_to(found.best_C, (model.n_models,))
    W = to_host(found.paths)[:, order][:, :, chosen, : model.n_features] * step
    at = [int(np.argmin(np.abs(np.log(C) - np.log(min(each, C[-1]))))) for each in best[chosen]]
    largest = [
        np.argsort(-np.abs(W[:, k, i].mean(axis=0)), kind="stable")[:MOST_LINES]
        for i, k in enumerate(at)
    ]
    beside = widest([features[f] for each in largest for f in each[:n]], "small")
    beside = min(beside, LONGEST_NAME) + 0.35
    ax, panels = _panels(ax, [names[j] for j in chosen], beside)
    for i, panel in enumerate(panels):
        own = W[:, :, i, largest[i]]
        shown = [features[f] for f in largest[i][:n]]
        _draw(panel, C, own, shown, float(best[chosen[i]]), step=NAME / (ALONE, HEIGHT)[many])
    ax.set_xlabel("C (inverse regularisation strength; dotted: the best)")
    ax.set_ylabel(words)
    title = "Weights along C"
    if len(chosen) < model.n_models:
        title += f", {len(chosen)} of {model.n_models} models"
    elif len(panels) == 1 and len(model.classes) == 2:
        title += f", for {names[0]}"
    ax.set_title(f"{title} ({counted(len(W), 'fold')})", loc="left", **plain([title]))
    return ax


def _panels(ax: Axes | None, names: Sequence[str], beside: float) -> tuple[Axes, list[Axes]]:
    """Return the Axes, and in it one for each model, with room for names beside it, in inches."""
    if len(names) == 1:
        ax = axes(ax, 6.4, ALONE)
        return ax, [ax]
    rows, columns = grid(len(names), COLUMNS)
    wide, high = PANEL + 0.35 + beside, HEIGHT + 0.6
    ax = axes(ax, columns * wide + 0.4, rows * high + 0.6)
    bare(ax)
    panels = []
    for i, name in enumerate(names):
        row, column = divmod(i, columns)
        place = (column + 0.35 / wide) / columns, 1 - (row + 1) / rows + 0.3 / high / rows
        panel = ax.inset_axes((*place, PANEL / wide / columns, HEIGHT / high / rows))
        (name,) = fitted([name], PANEL, "medium")
        panel.set_title(name, fontsize="medium", pad=2, **plain([name]))
        panel.tick_params(labelsize="x-small")
        panels.append(panel)
    return ax, panels


def _draw(
    ax: Axes, C: Floats, W: Floats, named: Sequence[str], best: float, *, step: float
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
    name_ends(ax, lines, step)
