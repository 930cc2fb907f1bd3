"""gpulr.show: what is drawn is what the numbers say, whatever the labels and the data are."""

from __future__ import annotations

import string
from dataclasses import replace

import numpy as np
import pytest
from helpers import python
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

import gpulr
from gpulr import show
from gpulr.errors import DataError, DataFileError, ParameterError
from gpulr.metrics import Evaluation, evaluate_margins
from gpulr.show.canvas import BLUE, GREEN, GREY, SKY, VERMILION, label_of

HOSTILE = np.array(
    [
        "<script>alert(1)</script>",
        "$x^2$",
        "$\\frac{$",
        "_",
        "_y",
        "a\nb\0",
        "{}",
        "%s",
        "ß",
        "x" * 99,
    ]
)


@pytest.fixture(scope="module")
def ten():
    """Ten digit models, with images of 8×8."""
    return gpulr.train(gpulr.datasets.load_digits())


@pytest.fixture(scope="module")
def letters():
    """26 classes of 2×3 images, which overlap: model, X, y."""
    rng = np.random.default_rng(3)
    codes = np.arange(260) % 26
    X = (rng.normal(size=(26, 6))[codes] + rng.normal(size=(260, 6))).astype(np.float32)
    y = np.array(list(string.ascii_lowercase))[codes]
    return gpulr.train(X, y, image_shape=(2, 3)), X, y


@pytest.fixture
def hostile(digits):
    X, y, X_test, y_test = digits
    model = gpulr.train(X, HOSTILE[y], image_shape=(8, 8))
    return model, X_test, HOSTILE[y_test]


@pytest.fixture(autouse=True)
def _nothing_is_left_in_pyplot():
    before = pyplot.get_fignums()
    yield
    assert pyplot.get_fignums() == before


def multiples(y):
    """Which of 2, 3 and 5 divide y."""
    return (y[:, np.newaxis] % [2, 3, 5] == 0).astype(np.uint8)


def drawn(ax):
    """Draw the whole picture, which is when matplotlib fails; its texts, in no order."""
    ax.figure.canvas.draw()
    return [text.get_text() for text in ax.figure.findobj(Text)]


def widths(bars):
    return [bar.get_width() for bar in bars]


