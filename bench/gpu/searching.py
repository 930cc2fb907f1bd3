"""Part search: C by cross-validation, ten classes × ten values of C × five folds: 500 models."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import gpulr
from bench.gpu.card import Card, StandIn, host_seconds
from bench.gpu.passes import rounded
from bench.gpu.record import Record
from bench.gpu.training import whole_data
from bench.interleaved import quartiles
from bench.peer_data import PeerData
from bench.search import CS, N_FOLDS, TOL
from bench.workload import Workload, rehearsal
from gpulr.backend import to_host

ROUNDS = 3


def gradient_norm(model: Any, data: PeerData) -> float:
    """Return the largest entry of a model's gradient, in float64 and without gpulr's code."""
    X = data.X * np.float64(data.scale)
    W, b = to_host(model.weights).astype(np.float64) / data.scale, to_host(model.intercept)
    Y = data.y[:, np.newaxis] == np.arange(data.n_classes)
    R = (0.5 * (1.0 + np.tanh(0.5 * (X @ W + b))) - Y) / len(X)
    gradient = X.T @ R + W / (model.settings["C"] * len(X))
    return float(max(np.abs(gradient).max(), np.abs(R.sum(axis=0)).max()))


def measure(card: Card | StandIn, work: Workload, record: Record) -> None:
    """Time whole calls of :func:`gpulr.search`, without the model on all rows; then check one."""
    data, name = whole_data(), card.backend.name
    X, y, chosen = data.X, data.y, name
    if name not in ("numpy", "cupy"):
        X, y, chosen = card.backend.asarray(X), card.backend.asarray(y), "auto"
    Cs = CS[3:6] if rehearsal() else CS
    settings: dict[str, Any] = {"Cs": Cs, "cv": N_FOLDS, "tol": TOL, "scale": data.scale}
    found: list[Any] = []

    def run() -> None:
        found[:] = [gpulr.search(X, y, backend=chosen, refit=False, **settings)]

    with record.attempt("search"), warnings.catch_warnings():
        warnings.simplefilter("error", gpulr.errors.ConvergenceWarning)
        first = host_seconds(card, run)
        seconds = quartiles([host_seconds(card, run) for _ in range(1 if rehearsal() else ROUNDS)])
        (result,) = found
        checked = gpulr.search(X, y, backend=chosen, **settings)
        error = gradient_norm(checked.model, data)
        if not error <= 2.0 * TOL:
            raise ArithmeticError(f"the model's gradient is {error:.1e}, with tol={TOL:g}")
        assert checked.model.backend == name, checked.model.fallback_reason
        record.add(
            "search",
            **data.sizes,
            **{"seconds": {"host": seconds, "first": quartiles([first])}},
            Cs=[float(f"{C:.6g}") for C in Cs],
            n_folds=N_FOLDS,
            tol=TOL,
            models=int(result.converged.size),
            converged=int(result.converged.sum()),
            iterations=result.n_iter.max(axis=(0, 2)).tolist(),
            best_C=float(result.best_C),
            scores=[rounded(score) for score in result.mean_scores],
            gradient_norm=rounded(error),
        )
