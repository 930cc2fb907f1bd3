"""The view of predictions, labels and images that pictures, reports and videos share."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr.show.predictions import (
    Predictions,
    as_bytes,
    grey_images,
    is_image,
    most_probable,
    true_names,
    weight_limit,
)
from helpers import multiples


def test_predictions_beside_the_truth(ten, digits):
    X, y, X_test, y_test = digits
    found = Predictions.of(ten, X_test, true_names(ten, y_test, len(y_test)))
    np.testing.assert_allclose(found.probabilities, ten.predict_proba(X_test), rtol=1e-4)
    np.testing.assert_array_equal(found.predicted.argmax(axis=1), ten.predict(X_test))
    assert (found.predicted.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(found.right, ten.predict(X_test) == y_test)
    np.testing.assert_array_equal(found.certain, ten.predict_proba(X_test).max(axis=1) >= 0.5)
    assert not found.certain.all()
    some = found.take(np.array([5, 2]))
    np.testing.assert_array_equal(some.Z, found.Z[[5, 2]])
    np.testing.assert_array_equal(some.right, found.right[[5, 2]])
    assert not Predictions.of(ten, X_test).right.any()  # nothing is known
    two = gpulr.train(X, y > 4, max_iter=5, tol=0)
    assert Predictions.of(two, X_test).certain.all()
    labels, truth = gpulr.train(X, multiples(y)), multiples(y_test)
    found = Predictions.of(labels, X_test, true_names(labels, truth, len(truth)))
    np.testing.assert_array_equal(found.predicted, labels.predict(X_test))
    assert found.right.mean() == labels.score(X_test, truth)
    np.testing.assert_array_equal(found.confidence > 0, ~found.right)
    wrong = np.argwhere(found.predicted != found.true)
    i, j = wrong[0]
    truth = np.where(
        np.arange(truth.size).reshape(truth.shape) == i * truth.shape[1] + j, np.nan, truth
    )
    unsaid = Predictions.of(labels, X_test, true_names(labels, truth, len(truth)))
    assert np.argwhere(unsaid.predicted != unsaid.true).tolist() == wrong[1:].tolist()


def test_the_most_probable_come_first_and_of_equal_ones_the_first():
    P = np.array([[0.1, 0.9, 0.9, 0.3], [0.2, 0.1, 0.4, 0.3]])
    assert most_probable(P, 3).tolist() == [[1, 2, 3], [2, 3, 0]]
    assert most_probable(P[0], 9).tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize(
    ("shape", "image"),
    [((8, 8, 3), (8, 8, 3)), ((3, 8, 8), (8, 8, 3)), ((8, 8, 1), (8, 8)), ((8, 24), (8, 24))],
)
def test_images_of_every_shape(digits, shape, image):
    X = np.tile(digits[0], 3)[:, : int(np.prod(shape))]
    model = gpulr.train(X, digits[1], image_shape=shape, max_iter=2, tol=0)
    assert is_image(model.image_shape)
    assert model.data["feature_range"] == [0, 1]
    assert not any(map(is_image, (None, (64,), (2, 5, 2), (2, 2, 4, 4))))
    pixels = as_bytes(grey_images(model, X[:2], shape))
    assert pixels.shape == (2, *image)
    if shape == (3, 8, 8):
        expected = np.rint(255 * X[0].reshape(3, 8, 8).transpose(1, 2, 0))
        np.testing.assert_array_equal(pixels[0], expected)


def test_weights_have_one_scale(rng):
    W = rng.normal(size=(60, 2))
    assert weight_limit(W) == pytest.approx(np.percentile(np.abs(W), 99.5))
    assert weight_limit(np.array([0.0] * 999 + [-2.0])) == 2
    assert weight_limit(np.zeros(3)) == 1
