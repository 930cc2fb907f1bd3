"""Where CuPy keeps the kernels that it compiles, and that it does without where it cannot."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

from gpulr.errors import KernelCacheWarning, warn


@cache
def keep_kernels() -> tuple[str, bool]:
    """Say where CuPy keeps compiled kernels, and whether it can; let it do without where not.

    Otherwise importing CuPy fails, or whatever is compiled first. The cure has to be in the
    environment: CuPy looks for it there, at its import and whenever it compiles.
    """
    if os.environ.get("CUPY_CACHE_DIR") == "":
        del os.environ["CUPY_CACHE_DIR"]  # importing CuPy would fail
    # As CuPy has it; Path's own function raises where a user has no home.
    default = os.path.expanduser("~/.cupy/kernel_cache")  # noqa: PTH111
    folder = Path(os.environ.get("CUPY_CACHE_DIR", default))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return str(folder), True
    except OSError as error:
        words = (
            f"{folder} cannot be written ({type(error).__name__}: {error.strerror or error}): "
            "every process compiles them anew, which takes some seconds; set CUPY_CACHE_DIR to a "
            "folder that can be written before Python starts"
        )
    os.environ["CUPY_CACHE_IN_MEMORY"] = "1"
    if not folder.is_dir():
        os.environ["CUPY_CACHE_DIR"] = tempfile.gettempdir()
    return words, False


@cache
def tell_if_not_kept() -> None:
    """Warn, once, where kernels cannot be kept; where they can, there is nothing to tell."""
    words, kept = keep_kernels()
    if not kept:
        warn(f"CuPy's folder of compiled kernels {words}.", KernelCacheWarning)
