"""Curves as what the template draws: points and ticks in the units of an SVG's view box.

A few lines of our own rather than a plotting library's SVG: colours come from the page's style,
light or dark, text stays text, and a chart takes a few kB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gpulr.families.search_result import standard_errors
from gpulr.model.record import History
from gpulr.reporting.axis import Axis, rounded_down
from gpulr.show.predictions import shortened
from gpulr.words import counted

WIDTH, HEIGHT = 440, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 58, 12, 40  # margins, for the text
MOST_CURVES = 12  # more are drawn as a band
MOST_POINTS = 160
LABEL_STEP = 13  # least distance of two names at the end of curves
LONGEST_LABEL = 7  # characters of such a name

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line, its name, and the number of its colour; ``label_y`` is where the name goes."""

    points: str
    end: tuple[float, float]
    name: str = ""
    colour: int = 0
    label: str = ""
    label_y: float = 0.0


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws, in units of the view box."""

    title: str
    description: str
    x_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    curves: list[Curve]
    right: float
    named: bool = False
    bands: list[str] = field(default_factory=list)
    rule: tuple[float, str] | None = None
    bars: list[tuple[float, float, float]] = field(default_factory=list)
    dots: list[tuple[float, float]] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def cost_chart(history: History, names: Sequence[str]) -> Chart | None:
    """Draw each model's cost along the iterations; None where there were none."""
    values = history.cost
    spread = values.max() / max(values.min(), 1e-300)
    return _along_iterations(
        "Cost",
        "Mean log-loss plus penalty of each model",
        values,
        history.n_iter,
        names,
        logarithmic=bool(values.min() > 0 and spread > 4),
        named=True,
    )


def gradient_chart(history: History, names: Sequence[str], tol: float) -> Chart | None:
    """Draw each model's largest gradient entry, and the tolerance."""
    values = history.gradient_norm
    positive = values[values > 0]
    if not positive.size:
        return None
    values = np.maximum(values, positive.min())
    return _along_iterations(
        "Largest gradient entry",
        "How far each model is from its optimum; colours as before"
        if 1 < len(names) <= MOST_CURVES
        else "How far from the optimum",
        values,
        history.n_iter,
        names,
        logarithmic=True,
        tol=tol if tol > 0 else None,
    )


def _along_iterations(
    title: str,
    description: str,
    values: Floats,
    n_iter: npt.NDArray[np.int64],
    names: Sequence[str],
    *,
    logarithmic: bool,
    tol: float | None = None,
    named: bool = False,
) -> Chart | None:
    last = len(values) - 1
    if last < 1 or not np.isfinite(values).all():
        return None
    low, high = float(values.min()), float(values.max())
    if tol is not None:
        low, high = min(low, tol), max(high, tol)
    y = _y_axis(low, high, logarithmic=logarithmic)
    right = WIDTH - (RIGHT if named else RIGHT // 3)
    x = Axis(0, last, LEFT, right, whole=True)
    shown = np.unique(np.linspace(0, last, MOST_POINTS).round().astype(int))
    curves, bands = [], []
    if len(names) <= MOST_CURVES:
        ends = np.minimum(n_iter, last)
        label_y = _apart(y.at(values[ends, np.arange(len(names))])).round(1).tolist()
        for j, name in enumerate(names):
            steps = np.append(shown[shown < ends[j]], ends[j])
            points = np.column_stack([x.at(steps), y.at(values[steps, j])])
            text = shortened(name, LONGEST_LABEL)
            curves.append(Curve(_points(points), _end(points), name, j, text, label_y[j]))
    else:
        across, where = np.quantile(values[shown], [0, 0.25, 0.5, 0.75, 1], axis=1), x.at(shown)
        lines = [np.column_stack([where, y.at(each)]) for each in across]
        bands = [_points(np.vstack([lines[a], lines[b][::-1]])) for a, b in ((0, 4), (1, 3))]
        end = _end(lines[2])
        curves.append(Curve(_points(lines[2]), end, "median", 0, "median", end[1]))
        description += f": median, middle half and range of {len(names)}"
    return Chart(
        title,
        description + (", on a logarithmic scale" if logarithmic else ""),
        "iteration",
        x.ticks(),
        y.ticks(),
        curves,
        right,
        named=named,
        bands=bands,
        rule=None if tol is None else (float(y.at(tol).round(1)), "tol"),
    )


def search_chart(
    Cs: Floats, scores: Floats, scoring: str, best: float, one_se: float
) -> Chart | None:
    """Draw mean score (n_folds, n_Cs) and standard error along C, and the two choices."""
    finite = np.argsort(Cs)
    finite = finite[np.isfinite(Cs[finite])]  # ∞ has no place on the axis
    C, mean, error = (
        values[finite] for values in (Cs, scores.mean(axis=0), standard_errors(scores))
    )
    if len(C) < 2 or not np.isfinite(mean).all():
        return None
    y = _y_axis(float((mean - error).min()), float((mean + error).max()), logarithmic=False)
    air = (C[-1] / C[0]) ** 0.04
    x = Axis(C[0] / air, C[-1] * air, LEFT, WIDTH - RIGHT / 3, logarithmic=True)
    points = np.column_stack([x.at(C), y.at(mean)]).round(1)
    bars = np.column_stack([x.at(C), y.at(mean - error), y.at(mean + error)])
    marks = {one_se: "one standard error", best: "best"}
    if best == one_se:
        marks = {best: "best, and within one standard error"}
    return Chart(
        "Choice of C",
        f"Mean held-out {scoring} and its standard error over {counted(len(scores), 'fold')}",
        "C (inverse regularisation strength)",
        x.ticks(),
        y.ticks(),
        [Curve(_points(points), _end(points))],
        round(WIDTH - RIGHT / 3),
        bars=bars.round(1).tolist(),
        dots=points.tolist(),
        marks=[(float(x.at(C).round(1)), name) for C, name in marks.items() if math.isfinite(C)],
    )


def _y_axis(low: float, high: float, *, logarithmic: bool) -> Axis:
    """Return the axis of values from ``low`` to ``high``, with some air."""
    if logarithmic:
        low, high = rounded_down(low), 1 / rounded_down(1 / high)
        return Axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic=True)
    air = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low - air, high + air, HEIGHT - BOTTOM, TOP)


def _apart(y: Floats) -> Floats:
    """Return places for names, near to ``y``, in its order and ``LABEL_STEP`` from each other."""
    order = np.argsort(y, kind="stable")
    placed = y[order].copy()
    for _ in range(200):
        gaps = LABEL_STEP - np.diff(placed)
        if not (gaps > 1e-3).any():
            break
        push = np.maximum(gaps, 0) / 2
        placed[:-1] -= push
        placed[1:] += push
        placed += np.clip(TOP + 4 - placed[0], 0, None)
        placed -= np.clip(placed[-1] - (HEIGHT - BOTTOM), 0, None)
    result = np.empty_like(placed)
    result[order] = placed
    return result


def _points(points: Floats) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _end(points: Floats) -> tuple[float, float]:
    x, y = points[-1].round(1).tolist()
    return x, y
