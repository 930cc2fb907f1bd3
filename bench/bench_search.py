"""Choosing C by cross-validation: ten classes × ten values of C × five folds, 500 models."""

from __future__ import annotations

from typing import Any

import pytest

import gpulr
from bench.contestants import Contestant
from bench.search import CS, N_FOLDS, TOL
from bench.workload import Workload, rehearsal
from gpulr.backend import select

ROUNDS = 3


@pytest.mark.benchmark(group="search", disable_gc=True)
@pytest.mark.parametrize(
    "contestant",
    [Contestant("batched", backend, "float32") for backend in ("numpy", "cupy")],
    ids=lambda c: c.id,
)
def test_search(usable: Contestant, benchmark: Any, work: Workload) -> None:
    Cs = CS[3:6] if rehearsal() else CS
    settings = {"Cs": Cs, "cv": N_FOLDS, "tol": TOL, "scale": work.scale, "refit": False}

    def search() -> Any:
        return gpulr.search(work.X, work.y, backend=usable.backend, **settings)

    if benchmark.enabled:
        found = benchmark.pedantic(search, warmup_rounds=1, rounds=ROUNDS)
    else:
        found = benchmark(search)
    assert found.converged.all()
    assert found.mean_scores.max() > 0.85
    benchmark.extra_info.update(
        task="search",
        way=usable.way,
        label=usable.label,
        backend=usable.backend,
        device=select(usable.backend).device_name,
        dtype=usable.dtype,
        rows=usable.rows,
        **{**work.sizes, "n_models": int(found.converged.size)},
        tol=TOL,
        iterations=found.n_iter.max(axis=(0, 2)).tolist(),
        best_C=float(found.best_C),
    )
