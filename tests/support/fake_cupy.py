"""A stand-in for CuPy: a thin layer over NumPy that works, or breaks as told."""

from __future__ import annotations

import types
from contextlib import nullcontext

import numpy as np


class CudaError(RuntimeError):
    """What CuPy raises has no base class in common."""


class OutOfMemoryError(MemoryError):
    """What CuPy raises where its pool cannot grow."""


class FakeArray(np.ndarray):
    """An array on the "device", whose product can be made to fail or to be wrong."""

    broken = None

    def set(self, array, stream=None):
        assert (self.shape, self.dtype) == (array.shape, array.dtype)
        assert self.flags.c_contiguous
        self[...] = array

    def __matmul__(self, other):
        if self.broken == "matrix product":
            raise CudaError("CUBLAS_STATUS_NOT_INITIALIZED")
        product = np.asarray(self) @ np.asarray(other)
        return product + 1 if self.broken == "result" else product


def fake_cupy(broken=None):
    """A module that looks like CuPy to the probe; ``broken`` names the step that fails."""

    def fail_at(step):
        if broken == step:
            raise CudaError(f"cudaErrorFake: {step}")

    def zeros(shape, dtype):
        fail_at("allocation")
        array = np.zeros(shape, dtype).view(type("Array", (FakeArray,), {"broken": broken}))
        return array

    def exp(array):
        fail_at("elementwise kernel")
        return np.exp(array)

    class Device(nullcontext):
        def __init__(self, index=0):
            super().__init__()
            self.id = index

    class Event:
        def __init__(self, block=False, disable_timing=False):
            assert disable_timing

        def synchronize(self):
            pass

    class Stream:
        def __init__(self, non_blocking=False):
            self.non_blocking = non_blocking

        def synchronize(self):
            fail_at("synchronise")

        def record(self, event):
            assert isinstance(event, Event)
            return event

        def wait_event(self, event):
            assert isinstance(event, Event)

    class Pool:
        freed = 0

        def free_bytes(self):
            return 2**20

        def used_bytes(self):
            return 2**21

        def free_all_blocks(self):
            self.freed += 1

    def properties(index):
        fail_at("device")
        return {"name": b"Fake GPU"}

    cupy = types.ModuleType("cupy")
    cupy.ndarray = type("ndarray", (), {})  # array-api-compat asks every array whether it is one
    cupy.__version__ = "14.2.0"
    cupy.float32 = np.float32
    cupy.is_available = lambda: broken != "no device"
    cupy.zeros, cupy.exp = zeros, exp
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        Event=Event,
        Stream=Stream,
        get_current_stream=Stream,
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        runtime=types.SimpleNamespace(
            CUDARuntimeError=CudaError,
            getDeviceProperties=properties,
            memGetInfo=lambda: (6 * 2**30, 8 * 2**30),
        ),
    )
    pool = Pool()
    cupy.get_default_memory_pool = lambda: pool
    return cupy


def fake_cupyx(broken=None):
    """A module that has what is used of cupyx."""

    def empty_pinned(shape, dtype):
        if broken == "pinned memory":
            raise CudaError("cudaErrorMemoryAllocation")
        return np.empty(shape, dtype)

    cupyx = types.ModuleType("cupyx")
    cupyx.empty_pinned = empty_pinned
    return cupyx
