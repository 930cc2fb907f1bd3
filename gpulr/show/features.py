"""The weights of a table as bars of its named features, with odds ratios and intervals."""

from __future__ import annotations

import math
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
    LEAST_IMAGE,
    LONGEST_FEATURE,
    feature_names,
    largest_weights,
    odds_ratio,
)
from gpulr.words import counted

Floats = npt.NDArray[np.float64]
Intervals = tuple[Floats, Floats]  # the ends of weights' intervals, (n_features, n_models) each

MOST = 12  # models of a table that one picture shows unless told which
SHOWN, ALONE = 8, 20  # features of each of several models, and of one
COLUMNS = 3
PANEL, LINE, NAME = 2.5, 0.2, 2.0  # inches: of bars, of a line, of a feature's name at most
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
    n = min(n or (SHOWN if len(chosen) > 1 else ALONE), len(W))
    which = largest_weights(W, n)
    shown = [np.take_along_axis(each, which, axis=0) for each in (W, *ends)]
    limit = max(float(np.abs(each).max()) for each in shown) or 1.0
    several = len(chosen) > 1
    room = _room_for([odds_ratio(w) for w in shown[0].ravel().tolist()]) if several else 1.6
    features = features_of(model)
    ax, panels = feature_panels(ax, names, [features[f] for f in which.ravel()], n)
    for j, panel in enumerate(panels):
        _bars(panel, [features[f] for f in which[:, j]], [each[:, j] for each in shown])
        panel.set_xlim(-room * limit, room * limit)
    if model.feature_std is None:
        words += f" {UNKNOWN}"
    said = f"← against    {words}    for →\n×: odds ratio of that step"
    side = math.isqrt(len(W))
    if model.data.get("feature_names") is None and len(W) == side**2 >= LEAST_IMAGE:
        said += f"\nimage_shape=({side}, {side}) draws them as images, if rows are such"
    ax.set_xlabel(said, fontsize="small", **plain([said]))
    title = "Weights" if n == len(W) else f"The {n} largest weights of {counted(len(W), 'feature')}"
    if n == 1 < len(W):
        title = f"The largest weight of {counted(len(W), 'feature')}"
    if model.n_models > 1:
        some = len(chosen) < model.n_models
        title += f", {len(chosen)} of {model.n_models} models" if some else ", for each model"
    elif len(model.classes) == 2:
        title += f" for {names[0]}"
    ax.set_title(title, loc="left", **plain([title]))
    return ax


def features_of(model: OneVsAll) -> list[str]:
    """Return the names of features as pictures have them."""
    return drawable(feature_names(model, 2 * LONGEST_FEATURE))


def feature_panels(
    ax: Axes | None, names: Sequence[str], features: Sequence[str], n: int
) -> tuple[Axes, list[Axes]]:
    """Return the Axes, and in it one for each model, with room for names of n features."""
    rows, columns = grid(len(names), COLUMNS)
    beside = min(widest(features, "small"), NAME) + 0.15
    height = n * LINE + 0.65
    across = columns * (beside + PANEL)
    ax = axes(ax, max(across + 0.2, 6.4), rows * height + 0.9)
    if len(names) == 1:
        return ax, [ax]
    bare(ax)
    panels = []
    for i, name in enumerate(names):
        row, column = divmod(i, columns)
        left, below = (column + beside / (beside + PANEL)) / columns, 1 - (row + 1) / rows
        size = 0.95 * PANEL / (beside + PANEL) / columns, n * LINE / height / rows
        panel = ax.inset_axes((left, below + 0.35 / height / rows, *size))
        (name,) = fitted([name], PANEL, "medium")
        panel.set_title(name, fontsize="medium", pad=2, **plain([name]))
        panel.tick_params(labelsize="small")
        panels.append(panel)
    return ax, panels


def name_lines(ax: Axes, features: Sequence[str]) -> None:
    """Name a line for each feature, the first one on top."""
    ax.set_ylim(len(features) - 0.4, -0.6)
    names = fitted(features, NAME, "small")
    ax.set_yticks(range(len(names)), names, fontsize="small", **plain(names))
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
    tidy(ax)


def _room_for(ratios: Sequence[str]) -> float:
    """Return where panels of bars end, in lengths of the longest bar: ratios stand beyond it."""
    share = (widest(ratios, "x-small") + 0.06) / (0.75 * PANEL)  # what margins leave of a panel
    return max(1.6, 1.0 / (1.0 - 2.0 * min(share, 0.35)))


def _bars(ax: Axes, features: Sequence[str], parts: Sequence[Floats]) -> None:
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
    name_lines(ax, features)
