"""What all pictures share: the Axes they are drawn on, colours, legends, and whose model it is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpulr.errors import ParameterError
from gpulr.model.one_vs_all import OneVsAll
from gpulr.show.labels import label_texts
from gpulr.show.lettering import drawable, plain
from gpulr.show.room import check_axes


class Colour:
    """Those of Okabe & Ito (2008), "Color Universal Design"; yellow is too bright for lines."""

    BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
    VERMILION, PURPLE, BLACK, GREY = "#D55E00", "#CC79A7", "#000000", "#999999"


# Of lines, in this order.
INKS = (
    *(Colour.BLUE, Colour.ORANGE, Colour.GREEN, Colour.VERMILION),
    *(Colour.PURPLE, Colour.SKY, Colour.BLACK),
    *("#882255", "#7a7a00", "#8c564b"),  # wine, olive and brown, beside those of Okabe & Ito
)


class Picture(Axes):
    """Axes of a figure of their own, which notebooks show as a picture."""

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        figure = self.figure
        assert isinstance(figure, Figure)  # and no part of one: axes() made it
        figure.savefig(png, format="png", bbox_inches="tight")
        return png.getvalue()


def axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Return ``ax``, or the Axes of a new figure of that size in inches."""
    if ax is None:
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure.add_subplot(axes_class=Picture)
    check_axes(ax)
    return ax


def bare(ax: Axes) -> None:
    """Leave nothing of the Axes but their title, and what is put inside."""
    ax.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
    ax.set_frame_on(False)


def tidy(ax: Axes, *, lines: bool = True) -> None:
    """Leave out the upper and the right line around the Axes, and draw a pale grid."""
    ax.spines[["top", "right"]].set_visible(False)
    if lines:
        ax.grid(color="#dddddd", linewidth=0.6)
        ax.set_axisbelow(True)


def grid(n: int, columns: int) -> tuple[int, int]:
    """Return rows and columns for n cells, at most so many columns and no emptier than needed."""
    rows = -(-n // columns)
    return rows, -(-n // rows)


def legend(ax: Axes, handles: Sequence[Any], labels: Sequence[str], **settings: Any) -> None:
    """Draw a legend of labels as they are, on the right unless told where.

    Some versions of matplotlib leave out labels that begin with "_".
    """
    if "loc" not in settings:
        settings |= {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    drawn = ax.legend(handles, list(map(str, range(len(labels)))), frameon=False, **settings)
    for text, label in zip(drawn.get_texts(), labels, strict=True):
        text.set(text=label, **plain([label]))


def model_of(model: Any) -> OneVsAll:
    """Return the trained model that was passed, or that a fitted estimator or a search holds."""
    for candidate in (model, getattr(model, "model_", None), getattr(model, "model", None)):
        if isinstance(candidate, OneVsAll):
            return candidate
    raise ParameterError(
        f"model is of type {type(model).__name__}; expected a trained model, as gpulr.train and "
        "gpulr.load return it, a fitted estimator, or a search with a refitted model."
    )


def model_names(model: OneVsAll) -> list[str]:
    """Return what each model tells from everything else; of two classes, the second."""
    return drawable(label_texts(model.classes[-model.n_models :]))
