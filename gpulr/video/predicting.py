"""A video of one sample after the other: its image, what it is, and what it is taken for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gpulr.backend import to_host
from gpulr.errors import DataError
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.show.labels import label_text, label_texts
from gpulr.show.predictions import (
    Predictions,
    as_bytes,
    grey_images,
    most_probable,
    take_rows,
    true_names,
)
from gpulr.validation.parameters import positive_number, whole_number
from gpulr.video.film import Film, Picture, Progress, checked, encode, shape_of
from gpulr.video.sheet import BAR, INK, LONGEST, MUTED, PAPER, QUIET, RIGHT, TRACK, WRONG, Sheet

_MOST, _TOP = 30, 10  # beyond so many classes, the ten most probable have bars
_MOST_LONG = 12  # of names longer than 8 letters, which do not fit into two columns
_TWO_COLUMNS = 13  # from so many bars on
_EASE = 6  # frames in which the bars move from one sample to the next


def predictions(
    model: OneVsAll,
    X: Any,
    y: Any,
    path: str | Path,
    *,
    samples: int = 60,
    seconds: float = 1.5,
    seed: int = 0,
    mistakes: bool = False,
    size: tuple[int, int] = (1280, 720),
    fps: int = 30,
    progress: Progress | None = None,
) -> Film:
    """Write a video of a model at work: samples drawn at random, and its prediction of each.

    The image stands on the left, under "True: 7, Predicted: 7", in green with a ✓ or vermilion with
    a ✗. On the right, a bar for each class has the probability that its own model gives; these do
    not sum to 1. With more than 30 classes, or more than 12 with long names, there are bars for the
    ten most probable classes and the true one. Needs the extra ``video``.

    Parameters
    ----------
    model : OneVsAll
        A model that was trained on images.
    X : (n_samples, n_features), or images
        Rows, as they were passed to training.
    y : (n_samples,), or (n_samples, n_labels) of 0 and 1 for a multi-label model
        Their labels.
    path : path-like
        The file to write, whose name ends in .mp4; a file that is there is replaced when the video
        is complete.
    samples : int
        How many rows to show; all, in random order, if there are fewer.
    seconds : float
        How long each is shown.
    seed : int
        Seed of the draw: the same seed gives the same rows, and the same file.
    mistakes : bool
        Whether to show only rows that are predicted wrong, with several labels in any of them.
    size : (int, int)
        Width and height in pixels, even numbers.
    fps : int
        Frames per second.
    progress : callable, optional
        Called with the number of frames done, and of all.

    Returns
    -------
    Film

    Raises
    ------
    DataError
        The model was not trained on images; X or y do not belong to it; there are no mistakes.
    DataFileError
        The video could not be written.
    MissingExtraError
        PyAV is not installed.
    ParameterError
        A setting cannot be used.
    """
    path, size, fps = checked(path, size, fps)
    samples = whole_number("samples", samples, least=1)
    seed = whole_number("seed", seed, least=0, most=None)
    hold = max(1, round(positive_number("seconds", seconds) * fps))
    shape_of(model)
    X = rows_for(model, X)
    n_rows = int(X.shape[0])
    true = true_names(model, y, n_rows)
    among: npt.NDArray[np.int64] = np.arange(n_rows)
    if mistakes:
        among = np.flatnonzero(~Predictions.of(model, X, true).right)
        if not len(among):
            raise DataError(f"All {n_rows:,} rows are predicted right; leave mistakes=True out.")
    rows = np.random.default_rng(seed).choice(among, min(samples, len(among)), replace=False)
    shown = samples_of(model, to_host(take_rows(X, rows)), true[rows], rows)
    if mistakes:
        shown = replace(shown, told=f"{len(among):,} of {n_rows:,} rows are predicted wrong")
    pictures, frames = pictures_of(shown, size, hold), len(rows) * hold
    encode(path, pictures, size=size, fps=fps, total=frames, progress=progress)
    return Film(path, frames, fps, size, float(shown.predictions.right.mean()), rows)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What is shown, sample by sample.

    Images are (n, height, width) uint8, or with channels; ``names`` are those of the classes.
    ``bars`` (n, n_bars) are the classes that have a bar, in their order, under ``caption``. Each
    footer stands below its sample, on the right; on the left what is ``told`` of all, or how many
    were right so far.
    """

    predictions: Predictions
    images: npt.NDArray[np.uint8]
    names: list[str]
    bars: npt.NDArray[np.intp]
    caption: str
    footers: list[str]
    told: str = ""

    def joined(self, mask: npt.NDArray[np.bool_]) -> str:
        """Return the names of the labels that a row has."""
        return ", ".join(self.names[j] for j in np.flatnonzero(mask)) or "none"


