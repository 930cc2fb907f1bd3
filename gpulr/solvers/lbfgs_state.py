"""What L-BFGS carries from one iteration to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpulr.core.problem import Margins
from gpulr.namespaces import array_namespace
from gpulr.solvers.refresh import Pool
from gpulr.solvers.solver import State

Array = Any

KAPPA = (1e-6, 0.25)  # bounds of the mean of σ'


@dataclass(frozen=True, slots=True)
class Pair:
    """A step s and the change y of the gradient along it, in the shared curvature's coordinates.

    s and y are (n_features + 1, n_models), in the dtype of the gradients' products or a wider one.
    """

    s: Array
    y: Array
    rho: Array  # (n_models,) 1 / sᵀy, or 0: not to be used
    inner: Array | None = None  # (n_before, n_models) yᵀs of the pairs before, or None: unknown


@dataclass(frozen=True, slots=True)
class Prepared:
    """What all models share."""

    curvature: Any  # SharedCurvature or ExactCurvature
    index: Array | None  # of a sample of the rows; None: all of them
    pool: Pool | None = None  # of which models' own curvature is found; None: it is not


@dataclass(frozen=True, slots=True)
class LBFGSState(State):
    """Where each model is, and what it has learnt of its cost."""

    reduced: Array  # the gradient in the coordinates of the curvature
    margins: Margins  # of all rows at theta
    pairs: tuple[Pair, ...]  # oldest first
    gamma: Array  # (n_models,) scale of the initial inverse Hessian
    kappa: Array  # (n_models,) mean of σ' over the rows, where last looked at
    best: Array  # (n_models,) the smallest gradient norm so far
    least: Array  # (n_models,) the smallest cost so far
    idle: Array  # (n_models,) since either last improved, MOVED or FAILED for each iteration
    factor: Array  # (n_models,) of the next step: 1, and a quarter of it for each that failed
    stalled: Array  # (n_models,) bool: no better is to be had in this precision
    age: int  # iterations since Z was computed from theta
    curvature: Any  # SharedCurvature, ModelCurvature or ExactCurvature
    pool: Pool | None = None  # as in Prepared
    iteration: int = 0
    # (n_models,) How often its own curvature was found, or -1: it is exact in every iteration.
    # None: never, of any model.
    refreshes: Array | None = None
    measured: Array | None = None  # what measure() returns, where kernels have written it


def clip(x: Array, least: float, most: float) -> Array:
    """Return x within bounds."""
    xp = array_namespace(x)  # array_api_compat's clip indexes by masks, which waits for a GPU
    return xp.minimum(xp.maximum(x, least), most)
