"""A model's weights, its cost along training, and the scores of a search along C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from gpulr.backend import to_host
from gpulr.errors import ParameterError
from gpulr.show.canvas import (
    Colour,
    axes,
    bare,
    grid,
    inches_of,
    make_room,
    model_names,
    model_of,
    tidy,
)
from gpulr.show.features import MOST as MOST_BARRED
from gpulr.show.features import weight_bars
from gpulr.show.lettering import fitted, plain, widest
from gpulr.show.predictions import image_shape_to_draw, weight_images, weight_limit
from gpulr.validation.parameters import whole_number
from gpulr.words import counted, score_words

INKS = (
    *(Colour.BLUE, Colour.ORANGE, Colour.GREEN, Colour.VERMILION),
    *(Colour.PURPLE, Colour.SKY, Colour.BLACK),
    *("#882255", "#7a7a00", "#8c564b"),  # wine, olive and brown, beside those of Okabe & Ito
)
NAMED = 5  # curves of models that are too many to name them all
MOST = 50  # models whose weights one picture shows as images unless told which
LONGEST_NAME, NAME_HEIGHT = 1.6, 0.14  # inches of a name beside its line
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
    given, ax = ax, axes(ax, 6.4, 4.0)
    history, names = model.history, model_names(model)
    order = np.argsort(-history.cost[-1], kind="stable")
    high = 4.0 if given is None else inches_of(ax)[1]
    few = max(1, int(high / NAME_HEIGHT))
    many = len(order) > min(len(INKS), few)
    n_named = min(NAMED, few)
    named = order[: n_named if many else None].tolist()
    looks = {j: INKS[i if many else j] for i, j in enumerate(named)}
    for j, n_iter in enumerate(history.n_iter.tolist()):
        line, dot, above = (1.6, 5.0, 3) if j in looks else (0.6, 2.5, 2)
        ax.plot(
            np.arange(n_iter + 1),
            history.cost[: n_iter + 1, j],
            color=looks.get(j, Colour.GREY),
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
    title = "Cost of each model" if len(order) > 1 else "Cost"
    ax.set_title(f"{title}, the {n_named} costliest named" if many else title, loc="left")
    tidy(ax)
    if len(order) > 1:
        longest = min(widest([names[j] for j in named], "small"), LONGEST_NAME)
        if given is not None:
            longest = make_room(ax, longest + 0.15) - 0.15
        lines = [(names[j], ax.lines[j], looks[j]) for j in named]
        name_ends(ax, lines, max(0.058, NAME_HEIGHT / high), longest)
    return ax


def name_ends(
    ax: Axes,
    lines: Sequence[tuple[str, Line2D, str]],
    step: float,
    longest: float = LONGEST_NAME,
) -> None:
    """Write names beside the Axes, in the colours of their lines, each led to from its end.

    ``step`` is the share of the Axes' height that a name takes, ``longest`` its width in inches.
    """
    ends = [
        (float(np.asarray(line.get_xdata())[-1]), float(np.asarray(line.get_ydata())[-1]))
        for _, line, _ in lines
    ]
    low, high = ax.get_ylim()
    across = ax.transScale.transform(np.array([(0.0, y) for y in (low, high)]))[:, 1]
    heights = ax.transScale.transform(np.array([(0.0, y) for _, y in ends]))[:, 1]
    wanted = (heights - across[0]) / ((across[1] - across[0]) or 1.0)
    step = min(step, 1.0 / len(ends))
    order = np.argsort(wanted, kind="stable")
    placed = np.maximum.accumulate(wanted[order] - step * np.arange(len(order)))
    placed = placed + step * np.arange(len(order))
    placed = np.minimum(placed, 1.0 - step * np.arange(len(order))[::-1])  # beside the Axes
    for i, y in zip(order.tolist(), placed.tolist(), strict=True):
        name, _, colour = lines[i]
        (name,) = fitted([name], longest, "small")
        ax.annotate(
            name,
            ends[i],
            (1.03, y),
            textcoords="axes fraction",
            color=colour,
            fontsize="small",
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "relpos": (0, 0.5)},
            annotation_clip=False,
            **plain([name]),
        )


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
    found = search_of(search)
    ax = axes(ax, 6.4, 4.0)
    order = np.argsort(found.Cs)
    finite = order[np.isfinite(found.Cs[order])]
    C, mean, error = found.Cs[finite], found.mean_scores[finite], found.standard_errors[finite]
    if len(C) > 1:
        ax.fill_between(C, mean - error, mean + error, alpha=0.2, color=Colour.BLUE, linewidth=0)
        ax.plot(C, mean, "o-", color=Colour.BLUE, label="mean ± standard error")
    else:
        words = "mean ± standard error"
        ax.errorbar(C, mean, error, fmt="o", color=Colour.BLUE, capsize=4, zorder=3, label=words)
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
    ax.set_ylabel(f"{score_words(found.scoring)} of held-out rows", **plain([found.scoring]))
    ax.set_title(counted(len(found.scores), "fold"), loc="left")
    ax.legend(framealpha=1.0)
    tidy(ax)
    return ax


def search_of(search: Any) -> Any:
    """Return the search that was passed, or that a fitted estimator holds."""
    found = getattr(search, "search_", search)
    if not hasattr(found, "best_C_1se"):
        raise ParameterError(
            f"search is of type {type(search).__name__}; expected what gpulr.search returns, or a "
            "fitted OneVsAllLogisticRegressionCV."
        )
    return found


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

    Of a table the n largest weights of each model by size, sorted from the most positive on, orange
    for its class and blue against it, each for one standard deviation of its feature, so that they
    compare whatever the features' units. The number beside a bar is the odds ratio of that step.
    Models of earlier versions do not know the deviations; theirs are weights of X as it was passed.
    Of a bootstrap's result the weights have whiskers, their intervals.

    Images have one scale, symmetric about 0. It ends where 99.5 per cent of the weights do. Weights
    are those of the scaled X: of pixels from 0 to 255, the weight of a full pixel. Channels of
    colour images are added up. Square numbers of nameless bytes are taken for images.

    Parameters
    ----------
    model : OneVsAll, fitted estimator, Search or Bootstrap
    n : int, optional
        Features of a table for each model; without, 8, or of a single model 20.
    level : float
        Of a bootstrap's intervals.
    image_shape : tuple of int, optional
        (height, width), or with channels; without, that of the training data.
    models : sequence of int, optional
        Which models, by their column; without, all, or the first 12 (of images 50).
    ax : matplotlib Axes, optional
        In small ones are panels of as many models of a table as can be read, one at least.

    Returns
    -------
    Axes
        With the bars of one model, or ``ax.child_axes``: those of several models, or the images and
        the colour bar's Axes.
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
    side = 7.2 / max(columns, 2)
    above = 0.26 if len(names) > 1 else 0.06  # of an image, its name
    # Of all heights the one that holds what is written beside the colour bar.
    tall = max(0.4 + rows * (above + side * min(height / width, 2)), 2.4)
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
