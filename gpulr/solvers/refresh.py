"""Each model's curvature, found anew as it is where the model has come to.

Far from the start the slopes σ' of models differ by more than a factor: those of a digit lie on the
rows that look like it. So what all models share describes none of them well. Rows of a sample,
drawn with probabilities ∝ σ', show a model's Hessian in the leading eigenvectors of the shared
curvature, and their squares its diagonal in the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.core.problem import Margins, Problem
from gpulr.core.rows import Rows
from gpulr.namespaces import array_namespace, device
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.model_curvature import ModelCurvature, inverses_of
from gpulr.solvers.restoring import check_places
from gpulr.solvers.solver import Shared
from gpulr.solvers.subspace import rank_for

Array = Any
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

POOL = 12_000  # rows to draw from, at most
# Directions that are coupled, at most. Passes to 1e-5 of the optimum on MNIST, C = 100: 121 with
# 192 of them, 101 with 256, 88 with 320, 76 with 384.
LEADING = 320
DRAWN = 2_000  # rows for a model's Hessian in so many directions; more in fewer, for the same work
REST = 2_000  # rows for the diagonal in all other directions
# The part of what all models share in each Hessian: drawn rows say nothing of some directions.
PART = 0.02
LEAST = 1e-3  # of the shared curvature, of the diagonal in other directions
# The same where these are no eigenvectors: means in any directions hide the steepest of them. With
# 128 on MNIST, C = 100, passes to 1e-4 of the optimum are 132 with 0.001, 72 with 0.3 and 87 with
# 1, and 100 without curvatures of models' own.
LEAST_MIXED = 0.3
# No Hessian is sought of models whose mean of σ' is less: only a few rows are left to tell of it.
KAPPA = 1e-9
# Nor of models with fewer rows of a sample for each direction, in effect, (Σ σ')² / Σ σ'² of them:
# with one, as each of 200 classes had, their Hessians are worse than what all models share.
ENOUGH = 2.0
AT_ONCE = 2**24  # numbers that a device takes at once for factors
# Launches on a device with kernels, to find curvatures anew and in an iteration, and multiply-adds
# made during one: 5 µs at 1e13 a second. They are computed from published figures, not measured.
LAUNCHES, ITERATION, LAUNCH = 200, 14, 5e7
MARGIN = 1.1  # how many times what it takes a refresh is to save


@dataclass(frozen=True, eq=False)
class Pool(Shared):
    """A sample of the rows in the coordinates of the curvature, computed when it is asked for."""

    rows: Rows
    index: (
        Annotated[Integers, "(n_sample,)"] | None
    )  # of the sample, on the host; None: all of a few rows
    curvature: SharedCurvature  # complete
    intercept: bool

    @classmethod
    def of(cls, problem: Problem, index: Array | None, curvature: SharedCurvature) -> Pool:
        """Return the pool of a sample of the problem's rows, or of all."""
        n = problem.rows.n_samples if index is None else int(index.shape[0])
        if n <= POOL:
            some = None if index is None else to_host(index)
        else:
            some = np.arange(POOL) * n // POOL
            some = some if index is None else to_host(index)[some]
        return cls(problem.rows, some, curvature, problem.intercept)

    def stored(self) -> dict[str, Any]:
        """Return what of it is in a file; the rows are not."""
        return {name: getattr(self, name) for name in ("index", "curvature", "intercept")}

    @classmethod
    def restored(cls, read: Callable[..., Any], problem: Problem) -> Pool:
        """Return the pool of the problem's rows, from what :meth:`stored` returned."""
        index = read("index")
        if index is not None:
            check_places(index, problem.rows.n_samples, "rows")
        return cls(problem.rows, index, read("curvature", problem), read("intercept"))

    @property
    def size(self) -> int:
        """How many rows there are."""
        return self.rows.n_samples if self.index is None else len(self.index)

    @property
    def rank(self) -> int:
        """In how many directions Hessians are sought."""
        return _rank(self.rows)

    @cached_property
    def leading(self) -> Array:
        """The rows in the leading directions, and 1: (size, rank + 1) in the compute dtype."""
        xp = self.rows.backend.xp
        first = self._coordinates(self._rows, slice(self.rows.n_features - self.rank, None))
        one = 0.0 * first[:, :1] + float(self.intercept)
        return xp.concat([first, one], axis=1)

    @cached_property
    def others(self) -> tuple[Integers, Array]:
        """Of some rows: which of the pool, and their squares in all other directions."""
        index = np.arange(0, self.size, max(1, self.size // REST))
        rows = self._rows.sample(self.rows.backend.asarray(index))
        found = self._coordinates(rows, slice(0, self.rows.n_features - self.rank))
        return index, found * found

    @property
    def _rows(self) -> Rows:
        if self.index is None:
            return self.rows
        return self.rows.sample(self.rows.backend.asarray(self.index))

    def _coordinates(self, rows: Rows, directions: slice) -> Array:
        """Return (x − mean)ᵀ A of each row x, in the compute dtype."""
        xp, curvature = rows.backend.xp, self.curvature
        assert curvature.basis is not None  # see LBFGS.prepare
        basis = curvature.tilt * curvature.basis[:, directions]
        offset = -xp.sum(curvature.mean * basis, axis=0, keepdims=True)
        return rows.margins(xp.concat([basis, offset], axis=0))


def until_due(iteration: int) -> int:
    """Return how long it is until curvatures are looked at: at 2, 6, 14, 30, 62 and so on.

    These numbers are the same however long bursts are, which end there: so paths are.
    """
    return (1 << (iteration + 2).bit_length()) - 2 - iteration


def is_due(iteration: int) -> bool:
    """Whether curvatures are looked at after so many iterations."""
    return iteration > 0 and until_due(iteration - 1) == 1


def worthwhile(
    pool: Pool,
    before: Floats,
    norm: Floats,
    n: int,
    tol: float,
    known: ModelCurvature | None = None,
) -> tuple[Flags, Integers]:
    """Tell which models have so long to go that a refresh pays, and which of them share one.

    Their gradients have fallen from ``before`` to ``norm`` in ``n`` iterations. They fall more
    slowly later: to ``tol`` it is about twice as many passes as if they went on so, of which a
    refresh saves half. The fewer iterations tell, the more it has to save. It is for models that
    share a curvature in ``known`` what it is for all of them; else it depends on each alone, not on
    how many there are.

    Returns
    -------
    flags : (n_models,)
    groups : (the number of these,)
        Of those that are flagged, as :func:`refreshed` takes them.
    """
    k = len(norm)
    numbers = np.arange(k)
    cost = np.full(k, passes(pool))
    if known is not None:
        own = known.which >= 0
        numbers = np.where(own, known.which, known.which.max(initial=0) + 1 + numbers)
        cost = np.where(own, passes(pool, first=False), cost)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        rate = np.maximum(np.log(before / norm) / max(n, 1), 1e-3)
        left = np.log(norm / max(tol, 1e-300)) / rate
    left = np.where(left > 0.0, left, 0.0) if n else np.zeros(k)
    flags = pays_for(np.bincount(numbers, left)[numbers], cost * (1.0 + 2.0 / max(n, 1)))
    return flags, np.unique(numbers[flags], return_inverse=True)[1].reshape(-1)


def pays_for(saved: npt.NDArray[Any], cost: float | Floats) -> Flags:
    """Tell where refreshes pay that save so many passes of one model, and take so many."""
    pays: Flags = saved > MARGIN * cost
    return pays


def passes(pool: Pool, *, first: bool = True) -> float:
    """Return about how many passes of one model a refresh of it takes.

    Both as multiply-adds of products, with what else takes as long: factoring, calls, elementwise
    work. At first the pool's coordinates are made, for some ten models, as launches are.
    """
    rows, r = pool.rows, pool.rank + 1
    width = rows.backend.row_width(rows.X)
    once = pool.size * width * r / 10 if first else 0.0
    hessian = min(_drawn(pool), pool.size) * r**2 / 2 + 2 * r**3
    launch = LAUNCH / 10 if rows.backend.kernels is not None else 0.0
    each = 2 * rows.n_samples * (width + 40) + ITERATION * launch
    return (once + hessian + 1e5 + LAUNCHES * launch) / each


def refreshed(
    pool: Pool, problem: Problem, margins: Margins, groups: Integers | None = None
) -> ModelCurvature:
    """Return the curvature of models where they have these margins of all rows.

    ``groups`` (n_models,) says which models share a factor, those with the same number from 0 on;
    without, each gets its own. It is found with the means of their slopes and penalties.
    """
    backend, k = problem.backend, problem.n_models
    xp = backend.xp
    groups = np.arange(k) if groups is None else groups
    index = None if pool.index is None else backend.asarray(pool.index)
    slopes, mass = problem.slopes(margins, index)
    lam, members = problem.penalty, np.bincount(groups)
    if not np.array_equal(groups, np.arange(k)):
        mean = np.zeros((len(members), k))
        mean[groups, np.arange(k)] = 1.0 / members[groups]
        mean = backend.asarray(mean)
        slopes, mass, lam = mean @ slopes, mean @ mass, mean @ lam
    with np.errstate(invalid="ignore", divide="ignore"):
        total, squares = xp.sum(slopes, axis=1), xp.sum(slopes * slopes, axis=1)
        kappa = total / mass
        # All that the host is told: 16 bytes a model, where margins of the rows would be 48,000.
        means, distinct = to_host(xp.stack([kappa, total * total / squares]))
    found = means > KAPPA
    if pool.index is not None:
        found &= distinct >= ENOUGH * (pool.rank + 1)
    if not found.all():
        use = backend.asarray(np.flatnonzero(found))
        slopes, kappa, lam = (xp.take(each, use, axis=0) for each in (slopes, kappa, lam))
    inverses, rest = _factors(pool, slopes, kappa, lam)
    which = np.where(found, np.cumsum(found) - 1, -1)[groups]
    return ModelCurvature(pool.curvature, inverses, rest, which, backend)


def _factors(pool: Pool, slopes: Array, kappa: Array, lam: Array) -> tuple[Array, Array]:
    """Return factors as :class:`ModelCurvature` has them, from ``slopes`` (n_factors, size).

    κ and λ are (n_factors,); all are float64.
    """
    backend, dtype, shared = pool.rows.backend, pool.rows.dtype, pool.curvature
    xp, rank, n = backend.xp, pool.rank, int(slopes.shape[0])
    n_rest = pool.rows.n_features - rank
    values, share = shared.values[n_rest:, 0], shared.share
    share = share + 0.0 * values if isinstance(share, float) else share[n_rest:, 0]
    one = xp.ones(1, dtype=xp.float64, device=backend.device)
    # A part of its own diagonal keeps a Hessian so far from singular that float32 can factor it.
    values, share = (
        xp.astype(xp.concat(each), dtype) for each in ([values, one], [share, 0.0 * one])
    )
    identity = xp.eye(rank + 1, dtype=dtype, device=backend.device)
    drawn = _drawn(pool)

    def inverse(models: slice) -> Array:
        s, k = slopes[models, :], xp.astype(kappa[models], dtype)[:, None]
        if drawn < pool.size:
            shape = (int(s.shape[0]), drawn, rank + 1)
            F = xp.reshape(xp.take(leading, xp.reshape(_draw(s, drawn), (-1,)), axis=0), shape)
            H = (xp.matrix_transpose(F) @ F) * (k / float(drawn))[:, :, None]
        else:
            F = leading * xp.astype(xp.sqrt(s / xp.sum(s, axis=1)[:, None]), dtype)[:, :, None]
            H = (xp.matrix_transpose(F) @ F) * k[:, :, None]
        more = PART * xp.maximum(xp.linalg.diagonal(H), k * values)
        more = more + xp.astype(lam[models], dtype)[:, None] * share
        return inverses_of((1.0 - PART) * H + more[:, :, None] * identity)

    if not n:
        shape = (0, rank + 1, rank + 1)
        inverses = xp.zeros(shape, dtype=dtype, device=backend.device)
        return inverses, xp.zeros((0, n_rest), dtype=xp.float64, device=backend.device)
    leading = pool.leading  # made here, not by each of the threads
    # One after the other, by threads; a device takes many at once.
    size = min(drawn, pool.size) + 4 * (rank + 1)
    some = 1 if backend.check_every == 1 else max(1, AT_ONCE // (size * (rank + 1)))
    models = [slice(j, min(j + some, n)) for j in range(0, n, some)]
    inverses = xp.concat(list(backend.map_blocks(inverse, models, of_rows=False)))
    if not n_rest:
        return inverses, xp.zeros((n, 0), dtype=xp.float64, device=backend.device)
    index, squares = pool.others
    s = xp.take(slopes, backend.asarray(index), axis=1)
    weights = s * (kappa / xp.maximum(xp.sum(s, axis=1), 1e-300))[:, None]
    rest = xp.astype(xp.astype(weights, dtype) @ squares, xp.float64)
    part = LEAST if rank_for(pool.rows) == pool.rows.n_features else LEAST_MIXED
    return inverses, xp.maximum(rest, part * kappa[:, None] * shared.values[:n_rest, 0])


def factor_bytes(rows: Rows) -> int:
    """Return how many bytes a model's factor takes, at most; 0 where models have none."""
    if rows.n_features > SharedCurvature.full_up_to:
        return 0
    itemsize = int(rows.backend.xp.finfo(rows.dtype).bits) // 8
    return itemsize * (_rank(rows) + 1) ** 2


def _rank(rows: Rows) -> int:
    """Return in how many directions Hessians are sought: of those that are eigenvectors."""
    return min(LEADING, rank_for(rows))


def _drawn(pool: Pool) -> int:
    """Return how many rows are drawn for a model's Hessian."""
    return DRAWN * (LEADING + 1) ** 2 // (pool.rank + 1) ** 2


def _draw(slopes: Array, n: int) -> Array:
    """Draw ``n`` rows for each model with expected counts ∝ slopes (n_models, size).

    At equal distances of the running sum of these, so that nothing is left to chance. Returns
    indices of the rows, (n_models, n).
    """
    xp, (k, size) = array_namespace(slopes), slopes.shape
    # Along an axis CuPy adds up in the same order every time; along the only one CUB does not.
    total = xp.cumulative_sum(slopes, axis=1)
    # How many are drawn up to each row. As integers, models are found at once, and each as alone.
    up_to = xp.astype(xp.floor(total * (n / total[:, -1:]) + 0.5), xp.int64)
    model, draw = (xp.arange(m, dtype=xp.int64, device=device(slopes)) for m in (k, n))
    before = n * model[:, None]
    found = xp.searchsorted(
        xp.reshape(before + up_to, (-1,)), xp.reshape(before + draw, (-1,)), side="right"
    )
    return xp.reshape(found, (k, n)) - size * model[:, None]
