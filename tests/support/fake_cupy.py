"""A stand-in for CuPy: a thin layer over NumPy that works, or breaks as told."""

from __future__ import annotations

import types
from contextlib import nullcontext

import numpy as np

CARD = {
    "cudaDevAttrMultiProcessorCount": 132,
    "cudaDevAttrMaxSharedMemoryPerBlockOptin": 232_448,
    "cudaDevAttrMaxSharedMemoryPerMultiprocessor": 233_472,
}


class CudaError(RuntimeError):
    """What CuPy raises has no base class in common."""


class OutOfMemoryError(MemoryError):
    """What CuPy raises where its pool cannot grow."""


class FakeArray(np.ndarray):
    """An array on the "device", whose product can be made to fail or to be wrong."""

    broken = None

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)

    def set(self, array, stream=None):
        assert (self.shape, self.dtype) == (array.shape, array.dtype)
        assert self.flags.c_contiguous
        self[...] = array

    def __matmul__(self, other):
        if self.broken == "matrix product":
            raise CudaError("CUBLAS_STATUS_NOT_INITIALIZED")
        product = super().__matmul__(other)
        return product + 1 if self.broken == "result" else product


class Event:
    clock = 0.0

    def __init__(self, block=False, disable_timing=False):
        self.timed = not disable_timing

    def record(self):
        Event.clock += 1.0
        self.time = Event.clock

    def synchronize(self):
        pass


def fake_cupy(broken=None, compiler=None):
    """A module that looks like CuPy; ``broken`` names the step of the probe that fails.

    ``compiler`` (code, macros) returns what launches kernels. Their names are in ``launched``, in
    order, and the macros of each module in ``modules``.
    """

    def fail_at(step):
        if broken == step:
            raise CudaError(f"cudaErrorFake: {step}")

    def zeros(shape, dtype):
        fail_at("allocation")
        return np.zeros(shape, dtype).view(type("Array", (FakeArray,), {"broken": broken}))

    def exp(array):
        fail_at("elementwise kernel")
        return np.exp(array)

    def properties(index):
        fail_at("device")
        return {"name": b"Fake GPU"}

    class Device(nullcontext):
        compute_capability = "90"

        def __init__(self, index=0):
            super().__init__()
            self.id = index

    class Stream:
        captured = None

        def __init__(self, non_blocking=False):
            self.non_blocking = non_blocking

        def __enter__(self):
            self.before, cupy.current = cupy.current, self

        def __exit__(self, *exception):
            cupy.current = self.before

        def synchronize(self):
            fail_at("synchronise")

        def record(self, event):
            assert not event.timed
            return event

        def wait_event(self, event):
            assert isinstance(event, Event)

        def begin_capture(self):
            assert self.non_blocking, "the default stream cannot be captured"
            self.captured = []

        def end_capture(self):
            launches, self.captured = self.captured, None
            return types.SimpleNamespace(launch=lambda: [run() for run in launches])

    class Kernel:
        """One kernel of a module, as CuPy's RawKernel takes its arguments."""

        max_dynamic_shared_size_bytes = 48 * 1024

        def __init__(self, compiled, name):
            self.compiled, self.name = compiled, name

        def __call__(self, grid, block, args, *, shared_mem=0):
            assert type(grid) is type(block) is tuple
            assert shared_mem <= self.max_dynamic_shared_size_bytes
            # None would be an argument that is not there; a Python int would be eight bytes.
            assert {type(a) for a in args} <= {FakeArray, np.uintp, np.int32, np.float64}
            assert not any(a for a in args if isinstance(a, np.uintp))
            plain = [
                a.view(np.ndarray) if a.ndim else None if isinstance(a, np.uintp) else a.item()
                for a in args
            ]

            def run():
                self.compiled.launch(self.name, grid, block, plain, shared_mem)
                cupy.launched.append(self.name)

            run() if cupy.current.captured is None else cupy.current.captured.append(run)

    def raw_module(*, code, options):
        assert options[0].startswith("--std=")
        cupy.modules.append(dict(option.removeprefix("-D").split("=") for option in options[1:]))
        compiled = compiler(code, cupy.modules[-1])
        return types.SimpleNamespace(get_function=lambda name: Kernel(compiled, name))

    class Pool:
        freed = 0

        def free_bytes(self):
            return 2**20

        def used_bytes(self):
            return 2**21

        def free_all_blocks(self):
            self.freed += 1

    cupy = types.ModuleType("cupy")
    cupy.ndarray = FakeArray  # array-api-compat asks every array whether it is one
    cupy.__version__ = "14.2.0"
    cupy.float32 = np.float32
    cupy.is_available = lambda: broken != "no device"
    cupy.zeros, cupy.exp = zeros, exp
    cupy.launched, cupy.modules, cupy.current = [], [], Stream()
    if compiler is not None:
        cupy.RawModule = raw_module
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        Event=Event,
        Stream=Stream,
        get_current_stream=lambda: cupy.current,
        get_elapsed_time=lambda start, end: 1e3 * (end.time - start.time),
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        runtime=types.SimpleNamespace(
            CUDARuntimeError=CudaError,
            deviceGetAttribute=lambda attribute, device: attribute,
            getDeviceProperties=properties,
            memGetInfo=lambda: (6 * 2**30, 8 * 2**30),
            **CARD,
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
