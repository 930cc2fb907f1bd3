"""Random problems of every kind, and their optima in float64 by a formula and Newton's method.

Nothing of gpulr's is used: rows are scaled here as `gpulr.train` documents it, and the cost of a
model is written out once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.special

DTYPES = ("uint8", "bool", "int16", "int64", "float16", "float32", "float64")
SOLVERS = ("lbfgs", "lbfgs", "lbfgs", "nesterov", "gd")


@dataclass
class Problem:
    """What is passed to `gpulr.train`, and what is to be told of it."""

    X: Any
    y: np.ndarray
    settings: dict[str, Any]
    kind: dict[str, Any]


def random_problem(seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(5, 150)), int(rng.integers(1, 13))
    dtype, rows = str(rng.choice(DTYPES)), str(rng.choice(["blobs", "separable", "noise"]))
    labels = str(rng.choice(["classes", "two", "several", "missing"]))
    k = 2 if labels == "two" else int(rng.integers(3, 5))
    X, y = _rows(rng, n, p, k, rows)
    scales = str(rng.choice(["one", "all", "each"]))
    X = _in_dtype(rng, X, dtype, scales)
    if labels in ("several", "missing"):
        y = np.stack(
            [(y == j) ^ (rng.random(n) < 0.1 * (rows != "separable")) for j in range(k)], 1
        )
        y = y.astype(np.float64)
        if labels == "missing":
            y[rng.random(y.shape) < 0.3] = np.nan
            y[0] = np.arange(k) % 2
    sparse = bool(dtype.startswith("float") and dtype != "float16" and rng.random() < 0.25)
    if sparse:
        X = scipy.sparse.csr_array(np.where(rng.random(X.shape) < 0.5, X, 0).astype(dtype))
    settings = {
        "solver": str(rng.choice(SOLVERS)),
        "C": _inverse_penalty(rng, 1 if k == 2 and y.ndim == 1 else k),
        "dtype": str(rng.choice(["float32", "float64"])),
        "fit_intercept": bool(rng.random() < 0.8),
        "standardize": bool(not sparse and rng.random() < 0.3),
        "tol": float(rng.choice([1e-4, 1e-6, 1e-8])),
    }
    weights = str(rng.choice(["none", "none", "zeros", "wide", "whole"]))
    if weights != "none":
        s = {
            "zeros": rng.random(n) < 0.5,
            "wide": 10.0 ** rng.uniform(-3, 3, n),
            "whole": rng.integers(0, 4, n),
        }[weights].astype(np.float64)
        s[:k] = 1.0
        settings["sample_weight"] = s
    if rng.random() < 0.2:
        settings["pos_weight"] = float(10.0 ** rng.uniform(-1, 1))
    kind = {"n": n, "p": p, "k": k, "X": dtype, "rows": rows, "labels": labels, "scales": scales}
    kind |= {"sparse": sparse, "weights": weights}
    return Problem(X, y, settings, kind)


def _inverse_penalty(rng, k):
    how = rng.integers(5)
    if how == 0:
        return np.inf
    return 10.0 ** rng.uniform(-6, 6, k) if how == 1 else float(10.0 ** rng.uniform(-6, 6))


def _rows(rng, n, p, k, kind):
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    X = rng.normal(size=(n, p))
    if kind == "separable":
        W = rng.normal(size=(p, k))
        y = (X @ W).argmax(axis=1)
        y[:k] = np.arange(k)
        X[:k] = 5 * W.T / np.maximum((W.T**2).sum(axis=1, keepdims=True), 0.1)
    elif kind == "blobs":
        X += rng.normal(size=(k, p))[y]
    return X, y


def _in_dtype(rng, X, dtype, scales):
    """Return rows in a dtype: whole numbers over its range, or at scales from 1e-6 to 1e6."""
    if dtype == "bool":
        return X > 0.5
    if dtype in ("uint8", "int16", "int64"):
        low, high = {"uint8": (0, 255), "int16": (-32768, 32767), "int64": (-(10**6), 10**6)}[dtype]
        X = (X - X.min()) / max(np.ptp(X), 1e-9) * (high - low) + low
        return np.rint(X).astype(dtype)
    most = 3 if dtype == "float16" else 6
    sizes = {
        "one": 1.0,
        "all": 10.0 ** rng.uniform(-most, most),
        "each": 10.0 ** rng.uniform(-most, most, X.shape[1]),
    }[scales]
    offset = rng.normal(size=X.shape[1]) * 10.0 ** rng.uniform(-1, 2) if rng.random() < 0.3 else 0
    largest = np.finfo(dtype).max
    return np.clip((X + offset) * sizes, -largest, largest).astype(dtype)


def size_of(problem):
    """Return what features are divided by."""
    X = problem.X
    if not problem.settings["standardize"]:
        return 255.0 if X.dtype == np.uint8 else 1.0
    spread = X.astype(np.float64).std(axis=0)
    # A column of one number has a spread of 0, or of rounding.
    constant = spread <= 10 * np.finfo(float).eps * np.abs(X.astype(np.float64)).max(axis=0)
    return np.where(constant, 1.0, spread)


def columns(problem):
    """Return rows as training has them, float64, and each model's targets, weights and C."""
    X, y, settings = problem.X, problem.y, problem.settings
    dense = (X.toarray() if scipy.sparse.issparse(X) else X).astype(np.float64)
    dense = (dense - dense.mean(axis=0) * settings["standardize"]) / size_of(problem)
    if y.ndim == 1:
        classes = np.unique(y)
        Y = (y[:, np.newaxis] == classes).astype(np.float64)
        Y = Y[:, 1:] if len(classes) == 2 else Y
    else:
        Y = y
    s = np.broadcast_to(settings.get("sample_weight", np.ones(len(y)))[:, np.newaxis], Y.shape)
    s = np.where(np.isnan(Y), 0.0, s * np.where(Y == 1, settings.get("pos_weight", 1.0), 1.0))
    return dense, np.nan_to_num(Y), s, np.broadcast_to(settings["C"], Y.shape[1])


