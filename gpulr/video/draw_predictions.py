"""The pictures of a video of predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gpulr.show.predictions import Predictions
from gpulr.video.film import Picture
from gpulr.video.sheet import BAR, INK, MUTED, PAPER, QUIET, RIGHT, TRACK, WRONG, Sheet

_TWO_COLUMNS = 13  # from so many bars on
_EASE = 6  # frames in which the bars move from one sample to the next


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What is shown, sample by sample.

    Attributes
    ----------
    predictions : Predictions
    images : (n, height, width) uint8, or with channels
    names : list of str
        Of the classes.
    bars : (n, n_bars) int64
        The classes that have a bar, in their order.
    caption : str
        Stands above the bars.
    footers : list of str
        Each stands below its sample, on the right.
    """

    predictions: Predictions
    images: npt.NDArray[np.uint8]
    names: list[str]
    bars: npt.NDArray[np.intp]
    caption: str
    footers: list[str]

    def joined(self, mask: npt.NDArray[np.bool_]) -> str:
        """Return the names of the labels that a row has."""
        return ", ".join(self.names[j] for j in np.flatnonzero(mask)) or "none"


def pictures_of(samples: Samples, size: tuple[int, int], hold: int) -> Iterator[Picture]:
    """Yield each sample's picture, for ``hold`` frames; bars move there from the one before."""
    P = samples.predictions.probabilities
    ease = _EASE if hold >= 3 * _EASE and samples.bars.shape[1] == len(samples.names) else 1
    for i in range(len(P)):
        before = P[max(i - 1, 0)]
        steps = ease if i else 1
        for step in range(1, steps):
            share = (1 - np.cos(np.pi * step / steps)) / 2
            yield _picture(samples, i, P[i], before + share * (P[i] - before), size), 1
        yield _picture(samples, i, P[i], P[i], size), hold - steps + 1


def _picture(
    samples: Samples,
    i: int,
    P: npt.NDArray[Any],
    lengths: npt.NDArray[Any],
    size: tuple[int, int],
) -> Image.Image:
    """Return the picture of sample i, with probabilities P and bars of these lengths."""
    sheet, n, right = Sheet(size), len(samples.images), samples.predictions.right
    color = RIGHT if right[i] else WRONG
    _title(sheet, samples, i, color)
    x, y, width, height = sheet.picture(64, 122, 532, samples.images[i])
    sheet.box(x - 1, y - 1, width + 2, height + 2, QUIET, outline=True)
    sheet.text(664, 138, samples.caption, size=17, color=MUTED, width=552)
    _bars(sheet, samples, i, P, lengths, color)
    sheet.text(64, 696, f"{i + 1} / {n}", size=18, color=INK, bold=True)
    x = 64 + sheet.width_of(f"{n} / {n}", size=18, bold=True) + 24
    so_far = f"{right[: i + 1].sum()} of {i + 1} right so far"
    sheet.text(x, 696, so_far, size=18, color=MUTED)
    sheet.text(1216, 696, samples.footers[i], size=18, color=MUTED, anchor="rs", width=640)
    sheet.box(0, 715, 1280 * (i + 1) / n, 5, QUIET)
    return sheet.image


def _title(sheet: Sheet, samples: Samples, i: int, color: str) -> None:
    """Write what the sample is and what it was taken for: on one line, or on two if it is long."""
    predictions = samples.predictions
    true, predicted = samples.joined(predictions.true[i]), samples.joined(predictions.predicted[i])
    mark = "✓" if color == RIGHT else "✗"
    line = f"True: {true}, Predicted: {predicted}"
    sheet.text(64, 84, mark, size=48, color=color, bold=True)
    if not predictions.multilabel and sheet.width_of(line, size=44, bold=True) <= 1092:
        sheet.text(124, 84, line, size=44, color=color, bold=True)
        return
    for y, text in ((56, f"True: {true}"), (98, f"Predicted: {predicted}")):
        sheet.text(124, y, text, size=34, color=color, bold=True, width=1092)


def _bars(
    sheet: Sheet,
    samples: Samples,
    i: int,
    P: npt.NDArray[Any],
    lengths: npt.NDArray[Any],
    color: str,
) -> None:
    """Draw a bar for each class, in one column or two."""
    bars, names = samples.bars[i], samples.names
    columns = 2 if len(bars) >= _TWO_COLUMNS else 1
    per_column = -(-len(bars) // columns)
    pitch = min(500 / per_column, 64)
    width = (552 - 28 * (columns - 1)) / columns
    text = min(24.0, 0.56 * pitch) if columns == 1 else 17.0
    for_names = (0.36 if columns == 1 else 0.3) * width
    shown = np.unique(samples.bars)  # in any picture: bars stay in place
    widest = max(sheet.width_of(names[j], size=text, bold=True) for j in shown)
    left = min(widest, for_names) + 14
    name_size = max(min(15.0, text), text * min(1.0, 0.96 * for_names / widest))
    full = width - left - sheet.width_of("100.0%", size=text, bold=True) - 10
    for place, j in enumerate(bars):
        x = 664 + (place // per_column) * (width + 28)
        y = 154 + (place % per_column + 0.5) * pitch
        top, height, filled = y - 0.31 * pitch, 0.62 * pitch, full * float(lengths[j])
        predicted = bool(samples.predictions.predicted[i, j])
        ink, fill = (color, color) if predicted else (INK, BAR)
        style: dict[str, Any] = {"bold": predicted, "color": ink, "anchor": "rm"}
        sheet.text(x + left - 14, y, names[j], size=name_size, width=left - 14, **style)
        sheet.box(x + left, top, full, height, TRACK)
        sheet.box(x + left, top, filled, height, fill)
        if samples.predictions.true[i, j]:
            _tag(sheet, x + left, y, full, filled, height)
        sheet.text(x + width, y, f"{100 * P[j]:.1f}%", size=text, **style)


def _tag(sheet: Sheet, x: float, y: float, full: float, filled: float, height: float) -> None:
    """Mark the bar of the true class: at the end of what is filled, inside if it is long."""
    size = min(16.0, 0.62 * height)
    if filled > 0.5 * full:
        sheet.text(x + filled - 8, y, "true", size=size, color=PAPER, anchor="rm")
    else:
        sheet.text(x + filled + 8, y, "true", size=size, color=INK, anchor="lm")
