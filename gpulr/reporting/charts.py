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

from gpulr.families.search_result import choose, standard_errors
from gpulr.model.one_vs_all import OneVsAll
from gpulr.show.labels import shortened_apart
from gpulr.words import counted, score_words

WIDTH, HEIGHT = 440, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 58, 12, 40  # margins, for the text
MOST_CURVES = 12  # more are drawn as a band
MOST_POINTS, OF_ALL_CURVES = 160, 450  # the page is to stay small
LABEL_STEP = 13  # least distance of two names at the end of curves
LONGEST_LABEL = 7  # characters of such a name
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

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
    """What the template draws, in units of the view box; ticks are places and what to write."""

    title: str
    description: str
    x_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    curves: list[Curve]
    right: float
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


def training_charts(model: OneVsAll, names: Sequence[str]) -> list[Chart]:
    """Draw each model's cost and largest gradient entry along the iterations, where there are."""
    history, charts = model.history, []
    cost, gradient = history.cost, history.gradient_norm
    logarithmic = bool(cost.min() > 0 and cost.max() / cost.min() > 4)
    if _drawable(cost):
        what = "Mean log-loss plus penalty of each model"
        charts.append(_along_iterations("Cost", what, cost, model, names, logarithmic))
    if _drawable(gradient) and gradient.max() > 0:
        gradient = np.maximum(gradient, gradient[gradient > 0].min())
        what = "How far from the optimum"
        if 1 < len(names) <= MOST_CURVES:
            what = "How far each model is from its optimum"
        tol = float(model.settings.get("tol", 0.0)) or None
        title = "Largest gradient entry"
        charts.append(_along_iterations(title, what, gradient, model, names, True, tol))
    return charts


def _drawable(values: Floats) -> bool:
    return len(values) > 1 and bool(np.isfinite(values).all())


def _along_iterations(
    title: str,
    description: str,
    values: Floats,
    model: OneVsAll,
    names: Sequence[str],
    logarithmic: bool,
    tol: float | None = None,
) -> Chart:
    last = len(values) - 1
    ends = [values.min(), values.max(), *([] if tol is None else [tol])]
    y = _y_axis(float(min(ends)), float(max(ends)), logarithmic=logarithmic)
    right = WIDTH - RIGHT
    x = Axis(0, last, LEFT, right, whole=True)
    n_points = min(MOST_POINTS, OF_ALL_CURVES // min(len(names), MOST_CURVES))
    shown = np.unique(np.linspace(0, last, n_points).round().astype(int))
    curves, bands = [], []
    if len(names) <= MOST_CURVES:
        n_iter = np.minimum(model.history.n_iter, last)
        label_y = _apart(y.at(values[n_iter, np.arange(len(names))])).round(1).tolist()
        labels = shortened_apart(names, LONGEST_LABEL)
        for j, name in enumerate(names):
            steps = np.append(shown[shown < n_iter[j]], n_iter[j])
            points, end = _line(x.at(steps), y.at(values[steps, j]))
            curves.append(Curve(points, end, name, j, labels[j], label_y[j]))
    else:
        across = np.quantile(values[shown], [0, 0.25, 0.5, 0.75, 1], axis=1)
        (low, quarter, (points, end), three, high) = (_line(x.at(shown), y.at(v)) for v in across)
        bands = [
            " ".join([below, *reversed(above.split())])
            for (below, _), (above, _) in ((low, high), (quarter, three))
        ]
        curves.append(Curve(points, end, "median", 0, "median", end[1]))
        description += f": median, middle half and range of {len(names)}"
    return Chart(
        title,
        description + (", on a logarithmic scale" if logarithmic else ""),
        "iteration",
        x.ticks(),
        y.ticks(),
        curves,
        right,
        bands=bands,
        rule=None if tol is None else (float(y.at(tol).round(1)), "tol"),
    )


def search_chart(Cs: Floats, scores: Floats, scoring: str, *, marked: bool = True) -> Chart | None:
    """Draw mean score (n_folds, n_Cs) and standard error along C, and mark the two choices."""
    finite = np.argsort(Cs)
    finite = finite[np.isfinite(Cs[finite])]  # ∞ has no place on the axis
    C, mean, error = Cs[finite], scores.mean(axis=0)[finite], standard_errors(scores)[finite]
    if len(C) < 2 or not np.isfinite(mean).all():
        return None
    y = _y_axis(float((mean - error).min()), float((mean + error).max()))
    air, right = (C[-1] / C[0]) ** 0.04, round(WIDTH - RIGHT / 3)
    x = Axis(C[0] / air, C[-1] * air, LEFT, WIDTH - RIGHT / 3, logarithmic=True)
    best, one_se = choose(scores, Cs)
    marks = {one_se: "one standard error", best: "best"}
    if not marked:
        marks = {}
    elif best == one_se:
        marks = {best: "best, and within one standard error"}
    return Chart(
        "Choice of C",
        f"Mean {score_words(scoring)} of held-out rows and its standard error over "
        f"{counted(len(scores), 'fold')}",
        "C (inverse regularisation strength)",
        x.ticks(),
        y.ticks(),
        [Curve(*_line(x.at(C), y.at(mean)))],
        right,
        bars=np.transpose([x.at(C), y.at(mean - error), y.at(mean + error)]).round(1).tolist(),
        dots=np.transpose([x.at(C), y.at(mean)]).round(1).tolist(),
        marks=[(float(x.at(C).round(1)), name) for C, name in marks.items() if math.isfinite(C)],
    )


def _line(x: Floats, y: Floats) -> tuple[str, tuple[float, float]]:
    """Return the points of a line, and its end."""
    end_x, end_y = round(float(x[-1]), 1), round(float(y[-1]), 1)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True)), (end_x, end_y)


