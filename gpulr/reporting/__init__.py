"""The report: one HTML file about a trained model, with a canvas to try it on.

In this package: what becomes that file. facts.py is what the page says, charts.py its curves,
pictures.py what it draws from, command.py what trains the model again; page.py puts template,
styles and script together. It may import show, families and what is below them, and needs the extra
``plot``.
"""

from gpulr.reporting.page import report

__all__ = ["report"]


def __dir__() -> list[str]:
    return sorted(__all__)
