"""Room in the Axes of callers: how much there is, and what is made to fit it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter
from matplotlib.transforms import Bbox

from gpulr.errors import ParameterError
from gpulr.show.lettering import wrapped

Arguments = ParamSpec("Arguments")
SMALL = 4.0  # inches of a width below which less is said, in smaller letters
SMALL_LETTERS = 7.0  # points


def check_axes(ax: Any) -> None:
    """Raise ParameterError if these are no Axes."""
    if not isinstance(ax, Axes):
        raise ParameterError(
            f"ax is of type {type(ax).__name__}; expected one matplotlib Axes, e.g. "
            "plt.subplots()[1] or one of the Axes in plt.subplots(2, 2)[1].flat."
        )


def inches_of(ax: Axes) -> tuple[float, float]:
    """Return width and height of Axes; a layout of their figure may change them yet.

    Raises ParameterError as :func:`check_axes` does.
    """
    check_axes(ax)
    place = ax.get_position(original=True)
    across, up = _inches_of_figure(ax)
    return place.width * across, place.height * up


def is_small(ax: Axes) -> bool:
    """Return whether there is little room for Axes and their lettering."""
    check_axes(ax)
    return bool(_room_of(ax).width < SMALL)


def room_of(ax: Axes) -> tuple[float, float]:
    """Return width and height of what Axes and their lettering may take, in inches."""
    check_axes(ax)
    there = _room_of(ax)
    return there.width, there.height


def beside(ax: Axes) -> float:
    """Return how many inches there are from the left of Axes to what is on their right."""
    left = ax.get_position(original=True).x0 * _inches_of_figure(ax)[0]
    return float(_room_of(ax).x1 - left)


def has_layout(ax: Axes) -> bool:
    """Return whether the figure of Axes has a layout, which makes room for lettering."""
    return ax.figure.get_layout_engine() is not None


def panels_that_fit(ax: Axes | None, n: int, most: int, width: float, height: float) -> int:
    """Return how many of n panels of at least that size, in inches, fit: one at least.

    There are at most so many beside each other.
    """
    if ax is None:
        return n
    across, up = inches_of(ax)
    return min(n, max(1, min(most, int(across / width))) * max(1, int(up / height)))


def columns_that_fit(ax: Axes | None, most: int, width: float) -> int:
    """Return how many panels of at least that width fit beside each other."""
    return most if ax is None else int(np.clip(inches_of(ax)[0] / width, 1, most))


def settled(draw: Callable[Arguments, Axes]) -> Callable[Arguments, Axes]:
    """Make what a function draws on the caller's Axes fit there.

    Its title, labels and legend are folded; where the figure has no layout that sees to it, Axes
    whose lettering would leave the figure are made smaller, to 0.4 of their size at most.
    """

    @wraps(draw)
    def drawn(*arguments: Arguments.args, **settings: Arguments.kwargs) -> Axes:
        ax = draw(*arguments, **settings)
        if settings.get("ax") is not None:
            _fold(ax)
            if not has_layout(ax):
                _shrink(ax)
        return ax

    return drawn


def bounds(ax: Axes) -> Bbox:
    """Return the part of the figure that is the Axes' and their lettering's own, 0 to 1.

    On the left it reaches to other Axes, elsewhere to the middle between them.
    """
    place = ax.get_position(original=True)
    x0, y0, x1, y1 = 0.0, 0.0, 1.0, 1.0
    for other in (each.get_position(original=True) for each in ax.figure.axes if each is not ax):
        if other.y0 < place.y1 and place.y0 < other.y1:
            x0 = max(x0, other.x1) if other.x1 <= place.x0 else x0
            x1 = min(x1, (other.x0 + place.x1) / 2) if other.x0 >= place.x1 else x1
        if other.x0 < place.x1 and place.x0 < other.x1:
            y0 = max(y0, (other.y1 + place.y0) / 2) if other.y1 <= place.y0 else y0
            y1 = min(y1, (other.y0 + place.y1) / 2) if other.y0 >= place.y1 else y1
    return Bbox.from_extents(x0, y0, x1, y1)


def _inches_of_figure(ax: Axes) -> tuple[float, float]:
    box = ax.figure.bbox
    return box.width / ax.figure.dpi, box.height / ax.figure.dpi


def _inches(box: Bbox, ax: Axes) -> Bbox:
    """Return a box of pixels in inches, from the corner of the figure."""
    corner = ax.figure.bbox.p0
    return Bbox((box.get_points() - corner) / ax.figure.dpi)


def _room_of(ax: Axes) -> Bbox:
    """Return the bounds of Axes in inches."""
    return Bbox(bounds(ax).get_points() * _inches_of_figure(ax))


def _fold(ax: Axes) -> None:
    """Fold the title, labels and the legend to the room there is, smaller where that is little."""
    said, legend = ax.get_title(loc="left"), ax.get_legend()
    texts = (each for each in ax.get_children() if isinstance(each, Text))
    title = next(text for text in texts if text.get_text() == said)
    below, beside = ax.xaxis.label, ax.yaxis.label
    if small := is_small(ax):
        for text in (title, below, beside):
            text.set_fontsize(min(text.get_fontsize(), 9.0))
        for axis in (ax.xaxis, ax.yaxis):
            if not isinstance(axis.get_major_formatter(), FixedFormatter):  # numbers, not names
                axis.set_tick_params(labelsize=8.0)
    there = _room_of(ax)
    _wrap(beside, 0.85 * there.height)
    box = ax.get_tightbbox()
    drawn = _inches(ax.get_window_extent(), ax)  # square where it has to be
    out = 0.0 if box is None else drawn.x0 - _inches(box, ax).x0
    left = max(drawn.x0, there.x0 + out)  # where it will begin when all is inside
    _wrap(title, there.x1 - left - 0.1)
    around = 2.0 * min(left - there.x0, there.x1 - left - drawn.width) + drawn.width
    _wrap(below, around if below.get_horizontalalignment() == "center" else there.x1 - left)
    if legend is not None and small:
        for text in legend.get_texts():
            text.set_fontsize(SMALL_LETTERS)
            _wrap(text, 0.9 * inches_of(ax)[0] - 0.4)


def _wrap(text: Text, inches: float) -> None:
    text.set_text(wrapped(text.get_text(), inches, text.get_fontsize()))


def _shrink(ax: Axes) -> None:
    """Make Axes smaller until their lettering is inside of their bounds."""
    figure, whole = ax.figure, ax.get_position(original=True)
    there, in_layout = bounds(ax), ax.get_in_layout()
    for _ in range(3):  # ticks may change with the size
        box = ax.get_tightbbox()
        if box is None:
            return
        box = box.transformed(figure.transSubfigure.inverted())
        place, drawn = ax.get_position(original=True), ax.get_position()
        left, below, right, above = np.maximum(
            (there.x0 - box.x0, there.y0 - box.y0, box.x1 - there.x1, box.y1 - there.y1), 0.0
        )
        x0 = min(drawn.x0 + left if left else place.x0, whole.x0 + 0.4 * whole.width)
        y0 = min(drawn.y0 + below if below else place.y0, whole.y0 + 0.4 * whole.height)
        x1 = max(drawn.x1 - right if right else place.x1, x0 + 0.4 * whole.width)
        y1 = max(drawn.y1 - above if above else place.y1, y0 + 0.4 * whole.height)
        ax.set_position((x0, y0, x1 - x0, y1 - y0))
        ax.set_in_layout(in_layout)
