"""One sample after the other: the image, what it is, what it was taken for, and how probably."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace
from PIL import Image

from gpulr.backend import backend_of, is_sparse, to_host
from gpulr.label_types import check_labels
from gpulr.labels import check_indicator
from gpulr.logistic import sigmoid
from gpulr.model import OneVsAll
from gpulr.validation import check_rows, positive_number, whole_number
from gpulr.video.encoder import check_output, check_size, encode, require_pyav
from gpulr.video.film import Film, Progress, counted, shape_of, to_pixels
from gpulr.video.sheet import BAR, INK, MUTED, PAPER, QUIET, RIGHT, TRACK, WRONG, Sheet, plain

__all__ = ["predictions"]

MOST_CLASSES, _TOP = 30, 10  # beyond so many classes, the ten most probable have bars
_TWO_COLUMNS = 13  # from so many bars on
_EASE = 8  # frames in which the bars move from one sample to the next


def predictions(
    model: OneVsAll,
    X: Any,
    y: Any,
    path: str | Path,
    *,
    samples: int = 60,
    seconds: float = 1.5,
    seed: int = 0,
    size: tuple[int, int] = (1280, 720),
    fps: int = 30,
    progress: Progress | None = None,
) -> Film:
    """Write a video of a model at work: samples drawn at random, and its prediction of each.

    The image stands on the left, under "True: 7, Predicted: 7" in green with a ✓ or vermilion with
    a ✗; on the right a bar for each class has the probability that its own model gives, which do
    not sum to 1. With more than 30 classes they are the ten most probable, and the true one. Needs
    the extra ``video``.

    Parameters
    ----------
    model : OneVsAll
        Trained on images.
    X : (n_samples, n_features), or images
        As training was given it.
    y : (n_samples,), or (n_samples, n_labels) of 0 and 1 for a multi-label model
    path : path-like
        Ends in .mp4; replaced when the video is complete.
    samples : int
        How many rows to show; all, in random order, if there are fewer.
    seconds : float
        How long each is shown.
    seed : int
        Of the draw. The same rows, and the same file, for the same seed.
    size : (int, int)
        Width and height in pixels, even numbers.
    fps : int
        Frames per second.
    progress : callable, optional
        Called with the number of frames done, and of all.

    Returns
    -------
    Film
        What was written.

    Raises
    ------
    DataError
        The model was not trained on images; X or y do not belong to it.
    DataFileError
        The video could not be written.
    MissingExtraError
        PyAV is not installed.
    ParameterError
        A setting cannot be used.
    """
    require_pyav()
    path = check_output(path)
    size, fps = check_size(size, fps)
    samples = whole_number("samples", samples, least=1)
    seed = whole_number("seed", seed, least=0)
    hold = max(1, round(positive_number("seconds", seconds) * fps))
    shape = shape_of(model)
    rows, chosen, Y = _draw(model, X, y, samples, seed)
    shots = _Shots.of(model, chosen, Y, rows)
    images = to_pixels(chosen, shape, model.data.get("feature_range"))
    pictures = _pictures(shots, images, size, hold)
    frames = encode(path, counted(pictures, len(rows) * hold, progress), size=size, fps=fps)
    return Film(path, frames, fps, size, float(shots.right.mean()), rows)


def _draw(
    model: OneVsAll, X: Any, y: Any, samples: int, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return the rows drawn, X there, and which labels are theirs, (n, n_classes)."""
    X = check_rows(X, n_features=model.n_features)
    n = X.shape[0]
    rows = np.random.default_rng(seed).choice(n, min(samples, n), replace=False)
    if is_sparse(X):
        chosen = X[rows].toarray()
    else:
        chosen = to_host(array_namespace(X).take(X, backend_of(X).asarray(rows), axis=0))
    if model.multilabel:
        _, Y = check_indicator(y, n, model.classes)
        return rows, chosen, (Y[rows].toarray() if is_sparse(Y) else to_host(Y)[rows]) == 1
    labels = check_labels(y, n)[rows]
    model.evaluate(chosen, labels)  # which refuses labels that the model does not know
    return rows, chosen, labels[:, np.newaxis] == model.classes


