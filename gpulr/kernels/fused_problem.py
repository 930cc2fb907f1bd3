"""Problems whose passes go through the fused kernels, where these serve and are faster."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from gpulr.core.margins import Margins
from gpulr.core.problem import Pass, Problem
from gpulr.kernels.dispatch import Dispatch, choose
from gpulr.kernels.recursion import Recursion

Array = Any


class FusedProblem(Problem):
    """A problem on a backend that has kernels; a part of its models, or rows, is another one."""

    @cached_property
    def dispatch(self) -> Dispatch:
        """What computes the passes of this problem."""
        kernels = self.backend.kernels
        assert kernels is not None  # else it would be a Problem
        return choose(self, kernels)

    @property
    def recursion(self) -> Recursion | None:
        return self.dispatch.recursion

    @property
    def descend(self) -> Callable[[Array, Array, Array, int], tuple[Array, ...]] | None:
        return None if self.dispatch.whole is None else self.dispatch.whole.descend

    def evaluate(self, theta: Array) -> Pass:
        fused = self.dispatch.whole
        return super().evaluate(theta) if fused is None else Pass(*fused.evaluate(theta))

    def margins(self, theta: Array) -> Margins:
        fused = self.dispatch.halves
        if fused is None:
            return super().margins(theta)
        return Margins(fused.margins(theta), self.backend)

    def evaluate_margins(self, margins: Margins, theta: Array) -> Pass:
        fused = self.dispatch.halves
        if fused is None:
            return super().evaluate_margins(margins, theta)
        return Pass(*fused.evaluate_margins(margins.Z, theta))
