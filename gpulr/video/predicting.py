"""One sample after the other: the image, what it is, what it was taken for, and how probably."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import backend_of, is_sparse, to_host
from gpulr.logistic import sigmoid
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.validation.arrays import positive_number, whole_number
from gpulr.validation.label_values import check_labels
from gpulr.validation.labels import check_indicator
from gpulr.video.draw_predictions import pictures_of
from gpulr.video.encoder import check_output, check_size, encode, require_pyav
from gpulr.video.film import Film, Progress, counted, shape_of, to_pixels
from gpulr.video.sheet import plain

__all__ = ["predictions"]

_MOST, _TOP = 30, 10  # beyond so many classes, the ten most probable have bars
_MOST_LONG = 12  # of names longer than 8 letters, which two columns have no room for


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
    shape = shape_of(model)
    rows, chosen, Y = _draw(model, X, y, samples, seed)
    shots = Shots.of(model, chosen, Y, rows)
    images = to_pixels(chosen, shape, model.data.get("feature_range"))
    pictures = pictures_of(shots, images, size, hold)
    frames = encode(path, counted(pictures, len(rows) * hold, progress), size=size, fps=fps)
    return Film(path, frames, fps, size, float(shots.right.mean()), rows)


def _draw(
    model: OneVsAll, X: Any, y: Any, samples: int, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return the rows drawn, X there, and which labels are theirs, (n, n_classes)."""
    X = rows_for(model, X)
    n = X.shape[0]
    rows = np.random.default_rng(seed).choice(n, min(samples, n), replace=False)
    backend = backend_of(X)
    chosen = backend.take_rows(X, backend.asarray(rows))
    chosen = chosen.toarray() if is_sparse(chosen) else to_host(chosen)
    if model.multilabel:
        _, Y = check_indicator(y, n, model.classes)
        return rows, chosen, (Y[rows].toarray() if is_sparse(Y) else to_host(Y)[rows]) == 1
    labels = check_labels(y, n)[rows]
    model.evaluate(chosen, labels)  # which refuses labels that the model does not know
    return rows, chosen, labels[:, np.newaxis] == model.classes


@dataclass(frozen=True, slots=True, eq=False)
class Shots:
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
    ) -> Shots:
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
        names = [plain(label) for label in model.classes.tolist()]
        if k > (_MOST if max(map(len, names)) <= 8 else _MOST_LONG):
            caption = f"The {_TOP} most probable of {k:,} classes, each by its own model"
            bars = np.argsort(-Z, axis=1, kind="stable")[:, :_TOP]
            # The true class takes the last place, if it is not among them.
            missed = ~np.take_along_axis(true, bars, axis=1).any(axis=1) & true.any(axis=1)
            bars[missed, -1] = true[missed].argmax(axis=1)
        source = plain(model.data.get("name", "data"))
        return cls(
            names=names,
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
