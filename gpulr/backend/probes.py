"""What is found out about a backend on this machine; of NumPy, which always works."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gpulr.backend import threads
from gpulr.backend.compiler import compiler
from gpulr.errors import BackendUnavailableError, ParameterError


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """What was found out about one backend on this machine.

    Attributes
    ----------
    name : str
        "numpy", "cupy" or "torch".
    usable : bool
        Whether every check passed.
    checks : tuple of (str, str)
        What was looked at or tried, and the outcome, in order.
    device : str or None
        The device in words, if the backend is usable.
    reason, remedy : str or None
        Why the backend is not usable, and what to do about it.
    """

    name: str
    usable: bool
    checks: tuple[tuple[str, str], ...]
    device: str | None = None
    reason: str | None = None
    remedy: str | None = None


def probe_numpy() -> BackendStatus:
    """Say how passes run on this CPU; NumPy is always usable."""
    try:
        compiled = compiler().words
    except (BackendUnavailableError, ParameterError) as error:  # which the report is to show
        compiled = str(error)
    checks = (
        ("numpy", np.__version__),
        ("threads per pass", str(threads.thread_count())),
        ("compiled products", compiled),
    )
    return BackendStatus("numpy", True, checks, device="cpu")


def installed(library: str) -> bool:
    """Whether a library is installed; it is not imported."""
    return find_spec(library) is not None


def nvidia_driver() -> str | None:
    """Return the NVIDIA driver in words, or None where there is none. Needs no CUDA library."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        version = ctypes.c_int()
        if library.cuDriverGetVersion(ctypes.byref(version)):
            return None
    except (OSError, AttributeError):
        return None
    words = f"supports CUDA {version.value // 1000}.{version.value % 1000 // 10}"
    kernel_module = Path("/proc/driver/nvidia/version")
    if kernel_module.exists():
        words = f"{kernel_module.read_text().splitlines()[0].strip()}; {words}"
    return words
