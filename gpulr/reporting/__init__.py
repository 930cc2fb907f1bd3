"""The report: one HTML file about a trained model, with a canvas to try it on.

facts.py      what the page says, as plain data
tested.py     of it, accuracies and mistakes
charts.py     curves as points of an SVG
axis.py       of a chart, with round values at its ticks
pictures.py   weights and rows as small PNGs
command.py    what trains the model again
canvas.py     what the canvas needs to know
page.py       template, styles and script, put together under one policy

In this package: what becomes that file. It may import show, families and what is below them. It
needs the extra ``plot``.
"""

from gpulr.reporting.page import report

__all__ = ["report"]


def __dir__() -> list[str]:
    return sorted(__all__)