def samples_of(
    model: OneVsAll, X: npt.NDArray[Any], true: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64]
) -> Samples:
    """Predict the rows of X, which are these rows of the data, and say what is shown of each."""
    predictions, k = Predictions.of(model, X, true), len(model.classes)
    caption = "Each class by its own model: they need not sum to 100%"
    if model.multilabel:
        at = "50%" if model.thresholds is None else "its own threshold"
        caption = f"Each label by its own model; predicted above {at}"
    elif model.n_models == 1:
        caption = "Probability, by one model of two classes"
    bars: npt.NDArray[np.intp] = np.broadcast_to(np.arange(k), true.shape)
    names = label_texts(model.classes, LONGEST)
    if k > (_MOST if max(map(len, names)) <= 8 else _MOST_LONG):
        caption = f"The {_TOP} most probable of {k:,} classes, each by its own model"
        bars = most_probable(predictions.above, _TOP)
        # The true class takes the last place, if it is not among them.
        missed = ~np.take_along_axis(true, bars, axis=1).any(axis=1) & true.any(axis=1)
        bars[missed, -1] = true[missed].argmax(axis=1)
    source = label_text(model.data.get("name", "data"), LONGEST)
    return Samples(
        predictions,
        as_bytes(grey_images(model, X, shape_of(model))),
        names,
        bars,
        caption,
        [f"{source}, row {row:,}" for row in rows],
    )


def pictures_of(samples: Samples, size: tuple[int, int], hold: int) -> Iterator[Picture]:
    """Yield each sample's picture, for ``hold`` frames; bars move there from the one before."""
    P = samples.predictions.probabilities
    ease = _EASE if hold >= 3 * _EASE and samples.bars.shape[1] == len(samples.names) else 1
    for i in range(len(P)):
        before = P[max(i - 1, 0)]
        steps = ease if i else 1
        for step in range(1, steps):
            share = (1 - np.cos(np.pi * step / steps)) / 2
            yield _picture(samples, i, before + share * (P[i] - before), size), 1
        yield _picture(samples, i, P[i], size), hold - steps + 1


def _picture(samples: Samples, i: int, P: npt.NDArray[Any], size: tuple[int, int]) -> Image.Image:
    """Return the picture of sample i, with bars and numbers of these probabilities."""
    sheet, n, right = Sheet(size), len(samples.images), samples.predictions.right
    color = RIGHT if right[i] else WRONG
    _title(sheet, samples, i, color)
    sheet.picture(64, 122, 532, samples.images[i])
    sheet.text(664, 138, samples.caption, size=17, color=MUTED, width=552)
    _bars(sheet, samples, i, P, color)
    sheet.text(64, 696, f"{i + 1} / {n}", size=18, color=INK, bold=True)
    x = 64 + sheet.width_of(f"{n} / {n}", size=18, bold=True) + 24
    so_far = samples.told or f"{right[: i + 1].sum()} of {i + 1} right so far"
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
        top, height, filled = y - 0.31 * pitch, 0.62 * pitch, full * float(P[j])
        predicted = bool(samples.predictions.predicted[i, j])
        ink, fill = (color, color) if predicted else (INK, BAR)
        style: dict[str, Any] = {"bold": predicted, "color": ink, "anchor": "rm"}
        sheet.text(x + left - 14, y, names[j], size=name_size, width=left - 14, **style)
        sheet.box(x + left, top, full, height, TRACK)
        sheet.box(x + left, top, filled, height, fill)
        if samples.predictions.true[i, j]:
            # At the end of what is filled, inside if that is long.
            space, tag, anchor = (-8, PAPER, "rm") if filled > 0.5 * full else (8, INK, "lm")
            how: dict[str, Any] = {"size": min(16.0, 0.62 * height), "color": tag, "anchor": anchor}
            sheet.text(x + left + filled + space, y, "true", **how)
        sheet.text(x + width, y, f"{100 * P[j]:.1f}%", size=text, **style)
