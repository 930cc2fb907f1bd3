"""Scores along the number of rows that models were trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.collections import PolyCollection

from gpulr.errors import ParameterError
from gpulr.show.canvas import Colour, axes, tidy
from gpulr.show.curve_lines import style
from gpulr.show.lettering import plain
from gpulr.show.room import settled
from gpulr.words import counted, did_you_mean, score_words, shown

TYPES, STYLES = ("both", "train", "test"), ("fill_between", "errorbar", None)
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
    """Draw mean scores and standard errors along the training rows.

    Where the two lines have met, more rows bring nothing; where they are apart, more may.

    Parameters
    ----------
    curve : LearningCurve
        As :func:`gpulr.learning_curve` returns it.
    score_type : "both", "train" or "test"
        Which scores: of training rows, of held-out ones.
    score_name : str, optional
        Of the axis; without, the name of the score.
    negate_score : bool
        Whether to draw a score that is minus a loss as the loss.
    std_display_style : "fill_between", "errorbar" or None
        How standard errors are drawn, if they are.
    line_kw, fill_between_kw, errorbar_kw : dict, optional
        Passed to ``ax.plot``, ``ax.fill_between`` and ``ax.errorbar``.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
    """
    if not hasattr(curve, "train_sizes"):
        raise ParameterError(
            f"curve is of type {type(curve).__name__}; expected what gpulr.learning_curve returns."
        )
    _one_of("score_type", score_type, TYPES)
    _one_of("std_display_style", std_display_style, STYLES)
    ax = axes(ax, 6.4, 4.0)
    sizes, table, sign = curve.train_sizes, curve.table, -1 if negate_score else 1
    for name, (words, colour) in LOOKS.items():
        if score_type not in (name, "both"):
            continue
        mean, error = sign * table[name], table[f"{name}_standard_error"]
        line = {"color": colour, "marker": "o", "label": words, **style(line_kw)}
        if std_display_style == "fill_between":
            band = normalize_kwargs(dict(fill_between_kw or {}), PolyCollection)
            band = {"alpha": 0.2, "facecolor": line["color"], "linewidth": 0, **band}
            ax.fill_between(sizes, mean - error, mean + error, **band)
        if std_display_style == "errorbar":
            ax.errorbar(sizes, mean, error, **{"capsize": 4, **line, **(errorbar_kw or {})})
        else:
            ax.plot(sizes, mean, **line)
    ax.set_xlabel("rows that models are trained on")
    scoring = curve.scoring.removeprefix("neg_") if negate_score else curve.scoring
    said = score_words(scoring) if score_name is None else score_name
    said += "" if std_display_style is None else ", mean ± standard error"
    ax.set_ylabel(said, **plain([said]))
    ax.set_title(counted(curve.test_scores.shape[1], "fold"), loc="left")
    ax.legend(framealpha=1.0)
    tidy(ax)
    return ax


def _one_of(name: str, value: Any, known: Sequence[Any]) -> None:
    if value not in known:
        names = ", ".join(map(repr, known))
        raise ParameterError(
            f"{name}={shown(value)}{did_you_mean(value, map(str, known))}; use one of {names}."
        )
