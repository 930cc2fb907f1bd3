"""Which of scikit-learn's tests are run, and which of them have to fail, for the reasons named.

``fails.toml`` lists them by reason. Checked both ways: a test that is listed and passes is an
error, as is one that fails and is not listed; and in the release that the list was made for, an
entry that is no test. Tests that use none of gpulr's estimators are left out. ``nox -s sklearn``
does::

    SCIPY_ARRAY_API=1 pytest tests/sklearn_suite
"""

from __future__ import annotations

import inspect
import os
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import array_api_strict  # noqa: F401 - tests of array libraries would skip without
import pytest
import sklearn
from adapter import OURS

import gpulr

if os.environ.get("SCIPY_ARRAY_API") != "1":
    raise pytest.UsageError("SCIPY_ARRAY_API=1 has to be set: tests of array libraries need it.")

FAILS = tomllib.loads((Path(__file__).parent / "fails.toml").read_text(encoding="utf-8"))


@pytest.fixture
def global_random_seed():
    """The seed of scikit-learn's tests, with its default."""
    return int(os.environ.get("SKLEARN_TESTS_GLOBAL_RANDOM_SEED", "42"))


def uses_ours(item):
    """Whether a test is one of gpulr's estimators: it names them, or has them as a parameter."""
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    name = "OneVsRestClassifier" if item.path.name == "labels.py" else "LogisticRegression"
    named = name in inspect.getsource(item.function)
    return named or any(value in OURS for value in values if inspect.isclass(value))


def uses_cupy(item):
    """Whether a test is of CuPy's arrays."""
    return hasattr(item, "callspec") and item.callspec.params.get("array_namespace") == "cupy"


def matches(item, entry):
    """Whether an entry is of a test: of all parameters of a function, or of some."""
    file, _, name = entry.rpartition("::")
    name = name.replace("[", "[[]")  # brackets hold parameters here, no set of characters
    return file in ("", item.path.name) and any(
        fnmatchcase(own, name) for own in (item.name, item.originalname)
    )


def pytest_collection_modifyitems(config, items):
    kept = [item for item in items if uses_ours(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    cupy, required = gpulr.backends()["cupy"], os.environ.get("GPULR_REQUIRE_GPU") == "1"
    for item in items:
        # scikit-learn skips where CuPy is not installed, and fails where it has no driver.
        if uses_cupy(item) and not cupy.usable and not required:
            item.add_marker(pytest.mark.skip(reason=f"CuPy cannot be used: {cupy.reason}"))
    all_are_here = not any("::" in argument for argument in config.args)
    made_for_this = sklearn.__version__.startswith(f"{FAILS['release']}.")
    for fails in FAILS["fails"]:
        for entry in fails["tests"] + ([] if made_for_this else fails.get("older", [])):
            listed = [item for item in items if matches(item, entry)]
            for item in listed:
                item.add_marker(pytest.mark.xfail(reason=fails["reason"], strict=True))
            if not listed and made_for_this and all_are_here:
                raise pytest.UsageError(f"fails.toml lists {entry!r}, which is no test.")
