"""How much memory a device has, as numbers and in words."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from gpulr.errors import ParameterError

VARIABLE = "GPULR_DEVICE_MEMORY"
_UNITS = {"": 1, "B": 1} | {
    unit: base**power
    for base, suffix in ((1000, "B"), (1024, "iB"))
    for power, unit in enumerate((f"{prefix}{suffix}".upper() for prefix in "KMGT"), start=1)
}


class Memory(NamedTuple):
    """Memory of a device, in bytes.

    Attributes
    ----------
    free : int
        What can be had, with what the library keeps for later.
    total : int
        What there is; at most ``GPULR_DEVICE_MEMORY``.
    """

    free: int
    total: int


def limit() -> int | None:
    """Return what ``GPULR_DEVICE_MEMORY`` allows, in bytes, or None where it is not set.

    Raises
    ------
    ParameterError
        It is no number of bytes.
    """
    value = os.environ.get(VARIABLE, "").strip()
    if not value:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", value)
    size = int(float(match[1]) * _UNITS.get(match[2].upper(), 0)) if match else 0
    if not size:
        raise ParameterError(
            f"{VARIABLE}={value!r} in the environment; expected a number of bytes > 0, such as "
            "2000000000, 2GB or 1.5GiB."
        )
    return size


def capped(free: int, total: int, used: int) -> Memory:
    """Return the memory of a device as ``GPULR_DEVICE_MEMORY`` leaves it.

    ``used`` is what this process takes of it already.
    """
    most = limit()
    if most is None or most >= total:
        return Memory(free, total)
    return Memory(max(0, min(free, most - used)), most)


def in_words(n_bytes: int) -> str:
    """Return a number of bytes as people read it: "79.1 GiB"."""
    size, units = float(n_bytes), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024.0 and len(units) > 1:
        size /= 1024.0
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
