"""The view of predictions, labels and images that pictures, reports and videos share."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr.show.predictions import (
    Predictions,
    as_bytes,
    as_images,
    grey_images,
    is_image,
    label_text,
    most_probable,
    shortened,
    true_names,
    weight_images,
    weight_limit,
)
from shown import multiples


def test_classes(ten, digits):
    _, _, X, y = digits
    found = Predictions.of(ten, X, true_names(ten, y, len(y)))
    np.testing.assert_allclose(found.probabilities, ten.predict_proba(X), rtol=1e-4)
    np.testing.assert_array_equal(found.predicted.argmax(axis=1), ten.predict(X))
    assert (found.predicted.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(found.right, ten.predict(X) == y)
    np.testing.assert_array_equal(found.certain, ten.predict_proba(X).max(axis=1) >= 0.5)
    assert not found.certain.all()
    some = found.take(np.array([5, 2]))
    np.testing.assert_array_equal(some.Z, found.Z[[5, 2]])
    np.testing.assert_array_equal(some.right, found.right[[5, 2]])
    assert not Predictions.of(ten, X).right.any()  # nothing is known


def test_two_classes_and_several_labels(digits):
    X, y, X_test, y_test = digits
    two = gpulr.train(X, y > 4, max_iter=5, tol=0)
    found = Predictions.of(two, X_test, true_names(two, y_test > 4, len(y_test)))
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert found.right.mean() == two.score(X_test, y_test > 4)
    assert found.certain.all()
    labels, truth = gpulr.train(X, multiples(y)), multiples(y_test)
    found = Predictions.of(labels, X_test, true_names(labels, truth, len(truth)))
    np.testing.assert_array_equal(found.predicted, labels.predict(X_test))
    assert found.right.mean() == labels.score(X_test, truth)
    assert (found.confidence[found.right] == 0).all()
    assert (found.confidence[~found.right] > 0).all()


def test_the_most_probable_come_first_and_of_equal_ones_the_first():
    P = np.array([[0.1, 0.9, 0.9, 0.3], [0.2, 0.1, 0.4, 0.3]])
    assert most_probable(P, 3).tolist() == [[1, 2, 3], [2, 3, 0]]
    assert most_probable(P[0], 9).tolist() == [1, 2, 3, 0]


LABELS = {
    **{"<script>$x$": "<script>$x$", "a\nb": "a b", "a\x1bb": "a�b", "\ud800": "�", "": "(empty)"},
    **{" ": "(empty)", 7: "7", b"\xff": "b'\\xff'", "x" * 18: "x" * 18, "x" * 19: "x" * 17 + "…"},
}


def test_labels_are_one_printable_line():
    assert {label: label_text(label) for label in LABELS} == LABELS
    # A word is not cut off after a space.
    assert [shortened("ab cd", n) for n in (5, 4, 3)] == ["ab cd", "ab…", "ab…"]


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


def test_weights_have_one_scale_and_their_channels_are_added_up(rng):
    W = rng.normal(size=(60, 2))
    images = weight_images(W, (4, 5, 3))
    np.testing.assert_allclose(images, as_images(W.T, (4, 5, 3)).sum(axis=3))
    assert weight_limit(images) == pytest.approx(np.percentile(np.abs(images), 99.5))
    assert weight_limit(np.array([0.0] * 999 + [-2.0])) == 2
    assert weight_limit(np.zeros(3)) == 1
