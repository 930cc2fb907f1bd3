"""Bootstrap intervals hold the truth as often as they say; bench/tasks.py measures it longer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from scipy.stats import binom

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "bench" / "tasks.py").exists():
    pytest.skip("the bench folder is not beside the tests", allow_module_level=True)

sys.path.append(str(ROOT))  # last, so that an installed gpulr stays the one that is tested
tasks = pytest.importorskip("bench.tasks")


@pytest.mark.parametrize(
    "weights", ["poisson", pytest.param("multinomial", marks=pytest.mark.slow)]
)
def test_coverage(weights):
    """The four true values of 100 data sets, 200 rows each, are in 95 % of the intervals."""
    parameters, probabilities = tasks.covered(100, 200, n=100, weights=weights, seed=5)
    assert parameters.shape == (100, 4)
    # As independent as 400 throws: the features are. One such test in a thousand would fail.
    least, most = binom.interval(0.999, 400, 0.95)
    assert least <= parameters.sum() <= most
    # The five probabilities of a data set are functions of the same four weights.
    least, most = binom.interval(0.999, 100, 0.95)
    assert least / 100 <= probabilities.mean() <= most / 100
