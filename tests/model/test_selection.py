"""Models of some classes and features: the margins of the columns and features that are left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gpulr
from gpulr.backend import to_host
from helpers import assert_close

NAMES = ("a", "b", "c", "d")
CLASSES = np.array(["cat", "dog", "ant", "bee"])


@pytest.fixture
def data(rng):
    X = rng.normal(size=(80, 4)) * [1.0, 5.0, 0.2, 1.0] + [0.0, 30.0, -2.0, 1.0]
    codes = (X @ rng.normal(size=(4, 4)) + rng.normal(size=(80, 4))).argmax(axis=1)
    codes[:4] = range(4)
    return gpulr.datasets.Dataset(X, CLASSES[codes], feature_names=NAMES)


@pytest.fixture(params=[False, True], ids=["plain", "standardised"])
def model(request, data):
    """Of the classes ant, bee, cat, dog; each with its own C."""
    settings = {"standardize": request.param, "C": [1.0, 2.0, 3.0, 4.0], "dtype": "float64"}
    return gpulr.train(data, **settings)


@pytest.mark.parametrize(
    ("classes", "places"),
    [
        (["dog", "ant"], [3, 0]),
        ([3, 0], [3, 0]),
        (np.array([-1, 0], np.int8), [3, 0]),
        (np.array(["cat", "ant", "dog"], object), [2, 0, 3]),
        ([True, False, False, True], [0, 3]),
        (np.array([False, True, True, True]), [1, 2, 3]),
        (slice(None, None, 2), [0, 2]),
        ({"dog": 1, "bee": 2}, [3, 1]),
        (("ant", -2), [0, 2]),
    ],
    ids=str,
)
def test_classes(model, data, classes, places):
    found = model.select(classes=classes)
    assert found.classes.tolist() == model.classes[places].tolist()
    Z = model.decision_function(data.X)[:, places]
    assert_close(found.decision_function(data.X), Z, like=Z, dtype="float64")
    np.testing.assert_array_equal(found.predict(data.X), found.classes[Z.argmax(axis=1)])
    known = np.isin(data.y, found.classes)
    assert found.score(data.X[known], data.y[known]) == np.mean(
        found.predict(data.X)[known] == data.y[known]
    )
    np.testing.assert_array_equal(found.history.cost, model.history.cost[:, places])
    np.testing.assert_array_equal(found.history.n_iter, model.history.n_iter[places])
    assert found.settings["C"] == [[1.0, 2.0, 3.0, 4.0][place] for place in places]
    assert found.data["origin"] == f"{len(places)} of 4 classes of a trained model"


@pytest.mark.parametrize(
    ("features", "places"),
    [(["d", "b"], [3, 1]), ("c", [2]), (2, [2]), (slice(1, 3), [1, 2]), ([0, -1], [0, 3])],
    ids=str,
)
def test_features(model, data, features, places):
    """One that is left out counts as 0, or as its mean where that is the centre."""
    found = model.select(features=features)
    absent = np.zeros(4) if model.center is None else model.center
    rows = np.tile(absent, (80, 1))
    rows[:, places] = data.X[:, places]
    Z = model.decision_function(rows)
    assert_close(found.decision_function(data.X[:, places]), Z, like=Z, dtype="float64", atol=1e-12)
    plain = data.X[:, places] @ found.weights + found.intercept
    np.testing.assert_allclose(plain, Z, rtol=1e-9, atol=1e-9)
    assert found.data["feature_names"] == [NAMES[place] for place in places]
    assert found.n_features == len(places)


def test_both_and_again(model, data):
    found = model.select(classes=["dog", "cat", "bee"], features=["d", "a"]).select(classes=[0, 2])
    again = model.select(features=[3, 0]).select(classes=["dog", "bee"])
    for name in ("weights", "intercept"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))
    assert found.data["origin"] == (
        "2 of 3 classes of 3 of 4 classes, 2 of 4 features of a trained model"
    )
    same = model.select()
    np.testing.assert_array_equal(same.weights, model.weights)
    assert "origin" not in same.data
    assert "origin" not in model.data


def test_numbers_that_are_classes_are_classes(blobs):
    X, y = blobs
    model = gpulr.train(X, np.array([5, 2, 0])[y])
    assert model.select(classes=[2, 0]).classes.tolist() == [2, 0]
    np.testing.assert_array_equal(model.select(classes=[2, 0]).weights, model.weights[:, [1, 0]])
    with pytest.raises(
        gpulr.ParameterError, match=r"has 1, which is not in the model.*\[0, 2, 5\]"
    ):
        model.select(classes=[1, 2])


def test_images_lose_their_shape_with_their_pixels(images):
    X, y = images
    model = gpulr.train(X, y, image_shape=(4, 8))
    assert model.select(classes=[0, 2]).image_shape == (4, 8)
    found = model.select(features=range(16))
    assert found.image_shape is None
    assert "middle" in model.data
    assert "middle" not in found.data
    assert found.scale == 1 / 255


def test_labels_and_their_thresholds(rng):
    X = rng.normal(size=(60, 3))
    Y = (X + rng.normal(size=(60, 3)) > 0).astype(int)
    model = replace(gpulr.train(X, Y), thresholds=np.array([0.5, -1.0, 2.0]))
    found = model.select(classes=[2, 0])
    np.testing.assert_array_equal(found.predict(X), model.predict(X)[:, [2, 0]])
    assert found.multilabel
    one = model.select(classes=1)
    np.testing.assert_array_equal(one.predict(X), model.predict(X)[:, [1]])
    assert one.score(X, Y[:, [1]]) == np.mean(model.predict(X)[:, 1] == Y[:, 1])


def test_classes_become_labels(model, data):
    found = replace(model, multilabel=True).select(classes="dog")
    Z = model.decision_function(data.X)[:, 3:]
    np.testing.assert_array_equal(found.predict(data.X), Z > 0)


def test_two_classes_change_places(blobs):
    X, y = blobs
    X, y = X[y < 2], y[y < 2]
    model = gpulr.train(X, y, standardize=True)
    found = model.select(classes=[1, 0])
    assert found.classes.tolist() == [1, 0]
    np.testing.assert_array_equal(found.predict(X), model.predict(X))
    np.testing.assert_array_equal(found.decision_function(X), -model.decision_function(X))
    assert found.score(X, y) == model.score(X, y)
    with pytest.raises(gpulr.ParameterError, match="one column of weights, which cannot be cut"):
        model.select(classes=[1])


def test_where_the_weights_are(put, blobs):
    X, y = blobs
    found = gpulr.train(put(X), put(y), standardize=True).select(classes=[2, 0], features=[3, 1])
    expected = gpulr.train(X, y, standardize=True).select(classes=[2, 0], features=[3, 1])
    for name in ("weights", "intercept", "center", "intercept_at_center"):
        array = getattr(found, name)
        assert_close(array, getattr(expected, name), like=put(X), dtype="float32", atol=2e-3)
    said = to_host(found.predict(put(X[:, [3, 1]])))
    assert np.mean(said == expected.predict(X[:, [3, 1]])) > 0.95


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"classes": ["dog", "cow"]}, r"has 'cow', which is not in the model"),
        ({"classes": ["dogs", "cat"]}, r"did you mean dog\?"),
        ({"classes": [0, 4]}, "has 4"),
        ({"classes": [0, 1.5]}, "has 1.5"),
        ({"classes": [[0], [1]]}, r"has \[0\]"),
        ({"classes": ["dog", 3]}, "one of them twice"),
        ({"classes": []}, "selects nothing"),
        ({"classes": [True, False]}, "a mask of 2; expected one of 4"),
        ({"classes": "dog"}, r"leaves one class.*multilabel=True"),
        ({"features": ["a", "e"]}, "has 'e'"),
        ({"features": slice(4, 9)}, "selects nothing"),
        ({"features": [0, 0]}, "one of them twice"),
    ],
    ids=str,
)
def test_what_is_not_there(model, wanted, says):
    with pytest.raises(gpulr.ParameterError, match=says):
        model.select(**wanted)


def test_names_that_the_model_does_not_know(blobs):
    with pytest.raises(gpulr.ParameterError, match=r"has 'a'.*4 without names: use numbers"):
        gpulr.train(*blobs).select(features=["a"])


def test_files_and_other_software(model, data, tmp_path):
    """A selection is a model: saved, reported, and exported, in any order of its classes."""
    pandas = pytest.importorskip("pandas")
    found = model.select(classes=["dog", "ant", "cat"], features=["d", "a"])
    X = data.X[:, [3, 0]]
    found.save(tmp_path / "some.safetensors")
    again = gpulr.load(tmp_path / "some.safetensors")
    np.testing.assert_array_equal(again.decision_function(X), found.decision_function(X))
    assert again.classes.tolist() == ["dog", "ant", "cat"]
    assert again.data["origin"] == found.data["origin"]
    theirs = found.to_sklearn()
    assert theirs.classes_.tolist() == ["ant", "cat", "dog"]
    frame = pandas.DataFrame(X, columns=["d", "a"])
    np.testing.assert_array_equal(theirs.predict(frame), found.predict(X))
    np.testing.assert_allclose(
        theirs.predict_proba(frame), found.predict_proba(X, normalize=True)[:, [1, 2, 0]], rtol=1e-9
    )
    assert [each.C for each in theirs.estimators_] == [1.0, 3.0, 4.0]
    gpulr.report(found, tmp_path / "some.html")
    page = (tmp_path / "some.html").read_text(encoding="utf-8")
    assert "3 of 4 classes, 2 of 4 features of a trained model" in page
    onnxruntime = pytest.importorskip("onnxruntime")
    found.to_onnx(tmp_path / "some.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "some.onnx")
    label, margins = session.run(["label", "margins"], {"X": X})
    np.testing.assert_array_equal(label, found.predict(X))
    np.testing.assert_allclose(margins, found.decision_function(X), rtol=1e-9)
