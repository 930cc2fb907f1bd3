"""Checks of values that JSON holds, and how they are put together to a schema.

A check takes a value and where it is, and raises ValueError for any other than it is for.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

__all__ = [
    "POSITIVE",
    "anything",
    "either",
    "fields",
    "flag",
    "list_of",
    "mapping_of",
    "number",
    "one_of",
    "optional",
    "refuse",
    "text",
    "whole",
]

Check = Callable[[Any, str], None]
LARGEST = 2**63 - 1


def refuse(value: Any, where: str, expected: str) -> NoReturn:
    """Raise ValueError for a value; it may be of any size."""
    found = f"a {type(value).__name__}" if isinstance(value, dict | list) else f"{value!r:.60}"
    raise ValueError(f"{where} is {found}; expected {expected}")


def anything(value: Any, where: str) -> None:
    """Take any value."""


def text(value: Any, where: str) -> None:
    """Take text."""
    if not isinstance(value, str):
        refuse(value, where, "text")


def flag(value: Any, where: str) -> None:
    """Take true and false."""
    if not isinstance(value, bool):
        refuse(value, where, "true or false")


def number(least: float = -sys.float_info.max, most: float = sys.float_info.max) -> Check:
    """Take finite numbers from ``least`` to ``most``."""

    def check(value: Any, where: str) -> None:
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not (real and least <= value <= most):  # NaN fails this too
            refuse(value, where, f"a number from {least:g} to {most:g}")

    return check


POSITIVE = number(sys.float_info.min)


def whole(least: int = -LARGEST, most: int = LARGEST) -> Check:
    """Take whole numbers from ``least`` to ``most``."""

    def check(value: Any, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            refuse(value, where, f"a whole number from {least} to {most}")

    return check


def one_of(*values: str | None) -> Check:
    """Take one of these values."""

    def check(value: Any, where: str) -> None:
        if isinstance(value, dict | list) or value not in values:
            refuse(value, where, f"one of {values}")

    return check


def either(*checks: Check) -> Check:
    """Take what one of the checks takes."""

    def check(value: Any, where: str) -> None:
        refusals = []
        for each in checks:
            try:
                return each(value, where)
            except ValueError as refusal:
                refusals.append(str(refusal))
        raise ValueError(" or: ".join(refusals))

    return check


def optional(check: Check) -> Check:
    """Take null, and what the check takes."""
    return lambda value, where: None if value is None else check(value, where)


def list_of(check: Check, *, least: int = 0, most: float = math.inf) -> Check:
    """Take lists of what the check takes, from ``least`` to ``most`` of them."""

    def check_list(value: Any, where: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            size = f"{least} to {most}" if least < most else least
            refuse(value, where, "a list" + (f" of {size}" if least or most < math.inf else ""))
        for i, item in enumerate(value):
            check(item, f"{where}[{i}]")

    return check_list


def mapping_of(check: Check) -> Check:
    """Take objects whose values are what the check takes."""
    return fields({}, others=check)


def fields(
    known: Mapping[str, Check], *, required: tuple[str, ...] = (), others: Check = anything
) -> Check:
    """Take objects with these fields, and others that are what ``others`` takes."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            refuse(value, where, "an object")
        for name in required:
            if name not in value:
                raise ValueError(f"{where} has no {name}")
        for name, item in value.items():
            known.get(name, others)(item, f"{where}.{name:.40}")

    return check
