"""The confusion matrix: which classes are taken for which, of few classes and of many."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from unicodedata import east_asian_width

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.text import Text

from gpulr.errors import ParameterError
from gpulr.model.evaluation import Evaluation, MultilabelEvaluation
from gpulr.show.canvas import axes
from gpulr.show.labels import label_texts
from gpulr.show.lettering import drawable, fitted, plain, widest
from gpulr.show.room import has_layout, inches_of, is_small, room_of, settled
from gpulr.show.similarity import AS_THEY_ARE, by_similarity
from gpulr.validation.parameters import one_of

MOST_COUNTED = 30  # classes whose counts can be read
MOST_NAMED = 60  # classes whose names can be read
MOST_SORTED = 1500  # classes that are sorted: distances of all pairs are computed
LEAST_COUNT = 4.0  # points of a count's height
LISTING = 2.5  # inches of a matrix that has room for a list above it
LISTED = 10  # confusions that are listed above a matrix whose counts cannot be read
LONGEST_HEAD, HEADS = 1.6, 1.4  # inches of a class's name; a matrix with them, in its sides
# What shares are of: the axis that is added up, and in words.
OF = {"true": (1, "the true class’s rows"), "pred": (0, "rows predicted so"), "all": (None, "rows")}
FULL = 20.0  # per cent of a class's rows, which have full colour at least
GREYS = LinearSegmentedColormap.from_list("right", ["#ffffff", "#a6a6a6"])


@settled
def confusion(
    result: Any,
    *,
    sort: bool | None = None,
    normalize: str | None = None,
    include_values: bool | None = None,
    values_format: str | None = None,
    cmap: Any = "Oranges",
    colorbar: bool = True,
    im_kw: Mapping[str, Any] | None = None,
    text_kw: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the confusion matrix: how often each class is taken for each other.

    The colour of a cell is its share of the true class's rows. The scale for mistakes ends at a
    fifth, or at the most frequent mistake if that is more, so that a few of many rows are pale. The
    diagonal, which is right, goes from white for none to grey for all.

    With more than 20 classes, those that are taken for each other are put beside each other. With
    more than 30, counts cannot be read in the cells, so the ten commonest confusions are listed. In
    small Axes every second class is named, or fewer, as there is room.

    Parameters
    ----------
    result : Evaluation
        What ``model.evaluate(X, y)`` returned, for rows that have one class each.
    sort : bool, optional
        Whether to put classes that are taken for each other side by side; False keeps the order of
        ``result.classes``.
    normalize : "true", "pred" or "all", optional
        What shares to write in the cells: of the rows of the true class, of the predicted class, or
        of all. The colours then show these too.
    include_values : bool, optional
        Whether to write in the cells; None writes if that can be read.
    values_format : str, optional
        Format of what is written, for ``format``; None is "d", or ".2g" for shares.
    cmap : str or Colormap
        Colours of mistakes.
    colorbar : bool
        Whether to draw their scale.
    im_kw, text_kw : dict, optional
        Passed to ``ax.imshow`` for mistakes, and to ``ax.text`` for what is in the cells.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        ``ax.texts`` is what is in the cells, if there is room to read it.
    """
    if isinstance(result, MultilabelEvaluation):
        raise ParameterError(
            "Rows that have any number of labels have no confusion matrix. Draw their accuracies "
            "with gpulr.show.accuracy(result)."
        )
    counts, names = evaluation_of(result).confusion, drawable(label_texts(result.classes))
    one_of("normalize", normalize, (*OF, None))
    n = len(names)
    if sort or (sort is None and AS_THEY_ARE < n <= MOST_SORTED):
        order = by_similarity(counts)
        counts, names = counts[np.ix_(order, order)], [names[i] for i in order]
    side, given = float(np.clip(0.42 * n, 3.6, 9.0)), ax is not None
    if ax is not None:
        wide, high = room_of(ax)
        side = min(side, *inches_of(ax), (wide - 1.0) / HEADS, (high - 0.6) / HEADS)
    cell = 72 * side / n  # points
    size = float(np.clip(0.8 * cell, 5, 9))
    short = fitted(names, min(LONGEST_HEAD, (HEADS - 1.0) * side), size)
    every = max(1, math.ceil(1.2 * size / cell))  # names that do not overlap
    beside = widest(short, size) if n <= MOST_NAMED else 0.0
    upright = beside > 0.9 * every * cell / 72
    ax = axes(ax, side + 1.7 + beside, side + 0.9 + (beside if upright else 0.0))
    axis, of = OF[normalize or "true"]
    shares = 100 * counts / np.maximum(counts.sum(axis=axis, keepdims=True), 1)
    right = np.eye(n, dtype=np.bool_)
    mistakes = np.ma.array(shares, mask=right)
    most = max(float(mistakes.max()), 1.0)
    largest, whole = (most, float(shares.max())) if axis is None else (max(FULL, most), 100.0)
    ax.imshow(np.ma.array(shares, mask=~right), cmap=GREYS, vmin=0, vmax=whole)
    coloured = {"cmap": cmap, "vmin": 0, "vmax": largest, **(im_kw or {})}
    drawn = ax.imshow(mistakes, **coloured)
    written, form = (counts, "d") if normalize is None else (shares / 100, ".2g")
    cells = {(i, j): format(written[i, j], values_format or form) for i, j in np.argwhere(counts)}
    each = cell / (0.6 * max(map(len, cells.values())))  # points
    counted = include_values
    if counted is None:
        counted = n <= MOST_COUNTED and each >= LEAST_COUNT
    if counted:
        each = float(np.clip(each, 5, 9))
        for (i, j), words in cells.items():
            dark = not right[i, j] and mistakes[i, j] > 0.6 * largest
            look: dict[str, Any] = {"color": "white" if dark else "black", "fontsize": each}
            look |= {"ha": "center", "va": "center", **normalize_kwargs(dict(text_kw or {}), Text)}
            ax.text(j, i, words, **look)
    if n <= MOST_NAMED:
        short = short[::every]
        heads = [_stacked(name) for name in short] if upright else short
        ax.set_xticks(range(0, n, every), heads, fontsize=size, **plain(short))
        for label, head, name in zip(ax.get_xticklabels(), heads, short, strict=True):
            label.set(rotation=90 if upright and head == name else 0, linespacing=1.0)
        ax.set_yticks(range(0, n, every), short, fontsize=size, **plain(short))
    else:
        ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    ax.set(xlabel="predicted class", ylabel="true class")
    title = f"{np.trace(counts):,} of {counts.sum():,} rows right ({result.accuracy:.1%})"
    if not counted and side >= LISTING:
        title += _commonest(counts, names)
    ax.set_title(title, loc="left", fontsize="medium", **plain(names))
    if not colorbar:
        return ax
    where: dict[str, Any] = {"ax": ax, "shrink": 0.7}
    if given and (is_small(ax) or not has_layout(ax)):
        where = {"cax": ax.inset_axes((1.04, 0.1, 0.05, 0.8))}
    bar = ax.figure.colorbar(drawn, **where)
    if not given or side > LISTING:
        bar.set_label(f"mistakes, % of {of}   (grey: right)", fontsize="small")
    bar.ax.tick_params(labelsize="small")
    return ax


def evaluation_of(result: Any) -> Evaluation:
    """Return what was passed, or raise ParameterError if it is none."""
    if isinstance(result, Evaluation):
        return result
    raise ParameterError(
        f"result is of type {type(result).__name__}; expected what model.evaluate(X, y) returns."
    )


def _commonest(counts: npt.NDArray[np.int64], names: list[str]) -> str:
    """Return lines that list the commonest confusions, two in each."""
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:LISTED]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    said = [f"{names[i]} as {names[j]}: {wrong[i, j]:,}" for i, j in pairs if wrong[i, j]]
    if not said:
        return ""
    lines = ["   ·   ".join(said[k : k + 2]) for k in range(0, len(said), 2)]
    return "\n".join(["\nCommonest confusions, true as predicted: rows", *lines])


def _stacked(name: str) -> str:
    """Return a name of wide characters only as it is read upright, from top to bottom."""
    wide = all(east_asian_width(c) in "WF" for c in name)
    return "\n".join(name) if wide else name
