"""CUDA kernels, compiled from source and launched by CuPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gpulr.backend.cuda_signatures import check, signature
from gpulr.backend.cuda_sources import text_of

Array = Any
Launch = Callable[[tuple[int, int], int, Sequence[Any]], None]  # grid, block, arguments

NULL = np.uintp(0)  # CuPy takes None for an argument that is not there at all
ROUNDS = 3  # of a measurement, the shortest of which counts


@dataclass(frozen=True, slots=True)
class Card:
    """What the layout of a kernel asks of a CUDA device."""

    name: str
    capability: int  # compute capability: 90 for 9.0
    processors: int  # SMs
    shared_block: int  # bytes of shared memory that a block may use (opted in to),
    shared_processor: int  # and that an SM has


@cache
def kernels_of(device: int) -> Kernels:
    """Return the kernels of a device, by its number; the same ones every time."""
    return Kernels(device)


class Kernels:
    """Compiles and launches CUDA kernels; the device has to be the current one when used.

    CuPy keeps what is compiled in a folder of the user's, for later processes.
    """

    def __init__(self, device: int) -> None:
        self.device = device
        # For the record: what passes go through, and what turned out not to be possible.
        self.notes: dict[str, str] = {}
        self._modules: dict[Any, Any] = {}

    @cached_property
    def card(self) -> Card:
        """What plans ask of the device."""
        import cupy

        runtime = cupy.cuda.runtime

        def attribute(name: str) -> int:
            return int(runtime.deviceGetAttribute(getattr(runtime, name), self.device))

        return Card(
            name=runtime.getDeviceProperties(self.device)["name"].decode(),
            capability=int(cupy.cuda.Device(self.device).compute_capability),
            processors=attribute("cudaDevAttrMultiProcessorCount"),
            shared_block=attribute("cudaDevAttrMaxSharedMemoryPerBlockOptin"),
            shared_processor=attribute("cudaDevAttrMaxSharedMemoryPerMultiprocessor"),
        )

    def kernel(self, source: Path, macros: Mapping[str, int], name: str, shared: int) -> Launch:
        """Compile ``source``, once, and return what puts one of its kernels into the queue.

        ``shared`` is its dynamic shared memory, in bytes. Arguments are arrays on the device (None:
        a null pointer), and Python numbers: int for C's int, float for double. Others than the
        source declares are a TypeError.
        """
        import cupy

        key = source, tuple(sorted(macros.items()))
        if key not in self._modules:
            options = ("--std=c++17", *(f"-D{macro}={value}" for macro, value in key[1]))
            self._modules[key] = cupy.RawModule(code=text_of(source), options=options)
        function = self._modules[key].get_function(name)
        parameters = signature(source, name)
        if shared > 48 * 1024:  # more has to be asked for
            function.max_dynamic_shared_size_bytes = shared

        def launch(grid: tuple[int, int], block: int, arguments: Sequence[Any]) -> None:
            check(name, parameters, arguments)
            function(grid, (block,), tuple(map(_argument, arguments)), shared_mem=shared)

        return launch

    def contiguous(self, x: Array, alignment: int = 1) -> Array:
        """Return ``x`` itself if it is C-contiguous from a multiple of ``alignment``, or a copy."""
        if x.flags.c_contiguous and (alignment == 1 or x.data.ptr % alignment == 0):
            return x
        return x.copy(order="C")

    def capture(self, function: Callable[[], None]) -> Callable[[], None]:
        """Record what ``function`` launches, without running it, and return what runs it.

        Where the device or its driver does not record, that is ``function`` itself, from then on.
        """
        import cupy

        if "CUDA graph" in self.notes:
            return function
        stream = cupy.cuda.Stream(non_blocking=True)
        try:
            with stream:
                stream.begin_capture()
                try:
                    function()
                finally:
                    graph = stream.end_capture()
        except Exception as error:  # drivers fail in many ways; function, if it does, fails again
            self.notes["CUDA graph"] = f"not recorded: {type(error).__name__}: {error}"
            return function
        return graph.launch  # type: ignore[no-any-return]

    def seconds(self, function: Callable[[], object]) -> float:
        """Return how long the device takes for what ``function`` asks of it, warmed up."""
        import cupy

        function()
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        times = []
        for _ in range(ROUNDS):
            start.record()
            function()
            end.record()
            end.synchronize()
            times.append(cupy.cuda.get_elapsed_time(start, end) / 1e3)
        return float(min(times))


def _argument(value: Any) -> Any:
    if value is None:
        return NULL
    if isinstance(value, int):
        return np.int32(value)
    if isinstance(value, float):
        return np.float64(value)
    return value
