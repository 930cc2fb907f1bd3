"""The weights of a table as bars of its named features, with odds ratios and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from gpulr.backend import to_host
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import weight_steps
from gpulr.show.canvas import Colour, axes, bare, grid, tidy
from gpulr.show.lettering import drawable, fitted, plain, widest
from gpulr.show.predictions import (
    LONGEST_FEATURE,
    feature_names,
    largest_weights,
    odds_ratio,
    square_perhaps,
)
from gpulr.show.room import columns_that_fit, inches_of, is_small, panels_that_fit
from gpulr.words import counted

Floats = npt.NDArray[np.float64]
Intervals = tuple[Floats, Floats]  # the ends of weights' intervals, (n_features, n_models) each

MOST = 12  # models of a table that one picture shows unless told which
SHOWN, ALONE = 8, 20  # features of each of several models, and of one
COLUMNS = 3
PANEL, LINE, NAME = 2.5, 0.2, 2.0  # inches: of bars, of a line, of a feature's name at most
# Of the caller's Axes at least; and what is above and below lines, a title and numbers.
LEAST_PANEL, LEAST_LINE, ABOVE = 1.2, 0.13, 0.65
UNKNOWN = "in the feature’s own unit, whose standard deviation this model does not know"


def weight_bars(
    ax: Axes | None,
    model: OneVsAll,
    chosen: npt.NDArray[np.intp],
    names: Sequence[str],
    n: int | None = None,
    intervals: Intervals | None = None,
) -> Axes:
    """Draw the n largest weights of each chosen model, from the most positive on; by size, signed.

    ``names`` are of the chosen models. With ``intervals``, a line from end to end on each bar.
    """
    step, words = weight_steps(model)
    W, *ends = (
        step[:, np.newaxis] * to_host(array).astype(np.float64)[:, chosen]
        for array in (model.weights, *(intervals or ()))
    )
    features, brief = features_of(model), ax is not None and is_small(ax)
    if ax is not None:
        fit = models_that_fit(ax, features, min(n or SHOWN, len(W)), len(chosen))
        chosen, names, W = chosen[:fit], names[:fit], W[:, :fit]
        ends = [each[:, :fit] for each in ends]
    if n is None:
        n = SHOWN if len(chosen) > 1 else ALONE
        if ax is not None:
            n = min(n, lines_that_fit(ax))
    n = min(n, len(W))
    which = largest_weights(W, n)
    shown = [np.take_along_axis(each, which, axis=0) for each in (W, *ends)]
    limit = max(float(np.abs(each).max()) for each in shown) or 1.0
    several = len(chosen) > 1
    room = _room_for([odds_ratio(w) for w in shown[0].ravel().tolist()]) if several else 1.6
    shown_names = [features[f] for f in which.ravel()]
    ax, panels, longest = feature_panels(ax, names, shown_names, n)
    for j, panel in enumerate(panels):
        _bars(panel, [features[f] for f in which[:, j]], [each[:, j] for each in shown], longest)
        panel.set_xlim(-room * limit, room * limit)
    if model.feature_std is None:
        words += f" {UNKNOWN}"
    said = words if brief else f"← against    {words}    for →\n×: odds ratio of that step"
    if (square := square_perhaps(model)) and not brief:
        said += f"\nimage_shape={square} draws them as images, if rows are such"
    ax.set_xlabel(said, fontsize="small", **plain([said]))
    title = "Weights" if n == len(W) else f"The {n} largest weights of {counted(len(W), 'feature')}"
    if n == 1 < len(W):
        title = f"The largest weight of {counted(len(W), 'feature')}"
    if not several and len(model.classes) > 1:
        title += f" for {names[0]}"
    if len(chosen) < model.n_models:
        title += f", {len(chosen)} of {model.n_models} models"
    elif several:
        title += " for each model"
    ax.set_title(title, loc="left", **plain([title]))
    return ax


def features_of(model: OneVsAll) -> list[str]:
    """Return the names of features as pictures have them."""
    return drawable(feature_names(model, 2 * LONGEST_FEATURE))


def feature_panels(
    ax: Axes | None, names: Sequence[str], features: Sequence[str], n: int
) -> tuple[Axes, list[Axes], float]:
    """Return the Axes, in it one for each model, and inches of room for names of n features."""
    beside = min(widest(features, "small"), NAME) + 0.15
    wide, height = beside + PANEL, n * LINE + ABOVE
    rows, columns = grid(len(names), COLUMNS)
    if ax is not None and len(names) > 1:
        width, high = inches_of(ax)
        rows, columns = grid(len(names), columns_that_fit(ax, COLUMNS, beside + LEAST_PANEL))
        wide, height = width / columns, high / rows
        beside = min(beside, 0.5 * wide)
    above = min(ABOVE, 0.6 * height)
    longest = beside - 0.15
    if ax is not None and len(names) == 1:
        longest = min(NAME, 0.4 * inches_of(ax)[0])
    ax = axes(ax, max(columns * wide + 0.2, 6.4), rows * height + 0.9)
    if len(names) == 1:
        return ax, [ax], longest
    bare(ax)
    panels = []
    for i, name in enumerate(names):
        row, column = divmod(i, columns)
        left, below = (column + beside / wide) / columns, 1 - (row + 1) / rows
        size = 0.95 * (wide - beside) / wide / columns, (height - above) / height / rows
        panel = ax.inset_axes((left, below + 0.54 * above / height / rows, *size))
        (name,) = fitted([name], max(wide - beside, LEAST_PANEL), "medium")
        panel.set_title(name, fontsize="medium", pad=2, **plain([name]))
        panel.tick_params(labelsize="small")
        panels.append(panel)
    return ax, panels, longest


def lines_that_fit(ax: Axes) -> int:
    """Return how many features have a line in the caller's Axes, one at least."""
    return max(1, int((inches_of(ax)[1] - 0.4) / LEAST_LINE))


