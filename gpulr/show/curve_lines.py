"""What pictures of curves share: lines of all models together, or of each in a panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.lines import Line2D

from gpulr.errors import DataError
from gpulr.show.canvas import INKS, Colour, axes, bare, grid, legend, tidy
from gpulr.show.judged import Judged, Kind, Line, averages
from gpulr.show.labels import label_text
from gpulr.show.lettering import drawable, fitted, plain, widest, width, wrapped
from gpulr.show.room import (
    SMALL_LETTERS,
    beside,
    columns_that_fit,
    has_layout,
    inches_of,
    is_small,
    panels_that_fit,
)
from gpulr.words import counted

LEAST_SHARE = 0.7  # of its side that a square gives to keep a legend beside it
STYLES = ("-", "--", ":", "-.")  # of each ten curves
MOST_PANELS = 12  # models that have panels unless told which
COLUMNS, SIDE, LEAST_SIDE = 4, 1.9, 1.1  # inches of a panel
LONGEST_NAME = 1.6  # inches
INSIDE = 0.9  # inches of a legend that covers a part of the curves
HANDLE, ENTRY = 0.55, 0.17  # inches of a legend's entry: what is beside its words, and its height
REFERENCE: dict[str, Any] = {"color": "#555555", "linestyle": ":", "linewidth": 1.0}


def draw(
    found: Judged,
    kind: Kind,
    reference_kw: Mapping[str, Any] | None,
    curve_kw: Mapping[str, Any] | None,
    *,
    per_model: bool,
    name: str | None,
    despine: bool,
    ax: Axes | None,
) -> Axes:
    """Draw the curves of models, or of many their averages."""
    n_models, names, chosen = found.model.n_models, found.names, found.chosen
    title, room, given = kind.title, len(INKS), ax
    if ax is not None and not per_model:
        labels = [f"{each}   {kind.score} 0.000" for each in _fitted_names(ax, names)]
        above = inches_of(ax)[1] if _fits_beside(ax, labels) else INSIDE
        room = min(room, int(above / ENTRY) - 1)
    many = chosen is None and n_models > room
    if many and not per_model:
        short = given is not None and is_small(given)
        lines = [(n if short else f"{n} average", one) for n, one in averages(found, kind)]
        title += f", {n_models} models together"
    else:
        most = min(n_models, MOST_PANELS) if n_models > len(INKS) else n_models
        drawn = chosen or list(range(most))
        if per_model and chosen is None:
            drawn = drawn[: panels_that_fit(ax, len(drawn), COLUMNS, LEAST_SIDE, LEAST_SIDE)]
        lines = [(names[j], kind.of(found.problem(j))) for j in drawn]
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
        ax = _panels(ax, lines, kind, reference_kw, curve_kw, despine=despine)
    else:
        prefix = [] if name is None else drawable([label_text(name)])
        named = [(": ".join([*prefix, own]), one) for own, one in lines]
        ax = _together(ax, named, kind, reference_kw, curve_kw)
        _frame(ax, despine=despine)
        ax.set_anchor("W")  # beside the legend
    words = (kind.x, kind.y)
    if given is not None and is_small(given):
        words = (_briefly(kind.x), _briefly(kind.y))
    below, left = words
    if given is None:
        high = ax.figure.bbox.height / ax.figure.dpi
        left = wrapped(left, high - 0.3, "medium")  # one row of panels is not high
    ax.set(xlabel=below, ylabel=left)
    ax.set_title(title, loc="left", **plain([title]))
    return ax


def _together(
    ax: Axes | None,
    lines: Sequence[tuple[str, Line]],
    kind: Kind,
    reference_kw: Mapping[str, Any] | None,
    curve_kw: Mapping[str, Any] | None,
) -> Axes:
    """Draw lines beside those that are there, each in a colour of its own, and a legend of all."""
    names = _fitted_names(ax, [name for name, _ in lines])
    labels = [
        f"{name}   {_words(line, kind)}" for name, (_, line) in zip(names, lines, strict=True)
    ]
    chance = kind.reference or ""
    if ax is not None and (is_small(ax) or not _fits_beside(ax, [chance])):
        chance = _briefly(chance)
    wide = widest([*labels, chance], "small") + HANDLE
    size, given, ax = "small", ax, axes(ax, 4.5 + wide, 4.4)
    first = sum(each.get_gid() == "curve" for each in ax.lines)
    for i, (label, (_, line)) in enumerate(zip(labels, lines, strict=True), first):
        colour, dashes = INKS[i % len(INKS)], STYLES[i // len(INKS) % len(STYLES)]
        how: dict[str, Any] = {"color": colour, "linestyle": dashes, **style(curve_kw)}
        ax.plot(line.x, line.y, **{"label": label, **how}, gid="curve")
        if kind.level and kind.reference and len(line.x):
            _reference(ax, line, kind, {"color": colour, **style(reference_kw)})
    lone = [each for each in ax.lines if each.get_gid() == "reference"]
    if kind.reference and kind.level:
        lone = [Line2D([], [], **REFERENCE, label=chance)]
    elif kind.reference and not lone:
        lone = [_reference(ax, None, kind, reference_kw)]
    handles = [each for each in ax.lines if each.get_gid() == "curve"] + lone
    said = [str(each.get_label()) for each in handles]
    place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    if given is not None and not _fits_beside(given, said):
        place = {"loc": kind.corner}
    legend(ax, handles, said, fontsize=size, **place)
    return ax


def _fitted_names(ax: Axes | None, names: Sequence[str]) -> list[str]:
    """Return names as long as a legend has room for."""
    longest = LONGEST_NAME if ax is None else min(LONGEST_NAME, 0.4 * inches_of(ax)[0])
    return fitted(names, longest, "small")


def _fits_beside(ax: Axes, labels: Sequence[str]) -> bool:
    """Return whether there is room for a legend on the right of a square in the caller's Axes."""
    letters = SMALL_LETTERS if is_small(ax) else "small"
    share = 1.1 if has_layout(ax) else LEAST_SHARE
    return widest(labels, letters) + HANDLE <= beside(ax) - share * min(inches_of(ax))


