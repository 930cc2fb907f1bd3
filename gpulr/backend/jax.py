"""JAX: NumPy computes with its arrays on the CPU, CuPy with those on CUDA GPUs, as they are.

On other devices, and without CuPy, JAX multiplies and the host does the rest, as
:mod:`gpulr.backend.device_products` has it: there JAX needs no float64, and of what it compiles,
each function for each shape of arrays, there is little.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend.arrays import is_sparse, library_of, to_host
from gpulr.backend.base import Backend
from gpulr.backend.device_products import DeviceOperand, DeviceProducts
from gpulr.backend.memory import Memory, capped

Array = Any
Floats = npt.NDArray[Any]


class JAXBackend(Backend):
    """JAX on one of its devices."""

    @property
    def _spread(self) -> bool:
        """Whether arrays lie on several devices: they have a sharding instead of a device."""
        return not hasattr(self.device, "platform")

    @property
    def same_memory(self) -> tuple[str, int | None] | None:
        if self._spread:
            return None
        if self.device.platform == "cpu":
            return "numpy", None
        if "cuda" in self.device.client.platform_version:
            return "cupy", self.device.local_hardware_id
        return None

    @property
    def fault(self) -> str:
        return f"the array is spread over devices: {self.device}" if self._spread else ""

    def try_out(self, x: Array) -> None:
        super().try_out(to_host(x) if self.same_memory == ("numpy", None) else x)

    @property
    def trainer(self) -> Backend:
        return JAXProducts(self)

    @contextmanager
    def activate(self) -> Iterator[None]:
        import jax

        # Float32 is multiplied as float32: by default TPUs round to bfloat16, and GPUs to TF32.
        with super().activate(), jax.default_matmul_precision("highest"):
            yield

    def ran_out(self, error: BaseException) -> bool:
        return "RESOURCE_EXHAUSTED" in str(error)

    def memory(self) -> Memory | None:
        known = None if self._spread else self.device.memory_stats()
        if not known or "bytes_limit" not in known:
            return None
        used, total = known["bytes_in_use"], known["bytes_limit"]
        return capped(max(0, total - used), total, used)

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        import jax

        if is_sparse(x):
            return super().asarray(x)  # which refuses it
        x = self.shared(x)
        if library_of(x) == self.name:
            x = x if dtype is None else self.xp.astype(x, dtype)
        else:
            # Converted here, where that warns of nothing, and copied: JAX may share NumPy's memory.
            x = np.array(to_host(x), dtype=dtype)
        return jax.device_put(x, None if self._spread else self.device)

    def extremes(self, X_block: Array) -> tuple[Array, Array]:
        xp, block = self.xp, X_block
        if block.dtype == xp.bool:
            block = xp.astype(block, xp.uint8)
        return xp.min(block, axis=0, keepdims=True), xp.max(block, axis=0, keepdims=True)


class PaddedOperand(DeviceOperand):
    """A block of rows as a factor of products, which are made with few numbers of columns."""

    def __matmul__(self, W: Floats) -> Floats:
        k = W.shape[1]
        found: Floats = super().__matmul__(np.pad(W, ((0, 0), (0, _padded(k) - k))))
        return found[:, :k]

    def __rmatmul__(self, A: Floats) -> Floats:
        k = len(A)
        found: Floats = super().__rmatmul__(np.pad(A, ((0, _padded(k) - k), (0, 0))))
        return found[:k]


class JAXProducts(DeviceProducts):
    """Products of few shapes, for which JAX compiles few functions."""

    operands = PaddedOperand

    def row_blocks(self, n_samples: int, n_features: int, n_models: int) -> list[slice]:
        """Cut the rows into blocks of a power of two, and what is left."""
        blocks = super().row_blocks(n_samples, n_features, n_models)
        if len(blocks) == 1:
            return blocks
        length = 1 << (blocks[0].stop.bit_length() - 1)
        return [slice(a, min(a + length, n_samples)) for a in range(0, n_samples, length)]


def _padded(n: int) -> int:
    """Return n, or the next of 1, 2, 3, 4, 6, 8, 12, 16, 24 and so on."""
    power = 1 << (n - 1).bit_length()
    return power * 3 // 4 if 4 * n <= 3 * power else power
