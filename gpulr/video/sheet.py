"""A sheet to draw on, in units of 1280 × 720, whatever the size of the video in pixels."""

from __future__ import annotations

import bisect
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, features

from gpulr.errors import needs_extra
from gpulr.show.labels import shortened

WIDTH, HEIGHT = 1280, 720
LONGEST = 200  # characters of a text, which is then cut to the width that it has
_FINER = 4

# Bluish green, vermilion and blue of Okabe and Ito (2008), which the colour-blind tell apart, and
# greys.
RIGHT, WRONG, BLUE = "#009E73", "#D55E00", "#0072B2"
BAR = "#8296AB"
PAPER, INK, MUTED, QUIET, TRACK = "#FFFFFF", "#1B1F24", "#59636E", "#9AA7B5", "#EBEEF1"


class Sheet:
    """An RGB picture of (width, height) pixels, with 1280 × 720 units centred in it."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.image = Image.new("RGB", size, PAPER)
        self._draw = ImageDraw.Draw(self.image)
        self._scale = min(size[0] / WIDTH, size[1] / HEIGHT)
        self._left = (size[0] - WIDTH * self._scale) / 2
        self._top = (size[1] - HEIGHT * self._scale) / 2

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        color: str = INK,
        bold: bool = False,
        anchor: str = "ls",
        width: float = math.inf,
        in_middle: bool = False,
    ) -> float:
        """Write one line at (x, y), cut off with … beyond ``width``; returns its width.

        Of names that begin alike what is left out may be ``in_middle``.

        ``anchor`` is Pillow's: l, m or r, then s for the baseline or m for the middle.
        """
        font = _font(round(size * self._scale), bold, *_letters_of(text))
        text = _cut(text, font, width * self._scale, in_middle=in_middle)
        self._draw.text(self._at(x, y), text, fill=color, font=font, anchor=anchor)
        return font.getlength(text) / self._scale

    def width_of(self, text: str, *, size: float, bold: bool = False) -> float:
        """Return how wide a line of text would be."""
        font = _font(round(size * self._scale), bold, *_letters_of(text))
        return font.getlength(text) / self._scale

    def box(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """Fill a rectangle; one narrower than a pixel is not seen."""
        (left, top), (right, bottom) = self._at(x, y), self._at(x + width, y + height)
        if right > left and bottom > top:
            self._draw.rectangle((left, top, right - 1, bottom - 1), fill=color)

    def curve(
        self, points: npt.NDArray[np.float64], color: str, *, width: float, dot: float
    ) -> None:
        """Draw a smooth line through points (n, 2), with a dot of radius ``dot`` at the last."""
        pixels = points * self._scale + (self._left, self._top)
        margin = math.ceil((dot + width) * self._scale) + 1
        corner = np.floor(pixels.min(axis=0)) - margin
        size = np.ceil(pixels.max(axis=0) - corner).astype(int) + margin
        at = (pixels - corner) * _FINER  # Pillow draws lines with steps: draw larger, then average
        mask = Image.new("L", (int(size[0]) * _FINER, int(size[1]) * _FINER))
        draw, thick = ImageDraw.Draw(mask), width * self._scale * _FINER
        if len(at) > 1:
            draw.line(at.ravel().tolist(), fill=255, width=max(1, round(thick)), joint="curve")
        radius = dot * self._scale * _FINER
        x, y = at[-1].tolist()
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        mask = mask.reduce(_FINER)
        left, top = corner.astype(int).tolist()
        self.image.paste(color, (left, top, left + mask.width, top + mask.height), mask)

    def picture(
        self, x: float, y: float, side: float, pixels: npt.NDArray[np.uint8]
    ) -> tuple[float, float]:
        """Show grey or coloured pixels as large as fits in a square, centred in it, and outlined.

        Each becomes a square of a whole number of the video's pixels, so that edges are sharp; an
        image that has more pixels than the square is averaged instead. Returns x and y of where it
        begins.
        """
        (height, width), scale = pixels.shape[:2], self._scale
        factor = side * scale / max(height, width)
        if factor >= 1:
            factor = math.floor(factor)
        w, h = max(1, round(width * factor)), max(1, round(height * factor))
        resample = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX
        left, top = self._at(x + (side - w / scale) / 2, y + (side - h / scale) / 2)
        self.image.paste(Image.fromarray(pixels).resize((w, h), resample), (left, top))
        x, y = (left - self._left) / scale, (top - self._top) / scale
        (left, top), (right, bottom) = (
            self._at(x - 1, y - 1),
            self._at(x + w / scale + 1, y + h / scale + 1),
        )
        corners = (left, top, right - 1, bottom - 1)
        self._draw.rectangle(corners, outline=QUIET, width=max(1, round(scale)))
        return x, y

    def _at(self, x: float, y: float) -> tuple[int, int]:
        return round(self._left + x * self._scale), round(self._top + y * self._scale)


@lru_cache(maxsize=64)
def _font(pixels: int, bold: bool, file: str | None, turned: bool) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with matplotlib: the same on every machine; or another.

    What is read from the right is ``turned`` where Pillow has libraqm.
    """
    with needs_extra("video", "Text in videos needs the fonts of matplotlib"):
        import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = file or Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    # Without libraqm, which not every Pillow has: the same picture everywhere.
    layout = ImageFont.Layout.RAQM if turned else ImageFont.Layout.BASIC
    return ImageFont.truetype(path, max(6, pixels), layout_engine=layout)


@lru_cache(maxsize=1024)
def _letters_of(text: str) -> tuple[str | None, bool]:
    """Return the file of an installed font where DejaVu Sans lacks what is to be written.

    And whether some of it is read from the right.
    """
    if text.isascii():
        return None, False
    with needs_extra("video", "Text in videos needs the fonts of matplotlib"):
        from gpulr.show.lettering import RIGHT_TO_LEFT, font_file

    turned = bool(RIGHT_TO_LEFT.search(text)) and bool(features.check("raqm"))
    return font_file(text), turned


def _cut(text: str, font: ImageFont.FreeTypeFont, width: float, *, in_middle: bool = False) -> str:
    """Return the text, or as much of it as fits with … behind it, or in its middle."""
    text = text[:1000]  # more never fits, and would take long to measure
    if font.getlength(text) <= width:
        return text

    def beginning(n: int) -> str:
        return shortened(text, n + 1) if in_middle else text[:n] + "…"

    fits = bisect.bisect_right(
        range(1, len(text)), width, key=lambda n: font.getlength(beginning(n))
    )
    return beginning(fits)