def cost(X, y, s, C, w, b):
    """Mean log-loss and penalty of one model."""
    z = X @ w + b
    losses = np.logaddexp(0, z) - y * z
    return (s @ losses) / s.sum() + (w @ w) / (2 * C * s.sum())


def optimum(X, y, s, C, *, intercept):
    """Return the least cost of one model, by Newton's method with a damped Hessian."""
    X, y, s = (array[s > 0] for array in (X, y, s))
    size = np.abs(X).max(axis=0)
    size[size == 0] = 1.0
    A = np.hstack([X / size, np.ones((len(X), 1))])[:, : X.shape[1] + intercept]
    m = s.sum()
    penalty = np.append(1 / (C * m * size**2), 0.0)[: A.shape[1]]

    def f(u):
        z = A @ u
        return (s @ (np.logaddexp(0, z) - y * z)) / m + 0.5 * penalty @ u**2

    u, damping = np.zeros(A.shape[1]), 1e-10
    value = f(u)
    for _ in range(500):
        z = A @ u
        p = scipy.special.expit(z)
        g = A.T @ (s * (p - y)) / m + penalty * u
        H = (A.T * (s * p * (1 - p) / m)) @ A + np.diag(penalty)
        for _ in range(60):
            d = np.sqrt(np.diag(H) + 1e-300)
            damped = H / d / d[:, np.newaxis] + damping * np.eye(len(d))
            step = scipy.linalg.lstsq(damped, -g / d, cond=1e-15)[0] / d
            new = f(u + step)
            if new <= value:
                break
            damping = max(10 * damping, 1e-12)
        else:
            break
        damping = max(damping / 10, 1e-14)
        decrease, u, value = value - new, u + step, new
        if decrease <= 1e-15 * value or value < 1e-14:
            break
    return value


def gradient(X, y, s, C, w, b):
    """Gradient of `cost` by w, then b."""
    r = s * (scipy.special.expit(X @ w + b) - y) / s.sum()
    return np.append(X.T @ r + w / (C * s.sum()), r.sum())


def magnitudes(problem):
    """Return how large scaled rows are before they are centred."""
    X = problem.X.toarray() if scipy.sparse.issparse(problem.X) else problem.X
    return np.abs(X.astype(np.float64)) / size_of(problem)


def scaled_parameters(problem, model, j):
    """Return the parameters of a model that apply to the scaled rows."""
    b = model.intercept_at_center if problem.settings["standardize"] else model.intercept
    return np.asarray(model.weights[:, j], float) * size_of(problem), float(b[j])


def gradient_norms(problem, model):
    """Return the largest absolute entry of each model's gradient, and by how much that may be off.

    Training has rows, before they are centred, and residuals in its dtype. (n_models,) both.
    """
    eps = np.finfo(problem.settings["dtype"]).eps
    (X, Y, s, C), n = columns(problem), problem.X.shape[1] + problem.settings["fit_intercept"]
    found = []
    for j in range(Y.shape[1]):
        y, weight, (w, b) = Y[:, j], s[:, j], scaled_parameters(problem, model, j)
        g = gradient(X, y, weight, C[j], w, b)
        residuals = weight / weight.sum() * np.abs(scipy.special.expit(X @ w + b) - y)
        noise = np.append(magnitudes(problem).T @ residuals, 1.0) * eps / 2
        found.append((np.abs(g[:n]).max(), noise[:n].max()))
    return np.transpose(found)


def gaps(problem, model):
    """Return each model's cost above the least one, and the least one, (n_models,) both."""
    (X, Y, s, C), found = columns(problem), []
    for j in range(Y.shape[1]):
        of = X, Y[:, j], s[:, j], C[j]
        least = optimum(*of, intercept=problem.settings["fit_intercept"])
        found.append((cost(*of, *scaled_parameters(problem, model, j)) - least, least))
    return np.transpose(found)
