"""What L-BFGS computes between passes, by a kernel each: a direction, and the next pair.

The array functions of L-BFGS say what that is, and serve wherever these do not: without kernels,
with a curvature of which only leading eigenvectors are known, or with more pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpulr.backend import Backend, to_host
from gpulr.backend.cuda_kernels import Kernels

Array = Any
Pair = tuple[Array, Array, Array]  # s and y (n_features + 1, n_models), ρ (n_models,)
# Models' own curvatures: inverses and rest as ModelCurvature has them, and each model's number
# (n_models,) int32. None: all go by the shared one.
Factors = tuple[Array, Array, Array] | None

SOURCE = Path(__file__).with_name("recursion.cu")
THREADS, PAIRS = 256, 10  # those of recursion.cu
MOST_OWN = 1024  # features of models with factors, at most: SharedCurvature.full_up_to


class Recursion:
    """L-BFGS's two loops, and what it learns from a step; nothing waits for the device.

    Directions and gradients are in coordinates in which the initial Hessian, κ · values + λ, is
    diagonal: ``values`` is (n_features, 1), κ and λ are (n_models,). Models with factors have an
    initial Hessian of their own. What kernels keep in shared memory, a number for each feature and
    one for each coordinate of a factor, fits wherever a fused pass does.
    """

    def __init__(self, backend: Backend, kernels: Kernels, n_features: int) -> None:
        self.backend, self.put, self.n_features = backend, kernels.contiguous, n_features
        # Bytes of what is changed, and of as much of it as factors are multiplied by.
        shared = 8 * (n_features + 1 + min(n_features, MOST_OWN) + 1)
        self._find_direction = kernels.kernel(SOURCE, {}, "find_direction", shared)
        self._learn_pair = kernels.kernel(SOURCE, {}, "learn_pair", shared)

    def direction(
        self,
        gradient: Array,
        pairs: Sequence[Pair],
        values: Array,
        gamma: Array,
        kappa: Array,
        lam: Array,
        factors: Factors = None,
    ) -> tuple[Array, Array]:
        """Return d (n_features + 1, n_models), which goes down, and the slope along it.

        ``pairs``, oldest first, are at most ``PAIRS``.
        """
        (d, slope), k = self._like(gradient, gamma), int(gradient.shape[1])
        missing = (None,) * (PAIRS - len(pairs))
        arguments = [*map(self.put, (gradient, gamma, kappa, lam, values)), self.n_features, k]
        arguments += self._of(factors)
        for part in range(3):
            arguments += [*(self.put(pair[part]) for pair in pairs), *missing]
        self._find_direction((k, 1), THREADS, [*arguments, d, slope])
        return d, slope

    def pair(
        self,
        d: Array,
        t: Array,
        after: Array,
        before: Array,
        values: Array,
        gamma: Array,
        kappa: Array,
        lam: Array,
        factors: Factors = None,
    ) -> tuple[Array, Array, Array, Array]:
        """Return s, y and ρ of the step t d, and γ, from the gradients after it and before.

        Where the pair is not to be used, ρ and y are 0, and γ is what it was.
        """
        (s, y, rho, new), k = self._like(d, d, t, t), int(d.shape[1])
        given = map(self.put, (d, t, after, before, gamma, kappa, lam, values))
        known = [*given, self.n_features, k, *self._of(factors)]
        self._learn_pair((k, 1), THREADS, [*known, s, y, rho, new])
        return s, y, rho, new

    def _of(self, factors: Factors) -> list[Any]:
        """Return what kernels take of factors: arrays, their size, and whether they are float64."""
        if factors is None:
            return [None, None, None, 0, 0]
        inverses = factors[0]
        return [*map(self.put, factors), int(inverses.shape[1]), int(inverses.dtype.itemsize == 8)]

    def _like(self, *arrays: Array) -> list[Array]:
        xp, device = self.backend.xp, self.backend.device
        return [xp.empty(x.shape, dtype=xp.float64, device=device) for x in arrays]


def disagreement(backend: Backend, kernels: Kernels) -> str | None:
    """Say where the kernels differ from BFGS by matrices, on a few made-up steps; or None."""
    n, k, put = 5, 2, backend.asarray
    recursion, rng = Recursion(backend, kernels, n), np.random.default_rng(0)
    hessian = np.diag(np.arange(1.0, n + 2)) + 0.1
    values = np.linspace(0.1, 1.0, n)[:, np.newaxis]
    gamma, kappa, lam, t = rng.uniform(0.5, 1.0, (4, k))
    # The first model has a factor of its own, in the last three coordinates.
    L = (0.2 * np.eye(3) + 0.1 * np.tri(3)).astype(np.float32)[np.newaxis]
    rest, which = np.array([[0.5, 0.7, 0.9]]), np.array([0, -1], dtype=np.int32)
    inverse = [np.diag(1.0 / np.append(kappa[j] * values + lam[j], kappa[j])) for j in range(k)]
    inverse[0] = np.diag(np.append(1.0 / (rest[0] + lam[0]), np.zeros(3)))
    inverse[0][3:, 3:] = L[0].astype(np.float64).T @ L[0]
    factors = put(L), put(rest), put(which)
    g = rng.standard_normal((n + 1, k))
    steps: list[tuple[Any, Any, Any]] = []
    for _ in range(3):
        d = -_by_matrices(g, [gamma[j] * inverse[j] for j in range(k)], steps)
        s = t * d
        y = hessian @ s
        rho, slope = 1.0 / np.sum(s * y, axis=0), np.sum(d * g, axis=0)
        pairs = [(put(s), put(y), put(rho)) for s, y, rho in steps]
        initial = [put(values), put(gamma), put(kappa), put(lam), factors]
        gamma = 1.0 / (rho * [y[:, j] @ inverse[j] @ y[:, j] for j in range(k)])
        expected = {"direction": d, "slope": slope, "step": s, "change": y, "ρ": rho, "γ": gamma}
        found = recursion.direction(put(g), pairs, *initial)
        pair = recursion.pair(found[0], put(t), put(g + y), put(g), *initial)
        for (name, theirs), ours in zip(expected.items(), (*found, *pair), strict=True):
            apart, largest = np.abs(to_host(ours) - theirs).max(), np.abs(theirs).max()
            if not apart <= 1e-9 * largest:
                return f"L-BFGS's {name} is off by {apart:.1e}, of {largest:.1e}"
        steps.append((s, y, rho))
        g = g + y
    return None


def _by_matrices(g: Any, initial: list[Any], steps: list[Any]) -> Any:
    """Return H g of each model, H updated by (6.17) of Nocedal & Wright 2006."""
    columns = []
    for j, H in enumerate(initial):
        for s, y, rho in steps:
            V = np.eye(len(H)) - rho[j] * np.outer(y[:, j], s[:, j])
            H = V.T @ H @ V + rho[j] * np.outer(s[:, j], s[:, j])
        columns.append(H @ g[:, j])
    return np.stack(columns, axis=1)
