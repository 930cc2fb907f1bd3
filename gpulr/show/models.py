"""A model's weights as images, its cost along training, and the scores of a search along C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from gpulr.backend import to_host
from gpulr.errors import ParameterError
from gpulr.show.canvas import PLAIN, Colour, axes, bare, grid, legend, model_names, model_of, tidy
from gpulr.show.predictions import image_shape_to_draw, weight_images, weight_limit
from gpulr.validation.parameters import whole_number
from gpulr.words import counted

INKS = (
    *(Colour.BLUE, Colour.ORANGE, Colour.GREEN, Colour.VERMILION),
    *(Colour.PURPLE, Colour.SKY, Colour.BLACK),
)
LINES = (*((ink, "-") for ink in INKS), *((ink, "--") for ink in INKS[:3]))
NAMED = 5  # curves of models that are too many to name them all
MOST = 50  # models whose weights one picture shows unless told which
COLUMNS = 5


def cost(model: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the cost of every model at each iteration.

    A line ends at its model's last iteration, in a dot where the model converged. Of more than ten
    models those that end with the largest costs are named, and the others grey.

    Parameters
    ----------
    model : OneVsAll, fitted estimator or Search
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        With a line for each model, in the order of the models; the cost is logarithmic.
    """
    model = model_of(model)
    ax = axes(ax, 6.4, 4.0)
    history, names = model.history, model_names(model)
    order = np.argsort(-history.cost[-1], kind="stable")
    many = len(order) > len(LINES)
    named = order[: NAMED if many else None].tolist()
    looks = {j: LINES[i if many else j] for i, j in enumerate(named)}
    for j, n_iter in enumerate(history.n_iter.tolist()):
        colour, style = looks.get(j, (Colour.GREY, "-"))
        line, dot, above = (1.6, 5.0, 3) if j in looks else (0.6, 2.5, 2)
        ax.plot(
            np.arange(n_iter + 1),
            history.cost[: n_iter + 1, j],
            color=colour,
            linestyle=style,
            linewidth=line,
            marker="o" if history.converged[j] else "None",
            markevery=[n_iter],
            markersize=dot,
            zorder=above,
        )
    if (history.cost > 0).all():
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0), numticks=10))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("iteration" + ("   (● converged)" if history.converged.any() else ""))
    ax.set_ylabel("cost (mean log-loss + penalty)")
    ax.set_title("Cost of each model" if len(order) > 1 else "Cost", loc="left")
    tidy(ax)
    if len(order) > 1:
        title = f"the {NAMED} costliest\nof {len(order)} models" if many else "costliest first"
        lines, shown = [ax.lines[j - len(order)] for j in named], [names[j] for j in named]
        legend(ax, lines, shown, title=title, title_fontsize="small", fontsize="small")
    return ax


def c_path(search: Any, *, ax: Axes | None = None) -> Axes:
    """Draw mean score and standard error along C, and mark both choices.

    Where each model has a C of its own, the best ones are marked with how many models chose them.

    Parameters
    ----------
    search : Search, or a fitted OneVsAllLogisticRegressionCV
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        C is logarithmic; C = ∞ has no place on the axis, and is named only if it was chosen.
    """
    found = getattr(search, "search_", search)
    if not hasattr(found, "best_C_1se"):
        raise ParameterError(
            f"search is of type {type(search).__name__}; expected what gpulr.search returns, or a "
            "fitted OneVsAllLogisticRegressionCV."
        )
    ax = axes(ax, 6.4, 4.0)
    order = np.argsort(found.Cs)
    finite = order[np.isfinite(found.Cs[order])]
    C, mean, error = found.Cs[finite], found.mean_scores[finite], found.standard_errors[finite]
    ax.fill_between(C, mean - error, mean + error, alpha=0.2, color=Colour.BLUE, linewidth=0)
    ax.plot(C, mean, "o-", color=Colour.BLUE, label="mean ± standard error")
    marks: dict[float, tuple[str, str]] = {}
    if np.ndim(found.best_C):
        for value, n in zip(*np.unique(found.best_C, return_counts=True), strict=True):
            marks[float(value)] = (f"best of {counted(int(n), 'model')}", ":")
    else:
        marks = {found.best_C: ("best", "-"), found.best_C_1se: ("one standard error", "--")}
    if len(marks) == 1 and not np.ndim(found.best_C):
        marks = {found.best_C: ("best, and within one standard error", "-")}
    for value, (name, style) in marks.items():
        look: dict[str, Any] = {"color": Colour.VERMILION, "linestyle": style}
        look["label"] = f"C = {value:.3g} ({name})"
        if np.isfinite(value):
            ax.axvline(value, zorder=1, **look)
        else:
            ax.plot([], [], **look)
    ax.set(xscale="log", xlabel="C (inverse regularisation strength)")
    ax.set_ylabel(f"held-out {found.scoring}", **PLAIN)
    ax.set_title(counted(len(found.scores), "fold"), loc="left")
    ax.legend(framealpha=1.0)
    tidy(ax)
    return ax


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
    """
    model = model_of(model)
    shape = image_shape_to_draw(model, image_shape)
    chosen = chosen_models(models, model.n_models)
    W = to_host(model.weights).astype(np.float64)[:, chosen] / model.scale
    names = [model_names(model)[j] for j in chosen]
    factor = "" if model.scale == 1.0 else f" × {1 / model.scale:.4g}"
    drawn = W.T if shape is None else weight_images(W, shape)
    ax = weight_maps(ax, drawn, names, f"weight{factor}")
    title = "Weights of each model" if model.n_models > 1 else "Weights"
    if len(chosen) < model.n_models:
        title = f"Weights of {len(chosen)} of {model.n_models} models"
    ax.set_title(title, loc="left")
    return ax


def weight_maps(
    ax: Axes | None, drawn: npt.NDArray[np.float64], names: Sequence[str], words: str
) -> Axes:
    """Draw weights in colours, on one scale that ``words`` tell of.

    They are (n_models, height, width), an image for each, or (n_models, n_features), a line for
    each. What is masked is grey.
    """
    limit = weight_limit(np.ma.filled(drawn, 0.0))
    # Red and blue can be told apart with any colour vision.
    colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad="#d9d9d9")
    look: dict[str, Any] = {"cmap": colours, "vmin": -limit, "vmax": limit}
    if drawn.ndim == 2:
        ax = axes(ax, 7.2, 1.4 + 0.26 * len(names))
        coloured = ax.imshow(drawn, aspect="auto", interpolation="nearest", **look)
        ax.set_yticks(range(len(names)), names, fontsize="small", **PLAIN)
        ax.set_xlabel("feature")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    else:
        rows, columns = grid(len(names), COLUMNS if len(names) <= 20 else 2 * COLUMNS)
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
    bar = ax.figure.colorbar(coloured, cax=ax.inset_axes((1.02, 0.0, 0.02, 1.0)), extend="both")
    bar.set_label(f"← against    {words}    for →", fontsize="small")
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
