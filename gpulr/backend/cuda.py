"""CuPy on a CUDA GPU."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from gpulr.backend.base import Backend
from gpulr.backend.copies import Copies, CudaCopies
from gpulr.backend.cuda_kernels import CuPyKernels, kernels_of
from gpulr.backend.memory import Memory, capped
from gpulr.backend.out_of_memory import translate_oom

Array = Any


class CuPyBackend(Backend):
    """CuPy on a CUDA GPU."""

    def _device(self) -> Any:
        import cupy

        return cupy.cuda.Device() if self.device is None else self.device

    @property
    def device_name(self) -> str:
        import cupy

        index = self._device().id
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        return f"{properties['name'].decode()} (cuda:{index})"

    def activate(self) -> AbstractContextManager[Any]:
        return self._activated()

    @contextmanager
    def _activated(self) -> Iterator[None]:
        with self._device(), translate_oom(self):
            yield

    @property
    def out_of_memory(self) -> tuple[type[BaseException], ...]:  # type: ignore[override]
        import cupy

        return (cupy.cuda.memory.OutOfMemoryError,)

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

    def copies(self) -> Copies:
        return CudaCopies(self.xp, self.device)

    def collect_blocks(
        self, function: Callable[[slice], Array], blocks: list[slice], X: Array | None = None
    ) -> Array:
        # Written into the whole: all parts beside it would be twice the memory.
        whole, end = None, blocks[-1].stop
        first = 0
        for part in self.map_blocks(function, blocks, X):
            if part.shape[0] == end:
                return part
            if whole is None:
                shape = (end, *part.shape[1:])
                whole = self.xp.empty(shape, dtype=part.dtype, device=self.device)
            whole[first : first + part.shape[0], ...] = part
            first += part.shape[0]
        return whole

    @property
    def kernels(self) -> CuPyKernels:
        return kernels_of(self._device().id)

    def synchronize(self) -> None:
        import cupy

        cupy.cuda.get_current_stream().synchronize()
