"""CuPy on a CUDA GPU."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from gpulr.backend.base import Backend

__all__ = ["CuPyBackend"]


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
