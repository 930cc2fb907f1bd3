"""Weights and rows as small PNG files, embedded in the page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.model.one_vs_all import OneVsAll

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["can_be_shown", "row_pictures", "weight_pictures"]

LONGEST_SIDE = 48  # pixels; larger images are scaled down
LEVELS = 31  # of each sign
NEGATIVE, POSITIVE = (36, 113, 199), (214, 72, 40)  # seen on white and on black


def can_be_shown(shape: tuple[int, ...] | None) -> bool:
    """Whether rows of this shape are grey or RGB images."""
    return shape is not None and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)))


def weight_pictures(model: OneVsAll, most: int) -> tuple[list[str], float]:
    """Return the first ``most`` models' weights as pictures, and the weight that is full colour.

    Blue is negative, red positive, nothing transparent, on one scale for all. That is the 99th
    percentile of the sizes that are not 0, so that single pixels do not decide it. Of colour images
    the mean over the channels is shown.
    """
    shape = model.image_shape
    assert shape is not None
    W = to_host(model.weights).astype(np.float64).T.reshape(model.n_models, *shape[:2], -1).mean(3)
    sizes = np.abs(W[W != 0])
    scale = float(np.quantile(sizes, 0.99)) if sizes.size else 1.0
    steps = np.linspace(-1, 1, 2 * LEVELS + 1)
    palette = [c for step in steps for c in (NEGATIVE if step < 0 else POSITIVE)]
    alpha = bytes((255 * np.abs(steps)).round().astype(np.uint8))
    index = (np.clip(W[:most] / scale, -1, 1) * LEVELS).round().astype(np.uint8) + np.uint8(LEVELS)
    pictures = []
    for image in index:
        picture = _image(image, "P")
        picture.putpalette(palette)
        pictures.append(_png(picture, transparency=alpha))
    return pictures, scale


def row_pictures(rows: npt.NDArray[Any], model: OneVsAll) -> list[str]:
    """Return rows (n_rows, n_features) as pictures, black the smallest value of training."""
    shape = model.image_shape
    assert shape is not None
    low, high = model.data.get("feature_range", (0.0, 255.0))
    grey = np.clip((rows.astype(np.float64) - low) / ((high - low) or 1), 0, 1)
    values = (255 * grey).round().astype(np.uint8).reshape(-1, *shape)
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    return [_png(_image(image, "RGB" if image.ndim == 3 else "L")) for image in values]


def _image(values: npt.NDArray[np.uint8], mode: str) -> Image.Image:
    from PIL import Image

    stride = max(1, -(-max(values.shape[:2]) // LONGEST_SIDE))
    image = Image.fromarray(np.ascontiguousarray(values[::stride, ::stride]))
    if image.mode != mode:  # a palette's indices
        grey, image = image, Image.new(mode, image.size)
        image.putdata(list(grey.tobytes()))
    return image


def _png(image: Image.Image, **options: Any) -> str:
    """Return the picture as the address of an <img>."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True, **options)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
