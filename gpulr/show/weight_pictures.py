"""The weights as pictures: what speaks for a class, and what against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from gpulr.backend import to_host
from gpulr.errors import ParameterError
from gpulr.show.canvas import PLAIN, axes, bare, grid, model_names, model_of
from gpulr.show.predictions import image_shape_to_draw, weight_images, weight_limit
from gpulr.validation.parameters import whole_number

MOST = 50  # models that one picture shows unless told which
COLUMNS = 5
COLOURS = "RdBu_r"  # red for, blue against: apart with any colour vision


def weights(
    model: Any,
    *,
    image_shape: tuple[int, ...] | None = None,
    models: Sequence[int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the weights of every model as an image, red for its class and blue against it.

    All images have one scale, symmetric about 0. It ends where 99.5 per cent of the weights do.
    Weights are those of the scaled X: of pixels from 0 to 255, the weight of a full pixel. Channels
    of colour images are added up. Without images the weights are drawn as a table, a line for each
    model and a column for each feature.

    Parameters
    ----------
    model : OneVsAll, fitted estimator or Search
    image_shape : tuple of int, optional
        (height, width), or with channels; without, that of the training data.
    models : sequence of int, optional
        Which models, by their column; without, all, or the first 50.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        ``ax.child_axes`` are the images, in the order of the models, and the colour bar's Axes.

    Raises
    ------
    ParameterError
        An image shape that does not fit, or a column that the model does not have.
    """
    model = model_of(model)
    shape = image_shape_to_draw(model, image_shape)
    chosen = _chosen(models, model.n_models)
    W = to_host(model.weights).astype(np.float64)[:, chosen] / model.scale
    names = [model_names(model)[j] for j in chosen]
    drawn = W.T if shape is None else weight_images(W, shape)
    limit = weight_limit(drawn)
    look: dict[str, Any] = {"cmap": COLOURS, "vmin": -limit, "vmax": limit}
    if shape is None:
        ax = axes(ax, 7.2, 1.4 + 0.26 * len(chosen))
        coloured = ax.imshow(drawn, aspect="auto", interpolation="nearest", **look)
        ax.set_yticks(range(len(names)), names, fontsize="small", **PLAIN)
        ax.set_xlabel("feature")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    else:
        rows, columns = grid(len(chosen), COLUMNS if len(chosen) <= 20 else 2 * COLUMNS)
        height, width = drawn.shape[1:]
        side = 7.2 / max(columns, 2)
        ax = axes(ax, side * columns + 0.9, 0.4 + rows * (0.26 + side * min(height / width, 2)))
        bare(ax)
        for i, (image, name) in enumerate(zip(drawn, names, strict=True)):
            row, column = divmod(i, columns)
            place = (column / columns, 1 - (row + 1) / rows, 0.96 / columns, 0.85 / rows)
            panel = ax.inset_axes(place)
            coloured = panel.imshow(image, **look)
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_color("#cccccc")
            panel.set_title(name, fontsize="medium", pad=2, **PLAIN)
    title = "Weights of each model" if model.n_models > 1 else "Weights"
    if len(chosen) < model.n_models:
        title = f"Weights of {len(chosen)} of {model.n_models} models"
    ax.set_title(title, loc="left")
    bar = ax.figure.colorbar(coloured, cax=ax.inset_axes((1.02, 0.0, 0.02, 1.0)), extend="both")
    factor = "" if model.scale == 1.0 else f" × {1 / model.scale:.4g}"
    bar.set_label(f"← against    weight{factor}    for →", fontsize="small")
    bar.ax.tick_params(labelsize="small")
    return ax


def _chosen(models: Sequence[int] | None, n_models: int) -> npt.NDArray[np.intp]:
    if models is None:
        return np.arange(min(n_models, MOST))
    chosen = [whole_number("models", j, least=0) for j in models]
    if not chosen or max(chosen) >= n_models:
        raise ParameterError(f"models={list(models)}; expected columns from 0 to {n_models - 1}.")
    return np.array(chosen, dtype=np.intp)
