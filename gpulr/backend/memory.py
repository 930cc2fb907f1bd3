"""How much memory a device has, and the error where the host's runs out."""

from __future__ import annotations

import math
import os
import re
import traceback
from collections.abc import Callable
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

from gpulr.backend.environment import address_limit
from gpulr.backend.malloc import share_arenas
from gpulr.errors import DeviceMemoryError, ParameterError

P = ParamSpec("P")
T = TypeVar("T")

VARIABLE = "GPULR_DEVICE_MEMORY"
_UNITS = {"": 1, "B": 1} | {
    f"{prefix}{suffix}".upper(): base**power
    for base, suffix in ((1000, "B"), (1024, "iB"))
    for power, prefix in enumerate("KMGT", start=1)
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
    """Return a device's memory as ``GPULR_DEVICE_MEMORY`` leaves it; this process has ``used``."""
    most = limit()
    if most is None or most >= total:
        return Memory(free, total)
    return Memory(max(0, min(free, most - used)), most)


def in_words(n_bytes: int) -> str:
    """Return a number of bytes as people read it: "79.1 GiB"."""
    power = min(4, max(0, int(n_bytes).bit_length() - 1) // 10)
    unit = ("bytes", "KiB", "MiB", "GiB", "TiB")[power]
    return f"{n_bytes / 1024**power:.{1 if power else 0}f} {unit}"


def _of_addresses() -> str:
    """Say what takes addresses, where these are limited."""
    limit = address_limit()
    if limit is None:
        return ""
    return (
        f" This process may have {in_words(limit)} of addresses (ulimit -v), of which libraries "
        "and threads reserve many: do not import what is not needed, and start Python with "
        "OPENBLAS_NUM_THREADS=1 and MALLOC_ARENA_MAX=1 in the environment."
    )


def host_memory(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function raise :class:`DeviceMemoryError` where the host runs out of memory in it."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        share_arenas()
        try:
            return function(*args, **kwargs)
        except DeviceMemoryError:
            raise
        except MemoryError as error:
            traceback.clear_frames(error.__traceback__)  # what the failed call had made
            said = str(error).rstrip(".") or "no more can be had"
            needed = None
            if hasattr(error, "shape") and hasattr(error, "dtype"):  # NumPy's
                needed = math.prod(error.shape) * error.dtype.itemsize
        raise DeviceMemoryError(
            f"The memory of the host does not suffice: {said}. Train fewer models at once "
            '(batched=False; memory= of a search), use dtype="float32" and a narrow dtype of X, '
            f"predict fewer rows at a time, or end what else takes memory.{_of_addresses()}",
            needed,
        )

    return call
