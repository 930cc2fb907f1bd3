"""Whether CuPy works on this machine, proven by trying it out; and where not, which of the causes.

CuPy's exceptions have no common base and say little of what to do. What usually is wrong with an
installation is known by the driver's and the card's versions beforehand, or by words of an error.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gpulr.backend import probes
from gpulr.backend.cuda import CuPyBackend
from gpulr.backend.kernel_cache import keep_kernels, tell_if_not_kept
from gpulr.backend.memory import VARIABLE, in_words
from gpulr.backend.probes import BackendStatus
from gpulr.errors import ParameterError

_WHEEL = re.compile(r"cupy[-_](?:cuda(\d+)|rocm)", re.IGNORECASE)
_INSTALL = (
    "install the wheel for your driver, from a checkout of gpulr: "
    'python -m pip install ".[cuda13]" (CUDA 13) or python -m pip install ".[cuda12]" (CUDA 12), '
    "never both"
)
_LEAST_CAPABILITY = {12: 50, 13: 75}  # of the cards that a CUDA version has code for
_NO_CODE = re.compile(  # for the card, as NVRTC, the driver and the libraries put it
    "invalid value for --gpu-architecture|no kernel image|NO_BINARY_FOR_GPU|INVALID_SOURCE"
    "|NoKernelImage|InvalidKernelImage|kernel image is invalid|ARCH_MISMATCH"
)
_NO_FILE = re.compile(
    r"could not open source file|cannot open source file|cannot open shared object"
    r"|DynamicLibNotFound|Could not find module|No such file or directory: .*\.so|\.h\b.*not found"
)
STEPS = (
    "import cupy",
    "device",
    "compute capability",
    "device memory",
    "allocation",
    "elementwise kernel",
    "compiled kernel",
    "matrix product",
    "eigenvectors",
    "synchronise",
)
_TWICE = r"""
extern "C" __global__ void twice(const float *x, float *y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2.0f * x[i];
}
"""


class UnusableError(Exception):
    """Why CuPy cannot be used, and what to do about it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


class _Wheel(NamedTuple):
    name: str  # such as "cupy-cuda13x 14.2.0", or that there is none
    cuda: int | None  # the version of CUDA that it is for, such as 13


def probe_cupy() -> BackendStatus:
    """Prove that CuPy works: a device, memory, kernels, products, eigenvectors, a synchronise.

    Warns
    -----
    KernelCacheWarning
        What is compiled cannot be kept for later processes.
    """
    checks: list[tuple[str, str]] = []
    try:
        driver = probes.nvidia_driver()
        checks.append(("NVIDIA driver", driver or "not found"))
        wheel = _wheel(checks, driver)
        _check_driver(driver, wheel)
        checks.append(("kernel cache", keep_kernels()[0]))
        _take_steps(checks, driver, wheel)
    except UnusableError as why:
        return BackendStatus("cupy", False, tuple(checks), reason=why.reason, remedy=why.remedy)
    tell_if_not_kept()
    return BackendStatus("cupy", True, tuple(checks), device=dict(checks)["device"])


def _wheel(checks: list[tuple[str, str]], driver: str | None) -> _Wheel:
    if not probes.installed("cupy"):
        checks.append(("CuPy", "not installed"))
        if driver is not None:
            raise UnusableError("CuPy is not installed", _INSTALL)
        raise UnusableError(
            "CuPy is not installed, and this machine has no NVIDIA driver",
            "use a machine with an NVIDIA GPU and its driver, then " + _INSTALL,
        )
    from importlib import metadata  # which loads much of the standard library

    found = [d for d in metadata.distributions() if _WHEEL.match(d.name or "")]
    names = sorted({f"{d.name} {d.version}" for d in found})
    checks.append(("CuPy wheel", ", ".join(names) or "built from source"))
    if len(names) > 1:
        raise UnusableError(
            f"two CuPy wheels are installed and break each other: {', '.join(names)}",
            "uninstall both, then " + _INSTALL,
        )
    if not names:
        return _Wheel("CuPy, built from source,", None)
    cuda = _WHEEL.match(names[0])[1]  # type: ignore[index]
    return _Wheel(names[0], int(cuda) if cuda else None)


def _check_driver(driver: str | None, wheel: _Wheel) -> None:
    """Raise UnusableError where the driver is older than the CUDA that a wheel is for."""
    supported = re.search(r"supports CUDA (\d+)", driver or "")
    if wheel.cuda is None or supported is None or int(supported[1]) >= wheel.cuda:
        return
    raise UnusableError(
        f"{wheel.name} is for CUDA {wheel.cuda}, and the NVIDIA driver is too old for it "
        f"({driver})",
        f"update the driver to one that supports CUDA {wheel.cuda}, or uninstall "
        f"{wheel.name.partition(' ')[0]}, then " + _INSTALL,
    )


