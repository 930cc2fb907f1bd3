"""How curved the cost of each model is by itself, in the directions in which rows vary most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import Backend
from gpulr.core.problem import Margins, Problem
from gpulr.namespaces import array_namespace
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.restoring import check_places
from gpulr.solvers.solver import Shared

Array = Any
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ModelCurvature(Shared):
    """Inverse Hessians of single models, in the coordinates u of a complete shared curvature.

    In the last r coordinates and the intercept, a model's inverse is L⁻ᵀ L⁻¹, from its Hessian
    L Lᵀ; in those before, of less variance, it is diagonal. Models that have none of their own take
    the shared one. Several may have the same, as those of a class on all folds: so factors are
    numbered, and become fewer only when less than half of them are in use.
    """

    shared: SharedCurvature
    inverses: Annotated[Array, "(n_factors, r + 1, r + 1) float"]  # L⁻¹ in the compute dtype
    # the Hessian's diagonal in n_features - r directions, but for the penalty
    rest: Annotated[Array, "(n_factors, n_rest) float"]
    which: Annotated[Integers, "(n_models,)"]  # on the host: each model's factor, -1 for none
    backend: Backend

    exact = False
    by_rows = False

    @cached_property
    def factors(self) -> tuple[Array, Array, Array] | None:
        """Inverses, rest and the models' numbers, as kernels take them; None: no model has any."""
        if not np.any(self.which >= 0):
            return None
        return self.inverses, self.rest, self.backend.asarray(self.which.astype(np.int32))

    @cached_property
    def _order(self) -> tuple[Array, ...]:
        # Models by their factors, as many for each factor as the most that one has: padded with
        # any, so that all are multiplied at once.
        order = np.argsort(self.which, kind="stable")
        order = order[self.which[order] >= 0]
        numbers = self.which[order]
        place = np.arange(len(order)) - np.searchsorted(numbers, numbers)
        most = int(place.max(initial=0)) + 1
        padded = np.zeros((int(self.inverses.shape[0]), most), dtype=np.int64)
        padded[numbers, place] = order
        found = np.zeros(len(self.which), dtype=np.int64)
        found[order] = numbers * most + place
        put = self.backend.asarray
        of_model = np.maximum(self.which, 0)
        parts = (padded.reshape(-1), found, of_model, self.which >= 0)
        return tuple(map(put, parts))

    def stored(self) -> dict[str, Any]:
        """Return what of it is in a file."""
        return {name: getattr(self, name) for name in ("shared", "inverses", "rest", "which")}

    @classmethod
    def restored(cls, read: Callable[..., Any], problem: Problem) -> ModelCurvature:
        """Return the curvature, from what :meth:`stored` returned, whose items are read."""
        arrays = {name: read(name) for name in ("inverses", "rest", "which")}
        found = cls(shared=read("shared", problem), **arrays, backend=problem.backend)
        n, n_along = problem.rows.n_features, found.inverses.shape[1] + found.rest.shape[1]
        if n_along != n + 1:
            raise ValueError(f"factors along {n_along} directions, not {n + 1}")
        check_places(found.which + 1, found.inverses.shape[0] + 1, "factors")
        return found

    def take(self, models: Integers) -> ModelCurvature:
        """Return the curvature of some of the models (indices on the host)."""
        return replace(self, which=self.which[models]).compact()

    def at(self, problem: Problem, margins: Margins) -> ModelCurvature:
        """Return the curvature where models are: here it is what was found last."""
        return self

    def none(self, n_models: int) -> ModelCurvature:
        """Return the curvature of models none of which has a factor of its own."""
        which = np.full(n_models, -1)
        return replace(self, inverses=self.inverses[:0, ...], rest=self.rest[:0, ...], which=which)

    def changed(self, flags: npt.NDArray[np.bool_], new: ModelCurvature) -> ModelCurvature:
        """Return the curvature with that of the models that are flagged from ``new``.

        ``new`` is the curvature of these models alone, in their order.
        """
        xp, n = self.backend.xp, int(self.inverses.shape[0])
        which = self.which.copy()
        which[flags] = np.where(new.which >= 0, new.which + n, which[flags])
        inverses = xp.concat([self.inverses, new.inverses])
        rest = xp.concat([self.rest, new.rest])
        return replace(self, inverses=inverses, rest=rest, which=which).compact()

    def compact(self) -> ModelCurvature:
        """Return it without factors that are not in use, where these are half of them or more."""
        used = np.unique(self.which[self.which >= 0])
        if 2 * len(used) > self.inverses.shape[0] or not len(used):
            return self
        xp, kept = self.backend.xp, self.backend.asarray(used)
        inverses, rest = (xp.take(part, kept, axis=0) for part in (self.inverses, self.rest))
        which = np.where(self.which >= 0, np.searchsorted(used, self.which), -1)
        return replace(self, inverses=inverses, rest=rest, which=which)

    def reduce(self, gradient: Array) -> Array:
        """Return the gradient in the coordinates u; see :meth:`SharedCurvature.reduce`."""
        return self.shared.reduce(gradient)

    def expand(self, u: Array) -> Array:
        """Return the parameters, or a change of them; see :meth:`SharedCurvature.expand`."""
        return self.shared.expand(u)

    def solve(self, q: Array, kappa: Array, lam: Array) -> Array:
        """Return the inverses applied to a reduced gradient q; κ and λ are (n_models,).

        κ is of use only to models without a factor.
        """
        if not np.any(self.which >= 0):
            return self.shared.solve(q, kappa, lam)
        xp, inverses = array_namespace(q), self.inverses
        padded, found, of_model, own = self._order
        n_rest, size = int(self.rest.shape[1]), int(inverses.shape[1])
        leading = xp.astype(xp.take(q[n_rest:, :].T, padded, axis=0), inverses.dtype)
        leading = xp.reshape(leading, (int(inverses.shape[0]), -1, size))
        leading = (leading @ xp.matrix_transpose(inverses)) @ inverses
        leading = xp.take(xp.reshape(leading, (-1, size)), found, axis=0).T
        u = xp.astype(leading, q.dtype)
        if n_rest:
            share = self.shared.share
            share = share if isinstance(share, float) else share[:n_rest, :]
            diagonal = xp.take(self.rest, of_model, axis=0).T + lam * share
            u = xp.concat([q[:n_rest, :] / diagonal, u], axis=0)
        return u if np.all(self.which >= 0) else xp.where(own, u, self.shared.solve(q, kappa, lam))


def inverses_of(hessians: Array) -> Array:
    """Return L⁻¹ of symmetric positive definite matrices L Lᵀ, (…, n, n)."""
    return _inverted(array_namespace(hessians).linalg.cholesky(hessians))


def _inverted(L: Array) -> Array:
    """Return the inverses of lower triangular matrices, of halves: nearly all is products."""
    xp, n = array_namespace(L), int(L.shape[-1])
    if n <= 32:
        return xp.linalg.inv(L)
    h = n // 2
    top, bottom = _inverted(L[..., :h, :h]), _inverted(L[..., h:, h:])
    below = -(bottom @ (L[..., h:, :h] @ top))
    above = xp.zeros_like(xp.matrix_transpose(below))
    return xp.concat(
        [xp.concat([top, above], axis=-1), xp.concat([below, bottom], axis=-1)], axis=-2
    )
