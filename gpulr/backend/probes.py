"""Whether a backend works on this machine, proven by trying it out."""

from __future__ import annotations

import ctypes
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gpulr.backend import threads
from gpulr.backend.compiler import compiler
from gpulr.backend.cuda import CuPyBackend
from gpulr.backend.memory import VARIABLE, in_words
from gpulr.errors import BackendUnavailableError, ParameterError


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """What was found out about one backend on this machine.

    Attributes
    ----------
    name : str
        "numpy" or "cupy".
    usable : bool
        Every check passed.
    checks : tuple of (str, str)
        What was looked at or tried, and the outcome, in order.
    device : str or None
        The device in words, where usable.
    reason, remedy : str or None
        Why it is not usable, and what to do about it.
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


_CUPY_WHEEL = re.compile(r"cupy[-_](cuda|rocm)", re.IGNORECASE)
_CUPY_INSTALL = (
    "install the wheel for your driver, from a checkout of gpulr: "
    'python -m pip install ".[cuda13]" (CUDA 13) or python -m pip install ".[cuda12]" (CUDA 12), '
    "never both"
)


_CUPY_STEPS = (
    "import cupy",
    "device",
    "device memory",
    "allocation",
    "elementwise kernel",
    "matrix product",
    "synchronise",
)


def probe_cupy() -> BackendStatus:
    """Prove that CuPy works: a device, an allocation, a kernel, a matrix product, a synchronise."""
    checks: list[tuple[str, str]] = []

    def failed(reason: str, remedy: str) -> BackendStatus:
        return BackendStatus("cupy", False, tuple(checks), reason=reason, remedy=remedy)

    driver = nvidia_driver()
    checks.append(("NVIDIA driver", driver or "not found"))
    if not installed("cupy"):
        checks.append(("CuPy", "not installed"))
        if driver is None:
            return failed(
                "CuPy is not installed, and this machine has no NVIDIA driver",
                "use a machine with an NVIDIA GPU and its driver, then " + _CUPY_INSTALL,
            )
        return failed("CuPy is not installed", _CUPY_INSTALL)
    from importlib import metadata  # which loads much of the standard library

    found = [d for d in metadata.distributions() if _CUPY_WHEEL.match(d.name or "")]
    wheels = sorted({f"{d.name} {d.version}" for d in found})
    checks.append(("CuPy wheel", ", ".join(wheels) or "built from source"))
    if len(wheels) > 1:
        return failed(
            f"two CuPy wheels are installed and break each other: {', '.join(wheels)}",
            "uninstall both, then " + _CUPY_INSTALL,
        )
    steps, outcomes = list(_CUPY_STEPS), _try_cupy()
    try:
        for outcome in outcomes:
            checks.append((steps.pop(0), outcome))
            if outcome == "none":
                return failed(
                    "CuPy finds no CUDA device"
                    + (" (this machine has no NVIDIA driver)" if driver is None else ""),
                    "install an NVIDIA driver, or check nvidia-smi and CUDA_VISIBLE_DEVICES",
                )
    except Exception as error:  # CuPy's have no common base, and any of them means: unusable
        words = f"failed: {type(error).__name__}: {error}"
        checks.append((steps[0], words))
        return failed(
            f"CuPy's {steps[0]} {words}", "check that the wheel fits the driver; " + _CUPY_INSTALL
        )
    return BackendStatus("cupy", True, tuple(checks), device=dict(checks)["device"])


def _try_cupy() -> Iterator[str]:
    """Take the steps, and yield the outcome of each."""
    import cupy

    yield str(cupy.__version__)
    backend = CuPyBackend("cupy", None)
    yield backend.device_name if cupy.is_available() else "none"
    yield _memory_words(backend)
    a = cupy.zeros((64, 64), dtype=cupy.float32)
    yield "ok"
    a = cupy.exp(a + 1)
    yield "ok"
    product = float((a @ a)[0, 0])
    if not math.isclose(product, 64 * math.e**2, rel_tol=1e-4):
        raise ArithmeticError(f"64 e² came out as {product}")
    yield "ok"
    backend.synchronize()
    yield "ok"


def _memory_words(backend: CuPyBackend) -> str:
    try:
        memory = backend.memory()
    except ParameterError as error:  # training says so as well
        return str(error)
    capped = f" of what {VARIABLE} allows" if os.environ.get(VARIABLE, "").strip() else ""
    return f"{in_words(memory.total)}, {in_words(memory.free)} free{capped}"