def names_of(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


# ---- cost --------------------------------------------------------------------------------------


def test_cost_is_a_line_for_each_model_up_to_its_last_iteration(ten):
    ax = show.cost(ten)
    assert len(ax.lines) == 10
    for j, line in enumerate(ax.lines):
        last = ten.history.n_iter[j]
        assert line.get_xdata().tolist() == list(range(last + 1))
        assert line.get_ydata().tolist() == ten.history.cost[: last + 1, j].tolist()
        assert (line.get_marker(), line.get_markevery()) == ("o", [last])
    assert ax.get_yscale() == "log"
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 10
    legend = [int(text.get_text()) for text in ax.get_legend().get_texts()]
    assert legend == np.argsort(-ten.history.cost[-1]).tolist()
    handles = [handle.get_color() for handle in ax.get_legend().legend_handles]
    assert handles == [ax.lines[j].get_color() for j in legend]
    assert "iteration   (● converged)" in drawn(ax)


def test_models_that_have_not_converged_end_without_a_dot(digits):
    with pytest.warns(gpulr.ConvergenceWarning):
        model = gpulr.train(*digits[:2], max_iter=2)
    ax = show.cost(model)
    assert {line.get_marker() for line in ax.lines} == {"None"}
    assert ax.get_xlabel() == "iteration"


def test_of_many_models_the_costliest_are_named(letters):
    model = letters[0]
    ax = show.cost(model)
    worst = np.argsort(-model.history.cost[-1])[:5]
    assert len(ax.lines) == 26
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == model.classes[worst].tolist()
    grey = [j for j, line in enumerate(ax.lines) if line.get_color() == GREY]
    assert sorted([*grey, *worst]) == list(range(26))


def test_the_cost_of_one_model_and_costs_of_zero(digits):
    model = gpulr.train(digits[0], digits[1] > 4)
    ax = show.cost(model)
    assert (len(ax.lines), ax.get_legend()) == (1, None)
    at_zero = replace(model.history, cost=np.zeros_like(model.history.cost))
    assert show.cost(replace(model, history=at_zero)).get_yscale() == "linear"


# ---- weights -----------------------------------------------------------------------------------


def test_weights_are_images_of_one_symmetric_scale(ten):
    ax = show.weights(ten)
    *images, bar = ax.child_axes
    assert [panel.get_title() for panel in images] == [str(digit) for digit in range(10)]
    for j, panel in enumerate(images):
        expected = np.asarray(ten.weights)[:, j].reshape(8, 8)
        np.testing.assert_allclose(panel.images[0].get_array(), expected)
    scales = {panel.images[0].get_clim() for panel in images}
    ((low, high),) = scales
    assert low == -high
    within = np.mean(np.abs(ten.weights) <= high)
    assert 0.99 < within < 1
    assert bar.get_ylabel() == "← against    weight    for →"
    assert not np.isnan(high)
    drawn(ax)


def test_weights_of_bytes_are_those_of_a_full_pixel(digits):
    X = (digits[0] * 255).astype(np.uint8)
    model = gpulr.train(X.reshape(-1, 8, 8), digits[1])
    ax = show.weights(model, models=[3])
    expected = 255 * np.asarray(model.weights)[:, 3].reshape(8, 8)
    np.testing.assert_allclose(ax.child_axes[0].images[0].get_array(), expected, rtol=1e-6)
    assert "weight × 255" in ax.child_axes[1].get_ylabel()
    assert ax.get_title(loc="left") == "Weights of 1 of 10 models"


def test_channels_are_added_up(rng):
    X, y = rng.normal(size=(60, 2, 5, 3)), np.arange(60) % 3
    model = gpulr.train(X, y, dtype="float64")
    expected = np.asarray(model.weights)[:, 1].reshape(2, 5, 3).sum(axis=2)
    np.testing.assert_allclose(show.weights(model).child_axes[1].images[0].get_array(), expected)
    first = gpulr.train(np.moveaxis(X, -1, 1), y, dtype="float64")
    drawn_first = show.weights(first).child_axes[1].images[0].get_array()
    np.testing.assert_allclose(drawn_first, expected, atol=1e-3)
    drawn(show.samples(first, np.moveaxis(X, -1, 1), y))


def test_without_images_weights_are_a_table(blobs):
    model = gpulr.train(*blobs)
    ax = show.weights(model)
    np.testing.assert_allclose(ax.images[0].get_array(), np.asarray(model.weights).T)
    assert names_of(ax) == ["0", "1", "2"]
    low, high = ax.images[0].get_clim()
    assert low == -high < 0
    square = show.weights(model, image_shape=(2, 2))
    assert square.child_axes[0].images[0].get_array().shape == (2, 2)


def test_weights_of_many_models_are_drawn_in_part(ten):
    wide = replace(ten, weights=np.tile(np.asarray(ten.weights), 6), classes=np.arange(60))
    ax = show.weights(wide)
    assert len(ax.child_axes) == 50 + 1
    assert ax.get_title(loc="left") == "Weights of 50 of 60 models"


def test_weights_that_are_all_zero_have_a_scale(ten):
    ax = show.weights(replace(ten, weights=np.zeros((64, 10))))
    assert ax.child_axes[0].images[0].get_clim() == (-1, 1)
    drawn(ax)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_shape": (8, 9)}, "does not fit 64 features"),
        ({"image_shape": (4, 4, 4, 1)}, "expected \\(height, width\\)"),
        ({"models": [10]}, "from 0 to 9"),
        ({"models": []}, "from 0 to 9"),
        ({"models": [1.5]}, "whole number"),
        ({"ax": [1]}, "list; expected one matplotlib Axes"),
    ],
)
def test_weights_that_cannot_be_drawn(ten, settings, message):
    with pytest.raises(ParameterError, match=message):
        show.weights(ten, **settings)


def test_what_is_no_model(ten):
    for what in (show.cost, show.weights):
        with pytest.raises(ParameterError, match="type ndarray; expected a trained model"):
            what(np.eye(3))


# ---- confusion and accuracy --------------------------------------------------------------------


def result_of(Z, codes, classes=None):
    Z = np.asarray(Z, dtype=np.float64)
    classes = np.arange(Z.shape[1]) if classes is None else np.asarray(classes)
    return evaluate_margins(Z, np.asarray(codes), classes)


