"""Curves: the cost of every model along its training, and the scores of a search along C."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from gpulr.errors import ParameterError
from gpulr.show.canvas import PLAIN, Colour, axes, legend, model_names, model_of, tidy
from gpulr.words import counted

Floats = npt.NDArray[np.float64]
NAMED = 5  # of models that are too many to name them all
LINES = (
    *((colour, "-") for colour in (Colour.BLUE, Colour.ORANGE, Colour.GREEN, Colour.VERMILION)),
    *((colour, "-") for colour in (Colour.PURPLE, Colour.SKY, Colour.BLACK)),
    *((colour, "--") for colour in (Colour.BLUE, Colour.ORANGE, Colour.GREEN)),
)


@runtime_checkable
class SearchScores(Protocol):
    """What is drawn of a search: scores (n_folds, n_Cs), their means, and the two choices of C."""

    Cs: Floats
    scores: Floats
    scoring: str
    best_C: float
    best_C_1se: float
    mean_scores: Floats
    standard_errors: Floats


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

    Raises
    ------
    ParameterError
        ``model`` is no trained model, or ``ax`` is not Axes.
    """
    model = model_of(model)
    ax = axes(ax, 6.4, 4.0)
    history, names = model.history, model_names(model)
    order = np.argsort(-history.cost[-1], kind="stable")
    many = len(order) > len(LINES)
    named = order[: NAMED if many else None].tolist()
    looks = {j: LINES[i if many else j] for i, j in enumerate(named)}
    lines = []
    for j, n_iter in enumerate(history.n_iter.tolist()):
        colour, style = looks.get(j, (Colour.GREY, "-"))
        lines += ax.plot(
            np.arange(n_iter + 1),
            history.cost[: n_iter + 1, j],
            color=colour,
            linestyle=style,
            linewidth=1.6 if j in looks else 0.6,
            marker="o" if history.converged[j] else "None",
            markevery=[n_iter],
            markersize=5 if j in looks else 2.5,
            zorder=3 if j in looks else 2,
        )
    if (history.cost > 0).all():
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0), numticks=10))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("iteration" + ("   (● converged)" if history.converged.any() else ""))
    ax.set_ylabel("cost (mean log-loss + penalty)")
    ax.set_title("Cost of each model" if len(lines) > 1 else "Cost", loc="left")
    tidy(ax)
    if len(lines) > 1:
        legend(
            ax,
            [lines[j] for j in named],
            [names[j] for j in named],
            title=f"the {NAMED} costliest\nof {len(lines)} models" if many else "costliest first",
            title_fontsize="small",
            fontsize="small",
        )
    return ax


def c_path(search: Any, *, ax: Axes | None = None) -> Axes:
    """Draw mean score and standard error along C, and mark both choices.

    Parameters
    ----------
    search : Search, or a fitted OneVsAllLogisticRegressionCV
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        C is logarithmic; C = ∞ has no place on the axis, and is named only if it was chosen.

    Raises
    ------
    ParameterError
        ``search`` is no search, or ``ax`` is not Axes.
    """
    found = getattr(search, "search_", search)
    if not isinstance(found, SearchScores):
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
    marks = {found.best_C: ("best", "-"), found.best_C_1se: ("one standard error", "--")}
    if len(marks) == 1:
        marks = {found.best_C: ("best, and within one standard error", "-")}
    for value, (name, style) in marks.items():
        label = f"C = {value:.3g} ({name})"
        if np.isfinite(value):
            ax.axvline(value, color=Colour.VERMILION, linestyle=style, label=label, zorder=1)
        else:
            ax.plot([], [], color=Colour.VERMILION, linestyle=style, label=label)
    ax.set(xscale="log", xlabel="C (inverse regularisation strength)")
    ax.set_ylabel(f"held-out {found.scoring}", **PLAIN)
    ax.set_title(counted(len(found.scores), "fold"), loc="left")
    ax.legend(framealpha=1.0)
    tidy(ax)
    return ax
