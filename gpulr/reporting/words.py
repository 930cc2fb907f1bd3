"""How the page writes figures and settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpulr.show.labels import shortened, shortened_apart
from gpulr.words import score_words

LONGEST_NAME, LONGEST_TEXT = 40, 200  # characters


def in_words(value: Any) -> str:
    """Return a setting as text, numbers as short as they can be read back, 0.0001 or 1/255."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return shortened(", ".join(map(in_words, value)), LONGEST_TEXT)
    if isinstance(value, dict):
        return in_words([f"{key}: {in_words(item)}" for key, item in value.items()])
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if math.isinf(value):
        return "∞"
    if value == 1 / 255:
        return "1/255"
    return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))


def percent(x: float) -> str:
    """Return a share as a percentage, for columns and sentences whose unit is %."""
    return "–" if np.isnan(x) else f"{100 * x:.2f}"


def duration(seconds: float) -> str:
    """Return seconds in the unit that suits them."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def probability(p: float) -> str:
    """Return a probability with three decimals; of none that is not, 0 or 1."""
    if 0 < p < 0.0005:
        return "<\u20090.001"
    return ">\u20090.999" if 0.9995 <= p < 1 else f"{p:.3f}"


def minus(figure: str) -> str:
    """Return a figure in words with the sign that is as wide as its digits, and no hyphen."""
    return figure.replace("-", "−")


FILTERS: dict[str, Callable[..., Any]] = {
    "words": in_words,
    "percent": percent,
    "duration": duration,
    "probability": probability,
    "score": score_words,
    "apart": shortened_apart,
    "whole": "{:,}".format,
    "minus": minus,
}
