"""`--plot FILE` of the commands that draw what they found."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpulr.cli import terminal
from gpulr.errors import ParameterError, needs_extra
from gpulr.output_files import check_folder, replace_file


def check_plot(plot: Path | None) -> None:
    """Refuse a chart that could not be written, before anything is trained."""
    if plot is None:
        return
    check_folder(plot, f"--plot {plot}", "path.png")
    with needs_extra("plot", "--plot needs matplotlib"):
        from matplotlib.figure import Figure

    if plot.suffix.lstrip(".").lower() not in Figure().canvas.get_supported_filetypes():
        raise ParameterError(
            f"--plot {plot}; expected a file name that ends in .png, .svg or .pdf."
        )


def draw(picture: Callable[[], Any], plot: Path) -> None:
    """Draw; ``picture`` returns Axes. What is at ``plot`` is replaced when all is complete."""
    content = io.BytesIO()
    picture().figure.savefig(content, dpi=150, format=plot.suffix.lstrip(".").lower())
    replace_file(plot, content.getvalue(), what="chart")
    terminal.say(f"Drew {plot}")
