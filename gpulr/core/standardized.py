"""Rows whose features are shifted and scaled to mean 0 and standard deviation 1."""

from __future__ import annotations

from typing import Any

from gpulr.backend import Backend
from gpulr.backend.arrays import floating_dtype
from gpulr.core.rows import Rows

Array = Any


def standardized(X: Array, backend: Backend, dtype: Any) -> Rows:
    """Return X with every feature shifted to mean 0 and scaled to standard deviation 1.

    The deviation is that of the population (1/n), as in scikit-learn's StandardScaler; a feature
    that is constant (to rounding) becomes zero. Mean and deviation are found in two passes over
    blocks, in float64.
    """
    xp = backend.xp
    n = float(X.shape[0])
    plain = Rows(X, 1.0, None, backend, xp.float64)
    # Blocks as short as for that many models: float64, and squares, take more.
    blocks = plain.converted_blocks(backend.row_width(X) // 2)

    def first(rows: slice) -> tuple[Array, ...]:
        return (_column_sums(plain.block(rows), backend),)

    mean = xp.expand_dims(plain.sum(first, blocks)[0] / n, axis=1)
    if backend.centers_in_block(X):
        # The centre as the compute dtype has it: what blocks are shifted by, exactly.
        mean = xp.astype(xp.astype(mean, dtype), xp.float64)
        shifted = Rows(X, 1.0, mean, backend, xp.float64)

        def moments(rows: slice) -> tuple[Array, ...]:
            block = shifted.block(rows)
            return xp.sum(block**2, axis=0), xp.sum(block, axis=0)

        squares, drift = shifted.sum(moments, blocks)
        variance = squares / n - (drift / n) ** 2
    else:

        def second(rows: slice) -> tuple[Array, ...]:
            block = plain.block(rows)
            return (_column_sums(block * block, backend),)

        variance = plain.sum(second, blocks)[0] / n - mean[:, 0] ** 2
    # As X itself is rounded: it is shifted before it is rounded to the compute dtype.
    own = xp.finfo(floating_dtype(X, xp) or xp.float64)
    eps = min(float(xp.finfo(dtype).eps), float(own.eps))
    floor = (10.0 * eps * xp.abs(mean[:, 0])) ** 2
    constant = variance <= floor
    scale = xp.where(constant, 0.0, 1.0 / xp.sqrt(xp.where(constant, 1.0, variance)))
    return Rows(X, xp.expand_dims(scale, axis=1), mean, backend, dtype)


def _column_sums(block: Array, backend: Backend) -> Array:
    ones = backend.xp.ones(block.shape[0], dtype=backend.xp.float64, device=backend.device)
    return ones @ block
