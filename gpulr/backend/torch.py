"""PyTorch on its devices: GPUs that CuPy has no part in, and tensors that gradients are asked of.

Else NumPy computes with tensors on the CPU, and CuPy with those on CUDA GPUs, over the same memory:
:mod:`gpulr.backend.selection` says when. A device without float64, or that cannot factor matrices,
multiplies, and the host does the rest: :mod:`gpulr.backend.device_products`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import torch_devices
from gpulr.backend.arrays import detached, is_sparse, library_of, to_host
from gpulr.backend.base import Backend
from gpulr.backend.cuda import CuPyBackend
from gpulr.backend.device_products import DeviceProducts
from gpulr.backend.host_rows import Copies, Event
from gpulr.backend.memory import Memory, capped

Array = Any

# As devices say it that do not raise torch.OutOfMemoryError: Apple's, the host, cuBLAS.
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|STATUS_ALLOC_FAILED")
_WANTED = re.compile(r"[Tt]ried to allocate ([\d.]+) ?(\w*)")
_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 2**10, "MB": 2**20, "GB": 2**30}


class TorchBackend(Backend):
    """PyTorch on one of its devices."""

    namespace = "array_api_compat.torch"

    @classmethod
    def default_device(cls) -> Any:
        return torch_devices.best_device()

    @property
    def _module(self) -> Any:
        """PyTorch's functions of this kind of device: torch.cuda (ROCm's as well), torch.mps, …."""
        import torch

        return getattr(torch, self.device.type, None)

    @property
    def device_name(self) -> str:
        import torch

        kind = self.device.type
        if kind in ("cpu", "mps"):
            return {"cpu": "cpu", "mps": "Apple GPU (mps)"}[kind]
        made_for = "ROCm, " if kind == "cuda" and torch.version.hip else ""
        return f"{self._module.get_device_name(self.device)} ({made_for}{self.device})"

    @property
    def same_memory(self) -> tuple[str, int | None] | None:
        import torch

        if self.device.type == "cuda" and torch.version.hip is None:
            return "cupy", self.device.index or 0
        return ("numpy", None) if self.device.type == "cpu" else None

    @property
    def widest(self) -> Any:
        return self.xp.float64 if torch_devices.has_float64(str(self.device)) else self.xp.float32

    @property
    def trial(self) -> torch_devices.Trial:
        """What the device was found to do."""
        with self.activate():
            return torch_devices.try_out(str(self.device))

    @property
    def fault(self) -> str:
        return self.trial.fault

    @property
    def trainer(self) -> Backend:
        return DeviceProducts(self) if self.trial.lack else self

    @contextmanager
    def activate(self) -> Iterator[None]:
        import torch

        kind = self.device.type
        with super().activate(), ExitStack() as stack:
            stack.enter_context(_full_precision)
            # Which would round operands of products.
            if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
            if self.device.index is not None and hasattr(self._module, "device"):
                stack.enter_context(self._module.device(self.device))
            yield

    @property
    def out_of_memory(self) -> tuple[type[BaseException], ...]:  # type: ignore[override]
        import torch

        return (torch.cuda.OutOfMemoryError,)  # of all devices, by whichever name

    def ran_out(self, error: BaseException) -> bool:
        return super().ran_out(error) or bool(_OUT_OF_MEMORY.search(str(error)))

    def bytes_wanted(self, error: BaseException) -> int | None:
        found = _WANTED.search(str(error))
        return int(float(found[1]) * _UNITS.get(found[2], 1)) if found else None

    def lost(self) -> str | None:
        try:
            self.synchronize()
        except Exception as error:  # of many classes
            return None if self.ran_out(error) else str(error)
        return None

    def memory(self) -> Memory | None:
        module = self._module
        if self.device.type == "mps":
            total, used = module.recommended_max_memory(), module.driver_allocated_memory()
            return capped(max(0, total - used), total, used)
        if not hasattr(module, "mem_get_info"):
            return None
        free, total = module.mem_get_info(self.device)
        used = module.memory_allocated(self.device)
        # What is kept for later is as good as free.
        return capped(free + module.memory_reserved(self.device) - used, total, used)

    def free(self) -> None:
        super().free()
        if hasattr(self._module, "empty_cache"):
            self._module.empty_cache()

    def synchronize(self) -> None:
        if hasattr(self._module, "synchronize"):
            self._module.synchronize()  # the current device, which this one is while active

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        x = self.shared(x)
        if is_sparse(x):
            return super().asarray(x)  # which refuses it
        if library_of(x) != self.name:
            x = _tensor(to_host(x))
        if dtype is None and x.dtype == self.xp.float64:
            dtype = self.widest
        x = detached(x).to(device=self.device, dtype=dtype)
        # Of weights that were trained in inference mode no gradient may be made outside of it.
        return x.clone() if x.is_inference() and self.xp.is_grad_enabled() else x

    def copies(self) -> Copies:
        return TorchCopies(self.xp, self.device)

    collect_blocks = CuPyBackend.collect_blocks


class TorchCopies(Copies):
    """Copies to a device, each done before the next line runs."""

    def upload(self, source: npt.NDArray[Any], target: Array, after: Event) -> Event:
        target.copy_(_tensor(source))


def _tensor(host: npt.NDArray[Any]) -> Array:
    """Return an array of NumPy's as a tensor over the same memory, copied only where it must be."""
    import torch

    plain = host.flags.writeable and host.dtype.isnative and all(s >= 0 for s in host.strides)
    if not plain:
        host = host.astype(host.dtype.newbyteorder("="), order="C")
    if host.dtype.name == "bfloat16":
        return torch.from_numpy(host.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(host)


class _FullPrecision:
    """A context in which float32 is multiplied as float32, whatever networks are trained with.

    PyTorch's settings are the process's: the last thread to leave brings back what there was.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._restore: Callable[[], None] = _nothing

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._restore = _raise_precision()
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._restore()


def _raise_precision() -> Callable[[], None]:
    """Let float32 be multiplied as float32; returns what brings back the setting before."""
    import torch

    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # it was set in the way of PyTorch 2.9, which must not be mixed with this
        places = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
        values = [place.fp32_precision for place in places]

        def restore() -> None:
            for place, value in zip(places, values, strict=True):
                place.fp32_precision = value

        for place in places:
            place.fp32_precision = "ieee"
        return restore
    if before == "highest":
        return _nothing
    torch.set_float32_matmul_precision("highest")
    return lambda: torch.set_float32_matmul_precision(before)


def _nothing() -> None:
    """Bring back nothing."""


_full_precision = _FullPrecision()