def _take_steps(checks: list[tuple[str, str]], driver: str | None, wheel: _Wheel) -> None:
    steps, outcomes = list(STEPS), _try_cupy()
    try:
        for outcome in outcomes:
            checks.append((steps.pop(0), outcome))
            if checks[-1][0] == "compute capability":
                _check_card(checks, wheel)
    except UnusableError:
        raise
    except Exception as error:  # any of them means: unusable
        words = f"failed: {type(error).__name__}: {error}"
        checks.append((steps[0], "none" if "cudaErrorNoDevice" in words else words))
        raise _diagnosis(f"CuPy's {steps[0]} {words}", checks, driver, wheel) from error


def _try_cupy() -> Iterator[str]:
    """Take the steps, and yield the outcome of each."""
    import cupy

    yield str(cupy.__version__)
    backend = CuPyBackend("cupy", None)
    cupy.cuda.runtime.getDeviceCount()  # cupy.is_available() does not tell why not
    yield backend.device_name
    capability = str(cupy.cuda.Device().compute_capability)
    yield f"{capability[:-1]}.{capability[-1]}"
    yield _memory_words(backend)
    zeros = cupy.zeros((64, 64), dtype=cupy.float32)
    yield "ok"
    ones = cupy.exp(zeros)
    yield "ok"
    twos = cupy.zeros((64, 64), dtype=cupy.float32)
    kernel = cupy.RawKernel(_TWICE, "twice", options=("--std=c++17",))
    kernel((16,), (256,), (ones, twos, np.int32(64 * 64)))
    _assert_close(float(twos[63, 63]), 2.0, "2 · 1")
    yield "ok"
    _assert_close(float((twos @ ones)[0, 0]), 128.0, "64 · 2")
    yield "ok"
    _assert_close(float(cupy.linalg.eigh(ones)[0][-1]), 64.0, "the largest eigenvalue, 64,")
    yield "ok"
    backend.synchronize()
    yield "ok"


def _assert_close(found: float, expected: float, what: str) -> None:
    if not math.isclose(found, expected, rel_tol=1e-4):
        raise ArithmeticError(f"{what} came out as {found}")


def _check_card(checks: list[tuple[str, str]], wheel: _Wheel) -> None:
    """Raise UnusableError where a wheel has no code for a card as old as this one."""
    found = dict(checks)
    least = _LEAST_CAPABILITY.get(wheel.cuda or 0, 0)
    capability = found["compute capability"]
    if int(capability.replace(".", "")) >= least:
        return
    older = [f"CUDA {cuda}" for cuda, least in _LEAST_CAPABILITY.items() if cuda < wheel.cuda]  # type: ignore[operator]
    raise UnusableError(
        f"{wheel.name} has no code for {found['device']}, of compute capability {capability}: "
        f"CUDA {wheel.cuda} begins at {least / 10}",
        f"uninstall {wheel.name.partition(' ')[0]}, and install the wheel for "
        f"{older[-1] if older else 'an older CUDA'}, from a checkout of gpulr: "
        'python -m pip install ".[cuda12]"',
    )


def _diagnosis(
    words: str, checks: list[tuple[str, str]], driver: str | None, wheel: _Wheel
) -> UnusableError:
    """Return what is wrong, and what to do, as an error tells it."""
    found = dict(checks)
    package = f'"cupy-cuda{wheel.cuda or 13}x[ctk]"'
    if driver is None and "device" in found and "compute capability" not in found:
        return UnusableError(
            "CuPy finds no CUDA device (this machine has no NVIDIA driver)",
            "install an NVIDIA driver, or check nvidia-smi and CUDA_VISIBLE_DEVICES",
        )
    if "cudaErrorNoDevice" in words:
        return UnusableError(
            "CuPy finds no CUDA device",
            "check nvidia-smi, CUDA_VISIBLE_DEVICES, and that a container is given the GPU "
            "(docker run --gpus all)",
        )
    if "InsufficientDriver" in words or "INSUFFICIENT_DRIVER" in words:
        return UnusableError(
            f"the NVIDIA driver ({driver}) is too old for {wheel.name}: {words}",
            "update the driver, or " + _INSTALL,
        )
    if _NO_CODE.search(words):
        return UnusableError(
            f"{found['device']}, of compute capability {found['compute capability']}, is newer "
            f"than {_nvrtc()}, which compiles kernels here: {words}",
            f"update CUDA's packages: python -m pip install --upgrade {package}",
        )
    if _NO_FILE.search(words):
        return UnusableError(
            f"CUDA's headers or libraries are missing: {words}",
            f"install them: python -m pip install {package}, or set CUDA_PATH to where they are",
        )
    return UnusableError(words, "check that the wheel fits the driver; " + _INSTALL)


def _nvrtc() -> str:
    try:
        return "NVRTC {}.{}".format(*sys.modules["cupy"].cuda.nvrtc.getVersion())
    except Exception:
        return "NVRTC"


def _memory_words(backend: Any) -> str:
    try:
        memory = backend.memory()
    except ParameterError as error:  # training says so as well
        return str(error)
    capped = f" of what {VARIABLE} allows" if os.environ.get(VARIABLE, "").strip() else ""
    return f"{in_words(memory.total)}, {in_words(memory.free)} free{capped}"
