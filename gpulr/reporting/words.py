"""Labels and figures in words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.show.predictions import shortened

__all__ = ["LONGEST_NAME", "MOST_ROWS", "names_of", "number", "percent"]

LONGEST_NAME = 40
MOST_ROWS = 200  # of a table with a row for each model


def names_of(classes: npt.NDArray[Any]) -> list[str]:
    """Return the labels as text, shortened; bytes as the characters they are."""
    decoded = (c.decode("latin-1") if isinstance(c, bytes) else c for c in classes)
    return [shortened(label, LONGEST_NAME) for label in decoded]


def number(x: Any) -> str:
    """Return a number as short as it can be read back, 0.0001 or 1/255."""
    if x is None:
        return "none"
    if isinstance(x, bool | np.bool_):
        return "yes" if x else "no"
    if isinstance(x, int | np.integer):
        return f"{x:,}"
    x = float(x)
    if math.isinf(x):
        return "∞"
    if x == 1 / 255:
        return "1/255"
    return f"{x:g}" if float(f"{x:g}") == x else repr(x)


def percent(x: float) -> str:
    """Return a share as a percentage, for columns and sentences whose unit is %."""
    return f"{100 * x:.2f}"