@pytest.fixture
def evaluation():
    """Of three classes: one row of class 0 and two of class 1 are taken for class 2."""
    predicted, true = np.array([0, 0, 2, 1, 2, 2, 2, 2]), np.array([0, 0, 0, 1, 1, 1, 2, 2])
    return result_of(2.0 * np.eye(3)[predicted] - 1, true)


def test_confusion_counts_and_colours_mistakes(evaluation):
    ax = show.confusion(evaluation)
    counts = np.zeros((3, 3), dtype=int)
    for text in ax.texts:
        column, row = text.get_position()
        counts[row, column] = int(text.get_text())
    assert counts.tolist() == evaluation.confusion.tolist()
    assert len(ax.texts) == np.count_nonzero(counts)  # zeros are left out
    mistakes = ax.images[1].get_array()
    assert np.diag(mistakes.mask).all()
    assert mistakes[0, 2] == pytest.approx(100 / 3)
    assert ax.images[1].get_clim() == (0, pytest.approx(200 / 3))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    assert ax.get_title(loc="left") == "5 of 8 rows right (62.5%)"
    drawn(ax)


def test_confusion_without_mistakes_and_with_a_class_that_has_no_rows():
    perfect = result_of(np.eye(3)[[0, 1]] - 0.5, [0, 1])
    ax = show.confusion(perfect)
    assert "2 of 2 rows right (100.0%)" in drawn(ax)
    ax = show.accuracy(perfect)
    assert widths(ax.containers[0]) == [1, 1, 0]
    assert "no rows" in drawn(ax)


def test_confusion_of_many_classes(letters):
    model, X, y = letters
    result = model.evaluate(X, y)
    ax = show.confusion(result)
    assert names_of(ax) == list(string.ascii_lowercase)
    assert sum(int(text.get_text()) for text in ax.texts) == 260
    n = 100
    many = Evaluation(1.0, np.ones(n), 1.0, np.eye(n, dtype=np.int64), np.arange(n))
    ax = show.confusion(many)
    assert not ax.texts


def test_accuracies_are_drawn_under_their_names(evaluation):
    ax = show.accuracy(evaluation)
    recall, binary = ax.containers
    assert widths(recall) == pytest.approx([2 / 3, 1 / 3, 1])
    assert widths(binary) == pytest.approx(evaluation.binary_accuracy)
    assert {to_hex(bar.get_facecolor()) for bar in recall} == {BLUE.lower()}
    assert {to_hex(bar.get_facecolor()) for bar in binary} == {SKY.lower()}
    base = [segment[0, 0] for segment in ax.collections[0].get_segments()]
    assert base == pytest.approx([5 / 8, 5 / 8, 6 / 8])  # rows of other classes
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend[0].startswith("recall")
    assert legend[1].startswith("binary accuracy")
    mean = evaluation.mean_binary_accuracy
    assert mean != pytest.approx(evaluation.accuracy)
    assert ax.get_title(loc="left") == (
        f"multiclass accuracy 0.625  ·  mean of the binary accuracies {mean:.3f}"
    )
    assert names_of(ax) == ["0", "1", "2"]
    assert "0.667" in drawn(ax)


def test_two_classes_have_one_model_and_one_accuracy():
    result = result_of([[1.0], [-1.0], [1.0]], [1, 0, 0], ["no", "yes"])
    ax = show.accuracy(result)
    (recall,) = ax.containers
    assert (widths(recall), names_of(ax)) == ([0.5, 1.0], ["no", "yes"])
    assert ax.get_title(loc="left") == "accuracy 0.667"


def test_accuracies_of_labels(digits):
    X, y, X_test, y_test = digits
    result = gpulr.train(X, multiples(y)).evaluate(X_test, multiples(y_test))
    ax = show.accuracy(result)
    assert widths(ax.containers[0]) == pytest.approx(result.label_accuracy)
    assert widths(ax.containers[1]) == pytest.approx(result.label_f1)
    title = ax.get_title(loc="left")
    assert f"all labels of a row right {result.subset_accuracy:.3f}" in title
    assert f"micro F1 {result.micro_f1:.3f}" in title
    with pytest.raises(ParameterError, match=r"gpulr\.show\.accuracy"):
        show.confusion(result)


