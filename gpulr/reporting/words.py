"""Labels and figures in words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.show.predictions import shortened

LONGEST_NAME, LONGEST_TEXT = 40, 200  # characters
MOST_ROWS = 200  # of a table with a row for each model


def names_of(classes: npt.NDArray[Any]) -> list[str]:
    """Return the labels as text, shortened; bytes as the characters they are."""
    decoded = (c.decode("latin-1") if isinstance(c, bytes) else c for c in classes)
    return [shortened(label, LONGEST_NAME) for label in decoded]


def in_words(value: Any) -> str:
    """Return a setting as text, numbers as short as they can be read back, 0.0001 or 1/255."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return shortened(", ".join(map(in_words, value)), LONGEST_TEXT)
    if isinstance(value, dict):
        each = (f"{key}: {in_words(item)}" for key, item in value.items())
        return shortened(", ".join(each), LONGEST_TEXT)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    x = float(value)
    if math.isinf(x):
        return "∞"
    if x == 1 / 255:
        return "1/255"
    return f"{x:g}" if float(f"{x:g}") == x else repr(x)


def percent(x: float) -> str:
    """Return a share as a percentage, for columns and sentences whose unit is %."""
    return f"{100 * x:.2f}"
