"""Learning curves."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr import show
from shown import drawn


def test_a_learning_curve_is_two_lines_along_the_sizes(blobs):
    curve = gpulr.learning_curve(*blobs, train_sizes=[20, 40, 60], cv=3)
    ax = curve.plot()
    for line, scores in zip(ax.lines, (curve.train_scores, curve.test_scores), strict=True):
        assert line.get_xdata().tolist() == [20, 40, 60]
        np.testing.assert_allclose(line.get_ydata(), scores.mean(axis=1))
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["training rows", "held-out rows"]
    assert ax.get_title(loc="left") == "3 folds"
    assert show.learning_curve(curve, ax=ax) is ax


def test_what_scikit_learn_takes(blobs):
    how = {"train_sizes": [20, 40, 60], "cv": 3, "scoring": "neg_log_loss"}
    curve = gpulr.learning_curve(*blobs, **how)
    error = curve.table["test_standard_error"]
    ax = show.learning_curve(
        curve, score_type="test", negate_score=True, line_kw={"c": "red"}, fill_between_kw={"lw": 2}
    )
    (line,), (band,) = ax.lines, ax.collections
    np.testing.assert_allclose(line.get_ydata(), -curve.test_scores.mean(axis=1))
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx((line.get_ydata() + error).max())
    assert (line.get_color(), band.get_linewidth()[0]) == ("red", 2)
    assert ax.get_ylabel() == "log loss, mean ± standard error"
    drawn(ax)
    ax = show.learning_curve(curve, std_display_style="errorbar", errorbar_kw={"capsize": 2})
    assert len(ax.containers) == 2
    assert ax.get_legend().get_texts()[0].get_text() == "training rows"
    drawn(ax)
    ax = show.learning_curve(curve, std_display_style=None, score_name="$s$", score_type="train")
    assert (len(ax.collections), ax.get_ylabel()) == (0, "$s$")
    drawn(ax)


def test_what_is_no_learning_curve_is_told(blobs):
    curve = gpulr.learning_curve(*blobs, train_sizes=[40], cv=2, tol=1e-2)
    with pytest.raises(gpulr.ParameterError, match=r"score_type='tests' \(did you mean test\?\)"):
        show.learning_curve(curve, score_type="tests")
    with pytest.raises(gpulr.ParameterError, match="'fill_between', 'errorbar', None"):
        show.learning_curve(curve, std_display_style="bars")
    with pytest.raises(gpulr.ParameterError, match="learning_curve returns"):
        show.learning_curve([1, 2])
