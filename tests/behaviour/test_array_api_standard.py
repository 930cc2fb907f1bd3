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
from gpulr.backend import select, to_host
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


@pytest.fixture
def data(digits):
    """Three of the bundled digits, and fewer pixels: X float32 and y."""
    X, y = digits[:2]
    few = np.flatnonzero(y < 3)[:90]
    return X[few, 8:32], y[few]


def everything(rows, labels):
    """Return what everything gives that is trained on rows of three classes."""
    many = np.eye(3)[to_host(labels)]
    many[::7, 1] = np.nan
    weight = 1.0 + np.arange(len(many)) % 2
    model = gpulr.train(rows, labels, sample_weight=weight, class_weight="balanced")
    found = {"exact": model.weights}
    for name, how in {
        "standardised": {"standardize": True, "C": [1.0, 10.0, 0.1]},
        "float64": {"dtype": "float64", "fit_intercept": False},
        "gradient descent": {"solver": "gd", "max_iter": 5, "tol": 0.0},
        "nesterov": {"solver": "nesterov", "max_iter": 5, "tol": 0.0},
        "one by one": {"batched": False, "start": model, "max_iter": 3, "tol": 0.0},
    }.items():
        found[name] = gpulr.train(rows, labels, **how).weights
    several = gpulr.train(rows, many, pos_weight=2.0)
    found["labels"] = several.predict_proba(rows)
    found["proba"] = model.predict_proba(rows, normalize=True)
    found["calibrated"] = model.calibrated(model.decision_function(rows), labels).predict_proba(
        rows
    )
    found["thresholds"] = model.with_thresholds(model.decision_function(rows), labels).predict(rows)
    evaluation = model.evaluate(rows, labels)
    found["scores"] = np.array([evaluation.accuracy, *evaluation.binary_accuracy])
    search = gpulr.search(rows, labels, Cs=[0.1, 1.0], cv=2)
    found["search"], found["searched"] = search.scores, search.model.weights
    intervals = gpulr.bootstrap(rows, labels, n=2, random_state=0)
    found["bootstrap"] = np.stack([to_host(each) for each in intervals.proba_interval(rows)])
    estimator = gpulr.OneVsAllLogisticRegression().fit(rows, labels)
    found["coef_"], found["log"] = estimator.coef_, estimator.predict_log_proba(rows)
    search = gpulr.OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=2).fit(rows, labels)
    found["cross-validated"] = search.decision_function(rows)
    return found


def assert_as_on_numpy(found, expected, rows):
    """Compare with what NumPy gave; arrays are where the rows are, of their library."""
    for name, values in found.items():
        wanted = expected[name]
        if not isinstance(values, np.ndarray):
            assert isinstance(values, type(rows)), name
            assert values.device == rows.device, name
        np.testing.assert_allclose(to_host(values), wanted, 2e-3, 2e-3, err_msg=name)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("version", sorted({API_VERSION, NEWEST}))
def test_nothing_is_needed_beside_what_is_listed(library, data, version, large, put, monkeypatch):
    """No flag, no function, and no array that can be written to: JAX has none."""
    if large:  # as if rows and features were many
        monkeypatch.setattr(exact_curvature, "MOST", 0)
        monkeypatch.setattr(SharedCurvature, "quick_from", 8)
    X, y = data
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
def test_without_extensions_numpy_trains_and_says_so(library, data, version, put):
    X, y = data
    expected = everything(X, y)
    with strict.ArrayAPIStrictFlags(api_version=version, enabled_extensions=(), **OFF):
        rows = put(X)
        model = gpulr.train(rows, put(y))
        assert model.backend == "numpy"
        assert model.fallback_reason.startswith("array_api_strict cannot factor matrices")
        assert_as_on_numpy(everything(rows, put(y)), expected, rows)


@pytest.mark.parametrize("version", ["2022.12", "2023.12"])
def test_an_older_version_is_refused(library, data, version, put):
    X, y = data
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
def test_a_function_that_a_library_lacks_is_named(library, data, name, put, monkeypatch):
    X, y = data
    rows = put(X)
    model = gpulr.train(X, y)
    monkeypatch.delattr(strict, name)
    for call in (lambda: gpulr.train(rows, y), lambda: model.predict(rows)):
        with pytest.raises(gpulr.DataError, match=rf"array_api_strict, which lacks {name} of the"):
            call()


@pytest.mark.parametrize("name", FACTORS)
def test_a_factorisation_that_a_library_lacks_is_numpys(library, data, name, put, monkeypatch):
    X, y = data
    rows, expected = put(X), gpulr.train(X, y)
    monkeypatch.delattr(strict.linalg, name.removeprefix("linalg."))
    model = gpulr.train(rows, y)
    assert (model.backend, isinstance(model.weights, type(rows))) == ("numpy", True)
    assert model.fallback_reason == f"array_api_strict cannot factor matrices: it lacks {name}"
    np.testing.assert_array_equal(to_host(model.weights), expected.weights)
