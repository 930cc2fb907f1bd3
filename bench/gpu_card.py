"""What is measured on: a card through CuPy, with CUDA events, or its stand-in for a rehearsal."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from bench.run import Run, rehearsal
from gpulr.backend import Backend, backend_of, select
from gpulr.errors import BackendUnavailableError

FLUSH_FACTOR = 4  # of the L2 cache, that nothing of what was there before stays
LONGEST_HOLD = 0.05  # seconds
QUEUED = 20  # calls

# Keeps the stream busy, and neither memory nor the L2 cache.
_HOLD = r"""
extern "C" __global__ void hold(unsigned long long nanoseconds) {
    unsigned long long started, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(started));
    do {
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    } while (now - started < nanoseconds);
}
"""


class Device:
    """What a card and its stand-in have in common."""

    backend: Backend

    def wait(self, results: Any = None) -> Any:
        """Return the results once the device is idle."""
        self.backend.synchronize()
        return results


class Card(Device):
    """A CUDA device, as CuPy sees it."""

    copy_bytes = 2**30

    def __init__(self) -> None:
        self.backend = select("cupy")
        if self.backend.name != "cupy":
            raise BackendUnavailableError(f"CuPy cannot be used: {self.backend.fallback_reason}")
        import cupy

        self.cupy = cupy
        self.properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        flushed = FLUSH_FACTOR * max(int(self.properties["l2CacheSize"]), 2**20)
        self._flush = cupy.zeros(flushed, dtype=cupy.uint8)
        self._hold = cupy.RawKernel(_HOLD, "hold")

    def about(self) -> dict[str, Any]:
        """Return what the record says of the device."""
        runtime, found = self.cupy.cuda.runtime, self.properties
        return {
            "name": found["name"].decode(),
            "compute_capability": f"{found['major']}.{found['minor']}",
            "multiprocessors": found["multiProcessorCount"],
            "memory_bytes": found["totalGlobalMem"],
            "l2_bytes": found["l2CacheSize"],
            "cuda_driver": runtime.driverGetVersion(),
            "cuda_runtime": runtime.runtimeGetVersion(),
            "CUPY_TF32": os.environ.get("CUPY_TF32"),
        }

    def device_seconds(self, run: Run, hold: float, *, cold: bool = False) -> float:
        """Return the time between two events around what ``run`` asks of the device.

        ``hold`` is for how many seconds the stream waits before the first event: longer than
        ``run`` takes to queue its work.
        """
        cuda = self.cupy.cuda
        started, ended = cuda.Event(), cuda.Event()
        if cold:
            self._flush += 1
        self._hold((1,), (1,), (np.uint64(1e9 * hold),))
        started.record()
        run()
        ended.record()
        ended.synchronize()
        return 1e-3 * float(cuda.get_elapsed_time(started, ended))

    def copy(self) -> Run:
        """Return a copy from device memory to device memory."""
        source = self.cupy.zeros(self.copy_bytes // 4, dtype=self.cupy.float32)
        target = self.cupy.empty_like(source)
        return lambda: target.data.copy_from_device_async(
            source.data, source.nbytes, self.cupy.cuda.get_current_stream()
        )

    def pinned(self, array: Any) -> Any:
        """Return a copy in host memory that the device can read by itself."""
        import cupyx

        copy = cupyx.empty_pinned(array.shape, array.dtype)
        copy[...] = array
        return copy


class StandIn(Device):
    """NumPy or array-api-strict in a card's place: every step, and no meaning."""

    copy_bytes = 2**20

    def __init__(self, library: str) -> None:
        if library == "strict":
            import array_api_strict

            device = array_api_strict.Device("device1")
            self.backend = backend_of(array_api_strict.zeros(1, device=device))
        elif library == "numpy":
            self.backend = backend_of(np.zeros(1))
        else:
            raise SystemExit(f"GPULR_BENCH_REHEARSE={library!r}; expected numpy or strict.")

    def about(self) -> dict[str, Any]:
        return {"name": f"none: a rehearsal on {self.backend.name}"}

    def device_seconds(self, run: Run, hold: float, *, cold: bool = False) -> float:
        return host_seconds(self, run)

    def copy(self) -> Run:
        xp, device = self.backend.xp, self.backend.device
        source = xp.zeros(self.copy_bytes // 4, dtype=xp.float32, device=device)
        return lambda: source + 0.0

    def pinned(self, array: Any) -> Any:
        return array.copy()


def card() -> Device:
    """Return the GPU, or under ``GPULR_BENCH_REHEARSE`` its stand-in."""
    library = rehearsal()
    return StandIn(library) if library else Card()


def host_seconds(card: Device, run: Run, calls: int = 1) -> float:
    """Return the time of a call from an idle device to an idle device; of many, their mean."""
    card.wait()
    started = time.perf_counter()
    for _ in range(calls):
        run()
    card.wait()
    return (time.perf_counter() - started) / calls


def queueing_seconds(card: Device, run: Run) -> float:
    """Return how long to hold the stream, so that ``run`` is queued before its work begins."""
    card.wait()
    started = time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    card.wait()
    return min(2.0 * seconds + 2e-4, LONGEST_HOLD)


def take_turn(card: Device, run: Run, hold: float) -> dict[str, float]:
    """Return the seconds of a call, of every kind, after one that is not timed."""
    run()
    return {
        "device": card.device_seconds(run, hold),
        "device_cold": card.device_seconds(run, hold, cold=True),
        "host": host_seconds(card, run),
        "queued": host_seconds(card, run, QUEUED),
    }
