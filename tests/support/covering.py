"""Products of parameters, of which few cases are quick and the others nightly.

What a mistake depends on is nearly always one parameter or two. A test with the mark ``covering``
has in the quick tests (or the slow ones) no more cases than hold each value of each parameter once,
and with ``covering(2)`` each two values of different parameters; its other cases are nightly.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import combinations

import pytest


def chosen(cases: Sequence[tuple], together: int) -> list[bool]:
    """Tell of each case whether it is among those that hold whatever so many values stand together.

    The next one is always the case with the most that none had yet; of several, the one whose
    values were had least.
    """
    values = [list(enumerate(case)) for case in cases]
    held = [set(combinations(each, min(together, len(each)))) for each in values]
    left, had, keep = set().union(*held), Counter(), [False] * len(cases)
    while left:
        worth = [(len(held[i] & left), -sum(had[v] for v in values[i])) for i in range(len(cases))]
        best = worth.index(max(worth))
        keep[best] = True
        left -= held[best]
        had.update(values[best])
    return keep


def some_nightly(cases: Iterable, rare: Collection) -> list:
    """Return all cases of a parameter, or of some together; those that are rare are nightly."""
    found = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        found.append(pytest.param(*values, marks=[pytest.mark.nightly] * (case in rare)))
    return found


def leave_to_the_night(items: list) -> None:
    """Mark as nightly what tests with the mark ``covering`` do not need to be quick."""
    tests = defaultdict(list)
    for item in items:
        marked = item.get_closest_marker("covering")
        if marked and not item.get_closest_marker("nightly"):
            slow = item.get_closest_marker("slow") is not None
            tests[item.path, item.originalname, slow, marked.args or (1,)].append(item)
    for (*_, (together,)), of_test in tests.items():
        # Of a product, each case has the same objects as the next.
        cases = [tuple(map(id, item.callspec.params.values())) for item in of_test]
        for item, keep in zip(of_test, chosen(cases, together), strict=True):
            if not keep:
                item.add_marker("nightly")
