"""The pictures of a video of predictions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gpulr.video.sheet import BAR, INK, MUTED, PAPER, QUIET, RIGHT, TRACK, WRONG, Sheet

if TYPE_CHECKING:
    from gpulr.video.predicting import Shots

__all__ = ["pictures_of"]

_TWO_COLUMNS = 13  # from so many bars on
_EASE = 6  # frames in which the bars move from one sample to the next


def pictures_of(
    shots: Shots, images: npt.NDArray[np.uint8], size: tuple[int, int], hold: int
) -> Iterator[tuple[Image.Image, int]]:
    """Yield each sample's picture, for ``hold`` frames; bars move there from the one before."""
    ease = _EASE if hold >= 3 * _EASE and shots.bars.shape[1] == len(shots.names) else 1
    for i in range(len(images)):
        before = shots.P[max(i - 1, 0)]
        steps = ease if i else 1
        for step in range(1, steps):
            share = (1 - np.cos(np.pi * step / steps)) / 2
            yield _picture(shots, images, i, before + share * (shots.P[i] - before), size), 1
        yield _picture(shots, images, i, shots.P[i], size), hold - steps + 1


def _picture(
    shots: Shots,
    images: npt.NDArray[np.uint8],
    i: int,
    lengths: npt.NDArray[np.float64],
    size: tuple[int, int],
) -> Image.Image:
    """Return the picture of sample i, with bars of these lengths (n_classes,)."""
    sheet, n, right = Sheet(size), len(images), shots.right
    color = RIGHT if right[i] else WRONG
    _title(sheet, shots, i, color)
    place = sheet.picture(64, 122, 532, images[i])
    sheet.box(place[0] - 1, place[1] - 1, place[2] + 2, place[3] + 2, QUIET, outline=True)
    sheet.text(664, 138, shots.caption, size=17, color=MUTED, width=552)
    _bars(sheet, shots, i, lengths, color)
    counts = f"{i + 1} / {n}"
    sheet.text(64, 696, counts, size=18, color=INK, bold=True)
    so_far = f"{right[: i + 1].sum()} of {i + 1} right so far"
    sheet.text(
        64 + sheet.width_of(f"{n} / {n}", size=18, bold=True) + 24,
        696,
        so_far,
        size=18,
        color=MUTED,
    )
    sheet.text(1216, 696, shots.footers[i], size=18, color=MUTED, anchor="rs", width=640)
    sheet.box(0, 715, 1280 * (i + 1) / n, 5, QUIET)
    return sheet.image


def _title(sheet: Sheet, shots: Shots, i: int, color: str) -> None:
    """Write what the sample is and what it was taken for: on one line, or on two if it is long."""
    true, predicted = shots.words(shots.true[i]), shots.words(shots.predicted[i])
    mark = "✓" if color == RIGHT else "✗"
    line = f"True: {true}, Predicted: {predicted}"
    sheet.text(64, 84, mark, size=48, color=color, bold=True)
    if not shots.several and sheet.width_of(line, size=44, bold=True) <= 1092:
        sheet.text(124, 84, line, size=44, color=color, bold=True)
        return
    for y, text in ((56, f"True: {true}"), (98, f"Predicted: {predicted}")):
        sheet.text(124, y, text, size=34, color=color, bold=True, width=1092)


def _bars(sheet: Sheet, shots: Shots, i: int, lengths: npt.NDArray[np.float64], color: str) -> None:
    """Draw a bar for each class, in one column or two."""
    bars = shots.bars[i]
    columns = 2 if len(bars) >= _TWO_COLUMNS else 1
    per_column = -(-len(bars) // columns)
    pitch = min(500 / per_column, 64)
    width = (552 - 28 * (columns - 1)) / columns
    text = min(24.0, 0.56 * pitch) if columns == 1 else 17.0
    room = (0.36 if columns == 1 else 0.3) * width
    shown = [shots.names[j] for j in np.unique(shots.bars)]  # in any picture: bars stay in place
    widest = max(sheet.width_of(name, size=text, bold=True) for name in shown)
    left = min(widest, room) + 14
    name_size = max(min(15.0, text), text * min(1.0, 0.96 * room / widest))
    number = sheet.width_of("100.0%", size=text, bold=True) + 10
    full = width - left - number
    for place, j in enumerate(bars):
        x = 664 + (place // per_column) * (width + 28)
        y = 154 + (place % per_column + 0.5) * pitch
        predicted, true = shots.predicted[i, j], shots.true[i, j]
        ink = color if predicted else INK
        style: dict[str, Any] = {"bold": bool(predicted), "color": ink, "anchor": "rm"}
        sheet.text(x + left - 14, y, shots.names[j], size=name_size, width=left - 14, **style)
        sheet.box(x + left, y - 0.31 * pitch, full, 0.62 * pitch, TRACK)
        filled = full * float(lengths[j])
        sheet.box(x + left, y - 0.31 * pitch, filled, 0.62 * pitch, color if predicted else BAR)
        if true:
            _tag(sheet, x + left, y, full, filled, 0.62 * pitch)
        percent = f"{100 * shots.P[i, j]:.1f}%"
        sheet.text(x + width, y, percent, size=text, **style)


def _tag(sheet: Sheet, x: float, y: float, full: float, filled: float, height: float) -> None:
    """Mark the bar of the true class: at the end of what is filled, inside if it is long."""
    size = min(16.0, 0.62 * height)
    if filled > 0.5 * full:
        sheet.text(x + filled - 8, y, "true", size=size, color=PAPER, anchor="rm")
    else:
        sheet.text(x + filled + 8, y, "true", size=size, color=INK, anchor="lm")
