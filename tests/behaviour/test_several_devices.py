"""Arrays on a device that is not the current one: everything about them is computed there.

CuPy puts new arrays on the current device, whatever their operands are on, and refuses operands of
another. Here array-api-strict does: what makes an array on a device that is not active fails.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

import gpulr
from gpulr.backend import Backend, backend_of, to_host
from gpulr.estimators.logistic_regression import OneVsAllLogisticRegression

pytestmark = pytest.mark.parametrize("library", ["strict"], indirect=True)


@pytest.fixture
def second(xp, put, monkeypatch):
    """Return a function that puts arrays on the second device; the first one is current."""
    from array_api_strict._array_object import Array

    first = backend_of(put(0.0)).device
    second = xp.Device("device2")
    host, current, new = xp.Device("CPU_DEVICE"), [first], Array._new.__func__
    activate, asarray = Backend.activate, Backend.asarray

    def checked(cls, x, /, device):
        at, view = host if device is None else device, getattr(x, "base", None) is not None
        assert view or at in (host, current[-1]), f"made on {at}, while {current[-1]} is current"
        return new(cls, x, device)

    @contextmanager
    def activated(self):
        current.append(current[-1] if self.device is None else self.device)
        try:
            with activate(self):
                yield
        finally:
            current.pop()

    def placed(self, x, dtype=None):  # a device that is named is current meanwhile, as CuPy's is
        with activated(self):
            return asarray(self, x, dtype)

    def there(x):
        with activated(Backend("array_api_strict", xp, second)):
            return xp.asarray(np.asarray(x), device=second)

    monkeypatch.setattr(Array, "_new", classmethod(checked))
    monkeypatch.setattr(Backend, "activate", activated)
    monkeypatch.setattr(Backend, "asarray", placed)
    yield there
    assert current == [first]


def on_second(array, second):
    return array.device == second(0.0).device


def test_a_model_trains_and_predicts_there(blobs, second):
    X, y = blobs
    there, labels = second(X), second(y)
    model = gpulr.train(there, labels)
    expected = gpulr.train(X, y)
    assert on_second(model.weights, second)
    np.testing.assert_allclose(to_host(model.weights), expected.weights, rtol=1e-3, atol=1e-4)
    for name, options in (
        ("decision_function", {}),
        ("predict", {}),
        ("predict_proba", {}),
        ("predict_proba", {"normalize": True}),
    ):
        found = getattr(model, name)(there, **options)
        assert on_second(found, second)
        wanted = getattr(expected, name)(X, **options)
        np.testing.assert_allclose(to_host(found), wanted, rtol=2e-3, atol=2e-3)
    assert model.score(there, labels) == pytest.approx(expected.score(X, y))
    assert on_second(expected.predict(there), second)  # a model of the host's


def test_labels_and_two_classes(blobs, second, rng):
    X, y = blobs
    there = second(X)
    Y = rng.integers(0, 2, (len(X), 2))
    model = gpulr.train(there, second(Y))
    assert on_second(model.predict(there), second)
    assert 0.0 <= model.score(there, second(Y)) <= 1.0
    assert on_second(gpulr.train(there, second(y > 0)).predict(there), second)


def test_families_and_estimators(blobs, second):
    X, y = blobs
    there, labels = second(X.reshape(-1, 2, 2)), second(y)
    search = gpulr.search(there, labels, Cs=[0.1, 1.0], cv=3)
    assert on_second(search.model.predict(there), second)
    intervals = gpulr.bootstrap(there, labels, n=3, random_state=0)
    intervals.coef_interval()
    intervals.proba_interval(there)
    there = second(X)
    estimator = OneVsAllLogisticRegression().fit(there, labels)
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert on_second(getattr(estimator, name)(there), second)
    assert estimator.score(there, labels) > 0.5
