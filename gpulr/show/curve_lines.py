"""What pictures of curves share: labelled rows of each model, and lines of all, or of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.lines import Line2D

from gpulr.errors import DataError, ParameterError
from gpulr.model.binary import problems
from gpulr.model.one_vs_all import OneVsAll, labelled_margins
from gpulr.show.canvas import Colour, axes, bare, grid, legend, model_names, model_of, tidy
from gpulr.show.labels import label_text
from gpulr.show.lettering import drawable, fitted, plain
from gpulr.show.models import INKS
from gpulr.show.predictions import labelled_rows
from gpulr.words import counted, did_you_mean, listed

Floats = npt.NDArray[np.float64]
Problem = tuple[Any, Any, Any]  # margins, truth of 0 and 1, and weights of rows, (n,) each
STYLES = ("-", "--", ":", "-.")  # of each ten curves
MOST_PANELS = 12  # models that have panels unless told which
COLUMNS, SIDE = 4, 1.9  # inches of a panel
LONGEST_NAME = 1.6  # inches
REFERENCE: dict[str, Any] = {"color": "#555555", "linestyle": ":", "linewidth": 1.0}


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A curve from point to point, (n,) each, its score, and its share of positive rows."""

    x: Floats
    y: Floats
    score: float
    share: float = np.nan

    @staticmethod
    def none(share: float) -> Line:
        """Return that of a problem which leaves it undefined."""
        return Line(np.empty(0), np.empty(0), np.nan, share)


@dataclass(frozen=True, slots=True)
class Figures:
    """The words of a picture; ``level`` is whether chance is a level of its own for each line."""

    title: str
    x: str
    y: str
    score: str
    reference: str | None
    level: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A model, margins (n_rows, n_models), truth and weights of rows; which models were asked for.

    Truth is as of :func:`gpulr.model.binary.problems`.
    """

    model: OneVsAll
    Z: Any
    truth: Any
    weight: Floats
    chosen: list[int] | None

    def problem(self, j: int) -> Problem:
        """Return model j's own."""
        return next(problems(self.Z, self.truth, self.weight, slice(j, j + 1)))

    def pooled(self) -> Problem:
        """Return all answers as one."""
        parts = problems(self.Z, self.truth, self.weight, slice(0, self.model.n_models))
        z, y, w = map(np.concatenate, zip(*parts, strict=True))
        return z, y, w


def judged(model: Any, X: Any, y: Any, sample_weight: Any, classes: Any) -> Judged:
    """Return what a model says of labelled rows."""
    model = model_of(model)
    chosen = None if classes is None else _places(model, classes)
    X, y = labelled_rows(X, y)
    return Judged(model, *labelled_margins(model, X, y, sample_weight), chosen)


def share(problem: Problem) -> float:
    """Return the share of rows that are positive, by their weights."""
    _, y, w = problem
    return float(y @ w / w.sum()) if w.any() else np.nan


def _places(model: OneVsAll, classes: Any) -> list[int]:
    """Return the models of these classes or labels."""
    known = model.classes[-model.n_models :].tolist()
    wanted = np.atleast_1d(np.asarray(classes)).tolist()
    unknown = [each for each in wanted if each not in known]
    if unknown or not wanted:
        hint = did_you_mean(unknown[0], map(str, known)) if unknown else ""
        raise ParameterError(
            f"classes={wanted}{hint}; expected some of those that have a model: {listed(known)}."
        )
    return [known.index(each) for each in wanted]


def draw(
    found: Judged,
    line: Callable[[Problem], Line],
    look: Figures,
    macro: Callable[[Sequence[Line]], Line] | None,
    reference_kw: Mapping[str, Any] | None,
    curve_kw: Mapping[str, Any] | None,
    *,
    per_model: bool,
    name: str | None,
    despine: bool,
    ax: Axes | None,
) -> Axes:
    """Draw the curves of models, or of many the averages; ``macro`` is the mean of curves."""
    n_models, names, chosen = found.model.n_models, model_names(found.model), found.chosen
    title = look.title
    many = chosen is None and n_models > len(INKS)
    if many and not per_model:
        lines = [("all answers as one (micro)", line(found.pooled()))]
        if macro is not None:
            each = [line(found.problem(j)) for j in range(n_models)]
            if defined := [one for one in each if len(one.x)]:
                lines.append(("mean of the curves (macro)", macro(defined)))
        title += f", {n_models} models together"
    else:
        drawn = chosen or range(min(n_models, MOST_PANELS) if many else n_models)
        lines = [(names[j], line(found.problem(j))) for j in drawn]
        if len(lines) < n_models:
            title += f", {len(lines)} of {n_models} models"
        elif n_models > 1:
            title += " of each model"
        else:
            title += f" for {names[0]}"
    if not any(len(one.x) for _, one in lines):
        raise DataError(
            "There is no curve to draw: every class or label that was asked for is one that no row "
            "has, or that all have. Pass rows of both kinds."
        )
    title += f" ({counted(len(found.Z), 'row')})"
    if per_model and len(lines) > 1:
        ax = _panels(ax, lines, look, reference_kw, curve_kw, despine=despine)
    else:
        ax = axes(ax, 6.4, 4.4)
        prefix = [] if name is None else drawable([label_text(name)])
        named = [(": ".join([*prefix, own]), one) for own, one in lines]
        _together(ax, named, look, reference_kw, curve_kw)
        _frame(ax, despine=despine)
    ax.set(xlabel=look.x, ylabel=look.y)
    ax.set_title(title, loc="left", **plain([title]))
    return ax


