"""One-vs-all logistic regression: the mathematics, and nothing else.

Every model is one column. With the rows ``X``, the weights ``W``, the intercept ``b`` and targets
``Y`` of zeros and ones::

    X (n_samples, n_features)   W (n_features, n_models)   b (n_models,)   Y (n_samples, n_models)

and sample weights ``s`` (all ones unless given) that sum to ``m``, per model:

    margins        Z = X W + b
    probabilities  P = σ(Z)                      σ(z) = 1 / (1 + exp(−z))
    log-loss       ℓ(z, y) = −y log σ(z) − (1 − y) log(1 − σ(z))
                           = max(z, 0) − y z + log1p(exp(−|z|))
    residuals      R = P − Y = (1 − 2Y) σ((1 − 2Y) Z)

    cost           J      = (1/m) Σᵢ sᵢ ℓ(zᵢ, yᵢ) + ‖w‖² / (2 C m)
    gradient       ∂J/∂W  = (1/m) Xᵀ (s ∘ R) + W / (C m)
                   ∂J/∂b  = (1/m) Σᵢ sᵢ rᵢ

``C`` is the inverse regularisation strength; ``C = ∞`` means no penalty, and the intercept is never
penalised. This is scikit-learn's objective divided by ``C m``, so an equal ``C`` has an equal
optimum.

The functions take arrays of any library that follows the array API standard (NumPy, CuPy, …) and
compute where those are; lists, and numbers alone, are taken as NumPy's. ``forward`` and
``backward`` return *sums over rows*, so a pass adds up what they return for each block of rows, and
``cost`` and ``gradient`` turn the sums into means and add the penalty.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from gpulr.namespaces import array_namespace

Array = Any  # an array of whichever library the caller uses
T = TypeVar("T")

__all__ = [
    "activate",
    "backward",
    "cost",
    "derivatives_along",
    "forward",
    "gradient",
    "log_loss",
    "log_normalized",
    "sigmoid",
    "slope",
    "unsigned",
]


def _of_lists(function: Callable[..., T]) -> Callable[..., T]:
    """Let a function take lists and, where none of its arguments is an array, numbers."""

    @wraps(function)
    def call(*arrays: Any, **named: Any) -> T:
        are_arrays = [hasattr(array, "dtype") for array in arrays if array is not None]
        if all(are_arrays):  # as in every pass
            return function(*arrays, **named)
        kinds = (list, tuple) if any(are_arrays) else (list, tuple, float, int)
        made = (np.asarray(x, dtype=float) if isinstance(x, kinds) else x for x in arrays)
        return function(*made, **named)

    return call


@_of_lists
def sigmoid(Z: Array) -> Array:
    """Return the probabilities σ(Z), element by element.

    The numerator is 1 or e^z, the denominator 1 + e^−|z|. So ``exp`` never sees a positive number
    and cannot overflow, and both tails are exact to rounding.
    """
    xp = array_namespace(Z)
    e = xp.exp(-xp.abs(Z))
    return xp.exp(xp.minimum(Z, 0.0)) / (1.0 + e)


@_of_lists
def slope(Z: Array) -> Array:
    """Return the slopes σ'(Z) = p (1 − p), element by element."""
    xp = array_namespace(Z)
    e = xp.exp(-xp.abs(Z))
    return e / (1.0 + e) ** 2


@_of_lists
def log_loss(Z: Array, Y: Array) -> Array:
    """Return the log-loss ℓ(Z, Y), element by element, from the margins.

    The logarithm of a probability would lose everything beyond ``|z|`` ≈ 17 in float32; this form
    is exact to rounding at any margin, without epsilon or clipping.
    """
    xp = array_namespace(Z)
    return xp.maximum(Z, 0.0) - Y * Z + xp.log1p(xp.exp(-xp.abs(Z)))


@_of_lists
def log_normalized(Z: Array) -> Array:
    """Return the logarithms of normalised probabilities, (n_rows, n_classes), from margins.

    Normalised probabilities sum to 1 in each row: they are each model's probability divided by the
    row's sum, so the logarithm is log σ(z) − log Σ σ(z). The form used here holds even if all of
    them underflow. A single column of margins is that of the second of two classes.
    """
    xp = array_namespace(Z)
    both = xp.concat([-Z, Z], axis=1) if Z.shape[1] == 1 else Z
    log_P = -log_loss(both, xp.ones_like(both))  # log σ(z) = −ℓ(z, 1)
    if Z.shape[1] == 1:
        return log_P
    log_P = log_P - xp.max(log_P, axis=1, keepdims=True)
    return log_P - xp.log(xp.sum(xp.exp(log_P), axis=1, keepdims=True))


@_of_lists
def forward(
    X: Array, W: Array, b: Array, Y: Array, s: Array | None = None
) -> tuple[Array, Array, Array]:
    """Forward propagation: from rows to margins, residuals and log-loss.

    X is (n_rows, n_features), W (n_features, n_models), b (n_models,), and Y (n_rows, n_models)
    zeros and ones. All arrays have one floating dtype. Weights ``s`` are (n_rows, 1) or (n_rows,
    n_models).

    It returns Z = X W + b and R = σ(Z) − Y, (n_rows, n_models), and Σᵢ sᵢ ℓ(zᵢ, yᵢ), (n_models,),
    accumulated in float64.
    """
    Z = X @ W + b
    return Z, *activate(Z, Y, s)


