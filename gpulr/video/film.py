"""What both kinds of video share: their record, and rows as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gpulr.errors import DataError
from gpulr.model.one_vs_all import OneVsAll
from gpulr.words import brief

__all__ = ["Film", "Progress", "channels_last", "counted", "shape_of", "to_pixels"]

Progress = Callable[[int, int], object]
Picture = tuple[Image.Image, int]


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


def counted(
    pictures: Iterable[Picture], total: int, progress: Progress | None
) -> Iterator[Picture]:
    """Yield pictures, and tell ``progress`` how many frames are done, of ``total``."""
    done = 0
    for picture, repeats in pictures:
        yield picture, repeats
        done += repeats
        if progress is not None:
            progress(done, total)


def shape_of(model: OneVsAll) -> tuple[int, ...]:
    """Return the shape of the model's images: (height, width), or with 1 or 3 channels.

    Raises
    ------
    DataError
        It was not trained on images, or not on such.
    """
    shape = model.image_shape
    if shape is None:
        raise DataError(
            f"This model was trained on {model.data.get('name', 'data')}, rows of "
            f"{model.n_features} numbers without an image shape, and a video shows images. If the "
            "rows are images, train with image_shape=(height, width), or on an .npz file whose X "
            "is (n, height, width)."
        )
    if len(shape) == 2 or (len(shape) == 3 and {shape[0], shape[-1]} & {1, 3}):
        return shape
    raise DataError(
        f"This model was trained on images of shape {shape}; a video shows (height, width) or "
        "(height, width, 3). Train with such an image_shape=."
    )


def channels_last(images: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return rows (n, n_features) as (n, height, width, channels)."""
    images = images.reshape(-1, *shape)
    if len(shape) == 2:
        return images[..., np.newaxis]
    return images if shape[-1] in (1, 3) else np.moveaxis(images, 1, -1)


def to_pixels(
    X: npt.NDArray[Any], shape: tuple[int, ...], feature_range: Any = None
) -> npt.NDArray[np.uint8]:
    """Return rows as pictures (n, height, width, 3), black at the least value, white at most.

    ``feature_range`` is the least and the most; without, those of these rows.
    """
    low, high = feature_range or (float(X.min()), float(X.max()))
    spread = (X.astype(np.float64) - low) / ((high - low) or 1.0)
    grey = np.rint(255 * np.clip(spread, 0, 1)).astype(np.uint8)
    pictures = channels_last(grey, shape)
    return np.broadcast_to(pictures, (*pictures.shape[:3], 3))
