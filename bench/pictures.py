"""The README's pictures: what ten digit models look like, and what they get right and wrong.

::

    python -m bench.pictures        # on MNIST, or on the bundled digits where it cannot be had

Draws what ``gpulr.show`` draws of the models that ``gpulr.train()`` returns, on the test part of
the data, into bench/results.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from PIL import Image

import gpulr

RESULTS = Path(__file__).resolve().parent / "results"
DPI = 125  # wider than a README is shown, for screens that have the pixels
PALETTE = 256  # colours


def pictures(data: gpulr.datasets.Dataset) -> Iterator[tuple[str, Axes]]:
    """Yield each picture's name and its Axes."""
    model = gpulr.train(data)
    yield "weights", gpulr.show.weights(model)
    yield "mistakes", gpulr.show.mistakes(model, data.X_test, data.y_test, n=8)
    yield "accuracy", gpulr.show.accuracy(model.evaluate(data.X_test, data.y_test))


def save(ax: Axes, path: Path) -> None:
    """Write a picture as a PNG file with a palette."""
    picture = io.BytesIO()
    ax.figure.savefig(picture, dpi=DPI, format="png")
    Image.open(picture).convert("RGB").quantize(PALETTE).save(path, optimize=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.pictures", description=__doc__)
    parser.add_argument("--data", help="as gpulr.datasets.load takes it (default: MNIST)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the pictures")
    options = parser.parse_args(arguments)
    load = gpulr.datasets.load
    data = load(options.data) if options.data else gpulr.datasets.load_default()
    options.output.mkdir(parents=True, exist_ok=True)
    with rc_context({"font.size": 10, "font.family": "DejaVu Sans"}):
        for name, ax in pictures(data):
            path = options.output / f"show-{name}.png"
            save(ax, path)
            print(f"drew {path}: {path.stat().st_size:,} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