@dataclass(frozen=True, slots=True, eq=False)
class _Shots:
    """What is said of each sample.

    Attributes
    ----------
    names : list of str
        Of the classes.
    P : (n, n_classes) float64
    predicted, true : (n, n_classes) bool
    bars : (n, n_bars) int64
        The classes that have a bar, in their order.
    caption : str
        Of the bars.
    footers : list of str
        What stands below, on the right.
    several : bool
        A row may have any number of labels.
    """

    names: list[str]
    P: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.bool_]
    true: npt.NDArray[np.bool_]
    bars: npt.NDArray[np.int64]
    caption: str
    footers: list[str]
    several: bool

    @classmethod
    def of(
        cls,
        model: OneVsAll,
        X: npt.NDArray[Any],
        true: npt.NDArray[np.bool_],
        rows: npt.NDArray[np.int64],
    ) -> _Shots:
        """Predict the rows of X."""
        Z = to_host(model.decision_function(X)).astype(np.float64)
        k = len(model.classes)
        if model.multilabel:
            predicted = Z > 0
            caption = "Each label by its own model; predicted above 50%"
        elif model.n_models == 1:
            Z = np.hstack([-Z, Z])
            predicted = np.hstack([Z[:, 1:] <= 0, Z[:, 1:] > 0])
            caption = "Probability, by one model of two classes"
        else:
            predicted = Z.argmax(axis=1)[:, np.newaxis] == np.arange(k)
            caption = "Each class by its own model: they need not sum to 100%"
        bars = np.broadcast_to(np.arange(k), Z.shape)
        if k > MOST_CLASSES:
            caption = f"The {_TOP} most probable of {k:,} classes, each by its own model"
            bars = np.argsort(-Z, axis=1, kind="stable")[:, :_TOP]
            # The true class takes the last place, if it is not among them.
            missed = ~np.take_along_axis(true, bars, axis=1).any(axis=1) & true.any(axis=1)
            bars[missed, -1] = true[missed].argmax(axis=1)
        source = plain(model.data.get("name", "data"))
        return cls(
            names=[plain(label) for label in model.classes.tolist()],
            P=sigmoid(Z),
            predicted=predicted,
            true=true,
            bars=bars,
            caption=caption,
            footers=[f"{source}, row {row:,}" for row in rows],
            several=model.multilabel,
        )

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether each prediction is right, (n,)."""
        same: npt.NDArray[np.bool_] = (self.predicted == self.true).all(axis=1)
        return same

    def words(self, mask: npt.NDArray[np.bool_]) -> str:
        """Return the names of the labels that a row has."""
        return ", ".join(self.names[j] for j in np.flatnonzero(mask)) or "none"


def _pictures(
    shots: _Shots, images: npt.NDArray[np.uint8], size: tuple[int, int], hold: int
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
    shots: _Shots,
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


def _title(sheet: Sheet, shots: _Shots, i: int, color: str) -> None:
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


def _bars(
    sheet: Sheet, shots: _Shots, i: int, lengths: npt.NDArray[np.float64], color: str
) -> None:
    """Draw a bar for each class, in one column or two."""
    bars = shots.bars[i]
    columns = 2 if len(bars) >= _TWO_COLUMNS else 1
    per_column = -(-len(bars) // columns)
    pitch = min(500 / per_column, 64)
    width = (552 - 28 * (columns - 1)) / columns
    text = min(24.0, 0.56 * pitch) if columns == 1 else 17.0
    room = (0.36 if columns == 1 else 0.3) * width
    widest = max(sheet.width_of(name, size=text, bold=True) for name in _shown(shots))
    left = min(widest, room) + 14
    number = sheet.width_of("100.0%", size=text, bold=True) + 10
    full = width - left - number
    for place, j in enumerate(bars):
        x = 664 + (place // per_column) * (width + 28)
        y = 154 + (place % per_column + 0.5) * pitch
        predicted, true = shots.predicted[i, j], shots.true[i, j]
        ink = color if predicted else INK
        name = shots.names[j]
        style: dict[str, Any] = {"size": text, "bold": bool(predicted), "color": ink}
        sheet.text(x + left - 14, y, name, anchor="rm", width=left - 14, **style)
        sheet.box(x + left, y - 0.31 * pitch, full, 0.62 * pitch, TRACK)
        filled = full * float(lengths[j])
        sheet.box(x + left, y - 0.31 * pitch, filled, 0.62 * pitch, color if predicted else BAR)
        if true:
            _tag(sheet, x + left, y, full, filled, 0.62 * pitch)
        percent = f"{100 * shots.P[i, j]:.1f}%"
        sheet.text(x + width, y, percent, anchor="rm", **style)


def _tag(sheet: Sheet, x: float, y: float, full: float, filled: float, height: float) -> None:
    """Mark the bar of the true class: at the end of what is filled, inside if it is long."""
    size = min(16.0, 0.62 * height)
    if filled > 0.5 * full:
        sheet.text(x + filled - 8, y, "true", size=size, color=PAPER, anchor="rm")
    else:
        sheet.text(x + filled + 8, y, "true", size=size, color=INK, anchor="lm")


def _shown(shots: _Shots) -> list[str]:
    """Return the names that have a bar in any picture."""
    return [shots.names[j] for j in np.unique(shots.bars)]
