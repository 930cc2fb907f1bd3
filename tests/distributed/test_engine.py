"""Engines call the methods of parts, in the order of these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from gpulr.distributed import Here


@dataclass
class Number:
    """A part that is one number."""

    value: int

    def plus(self, other):
        return self.value + other

    def doubled(self):
        return Number(2 * self.value)

    def times(self, factor):
        return Number(factor * self.value)

    def fail(self):
        raise ValueError(f"part {self.value}")


def test_answers_come_in_the_order_of_the_parts():
    engine = Here([Number(3), Number(1), Number(2)])
    assert engine.n_parts == 3
    assert engine.call("plus", 1) == [4, 2, 3]
    assert engine.call("plus", 1, which=[2, 0]) == [3, 4]
    assert engine.call_each("plus", [(1,), (2,), (3,)]) == [4, 3, 5]


def test_what_is_mapped_is_an_engine_of_its_own():
    engine = Here([Number(3), Number(1)])
    assert engine.map("doubled").call("plus", 0) == [6, 2]
    assert engine.map_each("times", [(5,), (7,)]).call("plus", 0) == [15, 7]
    assert engine.call("plus", 0) == [3, 1]


def test_parts_that_are_gone_answer_nothing():
    engine = Here([Number(3), Number(1)])
    engine.parts.clear()
    for call in (engine.call, engine.sums, engine.map):
        with pytest.raises(AssertionError, match="gone"):
            call("doubled")


def test_trips_and_bytes_are_counted():
    engine = Here([Number(3), Number(1)])
    engine.call("plus", np.zeros(1000))
    counts = engine.counts
    assert counts.trips == 1
    assert 16_000 <= counts.sent <= 17_000
    assert 16_000 <= counts.received <= 17_000
    engine.call("plus", 1, which=[1])
    assert counts.trips == 2
    assert counts.sent <= 17_000


def test_what_a_part_raises_is_raised():
    with pytest.raises(ValueError, match="part 3"):
        Here([Number(3), Number(1)]).call("fail")