def _apart(y: Floats) -> Floats:
    """Return places for names, near to ``y``, in its order and ``LABEL_STEP`` from each other."""
    order, steps = np.argsort(y, kind="stable"), LABEL_STEP * np.arange(len(y))
    free = y[order] - steps  # places that may be equal, but not fall
    down, up = np.maximum.accumulate(free), np.minimum.accumulate(free[::-1])[::-1]
    placed = np.empty_like(y)
    placed[order] = steps + np.clip((down + up) / 2, TOP + 4, HEIGHT - BOTTOM - steps[-1])
    return placed


@dataclass(frozen=True, slots=True)
class Axis:
    """Where values are on a side of the chart; ``begin`` and ``end`` in units of the view box."""

    low: float
    high: float
    begin: float
    end: float
    logarithmic: bool = False
    whole: bool = False

    def at(self, values: npt.ArrayLike) -> Floats:
        """Return where values are."""
        x, low, high = np.asarray(values, dtype=np.float64), self.low, self.high
        if self.logarithmic:
            x, low, high = np.log10(np.clip(x, low, high)), math.log10(low), math.log10(high)
        where: Floats = self.begin + (x - low) / (high - low) * (self.end - self.begin)
        return where

    def ticks(self) -> list[tuple[float, str]]:
        """Return where round values are, and the values."""
        values = (_decades if self.logarithmic else _round_values)(self)
        return list(zip(self.at(values).round(1).tolist(), map(_tick, values), strict=True))


def _y_axis(low: float, high: float, *, logarithmic: bool = False) -> Axis:
    """Return the axis of values from ``low`` to ``high``, with some air."""
    if logarithmic:
        low, high = _rounded_down(low), 1 / _rounded_down(1 / high)
        return Axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic=True)
    air = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low - air, high + air, HEIGHT - BOTTOM, TOP)


def _rounded_down(x: float) -> float:
    """Return the greatest of 1, 2, 5, 10, … that is at most x."""
    ten = 10.0 ** math.floor(math.log10(x))
    return ten * max(k for k in (1, 2, 5) if k == 1 or k * ten <= x)


def _round_values(axis: Axis) -> list[float]:
    """Return some five round values."""
    length = axis.high - axis.low
    step = 10.0 ** math.floor(math.log10(length / 5))
    step *= next(k for k in (1, 2, 5, 10) if length / (k * step) <= 6)
    step = max(step, 1.0) if axis.whole else step
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _decades(axis: Axis) -> list[float]:
    """Return powers of ten, every second or third where they are many, or 1, 2, 5."""
    first, last = math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high))
    tens = [10.0**k for k in range(first, last + 1)]
    low, high = axis.low * (1 - 1e-9), axis.high * (1 + 1e-9)
    within = [t for t in tens if low <= t <= high]
    if len(within) > 3:
        return within[:: math.ceil(len(within) / 7)]
    return [k * t for t in tens for k in (1, 2, 5) if low <= k * t <= high]


def _tick(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e5:
        exponent = math.floor(math.log10(abs(value)) + 1e-9)
        digits = f"{value / 10.0**exponent:.3g}"
        power = "10" + str(exponent).translate(SUPERSCRIPT)
        return power if digits == "1" else f"{digits}×{power}".replace("-", "−")
    return f"{value:g}".replace("-", "−")
