"""How good predictions are: the accuracies of every class."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from gpulr.model.evaluation import MultilabelEvaluation
from gpulr.show.canvas import Colour, axes, legend, tidy
from gpulr.show.labels import label_texts
from gpulr.show.lettering import drawable, fitted, plain
from gpulr.show.matrix import evaluation_of
from gpulr.show.room import inches_of, is_small, settled

MOST_BARRED = 40  # classes that have bars; of more, the worst
LONGEST_NAME = 2.4  # inches of a class's name
LEAST_BAR, BELOW = 0.11, 0.5  # inches in the caller's Axes: of a bar, and of the legend below


@settled
def accuracy(result: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the accuracies of every class, each under its right name.

    They answer different questions. How many rows of a class are recognised among all classes (its
    recall)? And how often is the class's own model right, which says "this class" or "not" (its
    binary accuracy)? A model that always says "not" is right about all rows of other classes; a
    black line marks that share. The title has the accuracy of all classes together, which is not
    the mean of the binary accuracies. For a multi-label model, the bars are how often each label is
    right, and its F1.

    Parameters
    ----------
    result : Evaluation or MultilabelEvaluation
        What ``model.evaluate(X, y)`` returned.
    ax : matplotlib Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        ``ax.containers`` are the bars; two classes, which have one model, have recalls only.
    """
    base = None
    if isinstance(result, MultilabelEvaluation):
        names = drawable(label_texts(result.labels))
        bars = {
            "accuracy: the label is rightly there, or rightly not": result.label_accuracy,
            "F1": result.label_f1,
        }
        title = (
            f"all labels of a row right {result.subset_accuracy:.3f}  ·  "
            f"mean label accuracy {result.mean_label_accuracy:.3f}  ·  "
            f"micro F1 {result.micro_f1:.3f}"
        )
    else:
        counts, names = evaluation_of(result).confusion, drawable(label_texts(result.classes))
        with np.errstate(invalid="ignore"):  # a class without rows has no recall
            bars = {"recall: its rows that are recognised": np.diag(counts) / counts.sum(axis=1)}
        title = f"accuracy {result.accuracy:.3f}"
        if len(result.binary_accuracy) > 1:
            bars["binary accuracy: its own model, “this class or not”"] = result.binary_accuracy
            base = 1 - counts.sum(axis=1) / counts.sum()
            mean = f"mean of the binary accuracies {result.mean_binary_accuracy:.3f}"
            title = f"multiclass {title}  ·  {mean}"
    most, longest, brief = MOST_BARRED, LONGEST_NAME, False
    if ax is not None:
        wide, high = inches_of(ax)
        brief = is_small(ax)
        most = int(np.clip((high - BELOW) / (LEAST_BAR * len(bars)), 1, MOST_BARRED))
        longest = min(longest, 0.35 * wide)
    if len(names) > most:
        first, values = next(iter(bars.items()))
        title = title.split("  ·  ")[0] if brief else title
        first = first.split(":")[0] if brief else first
        title = f"{title}\nthe {most} of {len(names):,} with the lowest {first}"
        worst = np.argsort(values, kind="stable")[:most]  # NaN is last
        names = [names[j] for j in worst]
        bars = {name: values[worst] for name, values in bars.items()}
        base = None if base is None else base[worst]
    each = 0.22 if len(names) <= 10 else 0.16  # inches
    ax = axes(ax, 7.2, 0.8 + 0.2 * (len(bars) + 1) + each * len(names) * len(bars))
    if brief:
        bars = {name.split(":")[0]: values for name, values in bars.items()}
    _draw_bars(ax, fitted(names, longest, "medium"), bars, base)
    ax.set_title(title, loc="left", fontsize="medium")
    return ax


def _draw_bars(
    ax: Axes,
    names: list[str],
    bars: dict[str, npt.NDArray[np.float64]],
    base: npt.NDArray[np.float64] | None,
) -> None:
    """Draw a bar for each name and each of ``bars``, and a line at each of ``base``."""
    where, height = np.arange(len(names)), 0.8 / len(bars)
    handles: list[Any] = []
    for i, values in enumerate(bars.values()):
        colour = (Colour.BLUE, Colour.SKY)[i]
        places = where + (i - (len(bars) - 1) / 2) * height
        handles.append(ax.barh(places, np.nan_to_num(values), height=0.92 * height, color=colour))
        ends = np.nan_to_num(values) if base is None or i == 0 else np.maximum(values, base)
        for value, x, y in zip(values, ends, places, strict=True):
            words = "no rows" if np.isnan(value) else f"{value:.3f}"
            ax.text(x + 0.008, y, words, va="center", fontsize="x-small")
    legends = list(bars)
    if base is not None:
        low, high = where + 0.04 * height, where + 0.96 * height
        handles.append(ax.vlines(base, low, high, color=Colour.BLACK, lw=1.5))
        legends.append("always answering “not this class”")
    ax.set_yticks(where, names, **plain(names))
    ax.set(xlim=(0, 1.08), ylim=(len(names) - 0.5, -0.5), xticks=np.linspace(0, 1, 6))
    tidy(ax, lines=False)
    ax.tick_params(axis="y", length=0)
    below = ax.transAxes + ScaledTranslation(0, -0.3, ax.figure.dpi_scale_trans)
    place = {"loc": "upper left", "bbox_to_anchor": (0.0, 0.0), "bbox_transform": below}
    legend(ax, handles, legends, fontsize="small", borderpad=0.0, **place)
