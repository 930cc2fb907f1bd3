"""A whole training: gradient descent at a fixed step, a fixed number of iterations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.contestants import Contestant, contestants

ROUNDS = 5


@pytest.mark.benchmark(group="training", disable_gc=True)
@pytest.mark.parametrize(
    "contestant",
    [*contestants("training", "numpy"), *contestants("training", "cupy")],
    ids=lambda c: c.id,
)
def test_training(compete: Callable[[str, int], None], contestant: Contestant) -> None:
    compete("training", ROUNDS)
