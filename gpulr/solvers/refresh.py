"""Each model's curvature, found anew as it is where the model has come to.

Far from the start the slopes σ' of models differ by more than a factor: those of a digit lie on the
rows that look like it. So what all models share describes none of them well. Rows of a sample,
drawn with probabilities ∝ σ', show a model's Hessian in the leading eigenvectors of the shared
curvature, and their squares its diagonal in the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr import logistic
from gpulr.backend import to_host
from gpulr.core.problem import Margins, Problem
from gpulr.core.rows import Rows
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.model_curvature import ModelCurvature, inverses_of
from gpulr.solvers.solver import Shared

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
# No Hessian is sought of models whose mean of σ' is less: only a few rows are left to tell of it.
KAPPA = 1e-9
# Nor of models with fewer rows of a sample for each direction, in effect, (Σ σ')² / Σ σ'² of them:
# with one, as each of 200 classes had, their Hessians are worse than what all models share.
ENOUGH = 2.0
MARGIN = 1.1  # how many times what it takes a refresh is to save


@dataclass(frozen=True, eq=False)
class Pool(Shared):
    """A sample of the rows in the coordinates of the curvature, computed when it is asked for."""

    rows: Rows
    index: Integers | None  # of the sample, on the host; None: all of a few rows
    curvature: SharedCurvature  # complete
    intercept: bool

    @classmethod
    def of(cls, problem: Problem, index: Array | None, curvature: SharedCurvature) -> Pool:
        """Return the pool of a sample of the problem's rows, or of all."""
        n = problem.rows.n_samples
        chosen = np.arange(n) if index is None else to_host(index)
        if len(chosen) > POOL:
            chosen = chosen[np.arange(POOL) * len(chosen) // POOL]
        some = None if len(chosen) == n else chosen
        return cls(problem.rows, some, curvature, problem.intercept)

    @property
    def size(self) -> int:
        """How many rows there are."""
        return self.rows.n_samples if self.index is None else len(self.index)

    @property
    def rank(self) -> int:
        """In how many directions Hessians are sought."""
        return min(LEADING, self.rows.n_features)

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

    def slopes(self, problem: Problem, margins: Margins) -> tuple[Floats, Floats]:
        """Return s σ' of each row and model of ``problem``, and the sums of the weights s.

        (n_models, size) and (n_models,), on the host.
        """
        weights, targets = problem.weights, problem.targets
        if self.index is not None:
            index = problem.backend.asarray(self.index)
            margins, weights = margins.rows(index), weights.sample(index)
            targets = targets.sample(index)
        slopes = np.asarray(to_host(logistic.slope(margins.Z)).T, np.float64)
        s = weights.of_entries(slice(0, self.size), targets)
        if s is None:
            return slopes, np.full(len(slopes), float(self.size))
        s = np.asarray(to_host(s).T, np.float64)
        return s * slopes, np.broadcast_to(s.sum(axis=1), len(slopes))


def is_due(iteration: int) -> bool:
    """Whether curvatures are looked at before this iteration: 0, 2, 6, 14, 30, 62 and so on."""
    return (iteration + 2) & (iteration + 1) == 0


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
    work. At first the pool's coordinates are made, for some ten models.
    """
    rows, r = pool.rows, pool.rank + 1
    width = rows.backend.row_width(rows.X)
    once = pool.size * width * r / 10 if first else 0.0
    hessian = min(_drawn(pool), pool.size) * r**2 / 2 + 2 * r**3
    return (once + hessian + 1e5) / (2 * rows.n_samples * (width + 40))


def refreshed(
    pool: Pool, problem: Problem, margins: Margins, groups: Integers | None = None
) -> ModelCurvature:
    """Return the curvature of models where they have these margins of all rows.

    ``groups`` (n_models,) says which models share a factor, those with the same number from 0 on;
    without, each gets its own. It is found with the means of their slopes and penalties.
    """
    k = problem.n_models
    groups = np.arange(k) if groups is None else groups
    slopes, mass = pool.slopes(problem, margins)
    lam = to_host(problem.penalty)
    members = np.bincount(groups)
    if not np.array_equal(groups, np.arange(k)):
        mean = np.zeros((len(members), k))
        mean[groups, np.arange(k)] = 1.0 / members[groups]
        slopes, mass, lam = mean @ slopes, mean @ mass, mean @ lam
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa = slopes.sum(axis=1) / mass
        distinct = slopes.sum(axis=1) ** 2 / (slopes * slopes).sum(axis=1)
    found = kappa > KAPPA
    if pool.index is not None:
        found &= distinct >= ENOUGH * (pool.rank + 1)
    use = np.flatnonzero(found)
    numbers = np.cumsum(found) - 1
    inverses, rest = _factors(pool, slopes[use], kappa[use], lam[use])
    which = np.where(found, numbers, -1)[groups]
    return ModelCurvature(pool.curvature, inverses, rest, which, pool.rows.backend)


def _factors(pool: Pool, slopes: Floats, kappa: Floats, lam: Floats) -> tuple[Array, Array]:
    """Return factors as :class:`ModelCurvature` has them, from ``slopes`` (n_factors, size)."""
    backend, dtype, shared = pool.rows.backend, pool.rows.dtype, pool.curvature
    xp, rank, n = backend.xp, pool.rank, len(slopes)
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
        j = models.start
        F, total = leading, float(slopes[j].sum())
        if drawn < pool.size:
            F = xp.take(F, backend.asarray(_draw(slopes[j], drawn)), axis=0)
            total = float(drawn)
        else:
            F = F * xp.expand_dims(backend.asarray(np.sqrt(slopes[j]), dtype), axis=1)
        H = (F.T @ F) * (float(kappa[j]) / total)
        more = PART * xp.maximum(xp.linalg.diagonal(H), float(kappa[j]) * values)
        return inverses_of((1.0 - PART) * H + (more + float(lam[j]) * share) * identity)

    shape = (n, rank + 1, rank + 1)
    if n == 0:
        inverses = xp.zeros(shape, dtype=dtype, device=backend.device)
    else:
        leading = pool.leading  # made here, not by each of the threads
        each = list(backend.map_blocks(inverse, [slice(j, j + 1) for j in range(n)]))
        inverses = xp.stack(each)
    if not n_rest or not n:
        return inverses, xp.zeros((n, n_rest), dtype=xp.float64, device=backend.device)
    index, squares = pool.others
    some = slopes[:, index]
    weights = some * (kappa / np.maximum(some.sum(axis=1), 1e-300))[:, np.newaxis]
    rest = xp.astype(backend.asarray(weights, dtype) @ squares, xp.float64)
    least = LEAST * backend.asarray(kappa[:, np.newaxis]) * shared.values[:n_rest, 0]
    return inverses, xp.maximum(rest, least)


def factor_bytes(rows: Rows) -> int:
    """Return how many bytes a model's factor takes, at most; 0 where models have none.

    On a device the host would wait for gradients, and its kernels take the shared curvature.
    """
    on_host = rows.backend.check_every == 1
    if not on_host or rows.n_features > SharedCurvature.full_up_to:
        return 0
    itemsize = int(rows.backend.xp.finfo(rows.dtype).bits) // 8
    return itemsize * (min(LEADING, rows.n_features) + 1) ** 2


def _drawn(pool: Pool) -> int:
    """Return how many rows are drawn for a model's Hessian."""
    return DRAWN * (LEADING + 1) ** 2 // (pool.rank + 1) ** 2


def _draw(slopes: Floats, n: int) -> Integers:
    """Draw ``n`` rows with expected counts ∝ slopes, at equal distances of their running sum."""
    total = np.cumsum(slopes)
    at = (np.arange(n) + 0.5) * (total[-1] / n)
    drawn: Integers = np.minimum(np.searchsorted(total, at), len(slopes) - 1)
    return drawn