@_of_lists
def activate(Z: Array, Y: Array, s: Array | None = None) -> tuple[Array, Array]:
    """Return R and the summed log-loss from given margins, as ``forward`` does from X.

    P − Y would lose what is left of a sure positive, whose 1 − p is 0 in float32 from z ≈ 17 on.
    The margin towards the wrong answer, u = −z where y is 1 and z where it is 0, has no such limit:
    ℓ = max(u, 0) + log1p(exp(−|u|)), and r is σ(u) with the sign of 1 − 2y.
    """
    xp = array_namespace(Z)
    R, e = _exponents(Z, Y)  # min(u, 0) and −|u| as yet
    ell = R - e  # max(u, 0)
    R = xp.exp(R)
    e = xp.exp(e)
    ell += xp.log1p(e)
    e += 1.0
    R /= e
    R *= 1.0 - 2.0 * Y
    return R, *row_sums(ell if s is None else s * ell)


@_of_lists
def unsigned(T: Array, s: Array | None = None) -> tuple[Array, Array]:
    """Return Y and weights of its entries, (n_rows, n_models), from signed targets T.

    The size of a target is the weight of a row. A positive one means that the model should answer
    with 1, a negative one that it should answer with 0; and 0 says nothing. Weights ``s`` of the
    rows multiply these.
    """
    xp = array_namespace(T)
    weights = xp.abs(T)
    return xp.astype(T > 0.0, T.dtype), weights if s is None else weights * s


@_of_lists
def backward(X: Array, R: Array, s: Array | None = None) -> tuple[Array, Array]:
    """Backward propagation: from residuals to the gradient of the summed log-loss.

    X is (n_rows, n_features), R (n_rows, n_models), and the weights ``s`` are as for ``forward``.

    Returns
    -------
    dW : (n_features, n_models), in X's dtype
        Xᵀ (s ∘ R).
    db : (n_models,) float64
        Σᵢ sᵢ rᵢ.
    """
    R = R if s is None else s * R
    # Xᵀ R as (Rᵀ X)ᵀ: OpenBLAS then repacks the thin R rather than X (10 % of the product).
    return (R.T @ X).T, *row_sums(R)


@_of_lists
def cost(loss: Array, W: Array, C: Array, m: Array) -> Array:
    """Return the cost J of each model, (n_models,), from the summed log-loss of all rows.

    J is loss / m + ‖w‖² / (2 C m), with m the sum of the rows' weights.
    """
    xp = array_namespace(W)
    return loss / m + xp.sum(W * W, axis=0) / (2.0 * C * m)


@_of_lists
def gradient(dW: Array, db: Array, W: Array, C: Array, m: Array) -> tuple[Array, Array]:
    """Return the gradients ∂J/∂W (n_features, n_models) and ∂J/∂b (n_models,).

    dW and db are the sums over all rows that ``backward`` returns, and m is the sum of the rows'
    weights; the gradients are dW / m + W / (C m) and db / m.
    """
    return dW / m + W / (C * m), db / m


@_of_lists
def derivatives_along(
    Z: Array, D: Array, Y: Array, s: Array | None = None
) -> tuple[Array, Array, Array]:
    """Return derivatives of the summed log-loss along a change D of the margins Z.

    Margins are linear in the parameters, so a line search along stored margins needs no rows. The
    first derivative is Σᵢ sᵢ rᵢ dᵢ and the second Σᵢ sᵢ σ'(zᵢ) dᵢ²; the third value returned is Σᵢ
    sᵢ σ'(zᵢ). Each is (n_models,) float64, with σ' = p (1 − p) = e / (1 + e)², e = exp(−|z|).
    """
    xp = array_namespace(Z)
    R, slope = _exponents(Z, Y)  # min(u, 0) and −|u| as yet
    R = xp.exp(R)
    slope = xp.exp(slope)
    whole = 1.0 + slope
    R /= whole
    R *= 1.0 - 2.0 * Y
    slope /= whole
    slope /= whole
    del whole
    R *= D
    if s is not None:
        R, slope = s * R, s * slope
    bend = slope * D
    bend *= D
    first, second, spread = row_sums(R, bend, slope)
    return first, second, spread


def _exponents(Z: Array, Y: Array) -> tuple[Array, Array]:
    """Return min(u, 0) and −|u| for the margins u = (1 − 2y) z towards the wrong answer.

    Both are new, and made and used in place: every further array that is alive at a time is fresh
    pages of memory, which take as long as the arithmetic. u/2 and u/2 − |u|/2 = min(u, 0) are
    exact; NumPy's minimum with a scalar takes twice as long.
    """
    xp = array_namespace(Z)
    low = (0.5 - Y) * Z
    size = xp.abs(low)
    low -= size
    size *= -2.0
    return low, size


def row_sums(*arrays: Array) -> list[Array]:
    """Sum each over the rows in float64.

    NumPy is slower by four at reducing a thin array than at a product with ones, and GPUs are slow
    at products in float64, for which they would also need a wide copy.
    """
    xp = array_namespace(arrays[0])
    if xp is not np:
        return [xp.sum(A, axis=0, dtype=xp.float64) for A in arrays]
    ones = np.ones(arrays[0].shape[0])
    return [ones @ (A if A.dtype == np.float64 else A.astype(np.float64)) for A in arrays]
