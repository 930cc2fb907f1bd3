"""The baselines, independent of gpulr's code: the notebook's way, and plain NumPy in a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

Floats = npt.NDArray[Any]


def sigmoid(z: Floats) -> Floats:
    return 1 / (1 + np.exp(-z))


def propagate(X: Floats, y: Floats, w: Floats, b: float) -> tuple[float, Floats, float]:
    """One digit: cost, and its gradient with respect to w and b, as the notebook writes them.

    X (m, n) float64 has been divided by 255; y and w are columns, (m, 1) and (n, 1). The notebook's
    slip in db is mended, so that results can be compared.
    """
    m = X.shape[0]
    y_hat = sigmoid(np.dot(X, w) + b)
    cost = -1 / m * np.sum(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat))
    dw = 1 / m * np.dot(X.T, y_hat - y)
    db = 1 / m * np.sum(y_hat - y)
    return cost, dw, db


def optimize(
    X: Floats, y: Floats, iterations: int, learning_rate: float
) -> tuple[Floats, float, list[float]]:
    """One digit: gradient descent from zero, keeping the cost of every iteration."""
    w, b = np.zeros((X.shape[1], 1)), 0.0
    costs = []
    for _ in range(iterations):
        cost, dw, db = propagate(X, y, w, b)
        w = w - learning_rate * dw
        b = b - learning_rate * db
        costs.append(cost)
    return w, b, costs


def batched_gradient(X: Floats, Y: Floats, W: Floats, b: Floats) -> tuple[Floats, Floats]:
    """All columns at once in whatever dtype comes in: the gradient alone, no cost."""
    R = expit(X @ W + b) - Y
    return X.T @ R / len(X), R.mean(axis=0)


def batched_optimize(
    X: Floats, Y: Floats, iterations: int, learning_rate: float
) -> tuple[Floats, Floats]:
    """All columns at once: gradient descent from zero, without looking at the cost."""
    W = np.zeros((X.shape[1], Y.shape[1]), X.dtype)
    b = np.zeros(Y.shape[1], X.dtype)
    for _ in range(iterations):
        dW, db = batched_gradient(X, Y, W, b)
        W = W - learning_rate * dW
        b = b - learning_rate * db
    return W, b
