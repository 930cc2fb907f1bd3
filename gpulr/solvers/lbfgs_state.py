"""What L-BFGS carries from one iteration to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from gpulr.core.problem import Margins
from gpulr.namespaces import array_namespace
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.exact_curvature import ExactCurvature
from gpulr.solvers.model_curvature import ModelCurvature
from gpulr.solvers.refresh import Pool
from gpulr.solvers.solver import State

Array = Any
EachModel = Annotated[Array, "(n_models,) float"]

KAPPA = (1e-6, 0.25)  # bounds of the mean of σ'


@dataclass(frozen=True, slots=True)
class Pair:
    """A step s and the change y of the gradient along it, in the shared curvature's coordinates.

    s and y are in the dtype of the gradients' products or a wider one.
    """

    s: Annotated[Array, "(n_features + 1, n_models) float"]
    y: Annotated[Array, "(n_features + 1, n_models) float"]
    rho: Annotated[Array, "(n_models,) float"]  # 1 / sᵀy, or 0: not to be used
    # yᵀs of the pairs before, or None: unknown
    inner: Annotated[Array, "(n_before, n_models) float"] | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What all models share."""

    curvature: Annotated[Any, SharedCurvature | ExactCurvature]
    # of a sample of the rows; None: all of them
    index: Annotated[Array, "(n_sample,) int64"] | None
    pool: Pool | None = None  # of which models' own curvature is found; None: it is not


@dataclass(frozen=True, slots=True)
class LBFGSState(State):
    """Where each model is, and what it has learnt of its cost."""

    # the gradient in the coordinates of the curvature
    reduced: Annotated[Array, "(n_features + 1, n_models) float"]
    margins: Margins  # of all rows at theta
    pairs: tuple[Pair, ...]  # oldest first
    gamma: EachModel  # scale of the initial inverse Hessian
    kappa: EachModel  # mean of σ' over the rows, where last looked at
    best: EachModel  # the smallest gradient norm so far
    least: EachModel  # the smallest cost so far
    idle: EachModel  # since either last improved, MOVED or FAILED for each iteration
    factor: EachModel  # of the next step: 1, and a quarter of it for each that failed
    stalled: Annotated[Array, "(n_models,) bool"]  # no better is to be had in this precision
    age: int  # iterations since Z was computed from theta
    curvature: Annotated[Any, SharedCurvature | ModelCurvature | ExactCurvature]
    pool: Pool | None = None  # as in Prepared
    iteration: int = 0
    # How often a model's own curvature was found, or -1: it is exact in every iteration. None:
    # never, of any model.
    refreshes: Annotated[Array, "(n_models,) int64"] | None = None
    # what measure() returns, where kernels have written it
    measured: Annotated[Array, "(3, n_models) float64"] | None = None


def clip(x: Array, least: float, most: float) -> Array:
    """Return x within bounds."""
    xp = array_namespace(x)  # array_api_compat's clip indexes by masks, which waits for a GPU
    return xp.minimum(xp.maximum(x, least), most)
