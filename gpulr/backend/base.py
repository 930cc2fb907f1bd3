"""What every backend does, in array-API functions only."""

from __future__ import annotations

import gc
import math
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from gpulr import logistic
from gpulr.backend.arrays import (
    check_computes,
    is_sparse,
    library_of,
    offers_float64,
    storage_type,
    to_host,
)
from gpulr.backend.cuda_kernels import Kernels
from gpulr.backend.host_rows import Copies, HostRows, Uploader
from gpulr.backend.memory import Memory
from gpulr.errors import DataError, DeviceLostError, DeviceMemoryError, GpulrError
from gpulr.sources import Source

Array = Any
T = TypeVar("T")


@dataclass(eq=False, repr=False)
class Backend:
    """Where arrays live, and how a pass over row blocks runs there."""

    name: str  # "numpy", "cupy", "torch", or another library whose arrays were passed in
    xp: Any  # its array-API namespace
    device: Any = None  # the library's own object; None: its default device
    fallback_reason: str | None = None  # why this one serves instead of what was asked for

    # Converted rows, margins and residuals of one block stay below this many bytes.
    block_bytes = 256 * 2**20
    # The most rows of a block: fewer once a longer one has not fitted into memory.
    block_rows = math.inf
    # Most iterations between two looks at cost and gradient. Each look waits for the device to
    # finish, and leaves it idle until it is given more to do.
    check_every: ClassVar[int] = 8
    # What the library raises when memory runs out.
    out_of_memory: ClassVar[tuple[type[BaseException], ...]] = ()
    # The module of its array-API functions, where it can be asked for by name.
    namespace: ClassVar[str] = ""

    @classmethod
    def default_device(cls) -> Any:
        """Return the device that serves arrays which are on none of its own; None: its default."""
        return None

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

    @cached_property
    def widest(self) -> Any:
        """The widest floating dtype that the library has on this device."""
        return self.xp.float64 if offers_float64(self.xp, self.device) else self.xp.float32

    @property
    def kernels(self) -> Kernels | None:
        """What compiles and launches kernels on this device; None: nothing does."""
        return None

    @property
    def same_memory(self) -> tuple[str, int | None] | None:
        """Which of "numpy" and "cupy" can compute with this device's arrays as they are, if any.

        And as which of CUDA's devices.
        """
        return None

    @property
    def fault(self) -> str:
        """Why nothing is to be computed on this device; empty where it is right."""
        return ""

    def try_out(self, x: Array) -> None:
        """Compute with the first row of an array what is computed with rows; may raise anything."""
        check_computes(x)

    @property
    def trainer(self) -> Backend:
        """What trains on this device: this, or another backend for what it lacks."""
        return self

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Return a context in which new arrays and kernels go to this backend's device.

        Where the device runs out of memory, it raises :class:`DeviceMemoryError`; where it can no
        longer be used, :class:`DeviceLostError`.
        """
        failure = None
        try:
            yield
        except GpulrError:
            raise
        except Exception as error:  # libraries' have no common base
            if not self.ran_out(error):
                if (words := self.lost()) is None:
                    raise
                raise DeviceLostError(
                    f"The device of {self.name} has failed, and no longer serves this process "
                    f"({words}). Start a new one (in a notebook: restart the kernel). Should it "
                    "happen again: GPULR_FUSED=never does without gpulr's own kernels, "
                    'backend="numpy" without the device, and nvidia-smi -q tells of its memory '
                    "errors."
                ) from error
            failure = self._failure(error)
        if failure is not None:
            self.free()
            raise self._does_not_suffice(*failure)

    def memory(self) -> Memory | None:
        """Return the device's memory, or None where it is the host's or not known."""
        return None

    def free(self) -> None:
        """Give back memory that is kept for later and not in use."""
        gc.collect()  # what failed may be part of a cycle

    def ran_out(self, error: BaseException) -> bool:
        """Whether an exception means that memory has run out."""
        return isinstance(error, self.out_of_memory)

    def lost(self) -> str | None:
        """Say why this process can no longer use the device, or None where it can."""
        return None

    def bytes_wanted(self, error: BaseException) -> int | None:
        """Return how many bytes an exception of ``out_of_memory`` asked for; None: not known."""
        return None

    def available_bytes(self, at_most: int) -> int:
        """Return what models may take beside the blocks of a pass: up to ``at_most``."""
        memory = self.memory()
        if memory is None:
            return at_most
        # A block, what is computed from it, and two to stream through: what standardising float64
        # takes; passes over bytes take half.
        return max(0, min(at_most, memory.free - 4 * self.block_bytes))

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """Return ``x`` as an array here, copied only if it is elsewhere or of another dtype."""
        if is_sparse(x):
            raise DataError(
                f'X is sparse, which {self.name} cannot take here. Use backend="numpy", or pass '
                "X.toarray()."
            )
        x = self.shared(x)
        if library_of(x) == self.name:
            return self.xp.asarray(x, dtype=dtype, device=self.device)
        host = to_host(x)
        if not host.flags.writeable:
            host = host.copy()  # libraries that may share its memory ask for that
        return self.xp.asarray(host, dtype=dtype, device=self.device)

    def shared(self, x: Any) -> Any:
        """Return another library's array as one of this one's over the same memory, or else x."""
        on_card = library_of(x) == "cupy" and not is_sparse(x)
        if on_card and self.same_memory == ("cupy", x.__dlpack_device__()[1]):
            return self.xp.from_dlpack(x)  # which waits for CuPy's stream
        return x

    def copies(self) -> Copies:
        """Return how arrays are copied from the host to this device."""
        return Copies(self.xp, self.device)

    def place(
        self, X: Any, *, rounds_to: Any = None, column_bytes: int = 0, n_columns: int = 1
    ) -> Array:
        """Return X as rows that passes map over: here, or on the host where they do not fit.

        Rows of the host are uploaded once, in the smallest type that holds them exactly (or that
        blocks are rounded to first: see :func:`storage_type`); where not all fit, the first ones.
        So that ``n_columns`` models of ``column_bytes`` fit beside X, or as many as take a quarter
        of what is free.
        """
        if isinstance(X, Source) and X.sparse:
            raise DataError(
                f"X is sparse and in a file, which {self.name} cannot take. Use "
                'backend="numpy", or read X into memory.'
            )
        X = self.shared(X)
        if is_sparse(X) or library_of(X) == self.name:
            return self.asarray(X)
        X = X if isinstance(X, Source) else to_host(X)
        if rounds_to is not None:
            rounds_to = np.dtype(f"float{self.xp.finfo(rounds_to).bits}")
        memory = self.memory()
        columns = 0
        if memory is not None:
            self.block_bytes = min(self.block_bytes, max(1, memory.free // 8))
            columns = min(n_columns * column_bytes, max(column_bytes, memory.free // 4))
        rows = self._fitted(self.host_rows(X, storage_type(X, rounds_to, self.xp)), columns)
        if isinstance(rows, HostRows):
            # Not all: what models take is an estimate, and pools leave gaps.
            rows.keep((self.available_bytes(rows.nbytes + columns) - columns) * 9 // 10)
        return rows

    def host_rows(self, X: npt.NDArray[Any] | Source, dtype: np.dtype[Any]) -> HostRows:
        """Return rows that stay on the host, of which blocks come here as ``dtype``."""
        return HostRows(X, dtype, Uploader(self.copies()), self.out_of_memory)

    def _fitted(self, rows: HostRows, beside: int = 0) -> Array:
        """Return rows of the host, uploaded if the device has memory for them and ``beside``."""
        if self.available_bytes(rows.nbytes + beside) == rows.nbytes + beside:
            try:
                return rows.uploaded()
            except self.out_of_memory:  # of the pool, as nothing is computed
                pass
            self.free()
        return rows

    def synchronize(self) -> None:
        """Wait until the device has done all its work."""

    def turn(
        self, n_samples: int, n_features: int, n_models: int
    ) -> AbstractContextManager[object]:
        """Return a context for iterations on a problem; threads take turns where that is faster."""
        return nullcontext()

    def known_true(self, flags: Array) -> bool:
        """Whether all ``flags`` are known to be True without waiting for a device.

        False leaves it open.
        """
        return False

    def row_blocks(self, n_samples: int, n_features: int, n_models: int) -> list[slice]:
        """Cut the rows into blocks of nearly equal length; the same cut for the same sizes."""
        row_bytes = 4 * (n_features + 6 * n_models)
        n_blocks = math.ceil(n_samples * row_bytes / self.block_bytes)
        n_blocks = max(1, n_blocks, math.ceil(n_samples / self.block_rows))
        if n_blocks == 1:
            return [slice(0, n_samples)]
        n_blocks = 4 * math.ceil(n_blocks / 4)  # shared evenly by two or four threads
        edges = [n_samples * i // n_blocks for i in range(n_blocks + 1)]
        return [slice(a, b) for a, b in pairwise(edges) if b > a]

    def map_blocks(
        self,
        function: Callable[[slice], T],
        blocks: list[slice],
        X: Array | None = None,
        *,
        of_rows: bool = True,
    ) -> Iterator[T]:
        """Yield ``function(block)`` for each block of rows, or of models, in their order.

        What it returns must not share memory with X, the rows that it takes blocks of, if any. If
        these are streamed, one block is copied while another is computed.

        A block that does not fit in memory is cut in two, as are those after it, in this pass and,
        if they are of rows, in later ones: there may be more results than blocks. Where not even
        one row fits, this raises :class:`DeviceMemoryError`.
        """
        stream = X if isinstance(X, HostRows) else None
        left = deque(blocks)
        if stream is not None:
            stream.begin(blocks)
        try:
            while left:
                rows, failure = left.popleft(), None
                try:
                    part = function(rows)
                except Exception as error:
                    if not self.ran_out(error):
                        raise
                    failure = self._failure(error)
                if failure is not None:
                    if stream is not None:
                        stream.drop()
                    self.free()
                    if rows.stop - rows.start < 2:
                        raise self._does_not_suffice(*failure)
                    if of_rows:
                        self.block_rows = (rows.stop - rows.start + 1) // 2
                    left = deque(half for block in (rows, *left) for half in _halves(block))
                    continue
                if stream is not None:
                    stream.ahead(left[0] if left else None)
                yield part
                del part  # not beside the next one
        finally:
            if stream is not None:
                stream.settle()

    def _failure(self, error: BaseException) -> tuple[str, int | None]:
        """Return the library's words, and how many bytes it could not get.

        What the failed call had made is dropped: the traceback would keep it as long as the
        exception lives, or one that came of it.
        """
        traceback.clear_frames(error.__traceback__)
        return str(error), self.bytes_wanted(error)

    def _does_not_suffice(self, words: str, needed: int | None) -> DeviceMemoryError:
        memory = self.memory()
        missing = "more is needed" if needed is None else f"{needed:,} bytes more are needed"
        if memory is not None:
            missing += f", {memory.free:,} of {memory.total:,} are free"
        return DeviceMemoryError(
            f"The memory of {self.device_name} does not suffice: {missing} ({words.rstrip('.')}). "
            'Train fewer models at once (batched=False; memory= of a search), use dtype="float32", '
            "end what else uses the device, set GPULR_DEVICE_MEMORY to what may be used, so that X "
            'is streamed from the host, or use backend="numpy".',
            needed,
            *(memory or ()),
        )

    def collect_blocks(
        self,
        function: Callable[..., Array],
        blocks: list[slice],
        n_columns: int,
        dtype: Any,
        X: Array | None = None,
        whole: Array | None = None,
    ) -> Array:
        """Return what ``function`` returns for each block, (n_rows, n_columns), below each other.

        Where blocks of the whole can be written to, it is called with that as ``out``, and may put
        there what it returns. ``whole`` is an array of that shape and dtype that may be used up.
        """
        parts = list(self.map_blocks(function, blocks, X))
        return parts[0] if len(parts) == 1 else self.xp.concat(parts, axis=0)

    def margins_array(self, n_rows: int, n_columns: int, dtype: Any) -> Array | None:
        """Return an array that margins of all rows can be written to, a block at a time.

        None leaves it to :meth:`collect_blocks`.
        """
        return None

    def where_columns(self, flags: Array, Z: Array, other: Array) -> Array:
        """Return the columns of Z that are flagged, and the other's elsewhere; Z may be written."""
        return self.xp.where(flags, Z, other)

    def take_columns(self, Z: Array, index: Array, blocks: list[slice]) -> Array:
        """Return some columns of Z, of which these are blocks of rows."""
        return self.xp.take(Z, index, axis=1)

    def affine(self, X: Any, W: Array, b: Array, out: Array | None = None) -> Array:
        """Return X W + b of an :meth:`operand` X; it may be written to ``out``."""
        Z = X @ W
        Z += b  # in place: fresh memory takes as long as the sum
        return Z

    def along(self, Z: Array, D: Array, t: Array, out: Array | None = None) -> Array:
        """Return Z + t D of a block; it may be written to ``out``."""
        return Z + t * D

    def activate_margins(
        self, Z: Array, Y: Array, s: Array | None = None, signed: bool = False
    ) -> tuple[Array, Array, Array]:
        """Return s ∘ R, Σ s ℓ and Σ s r of a block; see :func:`gpulr.logistic.activate`.

        Where Y is ``signed`` it is in weights, too: see :func:`gpulr.logistic.unsigned`. The
        residuals are valid until the next call in this thread.
        """
        Y, s = logistic.unsigned(Y, s) if signed else (Y, s)
        R, loss = logistic.activate(Z, Y, s)
        R = R if s is None else s * R
        return R, loss, *logistic.row_sums(R)

    def derivatives_along(
        self,
        Z: Array,
        D: Array,
        t: float,
        Y: Array,
        s: Array | None = None,
        signed: bool = False,
    ) -> tuple[Array, Array, Array]:
        """Return what :func:`gpulr.logistic.derivatives_along` does at Z + t D, of a block."""
        Y, s = logistic.unsigned(Y, s) if signed else (Y, s)
        return logistic.derivatives_along(Z + t * D if t else Z, D, Y, s)

    def propagate(
        self,
        X: Any,
        W: Array,
        b: Array,
        Y: Array,
        s: Array | None = None,
        signed: bool = False,
    ) -> tuple[Array, Array, Array]:
        """Return the summed log-losses of an operand X, Xᵀ (s ∘ R) and the sums of s ∘ R."""
        R, loss, db = self.activate_margins(self.affine(X, W, b), Y, s, signed)
        return loss, (R.T @ X).T, db

    def sweep(
        self, function: Callable[[slice], tuple[list[Array], list[Array]]], n: int, k: int
    ) -> tuple[list[Array], list[Array]]:
        """Go once through arrays (n, k) like the parameters, and do all that some rows allow.

        ``function`` returns of some of the rows arrays, which are put together, and sums as
        :meth:`dots_of_rows` gives, which are added up. Here it gets all rows at once.
        """
        arrays, sums = function(slice(0, n))
        return arrays, [self.xp.sum(each, axis=0) for each in sums]

    def dots_of_rows(self, vectors: Sequence[Array], x: Array) -> Array:
        """Return sums (n_sums, n_vectors, k) that add up to :meth:`dots`, of some rows."""
        return self.xp.stack([self.xp.sum(v * x, axis=0) for v in vectors])[None, :, :]

    def dots(self, vectors: Sequence[Array], x: Array) -> Array:
        """Return the scalar products of each of some arrays with x, column by column.

        All are (n, k), x is float64. Returns (n_vectors, k) float64.
        """
        return self.dots_of_rows(vectors, x)[0, :, :]

    def combine(
        self,
        x: Array,
        coefficients: Array,
        vectors: Sequence[Array],
        factor: float | Array = 1.0,
    ) -> Array:
        """Return factor x + Σ c_i v_i for arrays as in :meth:`dots`.

        Coefficients are (n_vectors, k), the factor is a number or (k,), all float64.
        """
        total = factor * x
        for i, v in enumerate(vectors):
            total = total + coefficients[i, :] * v
        return total

    def as_compute(self, X_block: Array, dtype: Any, center: Array | None = None) -> Array:
        """Return a block of rows in the compute dtype, less ``center`` (n_features,) if given.

        Valid until the next call in this thread.
        """
        xp = self.xp
        if is_sparse(X_block):
            return X_block.astype(dtype, copy=False)
        if center is None:
            return xp.astype(X_block, dtype, copy=False)
        # Subtracted before rounding: float64 and wide integers may not fit into the compute dtype.
        wide = X_block if X_block.dtype == dtype else xp.astype(X_block, self.widest)
        return xp.astype(wide - xp.astype(center, wide.dtype, copy=False), dtype, copy=False)

    def operand(self, X_block: Array, dtype: Any, center: Array | None = None) -> Array:
        """Return :meth:`as_compute` as what multiplies fastest; only ``@`` is used on it."""
        return self.as_compute(X_block, dtype, center)

    def gram(self, X_block: Array, dtype: Any) -> tuple[Array, Array]:
        """Return XᵀX (n_features, n_features) and the sums of the features of a block of rows.

        Both in the compute dtype, or a wider one.
        """
        xp, X = self.xp, self.as_compute(X_block, dtype)
        return X.T @ X, xp.ones(X.shape[0], dtype=X.dtype, device=self.device) @ X

    def extremes(self, X_block: Array) -> tuple[Array, Array]:
        """Return the least and the largest number of each feature, (1, n_features); NaN counts."""
        xp, block = self.xp, X_block
        if str(block.dtype).endswith("bool"):  # of which the array API standard has no minimum
            block = xp.astype(block, xp.uint8)

        def halved(function: Callable[[Array, Array], Array], part: Array) -> Array:
            while part.shape[0] > 1:  # reducing a thin array along its rows is ten times slower
                half = (part.shape[0] + 1) // 2
                part = function(part[:half, :], part[-half:, :])
            return xp.asarray(part, copy=True)

        return halved(xp.minimum, block), halved(xp.maximum, block)

    def moments(
        self, X_block: Array, weight: npt.NDArray[np.float64] | None
    ) -> tuple[Array, Array, Array]:
        """Return a place near each feature's numbers, and sums of distances from it and of squares.

        Each (n_features,) float64, or the widest that there is. Rows count by their ``weight``
        (n_rows,), NumPy's, or once. Of a CSR array the place is 0.
        """
        xp, wide = self.xp, self.widest
        s = xp.ones(X_block.shape[0], dtype=wide, device=self.device)
        s = s if weight is None else self.asarray(weight, wide)
        if is_sparse(X_block):
            X = X_block.astype(wide)
            return xp.zeros(X.shape[1], dtype=wide, device=self.device), s @ X, s @ X.multiply(X)
        X = xp.astype(X_block, wide)
        near = X[0, :]
        D = X - near
        return near, s @ D, s @ (D * D)

    def sparse_extremes(self, X: Array) -> tuple[Array, Array]:
        """Return what :meth:`extremes` does of a CSR array, zeros included, both (n_features,)."""
        raise NotImplementedError  # asarray refuses these arrays

    def sparse_operand(self, X: Array, rows: slice, dtype: Any) -> Array:
        """Return some rows of a CSR array as what multiplies fastest; only ``@`` is used."""
        return self.as_compute(X[rows, :], dtype)

    def sparse_sums(self, X: Array, rows: slice, W: Array, out: Array | None = None) -> Array:
        """Return some rows of a CSR array times W, summed in float64."""
        return self.as_compute(X[rows, :], self.xp.float64) @ W

    def centers_in_block(self, X: Array) -> bool:
        """Whether rows of X are centred in the block: all but bytes, bits and sparse rows."""
        narrow = is_sparse(X) or self.xp.isdtype(X.dtype, "bool")
        return not (narrow or X.dtype in (self.xp.int8, self.xp.uint8))

    def row_width(self, X: Array) -> int:
        """Return how many numbers a row of X holds, on average."""
        if is_sparse(X):  # an index and a value for each stored entry
            return 1 + 2 * int(X.nnz) // int(X.shape[0])
        return int(X.shape[1])

    def operand_width(self, X: Array, dtype: Any, center: Array | None = None) -> int:
        """Return how many numbers a row counts for in :meth:`row_blocks` as an operand."""
        return self.row_width(X)

    def take_rows(self, X: Array, index: Array) -> Array:
        """Return some rows of X, copied."""
        if isinstance(X, HostRows):
            return self._fitted(X.take(to_host(index)))
        whole = is_sparse(X) or isinstance(X, Source)
        return X[index] if whole else self.xp.take(X, index, axis=0)

    def sample_rows(self, X: Array, index: Array) -> Array:
        """Return some rows of X to compute with: copied where there is room for that."""
        return self.take_rows(X, index)


def _halves(rows: slice) -> list[slice]:
    middle = (rows.start + rows.stop + 1) // 2
    halves = slice(rows.start, middle), slice(middle, rows.stop)
    return [half for half in halves if half.start < half.stop]
