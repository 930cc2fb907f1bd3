"""CuPy on a CUDA GPU."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from gpulr.backend.base import Backend
from gpulr.backend.kernels import kernels_of

if TYPE_CHECKING:
    from gpulr.kernels.choice import Choice
    from gpulr.problem import Problem

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

    def fused(self, problem: Problem) -> Choice:
        import cupy

        from gpulr.kernels.choice import choose  # which needs arrays, and so this package

        index = cupy.cuda.Device().id if self.device is None else self.device.id
        return choose(problem, kernels_of(index))

    def synchronize(self) -> None:
        import cupy

        cupy.cuda.get_current_stream().synchronize()
