"""Sums over parts have the same bits, whoever adds up which of them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from gpulr.distributed.messages import LOST
from gpulr.distributed.sums import Sums


def answers(n, rng):
    scales = 10.0 ** rng.integers(-8, 8, n)
    return [
        (i, (s * rng.normal(size=(3, 2)), None, np.float32(s * rng.normal())))
        for i, s in enumerate(scales)
    ]


def tree(values):
    """Add up in pairs, pairs of pairs, and so on."""
    while len(values) > 1:
        pairs = [values[i : i + 2] for i in range(0, len(values), 2)]
        values = [pair[0] + pair[1] if len(pair) == 2 else pair[0] for pair in pairs]
    return values[0]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 11, 64, 65])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_the_same_bits_whoever_has_what(n, workers, rng):
    each = answers(n, rng)
    expected = [tree([np.asarray(answer[j], np.float64) for _, answer in each]) for j in (0, 2)]
    for owner in (
        np.arange(n) * workers // n,
        np.arange(n) % workers,
        rng.permutation(n) % workers,
    ):
        whole = Sums(n)
        for worker in rng.permutation(workers):
            own = rng.permutation(np.flatnonzero(owner == worker))
            whole.take(pickle.loads(pickle.dumps(Sums.of(n, [each[i] for i in own]))))
        found = whole.total
        assert found[1] is None
        for ours, theirs in zip(found[::2], expected, strict=True):
            np.testing.assert_array_equal(ours, theirs, strict=True)


def test_parts_that_follow_each_other_are_few_sums(rng):
    each = answers(64, rng)
    assert len(Sums.of(64, each).nodes) == 1
    assert len(Sums.of(64, each[:32]).nodes) == 1
    assert len(Sums.of(64, each[5:32]).nodes) == 4
    assert len(Sums.of(64, each[::2]).nodes) == 32


def test_parts_that_lost_something_are_named_and_can_answer_later(rng):
    each = answers(9, rng)
    sums = Sums.of(9, [(i, LOST if i in (2, 8) else answer) for i, answer in each])
    assert sums.lost == [2, 8]
    sums.take(Sums.of(9, [each[8], each[2]]))
    np.testing.assert_array_equal(sums.total[0], Sums.of(9, each).total[0])
