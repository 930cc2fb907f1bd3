"""A model's weights, as images or as bars of a table's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from gpulr.backend import to_host
from gpulr.errors import ParameterError
from gpulr.show.canvas import axes, bare, grid, model_names, model_of
from gpulr.show.features import MOST as MOST_BARRED
from gpulr.show.features import weight_bars
from gpulr.show.lettering import fitted, plain, wrapped
from gpulr.show.predictions import image_shape_to_draw, weight_images, weight_limit
from gpulr.show.room import inches_of, settled
from gpulr.validation.parameters import whole_number

MOST = 50  # models whose weights one picture shows as images unless told which
COLUMNS = 5


@settled
def weights(
    model: Any,
    *,
    n: int | None = None,
    level: float = 0.95,
    image_shape: tuple[int, ...] | None = None,
    models: Sequence[int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the weights of every model: bars of a table's features, or images.

    For a table, the n largest weights of each model, by size, are sorted from the most positive on:
    orange for its class, blue against it. Each is for one standard deviation of its feature, so
    that they can be compared whatever the features' units. The number beside a bar is the odds
    ratio of that step. Models of earlier versions do not know the deviations; their weights are
    those of X as it was passed. For a bootstrap's result, whiskers are the intervals of the
    weights.

    Images have one scale, symmetric about 0, which ends where 99.5 per cent of the weights do.
    Weights are those of the scaled X: for pixels from 0 to 255, the weight of a full pixel.
    Channels of colour images are added up. Bytes without names are taken for images if their number
    is a square.

    Parameters
    ----------
    model : OneVsAll, fitted estimator, Search or Bootstrap
        The model; of a search, the one that was refitted.
    n : int, optional
        Number of a table's features for each model; None is 8, or 20 for a single model.
    level : float
        Level of a bootstrap's intervals.
    image_shape : tuple of int, optional
        (height, width), or with channels; None is that of the training data.
    models : sequence of int, optional
        Models to draw, by their column; None draws all, or the first 12 (of images 50).
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure. Small Axes have panels of as many models of a table
        as can be read, at least one.

    Returns
    -------
    Axes
        It has the bars of one model. With several models, ``ax.child_axes`` have these; for images
        they are the images and the colour bar's Axes.
    """
    intervals = model.coef_interval(level) if hasattr(model, "coef_interval") else None
    model = model_of(model)
    n = None if n is None else whole_number("n", n, least=1)
    shape = image_shape_to_draw(model, image_shape)
    if shape is None:
        chosen = chosen_models(models, model.n_models, MOST_BARRED)
        names = model_names(model)
        return weight_bars(ax, model, chosen, [names[j] for j in chosen], n, intervals)
    chosen = chosen_models(models, model.n_models)
    W = to_host(model.weights).astype(np.float64)[:, chosen] / model.scale
    names = [model_names(model)[j] for j in chosen]
    factor = "" if model.scale == 1.0 else f" × {1 / model.scale:.4g}"
    ax = weight_maps(ax, weight_images(W, shape), names, f"weight{factor}")
    title = "Weights of each model" if model.n_models > 1 else "Weights"
    if len(chosen) < model.n_models:
        title = f"Weights of {len(chosen)} of {model.n_models} models"
    ax.set_title(title, loc="left")
    return ax


def weight_maps(
    ax: Axes | None, drawn: npt.NDArray[np.float64], names: Sequence[str], words: str
) -> Axes:
    """Draw weights (n_models, height, width) as images, on one scale that ``words`` tell of.

    What is masked is grey.
    """
    limit = weight_limit(np.ma.filled(drawn, 0.0))
    # Red and blue can be told apart with any colour vision.
    colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad="#d9d9d9")
    look: dict[str, Any] = {"cmap": colours, "vmin": -limit, "vmax": limit}
    rows, columns = grid(len(names), COLUMNS if len(names) <= 20 else 2 * COLUMNS)
    height, width = drawn.shape[1:]
    side = (7.2 if ax is None else inches_of(ax)[0]) / max(columns, 2)
    above = 0.26 if len(names) > 1 else 0.06  # of an image, its name
    # Of all heights the one that holds what is written beside the colour bar.
    tall = max(0.4 + rows * (above + side * min(height / width, 2)), 2.4)
    high = tall if ax is None else inches_of(ax)[1]
    ax = axes(ax, side * columns + 0.9, tall)
    bare(ax)
    for i, (image, name) in enumerate(zip(drawn, names, strict=True)):
        row, column = divmod(i, columns)
        share = 0.85 if len(names) > 1 else 1.0
        panel = ax.inset_axes(
            (column / columns, 1 - (row + 1) / rows, 0.96 / columns, share / rows)
        )
        coloured = panel.imshow(image, **look)
        panel.set(xticks=[], yticks=[], anchor="C" if len(names) > 1 else "N")
        panel.spines[:].set_color("#cccccc")
        (name,) = fitted([name], 0.96 * side, "medium")
        if len(names) > 1:
            panel.set_title(name, fontsize="medium", pad=2, **plain([name]))
    bar = ax.figure.colorbar(coloured, cax=ax.inset_axes((1.02, 0.0, 0.02, 1.0)), extend="both")
    bar.set_label(wrapped(f"← against    {words}    for →", high, "small"), fontsize="small")
    bar.ax.tick_params(labelsize="small")
    return ax


def chosen_models(
    models: Sequence[int] | None, n_models: int, most: int | None = None
) -> npt.NDArray[np.intp]:
    """Return the models that are asked for; without, the first ``most``, or ``MOST``."""
    if models is None:
        return np.arange(min(n_models, most or MOST))
    chosen = [whole_number("models", j, least=0) for j in models]
    if not chosen or max(chosen) >= n_models:
        raise ParameterError(f"models={list(models)}; expected columns from 0 to {n_models - 1}.")
    return np.array(chosen, dtype=np.intp)
