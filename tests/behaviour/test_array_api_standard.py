"""What gpulr takes from the array API standard: no more than README says, and in vain of nobody.

array-api-strict has nothing but the standard, in the version that it is told, without what is
optional there. A library that lacks what is needed is named in an error, or its rows are trained on
by NumPy, which the model says.
"""

from __future__ import annotations

import inspect
import types

import numpy as np
import pytest

import gpulr
from everything import assert_as_on_numpy, everything
from gpulr.backend import base, select, selection, standard, to_host
from gpulr.backend.standard import API_VERSION, FACTORS, FUNCTIONS
from gpulr.solvers import exact_curvature
from gpulr.solvers.curvature import SharedCurvature

strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
pytestmark = pytest.mark.parametrize("library", ["strict"], indirect=True)

# Every flag there is, off: what is optional in the standard.
OFF = {
    name: False
    for name in inspect.signature(strict.set_array_api_strict_flags).parameters
    if name not in ("api_version", "enabled_extensions")
}
NEWEST = strict.get_array_api_strict_flags()["api_version"]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("version", sorted({API_VERSION, NEWEST}))
def test_nothing_is_needed_beside_what_is_listed(
    library, three_digits, version, large, put, monkeypatch
):
    """No flag, no function, and no array that can be written to: JAX has none."""
    if large:  # as if rows and features were many
        monkeypatch.setattr(exact_curvature, "MOST", 0)
        monkeypatch.setattr(SharedCurvature, "quick_from", 8)
    X, y = three_digits
    expected = everything(X, y)
    rows, labels, used = put(X), put(y), set()

    class Watched(types.ModuleType):
        def __getattribute__(self, name):
            used.add(name)
            return super().__getattribute__(name)

    for name in ("iadd", "isub", "imul", "itruediv", "ipow", "iand", "ior", "setitem"):
        monkeypatch.delattr(type(rows), f"__{name}__")
    with strict.ArrayAPIStrictFlags(api_version=version, enabled_extensions=("linalg",), **OFF):
        assert select(X=rows).name == "array_api_strict"
        monkeypatch.setattr(strict, "__class__", Watched)
        found = everything(rows, labels)
        monkeypatch.undo()
        assert_as_on_numpy(found, expected, rows)
    used = {name for name in used if not name.startswith("__") and callable(getattr(strict, name))}
    assert {"exp", "take"} < used <= set(FUNCTIONS)


@pytest.mark.parametrize("version", sorted({API_VERSION, NEWEST}))
def test_without_extensions_numpy_trains_and_says_so(library, three_digits, version, put):
    X, y = three_digits
    expected = everything(X, y)
    with strict.ArrayAPIStrictFlags(api_version=version, enabled_extensions=(), **OFF):
        rows = put(X)
        model = gpulr.train(rows, put(y))
        assert model.backend == "numpy"
        assert model.fallback_reason.startswith("array_api_strict cannot factor matrices")
        assert_as_on_numpy(everything(rows, put(y)), expected, rows)


@pytest.mark.parametrize("version", ["2022.12", "2023.12"])
def test_an_older_version_is_refused(library, three_digits, version, put):
    X, y = three_digits
    model, fitted = gpulr.train(X, y), gpulr.OneVsAllLogisticRegression().fit(X, y)
    with strict.ArrayAPIStrictFlags(api_version=version):
        rows = put(X)
        for call in (
            lambda: gpulr.train(rows, y),
            lambda: gpulr.search(rows, y),
            lambda: gpulr.bootstrap(rows, y, n=2),
            lambda: model.predict(rows),
            lambda: model.evaluate(rows, y),
            lambda: gpulr.OneVsAllLogisticRegression().fit(rows, y),
            lambda: fitted.predict(rows),
        ):
            with pytest.raises(gpulr.DataError, match=rf"{version}.*expected {API_VERSION} or"):
                call()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_a_library_lacks_is_named(library, three_digits, name, put, monkeypatch):
    X, y = three_digits
    rows = put(X)
    model = gpulr.train(X, y)
    monkeypatch.delattr(strict, name)
    standard._missing_functions.cache_clear()
    for call in (lambda: gpulr.train(rows, y), lambda: model.predict(rows)):
        with pytest.raises(gpulr.DataError, match=rf"array_api_strict, which lacks {name} of the"):
            call()
    standard._missing_functions.cache_clear()


@pytest.mark.parametrize("name", FACTORS)
def test_a_factorisation_that_a_library_lacks_is_numpys(
    library, three_digits, name, put, monkeypatch
):
    X, y = three_digits
    rows, expected = put(X), gpulr.train(X, y)
    monkeypatch.delattr(strict.linalg, name.removeprefix("linalg."))
    model = gpulr.train(rows, y)
    assert (model.backend, isinstance(model.weights, type(rows))) == ("numpy", True)
    assert model.fallback_reason == f"array_api_strict cannot factor matrices: it lacks {name}"
    np.testing.assert_array_equal(to_host(model.weights), expected.weights)


def test_without_float64_numpy_trains_and_says_so(library, three_digits, put, monkeypatch):
    X, y = three_digits
    rows, expected = put(X), gpulr.train(X, y)
    for module in (base, selection):
        monkeypatch.setattr(module, "offers_float64", lambda xp, device: False)
    model = gpulr.train(rows, y)
    assert (model.backend, isinstance(model.weights, type(rows))) == ("numpy", True)
    assert model.fallback_reason.startswith("array_api_strict has no float64 on")
    np.testing.assert_array_equal(to_host(model.weights), expected.weights)
    np.testing.assert_array_equal(to_host(model.predict(rows)), expected.predict(X))
    with pytest.raises(gpulr.ParameterError, match="no float64"):
        gpulr.train(rows, y, dtype="float64")


class WithoutValues:
    """An array of a graph that is yet to be run, as ndonnx has them."""

    shape, ndim, dtype = (90, 24), 2, np.dtype("float32")

    def __init__(self, library, version):
        self.namespace = types.ModuleType(library)
        self.namespace.__array_api_version__ = version

    def __array_namespace__(self, api_version=None):
        return self.namespace

    def __array__(self, *arguments, **settings):
        raise ValueError("the array has no value")


class WithoutFunctions(WithoutValues):
    """Of a library that has a version of the standard, and nothing of it."""


class Lazy(WithoutValues):
    """And one that can be computed, as cubed's."""

    def compute(self):
        raise AssertionError("computed unasked")


def test_arrays_without_values_are_refused(library, three_digits):
    X, y = three_digits
    model = gpulr.train(X, y)
    for rows, message in (
        (WithoutValues("ndonnx", "2023.12"), r"array of ndonnx, which has version 2023\.12 of the"),
        (
            WithoutFunctions("graphs", "2025.12"),
            r"array of graphs, which lacks __array_namespace_info",
        ),
        (Lazy("cubed.array_api", "2024.12"), r"lazy array of cubed, .* Pass X\.compute\(\)"),
    ):
        for call in (
            lambda rows=rows: gpulr.train(rows, y),
            lambda rows=rows: model.predict(rows),
            lambda rows=rows: gpulr.OneVsAllLogisticRegression().fit(rows, y),
        ):
            with pytest.raises(gpulr.DataError, match=message):
                call()
        with pytest.raises(gpulr.DataError, match=r"^y "):
            gpulr.train(X, rows)
