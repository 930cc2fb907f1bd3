"""Labels of rows, read in blocks where they are many."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal

import numpy as np
import pytest

from gpulr.validation import labels
from gpulr.validation.labels import read_labels

KINDS = {
    "int64": np.array([7, -3, 0, 12, 5]),
    "uint8": np.array([7, 3, 0, 12, 5], np.uint8),
    "float64": np.array([2.0, -1.0, 3.0]),
    "bool": np.array([True, False]),
    "text": np.array(["b", "", "cde", "a"]),
    "dates": np.array(["2020-01-02", "1999-12-31"], "M8[D]"),
    "decimals": np.array([Decimal("0.1"), Decimal("-2")], dtype=object),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("entries", [7, 50, 2**20])
def test_classes_are_those_of_all_rows_whatever_the_blocks(rng, monkeypatch, kind, entries):
    monkeypatch.setattr(labels, "_ENTRIES", entries)
    y = KINDS[kind][rng.integers(0, len(KINDS[kind]), 100)]
    y[:60] = np.sort(y[:60])  # so that blocks lack classes
    found = read_labels(y, 100)
    classes, codes = np.unique(y, return_inverse=True)
    np.testing.assert_array_equal(found.classes, classes)
    np.testing.assert_array_equal(found.codes, codes)
    assert found.codes.dtype == np.int32


def test_many_labels_are_read_in_four_bytes_each(rng, monkeypatch):
    monkeypatch.setattr(labels, "_ENTRIES", 2**14)
    y = rng.integers(0, 10, 300_000)
    tracemalloc.start()
    read_labels(y, len(y))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * len(y)
