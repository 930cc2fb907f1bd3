"""Image files as rows that a model can be applied to."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataFileError, ParameterError
from gpulr.framing import Frame
from gpulr.model import OneVsAll
from gpulr.photos import drawing
from gpulr.storage import replace_file

__all__ = ["IMAGE_SUFFIXES", "load_images", "make_folder", "save_framed"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm")
_ENLARGED = 280  # pixels, about, of the longer side of what is written to be looked at
_LARGEST = 100_000_000  # pixels; a small file can claim far more


def load_images(paths: Sequence[Path], model: OneVsAll) -> npt.NDArray[np.float32]:
    """Read image files as the rows that ``model`` expects.

    An image that has the model's shape is taken as it is. Of any other, what is drawn is taken off
    the page (:func:`gpulr.photos.drawing`), cut out, scaled to span as much of the frame as in the
    training images (20/28 for MNIST), and centred by its centre of mass, as MNIST's digits were
    (:class:`gpulr.framing.Frame`). Photos are turned as their EXIF data say, and colours become
    grey; what is drawn is made bright on dark or dark on bright as the training images were, and
    stretched to the range that they had.

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
        A file is missing or not an image, or nothing is drawn on it.
    """
    frame = Frame.of(model)
    inks = (_ink(path, frame.shape) for path in paths)
    rows = [frame.row(ink if ink.shape == frame.shape else frame.framed(ink)) for ink in inks]
    return np.stack(rows).astype(np.float32)


def save_framed(paths: Sequence[Path], model: OneVsAll, folder: Path) -> list[Path]:
    """Write what the model sees of image files, enlarged; those that cannot be read are left out.

    Parameters
    ----------
    paths : sequence of paths
    model : OneVsAll
        Trained on images (height, width).
    folder : path
        Made if it is missing. Of ``seven.jpg`` it gets ``seven-framed.png``, and of a second
        ``seven.jpg`` from elsewhere ``seven-framed-2.png``.

    Returns
    -------
    list of paths
        Of what was written.

    Raises
    ------
    DataError
        The model was not trained on grey images.
    FileNotWrittenError
        The disk is full, say; a picture that was there before is untouched.
    ParameterError
        The folder cannot be made, or takes no files.
    """
    from PIL import Image

    frame = Frame.of(model)
    make_folder(folder)
    block = np.ones((max(1, _ENLARGED // max(frame.shape)),) * 2)
    written: list[Path] = []
    read = {path.resolve() for path in paths}
    for path in paths:
        try:
            row = load_images([path], model)[0]
        except DataFileError:
            continue
        grey = 255 * (row.reshape(frame.shape) - frame.low) / (frame.high - frame.low)
        target, number = folder / f"{path.stem}-framed.png", 1
        while target in written or target.resolve() in read:
            number += 1
            target = folder / f"{path.stem}-framed-{number}.png"
        content = io.BytesIO()
        picture = Image.fromarray(np.kron(grey, block).round().astype(np.uint8))
        picture.save(content, format="PNG")
        replace_file(target, content.getvalue(), what="picture")
        written.append(target)
    return written


def make_folder(folder: Path) -> None:
    """Make a folder if it is missing, or raise ParameterError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError(
            f"{folder} cannot be made a folder ({error.strerror}). Name one that can be."
        ) from error


def _ink(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return the image as (height, width) float32, 0 for the background to 1 for what is drawn."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            image: Image.Image = opened
            if image.width * image.height > _LARGEST:
                raise DataFileError(
                    path, f"an image of {image.width}×{image.height} pixels", "Scale it down first."
                )
            image = ImageOps.exif_transpose(image)  # phones store how they were held
            if "A" in image.getbands() or "transparency" in image.info:
                rgba = image.convert("RGBA")
                alpha = np.asarray(rgba, dtype=np.float32)[..., 3] / 255
                drawn = np.asarray(rgba.convert("L"), dtype=np.float32)[alpha > 0.5]
                white_ink = drawn.size and alpha.min() < 0.5 and drawn.mean() > 127
                paper = Image.new("RGBA", image.size, "black" if white_ink else "white")
                image = Image.alpha_composite(paper, rgba)
            grey = _grey(image)
    except FileNotFoundError as error:
        raise DataFileError(path, "there is no such file", "Check the path.") from error
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        raise DataFileError(
            path, f"not a readable image ({error})", "Pass a PNG or JPEG file."
        ) from error
    if grey.shape == tuple(shape):
        background = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
        return grey if background <= 0.5 else 1 - grey
    ink = drawing(grey)
    if ink is None:
        raise DataFileError(
            path, "nothing is drawn on it, or too faintly", "Draw darker, or crop the image."
        )
    return ink


def _grey(image: Any) -> npt.NDArray[np.float32]:
    """Return the brightness of each pixel, (height, width) float32, 0 to 1.

    Pillow clips more than eight bits to eight. Sixteen bits are scaled here; so are numbers that
    come without a range (modes I and F), by the smallest of 1, 255 and 65535 that holds them, else
    from the smallest to the largest.
    """
    if not image.mode.startswith(("I", "F")):
        return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("not all of its pixels are finite numbers")
    low, high = float(values.min()), float(values.max())
    ranges = (65535,) if image.mode.startswith("I;16") else (1, 255, 65535)
    top = next((top for top in ranges if low >= 0 and high <= top), None)
    scaled = (values - low) / max(high - low, 1e-12) if top is None else values / top
    return scaled.astype(np.float32)
