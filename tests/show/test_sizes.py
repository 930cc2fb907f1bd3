"""Learning curves."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr import show


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


def test_what_is_no_learning_curve_is_told():
    with pytest.raises(gpulr.ParameterError, match="learning_curve returns"):
        show.learning_curve([1, 2])
