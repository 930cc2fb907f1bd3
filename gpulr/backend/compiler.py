"""Whether products are compiled on this machine.

llvmlite is optional (the extra ``fast``). ``GPULR_COMPILE=never`` does without it, ``=require``
makes its absence an error; with ``auto``, the default, it is used where it is installed and proven.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import cache
from typing import NamedTuple

import numpy as np

from gpulr.backend.compiled_functions import hold_at_forks, products_for
from gpulr.backend.compiled_rows import CompiledRows, byte_products, matches, pass_function
from gpulr.backend.environment import setting
from gpulr.backend.forks import computing
from gpulr.errors import BackendUnavailableError

INSTALL = 'from a checkout of gpulr: python -m pip install ".[fast]"'

_loading = threading.Lock()  # taken before that of the functions
hold_at_forks(_loading)


class CompilerStatus(NamedTuple):
    """Whether products are compiled on this machine."""

    words: str  # the compiler and what it compiles for, or why it is not used
    version: str | None = None  # of llvmlite, where usable

    @property
    def usable(self) -> bool:
        """Whether a product has been compiled here, and is right."""
        return self.version is not None


def compiler() -> CompilerStatus:
    """Say whether products are compiled here: found out once, by compiling one and checking it.

    Raises
    ------
    ParameterError
        ``GPULR_COMPILE`` is neither auto, never nor require.
    BackendUnavailableError
        It cannot be done, and ``GPULR_COMPILE=require``.
    """
    requested = setting("GPULR_COMPILE", ("auto", "never", "require"))
    if requested == "never":
        return CompilerStatus("not used: GPULR_COMPILE=never")
    with computing.paused(), _loading:
        status = _probe()
    if requested == "require" and not status.usable:
        raise BackendUnavailableError(
            f"GPULR_COMPILE=require, but products cannot be compiled: {status.words}. Install the "
            f"compiler, {INSTALL}."
        )
    return status


def load_compiler_ahead() -> None:
    """Begin to load the compiler in a thread of its own, which :func:`compiler` waits for.

    LLVM takes some 50 ms to load, while checks of X and what factors its covariance need NumPy
    alone.
    """
    begun = _begin_to_load.cache_info().currsize > 0
    if not begun and setting("GPULR_COMPILE", ("auto", "never", "require")) != "never":
        _begin_to_load()


def compiler_at_hand() -> bool:
    """Whether nobody would have to wait for the compiler to be loaded."""
    return _probe.cache_info().currsize > 0 and not _loading.locked()


@cache
def _begin_to_load() -> None:
    def load() -> None:
        with _loading:
            if _probe().usable:
                pass_function()
                byte_products()

    with suppress(RuntimeError):  # no thread can be had: who needs the compiler loads it
        threading.Thread(target=load, name="gpulr-compiler").start()


@cache
def _probe() -> CompilerStatus:
    """Compile a product and compare it with NumPy's."""
    try:
        import llvmlite
        import llvmlite.binding as llvm

        from gpulr.backend.machine_code import folder

        tile = products_for(10, "uint8", "float32").tile
        if not matches(lambda X: CompiledRows(X, np.dtype(np.float32))):
            return CompilerStatus("llvmlite compiles products that are wrong")
    except ImportError:
        return CompilerStatus(f"llvmlite is not installed ({INSTALL})")
    except Exception as error:  # LLVM's failures have no common base; BLAS serves then
        return CompilerStatus(f"llvmlite failed: {type(error).__name__}: {error}")
    version = str(llvmlite.__version__)
    words = f"llvmlite {version}, {llvm.get_host_cpu_name()}, {tile.lanes} float32 at a time"
    words += ", bytes by integer dot products" if byte_products() else ""
    words += f", code kept in {folder() or 'no folder'}"
    return CompilerStatus(words, version)