def test_of_very_many_classes_the_worst_are_drawn():
    right, n = np.arange(50), 50
    confusion = np.diag(right)
    confusion[:, 0] += 50 - right
    result = Evaluation(0.5, np.linspace(0, 1, n), 0.5, confusion, np.arange(n))
    ax = show.accuracy(result)
    assert names_of(ax) == [str(j) for j in range(1, 41)]  # class 0, always right, is left out
    assert widths(ax.containers[0]) == pytest.approx(right[1:41] / 50)
    assert widths(ax.containers[1]) == pytest.approx(np.linspace(0, 1, n)[1:41])
    assert "the 40 of 50 with the lowest recall" in ax.get_title(loc="left")


def test_what_is_no_evaluation(ten):
    for what in (show.confusion, show.accuracy):
        with pytest.raises(ParameterError, match=r"OneVsAll; expected what model\.evaluate"):
            what(ten)


# ---- samples and mistakes ----------------------------------------------------------------------


def panels(ax):
    """The pairs of image and bars."""
    return list(zip(ax.child_axes[::2], ax.child_axes[1::2], strict=True))


def colours(bars):
    return [to_hex(bar.get_facecolor()) for bar in bars.patches]


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
        mark, colour = ("✓", GREEN) if right else ("✗", VERMILION)
        assert image.get_title(loc="left") == f"{mark} true {y[row]}, predicted {predicted[i]}"
        assert image._left_title.get_color() == colour
        expected = dict.fromkeys(range(10), GREY)
        expected |= {int(predicted[i]): VERMILION} | {int(y[row]): GREEN}
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


def test_rows_that_are_no_images(blobs, ten, digits):
    X, y = blobs
    model = gpulr.train(X, y)
    for what in (show.samples, show.mistakes):
        with pytest.raises(ParameterError, match=r"Pass image_shape=\(height, width\)"):
            what(model, X, y)
    assert panels(show.samples(model, X, y, image_shape=(2, 2)))
    with pytest.raises(DataError, match="not trained on: \\[99\\]"):
        show.mistakes(ten, digits[2], np.full(len(digits[2]), 99))
    with pytest.raises(DataError, match="355 rows and y has 3 labels"):
        show.samples(ten, digits[2], [1, 2, 3])
    with pytest.raises(ParameterError, match="n=0; expected a whole number"):
        show.samples(ten, digits[2], n=0)


# ---- labels, Axes, figures ---------------------------------------------------------------------


def test_labels_are_shown_as_they_are_and_shortened(hostile):
    model, X, y = hostile
    result = model.evaluate(X, y)
    pictures = {
        "cost": show.cost(model),
        "weights": show.weights(model),
        "table": show.weights(replace(model, image_shape=None)),
        "samples": show.samples(model, X, y),
        "mistakes": show.mistakes(model, X, y),
        "confusion": show.confusion(result),
        "accuracy": show.accuracy(result),
    }
    shown = [label_of(label) for label in model.classes]
    assert {"$x^2$", "_", "_y", "a b", "%s", "x" * 17 + "…", "<script>alert(1)<…"} <= set(shown)
    for name, ax in pictures.items():
        texts = drawn(ax)
        for text in ax.figure.findobj(Text):
            if any(c in text.get_text() for c in "$_{"):
                assert not text.get_parse_math(), (name, text)
                assert not text.get_usetex(), (name, text)
        if name not in ("samples", "mistakes"):
            assert set(shown) <= set(texts), name
        assert max(map(len, texts)) < 130, name
    legend = [text.get_text() for text in pictures["cost"].get_legend().get_texts()]
    assert sorted(legend) == sorted(shown)


def test_axes_of_the_callers_are_drawn_on(ten, digits):
    _, _, X, y = digits
    result = ten.evaluate(X, y)
    figure = Figure(figsize=(12, 8), layout="constrained")
    given = figure.subplots(2, 3).ravel()
    pictures = [
        lambda ax: show.cost(ten, ax=ax),
        lambda ax: show.weights(ten, ax=ax),
        lambda ax: show.confusion(result, ax=ax),
        lambda ax: show.accuracy(result, ax=ax),
        lambda ax: show.samples(ten, X, y, ax=ax),
        lambda ax: show.mistakes(ten, X, y, ax=ax),
    ]
    for ax, draw in zip(given, pictures, strict=True):
        assert draw(ax) is ax
        assert ax.get_title(loc="left")
    figure.canvas.draw()
    part = Figure().subfigures(1, 2)[1].subplots()
    assert show.weights(ten, ax=part) is part
    for draw in pictures:
        with pytest.raises(ParameterError, match="ax is of type ndarray; expected one"):
            draw(given)


