"""What is drawn on a photographed page: the light on the paper, its edge and specks taken away."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gpulr.images.framing import DRAWN

_FAINTEST = 0.1  # how far, of the paper's brightness, a drawing has to stand out
_NOISES = 5.0  # and how many of the paper's standard deviations
_SIDE = 300  # pixels that a photo's shorter side keeps: fewer are faster, and less noisy
_EVEN = 2 / 255  # an edge that varies by no more was drawn by a computer, or is blown out
_TOLERANCE = 0.04  # paper may differ by this from the fitted surface
_SPECK = 0.02  # of the largest part's area; smaller parts are dust
_SPAN = 0.05  # of the picture's longer side: what spans less is no drawing
_AROUND = 0.8  # of the edge: what covers more of it lies around an empty page
_NO_PAPER = 0.25  # of its brightness: more noise than paper has, so the surface fits something else
_PEN = 0.09  # of the drawing's longer side: how thick a stroke is at least


def drawing(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """Return what is drawn, (height, width) float32, 0 for paper to 1; None where nothing is.

    Of brightness from 0 to 1, (height, width):

    1. Large pictures are reduced, by means over square blocks.
    2. Bright on dark becomes dark on bright.
    3. The paper's brightness, a quadratic surface fitted to all but what stands out, is divided
       out. Gentle shading goes; the edge of a shadow stays, and may be taken for ink.
    4. Ink is what is darker by a tenth of the paper, and by five standard deviations of its noise.
       Parts that touch the picture's edge lie around the page, and go, unless they are all there
       is; so do specks.
    5. Strokes of a thin pen are thickened to about what MNIST's digits have, whatever the model was
       trained on: images record no pen.
    """
    grey = _reduced(grey)
    if _is_bright_on_dark(grey):
        grey = 1 - grey
    edge = edge_of(grey)
    paper: Any = np.median(edge)
    noise = 0.0
    uneven = paper <= 0.5 or np.ptp(edge) > _EVEN
    if uneven:
        fitted, deviation = _paper(grey)
        if deviation < _NO_PAPER:
            paper, noise = fitted, deviation
        else:  # what is drawn covers most of the picture
            paper = max(paper, np.median(grey), 1e-3)
    ink = np.maximum(1 - grey / paper, 0).astype(np.float32)
    faintest = max(_FAINTEST, _NOISES * noise)
    drawn = _drawn(ink, faintest)
    if not drawn.any():
        return None
    # Not the maximum, which one noisy pixel decides; the darkest of many are noise as well.
    ink = np.minimum(ink / (np.percentile(ink[drawn], 99) - 2 * noise), 1)
    parts, _ = _parts(ink > DRAWN)
    others = (parts > 0) & ~np.isin(parts, np.unique(parts[drawn]))
    ink[ndimage.binary_dilation(others, iterations=3) & ~drawn] = 0  # with their blurred edges
    return _thickened(ink)


def edge_of(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the values on a picture's four sides, its corners twice."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def _is_bright_on_dark(grey: npt.NDArray[np.float32]) -> bool:
    # A dark edge alone lies around a bright page, and dim paper has darker ink on it.
    low, middle, high = np.percentile(grey, (0.1, 50, 99.9))
    return bool(max(middle, np.median(edge_of(grey))) <= 0.5 and high - middle > middle - low)


def _reduced(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return means over square blocks; rows and columns that fill no block are left out."""
    block = min(grey.shape) // _SIDE
    if block < 2:
        return grey
    height, width = (size // block for size in grey.shape)
    whole = grey[: height * block, : width * block]
    return whole.reshape(height, block, width, block).mean(axis=(1, 3))  # type: ignore[no-any-return]


def _paper(grey: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], float]:
    """Return the paper's brightness, (height, width), and its noise, as a share of it where dark.

    Least squares, again and again, on the pixels that the last surface is near to: first a plane
    through the brighter half, which holds little ink, then quadratic surfaces.
    """
    y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in grey.shape)
    step = math.ceil(max(grey.shape) / 150)  # a surface so smooth needs no more points
    sample, near = grey[::step, ::step], grey[::step, ::step] >= np.median(grey)
    deviation = 0.0
    for terms in (3, 3, 3, 6, 6, 6, 6, 6):
        a = _surface(y[::step], x[::step])[..., :terms]
        coefficients = np.linalg.lstsq(a[near], sample[near], rcond=None)[0]
        residual = sample - a @ coefficients
        deviation = 1.4826 * float(np.median(np.abs(residual[near])))
        found = np.abs(residual) <= max(_TOLERANCE, 3 * deviation)
        if found.sum() < 100:  # a picture of a few pixels
            break
        near = found
    fitted = _surface(y, x)[..., : len(coefficients)] @ coefficients
    paper = np.clip(fitted, max(sample[near].min(), 1e-3), 1)
    return paper.astype(np.float32), deviation / float(np.percentile(paper, 5))


