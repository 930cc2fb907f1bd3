"""Solvers: one driver loop (:mod:`gpulr.solvers.driver`) and the methods that it runs.

What is here knows a problem's cost, gradient and margins, and nothing of images, labels or models.
It may import kernels, core, backend and what is below.
"""

from __future__ import annotations

from collections.abc import Callable

from gpulr.solvers.driver import minimize
from gpulr.solvers.gradient_descent import GradientDescent, Nesterov
from gpulr.solvers.groups import (
    GroupedRun,
    falls_short,
    groups_of,
    minimize_in_groups,
    one_by_one,
)
from gpulr.solvers.lbfgs import LBFGS
from gpulr.solvers.run import Run
from gpulr.solvers.solution import Progress, Solution
from gpulr.solvers.solver import Solver

# Each takes a learning_rate, None for its own choice; L-BFGS searches along each direction instead.
SOLVERS: dict[str, Callable[[float | None], Solver]] = {
    "lbfgs": lambda learning_rate: LBFGS(),
    "nesterov": Nesterov,
    "gd": GradientDescent,
}

__all__ = [
    "LBFGS",
    "SOLVERS",
    "GradientDescent",
    "GroupedRun",
    "Nesterov",
    "Progress",
    "Run",
    "Solution",
    "Solver",
    "falls_short",
    "groups_of",
    "minimize",
    "minimize_in_groups",
    "one_by_one",
]
