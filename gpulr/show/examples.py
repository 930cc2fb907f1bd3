"""Rows as pictures, each with what the models say of it: a sample, and the worst mistakes."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from gpulr.backend import is_sparse, to_host
from gpulr.errors import ParameterError
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.show.answers import Answers
from gpulr.show.canvas import (
    BLACK,
    GREEN,
    GREY,
    PLAIN,
    VERMILION,
    Picture,
    axes,
    bare,
    fonts,
    grid_of,
    label_of,
    model_of,
)
from gpulr.show.frames import as_images, find_image_shape, grey_range, take_rows, to_grey
from gpulr.validation.arrays import whole_number
from gpulr.validation.label_values import codes_of
from gpulr.validation.labels import check_indicator
from gpulr.words import counted

__all__ = ["mistakes", "samples"]

Array = Any
COLUMNS = 4
SIDE, BARS = 1.05, 0.6  # inches, of an image and its bars
MOST_BARS = 10
NAME = 7  # characters of a class beside its bar


def samples(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    n: int = 12,
    seed: int = 0,
    image_shape: tuple[int, ...] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw some rows at random, each beside the probability that every model gives it.

    Each bar is the answer of one model to its own question, "is it of my class?": they are
    independent, and do not sum to 1. A line marks 1/2. With more than ten classes the ten largest
    probabilities are drawn. The title says the true and the predicted class, with ✓ and green, or ✗
    and red; so are the bars of the true class and of the one taken for it.

    Parameters
    ----------
    model : OneVsAll, fitted estimator or Search
    X : as for ``model.predict``
    y : labels, optional
        True labels; without, the titles say what was predicted.
    n : int
        How many rows.
    seed : int
        Which rows: equal seeds draw equal rows.
    image_shape : tuple of int, optional
        (height, width), or with channels; without, that of X or of the training data.
    ax : matplotlib Axes, optional
        Where to draw; without, in a figure of its own.

    Returns
    -------
    Axes
        ``ax.child_axes`` are, for each row, its image and its bars.

    Raises
    ------
    DataError
        As ``model.evaluate``.
    ParameterError
        The rows are no images, and the like.
    """
    model, X, shape = _checked(model, X, image_shape)
    n, seed = whole_number("n", n, least=1), whole_number("seed", seed, least=0, most=None)
    n_samples = int(X.shape[0])
    chosen = np.random.default_rng(seed).permutation(n_samples)[:n]
    truth = None if y is None else _truth(model, y, n_samples)[chosen]
    rows = take_rows(X, chosen)
    answers = Answers.of(model, to_host(model.decision_function(rows)), truth)
    title = f"{len(chosen)} of {counted(n_samples, 'row')}"
    if truth is not None:
        title += f": {int(answers.right.sum())} right"
    return _draw(ax, model, to_host(rows), shape, answers, title)


