"""A video of one sample after the other: its image, what it is, and what it is taken for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.show.predictions import (
    Predictions,
    as_bytes,
    grey_images,
    label_text,
    label_texts,
    most_probable,
    take_rows,
    true_names,
)
from gpulr.validation.parameters import positive_number, whole_number
from gpulr.video.draw_predictions import Samples, pictures_of
from gpulr.video.encoder import check_output, check_size, encode, require_pyav
from gpulr.video.film import Film, Progress, shape_of
from gpulr.video.sheet import LONGEST

_MOST, _TOP = 30, 10  # beyond so many classes, the ten most probable have bars
_MOST_LONG = 12  # of names longer than 8 letters, which do not fit into two columns


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
    not sum to 1. With more than 30 classes, or more than 12 whose names are long, there are bars of
    the ten most probable ones, and of the true one. Needs the extra ``video``.

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
    seed = whole_number("seed", seed, least=0, most=None)
    hold = max(1, round(positive_number("seconds", seconds) * fps))
    shape_of(model)
    X = rows_for(model, X)
    n_rows = int(X.shape[0])
    rows = np.random.default_rng(seed).choice(n_rows, min(samples, n_rows), replace=False)
    true = true_names(model, y, n_rows)[rows]
    shown = samples_of(model, to_host(take_rows(X, rows)), true, rows)
    pictures, frames = pictures_of(shown, size, hold), len(rows) * hold
    encode(path, pictures, size=size, fps=fps, total=frames, progress=progress)
    return Film(path, frames, fps, size, float(shown.predictions.right.mean()), rows)


def samples_of(
    model: OneVsAll,
    X: npt.NDArray[Any],
    true: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.int64],
) -> Samples:
    """Predict the rows of X, which are these rows of the data, and say what is shown of each."""
    predictions, k = Predictions.of(model, X, true), len(model.classes)
    caption = "Each class by its own model: they need not sum to 100%"
    if model.multilabel:
        caption = "Each label by its own model; predicted above 50%"
    elif model.n_models == 1:
        caption = "Probability, by one model of two classes"
    bars: npt.NDArray[np.intp] = np.broadcast_to(np.arange(k), true.shape)
    names = label_texts(model.classes, LONGEST)
    if k > (_MOST if max(map(len, names)) <= 8 else _MOST_LONG):
        caption = f"The {_TOP} most probable of {k:,} classes, each by its own model"
        bars = most_probable(predictions.Z, _TOP)
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
