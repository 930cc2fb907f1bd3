"""CuPy on a CUDA GPU."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from gpulr.backend.base import Backend
from gpulr.backend.kernels import CuPyKernels, kernels_of

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

    @property
    def _kernels(self) -> CuPyKernels:
        import cupy

        return kernels_of(cupy.cuda.Device().id if self.device is None else self.device.id)

    def fused(self, problem: Problem) -> Choice:
        from gpulr.kernels.choice import choose  # which needs arrays, and so this package

        return choose(problem, self._kernels)

    def trials(self) -> list[tuple[str, str]]:
        from gpulr.kernels.choice import trial

        return [("fused pass", trial(self, self._kernels))]

    def synchronize(self) -> None:
        import cupy

        cupy.cuda.get_current_stream().synchronize()
