"""Folds: whatever cv is, which rows are trained on, and which are scored."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

from gpulr import DataError, ParameterError
from gpulr.errors import FoldWarning
from gpulr.families.folds import check_folds, split
from gpulr.validation.labels import Labels

Y = np.arange(60) % 3
GROUPS = np.arange(60) // 6

SPLITTERS = {
    "int": (4, StratifiedKFold(4)),
    "NumPy's int": (np.int64(3), StratifiedKFold(3)),
    "shuffled": (StratifiedKFold(3, shuffle=True, random_state=5),) * 2,
    "overlapping": (ShuffleSplit(4, test_size=0.3, train_size=0.4, random_state=1),) * 2,
    "groups": (GroupKFold(5),) * 2,
    "predefined": (PredefinedSplit(np.where(Y == 0, -1, np.arange(60) // 30)),) * 2,
    "past and future": (TimeSeriesSplit(3),) * 2,
}


@pytest.mark.parametrize("name", SPLITTERS)
def test_folds_are_those_of_scikit_learn(name):
    cv, splitter = SPLITTERS[name]
    groups = GROUPS if name == "groups" else None
    folds = split(cv, Y, groups)
    pairs = list(splitter.split(np.zeros((60, 1)), Y, groups))
    assert len(folds) == len(pairs) == folds.counts.shape[1]
    for f, (train, test) in enumerate(pairs):
        np.testing.assert_array_equal(np.flatnonzero(folds.counts[:, f]), np.sort(train))
        assert folds.counts.max() == 1
        np.testing.assert_array_equal(folds.tests[f], np.sort(test))


def test_pairs_of_indices_of_lists_and_of_masks_are_the_same(put):
    half = np.arange(60) < 30
    train, test = np.flatnonzero(half), np.flatnonzero(~half)
    forms = {
        "indices": (train, test),
        "lists": (train.tolist(), test.tolist()),
        "masks": (half, ~half),
        "mixed": (half, test.astype(np.uint8)),
        "from the end": (train - 60, test - 60),
        "on the device": (put(train), put(~half)),
    }
    for name, pair in forms.items():
        folds = split([pair], Y)
        np.testing.assert_array_equal(folds.counts[:, 0], half, err_msg=name)
        np.testing.assert_array_equal(folds.tests[0], test, err_msg=name)
    assert len(split(iter([(train, test), (test, train)]), Y)) == 2  # which can be read once


def test_groups_may_be_on_the_device(put):
    folds = split(GroupKFold(5), Y, put(GROUPS))
    for counts, test in zip(folds.counts.T, folds.tests, strict=True):
        assert not set(GROUPS[counts > 0]) & set(GROUPS[test])


def test_rows_that_a_fold_repeats_are_counted():
    train = [0, 0, 0, 5, -55, 7]
    folds = split([(train, [1])], Y)
    assert folds.counts.dtype == np.uint8
    assert {i: int(folds.counts[i, 0]) for i in (0, 5, 7)} == {0: 3, 5: 2, 7: 1}
    assert folds.counts.sum() == len(train)
    many = split([([3] * 1000, [1])], Y)
    assert many.counts[3, 0] == 1000


@pytest.mark.parametrize(
    ("cv", "error", "words"),
    [
        *((n, ParameterError, "at least 2") for n in (1, 0, -3, True)),
        (2.5, ParameterError, "cv=2.5"),
        ("5", ParameterError, "splitter"),
        (21, ParameterError, "21"),  # more than any class has rows
        (GroupKFold(3), ParameterError, "groups"),
        ((GroupKFold(3), GROUPS[:59]), ParameterError, "59"),
        ([], DataError, "no folds"),
        ([1, 2], DataError, "Fold 0 of cv is not a pair"),
        ([([0, 1], [2]), ([0, 1],)], DataError, "Fold 1 of cv is not a pair"),
        ([([0, 1], [2], [3])], DataError, "not a pair"),
        ([([0, 60], [1])], DataError, "below 60"),
        ([([-61, 0], [1])], DataError, "rows -61 to 0"),
        ([([0.0, 1.0], [2])], DataError, "float64"),
        ([([[0], [1]], [2])], DataError, "shape"),
        ([(np.ones(59, dtype=bool), [2])], DataError, "mask of shape"),
        ([([], [2])], DataError, "trains on 0 rows"),
        ([([1], np.zeros(60, dtype=bool))], DataError, "scored on 0"),
        ([(["a"], ["b"])], DataError, "not a pair"),
    ],
)
def test_what_is_no_cross_validation_is_told(cv, error, words):
    cv, groups = cv if isinstance(cv, tuple) else (cv, None)
    with pytest.raises(error, match=words):
        split(cv, Y, groups)


def test_a_fold_needs_rows_of_every_class_with_weight():
    classes, weight = np.array(["a", "b", "c"]), np.ones(60)
    whole = split(3, Y)
    check_folds(whole, Labels(classes, Y), None, None)
    check_folds(whole, Labels(classes, Y), weight, weight)
    without = split([(np.arange(60), [0]), (np.flatnonzero(Y != 2), [0])], Y)
    with pytest.raises(DataError, match=r"Fold 1 trains on no row of \['c'\]"):
        check_folds(without, Labels(classes, Y), None, None)
    weight[Y == 1] = 0
    with pytest.raises(DataError, match=r"Fold 0 trains on no row of \['b'\]"):
        check_folds(whole, Labels(classes, Y), weight, None)


def test_a_fold_needs_rows_with_weight_to_be_scored_on():
    weight = np.ones(60)
    weight[40:] = 0
    folds = split([(np.arange(30), np.arange(30, 60)), (np.arange(30), np.arange(45, 60))], Y)
    with pytest.raises(DataError, match="15 rows that fold 1 is scored on have sample_weight 0"):
        check_folds(folds, Labels(np.arange(3), Y), None, weight)


def test_folds_take_a_byte_for_each_row_and_four_where_it_is_held_out(rng):
    y = rng.integers(0, 3, 200_000)
    folds = split(10, y)  # with scikit-learn imported
    tracemalloc.start()
    folds = split(KFold(10), y)
    kept, most = tracemalloc.get_traced_memory()
    check_folds(folds, Labels(np.arange(3), y.astype(np.int32)), np.ones(len(y)), None)
    assert tracemalloc.get_traced_memory()[1] == most  # found in blocks
    tracemalloc.stop()
    assert folds.counts.dtype == np.uint8
    assert kept < 1.01 * len(y) * (10 + 4) + 2**16
    assert most < len(y) * (2 * 10 + 4 + 4 * 8)  # stacked, and one pair of indices at a time


def test_stratified_folds_are_made_a_few_rows_at_a_time(rng):
    y = rng.integers(0, 3, 2_000_000).astype(np.int32)
    split(2, y[:100])  # which imports
    tracemalloc.start()
    folds = split(5, y)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1.01 * len(y) * (5 + 4) + 2**16
    assert most < len(y) * (5 + 2 * 4) + 24 * 2**20  # tests are put together, beside a few rows
    expected = StratifiedKFold(5).split(y, y)
    assert all(np.array_equal(a, b) for a, (_, b) in zip(folds.tests, expected, strict=True))


def test_a_class_of_fewer_rows_than_folds_is_told_of():
    with pytest.warns(FoldWarning, match="least populated class in y has only 2 members"):
        split(3, np.array([0, 0, 0, 1, 1]))
