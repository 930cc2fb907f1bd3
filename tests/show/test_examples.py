"""Samples and mistakes: which rows, what is said of them, and every model's own probability."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

import gpulr
from gpulr import show
from gpulr.show.canvas import Colour
from helpers import multiples
from shown import colours, drawn, names_of, panels, widths


def chosen(n_rows, n, seed=0):
    return np.random.default_rng(seed).permutation(n_rows)[:n]


def titles_of(ax):
    """The titles of the images, each as one line."""
    titles = (image.get_title(loc="left").replace("\n", ", ") for image, _ in panels(ax))
    return [" ".join(title.split()) for title in titles]


def pixels_of(ax):
    return [image.images[0].get_array() for image, _ in panels(ax)]


def test_samples_show_each_models_own_probability(ten, digits):
    _, _, X, y = digits
    ax, rows = show.samples(ten, X, y, n=5, seed=4), chosen(len(X), 5, seed=4)
    predicted, right = ten.predict(X[rows]), 0
    low, high = ten.data["feature_range"]
    for true, said, row, (image, bars) in zip(y[rows], predicted, rows, panels(ax), strict=True):
        pixels = (X[row].reshape(8, 8) - low) / (high - low)
        np.testing.assert_allclose(image.images[0].get_array(), pixels, atol=1e-6)
        np.testing.assert_allclose(widths(bars.patches), ten.predict_proba(X[[row]])[0], rtol=1e-4)
        assert names_of(bars) == [str(digit) for digit in range(10)]
        mark, colour = ("✓", Colour.GREEN) if said == true else ("✗", Colour.VERMILION)
        assert image.get_title(loc="left") == f"{mark} true {true}, predicted {said}"
        assert image._left_title.get_color() == colour
        expected = dict.fromkeys(range(10), Colour.GREY)
        expected |= {int(said): Colour.VERMILION} | {int(true): Colour.GREEN}
        assert colours(bars) == [colour.lower() for colour in expected.values()]
        right += said == true
    assert ax.get_title(loc="left") == f"5 of 355 rows: {right} right"
    assert any("not summing to 1" in text for text in drawn(ax))
    again, other = (pixels_of(show.samples(ten, X, n=5, seed=seed)) for seed in (4, 5))
    assert np.array_equal(again, pixels_of(ax))
    assert not np.array_equal(again, other)


def test_samples_without_labels(ten, digits):
    ax = show.samples(ten, digits[2][:3])  # as many as there are
    assert sorted(titles_of(ax)) == sorted(f"predicted {k}" for k in ten.predict(digits[2][:3]))
    assert ax.get_title(loc="left") == "3 of 3 rows"


def test_mistakes_are_the_most_confident_ones(ten, digits):
    _, _, X, y = digits
    Z, predicted = np.asarray(ten.decision_function(X)), ten.predict(X)
    wrong = np.flatnonzero(predicted != y)
    worst = wrong[np.argsort(-Z[wrong].max(axis=1))][:5]
    ax = show.mistakes(ten, X, y, n=5)
    assert titles_of(ax) == [f"✗ true {y[row]}, predicted {predicted[row]}" for row in worst]
    what = f"The 5 most confident of {len(wrong)} mistakes among 355 rows"
    assert ax.get_title(loc="left") == what
    assert "The most confident of" in show.mistakes(ten, X, y, n=1).get_title(loc="left")
    none = show.mistakes(ten, X, predicted)
    assert none.get_title(loc="left") == "No mistakes among 355 rows"
    assert not none.child_axes
    drawn(none)


@pytest.mark.parametrize("draw", [show.samples, show.mistakes])
def test_of_a_dataset_the_test_rows_are_drawn(ten, draw):
    data = gpulr.datasets.load_digits()
    ours, theirs = draw(ten, data, n=2), draw(ten, data.X_test, data.y_test, n=2)
    assert ours.get_title(loc="left") == theirs.get_title(loc="left")
    assert np.array_equal(pixels_of(ours), pixels_of(theirs))
    all_rows = replace(data, X_test=None, y_test=None)
    assert "1,442" in draw(ten, all_rows, n=1).get_title(loc="left")
    assert panels(draw(replace(ten, image_shape=None), data, n=1))  # of the Dataset's shape


def test_of_many_classes_the_ten_largest_probabilities_are_drawn(letters):
    model, X, y = letters
    for _, bars in panels(show.mistakes(model, X, y, n=3)):
        assert len(bars.patches) == 10
        assert names_of(bars) == sorted(names_of(bars))
    ((_, bars),) = panels(show.samples(model, X, y, n=1))
    P = model.predict_proba(X[chosen(len(X), 1)])[0]
    np.testing.assert_allclose(sorted(widths(bars.patches)), np.sort(P)[-10:], rtol=1e-4)
    assert names_of(bars) == sorted(model.classes[np.argsort(P)[-10:]])


def test_two_classes_have_two_bars(digits):
    X, y, X_test, y_test = digits
    model = gpulr.train(X, np.where(y > 4, "large", "small"), image_shape=(8, 8))
    truth = np.where(y_test > 4, "large", "small")
    ax = show.samples(model, X_test, truth, n=2)
    P = model.predict_proba(X_test[chosen(len(X_test), 2)])[:, 0]
    for p, (_, bars) in zip(P, panels(ax), strict=True):
        np.testing.assert_allclose(widths(bars.patches), [1 - p, p], rtol=1e-4)
        assert names_of(bars) == ["large", "small"]
    assert not any("not summing" in text for text in drawn(ax))
    drawn(show.mistakes(model, X_test, truth, n=2))


def test_rows_of_several_labels(digits):
    X, y, X_test, y_test = digits
    model = gpulr.train(X, multiples(y), image_shape=(8, 8))
    truth, predicted = multiples(y_test), model.predict(X_test)

    def title(row):
        true, said = (
            " + ".join(map(str, np.flatnonzero(labels[row]))) or "none"
            for labels in (truth, predicted)
        )
        return f"{'✓' if true == said else '✗'} true {true}, predicted {said}"

    ax = show.samples(model, X_test, truth, n=12)
    assert titles_of(ax) == [title(row) for row in chosen(len(X_test), 12)]
    Z = np.asarray(model.decision_function(X_test))
    surest = np.where(truth != predicted, np.abs(Z), 0).max(axis=1).argmax()
    (pixels,) = pixels_of(show.mistakes(model, X_test, truth, n=1))
    np.testing.assert_allclose(pixels, X_test[surest].reshape(8, 8) / X.max(), atol=1e-6)


def test_arrays_of_any_library(put, digits):
    X, y, X_test, y_test = digits
    model = gpulr.train(put(X), put(y), image_shape=(8, 8))
    data = put(X_test), put(y_test)
    result, samples = model.evaluate(*data), show.samples(model, *data, n=1)
    mistakes = show.mistakes(model, *data, n=1)
    scores = show.confusion(result), show.accuracy(result)
    for picture in (show.cost(model), show.weights(model), samples, mistakes, *scores):
        assert picture.get_title(loc="left")
    pixels = X_test[chosen(len(X_test), 1)].reshape(8, 8) / X.max()
    np.testing.assert_allclose(pixels_of(samples)[0], pixels, atol=1e-6)


def test_sparse_rows_images_and_blank_ones(ten, digits):
    _, _, X, y = digits
    dense = pixels_of(show.samples(ten, X, y, n=2))
    for same in (csr_array(X), X.reshape(-1, 8, 8)):
        assert np.array_equal(pixels_of(show.samples(ten, same, y, n=2)), dense)
    ax = show.samples(replace(ten, data={}), np.zeros((2, 64)), [0, 1])  # no range is known
    assert not np.any(pixels_of(ax))
    drawn(ax)
