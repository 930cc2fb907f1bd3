"""What an iteration asks of a device, counted on one that is none: launches, waits, copies."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest

import gpulr
from cuda_host import why_not
from fused_kernels import compiled
from gpulr.backend.cuda_kernels import kernels_of
from gpulr.kernels import dispatch
from gpulr.solvers import refresh, subspace

pytestmark = pytest.mark.slow  # most of it in compiling kernels for this CPU


@pytest.fixture
def spent(install, as_if_large, monkeypatch, rng):
    """Return what bursts of eight iterations ask of the device: names of launches, and counts.

    Of L-BFGS those from 14 and 22 on; before the first of them curvatures are looked at. What
    cuBLAS multiplied in the last is in ``products``.
    """
    if reason := why_not():
        pytest.skip(reason)
    monkeypatch.setattr(dispatch, "LEAST", 0)
    install(compiler=compiled)
    machine, X, y = sys.modules["cupy"].machine, rng.normal(size=(90, 7)), np.arange(90) % 3

    def spend(fused="require", margin=np.inf, ends=(14, 22, 30), y=y, **options):
        monkeypatch.setenv("GPULR_FUSED", fused)
        monkeypatch.setattr(refresh, "MARGIN", margin)
        kernels_of.cache_clear()
        asked, multiplied = [], []

        def look(progress):
            if progress.iteration in ends:
                asked.append((len(machine.launched), machine.counts.copy()))
                multiplied.append(len(machine.products))

        model = gpulr.train(
            X.astype(np.float32),
            y,
            backend="cupy",
            tol=0,
            max_iter=ends[-1] + 8,
            callbacks=[look],
            **options,
        )
        if "solver" not in options:
            assert np.all((model.history.refreshes > 0) == (margin < 0))
        spend.products = machine.products[slice(*multiplied[1:])]
        (first, start), (last, middle), (end, after) = asked
        return [
            (machine.launched[first:last], middle - start),
            (machine.launched[last:end], after - middle),
        ]

    yield spend
    kernels_of.cache_clear()


ALWAYS = -1.0  # a margin that leaves each refresh worth while


@pytest.mark.nightly
@pytest.mark.parametrize("margin", [np.inf, ALWAYS])
def test_with_few_eigenvectors(spent, monkeypatch, margin):
    monkeypatch.setattr(subspace, "RANK", 2)
    _, (names, counts) = spent(margin=margin)
    assert len(names) <= 8 * 14 + 1, Counter(names)  # and the burst's figures in one
    assert counts["to host"] <= 1
    assert counts["to device"] == counts["synchronise"] == counts["copy"] == 0


@pytest.mark.parametrize(
    ("options", "launches"),
    [
        ({"fused": "require"}, 14),
        pytest.param({"fused": "require", "margin": ALWAYS}, 14, marks=pytest.mark.nightly),
        pytest.param(
            {"fused": "auto", "margin": ALWAYS, "dtype": "float64"}, 201, marks=pytest.mark.nightly
        ),
        ({"fused": "never"}, 386),
        ({"solver": "gd", "ends": (8, 16, 24)}, 7),
    ],
    ids=["L-BFGS", "of models' own curvature", "float64", "by array functions", "gradient descent"],
)
def test_iterations(spent, options, launches):
    _, (names, counts) = spent(**options)
    assert len(names) <= 8 * launches + 1, Counter(names)
    assert counts["to host"] <= 1  # a look, at the end of a burst
    assert counts["to device"] == counts["synchronise"] == 0
    assert counts["copy"] <= (2 if options.get("solver") else 0)  # of a burst's last figures


NIGHTLY = [pytest.param(kind, marks=pytest.mark.nightly) for kind in ("indicator", "weighed")]


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["batched", *NIGHTLY])
@pytest.mark.parametrize("fused", ["require", "never"])
def test_no_sum_over_rows_is_a_product_in_float64(spent, rng, fused, kind):
    """cuBLAS is slow at them, and they need a copy of what is summed, twice as wide."""
    labels = {"y": rng.integers(0, 2, (90, 3))} if kind == "indicator" else {}
    spent(fused, sample_weight=rng.random(90) if kind == "weighed" else None, **labels)
    of_rows = [dtype for *shapes, dtype in spent.products if any(90 in s for s in shapes)]
    # Margins of the direction, and the gradient from margins.
    assert of_rows == ([] if fused == "require" else ["float32"] * 2 * 8)
    others = [product for product in spent.products if all(90 not in s for s in product[:2])]
    assert len(others) <= 2 * 8, others  # to reduced coordinates and back


@pytest.mark.nightly
def test_to_find_curvatures_anew(spent):
    (names, counts), (without, fewer) = spent(margin=ALWAYS)
    assert len(names) - len(without) <= 100, Counter(names)
    # Which models have rows enough; which have a factor, and how often, and the models' numbers.
    assert counts["to host"] - fewer["to host"] == 1
    assert counts["to device"] <= 8
    assert not counts["synchronise"]
