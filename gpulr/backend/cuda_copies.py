"""Copies to a CUDA GPU on a stream of their own, beside what computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend.copies import Copies, Event

Array = Any

__all__ = ["CudaCopies"]


class CudaCopies(Copies):
    """The queue of copying is a stream; that of computing, whichever is current."""

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
        return self._stream.record(_event())

    def computed(self) -> Event:
        import cupy

        return cupy.cuda.get_current_stream().record(_event())

    def compute_waits(self, event: Event) -> None:
        import cupy

        if event is not None:
            cupy.cuda.get_current_stream().wait_event(event)

    def host_waits(self, event: Event) -> None:
        if event is not None:
            event.synchronize()


def _event() -> Any:
    import cupy

    return cupy.cuda.Event(disable_timing=True)
