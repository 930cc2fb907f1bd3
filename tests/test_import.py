"""Importing gpulr is quick, loads nothing big, and every public name resolves when used."""

from __future__ import annotations

import statistics

import pytest

import gpulr
from helpers import python

HEAVY = (
    *("cupy", "llvmlite", "sklearn", "matplotlib", "onnx", "scipy", "rich", "typer", "jinja2"),
    *("safetensors", "PIL", "pooch", "threadpoolctl"),
)


def test_importing_loads_nothing_big():
    code = f"import sys, gpulr; print(sorted(set({HEAVY}) & set(sys.modules)))"
    assert python(code).strip() == "[]"


def test_training_loads_no_plots_and_no_cupy():
    code = """
import sys, gpulr, numpy as np
gpulr.train(np.eye(4), [0, 1, 0, 1], max_iter=1, tol=0)
print(sorted({"cupy", "sklearn", "matplotlib", "typer", "rich", "PIL"} & set(sys.modules)))
"""
    assert python(code).strip() == "[]"


def test_importing_takes_less_than_300_ms_more_than_numpy():
    code = """
import time, numpy
started = time.perf_counter()
import gpulr
print(time.perf_counter() - started)
"""
    assert statistics.median(float(python(code)) for _ in range(5)) < 0.3


@pytest.mark.parametrize("name", gpulr.__all__)
def test_public_names_resolve(name):
    value = getattr(gpulr, name)
    assert name in dir(gpulr)
    assert getattr(gpulr, name) is value
    if getattr(value, "__module__", "").startswith("gpulr"):
        assert value.__doc__


def test_names_resolve_in_a_fresh_interpreter():
    code = """
from gpulr import *
print(train.__name__, load.__name__)
import gpulr
print(all(globals()[name] is not None for name in dir(gpulr)))
"""
    assert python(code).split() == ["train", "load", "True"]


@pytest.mark.parametrize("name", ["show", "video", "reporting"])
def test_packages_list_their_public_names_alone(name):
    package = pytest.importorskip(f"gpulr.{name}", reason=f"gpulr.{name} has an extra of its own")
    assert dir(package) == sorted(package.__all__)


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'gpulr' has no attribute 'trian'"):
        gpulr.trian  # noqa: B018
    with pytest.raises(ImportError):
        from gpulr import trian  # noqa: F401


def test_names_are_sorted_and_listed_once():
    assert dir(gpulr) == sorted(set(gpulr.__all__))
    assert gpulr.__all__ == sorted(gpulr.__all__)
