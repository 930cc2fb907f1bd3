"""The leading eigenvectors of a covariance, where a device takes longer for all than they save.

What eigh costs on a device is latency: cuSOLVER reduces a matrix column by column, each in several
launches that wait for each other. That is computed from published times, not measured here:
:mod:`bench.gpu` has a part that measures it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpulr.backend import Backend
from gpulr.core.rows import Rows

Array = Any

# On MNIST 64 and 128 eigenvectors take 29 and 27 iterations to 1e-4 above the optimum at C = 1,
# where all 784 take 25; at C = 100 158 and 99 instead of 83 (256 of them: 84). 512 features of many
# spectra take one more with 128, up to four with 64. With models' own curvatures in these
# directions 128 take 14 and 256 take 11 at C = 1, where all take 10; at C = 100 72, 49 and 57.
RANK = 128
MORE_PASSES = 16.0  # that are made with so many: the most of these
# Operations that a device makes meanwhile, at 2e13 a second: 45 ms of eigh by 784 columns.
COLUMN = 1.1e9
# Columns of eigh that take as long as an eigenvector here: one of the small eigh, and about one for
# its two columns of QR.
COLUMNS = 2


def rank_for(rows: Rows) -> int:
    """Return how many eigenvectors serve models of these rows best: all, or ``RANK``.

    Passes are those of ten models, so that no model's path depends on how many there are. With a
    million rows of 784 features they would take as long as is saved. Without kernels, where calls
    are not what takes time, it is all.
    """
    n = rows.n_features
    saved = COLUMN * (n - COLUMNS * RANK)
    passes = MORE_PASSES * 4.0 * 10.0 * rows.n_samples * n
    return RANK if rows.backend.kernels is not None and saved > passes else n


def leading(matrix: Array, rank: int, backend: Backend) -> tuple[Array, Array]:
    """Return values, ascending, and a whole orthonormal basis of a symmetric matrix (n, n).

    The last ``rank`` are leading eigenvectors, by four steps of subspace iteration (Halko,
    Martinsson & Tropp 2011, alg. 4.4). The others complete them; half the least of their values
    stands for all of these, as it does in a sketch: so what inverts the matrix stays diagonal.
    """
    xp, n = backend.xp, int(matrix.shape[0])
    size = xp.max(xp.abs(matrix))
    # Its fourth power may overflow.
    scaled = matrix / xp.where(size > 0.0, size, xp.ones_like(size))
    Q = backend.asarray(np.random.default_rng(0).standard_normal((n, rank)))
    Q, _ = xp.linalg.qr(scaled @ (scaled @ Q))
    Q, _ = xp.linalg.qr(scaled @ (scaled @ Q), mode="complete")
    first, others = Q[:, :rank], Q[:, rank:]
    values, turn = xp.linalg.eigh(first.T @ (matrix @ first))
    rest = xp.zeros(n - rank, dtype=values.dtype, device=backend.device) + values[:1] / 2.0
    return xp.concat([rest, values]), xp.concat([others, first @ turn], axis=1)
