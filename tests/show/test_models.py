"""Cost curves and pictures of the weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gpulr
from gpulr import show
from gpulr.errors import ParameterError
from gpulr.show.canvas import Colour
from shown import drawn, names_of


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
    assert "iteration (● converged)" in drawn(ax)


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
    grey = [j for j, line in enumerate(ax.lines) if line.get_color() == Colour.GREY]
    assert sorted([*grey, *worst]) == list(range(26))


def test_the_cost_of_one_model_and_costs_of_zero(digits):
    model = gpulr.train(digits[0], digits[1] > 4)
    ax = show.cost(model)
    assert (len(ax.lines), ax.get_legend()) == (1, None)
    at_zero = replace(model.history, cost=np.zeros_like(model.history.cost))
    assert show.cost(replace(model, history=at_zero)).get_yscale() == "linear"


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
    assert [tick for tick in ax.get_xticks() if -0.5 <= tick <= 3.5] == [0, 1, 2, 3]
    low, high = ax.images[0].get_clim()
    assert low == -high < 0
    square = show.weights(model, image_shape=(2, 2))
    assert square.child_axes[0].images[0].get_array().shape == (2, 2)


def test_weights_of_many_models_and_weights_that_are_all_zero(ten):
    ax = show.weights(replace(ten, weights=np.zeros((64, 10))))
    assert ax.child_axes[0].images[0].get_clim() == (-1, 1)
    drawn(ax)
    wide = replace(ten, weights=np.tile(np.asarray(ten.weights), 6), classes=np.arange(60))
    ax = show.weights(wide)
    assert len(ax.child_axes) == 50 + 1
    assert ax.get_title(loc="left") == "Weights of 50 of 60 models"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_shape": (8, 9)}, "does not fit 64 features"),
        ({"image_shape": (4, 4, 4, 1)}, "expected \\(height, width\\)"),
        ({"models": [10]}, "from 0 to 9"),
        ({"models": []}, "from 0 to 9"),
        ({"models": [1.5]}, "whole number"),
        ({"ax": [1]}, "list; expected one matplotlib Axes"),
        ({"model": np.eye(3)}, "type ndarray; expected a trained model"),
    ],
)
def test_weights_that_cannot_be_drawn(ten, settings, message):
    with pytest.raises(ParameterError, match=message):
        show.weights(**{"model": ten} | settings)


def test_what_is_no_model_has_no_cost():
    with pytest.raises(ParameterError, match="type ndarray; expected a trained model"):
        show.cost(np.eye(3))
