"""Weights along C, of a search that kept them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

import gpulr
from gpulr import show
from gpulr.errors import ParameterError
from gpulr.show import paths
from shown import drawn


@pytest.fixture(scope="module")
def three():
    """A search of three classes of six features, in different units, from the largest C on."""
    rng = np.random.default_rng(5)
    y = np.arange(120) % 3
    X = (rng.normal(size=(120, 6)) + 1.5 * np.eye(3, 6)[y]) * [1.0, 100.0, 0.01, 1.0, 1.0, 1.0]
    how = {"cv": 4, "keep_paths": True, "standardize": True}
    return gpulr.search(X, y, Cs=[10.0, np.inf, 0.01, 0.1, 1.0], **how)


def test_lines_are_mean_weights_per_standard_deviation(three):
    ax = show.path(three, n=2)
    order = [2, 3, 4, 0]  # of the finite C
    W = three.paths[:, order, :, :6] * three.model.feature_std
    best = order.index(three.Cs.tolist().index(three.best_C))
    assert [panel.get_title() for panel in ax.child_axes] == ["0", "1", "2"]
    for j, panel in enumerate(ax.child_axes):
        mean = W[:, :, j].mean(axis=0)
        largest = np.argsort(-np.abs(mean[best]))
        *named, dotted = panel.lines
        for line, f in zip(named, largest[:2], strict=True):
            assert line.get_xdata().tolist() == [0.01, 0.1, 1.0, 10.0]
            np.testing.assert_allclose(line.get_ydata(), mean[:, f], rtol=1e-6)
        *bands, others = sorted(panel.collections, key=lambda each: hasattr(each, "get_segments"))
        heights = bands[0].get_paths()[0].vertices[:, 1]
        ends = W[:, :, j, largest[0]].min(), W[:, :, j, largest[0]].max()
        assert (heights.min(), heights.max()) == pytest.approx(ends)
        grey = [segment[:, 1] for segment in others.get_segments()]
        np.testing.assert_allclose(grey, mean[:, largest[2:]].T, rtol=1e-6)
        assert list(dotted.get_xdata()) == [three.best_C] * 2
        assert {text.get_text() for text in panel.texts} == {f"feature {f}" for f in largest[:2]}
        assert panel.get_xscale() == "log"
    assert {"weight per standard deviation", "Weights along C (4 folds)"} <= set(drawn(ax))


def test_one_model_fills_the_axes(three, blobs):
    given = Figure().subplots()
    assert show.path(three, models=[1], ax=given) is given
    assert given.get_title(loc="left") == "Weights along C for 1, 1 of 3 models (4 folds)"
    pandas = pytest.importorskip("pandas")
    X, y = blobs
    X = pandas.DataFrame(X, columns=["$x^2$", "_y", "x" * 50, "x" * 40 + "y" + "x" * 40])
    fitted = gpulr.OneVsAllLogisticRegressionCV(Cs=[0.1], cv=2, tol=1e-2).fit(X, y == 1)
    ax = show.path(fitted)
    assert ax.get_title(loc="left") == "Weights along C for True (2 folds)"
    assert len(ax.texts) == 4
    assert {line.get_marker() for line in ax.lines[:4]} == {"."}  # one C makes no line
    assert {"$x^2$", "_y"} <= set(drawn(ax))


def test_each_model_has_a_best_c_of_its_own(blobs):
    X, y = blobs
    how = {"keep_paths": True, "per_model": True, "fit_intercept": False, "tol": 1e-2}
    found = gpulr.search(X, y, Cs=[0.01, 1.0], cv=2, **how)
    found = replace(found, best_C=np.array([0.01, 1.0, np.inf]))
    ax = show.path(found, n=4)
    assert [list(panel.lines[4:][0].get_xdata()) for panel in ax.child_axes[:2]] == [
        [0.01] * 2,
        [1.0] * 2,
    ]
    assert len(ax.child_axes[2].lines) == 4  # infinity has no place
    drawn(ax)


def test_of_many_features_and_models_the_first_are_drawn(letters, monkeypatch):
    monkeypatch.setattr(paths, "MOST_LINES", 3)
    _, X, y = letters
    ax = show.path(gpulr.search(X, y, Cs=[0.1, 1.0], cv=2, keep_paths=True, tol=1e-2), n=2)
    assert len(ax.child_axes) == 12
    assert "12 of 26 models" in ax.get_title(loc="left")
    (others,) = [each for each in ax.child_axes[0].collections if hasattr(each, "get_segments")]
    assert len(others.get_segments()) == 1
    drawn(ax)


def test_what_cannot_be_drawn(three):
    for search, settings, words in (
        (replace(three, paths=None), {}, "Search again with keep_paths=True"),
        (replace(three, model=None), {}, "a search with a refitted model"),
        (replace(three, Cs=np.full(5, np.inf)), {}, "there is no other C"),
        (three.model, {}, r"OneVsAll; expected what gpulr\.search returns"),
        (three, {"models": [3]}, "from 0 to 2"),
        (three, {"n": 11}, "n=11; expected a whole number"),
        (three, {"ax": 1}, "ax is of type int"),
    ):
        with pytest.raises(gpulr.ParameterError, match=words):
            show.path(search, **settings)


def test_scores_along_c_take_what_scikit_learn_takes(three):
    C = np.sort(three.Cs[np.isfinite(three.Cs)])
    mean = three.mean_scores[np.argsort(three.Cs)][: len(C)]
    ax = three.plot(negate_score=True, score_name="loss", line_kw={"c": "red", "lw": 3})
    line = ax.lines[0]
    np.testing.assert_allclose(line.get_data(), [C, -mean])
    assert (line.get_color(), line.get_linewidth()) == ("red", 3)
    assert ax.get_ylabel() == "loss of held-out rows"
    assert len(ax.collections) == 1
    ax = show.c_path(three, std_display_style="errorbar", errorbar_kw={"capsize": 7})
    assert len(ax.containers) == 1
    ax = show.c_path(three, std_display_style=None)
    assert not ax.collections
    assert not ax.containers
    with pytest.raises(ParameterError, match="std_display_style='fill'"):
        show.c_path(three, std_display_style="fill")
    drawn(ax)
