"""Weights and rows as small PNG files, embedded in the page."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gpulr.backend import to_host
from gpulr.model.one_vs_all import OneVsAll
from gpulr.show.predictions import as_bytes, grey_images, weight_images, weight_limit

LONGEST_SIDE = 48  # pixels; larger images are scaled down
LEVELS = 31  # of each sign
NEGATIVE, POSITIVE = (36, 113, 199), (214, 72, 40)  # seen on white and on black


def weight_pictures(model: OneVsAll, most: int) -> tuple[list[str], float]:
    """Return the first ``most`` models' weights as pictures, and the weight that is full colour.

    Blue is negative, red positive, and nothing is transparent, on one scale for all.
    """
    assert model.image_shape is not None
    images = weight_images(to_host(model.weights).astype(np.float64), model.image_shape)
    limit = weight_limit(images)
    steps = np.linspace(-1, 1, 2 * LEVELS + 1)
    palette = [c for step in steps for c in (NEGATIVE if step < 0 else POSITIVE)]
    alpha = bytes(as_bytes(np.abs(steps)))
    pictures = []
    for image in np.clip(images[:most] / limit, -1, 1):
        picture = _image((image * LEVELS + LEVELS).round().astype(np.uint8))
        picture.putpalette(palette)
        pictures.append(_png(picture, transparency=alpha))
    return pictures, limit


def row_pictures(rows: npt.NDArray[Any], model: OneVsAll) -> list[str]:
    """Return rows (n_rows, n_features) as pictures."""
    assert model.image_shape is not None
    return [_png(_image(each)) for each in as_bytes(grey_images(model, rows, model.image_shape))]


def _image(values: npt.NDArray[np.uint8]) -> Image.Image:
    stride = max(1, -(-max(values.shape[:2]) // LONGEST_SIDE))
    return Image.fromarray(np.ascontiguousarray(values[::stride, ::stride]))


def _png(image: Image.Image, **options: Any) -> str:
    """Return the picture as the address of an <img>."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True, **options)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
