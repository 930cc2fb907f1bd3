"""Rows as pictures, each with what the models say of it: a sample, and the worst mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from gpulr.backend import to_host
from gpulr.errors import ParameterError
from gpulr.logistic import sigmoid
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.show.canvas import Colour, axes, bare, grid, model_of
from gpulr.show.labels import label_text, label_texts
from gpulr.show.lettering import drawable, fitted, plain, widest, wrapped
from gpulr.show.predictions import (
    Predictions,
    grey_images,
    image_shape_to_draw,
    labelled_rows,
    most_probable,
    take_rows,
    true_names,
)
from gpulr.show.room import SMALL, columns_that_fit, inches_of, panels_that_fit, settled
from gpulr.validation.parameters import whole_number
from gpulr.words import counted

COLUMNS, MOST = 4, 12
SIDE, BARS = 1.05, 0.6  # inches, of an image and its bars
LEAST_CELL = 1.7, 1.1  # inches of all of a row in the caller's Axes
MOST_BARS = 10
NAME, NAME_SIZE = 0.75, 8.0  # inches and size of a class beside its bar


@settled
def samples(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    n: int | None = None,
    seed: int = 0,
    image_shape: tuple[int, ...] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw some rows at random, each beside the probability that every model gives it.

    Each bar is the answer of one model to its own question, "is it of my class?". The answers are
    independent, and do not sum to 1. A line marks 1/2. With more than ten classes, only the ten
    largest probabilities are drawn. The title has the true and the predicted class, in green with ✓
    or in orange with ✗; the bar of the true class is green, and that of a class taken for it
    orange.

    Parameters
    ----------
    model : OneVsAll, fitted estimator or Search
        The model; of a search, the one that was refitted.
    X : as for ``model.predict``, or a Dataset
        Rows to draw from; a Dataset gives its test part, if it has one.
    y : labels, optional
        True labels. Without them, the titles say what was predicted. A Dataset brings its own.
    n : int, optional
        Number of rows; None is 12, or as many as can be read in small Axes.
    seed : int
        Seed of the draw: equal seeds draw equal rows.
    image_shape : tuple of int, optional
        (height, width), or with channels; None is that of X or of the training data.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        ``ax.child_axes`` are, for each row, its image and its bars.

    Raises
    ------
    DataError
        As ``model.evaluate``.
    ParameterError
        The rows are not images, or a setting cannot be used.
    """
    model, X, y, shape = _checked(model, X, y, image_shape)
    n, seed = _how_many(n, ax), whole_number("seed", seed, least=0, most=None)
    n_rows = int(X.shape[0])
    chosen = np.random.default_rng(seed).permutation(n_rows)[:n]
    true = None if y is None else true_names(model, y, n_rows)[chosen]
    rows = take_rows(X, chosen)
    predictions = Predictions.of(model, rows, true)
    title = f"{len(chosen)} of {counted(n_rows, 'row')}"
    if predictions.known:
        title += f": {int(predictions.right.sum())} right"
    return _draw(ax, model, to_host(rows), shape, predictions, title)


