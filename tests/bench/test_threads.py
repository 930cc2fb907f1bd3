"""The benchmark of training in threads runs, compares like with like, and writes what it prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "bench" / "threads.py").exists():
    pytest.skip("the bench folder is not beside the tests", allow_module_level=True)

sys.path.append(str(ROOT))  # last, so that an installed gpulr stays the one that is tested
threads = pytest.importorskip("bench.threads")


def test_what_is_printed_is_what_is_written(tmp_path, capsys):
    path = tmp_path / "results" / "threads.json"
    few = ["--data", "digits", "--n-samples", "200", "--rounds", "1", "--patience", "0"]
    # Not loky's: its processes would outlive the test.
    only = ["--only", "worker", "--only", "at-once", "--only", "grid-2-threading"]
    assert threads.main([*few, *only, "--output", str(path)]) == 0
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["kind"] == threads.KIND
    assert found["commit"].keys() == {"id", "dirty"}
    assert [r["other"] for r in found["results"]] == ["worker", "at-once", "grid-2-threading"]
    for result in found["results"]:
        expected = result["seconds"]["median"] / result["base_seconds"]["median"]
        assert result["ratio"]["median"] == pytest.approx(expected, rel=1e-2)
        assert (result["n_samples"], result["n_features"], result["rounds"]) == (200, 64, 1)
    assert capsys.readouterr().out.strip() == threads.table(found["results"])


def test_ways_that_find_other_numbers_are_no_comparison():
    one = [np.array([1.0, 2.0])]
    assert threads.agree(one, [np.array([1.0, 2.0])])
    assert not threads.agree(one, [np.nextafter(one[0], 3.0)])
    with pytest.raises(AssertionError, match="Mismatched elements"):
        threads.agree(one, [np.array([1.0, 2.1])])


def test_the_table_has_times_ratio_and_goal():
    result = {
        **{"data": "rows", "n_samples": 20000, "n_features": 784, "X_dtype": "uint8"},
        **{"name": "8 trainings at once", "goal": 1.0, "same_bits": False},
        "base_seconds": {"median": 2.0, "q1": 1.9, "q3": 2.1},
        "seconds": {"median": 1.0, "q1": 0.9, "q3": 1.1},
        "ratio": {"median": 0.5, "q1": 0.45, "q3": 0.55},
    }
    assert threads.table([result]).splitlines()[2:] == [
        "| rows, 20,000 × 784 uint8 | 8 trainings at once | 2.00 s | 1.00 s | 0.50 (0.45–0.55) "
        "| 1.00 | no |"
    ]
