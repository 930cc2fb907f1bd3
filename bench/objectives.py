"""The objective in float64, and its optimum, without any of gpulr's code.

Per model, for m rows: (1/m) Σ log(1 + exp(z)) − y z + ‖w‖² / (2 C m), with z = xᵀw + b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.peer_data import indicator

Floats = npt.NDArray[Any]
BLOCK = 8192


class Objective:
    """The one-vs-all models of some classes on rows X.

    Parameters
    ----------
    X : (n_samples, n_features), already scaled
    y : (n_samples,) int
    classes : sequence of int
        One model for each.
    C : float
    """

    def __init__(self, X: Floats, y: Floats, classes: Any, C: float) -> None:
        self.X = np.asarray(X, dtype=np.float64)
        self.Y = indicator(y, classes, np.float64)
        self.lam = 1.0 / (C * len(y))

    def costs(self, W: Floats, b: Floats, models: Any = slice(None)) -> Floats:
        """Return the cost of each model, for weights (n_features, k) and intercepts (k,)."""
        W, b = np.asarray(W, dtype=np.float64), np.asarray(b, dtype=np.float64)
        total = np.zeros(W.shape[1])
        for start in range(0, len(self.X), BLOCK):
            rows = slice(start, start + BLOCK)
            total += _losses(self.X[rows] @ W + b, self.Y[rows, models])
        return total / len(self.X) + 0.5 * self.lam * (W * W).sum(axis=0)

    def newton(self, w: Floats, b: float, model: int, goal: float, most: int = 60) -> Optimum:
        """Minimise one model to a gradient below ``goal``, from (w, b).

        The Hessian is summed in float32 blocks and reused while steps taken with it still reduce
        the gradient a hundredfold; cost and gradient are float64.
        """
        theta, y = np.append(w, b).astype(np.float64), self.Y[:, model]
        m = len(y)
        factor, last = None, np.inf
        z = self.X @ theta[:-1] + theta[-1]
        for step in range(most + 1):
            p = 0.5 * (1.0 + np.tanh(0.5 * z))
            gradient = np.append(self.X.T @ (p - y) / m + self.lam * theta[:-1], np.mean(p - y))
            norm = float(np.max(np.abs(gradient)))
            if norm <= goal or step == most:
                break
            if factor is None or norm > 0.01 * last:
                factor = np.linalg.inv(self._hessian(p * (1.0 - p)))
            last = norm
            direction = -factor @ gradient
            dz = self.X @ direction[:-1] + direction[-1]
            here, t = self._cost(theta, z, y), 1.0
            while t > 1e-6 and self._cost(theta + t * direction, z + t * dz, y) > here + 1e-14:
                t, last = t / 2, np.inf
            theta = theta + t * direction
            z = self.X @ theta[:-1] + theta[-1]
        return Optimum(self._cost(theta, z, y), norm, theta)

    def _cost(self, theta: Floats, z: Floats, y: Floats) -> float:
        penalty = 0.5 * self.lam * float(theta[:-1] @ theta[:-1])
        return float(_losses(z[:, np.newaxis], y[:, np.newaxis])[0]) / len(y) + penalty

    def _hessian(self, curvature: Floats) -> Floats:
        n = self.X.shape[1]
        H = np.zeros((n + 1, n + 1))
        root = np.sqrt(curvature).astype(np.float32)[:, np.newaxis]
        for start in range(0, len(self.X), BLOCK):
            rows = slice(start, start + BLOCK)
            A = np.empty((len(root[rows]), n + 1), dtype=np.float32)
            np.multiply(self.X[rows], root[rows], out=A[:, :n], casting="same_kind")
            A[:, n] = root[rows, 0]
            H += A.T @ A
        H /= len(self.X)
        H[np.arange(n), np.arange(n)] += self.lam
        return H


@dataclass(frozen=True, slots=True)
class Optimum:
    """The smallest cost of one model, and where it was found.

    Attributes
    ----------
    cost : float
    gradient_norm : float
        The gradient's largest absolute entry.
    theta : (n_features + 1,)
        Weights and, last, the intercept.
    """

    cost: float
    gradient_norm: float
    theta: Floats


def _losses(Z: Floats, Y: Floats) -> Floats:
    return (np.maximum(Z, 0.0) - Y * Z + np.log1p(np.exp(-np.abs(Z)))).sum(axis=0)
