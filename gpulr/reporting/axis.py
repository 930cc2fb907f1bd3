"""The axes of a chart: where values are, and which round values have ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axis:
    """Where values are on a side of the chart; ``begin`` and ``end`` in units of the view box."""

    low: float
    high: float
    begin: float
    end: float
    logarithmic: bool = False
    whole: bool = False

    def at(self, values: npt.ArrayLike) -> Floats:
        """Return where values are."""
        x = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.logarithmic:
            x, low, high = np.log10(np.clip(x, low, high)), math.log10(low), math.log10(high)
        where: Floats = self.begin + (x - low) / (high - low) * (self.end - self.begin)
        return where

    def ticks(self) -> list[tuple[float, str]]:
        """Return where round values are, and the values."""
        if self.logarithmic:
            values = _decades(self.low, self.high)
        else:
            values = _round_values(self.low, self.high, least=1.0 if self.whole else 0.0)
        return list(zip(self.at(values).round(1).tolist(), map(_tick, values), strict=True))


def _round_values(low: float, high: float, least: float) -> list[float]:
    """Return some five round values between, at ``least`` so far from each other."""
    step: float = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = max(step * next(k for k in (1, 2, 5, 10) if (high - low) / (k * step) <= 6), least)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def rounded_down(x: float) -> float:
    """Return the greatest of 1, 2, 5, 10, … that is at most x."""
    ten = 10.0 ** math.floor(math.log10(x))
    return ten * max(k for k in (1, 2, 5) if k == 1 or k * ten <= x)


def _decades(low: float, high: float) -> list[float]:
    """Return powers of ten between, every second or third where they are many, or 1, 2, 5."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    tens = [10.0**k for k in range(first, last + 1)]
    low, high = low * (1 - 1e-9), high * (1 + 1e-9)
    within = [t for t in tens if low <= t <= high]
    if len(within) > 3:
        return within[:: math.ceil(len(within) / 7)]
    return [k * t for t in tens for k in (1, 2, 5) if low <= k * t <= high]


def _tick(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e5:
        exponent = math.floor(math.log10(abs(value)) + 1e-9)
        digits = f"{value / 10.0**exponent:.3g}"
        power = "10" + str(exponent).translate(_SUPERSCRIPT)
        return power if digits == "1" else f"{digits}×{power}".replace("-", "−")
    return f"{value:g}".replace("-", "−")


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
