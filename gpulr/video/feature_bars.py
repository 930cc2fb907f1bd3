"""The weights of a table in a video: bars of the features that matter most in the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gpulr.show.predictions import largest_weights
from gpulr.video.sheet import BLUE, INK, MUTED, WRONG, Sheet

MOST = 9  # models
WIDTH, HEIGHT = 736.0, 528.0  # of all panels
HEAD, LINE, MOST_LINES = 34.0, 17.0, 20  # of a panel: its name's height, a feature's at least
BETWEEN = 18.0  # panels


def grid_of(n: int) -> tuple[int, int]:
    """Return rows and columns of n panels."""
    columns = 2 if n in (2, 4) else min(n, 3)
    return -(-n // columns), columns


def features_of(W: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return the features that each model's panel has, from the most positive on, (n, n_models).

    They are those with the largest of its weights (n_features, n_models), as many as have room.
    """
    rows, _ = grid_of(W.shape[1])
    return largest_weights(W, min(MOST_LINES, int((HEIGHT / rows - HEAD) / LINE)))


def bars(
    sheet: Sheet,
    W: npt.NDArray[np.float32],
    names: Sequence[str],
    features: Sequence[Sequence[str]],
    limit: float,
) -> None:
    """Show weights (n_models, n) as bars from the middle of a panel, on one scale up to ``limit``.

    ``features`` are the names of each panel's features.
    """
    rows, columns = grid_of(len(W))
    wide, high = WIDTH / columns, HEIGHT / rows
    line = min(26.0, (high - HEAD) / W.shape[1])
    for_name = 0.5 * (wide - BETWEEN)
    half = (wide - BETWEEN - for_name - 8) / 2
    for j, (weights, name) in enumerate(zip(W.tolist(), names, strict=False)):
        left, top = 64 + j % columns * wide, 122 + j // columns * high
        sheet.text(left, top + 18, name, size=18, bold=True, width=wide - BETWEEN, in_middle=True)
        top, zero = top + 26, left + for_name + 8 + half
        for i, (weight, feature) in enumerate(zip(weights, features[j], strict=True)):
            middle = top + (i + 0.5) * line
            size = min(16.0, 0.76 * line)
            sheet.text(
                left, middle, feature, size=size, anchor="lm", width=for_name, in_middle=True
            )
            length = half * float(np.clip(weight / limit, -1.0, 1.0))
            start, colour = (zero, WRONG) if length > 0 else (zero + length, BLUE)
            sheet.box(start, middle - 0.36 * line, abs(length), 0.72 * line, colour)
        sheet.box(zero - 0.5, top, 1.5, len(weights) * line, INK)


def key(sheet: Sheet, unit: str, shown: int, of: int) -> None:
    """Draw what the colours mean, in which unit, and say how many of the models are shown."""
    x, y = 64.0, 684.0
    for colour, words in ((BLUE, "against the class"), (WRONG, "for the class")):
        sheet.box(x, y - 8, 16, 16, colour)
        x += 24 + sheet.text(x + 24, y, words, size=17, color=MUTED, anchor="lm") + 24
    which = "" if shown == of else f"; the first {shown} of {of:,} classes"
    sheet.text(x + 16, y, f"{unit}{which}", size=17, color=MUTED, anchor="lm", width=1216 - x)
