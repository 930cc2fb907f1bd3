"""Image files as brightness, and brightness as image files, by Pillow: its one owner here.

Pillow takes whatever memory a file claims; here that is bounded.
"""

from __future__ import annotations

import io
import math
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.datasets.readers.checks import BoundedFile, checked
from gpulr.errors import DataFileError, needs_extra
from gpulr.output_files import path_of

_DECODED = 640 * 1024**2  # bytes that an image may take while it is decoded
_LONGEST = 1_000_000  # pixels on a side: Pillow has a pointer for each row, and decodes row by row
# Pixels that are kept of a larger image; `photos.drawing` reduces it anyway, unless it is narrow.
_KEPT, _KEPT_OF_NARROW = 16_000_000, 4_000_000
_NARROW = 600  # pixels
_STRIP = 4_000_000  # pixels converted and reduced at a time
_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # others: 4
_COPIES = {"WEBP": 3, "GIF": 3}  # of the pixels while they are decoded, by format; others: 1


def read_grey(path: Path) -> npt.NDArray[np.float32]:
    """Return the brightness of an image file's pixels, (height, width) float32, 0 to 1.

    It is turned as its EXIF data say; what is transparent lies on white paper, or on black, if what
    is drawn is bright. Large photos are reduced while they are decoded (JPEG) or afterwards.

    Raises DataFileError for a file that is missing, no regular file, damaged, no image, or would
    take too much memory; ParameterError for what is no path; MissingExtraError without Pillow.
    """
    path = path_of("path", path)
    with checked(path, "an image"):
        with needs_extra("plot", "Reading pictures needs Pillow"):
            from PIL import ImageOps
        with BoundedFile(path) as file, _opened(path, file) as opened:
            _limit(opened, path)
            image, sixteen_bits = _reduced(opened), opened.mode.startswith("I;16")
            return _grey(_opaque(ImageOps.exif_transpose(image)), sixteen_bits=sixteen_bits)


def png_of(grey: npt.NDArray[np.uint8]) -> bytes:
    """Return a PNG file of these pixels, (height, width)."""
    with needs_extra("plot", "Writing pictures needs Pillow"):
        from PIL import Image

    content = io.BytesIO()
    Image.fromarray(grey).save(content, format="PNG")
    return content.getvalue()


def _opened(path: Path, file: BoundedFile) -> Any:
    from PIL import Image, UnidentifiedImageError
    from PIL.JpegImagePlugin import JpegImageFile

    is_jpeg = file.read(3) == b"\xff\xd8\xff"
    file.seek(0)
    if is_jpeg:
        # Image.open warns of 90 megapixels and refuses 180, which phones have; and of a JPEG file
        # no more are decoded than are needed.
        return JpegImageFile(file)
    try:
        opened = Image.open(file)
    except UnidentifiedImageError as error:
        raise DataFileError(path, "not a readable image", "Pass a PNG or JPEG file.") from error
    if opened.format == "EPS":  # a program, which Pillow has another program run
        opened.close()
        raise DataFileError(path, "is PostScript, no image", "Pass a PNG or JPEG file.")
    return opened


def _limit(image: Any, path: Path) -> None:
    """Have a large JPEG file decoded smaller; refuse what takes more than ``_DECODED`` bytes."""
    (width, height), coefficients = image.size, 0
    if image.format == "JPEG":
        if "progression" in image.info:  # all of its coefficients are kept, in two bytes each
            coefficients = 2 * width * height * len(image.getbands())
        factor = next((f for f in (1, 2, 4) if width * height <= f * f * _KEPT), 8)
        if factor > 1:
            image.draft("L", (width // factor, height // factor))
    needed = math.prod(image.size) * _BYTES.get(image.mode, 4) + coefficients
    needed *= _COPIES.get(image.format, 1)
    if needed > _DECODED or max(width, height) > _LONGEST:
        raise DataFileError(
            path,
            f"an image of {width}×{height} pixels, which takes {needed:,} bytes to decode; at most "
            f"{_DECODED:,} are spent, and {_LONGEST:,} pixels on a side",
            "Scale it down, or save it as a JPEG file that is not progressive.",
        )


def _reduced(image: Any) -> Any:
    """Return an image, or of a large one means over square blocks, computed strip by strip."""
    from PIL import Image

    kept = _KEPT_OF_NARROW if min(image.size) < _NARROW else _KEPT
    if math.prod(image.size) <= kept:
        return image

    def blocks(side: int) -> tuple[int, int]:  # in a row and in a column, with those cut short
        return -(-image.width // side), -(-image.height // side)

    block = next(b for b in count(2) if math.prod(blocks(b)) <= kept)
    mode = image.mode[0] if image.mode.startswith(("I", "F")) else "L"
    if _has_alpha(image):
        mode = "RGBA"
    small = Image.new(mode, blocks(block))
    rows = block * max(1, _STRIP // (image.width * block))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        small.paste(strip.convert(mode).reduce(block), (0, top // block))
    small.info = image.info  # which holds the EXIF data
    return small


def _has_alpha(image: Any) -> bool:
    return "A" in image.getbands() or "transparency" in image.info


def _opaque(image: Any) -> Any:
    """Return an image on paper: white, or black under bright ink."""
    from PIL import Image

    if not _has_alpha(image):
        return image
    rgba = image.convert("RGBA")
    alpha = np.asarray(rgba.getchannel("A"), dtype=np.float32) / 255
    drawn = np.asarray(rgba.convert("L"), dtype=np.float32)[alpha > 0.5]
    white_ink = drawn.size and alpha.min() < 0.5 and drawn.mean() > 127
    paper = Image.new("RGBA", image.size, "black" if white_ink else "white")
    return Image.alpha_composite(paper, rgba)


def _grey(image: Any, *, sixteen_bits: bool) -> npt.NDArray[np.float32]:
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
    ranges = (65535,) if sixteen_bits else (1, 255, 65535)
    top = next((top for top in ranges if low >= 0 and high <= top), None)
    scaled = (values - low) / max(high - low, 1e-12) if top is None else values / top
    return scaled.astype(np.float32)
