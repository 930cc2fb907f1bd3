"""Importing gpulr is quick, loads nothing big, and every public name resolves when used."""

from __future__ import annotations

import pytest

import gpulr
from helpers import python

HEAVY = (
    *("cupy", "llvmlite", "sklearn", "matplotlib", "onnx", "scipy", "rich", "typer", "jinja2"),
    *("safetensors", "PIL", "pooch", "threadpoolctl", "torch", "jax"),
)


def test_import_takes_under_0_3_s_of_cpu_time_and_neither_it_nor_training_loads_anything_big():
    code = f"""
import sys, time
import numpy as np
started = time.process_time()
import gpulr
print(time.process_time() - started)
print(sorted(set({HEAVY}) & set(sys.modules)))
gpulr.train(np.eye(4), [0, 1, 0, 1], max_iter=1, tol=0)
print(sorted({{"cupy", "sklearn", "matplotlib", "typer", "rich", "PIL"}} & set(sys.modules)))
"""
    seconds, imported, trained = python(code).splitlines()
    assert float(seconds) < 0.3
    assert imported == trained == "[]"


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
    assert dir(gpulr) == sorted(set(gpulr.__all__)) == gpulr.__all__
