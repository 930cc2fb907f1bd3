"""Which of scikit-learn's tests are run, and which of them have to fail, for the reasons named.

``fails.toml`` lists them by reason. Checked both ways: a test that is listed and passes is an
error, as is one that fails and is not listed, and an entry that is no test's name. Tests that use
none of gpulr's estimators are left out. Run it as ``nox -s sklearn`` does::

    SCIPY_ARRAY_API=1 pytest tests/sklearn_suite
"""

from __future__ import annotations

import inspect
import os
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

if os.environ.get("SCIPY_ARRAY_API") != "1":
    raise pytest.UsageError("SCIPY_ARRAY_API=1 has to be set: tests of array APIs need it.")

from adapter import OURS

FAILS = tomllib.loads((Path(__file__).parent / "fails.toml").read_text(encoding="utf-8"))


@pytest.fixture
def global_random_seed():
    """The seed of scikit-learn's tests, which has this default; any from 0 to 99 is to do."""
    return int(os.environ.get("SKLEARN_TESTS_GLOBAL_RANDOM_SEED", "42"))


def uses_ours(item):
    """Whether a test is one of gpulr's estimators: it names them, or has them as a parameter."""
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    named = "LogisticRegression" in inspect.getsource(item.function)
    return named or any(value in OURS for value in values if inspect.isclass(value))


def pytest_collection_modifyitems(config, items):
    kept = [item for item in items if uses_ours(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    unmatched = []
    for entry in FAILS["fails"]:
        for pattern in entry["tests"]:
            # Square brackets are the parameters', not a set of characters.
            matched = [i for i in items if fnmatchcase(i.name, pattern.replace("[", "[[]"))]
            for item in matched:
                item.add_marker(pytest.mark.xfail(reason=entry["reason"], strict=True))
            function = pattern.partition("[")[0]
            if not matched and any(i.originalname == function for i in items):
                unmatched.append(pattern)
    if unmatched and not any("::" in argument for argument in config.args):
        raise pytest.UsageError(f"fails.toml lists what no test is called: {unmatched}")
