"""What all pictures share: the Axes they are drawn on, colours, and text shown as it is."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from gpulr.errors import ParameterError
from gpulr.model.one_vs_all import OneVsAll

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "LINES",
    "ORANGE",
    "PLAIN",
    "PURPLE",
    "SKY",
    "VERMILION",
    "Picture",
    "axes",
    "bare",
    "fonts",
    "grid_of",
    "label_of",
    "labels_of",
    "legend",
    "model_of",
    "names_of_models",
    "new_figure",
]

# Okabe & Ito (2008), "Color Universal Design", without the yellow, which is too bright for lines.
BLUE, SKY, GREEN, ORANGE, VERMILION = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00"
PURPLE, BLACK, GREY = "#CC79A7", "#000000", "#999999"
LINES = (
    *((colour, "-") for colour in (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK)),
    *((colour, "--") for colour in (BLUE, ORANGE, GREEN)),
)
# For every text that holds a label: "$x$" and "_" are no mathematics and no TeX.
PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}
LONGEST = 18  # characters of a label


class Picture(Axes):
    """Axes of a figure of their own, which notebooks show as a picture."""

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        figure = self.figure
        assert isinstance(figure, Figure)  # and no part of one: axes() made it
        figure.savefig(png, format="png", bbox_inches="tight")
        return png.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, that pyplot knows nothing of and nobody has to close."""
    return Figure(figsize=(width, height), layout="constrained")


def axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the Axes to draw on: ``ax``, or those of a new figure of that size in inches.

    Raises
    ------
    ParameterError
        ``ax`` is something else, as the array that ``plt.subplots(2, 2)`` returns.
    """
    if ax is None:
        return new_figure(width, height).add_subplot(axes_class=Picture)
    if not isinstance(ax, Axes):
        raise ParameterError(
            f"ax is of type {type(ax).__name__}; expected one matplotlib Axes, e.g. "
            "plt.subplots()[1] or one of the Axes in plt.subplots(2, 2)[1].flat."
        )
    return ax


def bare(ax: Axes) -> None:
    """Leave nothing of the Axes but their title, and what is put inside."""
    ax.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
    ax.set_frame_on(False)


def grid_of(n: int, columns: int) -> tuple[int, int]:
    """Return rows and columns for n cells, at most so many columns and no emptier than needed."""
    rows = -(-n // columns)
    return rows, -(-n // rows)


def fonts() -> list[str]:
    """Return the reader's fonts, and behind them the one of matplotlib's own that has ✓ and ✗."""
    return [*rcParams["font.family"], "DejaVu Sans"]


def label_of(label: Any, longest: int = LONGEST) -> str:
    """Return a label as text of one line, shortened with an ellipsis where it is long."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(label)).split())
    if not text:
        return "(empty)"
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def labels_of(labels: Iterable[Any], longest: int = LONGEST) -> list[str]:
    """Return :func:`label_of` each."""
    return [label_of(label, longest) for label in labels]


def legend(ax: Axes, handles: Sequence[Any], labels: Sequence[str], **settings: Any) -> Legend:
    """Draw a legend of labels as they are: some versions leave out those that begin with "_"."""
    drawn = ax.legend(handles, [str(i) for i in range(len(labels))], **settings)
    for text, label in zip(drawn.get_texts(), labels, strict=True):
        text.set(text=label, **PLAIN)
    return drawn


def model_of(model: Any) -> OneVsAll:
    """Return the trained model that was passed, or that a fitted estimator or a search holds.

    Raises
    ------
    ParameterError
        It is none of those.
    """
    for candidate in (model, getattr(model, "model_", None), getattr(model, "model", None)):
        if isinstance(candidate, OneVsAll):
            return candidate
    raise ParameterError(
        f"model is of type {type(model).__name__}; expected a trained model, as gpulr.train and "
        "gpulr.load return it, a fitted estimator, or a search with a refitted model."
    )


def names_of_models(model: OneVsAll) -> list[str]:
    """Return what each model tells from everything else; of two classes, the second."""
    return labels_of(model.classes[-model.n_models :])
