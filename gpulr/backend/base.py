"""What every backend does, in array-API functions only."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from gpulr.backend.arrays import is_sparse, library_of, to_host
from gpulr.errors import DataError

if TYPE_CHECKING:
    from gpulr.kernels.choice import Choice
    from gpulr.problem import Problem

Array = Any
T = TypeVar("T")

__all__ = ["Backend"]


class Backend:
    """Where arrays live, and how a pass over row blocks runs there.

    Attributes
    ----------
    name : str
        The library: "numpy", "cupy", or another array-API library whose arrays were passed in.
    xp : module
        Its array-API namespace.
    device : object
        The library's own device object (None: its default).
    fallback_reason : str or None
        Why this backend serves instead of the one that was asked for.
    """

    # Converted rows, margins and residuals of one block stay below this many bytes.
    block_bytes: ClassVar[int] = 256 * 2**20
    # Most iterations between two looks at cost and gradient. Each look waits until the device has
    # done all that was asked of it, and leaves it idle until it is asked again.
    check_every: ClassVar[int] = 8

    def __init__(
        self, name: str, xp: Any, device: Any = None, fallback_reason: str | None = None
    ) -> None:
        self.name = name
        self.xp = xp
        self.device = device
        self.fallback_reason = fallback_reason

    def __repr__(self) -> str:
        return f"<Backend {self.name} on {self.device_name}>"

    @property
    def device_name(self) -> str:
        """The device in words."""
        return str(self.device)

    @property
    def version(self) -> str:
        """The array library's version."""
        return str(getattr(sys.modules.get(self.name), "__version__", "unknown"))

    @property
    def versions(self) -> dict[str, str]:
        """What computes here, and its versions."""
        return {self.name: self.version}

    def activate(self) -> AbstractContextManager[Any]:
        """Return a context in which new arrays and kernels go to this backend's device."""
        return nullcontext()

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """Return ``x`` as an array here; copies only if it is elsewhere or of another dtype."""
        if is_sparse(x):
            if self.name != "numpy":
                raise DataError(
                    f'X is sparse, which {self.name} cannot take here. Use backend="numpy", or '
                    "pass X.toarray()."
                )
            return x
        if library_of(x) == self.name:
            return self.xp.asarray(x, dtype=dtype, device=self.device)
        return self.xp.asarray(to_host(x), dtype=dtype, device=self.device)

    def synchronize(self) -> None:
        """Wait until the device has done everything that was asked of it."""

    def surely(self, flags: Array) -> bool:
        """Whether all ``flags`` are True, where that can be known without waiting for a device.

        False leaves it open: what follows has to hold for either answer.
        """
        return False

    def trials(self) -> list[tuple[str, str]]:
        """Try out what passes may use here beyond the array library, and say what came of it."""
        return []

    def fused(self, problem: Problem) -> Choice:
        """Return the kernels that compute a problem's passes here: none, unless there are some."""
        from gpulr.kernels.choice import PORTABLE  # which needs this package

        return PORTABLE

    def row_blocks(self, n_samples: int, n_features: int, n_models: int) -> list[slice]:
        """Cut the rows into blocks of nearly equal length; the same cut for the same sizes."""
        row_bytes = 4 * (n_features + 6 * n_models)
        n_blocks = max(1, math.ceil(n_samples * row_bytes / self.block_bytes))
        if n_blocks > 1:
            n_blocks = 4 * math.ceil(n_blocks / 4)  # shared evenly by two or four threads
        edges = [n_samples * i // n_blocks for i in range(n_blocks + 1)]
        return [slice(a, b) for a, b in pairwise(edges) if b > a]

    def map_blocks(self, function: Callable[[slice], T], blocks: list[slice]) -> Iterator[T]:
        """Yield ``function(block)`` for each block of rows, in their order."""
        return map(function, blocks)

    def collect_blocks(self, function: Callable[[slice], Array], blocks: list[slice]) -> Array:
        """Return what ``function`` makes of each block of rows, one below the other."""
        parts = list(self.map_blocks(function, blocks))
        return parts[0] if len(parts) == 1 else self.xp.concat(parts, axis=0)

    def as_compute(self, X_block: Array, dtype: Any, center: Array | None = None) -> Array:
        """Return a block of rows in the compute dtype, less ``center`` (n_features,) if given.

        Valid until the next call in this thread.
        """
        xp = self.xp
        if center is None:
            return xp.astype(X_block, dtype, copy=False)
        # Subtracted before rounding: float64 and wide integers may not fit into the compute dtype.
        wide = X_block if X_block.dtype == dtype else xp.astype(X_block, xp.float64)
        return xp.astype(wide - xp.astype(center, wide.dtype, copy=False), dtype, copy=False)

    def operand(self, X_block: Array, dtype: Any, center: Array | None = None) -> Array:
        """Return :meth:`as_compute` as what multiplies fastest; only ``@`` is used on it."""
        return self.as_compute(X_block, dtype, center)

    def centers_in_block(self, X: Array) -> bool:
        """Whether rows of X are centred in the block: not bytes and bits, nor a sparse X."""
        return not (self.xp.isdtype(X.dtype, "bool") or X.dtype in (self.xp.int8, self.xp.uint8))

    def row_width(self, X: Array) -> int:
        """Return how many numbers a row of X holds, on average."""
        return int(X.shape[1])

    def operand_width(self, X: Array, dtype: Any, center: Array | None = None) -> int:
        """Return as how many numbers a row counts in :meth:`row_blocks` for :meth:`operand`."""
        return self.row_width(X)

    def take_rows(self, X: Array, index: Array) -> Array:
        """Return a copy of some rows of X."""
        return self.xp.take(X, index, axis=0)
