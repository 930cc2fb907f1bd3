"""What L-BFGS computes between passes, by a kernel each: a direction, and the next pair.

The array functions of :mod:`gpulr.solvers.lbfgs` say what that is, and serve wherever these do not:
without kernels, with a curvature of which only leading eigenvectors are known, or with more pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from gpulr.backend.arrays import to_host

if TYPE_CHECKING:
    from gpulr.backend.base import Backend
    from gpulr.kernels.fused import Kernels, Launch
    from gpulr.solvers.curvature import SharedCurvature
    from gpulr.solvers.lbfgs import LBFGSState

Array = Any

__all__ = ["Recursion", "disagreement"]

SOURCE = Path(__file__).with_name("recursion.cu")
THREADS, PAIRS = 256, 10  # those of recursion.cu


@dataclass(frozen=True, eq=False)
class Recursion:
    """L-BFGS's two loops, and what it learns from a step; nothing waits for the device."""

    backend: Backend
    kernels: Kernels
    n_features: int

    def takes(self, state: LBFGSState) -> bool:
        """Whether kernels can serve: the initial Hessian is diagonal, and pairs are not too many.

        What they keep in shared memory, a number for each feature, fits wherever a fused pass does.
        """
        diagonal = state.curvature.complete and isinstance(state.curvature.share, float)
        return diagonal and len(state.pairs) <= PAIRS

    def direction(self, state: LBFGSState, lam: Array) -> tuple[Array, Array]:
        """Return d (n_features + 1, n_models), reduced, which goes down, and the slope along it."""
        put, pairs = self.kernels.contiguous, state.pairs
        missing = (None,) * (PAIRS - len(pairs))
        d, slope = self._like(state.reduced), self._like(state.gamma)
        arguments = [
            *map(put, (state.reduced, state.gamma, state.kappa, lam)),
            *self._of(state.curvature, state.reduced),
            *(*(put(pair.s) for pair in pairs), *missing),
            *(*(put(pair.y) for pair in pairs), *missing),
            *(*(put(pair.rho) for pair in pairs), *missing),
        ]
        self._finding((int(d.shape[1]), 1), THREADS, [*arguments, d, slope])
        return d, slope

    def pair(
        self, state: LBFGSState, d: Array, t: Array, reduced: Array, kappa: Array, lam: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Return s, y and ρ of the step t d, which changed the gradient to ``reduced``, and γ.

        Where the pair is not to be used, ρ and y are 0, and γ is what it was.
        """
        s, y, rho, gamma = map(self._like, (d, d, state.gamma, state.gamma))
        arguments = [
            *map(self.kernels.contiguous, (d, t, reduced, state.reduced, state.gamma, kappa, lam)),
            *self._of(state.curvature, d),
        ]
        self._learning((int(d.shape[1]), 1), THREADS, [*arguments, s, y, rho, gamma])
        return s, y, rho, gamma

    @cached_property
    def _finding(self) -> Launch:
        shared = 8 * (self.n_features + 1)  # bytes of what the loops change
        return self.kernels.kernel(SOURCE, {}, "find_direction", shared)

    @cached_property
    def _learning(self) -> Launch:
        return self.kernels.kernel(SOURCE, {}, "learn_pair", 0)

    def _of(self, curvature: SharedCurvature, u: Array) -> tuple[Array, int, int]:
        return self.kernels.contiguous(curvature.values), self.n_features, int(u.shape[1])

    def _like(self, x: Array) -> Array:
        xp = self.backend.xp
        return xp.empty(x.shape, dtype=xp.float64, device=self.backend.device)


def disagreement(backend: Backend, kernels: Kernels) -> str | None:
    """Say where the kernels differ from BFGS by matrices, on a few made-up steps; or None."""
    n, k, put = 5, 2, backend.asarray
    recursion, rng = Recursion(backend, kernels, n), np.random.default_rng(0)
    hessian = np.diag(np.arange(1.0, n + 2)) + 0.1
    values = np.linspace(0.1, 1.0, n)[:, np.newaxis]
    curvature = SimpleNamespace(values=put(values))
    gamma, kappa, lam, t = rng.uniform(0.5, 1.0, (4, k))
    inverse = 1.0 / np.vstack([kappa * values + lam, kappa[np.newaxis, :]])
    g = rng.standard_normal((n + 1, k))
    steps: list[Any] = []
    pairs: list[Any] = []
    for _ in range(3):
        state: Any = SimpleNamespace(
            reduced=put(g), gamma=put(gamma), kappa=put(kappa), pairs=pairs, curvature=curvature
        )
        d = -_by_matrices(g, gamma * inverse, steps)
        s = t * d
        y = hessian @ s
        rho, slope = 1.0 / np.sum(s * y, axis=0), np.sum(d * g, axis=0)
        gamma = 1.0 / (rho * np.sum(y * inverse * y, axis=0))
        expected = {"direction": d, "slope": slope, "step": s, "change": y, "ρ": rho, "γ": gamma}
        found = recursion.direction(state, put(lam))
        pair = recursion.pair(state, found[0], put(t), put(g + y), put(kappa), put(lam))
        for (name, theirs), ours in zip(expected.items(), (*found, *pair), strict=True):
            apart, largest = np.abs(to_host(ours) - theirs).max(), np.abs(theirs).max()
            if not apart <= 1e-9 * largest:
                return f"L-BFGS's {name} is off by {apart:.1e}, of {largest:.1e}"
        steps.append((s, y, rho))
        pairs.append(SimpleNamespace(s=put(s), y=put(y), rho=put(rho)))
        g = g + y
    return None


def _by_matrices(g: Any, diagonal: Any, steps: list[Any]) -> Any:
    """Return H g of each model, H updated by (6.17) of Nocedal & Wright 2006."""
    columns = []
    for j in range(g.shape[1]):
        H = np.diag(diagonal[:, j])
        for s, y, rho in steps:
            V = np.eye(len(H)) - rho[j] * np.outer(y[:, j], s[:, j])
            H = V.T @ H @ V + rho[j] * np.outer(s[:, j], s[:, j])
        columns.append(H @ g[:, j])
    return np.stack(columns, axis=1)
