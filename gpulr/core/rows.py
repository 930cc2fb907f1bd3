"""The rows as the models see them: scaled, centred, converted, a block at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr import logistic
from gpulr.backend import Backend, HostRows, host_array, is_sparse, to_host
from gpulr.backend.arrays import floating_dtype
from gpulr.core.moments import Moments
from gpulr.sources import Source
from gpulr.sources.elsewhere import Elsewhere

Array = Any

# Features within 2^±EXTREME differ in variance by up to 2^40, which a factorisation in float64
# resolves. Tiny ones grow by up to 2^TINIEST: beyond that, float64 cannot balance their penalty
# with others' gradients. Huge ones shrink by up to 2^HUGEST: weights in float32 reach 2^±126.
EXTREME, TINIEST, HUGEST = 10, 24, 100
# Data curve the cost along a feature by at most size² / 4, the penalty by 1 / (C m). Up to this
# C m size² data are a sixteenth of it at most, and a tiny feature stays as it is: digits whose
# features are of 10^-6 to 10 take 12 iterations at C = 1; with a factor they took over 2,000.
PENALIZED = 0.25
# Of a feature, at most, where a copy of X by features is kept: 8 bytes for each in float32.
ENTRIES = 64
SAMPLED = 24_000  # of rows that are elsewhere, the most that are brought here
MARGIN_BYTES = 64 * 2**20  # what margins of several parameters may take that rows are read once for


@dataclass(frozen=True, eq=False)
class Rows:
    """(X − center) ∘ scale ∘ factor, of which only blocks are ever made.

    Weights refer to these rows. They absorb the scale, ``(X ∘ s) W = X (s ∘ W)``, so uint8 pixels
    stay uint8, and the centre of bytes and sparse rows, ``(X − c) W = X W − cᵀW``. For wider
    numbers that would cancel (at a mean of 10⁴ standard deviations float32 margins lose 3e-3), so
    they are centred inside the block.

    X is what :meth:`Backend.place` makes of what was passed in: (n_samples, n_features) of any real
    dtype, a CSR array (SciPy's, or CuPy's), a source or HostRows. Center, and scale and factor
    where they are no numbers, are (n_features, 1) float64.
    """

    X: Array
    scale: float | Array
    center: Array | None
    backend: Backend
    dtype: Any  # what blocks are converted to, and products computed in; sums of blocks are float64
    # What equilibrated() multiplies features by beyond the caller's scale, to which the penalty
    # refers: a weight w of these rows is one of factor · w there.
    factor: float | Array = 1.0
    known: tuple[Array, Array] | None = None  # extremes, where they are known
    moments: Moments | None = None  # of all rows, where they were measured

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Number of features, without the intercept."""
        return int(self.X.shape[1])

    @property
    def here(self) -> Rows:
        """As many of them as have margins in this process: all, or of rows elsewhere a sample."""
        return replace(self, X=self.X.some(SAMPLED)) if isinstance(self.X, Elsewhere) else self

    @property
    def streamed(self) -> bool:
        """Whether blocks come from the host in every pass, since the device cannot hold them."""
        return isinstance(self.X, HostRows)

    @cached_property
    def center_in_block(self) -> Array | None:
        """What to subtract from a block, (n_features,) in the compute dtype, or None."""
        xp = self.backend.xp
        if self.center is None or not self.backend.centers_in_block(self.X):
            return None
        return xp.astype(self.center[:, 0], self.dtype)

    @property
    def multiplier(self) -> float | Array:
        """Scale and factor together, a float or (n_features, 1) float64."""
        return self.scale * self.factor

    @cached_property
    def extremes(self) -> tuple[Array, Array]:
        """The least and the largest number of each feature of X, each (n_features, 1) float64.

        Of a sample they are those of all rows. A sparse X has a zero in each feature.
        """
        return extremes(self.X, self.backend) if self.known is None else self.known

    @property
    def reach(self) -> Array:
        """The largest magnitude of each feature where products see it, (n_features, 1) float64."""
        xp, (least, most) = self.backend.xp, self.extremes
        if self.center_in_block is not None:
            least, most = least - self.center, most - self.center
        return self.multiplier * xp.maximum(-least, most)

    @cached_property
    def longest(self) -> float:
        """The largest Σ |x| of a row of a sparse X, where products see it; ∞ where not known.

        Of text it is a hundredth of the sum of all features' :attr:`reach`.
        """
        if not is_sparse(self.X) or self.center is not None:
            return math.inf
        xp, backend = self.backend.xp, self.backend
        each = np.abs(np.broadcast_to(to_host(self.multiplier), (self.n_features, 1)))
        each = backend.asarray(each.astype(np.float64))

        def longest(rows: slice) -> Array:  # of float64: of the byte -128 there is no opposite
            return xp.max(abs(backend.as_compute(self.X[rows, :], xp.float64)) @ each)

        return max(map(float, backend.map_blocks(longest, self.converted_blocks(), self.X)))

    @property
    def spread(self) -> Array:
        """Half of what each feature extends over, scaled, (n_features, 1) float64."""
        least, most = self.extremes
        return self.multiplier * (most / 2.0 - least / 2.0)

    @property
    def uneven(self) -> bool:
        """Whether features, as the caller scaled them, differ by orders of magnitude.

        They may do so in spread or reach; constant features do not count.
        """
        reach, spread = (to_host(part / self.factor) for part in (self.reach, self.spread))
        eps = float(self.backend.xp.finfo(self.dtype).eps)
        varies = spread > 10.0 * eps * reach
        return bool(reach.max() > 2.0**EXTREME * spread.min(where=varies, initial=np.inf))

    @cached_property
    def by_feature(self) -> Array | None:
        """Xᵀ as a CSR array, where a sparse X has few entries a feature; else None.

        There Xᵀ R is made feature by feature: sums of blocks of rows have all features, and would
        be as large as what is added to them.
        """
        # A source that has so few is small, and yet it would be read at once.
        few = is_sparse(self.X) and not isinstance(self.X, Source)
        few = few and self.X.nnz <= ENTRIES * self.n_features
        return self.X.T.tocsr() if few else None

    def products_by_feature(self, R: Array) -> Array:
        """Return Xᵀ R, (n_features, n_models) float64, from :attr:`by_feature`."""
        transposed, k = self.by_feature, int(R.shape[1])
        assert transposed is not None

        def products(features: slice, out: Array | None = None) -> Array:
            return self.backend.sparse_sums(transposed, features, R, out)

        width = self.backend.row_width(transposed)
        blocks = self.backend.row_blocks(self.n_features, width, k)
        return self.backend.collect_blocks(products, blocks, k, self.backend.xp.float64)

    @cached_property
    def operand_width(self) -> int:
        """How many numbers a row counts for in a pass."""
        return self.backend.operand_width(self.X, self.dtype, self.center_in_block)

    def blocks(self, n_models: int) -> list[slice]:
        """Return the blocks of rows that a pass of so many models maps over, as operands."""
        return row_blocks(self.X, self.backend, self.operand_width, n_models)

    def converted_blocks(self, n_models: int = 1) -> list[slice]:
        """Return the blocks to map over where whole blocks are converted."""
        width = self.backend.row_width(self.X)
        return row_blocks(self.X, self.backend, width, n_models)

    def margin_blocks(self, n_models: int) -> list[slice]:
        """Return the blocks to map over where only margins are needed, and no rows."""
        return self.backend.row_blocks(self.n_samples, 0, n_models)

    def block(self, rows: slice) -> Array:
        """Return a block in the compute dtype, not scaled, and centred only if X is floating."""
        return self.backend.as_compute(self.X[rows, :], self.dtype, self.center_in_block)

    def operand(self, rows: slice) -> Array:
        """Return the block as a factor of products with weights that absorbed the scaling."""
        if is_sparse(self.X):
            X = self.X
            if isinstance(X, Source):
                X, rows = X[rows, :], slice(0, rows.stop - rows.start)
            return self.backend.sparse_operand(X, rows, self.dtype)
        return self.backend.operand(self.X[rows, :], self.dtype, self.center_in_block)

    def absorb_scaling(self, theta: Array) -> tuple[Array, Array]:
        """Return W (n_features, n_models) and b (n_models,) so that margins are block @ W + b.

        ``theta`` is (n_features + 1, n_models) float64, the intercept in its last row.
        """
        xp = self.backend.xp
        W, b = self._multiplied(theta[:-1, :]), theta[-1, :]
        if self.center is not None and self.center_in_block is None:
            b = b - xp.sum(self.center * W, axis=0)
        return xp.astype(W, self.dtype), xp.astype(b, self.dtype)

    def margins(self, theta: Array, whole: Array | None = None) -> Array:
        """Return the margins of all rows, (n_samples, n_models) in the compute dtype.

        ``whole`` is an array like that, whose memory may be used.
        """
        (W, b), k = self.absorb_scaling(theta), int(theta.shape[1])

        def margins(rows: slice, out: Array | None = None) -> Array:
            return self.backend.affine(self.operand(rows), W, b, out)

        return self.backend.collect_blocks(margins, self.blocks(k), k, self.dtype, self.X, whole)

    def host_margins(
        self, thetas: Iterable[Array], index: npt.NDArray[np.integer[Any]] | None = None
    ) -> Iterator[npt.NDArray[Any]]:
        """Yield the margins of some of the rows, or of all, for each of several parameters.

        Each theta (n_features + 1, n_models), of one size, on the device gives (n_rows, n_models)
        in the compute dtype, on the host. Rows are gathered a block at a time, and each block is
        read once for as many parameters as :data:`MARGIN_BYTES` allow.
        """
        thetas = iter(thetas)
        n = self.n_samples if index is None else len(index)
        dtype = np.dtype(f"float{self.backend.xp.finfo(self.dtype).bits}")
        for first in thetas:
            k = int(first.shape[1])
            each = k * (dtype.itemsize * n + 8 * int(first.shape[0]))
            several = [first, *islice(thetas, max(0, MARGIN_BYTES // each - 1))]
            Z = host_array((len(several), n, k), dtype)
            self._margins_to(Z, several, index)
            del first, several
            while len(Z):  # what has been used is not kept beside what is computed next
                yield Z[0]
                Z = Z[1:]

    def _margins_to(
        self, Z: npt.NDArray[Any], thetas: list[Array], index: npt.NDArray[Any] | None
    ) -> None:
        """Write margins to Z (n_thetas, n_rows, n_models)."""
        backend, xp, (n_thetas, n, k) = self.backend, self.backend.xp, Z.shape
        # A single column is a product of another kind, with other bits: it has them beside others.
        together = [xp.concat(thetas, axis=1)] if k > 1 else thetas
        factors = [self.absorb_scaling(theta) for theta in together]

        read = False
        if index is not None and isinstance(self.X, Source):
            read = bool((index[1:] > index[:-1]).all())

        def write(rows: slice) -> None:
            if index is None:
                X = self.operand(rows)
            elif read:
                rows, X = self._among(rows, index)
            else:
                X = self._gathered(index[rows])
            parts = [to_host(backend.affine(X, W, b)) for W, b in factors]
            for part, out in zip(parts, np.split(Z, len(parts)), strict=True):
                out[:, rows] = part.reshape(len(part), -1, k).transpose(1, 0, 2)

        if index is None:
            blocks, X = self.blocks(n_thetas * k), self.X
        elif read:  # in the order of the file, ahead of what is computed
            blocks, X = self.blocks(n_thetas * k), self.X
            ends = np.searchsorted(index, [0, *(rows.stop for rows in blocks)])
            blocks = [rows for rows, some in zip(blocks, np.diff(ends), strict=True) if some]
        else:  # other rows than these blocks are read of X
            blocks, X = backend.row_blocks(n, backend.row_width(self.X), n_thetas * k), None
        for _ in backend.map_blocks(write, blocks, X):
            pass

    def _among(self, rows: slice, index: npt.NDArray[np.integer[Any]]) -> tuple[slice, Array]:
        """Return which of the rows that ``index`` names lie in a block, and their operand."""
        a, b = map(int, np.searchsorted(index, (rows.start, rows.stop)))
        X = self.X[rows, :][index[a:b] - rows.start]
        return slice(a, b), replace(self, X=X).operand(slice(0, b - a))

    def _gathered(self, index: npt.NDArray[np.integer[Any]]) -> Array:
        """Return the :meth:`operand` of rows that ``index`` names; neighbours are not copied."""
        if (index[1:] == index[:-1] + 1).all():
            return self.operand(slice(int(index[0]), int(index[-1]) + 1))
        X = self.backend.take_rows(self.X, self.backend.asarray(index))
        return replace(self, X=X).operand(slice(0, len(index)))

    def undo_scaling(self, dW: Array, db: Array) -> tuple[Array, Array]:
        """Return (rowsᵀ R, 1ᵀ R) from what blocks give, (blockᵀ R, 1ᵀ R), all float64."""
        if self.center is not None and self.center_in_block is None:
            dW = dW - self.center * db
        return self._multiplied(dW), db

    def _multiplied(self, W: Array) -> Array:
        multiplier = self.multiplier
        return W if isinstance(multiplier, float) and multiplier == 1.0 else multiplier * W

    def equilibrated(self, *, centered: bool, largest_C: float = math.inf) -> Rows:
        """Return the rows with features of extreme size brought to about 1.

        Those whose largest |x − centre| lies outside 2^±10 are multiplied by a power of two (up to
        2^24), which rounds nothing; all others, and constant ones, stay as they are. So do tiny
        ones where the penalty is nearly all of their curvature: it is the same for all then, and
        the factor's square would make it by far the largest of some.

        Parameters
        ----------
        centered : bool
            The centre is the middle of each feature, for which an intercept makes up; else 0.
        largest_C : float
            The largest C of a model, times the sum of its rows' weights.
        """
        reach = to_host(self.reach)
        size = to_host(self.spread) if centered else reach
        constant = size <= 10.0 * float(self.backend.xp.finfo(self.dtype).eps) * reach
        tiny = (size < 2.0**-EXTREME) & (size > math.sqrt(PENALIZED / largest_C))
        extreme = ~constant & (tiny | (size > 2.0**EXTREME))
        if not extreme.any():
            return self
        exponent = np.clip(np.frexp(size)[1], -TINIEST, HUGEST)
        factor = np.where(extreme, np.ldexp(1.0, -exponent), 1.0)
        return replace(self, factor=self.backend.asarray(factor))

    def sample(self, index: Array) -> Rows:
        """Return some of the rows, copied to the device where they fit."""
        return replace(self, X=self.backend.sample_rows(self.X, index), known=self.extremes)

    def mean_of_first(self) -> Array:
        """Return the mean of the first block, not scaled, (n_features,) float64."""
        xp, first = self.backend.xp, self.converted_blocks()[0]

        def total(rows: slice) -> tuple[Array]:
            return (xp.sum(xp.astype(self.block(rows), xp.float64), axis=0),)

        return self.sum(total, [first])[0] / first.stop

    def sum(
        self, function: Callable[[slice], tuple[Array, ...]], blocks: list[slice]
    ) -> tuple[Array, ...]:
        """Add up, in float64 and in their order, what ``function`` returns for each block."""
        xp = self.backend.xp
        totals: list[Array] = []
        own = False  # whether no one else has the totals, so that they may be written to
        for parts in self.backend.map_blocks(function, blocks, self.X):
            if not totals:
                wide = xp.float64
                totals = [p if p.dtype == wide else xp.astype(p, wide) for p in parts]
            elif not own:
                totals, own = list(map(xp.add, totals, parts)), True
            else:  # in half the time that new arrays would take
                for i, part in enumerate(parts):
                    totals[i] += part
        assert totals  # there are rows
        return tuple(totals)


def row_blocks(X: Array, backend: Backend, width: int, n_models: int) -> list[slice]:
    """Return the backend's blocks of the rows of X; of a source as it is best read."""
    blocks = backend.row_blocks(X.shape[0], width, n_models)
    return X.cut(blocks) if isinstance(X, Source | HostRows) else blocks


def extremes(X: Array, backend: Backend) -> tuple[Array, Array]:
    """Return the least and the largest number of each feature; see :attr:`Rows.extremes`.

    Both are NaN for a feature that has one.
    """
    return overview(X, backend, moments=False)[0]


@np.errstate(invalid="ignore")  # some dtypes' minimum complains of NaN
def overview(
    X: Array,
    backend: Backend,
    weight: npt.NDArray[np.float64] | None = None,
    *,
    moments: bool = True,
) -> tuple[tuple[Array, Array], Moments | None]:
    """Return :func:`extremes`, and the features' moments where they are asked for, from one pass.

    Rows count by their ``weight`` (n_samples,). Of a source whose extremes are known there is no
    pass, and its moments are by the weights that its rows came with.
    """
    xp = backend.xp
    if isinstance(X, Source) and X.extremes is not None:
        least, most = X.extremes
        return (backend.asarray(least), backend.asarray(most)), X.moments
    whole = is_sparse(X) and not isinstance(X, Source)  # whose extremes need no blocks
    least = most = found = None
    if whole:
        least, most = (each[None, :] for each in backend.sparse_extremes(X))

    def of_block(rows: slice) -> tuple[tuple[Array, Array] | None, Moments | None]:
        block, its = X[rows, :], None
        if moments:
            its = Moments.of(block, backend, None if weight is None else weight[rows])
        if whole:
            return None, its
        if is_sparse(block):
            lower, upper = backend.sparse_extremes(block)
            return (lower[None, :], upper[None, :]), its
        return backend.extremes(block), its

    blocks = row_blocks(X, backend, 2 * backend.row_width(X), 1) if moments or not whole else []
    for ends, its in backend.map_blocks(of_block, blocks, X):
        if ends is not None:
            least = ends[0] if least is None else xp.minimum(least, ends[0])
            most = ends[1] if most is None else xp.maximum(most, ends[1])
        found = its if found is None or its is None else found + its
    return (xp.astype(least.T, xp.float64), xp.astype(most.T, xp.float64)), found


def _squares(block: Array) -> Array:
    return block.multiply(block) if is_sparse(block) else block * block


def feature_sums(
    X: Array, backend: Backend, power: int = 1, center: Array | None = None
) -> tuple[Array, ...]:
    """Return the sum of each feature, or of its squares, in float64, (n_features,).

    With a centre (n_features, 1), those of (x − c)² and of x − c.
    """
    xp, rows = backend.xp, Rows(X, 1.0, center, backend, backend.xp.float64)

    def sums(part: slice) -> tuple[Array, ...]:
        block = rows.block(part)
        if center is not None:
            return xp.sum(block**2, axis=0), xp.sum(block, axis=0)
        block = block if power == 1 else _squares(block)
        if is_sparse(block):
            ones = xp.ones(block.shape[0], dtype=xp.float64, device=backend.device)
            return (ones @ block,)
        return tuple(logistic.row_sums(block))

    # Blocks as short as for that many models: float64, and squares, take more.
    return rows.sum(sums, rows.converted_blocks(backend.row_width(X) // 2))


def standardized(
    X: Array,
    backend: Backend,
    dtype: Any,
    sums: Callable[..., tuple[Array, ...]] | None = None,
) -> Rows:
    """Return X with every feature shifted to mean 0 and scaled to standard deviation 1.

    The deviation is that of the population (1/n), as in scikit-learn's StandardScaler; a feature
    that is constant (to rounding) becomes zero. Mean and deviation are found in two passes over
    blocks, in float64; ``sums`` makes them as :func:`feature_sums` does, where the rows are
    elsewhere.
    """
    xp, n = backend.xp, float(X.shape[0])
    sums = partial(feature_sums, X, backend) if sums is None else sums
    mean = xp.expand_dims(sums()[0] / n, axis=1)
    if backend.centers_in_block(X):
        # The centre as the compute dtype has it: what blocks are shifted by, exactly.
        mean = xp.astype(xp.astype(mean, dtype), xp.float64)
        squares, drift = sums(2, mean)
        variance = squares / n - (drift / n) ** 2
    else:
        variance = sums(2)[0] / n - mean[:, 0] ** 2
    # As X itself is rounded: it is shifted before it is rounded to the compute dtype.
    own = xp.finfo(floating_dtype(X, xp) or xp.float64)
    eps = min(float(xp.finfo(dtype).eps), float(own.eps))
    floor = (10.0 * eps * xp.abs(mean[:, 0])) ** 2
    constant = variance <= floor
    scale = xp.where(constant, 0.0, 1.0 / xp.sqrt(xp.where(constant, 1.0, variance)))
    return Rows(X, xp.expand_dims(scale, axis=1), mean, backend, dtype)
