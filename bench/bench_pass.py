"""One pass: cost and gradient of ten models over all rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.contestants import Contestant, contestants

ROUNDS = 20


@pytest.mark.benchmark(group="pass", disable_gc=True)
@pytest.mark.parametrize(
    "contestant",
    [*contestants("pass", "numpy"), *contestants("pass", "cupy")],
    ids=lambda c: c.id,
)
def test_pass(compete: Callable[[str, int], None], contestant: Contestant) -> None:
    compete("pass", ROUNDS)