def _briefly(words: str) -> str:
    return words.split(":")[0]


def style(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the caller passes to ``ax.plot``, with no short names such as "lw"."""
    return normalize_kwargs(dict(settings or {}), Line2D)


def _words(line: Line, kind: Kind) -> str:
    return f"{kind.score} {line.score:.3f}" if len(line.x) else "no curve"


def _reference(
    ax: Axes, line: Line | None, kind: Kind, reference_kw: Mapping[str, Any] | None
) -> Any:
    """Draw the diagonal, or the level of a line's share of positive rows."""
    ends = (0.0, 1.0) if line is None else (line.share, line.share)
    how = {**REFERENCE, "label": kind.reference, "zorder": 1.5, **style(reference_kw)}
    return ax.plot((0.0, 1.0), ends, gid="reference", **how)[0]


def _frame(ax: Axes, *, despine: bool) -> None:
    """Show all from 0 to 1 along both axes."""
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    tidy(ax)
    ax.spines[["top", "right"]].set_visible(not despine)


def _panels(
    ax: Axes | None,
    lines: Sequence[tuple[str, Line]],
    kind: Kind,
    reference_kw: Mapping[str, Any] | None,
    curve_kw: Mapping[str, Any] | None,
    *,
    despine: bool,
) -> Axes:
    """Draw each line in Axes of its own, on all others in grey."""
    beside_each_other = columns_that_fit(ax, COLUMNS, LEAST_SIDE)
    rows, columns = grid(len(lines), beside_each_other)
    wide, high = SIDE, SIDE + 0.15
    if ax is not None:
        wide, high = inches_of(ax)[0] / columns, inches_of(ax)[1] / rows
    ax = axes(ax, SIDE * columns + 0.8, (SIDE + 0.15) * rows + 0.8)
    bare(ax)
    size = "small" if wide >= SIDE else "x-small"
    grey = {**style(curve_kw), "color": "#dddddd", "linewidth": 0.8, "marker": "None"}
    for i, (name, line) in enumerate(lines):
        row, column = divmod(i, columns)
        place = (column + 0.27 / wide) / columns, 1 - (row + 1 - 0.25 / high) / rows
        extent = (0.98 - 0.27 / wide) / columns, (1 - 0.5 / high) / rows
        panel = ax.inset_axes((*place, *extent))
        for _, other in lines:
            if other is not line:
                panel.plot(other.x, other.y, **grey, zorder=1)
        if kind.reference and len(line.x):
            _reference(panel, line if kind.level else None, kind, reference_kw)
        how = {"color": Colour.BLUE, **style(curve_kw)}
        panel.plot(line.x, line.y, **how, gid="curve")
        _frame(panel, despine=despine)
        panel.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        panel.tick_params(labelsize="x-small")
        words = _words(line, kind)
        (short,) = fitted([name], 0.98 * wide - width(f"   {words}", size), size)
        said = f"{short}   {words}"
        panel.set_title(said, fontsize=size, pad=2, **plain([said]))
    return ax
