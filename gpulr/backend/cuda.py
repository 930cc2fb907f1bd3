"""CuPy on a CUDA GPU."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend.arrays import detached, fits_float32, is_sparse, library_of
from gpulr.backend.base import Backend
from gpulr.backend.cuda_kernels import Kernels, kernels_of
from gpulr.backend.host_rows import Copies, Event
from gpulr.backend.memory import Memory, capped
from gpulr.errors import DataError
from gpulr.namespaces import array_namespace

Array = Any

CUDA = 2  # the type of device, as DLPack numbers them
LARGEST_INDEX = 2**31 - 1  # of CuPy's sparse arrays, which make int32 of any other, unasked

# How the runtime, the driver, cuBLAS and cuSOLVER say it, whose memory is not the pool's. They
# raise it as the class of all their errors.
_OUT_OF_MEMORY = re.compile(
    r"\b(cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|CU(BLAS|SOLVER)_STATUS_ALLOC_FAILED)\b"
)


class CuPyBackend(Backend):
    """CuPy on a CUDA GPU."""

    namespace = "array_api_compat.cupy"

    def _device(self) -> Any:
        import cupy

        return cupy.cuda.Device() if self.device is None else self.device

    @property
    def device_name(self) -> str:
        import cupy

        index = self._device().id
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        return f"{properties['name'].decode()} (cuda:{index})"

    @property
    def versions(self) -> dict[str, str]:
        return super().versions | self.kernels.notes

    @contextmanager
    def activate(self) -> Iterator[None]:
        with super().activate(), self._device():  # which cannot be left where it has failed
            yield

    @property
    def out_of_memory(self) -> tuple[type[BaseException], ...]:  # type: ignore[override]
        import cupy

        return (cupy.cuda.memory.OutOfMemoryError,)

    def ran_out(self, error: BaseException) -> bool:
        return super().ran_out(error) or bool(_OUT_OF_MEMORY.search(str(error)))

    def lost(self) -> str | None:
        import cupy

        # What a kernel did comes out at any later call, and after some errors at every one.
        try:
            with self._device():
                cupy.cuda.runtime.deviceSynchronize()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            return None if self.ran_out(error) else str(error)
        return None

    def bytes_wanted(self, error: BaseException) -> int | None:
        found = re.search(r"allocating ([\d,]+) bytes", str(error))
        return int(found[1].replace(",", "")) if found else None

    def memory(self) -> Memory:
        import cupy

        with self._device():
            free, total = cupy.cuda.runtime.memGetInfo()
            # What the pool keeps for later is as good as free.
            pool = cupy.get_default_memory_pool()
            return capped(free + pool.free_bytes(), total, pool.used_bytes())

    def free(self) -> None:
        import cupy

        super().free()
        with self._device():
            cupy.get_default_memory_pool().free_all_blocks()
            # What PyTorch keeps for later is often most of the memory there is.
            if "torch" in sys.modules and (cuda := sys.modules["torch"].cuda).is_initialized():
                cuda.empty_cache()

    def shared(self, x: Any) -> Any:
        own = library_of(x) in (None, "numpy", self.name)
        if own or not hasattr(x, "__dlpack_device__") or x.__dlpack_device__()[0] != CUDA:
            return x
        import cupy

        x = detached(x)  # what follows waits for the other library's stream
        try:
            return cupy.from_dlpack(x)
        except (BufferError, RuntimeError, TypeError, ValueError):  # a dtype that it does not have
            xp = array_namespace(x)
            return cupy.from_dlpack(xp.astype(x, xp.float32 if fits_float32(x) else xp.float64))

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        if not is_sparse(x):
            return super().asarray(x, dtype)
        if library_of(x) == self.name:
            return x
        if max(x.nnz, *x.shape) > LARGEST_INDEX:
            raise DataError(
                f"X is sparse of shape {x.shape} with {x.nnz:,} stored entries, and CuPy counts "
                f'them up to {LARGEST_INDEX:,}. Use backend="numpy".'
            )
        from cupyx.scipy.sparse import csr_matrix

        data = x.data
        if data.dtype.kind not in "bf":  # cuSPARSE takes no others
            data = data.astype(np.float32 if fits_float32(x) else np.float64)
        parts = (super(CuPyBackend, self).asarray(part) for part in (data, x.indices, x.indptr))
        return csr_matrix(tuple(parts), shape=x.shape)

    def sparse_extremes(self, X: Array) -> tuple[Array, Array]:
        import cupy

        data = X.data.astype(X.dtype if X.dtype.kind == "f" else np.float32)
        found = self.xp.zeros((2, X.shape[1]), dtype=data.dtype, device=self.device)
        # Atomic functions pass NaN over, which is to make both one.
        broken = X.indices[self.xp.isnan(data)]
        for ufunc, part in zip((cupy.minimum, cupy.maximum), found, strict=True):
            ufunc.at(part, X.indices, data)
            part[broken] = math.nan
        return found[0, :], found[1, :]

    def copies(self) -> Copies:
        return CudaCopies(self.xp, self.device)

    def collect_blocks(
        self,
        function: Callable[..., Array],
        blocks: list[slice],
        n_columns: int,
        dtype: Any,
        X: Array | None = None,
        whole: Array | None = None,
    ) -> Array:
        # Written into the whole: all parts beside it would be twice the memory.
        whole, end = None, blocks[-1].stop
        first = 0
        for part in self.map_blocks(function, blocks, X):
            if part.shape[0] == end:
                return part
            if whole is None:
                whole = self.xp.empty((end, n_columns), dtype=dtype, device=self.device)
            whole[first : first + part.shape[0], ...] = part
            first += part.shape[0]
        return whole

    @property
    def kernels(self) -> Kernels:
        return kernels_of(self._device().id)

    def synchronize(self) -> None:
        _current_stream().synchronize()


class CudaCopies(Copies):
    """Copies to a CUDA GPU: their queue is a stream, that of computing whichever is current."""

    def __init__(self, xp: Any, device: Any) -> None:
        import cupy

        super().__init__(xp, device)
        # Non-blocking: it does not wait for what is on the default stream.
        self._stream = cupy.cuda.Stream(non_blocking=True)

    def staging(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        import cupy
        import cupyx

        try:
            # Copies from memory that may be paged out block the host, at half the speed.
            pinned: npt.NDArray[np.uint8] = cupyx.empty_pinned(n_bytes, dtype=np.uint8)
            return pinned
        except cupy.cuda.runtime.CUDARuntimeError:  # the system allows no (more) pinned memory
            return super().staging(n_bytes)

    def upload(self, source: npt.NDArray[Any], target: Array, after: Event) -> Event:
        if after is not None:
            self._stream.wait_event(after)
        target.set(source, stream=self._stream)
        return _recorded(self._stream)

    def computed(self) -> Event:
        return _recorded(_current_stream())

    def compute_waits(self, event: Event) -> None:
        if event is not None:
            _current_stream().wait_event(event)

    def host_waits(self, event: Event) -> None:
        if event is not None:
            event.synchronize()


def _current_stream() -> Any:
    import cupy

    return cupy.cuda.get_current_stream()


def _recorded(stream: Any) -> Event:
    import cupy

    return stream.record(cupy.cuda.Event(disable_timing=True))
