"""Cost curves and pictures of the weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gpulr
from gpulr import show
from gpulr.show import models
from gpulr.show.canvas import Colour
from shown import drawn, names_of


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def image(ax, j=0):
    """The values of the image in the j-th of the Axes inside."""
    return ax.child_axes[j].images[0].get_array()


def test_cost_is_a_line_for_each_model_up_to_its_last_iteration(ten):
    ax, history = show.cost(ten), ten.history
    for j, (line, last) in enumerate(zip(ax.lines, history.n_iter, strict=True)):
        assert line.get_xdata().tolist() == list(range(last + 1))
        assert line.get_ydata().tolist() == history.cost[: last + 1, j].tolist()
        assert (line.get_marker(), line.get_markevery()) == ("o", [last])
    assert ax.get_yscale() == "log"
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 10
    order = np.argsort(-history.cost[-1]).tolist()
    assert legend_of(ax) == list(map(str, order))
    handles = [handle.get_color() for handle in ax.get_legend().legend_handles]
    assert handles == [ax.lines[j].get_color() for j in order]
    assert "iteration (● converged)" in drawn(ax)
    at_zero = replace(history, cost=np.zeros_like(history.cost))
    assert show.cost(replace(ten, history=at_zero)).get_yscale() == "linear"


def test_one_model_that_has_not_converged_has_no_legend_and_no_dot(digits):
    with pytest.warns(gpulr.ConvergenceWarning):
        ax = show.cost(gpulr.train(digits[0], digits[1] > 4, max_iter=2))
    assert [line.get_marker() for line in ax.lines] == ["None"]
    assert (ax.get_xlabel(), ax.get_legend()) == ("iteration", None)


def test_of_many_models_the_costliest_are_named(letters):
    model = letters[0]
    ax = show.cost(model)
    worst = np.argsort(-model.history.cost[-1])[:5]
    assert legend_of(ax) == model.classes[worst].tolist()
    grey = [j for j, line in enumerate(ax.lines) if line.get_color() == Colour.GREY]
    assert sorted([*grey, *worst]) == list(range(26))


def test_weights_are_images_of_one_symmetric_scale(ten):
    ax = show.weights(ten)
    *panels, bar = ax.child_axes
    assert [panel.get_title() for panel in panels] == [str(digit) for digit in range(10)]
    for j in range(10):
        np.testing.assert_allclose(image(ax, j), np.asarray(ten.weights)[:, j].reshape(8, 8))
    ((low, high),) = {panel.images[0].get_clim() for panel in panels}
    assert low == -high
    assert 0.99 < np.mean(np.abs(ten.weights) <= high) < 1
    assert bar.get_ylabel() == "← against    weight    for →"
    drawn(ax)


def test_weights_of_bytes_are_those_of_a_full_pixel(digits):
    X = (digits[0] * 255).astype(np.uint8)
    model = gpulr.train(X.reshape(-1, 8, 8), digits[1])
    ax = show.weights(model, models=[3])
    expected = 255 * np.asarray(model.weights)[:, 3].reshape(8, 8)
    np.testing.assert_allclose(image(ax), expected, rtol=1e-6)
    assert "weight × 255" in ax.child_axes[1].get_ylabel()
    assert ax.get_title(loc="left") == "Weights of 1 of 10 models"


def test_channels_are_added_up(rng):
    X, y = rng.normal(size=(60, 2, 5, 3)), np.arange(60) % 3
    model = gpulr.train(X, y, dtype="float64")
    expected = np.asarray(model.weights)[:, 1].reshape(2, 5, 3).sum(axis=2)
    np.testing.assert_allclose(image(show.weights(model), 1), expected)
    first = gpulr.train(np.moveaxis(X, -1, 1), y, dtype="float64")
    np.testing.assert_allclose(image(show.weights(first), 1), expected, atol=1e-3)
    drawn(show.samples(first, np.moveaxis(X, -1, 1), y, n=2))


def test_without_images_weights_are_a_table(blobs):
    model = gpulr.train(*blobs)
    ax = show.weights(model)
    np.testing.assert_allclose(ax.images[0].get_array(), np.asarray(model.weights).T)
    assert names_of(ax) == ["0", "1", "2"]
    assert [tick for tick in ax.get_xticks() if -0.5 <= tick <= 3.5] == [0, 1, 2, 3]
    low, high = ax.images[0].get_clim()
    assert low == -high < 0
    assert image(show.weights(model, image_shape=(2, 2))).shape == (2, 2)


def test_weights_of_the_first_models_and_weights_that_are_all_zero(ten, monkeypatch):
    ax = show.weights(replace(ten, weights=np.zeros((64, 10))), models=[1, 2])
    assert ax.child_axes[0].images[0].get_clim() == (-1, 1)
    drawn(ax)
    assert models.MOST == 50
    monkeypatch.setattr(models, "MOST", 3)
    ax = show.weights(ten)
    assert len(ax.child_axes) == 3 + 1
    assert ax.get_title(loc="left") == "Weights of 3 of 10 models"
