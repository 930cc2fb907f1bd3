"""Array backends: the only file that knows which array libraries exist.

A :class:`Backend` says where arrays live and how a pass over row blocks runs there; the mathematics
(:mod:`gpulr.logistic`) takes its functions from the arrays themselves. To add a library, subclass
:class:`Backend`, write a probe that *proves* it works, and enter both in ``BACKENDS``. Arrays of
any other library that follows the array API standard are used where they are, by the base class.

Libraries are imported lazily: importing CuPy takes a second, succeeds on machines without a GPU,
and proves nothing (a wrong wheel fails at the first kernel), so it is imported and tried out only
when it is asked for or when the work is large enough to repay it.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import array_api_compat
import numpy as np
import numpy.typing as npt

from gpulr import threads
from gpulr.errors import (
    BackendFallbackWarning,
    BackendUnavailableError,
    DataError,
    ParameterError,
    warn,
)
from gpulr.kernels.operand import CompiledRows, compiler, fits
from gpulr.slices import Slices

Array = Any
T = TypeVar("T")

__all__ = ["Backend", "BackendStatus", "backend_of", "backends", "select", "to_host"]

# Below this many floating-point operations a CPU is done in about a second: starting CUDA and
# uploading would not repay. An estimate (50–100 GFLOP/s on two cores), not a measurement.
AUTO_MIN_FLOPS = 1e11


class Backend:
    """Where arrays live, and how a pass over row blocks runs there.

    Attributes
    ----------
    name : str
        The library: "numpy", "cupy", or another array-API library whose arrays were passed in.
    xp : module
        Its array-API namespace.
    device : object
        The library's own device object (None: its default).
    fallback_reason : str or None
        Why this backend serves instead of the one that was asked for.
    """

    # Converted rows, margins and residuals of one block stay below this many bytes.
    block_bytes: ClassVar[int] = 256 * 2**20

    def __init__(
        self, name: str, xp: Any, device: Any = None, fallback_reason: str | None = None
    ) -> None:
        self.name = name
        self.xp = xp
        self.device = device
        self.fallback_reason = fallback_reason

    def __repr__(self) -> str:
        return f"<Backend {self.name} on {self.device_name}>"

    @property
    def device_name(self) -> str:
        """The device in words."""
        return str(self.device)

    @property
    def version(self) -> str:
        """The array library's version."""
        return str(getattr(sys.modules.get(self.name), "__version__", "unknown"))

    @property
    def versions(self) -> dict[str, str]:
        """What computes here, and its versions."""
        return {self.name: self.version}

    def activate(self) -> AbstractContextManager[Any]:
        """Return a context in which new arrays and kernels go to this backend's device."""
        return nullcontext()

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """Return ``x`` as an array here; copies only if it is elsewhere or of another dtype."""
        if is_sparse(x):
            if self.name != "numpy":
                raise DataError(
                    f'X is sparse, which {self.name} cannot take here. Use backend="numpy", or '
                    "pass X.toarray()."
                )
            return x
        if _library(x) == self.name:
            return self.xp.asarray(x, dtype=dtype, device=self.device)
        return self.xp.asarray(to_host(x), dtype=dtype, device=self.device)

    def synchronize(self) -> None:
        """Wait until the device has done everything that was asked of it."""

    def row_blocks(self, n_samples: int, n_features: int, n_models: int) -> list[slice]:
        """Cut the rows into blocks of nearly equal length; the same cut for the same sizes."""
        row_bytes = 4 * (n_features + 6 * n_models)
        n_blocks = max(1, math.ceil(n_samples * row_bytes / self.block_bytes))
        if n_blocks > 1:
            n_blocks = 4 * math.ceil(n_blocks / 4)  # shared evenly by two or four threads
        edges = [n_samples * i // n_blocks for i in range(n_blocks + 1)]
        return [slice(a, b) for a, b in pairwise(edges) if b > a]

    def map_blocks(self, function: Callable[[slice], T], blocks: list[slice]) -> Iterator[T]:
        """Yield ``function(block)`` for each block of rows, in their order."""
        return map(function, blocks)

    def collect_blocks(self, function: Callable[[slice], Array], blocks: list[slice]) -> Array:
        """Return what ``function`` makes of each block of rows, one below the other."""
        parts = list(self.map_blocks(function, blocks))
        return parts[0] if len(parts) == 1 else self.xp.concat(parts, axis=0)

    def as_compute(self, X_block: Array, dtype: Any, center: Array | None = None) -> Array:
        """Return a block of rows in the compute dtype, less ``center`` (n_features,) if given.

        Valid until the next call in this thread.
        """
        xp = self.xp
        if center is None:
            return xp.astype(X_block, dtype, copy=False)
        # Subtracted before rounding: float64 and wide integers may not fit into the compute dtype.
        wide = X_block if X_block.dtype == dtype else xp.astype(X_block, xp.float64)
        return xp.astype(wide - xp.astype(center, wide.dtype, copy=False), dtype, copy=False)

    def operand(self, X_block: Array, dtype: Any, center: Array | None = None) -> Array:
        """Return :meth:`as_compute` as what multiplies fastest; only ``@`` is used on it."""
        return self.as_compute(X_block, dtype, center)

    def centers_in_block(self, X: Array) -> bool:
        """Whether rows of X are centred in the block: not bytes and bits, nor a sparse X."""
        return not (self.xp.isdtype(X.dtype, "bool") or X.dtype in (self.xp.int8, self.xp.uint8))

    def row_width(self, X: Array) -> int:
        """Return how many numbers a row of X holds, on average."""
        return int(X.shape[1])

    def operand_width(self, X: Array, dtype: Any, center: Array | None = None) -> int:
        """Return as how many numbers a row counts in :meth:`row_blocks` for :meth:`operand`."""
        return self.row_width(X)

    def take_rows(self, X: Array, index: Array) -> Array:
        """Return a copy of some rows of X."""
        return self.xp.take(X, index, axis=0)


class NumPyBackend(Backend):
    """NumPy on the CPU: blocks that fit in cache, mapped over threads."""

    # Measured on MNIST with 1 to 16 MiB: below 4 the calls cost more than the cache saves.
    block_bytes = 8 * 2**20
    _scratch = threading.local()

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def versions(self) -> dict[str, str]:
        compiled = compiler()
        return super().versions | ({"llvmlite": compiled.version} if compiled.version else {})

    def activate(self) -> AbstractContextManager[Any]:
        # What is not mapped over blocks is small: two BLAS threads gain nothing on it, and wait for
        # each other for seconds where other processes use the cores.
        return threads.one_blas_thread()

    def map_blocks(self, function: Callable[[slice], T], blocks: list[slice]) -> Iterator[T]:
        return threads.map_blocks(function, blocks)

    def collect_blocks(self, function: Callable[[slice], Array], blocks: list[slice]) -> Array:
        if len(blocks) == 1:
            return function(blocks[0])
        # Written by the threads: all parts beside the whole would be twice the memory.
        whole: list[npt.NDArray[Any]] = []
        lock = threading.Lock()

        def write(rows: slice) -> None:
            part = function(rows)
            with lock:
                if not whole:
                    whole.append(np.empty((blocks[-1].stop, *part.shape[1:]), part.dtype))
            whole[0][rows] = part

        for _ in self.map_blocks(write, blocks):
            pass
        return whole[0]

    def as_compute(self, X_block: Array, dtype: Any, center: Array | None = None) -> Array:
        if is_sparse(X_block):
            return X_block.astype(dtype, copy=False)
        if X_block.dtype == dtype and center is None:
            return X_block
        # One buffer per thread, so that converting uint8 pixels touches no new memory.
        buffer = getattr(self._scratch, "buffer", None)
        if buffer is None or buffer.dtype != dtype or buffer.size < X_block.size:
            buffer = self._scratch.buffer = np.empty(X_block.size, dtype=dtype)
        converted = buffer[: X_block.size].reshape(X_block.shape)
        if center is None:
            np.copyto(converted, X_block, casting="unsafe")
        else:
            np.subtract(X_block, center, out=converted, casting="unsafe")
        return converted

    def operand(self, X_block: Array, dtype: Any, center: Array | None = None) -> Array:
        if is_sparse(X_block):
            return self.as_compute(X_block, dtype)
        compiled = compiler().usable
        if compiled and center is None and fits(X_block, dtype):
            return CompiledRows(X_block, np.dtype(dtype))
        block = self.as_compute(X_block, dtype, center)
        if compiled and fits(block, dtype):
            return CompiledRows(block, np.dtype(dtype))
        return Slices(block)

    def centers_in_block(self, X: Array) -> bool:
        return not is_sparse(X) and X.dtype.itemsize > 1

    def row_width(self, X: Array) -> int:
        # An index and a value for each stored entry.
        return 1 + 2 * X.nnz // X.shape[0] if is_sparse(X) else int(X.shape[1])

    def operand_width(self, X: Array, dtype: Any, center: Array | None = None) -> int:
        if is_sparse(X) or center is not None or not compiler().usable or not fits(X, dtype):
            return self.row_width(X)
        # Rows that are not converted take no memory, and compiled products cut sub-blocks that fit
        # in cache by themselves. Longer blocks mean fewer calls, for which threads wait in turn.
        return int(X.shape[1] * X.itemsize // 8)

    def take_rows(self, X: Array, index: Array) -> Array:
        return X[index] if is_sparse(X) else np.take(X, index, axis=0)


class CuPyBackend(Backend):
    """CuPy on a CUDA GPU."""

    @property
    def device_name(self) -> str:
        import cupy

        index = cupy.cuda.Device().id if self.device is None else self.device.id
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        return f"{properties['name'].decode()} (cuda:{index})"

    def activate(self) -> AbstractContextManager[Any]:
        import cupy

        return cupy.cuda.Device() if self.device is None else self.device  # type: ignore[no-any-return]

    def synchronize(self) -> None:
        import cupy

        cupy.cuda.get_current_stream().synchronize()


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


def _probe_numpy() -> BackendStatus:
    checks = [
        ("numpy", np.__version__),
        ("threads per pass", str(threads.thread_count())),
        ("compiled products", _compiler_words()),
    ]
    return BackendStatus("numpy", True, tuple(checks), device="cpu")


def _compiler_words() -> str:
    try:
        return compiler().words
    except (BackendUnavailableError, ParameterError) as error:  # which a report is there to tell
        return str(error)


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


def _probe_cupy() -> BackendStatus:
    """Prove that CuPy works: a device, an allocation, a kernel, a matrix product, a synchronise."""
    checks: list[tuple[str, str]] = []

    def failed(reason: str, remedy: str) -> BackendStatus:
        return BackendStatus("cupy", False, tuple(checks), reason=reason, remedy=remedy)

    driver = nvidia_driver()
    checks.append(("NVIDIA driver", driver or "not found"))
    if find_spec("cupy") is None:
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
        device = CuPyBackend("cupy", None).device_name
        checks.append((step, device))
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


def _is_cupy_wheel(name: str | None) -> bool:
    return name is not None and name.lower().replace("_", "-").startswith(
        ("cupy-cuda", "cupy-rocm")
    )


BACKENDS: dict[str, tuple[type[Backend], Callable[[], BackendStatus]]] = {
    "numpy": (NumPyBackend, _probe_numpy),
    "cupy": (CuPyBackend, _probe_cupy),
}


@cache
def probe(name: str) -> BackendStatus:
    """Try a backend out, once per process."""
    return BACKENDS[name][1]()


def backends() -> dict[str, BackendStatus]:
    """Try every backend out (once per process) and return what was found, by name."""
    return {name: probe(name) for name in BACKENDS}


def _library(x: Any) -> str | None:
    """Return the name of the array library that ``x`` belongs to, or None for other objects."""
    if isinstance(x, np.ndarray):
        return "numpy"
    if isinstance(x, np.generic) or not array_api_compat.is_array_api_obj(x):
        return None
    namespace: str = array_api_compat.array_namespace(x).__name__
    return namespace.removeprefix("array_api_compat.").split(".")[0]


def is_device_array(x: Any) -> bool:
    """Whether ``x`` is an array of a library other than NumPy."""
    return _library(x) not in (None, "numpy")


def is_sparse(x: Any) -> bool:
    """Whether ``x`` is a sparse matrix or array of SciPy's kind."""
    return hasattr(x, "tocsr") and hasattr(x, "nnz")


def to_host(x: Any) -> npt.NDArray[Any]:
    """Return ``x`` as a NumPy array, copied from its device where it is on one."""
    if not is_device_array(x):
        return np.asarray(x)
    try:
        return np.asarray(array_api_compat.to_device(x, "cpu"))
    except ValueError:  # a library whose host device has another name
        return np.from_dlpack(x)


def backend_of(x: Any) -> Backend:
    """Return the backend of an array, on the device where it is (NumPy for anything else)."""
    name = _library(x)
    if name in (None, "numpy"):
        return NumPyBackend("numpy", array_api_compat.array_namespace(np.empty(0)))
    cls = BACKENDS[name][0] if name in BACKENDS else Backend
    return cls(str(name), array_api_compat.array_namespace(x), array_api_compat.device(x))


def _new(name: str) -> Backend:
    xp = import_module(f"array_api_compat.{name}")
    return BACKENDS[name][0](name, xp)


def _environment(variable: str, default: str, allowed: tuple[str, ...]) -> str:
    value = os.environ.get(variable, "").strip().lower() or default
    if value not in allowed:
        raise ParameterError(f"{variable}={value!r} in the environment; use one of {allowed}.")
    return value


def select(requested: str = "auto", *, X: Any = None, flops: float = math.inf) -> Backend:
    """Choose the backend for some work.

    Parameters
    ----------
    requested : "auto", "numpy" or "cupy"
        "auto" defers to ``GPULR_BACKEND``, then to where X is, then to a working GPU if the work
        repays it.
    X : array, optional
        The data; an array that is already on a device is used where it is.
    flops : float
        Estimate of the work, in floating-point operations.

    Raises
    ------
    ParameterError
        Unknown name, in the argument or in the environment.
    BackendUnavailableError
        The backend cannot be used and ``GPULR_FALLBACK=error``.

    Warns
    -----
    BackendFallbackWarning
        The backend cannot be used; NumPy serves instead (``GPULR_FALLBACK=warn``, the default).
    """
    allowed = ("auto", *BACKENDS)
    if not isinstance(requested, str) or requested not in allowed:
        raise ParameterError(f"backend={requested!r}; use one of {allowed}.")
    fallback = _environment("GPULR_FALLBACK", "warn", ("warn", "error"))
    if requested == "auto":
        requested = _environment("GPULR_BACKEND", "auto", allowed)
    if requested == _library(X) or (requested == "auto" and is_device_array(X)):
        return backend_of(X)
    if requested == "auto":
        reason = None
        for name in BACKENDS:
            if name == "numpy" or flops < AUTO_MIN_FLOPS or find_spec(name) is None:
                continue
            status = probe(name)
            if status.usable:
                return _new(name)
            reason = reason or status.reason
        backend = _new("numpy")
        backend.fallback_reason = reason
        return backend
    status = probe(requested)
    if status.usable:
        return _new(requested)
    message = f"backend={requested!r} cannot be used: {status.reason}. To use it: {status.remedy}."
    if fallback == "error":
        raise BackendUnavailableError(
            f"{message} (GPULR_FALLBACK=error forbids training on NumPy instead.)"
        )
    warn(
        f"{message} Training on NumPy instead; `gpulr doctor` shows every check.",
        BackendFallbackWarning,
    )
    backend = _new("numpy")
    backend.fallback_reason = status.reason
    return backend
