"""Whether a backend works on this machine, proven by trying it out."""

from __future__ import annotations

import ctypes
import math
import os
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gpulr.backend import threads
from gpulr.backend.compiled_rows import compiler
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
    checks = [
        ("numpy", np.__version__),
        ("threads per pass", str(threads.thread_count())),
        ("compiled products", _compiler_words()),
    ]
    return BackendStatus("numpy", True, tuple(checks), device="cpu")


def _compiler_words() -> str:
    try:
        return compiler().words
    except (BackendUnavailableError, ParameterError) as error:  # which the report is to show
        return str(error)


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


_CUPY_INSTALL = (
    "install the wheel for your driver, from a checkout of gpulr: "
    'python -m pip install ".[cuda13]" (CUDA 13) or python -m pip install ".[cuda12]" (CUDA 12), '
    "never both"
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
    wheels = sorted(
        {f"{d.name} {d.version}" for d in metadata.distributions() if _is_cupy_wheel(d.name)}
    )
    checks.append(("CuPy wheel", ", ".join(wheels) or "built from source"))
    if len(wheels) > 1:
        return failed(
            f"two CuPy wheels are installed and break each other: {', '.join(wheels)}",
            "uninstall both, then " + _CUPY_INSTALL,
        )
    step = "import cupy"
    try:
        import cupy

        checks.append((step, str(cupy.__version__)))
        step = "device"
        if not cupy.is_available():
            checks.append((step, "none"))
            return failed(
                "CuPy finds no CUDA device"
                + (" (this machine has no NVIDIA driver)" if driver is None else ""),
                "install an NVIDIA driver, or check nvidia-smi and CUDA_VISIBLE_DEVICES",
            )
        backend = CuPyBackend("cupy", None)
        device = backend.device_name
        checks.append((step, device))
        step = "device memory"
        checks.append((step, _memory_words(backend)))
        step = "allocation"
        a = cupy.zeros((64, 64), dtype=cupy.float32)
        checks.append((step, "ok"))
        step = "elementwise kernel"
        a = cupy.exp(a + 1)
        checks.append((step, "ok"))
        step = "matrix product"
        product = float((a @ a)[0, 0])
        if not math.isclose(product, 64 * math.e**2, rel_tol=1e-4):
            raise ArithmeticError(f"64 e² came out as {product}")
        checks.append((step, "ok"))
        step = "synchronise"
        cupy.cuda.get_current_stream().synchronize()
        checks.append((step, "ok"))
    except (
        Exception
    ) as error:  # CuPy's failures have no common base, and any of them means: unusable
        checks.append((step, f"failed: {type(error).__name__}: {error}"))
        return failed(
            f"CuPy's {step} failed: {type(error).__name__}: {error}",
            "check that the wheel fits the driver; " + _CUPY_INSTALL,
        )
    return BackendStatus("cupy", True, tuple(checks), device=device)


def _memory_words(backend: CuPyBackend) -> str:
    try:
        memory = backend.memory()
    except ParameterError as error:  # training says so as well
        return str(error)
    capped = f" of what {VARIABLE} allows" if os.environ.get(VARIABLE, "").strip() else ""
    return f"{in_words(memory.total)}, {in_words(memory.free)} free{capped}"


def _is_cupy_wheel(name: str | None) -> bool:
    return name is not None and name.lower().replace("_", "-").startswith(
        ("cupy-cuda", "cupy-rocm")
    )
