"""What a picture shows: its texts, its bars, its panels."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text


def drawn(ax):
    """Draw the whole picture, which is when matplotlib fails; its texts, each as one line."""
    FigureCanvasAgg(ax.figure).draw()
    return [" ".join(text.get_text().split()) for text in ax.figure.findobj(Text)]


def widths(bars):
    return [bar.get_width() for bar in bars]


def names_of(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def panels(ax):
    """The pairs of image and bars."""
    return list(zip(ax.child_axes[::2], ax.child_axes[1::2], strict=True))


def colours(bars):
    return [to_hex(bar.get_facecolor()) for bar in bars.patches]
