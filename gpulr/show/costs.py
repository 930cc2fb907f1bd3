"""The cost of every model at each iteration of its training."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from gpulr.show.canvas import INKS, Colour, axes, model_names, model_of, tidy
from gpulr.show.line_ends import LONGEST_NAME, NAME_HEIGHT, name_ends
from gpulr.show.room import beside, inches_of, settled

NAMED = 5  # curves of models that are too many to name them all


@settled
def cost(model: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the cost of every model at each iteration.

    A line ends at its model's last iteration, in a dot if the model converged. With more than ten
    models, those that end with the largest costs are named; the others are grey.

    Parameters
    ----------
    model : OneVsAll, fitted estimator or Search
        The model; of a search, the one that was refitted.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        It has a line for each model, in the order of the models; the cost is logarithmic.
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
        longest = LONGEST_NAME if given is None else 0.4 * beside(ax)
        lines = [(names[j], ax.lines[j], looks[j]) for j in named]
        name_ends(ax, lines, max(0.058, NAME_HEIGHT / high), longest)
    return ax
