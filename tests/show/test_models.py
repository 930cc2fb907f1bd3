"""Cost curves and pictures of the weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

import gpulr
from gpulr import show
from gpulr.show import models
from gpulr.show.canvas import Colour
from shown import drawn


def named(ax):
    """The names beside the lines, from the top, with their colours."""
    texts = sorted(ax.texts, key=lambda text: -text.xyann[1])
    return [(text.get_text(), text.get_color()) for text in texts]


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
    assert len({line.get_color() for line in ax.lines}) == 10
    order = np.argsort(-history.cost[-1]).tolist()
    assert named(ax) == [(str(j), ax.lines[j].get_color()) for j in order]
    ends = [text.xy for text in sorted(ax.texts, key=lambda text: -text.xyann[1])]
    assert ends == [(history.n_iter[j], history.cost[history.n_iter[j], j]) for j in order]
    ax.figure.canvas.draw()
    heights = np.sort([text.xyann[1] for text in ax.texts])
    assert np.diff(heights).min() > 0.05  # of the Axes: no name is on another
    assert 0 <= heights[0] <= heights[-1] <= 1
    assert "iteration (● converged)" in drawn(ax)
    at_zero = replace(history, cost=np.zeros_like(history.cost))
    assert show.cost(replace(ten, history=at_zero)).get_yscale() == "linear"


def test_one_model_that_has_not_converged_has_no_legend_and_no_dot(digits):
    with pytest.warns(gpulr.ConvergenceWarning):
        ax = show.cost(gpulr.train(digits[0], digits[1] > 4, max_iter=2))
    assert [line.get_marker() for line in ax.lines] == ["None"]
    assert (ax.get_xlabel(), len(ax.texts)) == ("iteration", 0)


def test_of_many_models_the_costliest_are_named(letters):
    model = letters[0]
    ax = show.cost(model)
    worst = np.argsort(-model.history.cost[-1])[:5]
    assert [name for name, _ in named(ax)] == model.classes[worst].tolist()
    assert ax.get_title(loc="left") == "Cost of each model, the 5 costliest named"
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


def test_what_stands_beside_the_colour_bar_is_whole(rng):
    X, y = rng.normal(size=(60, 12)), np.arange(60) % 2
    ax = show.weights(gpulr.train(X, y, image_shape=(2, 6)))
    ax.figure.canvas.draw()
    bar = ax.child_axes[-1]
    words = bar.yaxis.label.get_window_extent()
    assert words.y0 >= 0
    assert words.y1 <= ax.figure.bbox.height
    (panel, _) = ax.child_axes
    above = ax.title.axes.get_window_extent().y1 - panel.get_window_extent().y1
    assert above < 5  # pixels: no gap below the title


def test_weights_of_the_first_models_and_weights_that_are_all_zero(ten, monkeypatch):
    ax = show.weights(replace(ten, weights=np.zeros((64, 10))), models=[1, 2])
    assert ax.child_axes[0].images[0].get_clim() == (-1, 1)
    drawn(ax)
    assert models.MOST == 50
    monkeypatch.setattr(models, "MOST", 3)
    ax = show.weights(ten)
    assert len(ax.child_axes) == 3 + 1
    assert ax.get_title(loc="left") == "Weights of 3 of 10 models"


@pytest.mark.parametrize(("size", "columns"), [((3, 2), 1), ((8, 3), 2)])
def test_names_beside_lines_stay_in_the_callers_figure(letters, ten, size, columns):
    for model in (letters[0], ten):
        figure = Figure(figsize=size)
        ax = figure.subplots(1, columns, squeeze=False)[0, 0]
        show.cost(model, ax=ax)
        drawn(ax)
        right = figure.bbox.width if columns == 1 else figure.axes[1].get_window_extent().x0
        boxes = [text.get_window_extent() for text in ax.texts]
        assert 1 < len(boxes) <= 10
        assert max(box.x1 for box in boxes) <= right + 1
        heights = np.sort([text.xyann[1] for text in ax.texts]) * ax.get_window_extent().height
        assert np.diff(heights).min() > 8
        assert ax.get_position().width > 0.1
