"""The chart of a comparison: gap to the optimum against time, both logarithmic."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

from bench.peer_report import OURS, Record, data_words
from bench.words import machine_words, software_words

# Okabe & Ito's palette, told apart with any colour vision; markers tell them apart in grey.
STYLES = {
    "gpulr-lbfgs": ("#0072B2", "o", "-"),
    "gpulr-nesterov": ("#56B4E9", "o", "--"),
    "gpulr-gd": ("#56B4E9", "s", ":"),
    "jax-gd": ("#000000", "x", ":"),
    "intelex-lbfgs": ("#D55E00", "^", "-"),
    "sklearn-lbfgs": ("#E69F00", "v", "-"),
    "sklearn-newton-cg": ("#CC79A7", "D", "-"),
    "sklearn-newton-cholesky": ("#009E73", "P", "-"),
    "sklearn-liblinear": ("#999999", "X", "-"),
}
WIDTH, HEIGHT, DPI = 8.4, 5.2, 100  # inches; as wide as a README is shown


def draw_peers(report: Record, path: Path) -> None:
    """Draw one comparison."""
    import matplotlib.pyplot as plt
    from PIL import Image

    with plt.rc_context({"font.size": 10, "font.family": "DejaVu Sans", "axes.titlesize": 11}):
        figure, panel = plt.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
        for result in report["results"]:
            _curve(panel, result)
        panel.set(xscale="log", yscale="log")
        panel.set_xlabel("seconds, from the call to the trained models", loc="left", fontsize=9)
        panel.set_ylabel("gap to the optimum, summed over the models", loc="top", fontsize=9)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.set_title(f"{data_words(report)}: down and left is better", loc="left")
        panel.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        words = f"{machine_words(report)}; {software_words(report)}; {report['date'][:10]}."
        figure.supxlabel("\n".join(textwrap.wrap(words, 120)), fontsize=8, x=0.01, ha="left")
        picture = io.BytesIO()
        figure.savefig(picture, dpi=DPI, format="png")
        plt.close(figure)
    # No small palette, as in bench.plot: markers are few pixels, and would lose their colours.
    Image.open(picture).convert("RGB").save(path, optimize=True)


def _curve(panel: Any, result: Record) -> None:
    """Draw a contestant's points; those at or below the optimum's rounding have no logarithm."""
    points = sorted((p["seconds"], p["gap"]) for p in result["points"] if p["gap"] > 0)
    if not points:
        return
    colour, marker, line = STYLES.get(result["name"], ("#000000", ".", "-"))
    own = result["name"] == OURS
    times, gaps = zip(*points, strict=True)
    panel.plot(
        times,
        gaps,
        color=colour,
        marker=marker,
        linestyle=line,
        linewidth=2.2 if own else 1.2,
        markersize=6,
        zorder=3 if own else 2,
        label=textwrap.fill(result["label"], 24),
    )
