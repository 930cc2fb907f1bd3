"""Charts of benchmarks, from the result files of the checkout's ``bench``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from gpulr.errors import DataFileError, ParameterError
from gpulr.show.canvas import Colour, axes, legend, tidy
from gpulr.show.lettering import plain
from gpulr.show.room import settled

# Colours of what is timed: ways to do one pass, and solvers on the way to the optimum.
WAYS = {
    "notebook": Colour.GREY,
    "plain": Colour.ORANGE,
    "loop": Colour.SKY,
    "batched": Colour.BLUE,
    "uncompiled": Colour.SKY,
    "portable": Colour.SKY,
    "peer": Colour.GREEN,
    "peer-blocks": Colour.GREEN,
}
OURS = "gpulr-lbfgs"
STYLES = {
    OURS: (Colour.BLUE, "o", "-"),
    "gpulr-nesterov": (Colour.SKY, "o", "--"),
    "gpulr-gd": (Colour.SKY, "s", ":"),
    "jax-gd": (Colour.BLACK, "x", ":"),
    "intelex-lbfgs": (Colour.VERMILION, "^", "-"),
    "sklearn-lbfgs": (Colour.ORANGE, "v", "-"),
    "sklearn-newton-cg": (Colour.PURPLE, "D", "-"),
    "sklearn-newton-cholesky": (Colour.GREEN, "P", "-"),
    "sklearn-liblinear": (Colour.GREY, "X", "-"),
    "sklearn-torch": (Colour.ORANGE, "o", "--"),
    "torch-lbfgs": (Colour.BLACK, "s", "-"),
    "cyanure": (Colour.VERMILION, "s", "--"),
    "snapml": (Colour.PURPLE, "s", "--"),
    "glum": (Colour.GREEN, "s", "--"),
    "liblinear-multicore": (Colour.GREY, "s", "--"),
    "libmultilabel": (Colour.GREY, "^", ":"),
}
KINDS = {  # what a result file says it is
    "gpulr-interleaved": "times of passes and trainings",
    "gpulr-peers": "gap to the optimum against time",
    "gpulr-search": "times of searches",
}


@settled
def benchmark(
    result: str | Path | Mapping[str, Any], *, task: str = "training", ax: Axes | None = None
) -> Axes:
    """Draw one benchmark's result file.

    Times are bars: the median of the rounds with its quartiles (for a search's few runs, with the
    shortest and the longest). Those that were scaled up from a part of the classes say so. Methods
    that approach an optimum are drawn by their gap to it against time, both logarithmic.

    Parameters
    ----------
    result : path, or its content as a dict
        A JSON file of ``bench/results``.
    task : {"training", "pass"}
        What to draw of a file that has both.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        It has a bar for each contestant, or a line.

    Raises
    ------
    DataFileError
        The file cannot be read.
    ParameterError
        There is no such result, or no such task in it.
    """
    content = result if isinstance(result, Mapping) else _read(Path(result))
    kind = content.get("kind")
    if kind not in KINDS:
        known = "; ".join(f"{name} ({words})" for name, words in KINDS.items())
        raise ParameterError(f"A result of kind {kind!r}; expected one of: {known}.")
    results, title = content["results"], "Search for C: shorter is better"
    if kind == "gpulr-peers":
        ax = axes(ax, 8.4, 5.2)
        _draw_gaps(ax, results)
        title = f"{content['data']['data']}: down and left is better"
    else:
        if kind == "gpulr-interleaved":
            tasks = sorted({entry["task"] for entry in results})
            if task not in tasks:
                raise ParameterError(f"task={task!r}; this result has {', '.join(tasks)}.")
            results = [entry for entry in results if entry["task"] == task]
            what = "One pass: cost and gradient" if task == "pass" else "Training"
            title = f"{what}: shorter is better"
        ax = axes(ax, 8.4, 1.2 + 0.47 * len(results))
        _draw_times(ax, results)
    ax.set_title(title, loc="left")
    return ax


def _read(path: Path) -> Mapping[str, Any]:
    remedy = "Pass a JSON file of bench/results."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataFileError(path, f"cannot be read as JSON ({error})", remedy) from error
    if not isinstance(content, dict):
        raise DataFileError(path, "holds no result", remedy)
    return content


def _bar(result: Mapping[str, Any]) -> tuple[str, float, float, float, str]:
    """Return label, median, the ends of its whisker, and colour of one contestant."""
    label, seconds = result["label"], result["seconds"]
    if isinstance(seconds, Mapping):
        label += f", {result['dtype']}"
        if result["rows"] not in (result["dtype"], result["X_dtype"]):
            label += f", {result['rows']} rows"
        return label, seconds["median"], seconds["q1"], seconds["q3"], WAYS[result["way"]]
    colour = Colour.BLUE if result["name"].startswith("gpulr") else Colour.GREY
    runs = result["runs"]
    if sampled := result["extrapolated_from_classes"]:
        label, runs = f"{label} (scaled up from {sampled} classes)", [seconds]
    return label, seconds, min(runs), max(runs), colour


def _draw_times(ax: Axes, results: Sequence[Mapping[str, Any]]) -> None:
    """Draw times as horizontal bars, the first on top, with a whisker between the quartiles."""
    labels, seconds, low, high, colours = zip(*map(_bar, results), strict=True)
    ends = np.maximum(seconds, high)
    spread = [np.maximum(np.subtract(seconds, low), 0.0), ends - seconds]
    where, words = range(len(labels)), EngFormatter("s")
    ax.barh(where, seconds, color=colours, xerr=spread, ecolor="#333333", capsize=2)
    for y, end, value, colour in zip(where, ends, seconds, colours, strict=True):
        x, weight = end + 0.01 * max(ends), "bold" if colour == Colour.BLUE else "normal"
        text = words(float(f"{value:.3g}"))
        ax.text(x, y, text, va="center", fontsize=9, fontweight=weight)
    wrapped = [textwrap.fill(label, 36) for label in labels]
    ax.set_yticks(where, wrapped, fontsize=9, **plain(wrapped))
    ax.invert_yaxis()
    ax.set_xlim(0, 1.15 * max(ends))
    in_ms = max(ends) < 1.0
    ax.xaxis.set_major_formatter(lambda value, _: f"{value * 1e3:g}" if in_ms else f"{value:g}")
    ax.set_xlabel("milliseconds" if in_ms else "seconds", fontsize=8, loc="left")
    ax.tick_params(axis="x", labelsize=8)
    tidy(ax, lines=False)


def _draw_gaps(ax: Axes, results: Sequence[Mapping[str, Any]]) -> None:
    """Draw the gap to the optimum against time, a line for each solver.

    Points at or below the optimum's rounding have no logarithm, and are left out.
    """
    for result in results:
        points = sorted((p["seconds"], p["gap"]) for p in result["points"] if p["gap"] > 0)
        if not points:
            continue
        colour, marker, style = STYLES.get(result["name"], (Colour.BLACK, ".", "-"))
        width, above = (2.2, 3) if result["name"] == OURS else (1.2, 2)
        look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": style}
        look |= {"linewidth": width, "zorder": above, "label": textwrap.fill(result["label"], 24)}
        ax.plot(*zip(*points, strict=True), markersize=6, **look)
    ax.set(xscale="log", yscale="log")
    ax.set_xlabel("seconds, from the call to the trained models", loc="left", fontsize=9)
    ax.set_ylabel("gap to the optimum, summed over the models", loc="top", fontsize=9)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    tidy(ax)
    legend(ax, *ax.get_legend_handles_labels(), fontsize=8)