def _together(
    ax: Axes,
    lines: Sequence[tuple[str, Line]],
    look: Figures,
    reference_kw: Mapping[str, Any] | None,
    curve_kw: Mapping[str, Any] | None,
) -> None:
    """Draw lines beside those that are there, each in a colour of its own, and a legend of all."""
    first = sum(each.get_gid() == "curve" for each in ax.lines)
    for i, (name, line) in enumerate(lines, first):
        colour, dashes = INKS[i % len(INKS)], STYLES[i // len(INKS) % len(STYLES)]
        how: dict[str, Any] = {"color": colour, "linestyle": dashes, **style(curve_kw)}
        (short,) = fitted([name], LONGEST_NAME, "small")
        ax.plot(line.x, line.y, **{"label": f"{short}   {_words(line, look)}", **how}, gid="curve")
        if look.level and look.reference and len(line.x):
            _reference(ax, line, look, {"color": colour, **style(reference_kw)})
    lone = [each for each in ax.lines if each.get_gid() == "reference"]
    if look.reference and look.level:
        lone = [Line2D([], [], **REFERENCE, label=look.reference)]
    elif look.reference and not lone:
        lone = [_reference(ax, None, look, reference_kw)]
    handles = [each for each in ax.lines if each.get_gid() == "curve"] + lone
    legend(ax, handles, [str(each.get_label()) for each in handles], fontsize="small")


def style(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the caller passes to ``ax.plot``, with no short names such as "lw"."""
    return normalize_kwargs(dict(settings or {}), Line2D)


def _words(line: Line, look: Figures) -> str:
    return f"{look.score} {line.score:.3f}" if len(line.x) else "no curve"


def _reference(
    ax: Axes, line: Line | None, look: Figures, reference_kw: Mapping[str, Any] | None
) -> Any:
    """Draw the diagonal, or the level of a line's share of positive rows."""
    ends = (0.0, 1.0) if line is None else (line.share, line.share)
    how = {**REFERENCE, "label": look.reference, "zorder": 1.5, **style(reference_kw)}
    return ax.plot((0.0, 1.0), ends, gid="reference", **how)[0]


def _frame(ax: Axes, *, despine: bool) -> None:
    """Show all from 0 to 1 along both axes."""
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    tidy(ax)
    ax.spines[["top", "right"]].set_visible(not despine)


def _panels(
    ax: Axes | None,
    lines: Sequence[tuple[str, Line]],
    look: Figures,
    reference_kw: Mapping[str, Any] | None,
    curve_kw: Mapping[str, Any] | None,
    *,
    despine: bool,
) -> Axes:
    """Draw each line in Axes of its own, on all others in grey."""
    rows, columns = grid(len(lines), COLUMNS)
    ax = axes(ax, SIDE * columns + 0.8, (SIDE + 0.15) * rows + 0.8)
    bare(ax)
    grey = {**style(curve_kw), "color": "#dddddd", "linewidth": 0.8, "marker": "None"}
    for i, (name, line) in enumerate(lines):
        row, column = divmod(i, columns)
        place = ((column + 0.14) / columns, 1 - (row + 0.88) / rows)
        panel = ax.inset_axes((*place, 0.84 / columns, 0.76 / rows))
        for _, other in lines:
            if other is not line:
                panel.plot(other.x, other.y, **grey, zorder=1)
        if look.reference and len(line.x):
            _reference(panel, line if look.level else None, look, reference_kw)
        how = {"color": Colour.BLUE, **style(curve_kw)}
        panel.plot(line.x, line.y, **how, gid="curve")
        _frame(panel, despine=despine)
        panel.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        panel.tick_params(labelsize="x-small")
        (short,) = fitted([name], 0.5 * SIDE, "small")
        said = f"{short}   {_words(line, look)}"
        panel.set_title(said, fontsize="small", pad=2, **plain([said]))
    return ax
