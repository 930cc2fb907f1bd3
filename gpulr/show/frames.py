"""Rows of features as images: their shape, their scale of grey, and the rows themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import backend_of, is_sparse, to_host
from gpulr.errors import ParameterError
from gpulr.model.one_vs_all import OneVsAll
from gpulr.validation.parameters import image_shape_of, shape_of_images

Array = Any

__all__ = ["as_images", "find_image_shape", "grey_range", "take_rows"]


def find_image_shape(
    model: OneVsAll, image_shape: tuple[int, ...] | None, X: Any = None
) -> tuple[int, ...] | None:
    """Return the shape of an image: as stated, or of X, or of the model; None for no images.

    Raises
    ------
    ParameterError
        It does not fit the features, or is no shape of an image.
    """
    if image_shape is None:
        shape = (None if X is None else shape_of_images(X)) or model.image_shape
        if shape is None or len(shape) < 2:
            return None
    else:
        shape = image_shape
    shape = image_shape_of(shape, model.n_features)
    if len(shape) == 2 or (len(shape) == 3 and _channels(shape) is not None):
        return shape
    raise ParameterError(
        f"image_shape={shape}; expected (height, width), or with 1, 3 or 4 channels "
        "(height, width, channels) or (channels, height, width), to draw an image."
    )


def as_images(rows: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return rows as images, (n, height, width) or (n, height, width, channels)."""
    images = rows.reshape(len(rows), *shape)
    if len(shape) == 3:
        if _channels(shape) == 0:
            images = np.moveaxis(images, 1, -1)
        if images.shape[-1] == 1:
            images = images[..., 0]
    return images


def _channels(shape: tuple[int, ...]) -> int | None:
    """Return which of three axes counts channels: the last, else the first, else none."""
    return next((axis for axis in (2, 0) if shape[axis] in (1, 3, 4)), None)


def take_rows(X: Array, index: npt.NDArray[np.intp]) -> Array:
    """Return some rows of a checked X, where X is; sparse ones as a dense array."""
    backend = backend_of(X)
    rows = backend.take_rows(X, backend.asarray(index))
    return rows.toarray() if is_sparse(rows) else rows


def grey_range(model: OneVsAll, rows: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the values drawn as black and white: the least and the largest of the data."""
    low, high = (float(end) for end in model.data.get("feature_range", (np.inf, -np.inf)))
    values = np.asarray(rows, dtype=np.float64)
    low, high = min(low, float(values.min())), max(high, float(values.max()))
    return low, high if high > low else low + 1.0


def to_grey(images: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float64]:
    """Return images with ``low`` as 0 and ``high`` as 1."""
    scaled: npt.NDArray[np.float64] = (images.astype(np.float64) - low) / (high - low)
    return np.clip(scaled, 0.0, 1.0)


def weights_on_host(model: OneVsAll) -> npt.NDArray[np.float64]:
    """Return the weights of the scaled X, (n_features, n_models)."""
    return to_host(model.weights).astype(np.float64) / model.scale
