"""From a drawing of any size to the image that a model sees.

Pictures (:mod:`gpulr.images.loading`) and strokes (:mod:`gpulr.images.strokes`) both end here, and
the canvas of a report takes the same steps in the same order (``reporting/ink.js``). Nothing
depends on a library's resampling, so all three agree to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError
from gpulr.model.one_vs_all import OneVsAll

DRAWN = 0.25  # ink above this, of 0 to 1, counts as drawn when a drawing is cut out
# Halves are rounded up although a sum in another order may fall short of them: a symmetric drawing
# has its centre of mass exactly between two pixels.
_NUDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Frame:
    """How the images that a model was trained on look.

    Attributes
    ----------
    shape : (height, width)
        Pixels.
    extent : float
        The share of the frame that what is drawn spans, in the direction in which it spans more;
        20/28 for MNIST.
    middle : (row, column)
        Where their centre of mass is, in pixels from 0; (14, 14) for MNIST.
    low, high : float
        Smallest and largest value of a pixel.
    bright : bool
        Dark on bright: the background is ``high``.
    """

    shape: tuple[int, int]
    extent: float
    middle: tuple[float, float]
    low: float
    high: float
    bright: bool

    @classmethod
    def of(cls, model: OneVsAll) -> Frame:
        """Return the frame of a model's training images; DataError if they were not grey images."""
        shape = model.image_shape
        if shape is None or len(shape) != 2:
            raise DataError(
                f"This model was trained on {model.data.get('name', 'data')} with "
                f"{'no image shape' if shape is None else f'image shape {shape}'}; expected "
                "(height, width) to apply it to drawings. Train with image_shape=(height, width), "
                "or on an .npz file whose X is (n, height, width); or pass rows in a data file."
            )
        row, column = model.data.get("middle", [(side - 1) / 2 for side in shape])
        low, high = model.data.get("feature_range", (0.0, 255.0))
        extent, bright = model.data.get("extent", 20 / 28), model.data.get("background") == "bright"
        middle = float(row), float(column)
        return cls((shape[0], shape[1]), float(extent), middle, float(low), float(high), bright)

    def framed(self, ink: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return a drawing cut out, scaled and centred as MNIST's digits were.

        1. Cut out the smallest rectangle that holds all ink above ``DRAWN``.
        2. Scale it, keeping its ratio, to span ``extent`` of the frame in the direction in which it
           spans more. Each pixel becomes the mean of the area that it covers.
        3. Place it on whole pixels, all of it inside, with its centre of mass as near to ``middle``
           as they allow.

        The ink is (height, width), 0 for the background to 1 for what is drawn, some of it above
        ``DRAWN``; the image has the frame's shape and values from 0 to 1.
        """
        drawn = ink > DRAWN
        rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
        cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        factor = self.extent * min(a / b for a, b in zip(self.shape, cut.shape, strict=True))
        height, width = (
            min(max(1, _rounded(factor * size)), side)
            for size, side in zip(cut.shape, self.shape, strict=True)
        )
        small = _means(cut.shape[0], height, cut.dtype) @ cut
        small = small @ _means(cut.shape[1], width, cut.dtype).T
        framed = np.zeros(self.shape)
        top, left = (
            _start(small.sum(axis=1 - axis), self.middle[axis], self.shape[axis]) for axis in (0, 1)
        )
        framed[top : top + height, left : left + width] = small
        return framed

    def row(self, framed: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return an image of ink, 0 to 1, as a row that the model takes, (height · width,)."""
        ink = framed.astype(np.float64).ravel()
        return self.low + (1 - ink if self.bright else ink) * (self.high - self.low)


def _means(size: int, parts: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the matrix (parts, size) that takes means over equal parts of ``size`` pixels."""
    step = size / parts
    begin, pixel = np.arange(parts)[:, np.newaxis] * step, np.arange(size)
    end = np.arange(1, parts + 1)[:, np.newaxis] * step
    overlap = np.minimum(end, pixel + 1) - np.maximum(begin, pixel)
    means: npt.NDArray[Any] = (np.maximum(overlap, 0) / step).astype(dtype)
    return means


def _start(mass: npt.NDArray[Any], middle: float, side: int) -> int:
    """Return where a profile of ink has to begin for its centre of mass to be in the middle."""
    centre = float(np.average(np.arange(len(mass)), weights=mass))
    return int(np.clip(_rounded(middle - centre), 0, side - len(mass)))


def _rounded(x: float) -> int:
    return int(np.floor(x + 0.5 + _NUDGE))
