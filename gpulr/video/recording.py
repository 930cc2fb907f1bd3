"""A training that was recorded, and the pictures of it: weights, cost and accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from gpulr.show.predictions import weight_limit
from gpulr.video.feature_bars import bars, key
from gpulr.video.film import Picture
from gpulr.video.sheet import BLUE, MUTED, RIGHT, TRACK, Sheet

ALMOST = 0.85  # of the largest side, at which images still are large
LOOSE = 60.0  # between rows of them, at most
AXIS = "iteration, on a square-root scale"
_HOLD = 1.5  # seconds, or a quarter of the video, in which the end stays to be looked at


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A training, iteration by iteration.

    Weights are (n_iter + 1, n_images, height, width), or of a table (n_iter + 1, n_models, n) of
    the features that ``features`` name for each model, in this ``unit``. ``cost`` is the mean of
    the models' costs, ``accuracy`` that of the rows that are looked at, which ``measure`` names;
    both (n_iter + 1,). ``names`` are those of the models, ``subject`` is what is trained.
    """

    weights: npt.NDArray[np.float32]
    cost: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    names: list[str]
    subject: str
    measure: str
    features: list[list[str]] | None = None
    unit: str = ""


def pictures_of(run: Recording, size: tuple[int, int], frames: int, fps: int) -> Iterator[Picture]:
    """Yield the pictures; between iterations, weights are on the straight line.

    Numbers and curves wait for the next iteration: a cost and an accuracy are only shown of models
    that there were.
    """
    hold = min(round(_HOLD * fps), frames // 4)
    moving = frames - hold
    limit = weight_limit(run.weights[-1])
    if run.features is not None:
        limit = float(np.abs(run.weights[-1]).max()) or 1.0
    # Iterations as the square of the time.
    for t in (len(run.cost) - 1) * np.linspace(0, 1, moving) ** 2:
        yield _picture(run, float(t), limit, size), 1
    if hold:
        yield _picture(run, len(run.cost) - 1.0, limit, size), hold


def _picture(run: Recording, t: float, limit: float, size: tuple[int, int]) -> Image.Image:
    sheet, before, last = Sheet(size), int(t), len(run.cost) - 1
    after = min(before + 1, last)
    W = run.weights[before] + np.float32(t - before) * (run.weights[after] - run.weights[before])
    sheet.text(64, 84, f"Iteration {before}", size=44, bold=True)
    sheet.text(1216, 84, run.subject, size=24, color=MUTED, anchor="rs", width=700)
    if run.features is None:
        _weights(sheet, W, run.names, limit)
        _legend(sheet, len(W), len(run.names))
    else:
        bars(sheet, W, run.names, run.features, limit)
        key(sheet, run.unit, len(W), len(run.names))
    top, cost, accuracy = float(run.cost.max()), run.cost[before], 100 * run.accuracy[before]
    values, now = run.cost[: before + 1], f"{cost:.4f}"
    _curve(sheet, 132, "mean cost", now, values, last, top, f"{top:.2g}", BLUE)
    values, now = run.accuracy[: before + 1], f"{accuracy:.1f}%"
    _curve(sheet, 410, run.measure, now, values, last, 1.0, "100%", RIGHT)
    return sheet.image


def _weights(sheet: Sheet, W: npt.NDArray[np.float32], names: list[str], limit: float) -> None:
    """Show the weights of each model as an image under its name, as large as fits."""
    width, height, name, gap = 736.0, 528.0, 26.0, 10.0
    n = len(W)
    sides = {c: min(width / c - gap, height / -(-n // c) - name - gap) for c in range(1, n + 1)}
    fair = [c for c, side in sides.items() if side >= ALMOST * max(sides.values())]
    columns = min(fair, key=lambda c: (-n % c, -sides[c], -c))  # no holes, if that costs little
    side, rows = sides[columns], -(-n // columns)
    cell_w, cell_h = width / columns, min(height / rows, side + name + LOOSE)
    pixels = _diverging(np.clip(W / limit, -1, 1))
    for j in range(n):
        x = 64 + (j % columns) * cell_w
        y = 122 + (height - rows * cell_h) / 2 + (j // columns) * cell_h
        left, top = sheet.picture(x, y + name, side, pixels[j])
        sheet.text(left, top - 6, names[j], size=18, bold=True, width=cell_w - gap)


def _diverging(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return −1…1 as blue over white to red, (…, 3), which the colour-blind tell apart.

    The ends of the map are left out: they are too dark to tell apart.
    """
    from matplotlib import colormaps

    colors: npt.NDArray[np.uint8] = colormaps["RdBu_r"](0.5 + 0.45 * values, bytes=True)[..., :3]
    return colors


def _legend(sheet: Sheet, shown: int, of: int) -> None:
    """Draw what the colours mean, and say how many of the models are shown."""
    ramp = _diverging(np.linspace(-1, 1, 200, dtype=np.float32)[np.newaxis])
    y = 684.0
    x = 64 + sheet.text(64, y, "against the class", size=17, color=MUTED, anchor="lm") + 12
    for i, color in enumerate(ramp[0].tolist()):
        sheet.box(x + i, y - 8, 1, 16, "#{:02x}{:02x}{:02x}".format(*color))
    x += 212 + sheet.text(x + 212, y, "for the class", size=17, color=MUTED, anchor="lm")
    which = "all" if shown == of else f"the first {shown} of {of:,} classes"
    sheet.text(x + 40, y, f"one scale for {which}", size=17, color=MUTED, anchor="lm")


def _curve(
    sheet: Sheet,
    y: float,
    title: str,
    now: str,
    values: npt.NDArray[np.float64],
    last: int,
    top: float,
    top_label: str,
    color: str,
) -> None:
    """Draw a curve so far, of ``last`` iterations in the end, in a panel of its own."""
    x, width, height = 876.0, 340.0, 180.0
    sheet.text(x, y + 16, title, size=18, color=MUTED)
    sheet.text(x + width, y + 16, now, size=26, bold=True, color=color, anchor="rs")
    base = y + 36 + height
    for share in (0.0, 0.5, 1.0):
        sheet.box(x, base - share * height, width, 1.5, TRACK)
    # As time goes, so that early iterations have space.
    across = x + width * np.sqrt(np.arange(len(values)) / last)
    points = np.stack([across, base - height * values / top], axis=1)
    sheet.curve(points, color, width=3, dot=5)
    sheet.text(x - 8, base - height, top_label, size=14, color=MUTED, anchor="rm")
    sheet.text(x - 8, base, "0", size=14, color=MUTED, anchor="rm")
    for i in _ticks(last):
        place = x + width * float(np.sqrt(i / last))
        sheet.box(place - 0.5, base, 1.5, 5, MUTED)
        sheet.text(place, base + 20, str(i), size=14, color=MUTED, anchor="ms")
    sheet.text(x + width / 2, base + 38, AXIS, size=14, color=MUTED, anchor="ms")


def _ticks(last: int) -> list[int]:
    """Return the iterations to name on an axis of their square roots, some four."""
    ticks: list[int] = []
    for share in (0.0, 0.3, 0.6):
        i = share**2 * last
        unit = 10 ** max(0, int(np.log10(max(i, 1))))
        ticks.append(int(i / unit + 0.5) * unit)
    return [*dict.fromkeys(ticks), last]
