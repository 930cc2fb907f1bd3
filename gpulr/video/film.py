"""What both kinds of video share: the record of what was written, and the shape of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gpulr.errors import DataError
from gpulr.model.one_vs_all import OneVsAll
from gpulr.show.predictions import is_image
from gpulr.words import brief

Progress = Callable[[int, int], object]
Picture = tuple[Image.Image, int]  # and the number of frames that it is shown for


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """A video that was written.

    Attributes
    ----------
    path : Path
    frames, fps : int
    size : (int, int)
        Width and height in pixels.
    accuracy : float
        Of the predictions shown, or of the last iteration; of a multi-label model, the share of
        rows of which all labels are right.
    rows : (n,) int64, or None
        Of X, the rows shown.
    """

    path: Path
    frames: int
    fps: int
    size: tuple[int, int]
    accuracy: float
    rows: npt.NDArray[np.int64] | None = None

    __repr__ = brief

    @property
    def seconds(self) -> float:
        """How long it takes to watch."""
        return self.frames / self.fps


def shape_of(model: OneVsAll) -> tuple[int, ...]:
    """Return the shape of the images that the model was trained on.

    Raises
    ------
    DataError
        It was not trained on images, or on images that a video cannot show.
    """
    shape = model.image_shape
    if shape is None:
        raise DataError(
            f"This model was trained on {model.data.get('name', 'data')}, rows of "
            f"{model.n_features} numbers without an image shape, and a video shows images. If the "
            "rows are images, train with image_shape=(height, width), or on an .npz file whose X "
            "is (n, height, width)."
        )
    if is_image(shape):
        return shape
    raise DataError(
        f"This model was trained on images of shape {shape}; a video shows (height, width) or "
        "(height, width, 3). Train with such an image_shape=."
    )