def _surface(y: npt.NDArray[Any], x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the terms of a quadratic surface, (height, width, 6), the plane's three first."""
    Y, X = np.meshgrid(y, x, indexing="ij")
    return np.stack([np.ones_like(Y), Y, X, Y * Y, X * X, Y * X], axis=-1)


def _parts(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int32], int]:
    """Return parts that hang together, by corners too, numbered from 1, and how many there are."""
    return ndimage.label(mask, structure=np.ones((3, 3)))  # type: ignore[no-any-return]


def _drawn(ink: npt.NDArray[np.float32], faintest: float) -> npt.NDArray[np.bool_]:
    """Return where something is drawn, (height, width), without the edge and specks.

    What stands out clearly comes first: shadows do less, and join what is drawn to the edge.
    """
    clear = max(faintest, DRAWN * float(ink.max()))
    for threshold, edge_goes in ((clear, True), (faintest, True), (clear, False)):
        parts, n = _parts(ink > threshold)
        areas = np.bincount(parts.ravel(), minlength=n + 1)
        areas[0] = 0
        if edge_goes and not _cut_tightly(parts > 0):
            areas[np.unique(edge_of(parts))] = 0
        largest = parts == max(1, areas.argmax())
        if areas.any() and _span(largest) >= _SPAN * max(ink.shape):
            drawn: npt.NDArray[np.bool_] = (areas > _SPECK * areas.max())[parts]
            return drawn if edge_goes or edge_of(drawn).mean() < _AROUND else np.zeros_like(drawn)
    return np.zeros(ink.shape, dtype=bool)


def _cut_tightly(drawn: npt.NDArray[np.bool_]) -> bool:
    """Return whether a drawing fills the picture: on all four sides, but on little of them."""
    sides = (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1])
    return all(side.any() for side in sides) and edge_of(drawn).mean() < 0.5


def _span(mask: npt.NDArray[np.bool_]) -> int:
    """Return the longer side of the smallest rectangle that holds a mask, in pixels."""
    return max(int(np.ptp(np.flatnonzero(mask.any(axis=axis)))) + 1 for axis in (0, 1))


def _thickened(ink: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return ink with strokes at least ``_PEN`` of the drawing's span thick."""
    core = ink > 0.5
    # Over a stroke's width, distances from its edge are half of it at most, a quarter on average.
    width = 4 * float(ndimage.distance_transform_edt(np.pad(core, 1))[1:-1, 1:-1][core].mean()) - 2
    span = _span(core)
    grow = (_PEN * span - width) / (2 - 2 * _PEN)  # on each side; the span grows too
    if grow <= 0:
        return ink
    pad = math.ceil(grow) + 1
    ink, core = np.pad(ink, pad), np.pad(core, pad)
    covered = np.clip(grow + 1 - ndimage.distance_transform_edt(~core), 0, 1)
    return np.maximum(ink, covered.astype(np.float32))  # type: ignore[no-any-return]
