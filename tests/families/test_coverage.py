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


MORE = pytest.mark.slow


@pytest.mark.parametrize(
    ("weights", "n_sets", "n"),
    [
        ("poisson", 25, 60),
        pytest.param("poisson", 100, 100, marks=MORE),
        pytest.param("multinomial", 100, 100, marks=MORE),
    ],
)
def test_coverage(weights, n_sets, n):
    """The four true values of each data set, of 200 rows, are in 95 % of the intervals."""
    parameters, probabilities = tasks.covered(n_sets, 200, n=n, weights=weights, seed=5)
    assert parameters.shape == (n_sets, 4)
    # As independent as four throws each: the features are. One such test in a thousand would fail.
    least, most = binom.interval(0.999, 4 * n_sets, 0.95)
    assert least <= parameters.sum() <= most
    # The five probabilities of a data set are functions of the same four weights.
    least, most = binom.interval(0.999, n_sets, 0.95)
    assert least / n_sets <= probabilities.mean() <= most / n_sets