def models_that_fit(ax: Axes | None, features: Sequence[str], n: int, n_models: int) -> int:
    """Return how many models, one at least, have panels of n lines in the caller's Axes."""
    beside = min(widest(features, "small"), NAME) + 0.15
    size = beside + LEAST_PANEL, n * LEAST_LINE + ABOVE
    return panels_that_fit(ax, n_models, COLUMNS, *size)


def name_lines(ax: Axes, features: Sequence[str], longest: float) -> None:
    """Name a line for each feature, the first one on top, in so many inches."""
    ax.set_ylim(len(features) - 0.4, -0.6)
    names = fitted(features, longest, "small")
    ax.set_yticks(range(len(names)), names, fontsize="small", **plain(names))
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
    tidy(ax)


def _room_for(ratios: Sequence[str]) -> float:
    """Return where panels of bars end, in lengths of the longest bar: ratios stand beyond it."""
    share = (widest(ratios, "x-small") + 0.06) / (0.75 * PANEL)  # what margins leave of a panel
    return max(1.6, 1.0 / (1.0 - 2.0 * min(share, 0.35)))


def _bars(ax: Axes, features: Sequence[str], parts: Sequence[Floats], longest: float) -> None:
    """Draw weights, and where they have them the ends of their intervals."""
    W, *ends = parts
    places = np.arange(len(W))
    colours = np.where(W > 0, Colour.VERMILION, Colour.BLUE)
    ax.barh(places, W, height=0.72, color=colours)
    far = W
    if ends:
        low, high = ends
        ax.hlines(places, low, high, color=Colour.BLACK, linewidth=1.2, zorder=3)
        far = np.where(W > 0, np.maximum(W, high), np.minimum(W, low))
    ax.axvline(0.0, color=Colour.BLACK, linewidth=0.8, zorder=2.5)
    for y, (w, x) in enumerate(zip(W.tolist(), far.tolist(), strict=True)):
        side, aligned = (3, "left") if w > 0 else (-3, "right")
        look: dict[str, Any] = {
            "ha": aligned,
            "va": "center",
            "fontsize": "x-small",
            "color": "#444444",
        }
        ax.annotate(odds_ratio(w), (x, y), (side, 0), textcoords="offset points", **look)
    name_lines(ax, features, longest)
