"""Strokes of a pen as rows that a model can be applied to.

A drawing is a list of strokes, a stroke a list of points (x, y) on paper; x goes right, y down. Its
raster is computed here and, in the same steps, in ``reporting/ink.js``: every browser fills a
canvas in its own way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError
from gpulr.images.framing import DRAWN, Frame
from gpulr.model.one_vs_all import OneVsAll

PAPER = 280  # pixels of the paper's longer side; the other is as the model's images have it
FARTHEST = 1e9  # pixels from the paper's corner: squares of these are finite
PEN = 12.0  # its radius: strokes as thick as MNIST's, where the drawing spans ``SPAN`` of the paper
SPAN = 5 / 7
MOST_ENLARGED = 8.0  # times that a drawing is enlarged: a dot is no digit


def paper_of(shape: Sequence[int]) -> tuple[int, int]:
    """Return (height, width) of the paper to draw images of this shape on."""
    longest = max(shape)
    height, width = (max(PAPER // 4, round(PAPER * side / longest)) for side in shape)
    return height, width


def draw(strokes: Iterable[npt.ArrayLike], model: OneVsAll) -> npt.NDArray[np.float64]:
    """Return a drawing as the row that ``model`` expects, framed as its training images were.

    The strokes are (n_points, 2) each, on paper of size :func:`paper_of`; small ones are
    :func:`enlarged`. The row is (n_features,) float64. Raises DataError where nothing is drawn, or
    the model was not trained on grey images.
    """
    frame = Frame.of(model)
    paper = paper_of(frame.shape)
    return frame.row(frame.framed(rasterize(enlarged(strokes, paper), paper)))


def enlarged(
    strokes: Iterable[npt.ArrayLike], paper: tuple[int, int]
) -> list[npt.NDArray[np.float64]]:
    """Return a small drawing as large as the pen is thick for, in the middle of the paper.

    With the pen's width it then spans ``SPAN`` of the paper's height or width, the direction in
    which it spans more, unless that takes more than ``MOST_ENLARGED`` times. Larger drawings, and
    those with no point on the paper, come back as they are. What is outside of the paper counts as
    if it were at its edge. Raises DataError as :func:`rasterize` does.
    """
    points, sides = _points(strokes), np.array(paper[::-1], dtype=np.float64)
    all_points = np.concatenate([np.zeros((0, 2)), *points])
    if not ((all_points >= 0) & (all_points <= sides)).all(axis=1).any():
        return points
    seen = np.clip(all_points, 0, sides)
    low, high = seen.min(axis=0), seen.max(axis=0)
    with np.errstate(divide="ignore"):
        factor = min(MOST_ENLARGED, *((SPAN * sides - 2 * PEN) / (high - low)).tolist())
    if factor <= 1:
        return points
    return [(stroke - (low + high) / 2) * factor + sides / 2 for stroke in points]


def rasterize(strokes: Iterable[npt.ArrayLike], paper: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return how much of each pixel a round pen covers, (height, width) float64, 0 to 1.

    That is ``PEN`` + 1/2 minus the distance of the pixel's centre from the nearest stroke, between
    0 and 1: an edge one pixel wide. Strokes that are no lists of points, or leave nothing on the
    paper, are a DataError.
    """
    ink = np.zeros(paper)
    for points in _points(strokes):
        for start, end in zip(points, points[1:] if len(points) > 1 else points, strict=False):
            _line(ink, start, end)
    if not (ink > DRAWN).any():
        raise DataError("Nothing is drawn. Pass strokes with points on the paper.")
    return ink


def _points(strokes: Iterable[npt.ArrayLike]) -> list[npt.NDArray[np.float64]]:
    """Return each stroke's points, (n_points, 2), or raise DataError."""
    expected = f"expected a list of strokes, each (n_points, 2): x and y, up to {FARTHEST:g}"
    try:
        each = [np.asarray(stroke, dtype=np.float64) for stroke in strokes]
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"The strokes are no arrays of numbers ({error}); {expected}.") from error
    for points in each:
        if points.ndim != 2 or points.shape[1] != 2 or not (np.abs(points) <= FARTHEST).all():
            raise DataError(f"A stroke of shape {points.shape} is none; {expected}.")
    return each


def _line(ink: npt.NDArray[np.float64], start: Any, end: Any) -> None:
    """Add a straight line to ``ink``."""
    (x0, y0), (x1, y1) = start.tolist(), end.tolist()
    reach = PEN + 1
    top, bottom = _span(min(y0, y1) - reach, max(y0, y1) + reach, ink.shape[0])
    left, right = _span(min(x0, x1) - reach, max(x0, x1) + reach, ink.shape[1])
    dx, dy = x1 - x0, y1 - y0
    square = dx * dx + dy * dy
    px = np.arange(left, right) + 0.5 - x0
    py = (np.arange(top, bottom) + 0.5 - y0)[:, np.newaxis]
    along = np.clip((px * dx + py * dy) / square, 0, 1) if square else np.zeros((1, 1))
    ex, ey = px - along * dx, py - along * dy
    covered = np.clip(PEN + 0.5 - np.sqrt(ex * ex + ey * ey), 0, 1)
    part = ink[top:bottom, left:right]
    np.maximum(part, covered, out=part)


def _span(low: float, high: float, side: int) -> tuple[int, int]:
    """Return the pixels between two places, inside of the paper."""
    return int(np.clip(np.floor(low), 0, side)), int(np.clip(np.ceil(high), 0, side))
