"""The chart of a comparison: gap to the optimum against time, both logarithmic."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

from bench.peer_report import Record, data_words
from bench.words import machine_words, software_words
from gpulr.show.benchmarks import gaps

WIDTH, HEIGHT, DPI = 8.4, 5.2, 100  # inches; as wide as a README is shown


def draw_peers(report: Record, path: Path) -> None:
    """Draw one comparison."""
    import matplotlib.pyplot as plt
    from PIL import Image

    with plt.rc_context({"font.size": 10, "font.family": "DejaVu Sans", "axes.titlesize": 11}):
        figure, panel = plt.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
        gaps(panel, report["results"])
        panel.set_title(f"{data_words(report)}: down and left is better", loc="left")
        words = f"{machine_words(report)}; {software_words(report)}; {report['date'][:10]}."
        figure.supxlabel("\n".join(textwrap.wrap(words, 120)), fontsize=8, x=0.01, ha="left")
        picture = io.BytesIO()
        figure.savefig(picture, dpi=DPI, format="png")
        plt.close(figure)
    # No small palette, as in bench.plot: markers are few pixels, and would lose their colours.
    Image.open(picture).convert("RGB").save(path, optimize=True)
