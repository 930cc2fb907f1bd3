"""Scores along the number of rows that models were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.collections import PolyCollection

from gpulr.errors import ParameterError
from gpulr.show.canvas import Colour, axes, tidy
from gpulr.show.curve_lines import style
from gpulr.show.lettering import plain
from gpulr.show.room import settled
from gpulr.validation.parameters import one_of
from gpulr.words import counted, score_words

TYPES, DISPLAYS = ("both", "train", "test"), ("fill_between", "errorbar", None)
LOOKS = {"train": ("training rows", Colour.ORANGE), "test": ("held-out rows", Colour.BLUE)}


@settled
def learning_curve(
    curve: Any,
    *,
    score_type: str = "both",
    score_name: str | None = None,
    negate_score: bool = False,
    std_display_style: str | None = "fill_between",
    line_kw: Mapping[str, Any] | None = None,
    fill_between_kw: Mapping[str, Any] | None = None,
    errorbar_kw: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw mean scores and standard errors against the number of training rows.

    Where the two lines have met, more rows gain nothing; where they are apart, more may.

    Parameters
    ----------
    curve : LearningCurve
        What :func:`gpulr.learning_curve` returned.
    score_type : "both", "train" or "test"
        Which scores to draw: those of training rows, those of held-out ones, or both.
    score_name : str, optional
        Name on the axis; None is the name of the score.
    negate_score : bool
        Whether to draw a score that is minus a loss as the loss.
    std_display_style : "fill_between", "errorbar" or None
        How to draw standard errors; None leaves them out.
    line_kw, fill_between_kw, errorbar_kw : dict, optional
        Passed to ``ax.plot``, ``ax.fill_between`` and ``ax.errorbar``.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
    """
    if not hasattr(curve, "train_sizes"):
        raise ParameterError(
            f"curve is of type {type(curve).__name__}; expected what gpulr.learning_curve returns."
        )
    one_of("score_type", score_type, TYPES)
    one_of("std_display_style", std_display_style, DISPLAYS)
    ax = axes(ax, 6.4, 4.0)
    sizes, table, sign = curve.train_sizes, curve.table, -1 if negate_score else 1
    for name, (words, colour) in LOOKS.items():
        if score_type not in (name, "both"):
            continue
        mean, error = sign * table[name], table[f"{name}_standard_error"]
        line = {"color": colour, "marker": "o", "label": words, **style(line_kw)}
        display = std_display_style, fill_between_kw, errorbar_kw
        score_line(ax, sizes, mean, error, line, *display)
    ax.set_xlabel("rows that models are trained on")
    said = score_label(curve.scoring, score_name, negate=negate_score)
    said += "" if std_display_style is None else ", mean ± standard error"
    ax.set_ylabel(said, **plain([said]))
    ax.set_title(counted(curve.test_scores.shape[1], "fold"), loc="left")
    ax.legend(framealpha=1.0)
    tidy(ax)
    return ax


def score_line(
    ax: Axes,
    x: Any,
    mean: Any,
    error: Any,
    line: Mapping[str, Any],
    display: str | None,
    fill_between_kw: Mapping[str, Any] | None,
    errorbar_kw: Mapping[str, Any] | None,
) -> None:
    """Draw mean scores (n,) with their standard errors, in the way that was asked for.

    One point has a bar for its error, since a band has no width there.
    """
    one_of("std_display_style", display, DISPLAYS)
    if display == "fill_between" and len(x) > 1:
        band = normalize_kwargs(dict(fill_between_kw or {}), PolyCollection)
        band = {"alpha": 0.2, "facecolor": line["color"], "linewidth": 0, **band}
        ax.fill_between(x, mean - error, mean + error, **band)
        ax.plot(x, mean, **line)
    elif display is None:
        ax.plot(x, mean, **line)
    else:
        ax.errorbar(x, mean, error, **{"capsize": 4, "zorder": 3, **line, **(errorbar_kw or {})})


def score_label(scoring: str, score_name: str | None, *, negate: bool) -> str:
    """Return the words of a score's axis: its name, or that of the loss which it is minus one."""
    if score_name is not None:
        return score_name
    return score_words(scoring.removeprefix("neg_") if negate else scoring)
