"""The benchmarks of parts, with few rows: what they record, and that both ways learn the same."""

from __future__ import annotations

import numpy as np
import pytest

from bench import parts, table
from bench.run import Patience


@pytest.fixture
def small(monkeypatch):
    for name, value in {"ROWS": 400, "PARTS": 5, "SGD_ROWS": 500, "EPOCHS": 2, "ROUNDS": 1}.items():
        monkeypatch.setattr(parts, name, value)


def test_made_rows(small):
    made = parts.Made(3)
    (first, y), (again, _), (other, _) = (made.loader(i)() for i in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5
    assert 0.2 < y.mean() < 0.8
    (found,) = parts.trained_on_made_rows(5)
    assert found["passes"] >= 2 * found["iterations"]
    assert found["peak_bytes"] >= found["before_bytes"] > 2**20


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_sgd(small):
    results = list(parts.sgd(0.2, Patience(0.0)))
    assert [each["at_least"] for each in results] == [10.0, 2.0]
    assert "after 2 epochs at" in results[0]["label"]
    for each in results:
        assert each["ours_seconds"]["median"] > 0 < each["base_seconds"]["median"]
        assert table.goal_words(each)