@settled
def mistakes(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    n: int | None = None,
    image_shape: tuple[int, ...] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the rows that are wrong with the most confidence, the most confident first.

    Confidence is the probability of the predicted class; for a row with several labels, that of the
    wrong answer about one of them. Parameters, panels and errors are those of :func:`samples`, but
    y is needed, and ``n`` is the most rows to draw. If nothing is wrong, ``ax.child_axes`` is
    empty.
    """
    model, X, y, shape = _checked(model, X, y, image_shape)
    n, n_rows = _how_many(n, ax), int(X.shape[0])
    predictions = Predictions.of(model, X, true_names(model, y, n_rows))
    wrong = np.flatnonzero(~predictions.right)
    worst = wrong[most_probable(predictions.confidence[wrong], n)]
    if not len(worst):
        ax = axes(ax, 6.4, 1.2)
        bare(ax)
        ax.set_title(f"No mistakes among {counted(n_rows, 'row')}", loc="left")
        return ax
    how_many = f"{len(worst)} most" if len(worst) > 1 else "most"
    title = f"The {how_many} confident of {len(wrong):,} mistakes among {counted(n_rows, 'row')}"
    rows = to_host(take_rows(X, worst))
    return _draw(ax, model, rows, shape, predictions.take(worst), title)


def _how_many(n: int | None, ax: Axes | None) -> int:
    """Return how many rows are drawn."""
    if n is None:
        return panels_that_fit(ax, MOST, COLUMNS, *LEAST_CELL)
    return whole_number("n", n, least=1)


def _checked(
    model: Any, X: Any, y: Any, image_shape: tuple[int, ...] | None
) -> tuple[OneVsAll, Any, Any, tuple[int, ...]]:
    model = model_of(model)
    shape = image_shape_to_draw(model, image_shape, X)
    if shape is None:
        raise ParameterError(
            f"The {model.n_features} features of this model have no shape of an image, so there is "
            "nothing to draw. Pass image_shape=(height, width), or images (n, height, width) as X; "
            "of other data, draw gpulr.show.confusion or gpulr.show.accuracy."
        )
    X, y = labelled_rows(X, y)
    return model, rows_for(model, X), y, shape


def _draw(
    ax: Axes | None,
    model: OneVsAll,
    rows: npt.NDArray[Any],
    shape: tuple[int, ...],
    predictions: Predictions,
    title: str,
) -> Axes:
    down, columns = grid(len(rows), columns_that_fit(ax, COLUMNS, LEAST_CELL[0]))
    titles = [_title(model, predictions, i) for i in range(len(rows))]
    names = fitted(drawable(label_texts(model.classes)), NAME, NAME_SIZE)
    above = 0.08 + 0.16 * max(text.count("\n") + 1 for text in titles)  # of the image, its title
    beside = 0.17 + widest(names, NAME_SIZE)
    cell_width, cell_height = SIDE + beside + BARS + 0.25, above + SIDE + 0.12
    width, height = cell_width * columns, cell_height * down
    across, up = (4.2, 0.0) if ax is None else inches_of(ax)
    width, height = max(width, across), max(height, up)
    small = ax is not None and across < SMALL
    ax = axes(ax, width, 0.85 + height)
    bare(ax)
    legend = _legend(model, predictions, brief=small)
    ax.set_title(wrapped(title, width, "medium"), loc="left", fontsize="medium")
    ax.set_xlabel(wrapped(legend, width, "small"), loc="left", fontsize="small")
    wrong = Colour.VERMILION if predictions.known else Colour.BLACK
    look: dict[str, Any] = {"fontsize": "small", **plain(titles)}
    for i, image in enumerate(grey_images(model, rows, shape)):
        left = i % columns * cell_width
        bottom = height - i // columns * cell_height - above - SIDE
        panel = ax.inset_axes((left / width, bottom / height, SIDE / width, SIDE / height))
        panel.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        panel.set(xticks=[], yticks=[], anchor="N")
        panel.spines[:].set_visible(False)
        colour = Colour.GREEN if predictions.right[i] else wrong
        panel.set_title(titles[i], loc="left", pad=3, color=colour, **look)
        left += SIDE + beside
        bars = ax.inset_axes((left / width, bottom / height, BARS / width, SIDE / height))
        _draw_bars(bars, names, predictions, i, wrong)
    return ax


def _legend(model: OneVsAll, predictions: Predictions, *, brief: bool) -> str:
    """Return what bars and colours mean."""
    colours = "Black: predicted."
    if predictions.known:
        colours = "Green: true. Orange: predicted, but wrong."
    if brief:
        return colours
    bars = "Bars: the probability of each class, from 0 to 1 (dotted: 1/2)."
    if model.n_models > 1:
        bars = "Bars: each model's own probability, 0 to 1 (dotted: 1/2), not summing to 1."
    if predictions.Z.shape[1] > MOST_BARS:
        bars += f" The {MOST_BARS} largest are shown."
    return f"{bars} {colours}"


def _draw_bars(ax: Axes, names: list[str], predictions: Predictions, i: int, wrong: str) -> None:
    """Draw the probabilities of row i, at most ten: the largest, in the order of the names."""
    predicted, true = predictions.predicted[i], predictions.true[i]
    shown = np.sort(most_probable(predictions.above[i], MOST_BARS))
    where = np.arange(len(shown))
    colours = np.select([true, predicted], [Colour.GREEN, wrong], Colour.GREY)[shown]
    ax.barh(where, sigmoid(predictions.Z[i, shown]), height=0.8, color=colours)
    ax.axvline(0.5, color=Colour.BLACK, linewidth=0.6, linestyle=":")
    size = min(NAME_SIZE, 60 / len(shown) + 1)
    ax.set_yticks(where, [names[j] for j in shown], fontsize=size, **plain(names))
    for text, j in zip(ax.get_yticklabels(), shown, strict=True):
        text.set_fontweight("bold" if predicted[j] else "normal")
    ax.set(xlim=(0, 1), ylim=(len(shown) - 0.4, -0.6), xticks=[])
    ax.tick_params(axis="y", length=0, pad=1)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.spines["left"].set_color(Colour.GREY)


def _title(model: OneVsAll, predictions: Predictions, i: int) -> str:
    """Return the title of row i, in two lines if it is too long for one."""

    def joined(which: npt.NDArray[np.bool_]) -> str:
        names = drawable(label_texts(model.classes[which], 16))
        return label_text(" + ".join(names) or "none", 16)

    predicted = f"predicted {joined(predictions.predicted[i])}"
    if not predictions.known:
        return predicted
    true = f"true {joined(predictions.true[i])}"
    mark = "✓" if predictions.right[i] else "✗"
    between = ", " if len(true + predicted) < 28 else "\n    "
    return f"{mark} {true}{between}{predicted}"
