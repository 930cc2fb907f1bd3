"""Pictures of a bootstrap's intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

import gpulr
from gpulr import show
from gpulr.show import intervals
from gpulr.show.canvas import Colour
from shown import drawn, names_of


@pytest.fixture(scope="module")
def three():
    """Intervals of three classes of four features, in different units."""
    rng = np.random.default_rng(5)
    y = np.arange(120) % 3
    X = rng.normal(size=(120, 4)) + 1.5 * np.eye(3, 4)[y]
    X = X * [1.0, 100.0, 0.01, 1.0]
    return gpulr.bootstrap(X, y, n=30, random_state=0, standardize=True)


def lines(ax):
    """Left end, right end and colour of each interval, from the top."""
    return [
        (*line.get_xdata(), line.get_color()) for line in ax.lines if len(line.get_xdata()) == 2
    ][1:]


def dots(ax):
    return [float(line.get_xdata()[0]) for line in ax.lines if len(line.get_xdata()) == 1]


def test_the_strongest_are_on_top_and_grey_ones_hold_zero(three):
    ax = show.bootstrap(three, level=0.9)
    low, high = (end * three.feature_std[:, np.newaxis] for end in three.coef_interval(0.9))
    W = three.model.weights * three.feature_std[:, np.newaxis]
    assert [panel.get_title() for panel in ax.child_axes] == ["0", "1", "2"]
    for j, panel in enumerate(ax.child_axes):
        order = np.argsort(-np.maximum(low, -high)[:, j])
        assert names_of(panel) == [f"feature {f}" for f in order]
        assert names_of(panel)[0] == f"feature {j}"
        np.testing.assert_allclose([line[0] for line in lines(panel)], low[order, j], rtol=1e-6)
        np.testing.assert_allclose([line[1] for line in lines(panel)], high[order, j], rtol=1e-6)
        np.testing.assert_allclose(dots(panel), W[order, j], rtol=1e-6)
        for left, right, colour in lines(panel):
            expected = Colour.VERMILION if left > 0 else Colour.BLUE if right < 0 else Colour.GREY
            assert colour == expected
        assert panel.get_ylim()[0] > panel.get_ylim()[1]
    assert ax.get_xlabel() == "weight per standard deviation"
    assert "Weights and their 90 % intervals (30 replicates)" in drawn(ax)
    assert any(line[2] == Colour.GREY for line in lines(ax.child_axes[0]))


def test_one_model_fills_the_axes(blobs):
    X, y = blobs
    result = gpulr.bootstrap(
        (255 * (X - X.min()) / np.ptp(X)).astype(np.uint8), y == 1, n=10, random_state=0
    )
    ax = result.plot(n=2)
    assert ax.child_axes == []
    assert len(names_of(ax)) == 2
    assert ax.get_xlabel() == "weight per standard deviation"
    strongest = int(names_of(ax)[0].split()[1])
    step = result.model.feature_std[strongest]
    assert dots(ax)[0] == pytest.approx(step * result.model.weights[strongest, 0], rel=1e-5)
    given = show.bootstrap(result, ax=Figure().subplots())
    assert given.get_title(loc="left").startswith("Weights and their 95 %")


def test_names_of_features_are_shown_as_they_are(blobs):
    pandas = pytest.importorskip("pandas")
    X, y = blobs
    names = ["$x^2$", "_y", "a long name of more than 22 letters", "d\n"]
    result = gpulr.bootstrap(pandas.DataFrame(X, columns=names), y, n=5, random_state=0)
    ax = show.bootstrap(result, models=[1])
    assert {"$x^2$", "_y", "a long name of m…than 22 letters", "d"} == set(names_of(ax))
    assert "$x^2$" in drawn(ax)
    assert not any(label.get_parse_math() for label in ax.get_yticklabels())


def test_of_many_models_the_first_are_drawn(letters, monkeypatch):
    _, X, y = letters
    result = gpulr.bootstrap(X, y, n=3, random_state=0, tol=1e-2)
    ax = show.bootstrap(result)
    assert len(ax.child_axes) == intervals.MOST
    assert (
        ax.get_title(loc="left")
        == "Weights and their 95 % intervals, 12 of 26 models (3 replicates)"
    )
    drawn(ax)
    assert len(show.bootstrap(result, models=[3, 4]).child_axes) == 2


def test_of_images_weights_are_drawn_whose_intervals_leave_zero(digits):
    X, y, _, _ = digits
    result = gpulr.bootstrap(X.reshape(-1, 8, 8), y, n=10, random_state=0, tol=1e-2)
    ax = show.bootstrap(result, models=[2, 7])
    low, high = (end[:, 2].reshape(8, 8) for end in result.coef_interval())
    shown = ax.child_axes[0].images[0].get_array()
    sure = (low > 0) | (high < 0)
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), ~sure)
    np.testing.assert_allclose(shown[sure], result.model.weights[:, 2].reshape(8, 8)[sure])
    assert "Weights whose 95 % interval leaves 0, 2 of 10 models (10 replicates)" in drawn(ax)
    flat = replace(result, model=replace(result.model, image_shape=None))
    assert len(show.bootstrap(flat, image_shape=(8, 8)).child_axes) == 11
    assert show.bootstrap(flat, models=[0]).child_axes == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"models": [3]}, "from 0 to 2"),
        ({"n": 0}, "n=0; expected a whole number"),
        ({"level": 1.5}, "level=1.5"),
        ({"image_shape": (3, 3)}, "does not fit 4 features"),
    ],
    ids=["models", "n", "level", "shape"],
)
def test_what_cannot_be_drawn(three, settings, words):
    with pytest.raises(gpulr.ParameterError, match=words):
        show.bootstrap(three, **settings)
    with pytest.raises(gpulr.ParameterError, match=r"OneVsAll; expected what gpulr\.bootstrap"):
        show.bootstrap(three.model)
    with pytest.raises(gpulr.DataError, match="1 replicates"):
        show.bootstrap(replace(three, coef=three.coef[:1], intercept=three.intercept[:1]))
