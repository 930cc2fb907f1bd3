"""CUDA kernels: their sources, layout, launch, and when a problem's passes go through them.

Imports core and backend, which compiles and launches them.
"""

from __future__ import annotations

from gpulr.backend import Backend
from gpulr.core.problem import Problem

__all__ = ["problem_class"]


def problem_class(backend: Backend) -> type[Problem]:
    """Return the class of the problems that are to be solved on a backend."""
    if backend.kernels is None:
        return Problem
    from gpulr.kernels.dispatch import FusedProblem  # takes 20 ms

    return FusedProblem
