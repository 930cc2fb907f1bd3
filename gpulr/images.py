"""Image files as rows that a model can be applied to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError, DataFileError
from gpulr.model import OneVsAll

__all__ = ["IMAGE_SUFFIXES", "load_images"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm")
_LARGEST = 100_000_000  # pixels; a small file can claim far more


def load_images(paths: Sequence[Path], model: OneVsAll) -> npt.NDArray[np.float32]:
    """Read image files as the rows that ``model`` expects.

    Images are converted to grey, resized to the model's image shape, and inverted if their border
    is bright: MNIST is white on black, paper is the other way round. Values are stretched to the
    range that the training data had.

    Parameters
    ----------
    paths : sequence of paths
    model : OneVsAll
        Trained on images (height, width).

    Returns
    -------
    (n_images, n_features) float32

    Raises
    ------
    DataError
        The model was not trained on grey images.
    DataFileError
        A file is missing or not an image.
    """
    shape = model.image_shape
    if shape is None or len(shape) != 2:
        raise DataError(
            f"This model was trained on {model.data.get('name', 'data')} with "
            f"{'no image shape' if shape is None else f'image shape {shape}'}; expected (height, "
            "width) to apply it to image files. Train with image_shape=, or pass a data file."
        )
    low, high = model.data.get("feature_range", (0.0, 255.0))
    rows = [_grey(path, (shape[0], shape[1])).ravel() for path in paths]
    return np.float32(low) + np.stack(rows) * np.float32(high - low)


def _grey(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return the image as (height, width) float32 in 0…1, bright on dark."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            image: Image.Image = opened
            if image.width * image.height > _LARGEST:
                raise DataFileError(
                    path, f"an image of {image.width}×{image.height} pixels", "Scale it down first."
                )
            if "A" in image.getbands() or "transparency" in image.info:
                paper = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(paper, image.convert("RGBA"))
            grey = image.convert("L").resize(shape[::-1], Image.Resampling.BOX)
    except FileNotFoundError as error:
        raise DataFileError(path, "there is no such file", "Check the path.") from error
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        raise DataFileError(
            path, f"not a readable image ({error})", "Pass a PNG or JPEG file."
        ) from error
    pixels = np.asarray(grey, dtype=np.float32) / np.float32(255)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return 1 - pixels if border.mean() > 0.5 else pixels
