"""Solvers: one driver loop (:mod:`gpulr.solvers.driver`) and one file for each method."""

from __future__ import annotations

from collections.abc import Callable

from gpulr.solvers.driver import Progress, Solution, Solver, State, minimize
from gpulr.solvers.gradient_descent import GradientDescent
from gpulr.solvers.nesterov import Nesterov

# Each takes a learning_rate, None for its own choice.
SOLVERS: dict[str, Callable[[float | None], Solver]] = {"gd": GradientDescent, "nesterov": Nesterov}

__all__ = [
    "SOLVERS",
    "GradientDescent",
    "Nesterov",
    "Progress",
    "Solution",
    "Solver",
    "State",
    "minimize",
]
