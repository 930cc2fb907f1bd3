"""Scores along the number of rows that models were trained on."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from gpulr.errors import ParameterError
from gpulr.show.canvas import Colour, axes, tidy
from gpulr.show.lettering import plain
from gpulr.words import counted, score_words


def learning_curve(curve: Any, *, ax: Axes | None = None) -> Axes:
    """Draw mean scores and standard errors along the training rows.

    Where the two lines have met, more rows bring nothing; where they are apart, more may.

    Parameters
    ----------
    curve : LearningCurve
        As :func:`gpulr.learning_curve` returns it.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
    """
    if not hasattr(curve, "train_sizes"):
        raise ParameterError(
            f"curve is of type {type(curve).__name__}; expected what gpulr.learning_curve returns."
        )
    ax = axes(ax, 6.4, 4.0)
    sizes, table = curve.train_sizes, curve.table
    looks = {"train": ("training rows", Colour.ORANGE), "test": ("held-out rows", Colour.BLUE)}
    for name, (words, colour) in looks.items():
        mean, error = table[name], table[f"{name}_standard_error"]
        ax.fill_between(sizes, mean - error, mean + error, alpha=0.2, color=colour, linewidth=0)
        ax.plot(sizes, mean, "o-", color=colour, label=words)
    ax.set_xlabel("rows that models are trained on")
    ax.set_ylabel(f"{score_words(curve.scoring)}, mean ± standard error", **plain([curve.scoring]))
    ax.set_title(counted(curve.test_scores.shape[1], "fold"), loc="left")
    ax.legend(framealpha=1.0)
    tidy(ax)
    return ax
