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
from gpulr.solvers import subspace


@pytest.fixture
def spent(install, as_if_large, monkeypatch, rng):
    """Return what iterations 9 to 16 ask of the device: names of launches, and counts.

    What cuBLAS multiplied in them is in ``products``.
    """
    if reason := why_not():
        pytest.skip(reason)
    monkeypatch.setattr(dispatch, "LEAST", 0)
    install(compiler=compiled)
    machine, X, y = sys.modules["cupy"].machine, rng.normal(size=(90, 7)), np.arange(90) % 3

    def spend(fused="require", y=y, **options):
        monkeypatch.setenv("GPULR_FUSED", fused)
        kernels_of.cache_clear()
        asked, multiplied = [], []

        def look(progress):
            if progress.iteration in (8, 16):
                asked.append((len(machine.launched), machine.counts.copy()))
                multiplied.append(len(machine.products))

        gpulr.train(
            X.astype(np.float32),
            y,
            backend="cupy",
            tol=0,
            max_iter=24,
            callbacks=[look],
            **options,
        )
        (first, before), (last, after) = asked
        spend.products = machine.products[slice(*multiplied)]
        return machine.launched[first:last], after - before

    yield spend
    kernels_of.cache_clear()


def test_with_few_eigenvectors(spent, monkeypatch):
    monkeypatch.setattr(subspace, "RANK", 2)
    names, counts = spent()
    assert len(names) <= 8 * 15, Counter(names)
    assert counts["to host"] <= 1
    assert counts["to device"] == counts["synchronise"] == counts["copy"] == 0


@pytest.mark.parametrize(
    ("options", "launches"),
    [({"fused": "require"}, 15), ({"fused": "never"}, 383), ({"solver": "gd"}, 7)],
    ids=["L-BFGS", "L-BFGS by array functions", "gradient descent"],
)
def test_iterations(spent, options, launches):
    names, counts = spent(**options)
    assert len(names) <= 8 * launches, Counter(names)
    assert counts["to host"] <= 1  # a look, at the end of a burst
    assert counts["to device"] == counts["synchronise"] == 0
    assert counts["copy"] <= (2 if options.get("solver") else 0)  # of a burst's last figures


@pytest.mark.parametrize("kind", ["batched", "indicator", "weighed"])
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
