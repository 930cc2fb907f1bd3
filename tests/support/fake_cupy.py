"""A stand-in for CuPy on a GPU that is none, which works or breaks as told."""

from __future__ import annotations

import types
import weakref
from functools import partial

import numpy as np

from fake_gpu import CudaError, FakeArray, Machine, OutOfMemoryError, apply

CARD = {
    "cudaDevAttrMultiProcessorCount": 132,
    "cudaDevAttrMaxSharedMemoryPerBlockOptin": 232_448,
    "cudaDevAttrMaxSharedMemoryPerMultiprocessor": 233_472,
}


def _owner(array):
    """Return the NumPy array that holds the memory of a NumPy array."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class Event:
    clock = 0.0

    def __init__(self, block=False, disable_timing=False):
        self.timed = not disable_timing

    def record(self):
        Event.clock += 1.0
        self.time, self.stream = Event.clock, None

    def synchronize(self):
        FakeArray.machine.wait()
        self.arrive()

    def arrive(self):
        """Make the copies that this waits for."""
        if self.stream is not None:
            self.stream.arrive(self.copies)


def fake_cupy(broken=None, compiler=None, *, says=None, capability="90"):
    """A module that looks like CuPy; ``broken`` names the step of the probe that fails.

    It ``says`` so in these words. ``capability`` is the card's.

    ``compiler`` (code, macros) returns what launches kernels. Their names are in ``launched``, in
    order, and the macros of each module in ``modules``. ``machine`` is what it runs on.
    """
    machine = FakeArray.machine = Machine()
    FakeArray.broken = broken

    def fail_at(step):
        machine.call()
        if broken == step:
            raise CudaError(says or f"cudaErrorFake: {step}")

    def zeros(shape, dtype):
        fail_at("allocation")
        return FakeArray(np.zeros(shape, dtype))

    def exp(array):
        fail_at("elementwise kernel")
        return apply("exp", np.exp, array)

    def scatter(ufunc, array, index, values):
        # By atomic functions, which pass NaN over.
        assert values.dtype in (np.float32, np.float64)
        machine.launch("scatter", array, index, values)
        known = ~np.isnan(values.a)
        ufunc.at(array.a, index.a[known], values.a[known])

    def properties(index):
        fail_at("device")
        return {"name": b"Fake GPU"}

    def eigh(array):
        fail_at("eigenvectors")
        return apply("eigh", np.linalg.eigh, array)

    def raw_kernel(code, name, options):
        assert f"void {name}(const float *x, float *y, int n)" in code
        cupy.modules.append({"name": name})

        def launch(grid, block, arguments):
            fail_at("compiled kernel")
            x, y, n = arguments
            assert type(n) is np.int32
            assert grid[0] * block[0] >= n == x.size
            machine.launch(name, x, y)
            y.a[...] = (3 if broken == "wrong kernel" else 2) * x.a

        return launch

    def device_count():
        if broken == "no device":
            raise CudaError("cudaErrorNoDevice: no CUDA-capable device is detected")
        fail_at("driver")
        return 2

    class Device:
        compute_capability = capability

        def __init__(self, index=None):
            index = getattr(index, "id", index)
            self.id = machine.current if index is None else index

        def __eq__(self, other):
            return isinstance(other, Device) and self.id == other.id

        def __hash__(self):
            return self.id

        def __enter__(self):
            machine.call()
            self.before, machine.current = [*getattr(self, "before", ()), machine.current], self.id
            return self

        def __exit__(self, *exception):
            machine.call()  # which a failed device refuses, whatever has been raised
            machine.current = self.before.pop()

    class Stream:
        captured = None

        def __init__(self, non_blocking=False):
            self.non_blocking, self.pending, self.made = non_blocking, [], 0

        def __enter__(self):
            self.before, cupy.current = cupy.current, self

        def __exit__(self, *exception):
            cupy.current = self.before

        def synchronize(self):
            fail_at("synchronise")
            machine.wait()
            self.arrive(self.made + len(self.pending))

        def record(self, event):
            assert not event.timed
            event.stream, event.copies = self, self.made + len(self.pending)
            return event

        def wait_event(self, event):
            assert isinstance(event, Event)
            event.arrive()

        def copy_later(self, source, target):
            """Copy from the host's memory, once somebody waits for it."""
            target.a.view(np.uint8).fill(0xFF)
            self.pending.append((weakref.ref(_owner(source)), source.tobytes(), target))

        def arrive(self, copies):
            while self.made < copies:
                source, held, target = self.pending.pop(0)
                assert source() is not None, "memory was given back while it was copied from"
                made = np.frombuffer(held, target.dtype).reshape(target.shape)
                target.a[...] = made
                self.made += 1

        def begin_capture(self):
            assert self.non_blocking, "the default stream cannot be captured"
            if broken == "capture":
                raise CudaError("cudaErrorStreamCaptureUnsupported: not permitted")
            self.captured = machine.capturing = []

        def end_capture(self):
            if self.captured is None:
                raise CudaError("cudaErrorIllegalState: the stream is not captured")
            launches, self.captured, machine.capturing = self.captured, None, None
            if broken == "end of capture":
                raise CudaError("cudaErrorStreamCaptureInvalidated: the capture was invalidated")

            def launch():
                machine.call()
                cupy.replayed += 1
                for run in launches:
                    run()

            return types.SimpleNamespace(launch=launch)

    class Kernel:
        """One kernel of a module, as CuPy's RawKernel takes its arguments."""

        max_dynamic_shared_size_bytes = 48 * 1024

        def __init__(self, compiled, name):
            self.compiled, self.name = compiled, name

        def __call__(self, grid, block, args, *, shared_mem=0):
            assert type(grid) is type(block) is tuple
            assert shared_mem <= self.max_dynamic_shared_size_bytes
            machine.call()
            # None would be an argument that is not there; a Python int would be eight bytes.
            assert {type(a) for a in args} <= {FakeArray, np.uintp, np.int32, np.float64}
            assert not any(a for a in args if isinstance(a, np.uintp))
            for a in args:
                assert not isinstance(a, FakeArray) or a.on == machine.current
            plain = [
                a.a if isinstance(a, FakeArray) else None if isinstance(a, np.uintp) else a.item()
                for a in args
            ]

            def run():
                self.compiled.launch(self.name, grid, block, plain, shared_mem)
                cupy.launched.append(self.name)
                machine.launched.append(self.name)
                if machine.crashes == self.name:  # found out at a later call
                    machine.failed = "cudaErrorIllegalAddress: an illegal memory access"

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
    cupy.zeros, cupy.exp, cupy.RawKernel = zeros, exp, raw_kernel
    for name in ("minimum", "maximum"):
        setattr(cupy, name, types.SimpleNamespace(at=partial(scatter, getattr(np, name))))
    cupy.linalg = types.SimpleNamespace(eigh=eigh)
    cupy.launched, cupy.modules, cupy.current, cupy.replayed = [], [], Stream(), 0
    cupy.machine, machine.device = machine, Device
    if compiler is not None:
        cupy.RawModule = raw_module
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        Event=Event,
        Stream=Stream,
        get_current_stream=lambda: cupy.current,
        get_elapsed_time=lambda start, end: 1e3 * (end.time - start.time),
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        nvrtc=types.SimpleNamespace(getVersion=lambda: (12, 4)),
        runtime=types.SimpleNamespace(
            getDeviceCount=device_count,
            CUDARuntimeError=CudaError,
            deviceGetAttribute=lambda attribute, device: attribute,
            deviceSynchronize=lambda: machine.wait(),
            getDeviceProperties=properties,
            memGetInfo=lambda: machine.call() or (6 * 2**30, 8 * 2**30),
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
