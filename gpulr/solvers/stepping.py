"""L-BFGS's step along a direction, by array functions: how long it is, and whether it was good.

:class:`gpulr.kernels.step.Step` does the same by kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpulr.core.problem import Margins, Problem
from gpulr.solvers.lbfgs_state import KAPPA, clip

Array = Any


@dataclass(frozen=True, slots=True)
class Stepping:
    """The step of all models of a problem, between the direction and the next pair."""

    problem: Problem

    def choose(
        self, theta: Array, margins: Margins, D: Array, dZ: Margins, factor: Array
    ) -> tuple[Array, Array, Array, Margins]:
        """Return t, the mean of σ' at 1, θ + t D, and its margins, for which dZ is used up.

        t is ``factor`` times what Newton's method finds from 1 on.
        """
        t, kappa = self._newton(theta, margins, D, dZ)
        t = factor * t
        moved = self.problem.backend.combine(theta, t[None, :], [D])
        return t, kappa, moved, margins.along(dZ, t)

    def _newton(self, theta: Array, margins: Margins, D: Array, dZ: Margins) -> tuple[Array, Array]:
        """Return the step that Newton's method takes from 1 along D, and the mean of σ' at 1."""
        problem, xp = self.problem, self.problem.backend.xp
        W, V = theta[:-1, :], D[:-1, :]
        if not isinstance(problem.rows.factor, float):
            W, V = problem.rows.factor * W, problem.rows.factor * V
        penalty = problem.penalty * problem.backend.dots([W, V], V)
        first, second, kappa = problem.derivatives_along(margins, dZ, 1.0)
        first = first + penalty[0, :] + penalty[1, :]
        second = second + penalty[1, :]
        t = 1.0 - first / xp.where(second > 0.0, second, 1.0)
        return clip(t, 0.05, 10.0), clip(kappa, *KAPPA)

    def judge(
        self,
        before: Sequence[Array],
        after: Sequence[Array],
        slope: Array,
        t: Array,
        known: Sequence[Array],
        margins: tuple[Margins, Margins],
        limits: tuple[float, ...],
    ) -> tuple[Sequence[Array], Margins, list[Array], Array, Array | None]:
        """Keep steps that are good enough.

        ``before`` and ``after`` are θ, cost, gradient and reduced gradient, ``margins`` those then:
        of models whose step was not good enough the former are kept. ``known`` are best, least,
        idle and factor; ``limits`` the noise of a cost, relative, and the solver's LEAP, MOVED,
        FAILED and STALLED. Returns θ … and margins as they are now, the four anew, which models
        have stalled, and no figures: :func:`gpulr.solvers.solver.measure` finds them.
        """
        xp, (best, least, idle, factor) = self.problem.backend.xp, known
        relative, leap, moved, failed, stalled = limits
        noise, cost = relative * xp.abs(before[1]), after[1]
        norm = xp.max(xp.abs(after[2]), axis=0)
        enough, about_equal = cost <= before[1] + 1e-4 * t * slope, cost <= before[1] + noise
        enough = xp.logical_or(enough, xp.logical_and(about_equal, norm <= leap * best))
        kept = margins[1]
        if not self.problem.backend.known_true(enough):
            after = [xp.where(enough, new, old) for new, old in zip(after, before, strict=True)]
            kept, cost = kept.where(enough, margins[0]), after[1]
            norm = xp.max(xp.abs(after[2]), axis=0)
        better = xp.logical_or(norm < 0.9 * best, cost < least - noise / 8.0)
        tries = xp.where(xp.logical_or(enough, about_equal), idle + moved, idle + failed)
        idle = xp.where(better, 0.0, tries)
        found = [xp.minimum(norm, best), xp.minimum(cost, least), idle]
        found.append(xp.where(enough, 1.0, factor / 4.0))
        return after, kept, found, idle >= stalled, None
