"""Names of lines, beside the Axes where the lines end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gpulr.show.lettering import fitted, plain

LONGEST_NAME, NAME_HEIGHT = 1.6, 0.14  # inches of a name beside its line


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
