"""Image files as rows that a model can be applied to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataFileError, ParameterError
from gpulr.images.decoding import png_of, read_grey
from gpulr.images.framing import Frame
from gpulr.model.one_vs_all import OneVsAll
from gpulr.output_files import replace_file

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm")
_ENLARGED = 280  # pixels, about, of the longer side of what is written to be looked at


def load_images(paths: Sequence[Path], model: OneVsAll) -> npt.NDArray[np.float32]:
    """Read image files as the rows that ``model`` expects, (n_images, n_features) float32.

    An image that has the shape of the images that the model was trained on is taken as it is. Of
    any other, what is drawn is taken off the page (:func:`gpulr.images.photos.drawing`), cut out,
    scaled to span as much of the frame as in the training images (20/28 for MNIST), and centred by
    its centre of mass, as MNIST's digits were (:class:`gpulr.images.framing.Frame`). Photos are
    turned as their EXIF data say, and colours become grey; what is drawn is made bright on dark or
    dark on bright as the training images were, and stretched to the range that they had.

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
    """Write what the model sees of image files, enlarged, and return the paths of what was written.

    The folder is made if it is missing. Of ``seven.jpg`` it gets ``seven-framed.png``, and of a
    second ``seven.jpg`` from elsewhere ``seven-framed-2.png``. Files that cannot be read are left
    out.

    Raises
    ------
    DataError
        The model was not trained on grey images.
    ParameterError
        The folder cannot be made.
    FileNotWrittenError
        A picture cannot be written.
    """
    frame = Frame.of(model)
    make_folder(folder)
    block = np.ones((max(1, _ENLARGED // max(frame.shape)),) * 2)
    written, read = list[Path](), {path.resolve() for path in paths}
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
        picture = np.kron(grey, block).round().astype(np.uint8)
        replace_file(target, png_of(picture), what="picture")
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
    from gpulr.images.photos import drawing, edge_of  # not before: SciPy's images take 0.2 s

    grey = read_grey(path)
    if grey.shape == tuple(shape):
        return grey if np.median(edge_of(grey)) <= 0.5 else 1 - grey
    ink = drawing(grey)
    if ink is None:
        raise DataFileError(
            path, "nothing is drawn on it, or too faintly", "Draw darker, or crop the image."
        )
    return ink