def test_a_notebook_shows_the_axes_that_a_cell_ends_in(ten):
    assert show.cost(ten)._repr_png_().startswith(b"\x89PNG")


def test_drawing_needs_no_pyplot_and_no_display():
    code = """
import sys, gpulr, numpy as np
assert "matplotlib" not in sys.modules
model = gpulr.train(np.eye(4), [0, 1, 0, 1], max_iter=1, tol=0)
ax = gpulr.show.weights(model, image_shape=(2, 2))
ax.figure.savefig("/dev/null", format="png")
print("matplotlib.pyplot" in sys.modules)
"""
    assert python(code, MPLBACKEND="TkAgg", DISPLAY="").strip() == "False"


def test_estimators_and_searches_hold_models(digits):
    X, y, _, _ = digits
    classifier = gpulr.OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=2).fit(X, y)
    assert len(show.cost(classifier).lines) == 10
    assert len(show.weights(classifier.search_, image_shape=(8, 8)).child_axes) == 11
    assert show.c_path(classifier).get_title(loc="left") == "2 folds"
    with pytest.raises(ParameterError, match=r"OneVsAll; expected what gpulr\.search returns"):
        show.c_path(classifier.model_)


# ---- benchmarks --------------------------------------------------------------------------------


def timed(way, median, dtype="float32", task="training"):
    seconds = {"median": median, "q1": 0.9 * median, "q3": 1.2 * median}
    about = {"task": task, "way": way, "label": f"{way} $x$", "dtype": dtype}
    return {**about, "rows": dtype, "X_dtype": "uint8", "seconds": seconds}


def test_a_benchmark_of_times():
    results = [timed("notebook", 2.0), timed("batched", 0.25), timed("batched", 1, task="pass")]
    content = {"kind": "gpulr-interleaved", "results": results}
    ax = show.benchmark(content)
    assert widths(ax.patches) == [2.0, 0.25]
    assert [text.get_text() for text in ax.texts] == ["2 s", "250 ms"]
    assert [text.get_fontweight() for text in ax.texts] == ["normal", "bold"]
    assert names_of(ax) == ["notebook $x$, float32", "batched $x$, float32"]
    drawn(ax)
    assert widths(show.benchmark(content, task="pass").patches) == [1.0]
    with pytest.raises(ParameterError, match="task='fit'; this result has pass, training"):
        show.benchmark(content, task="fit")


def test_a_benchmark_of_gaps():
    points = [{"seconds": 2.0, "gap": 1e-3}, {"seconds": 1.0, "gap": 0.1}, {"seconds": 3, "gap": 0}]
    results = [{"name": "gpulr-lbfgs", "label": "ours", "points": points}]
    data = {"data": "MNIST"}
    ax = show.benchmark({"kind": "gpulr-peers", "data": data, "results": results})
    (line,) = ax.lines
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([1, 2], [0.1, 1e-3])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_a_benchmark_of_searches(tmp_path):
    import json

    ours = {"name": "gpulr", "label": "ours", "seconds": 2.0, "runs": [1.5, 2.5]}
    other = {"name": "sklearn", "label": "theirs", "seconds": 90, "runs": [9]}
    results = [ours | {"extrapolated_from_classes": None}, other | {"extrapolated_from_classes": 3}]
    path = tmp_path / "search.json"
    path.write_text(json.dumps({"kind": "gpulr-search", "results": results}))
    ax = show.benchmark(path)
    assert widths(ax.patches) == [2, 90]
    assert names_of(ax)[0] == "ours"
    assert names_of(ax)[1].replace("\n", " ") == "theirs (scaled up from 3 classes)"


def test_what_is_no_benchmark(tmp_path):
    with pytest.raises(ParameterError, match="kind None; expected one of: gpulr-interleaved"):
        show.benchmark({})
    path = tmp_path / "x.json"
    with pytest.raises(DataFileError, match="cannot be read"):
        show.benchmark(path)
    path.write_text("[]")
    with pytest.raises(DataFileError, match="holds no result"):
        show.benchmark(str(path))
