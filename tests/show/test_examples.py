"""Samples and mistakes: which rows, what is said of them, and every model's own probability."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gpulr
from gpulr import show
from gpulr.errors import DataError, ParameterError
from gpulr.show.canvas import Colour
from shown import colours, drawn, multiples, names_of, panels, widths


def test_samples_show_each_models_own_probability(ten, digits):
    _, _, X, y = digits
    ax = show.samples(ten, X, y, n=9, seed=4)
    chosen = np.random.default_rng(4).permutation(len(X))[:9]
    assert len(panels(ax)) == 9
    predicted = ten.predict(X[chosen])
    low, high = ten.data["feature_range"]
    for i, (row, (image, bars)) in enumerate(zip(chosen, panels(ax), strict=True)):
        pixels = (X[row].reshape(8, 8) - low) / (high - low)
        np.testing.assert_allclose(image.images[0].get_array(), pixels, atol=1e-6)
        P = ten.predict_proba(X[[row]])[0]
        np.testing.assert_allclose(widths(bars.patches), P, rtol=1e-4)
        assert names_of(bars) == [str(digit) for digit in range(10)]
        right = predicted[i] == y[row]
        mark, colour = ("✓", Colour.GREEN) if right else ("✗", Colour.VERMILION)
        assert image.get_title(loc="left") == f"{mark} true {y[row]}, predicted {predicted[i]}"
        assert image._left_title.get_color() == colour
        expected = dict.fromkeys(range(10), Colour.GREY)
        expected |= {int(predicted[i]): Colour.VERMILION} | {int(y[row]): Colour.GREEN}
        assert colours(bars) == [colour.lower() for colour in expected.values()]
    n_right = np.count_nonzero(predicted == y[chosen])
    assert ax.get_title(loc="left") == f"9 of 355 rows: {n_right} right"
    assert any("not summing to 1" in text for text in drawn(ax))


def test_equal_seeds_draw_equal_rows(ten, digits):
    def rows(seed):
        ax = show.samples(ten, digits[2], n=4, seed=seed)
        return [image.images[0].get_array().tolist() for image, _ in panels(ax)]

    assert rows(1) == rows(1) != rows(2)


def test_samples_without_labels(ten, digits):
    ax = show.samples(ten, digits[2][:3])
    assert len(panels(ax)) == 3  # as many as there are
    titles = sorted(image.get_title(loc="left") for image, _ in panels(ax))
    assert titles == sorted(f"predicted {digit}" for digit in ten.predict(digits[2][:3]))
    assert ax.get_title(loc="left") == "3 of 3 rows"


def test_mistakes_are_the_most_confident_ones(ten, digits):
    _, _, X, y = digits
    Z, predicted = np.asarray(ten.decision_function(X)), ten.predict(X)
    wrong = np.flatnonzero(predicted != y)
    worst = wrong[np.argsort(-Z[wrong].max(axis=1))][:5]
    ax = show.mistakes(ten, X, y, n=5)
    titles = [image.get_title(loc="left") for image, _ in panels(ax)]
    assert titles == [f"✗ true {y[row]}, predicted {predicted[row]}" for row in worst]
    what = f"The 5 most confident of {len(wrong)} mistakes among 355 rows"
    assert ax.get_title(loc="left") == what
    assert "The most confident of" in show.mistakes(ten, X, y, n=1).get_title(loc="left")


def test_of_a_dataset_the_test_rows_are_drawn(ten, digits):
    data = gpulr.datasets.load_digits()
    for draw, n in ((show.mistakes, 4), (show.samples, 3)):
        ours, theirs = draw(ten, data, n=n), draw(ten, data.X_test, data.y_test, n=n)
        assert drawn(ours) == drawn(theirs)
    all_rows = replace(data, X_test=None, y_test=None)
    assert show.samples(ten, all_rows, n=1).get_title(loc="left").startswith("1 of 1,442 rows")
    bare_model = replace(ten, image_shape=None)
    assert panels(show.samples(bare_model, data, n=1))  # the images are those of the Dataset
    with pytest.raises(DataError, match="A Dataset brings its own labels"):
        show.mistakes(ten, data, data.y_test)


def test_no_mistakes(ten, digits):
    ax = show.mistakes(ten, digits[2], ten.predict(digits[2]))
    assert ax.get_title(loc="left") == "No mistakes among 355 rows"
    assert not ax.child_axes
    drawn(ax)


def test_of_many_classes_the_ten_largest_probabilities_are_drawn(letters):
    model, X, y = letters
    ax = show.mistakes(model, X, y, n=3)
    for _, bars in panels(ax):
        assert len(bars.patches) == 10
        assert names_of(bars) == sorted(names_of(bars))
    row = np.random.default_rng(0).permutation(len(X))[0]
    ((_, bars),) = panels(show.samples(model, X, y, n=1))
    P = model.predict_proba(X[[row]])[0]
    np.testing.assert_allclose(sorted(widths(bars.patches)), np.sort(P)[-10:], rtol=1e-4)
    assert names_of(bars) == sorted(model.classes[np.argsort(P)[-10:]])


def test_two_classes_have_two_bars(digits):
    X, y, X_test, y_test = digits
    model = gpulr.train(X, np.where(y > 4, "large", "small"), image_shape=(8, 8))
    ax = show.samples(model, X_test, np.where(y_test > 4, "large", "small"), n=2)
    chosen = np.random.default_rng(0).permutation(len(X_test))[:2]
    P = model.predict_proba(X_test[chosen])[:, 0]
    for p, (_, bars) in zip(P, panels(ax), strict=True):
        np.testing.assert_allclose(widths(bars.patches), [1 - p, p], rtol=1e-4)
        assert names_of(bars) == ["large", "small"]
    assert not any("not summing" in text for text in drawn(ax))
    drawn(show.mistakes(model, X_test, np.where(y_test > 4, "large", "small")))


def test_rows_of_several_labels(digits):
    X, y, X_test, y_test = digits
    model = gpulr.train(X, multiples(y), image_shape=(8, 8))
    truth, predicted = multiples(y_test), model.predict(X_test)
    ax = show.samples(model, X_test, truth, n=12)
    chosen = np.random.default_rng(0).permutation(len(X_test))[:12]

    def words(labels):
        return " + ".join(str(j) for j in np.flatnonzero(labels)) or "none"

    for row, (image, _) in zip(chosen, panels(ax), strict=True):
        mark = "✓" if (truth[row] == predicted[row]).all() else "✗"
        title = " ".join(image.get_title(loc="left").replace("\n", ", ").split())
        assert title == f"{mark} true {words(truth[row])}, predicted {words(predicted[row])}"
    Z = np.asarray(model.decision_function(X_test))
    surest = np.where(truth != predicted, np.abs(Z), 0).max(axis=1).argmax()
    ((image, _),) = panels(show.mistakes(model, X_test, truth, n=1))
    np.testing.assert_allclose(
        image.images[0].get_array(), X_test[surest].reshape(8, 8) / X.max(), atol=1e-6
    )


def test_arrays_of_any_library(put, digits):
    X, y, X_test, y_test = digits
    model = gpulr.train(put(X), put(y), image_shape=(8, 8))
    data = put(X_test), put(y_test)
    for picture in (
        show.cost(model),
        show.weights(model),
        show.samples(model, *data),
        show.mistakes(model, *data, n=3),
        show.confusion(model.evaluate(*data)),
        show.accuracy(model.evaluate(*data)),
    ):
        assert drawn(picture)
    chosen = np.random.default_rng(0).permutation(len(X_test))[0]
    image = show.samples(model, *data).child_axes[0].images[0].get_array()
    np.testing.assert_allclose(image, X_test[chosen].reshape(8, 8) / X.max(), atol=1e-6)


def test_sparse_rows_images_and_blank_ones(ten, digits):
    from scipy.sparse import csr_array

    _, _, X, y = digits
    dense = show.samples(ten, X, y, n=2)
    for same in (csr_array(X), X.reshape(-1, 8, 8)):
        other = show.samples(ten, same, y, n=2)
        for (one, _), (two, _) in zip(panels(dense), panels(other), strict=True):
            assert (one.images[0].get_array() == two.images[0].get_array()).all()
    ax = show.samples(replace(ten, data={}), np.zeros((2, 64)), [0, 1])  # no range is known
    assert (panels(ax)[0][0].images[0].get_array() == 0).all()
    drawn(ax)


@pytest.mark.parametrize("draw", [show.samples, show.mistakes])
def test_rows_that_are_no_images(blobs, draw):
    X, y = blobs
    model = gpulr.train(X, y)
    with pytest.raises(ParameterError, match=r"Pass image_shape=\(height, width\)"):
        draw(model, X, y)
    assert panels(draw(model, X, y, image_shape=(2, 2)))


@pytest.mark.parametrize(
    ("draw", "y", "more", "error", "message"),
    [
        (show.mistakes, np.full(355, 99), {}, DataError, "not trained on: \\[99\\]"),
        (show.samples, [1, 2, 3], {}, DataError, "355 rows and y has 3 labels"),
        (show.samples, None, {"n": 0}, ParameterError, "n=0; expected a whole number"),
    ],
)
def test_labels_and_settings_that_cannot_be_used(ten, digits, draw, y, more, error, message):
    with pytest.raises(error, match=message):
        draw(ten, digits[2], y, **more)