def mistakes(
    model: Any,
    X: Any,
    y: Any,
    *,
    n: int = 12,
    image_shape: tuple[int, ...] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the rows that are wrong with the most confidence, the most confident first.

    Confidence is the probability of the predicted class; where a row has several labels, that of
    the wrong answer about one of them. Panels are those of :func:`samples`.

    Parameters
    ----------
    model : OneVsAll, fitted estimator or Search
    X, y : as for ``model.evaluate``
    n : int
        How many rows at most.
    image_shape, ax : as for :func:`samples`

    Returns
    -------
    Axes
        ``ax.child_axes`` are, for each row, its image and its bars; none where nothing is wrong.

    Raises
    ------
    DataError
        As ``model.evaluate``.
    ParameterError
        The rows are no images, and the like.
    """
    model, X, shape = _checked(model, X, image_shape)
    n, n_samples = whole_number("n", n, least=1), int(X.shape[0])
    truth = _truth(model, y, n_samples)
    Z = to_host(model.decision_function(X))
    answers = Answers.of(model, Z, truth)
    wrong = np.flatnonzero(~answers.right)
    worst = wrong[np.argsort(-answers.confidence[wrong], kind="stable")][:n]
    if not len(worst):
        ax = axes(ax, 6.4, 1.2)
        bare(ax)
        ax.set_title(f"No mistakes among {counted(n_samples, 'row')}", loc="left")
        return ax
    how_many = f"{len(worst)} most" if len(worst) > 1 else "most"
    title = f"The {how_many} confident of {len(wrong):,} mistakes among {counted(n_samples, 'row')}"
    answers = Answers.of(model, Z[worst], truth[worst])
    return _draw(ax, model, to_host(take_rows(X, worst)), shape, answers, title)


def _checked(
    model: Any, X: Any, image_shape: tuple[int, ...] | None
) -> tuple[OneVsAll, Array, tuple[int, ...]]:
    model = model_of(model)
    shape = find_image_shape(model, image_shape, X)
    if shape is None:
        raise ParameterError(
            f"The {model.n_features} features of this model have no shape of an image, so there is "
            "nothing to draw. Pass image_shape=(height, width), or images (n, height, width) as X; "
            "of other data, draw gpulr.show.confusion or gpulr.show.accuracy."
        )
    return model, rows_for(model, X), shape


def _truth(model: OneVsAll, y: Any, n_samples: int) -> npt.NDArray[Any]:
    """Return true classes as indices (n_samples,), or an indicator (n_samples, n_labels)."""
    if not model.multilabel:
        return codes_of(y, n_samples, model.classes)
    _, Y = check_indicator(y, n_samples, model.classes)
    return np.asarray(Y.toarray()) if is_sparse(Y) else to_host(Y)


def _draw(
    ax: Axes | None,
    model: OneVsAll,
    rows: npt.NDArray[Any],
    shape: tuple[int, ...],
    answers: Answers,
    title: str,
) -> Axes:
    rows_down, columns = grid_of(len(rows), COLUMNS)
    words = [_words(answers, i) for i in range(len(rows))]
    above = 0.08 + 0.16 * max(text.count("\n") + 1 for text in words)  # of the image, its title
    names = 0.12 + 0.075 * max(len(label_of(name, NAME)) for name in answers.names)
    across, down = SIDE + names + BARS + 0.25, above + SIDE + 0.12
    width, height = max(across * columns, 4.2), down * rows_down
    room, ax = width, axes(ax, width, 0.85 + height)
    if not isinstance(ax, Picture):  # the caller's, whose layout may not be done yet
        room = ax.get_window_extent().width / ax.figure.dpi
    bare(ax)
    ax.set_title(textwrap.fill(title, int(11 * room) + 1), loc="left", fontsize="medium")
    legend = textwrap.fill(_legend(model, answers), int(15 * room) + 1)
    ax.set_xlabel(legend, loc="left", fontsize="small")
    low, high = grey_range(model, rows)
    for i, image in enumerate(to_grey(as_images(rows, shape), low, high)):
        left, bottom = i % columns * across, height - i // columns * down - above - SIDE
        place = (left / width, bottom / height, SIDE / width, SIDE / height)
        panel = ax.inset_axes(place)
        panel.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        panel.set(xticks=[], yticks=[], anchor="N")
        panel.spines[:].set_visible(False)
        colour = BLACK
        if answers.known:
            colour = GREEN if answers.right[i] else VERMILION
        look: dict[str, Any] = {"fontsize": "small", "color": colour, "fontfamily": fonts()}
        panel.set_title(words[i], loc="left", pad=3, **look, **PLAIN)
        place = ((left + SIDE + names) / width, bottom / height, BARS / width, SIDE / height)
        _draw_bars(ax.inset_axes(place), answers, i)
    return ax


def _legend(model: OneVsAll, answers: Answers) -> str:
    """Return what bars and colours mean."""
    bars = "Bars: the probability of each class, from 0 to 1 (dotted: 1/2)."
    if model.n_models > 1:
        bars = "Bars: each model's own probability, 0 to 1 (dotted: 1/2), not summing to 1."
    if len(answers.names) > MOST_BARS:
        bars += f" The {MOST_BARS} largest are shown."
    if not answers.known:
        return f"{bars} Black: predicted."
    return f"{bars} Green: true. Red: predicted, but wrong."


def _draw_bars(ax: Axes, answers: Answers, i: int) -> None:
    """Draw the probabilities of row i, at most ten: the largest, in the order of the names."""
    P, predicted, true = answers.P[i], answers.predicted[i], answers.true[i]
    shown = np.sort(np.argsort(-P, kind="stable")[:MOST_BARS])
    colours = []
    for j in shown:
        if not answers.known:
            colours.append(BLACK if predicted[j] else GREY)
        elif true[j]:
            colours.append(GREEN)
        else:
            colours.append(VERMILION if predicted[j] else GREY)
    where = np.arange(len(shown))
    ax.barh(where, P[shown], height=0.8, color=colours)
    ax.axvline(0.5, color=BLACK, linewidth=0.6, linestyle=":")
    names = [label_of(answers.names[j], NAME) for j in shown]
    size = min(8.0, 60 / len(shown) + 1)
    ax.set_yticks(where, names, fontsize=size, **PLAIN)
    for text, j in zip(ax.get_yticklabels(), shown, strict=True):
        text.set_fontweight("bold" if predicted[j] else "normal")
    ax.set(xlim=(0, 1), ylim=(len(shown) - 0.4, -0.6), xticks=[])
    ax.tick_params(axis="y", length=0, pad=1)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.spines["left"].set_color(GREY)


def _words(answers: Answers, i: int) -> str:
    """Return the title of row i, in two lines if it is too long for one."""
    predicted = f"predicted {_names(answers, answers.predicted[i])}"
    if not answers.known:
        return predicted
    true = f"true {_names(answers, answers.true[i])}"
    mark = "✓" if answers.right[i] else "✗"
    between = ", " if len(true + predicted) < 28 else "\n    "
    return f"{mark} {true}{between}{predicted}"


def _names(answers: Answers, which: npt.NDArray[np.bool_]) -> str:
    names = [answers.names[j] for j in np.flatnonzero(which)]
    return label_of(" + ".join(label_of(name, 16) for name in names) or "none", 16)
