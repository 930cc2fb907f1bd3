"""Weights of tables: bars of named features, signed, sorted, per standard deviation."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

import gpulr
from gpulr import show
from gpulr.show import features
from gpulr.show.canvas import Colour
from shown import colours, drawn, names_of, widths


def table(rng, n_classes=3, p=12, n=240):
    pandas = pytest.importorskip("pandas")
    y = np.arange(n) % n_classes
    X = rng.normal(size=(n_classes, p))[y] + 1.5 * rng.normal(size=(n, p))
    X = X * 10.0 ** (np.arange(p) % 5 - 2)
    return pandas.DataFrame(X, columns=[f"length {i} (cm)" for i in range(p)]), y


@pytest.mark.parametrize("standardize", [False, True])
def test_the_largest_weights_per_standard_deviation_signed_and_sorted(rng, standardize):
    X, y = table(rng)
    model = gpulr.train(X, y, standardize=standardize, tol=1e-2)
    ax = show.weights(model, n=5)
    each = np.asarray(model.weights) * X.to_numpy().std(axis=0)[:, np.newaxis]
    assert [panel.get_title() for panel in ax.child_axes] == ["0", "1", "2"]
    for j, panel in enumerate(ax.child_axes):
        largest = np.argsort(-abs(each[:, j]))[:5]
        order = largest[np.argsort(-each[largest, j])]
        assert names_of(panel) == [f"length {f} (cm)" for f in order]
        np.testing.assert_allclose(widths(panel.containers[0]), each[order, j], rtol=1e-5)
        expected = [Colour.VERMILION if w > 0 else Colour.BLUE for w in each[order, j]]
        assert colours(panel.containers[0]) == [colour.lower() for colour in expected]
        ratios = [text.get_text() for text in panel.texts]
        assert ratios == [f"×{np.exp(w):.3g}" for w in widths(panel.containers[0])]
        assert panel.get_ylim()[0] > panel.get_ylim()[1]  # the most positive one on top
    assert "weight per standard deviation" in ax.get_xlabel()
    assert "odds ratio" in ax.get_xlabel()
    assert ax.get_title(loc="left") == "The 5 largest weights of 12 features for each model"
    assert len({panel.get_xlim() for panel in ax.child_axes}) == 1
    drawn(ax)


def test_one_model_fills_the_axes_and_says_which_class(rng):
    X, y = table(rng, 2)
    model = gpulr.train(X, np.array(["no", "$x_1$"])[y])
    given = Figure().subplots()
    assert show.weights(model, ax=given) is given
    assert given.child_axes == []
    assert len(names_of(given)) == 12
    assert given.get_title(loc="left") == "Weights for no"
    assert not any(label.get_parse_math() for label in given.get_yticklabels())


def test_a_bootstraps_weights_have_whiskers(rng):
    X, y = table(rng, 2)
    result = gpulr.bootstrap(X, y, n=20, random_state=0, standardize=True, tol=1e-2)
    ax = show.weights(result, level=0.9, n=4)
    low, high = (end[:, 0] * result.feature_std for end in result.coef_interval(0.9))
    places = [int(name.split()[1]) for name in names_of(ax)]
    whiskers = np.array([segment[:, 0] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(whiskers, np.stack([low[places], high[places]], axis=1), rtol=1e-4)
    drawn(ax)


def test_models_of_before_have_weights_of_their_own_units_and_say_so(rng):
    X, y = table(rng, 2)
    model = replace(gpulr.train(X, y, scale=0.5), feature_std=None)
    ax = show.weights(model, n=12)
    assert sorted(widths(ax.containers[0])) == pytest.approx(sorted(2 * model.weights[:, 0]))
    assert "weight × 2 in the feature’s own unit, whose standard deviation" in ax.get_xlabel()


@pytest.mark.parametrize(("n_classes", "p"), [(2, 1), (3, 1), (2, 1000), (60, 30)])
def test_from_one_feature_to_a_thousand_and_to_sixty_classes(rng, n_classes, p):
    X = rng.normal(size=(240, p))
    model = gpulr.train(X, np.arange(240) % n_classes, max_iter=2, tol=0)
    ax = show.weights(model)
    panels = ax.child_axes or [ax]
    assert len(panels) == {2: 1, 3: 3, 60: features.MOST}[n_classes]
    shown = features.ALONE if n_classes == 2 else features.SHOWN
    assert {len(panel.containers[0]) for panel in panels} == {min(p, shown)}
    if n_classes == 60:
        assert ax.get_title(loc="left").endswith(", 12 of 60 models")
    assert names_of(panels[0])[0].startswith("feature ")
    zero = show.weights(replace(model, weights=np.zeros((p, model.n_models), np.float32)))
    drawn(zero)
    drawn(ax)


def test_names_too_long_for_their_room_are_cut_in_the_middle(rng):
    pandas = pytest.importorskip("pandas")
    X, y = table(rng, 2, p=3)
    X = pandas.DataFrame(X.to_numpy(), columns=[f"{'W' * 40} {i}" for i in range(3)])
    names = names_of(show.weights(gpulr.train(X, y)))
    assert {name[-1] for name in names} == {"0", "1", "2"}
    assert all("…" in name for name in names)


def test_odds_ratios_do_not_reach_the_names(rng):
    X, y = table(rng, 3, p=4)
    model = gpulr.train(X, y)
    steps = np.tile(np.float32([-2.6, 0.1, 2.2]), (4, 1))
    model = replace(model, weights=steps / np.float32(model.feature_std)[:, np.newaxis])
    ax = show.weights(model)
    drawn(ax)
    for panel in ax.child_axes:
        left = panel.get_window_extent().x0
        assert all(text.get_window_extent().x0 >= left for text in panel.texts)


def test_a_square_of_nameless_bytes_is_seen(digits):
    X = (255 * digits[0][:300]).astype(np.uint8)
    model = gpulr.train(X, digits[1][:300], max_iter=2, tol=0)
    assert len(show.weights(model).child_axes) == 11
    named = replace(model, data=model.data | {"feature_names": [f"p{i}" for i in range(64)]})
    assert len(show.weights(named).child_axes) == 10
    floats = gpulr.train(digits[0][:300], digits[1][:300], max_iter=2, tol=0)
    ax = show.weights(floats)
    assert len(ax.child_axes) == 10
    assert "image_shape=(8, 8) draws them as images" in ax.get_xlabel()
    assert "image_shape" not in show.weights(named).get_xlabel()


def test_in_the_callers_axes_are_as_many_models_as_can_be_read(rng):
    X, y = table(rng, 12)
    model = gpulr.train(X, y, max_iter=2, tol=0)
    small, large = (Figure(figsize=size).subplots() for size in ((3, 2), (9, 5)))
    assert show.weights(model, ax=small).child_axes == []
    assert small.get_title(loc="left").endswith("for 0, 1 of 12 models")
    assert 1 < len(names_of(small)) < 12
    show.weights(model, n=4, ax=large)
    assert 3 < len(large.child_axes) < 12
    assert large.get_title(loc="left").endswith(f", {len(large.child_axes)} of 12 models")
    drawn(small)
    drawn(large)
    for panel in (small, *large.child_axes):
        boxes = [label.get_window_extent() for label in panel.get_yticklabels()]
        assert all(one.y0 > other.y1 - 1 for one, other in itertools.pairwise(boxes))
    first = large.child_axes[0].get_yticklabels()
    assert min(label.get_window_extent().x0 for label in first) > large.bbox.x0 - 1
