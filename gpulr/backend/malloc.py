"""What glibc's malloc is told by the environment it finds itself in; others are left alone."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

from gpulr.backend.environment import address_limit

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_ARENAS = 2  # threads beside the first one share one


@cache
def keep_freed_memory() -> None:
    """Let malloc keep what was freed, for what is wanted next.

    Dask's nanny sets ``MALLOC_TRIM_THRESHOLD_`` to 64 KiB: each temporary array of a pass would be
    given back, and its pages be faulted in again, which takes three times as long as the pass.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        _tell(_MMAP_THRESHOLD, 32 * 2**20)
        _tell(_TRIM_THRESHOLD, 64 * 2**20)


@cache
def share_arenas() -> None:
    """Let threads that begin from now on share an arena, where addresses are limited.

    Each takes 64 MiB of them, whatever it holds: Zarr's ten threads would take 640.
    """
    if address_limit() is not None and "MALLOC_ARENA_MAX" not in os.environ:
        _tell(_ARENA_MAX, _ARENAS)


def _tell(option: int, value: int) -> None:
    if sys.platform == "linux":
        getattr(ctypes.CDLL(None), "mallopt", max)(option, value)  # musl has none
