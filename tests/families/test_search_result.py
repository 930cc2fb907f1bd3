"""Search: the two choices of C, the table, the chart, and what it says of itself."""

from __future__ import annotations

import io
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from gpulr.errors import MissingExtraError
from gpulr.families.search_result import Search, choose, standard_errors


def result(scores, Cs):
    scores, Cs = np.asarray(scores, dtype=np.float64), np.asarray(Cs, dtype=np.float64)
    shape = (*scores.shape, 3)
    best, one_se = choose(scores, Cs)
    return Search(
        Cs=Cs,
        scores=scores,
        scoring="accuracy",
        best_C=best,
        best_C_1se=one_se,
        model=None,
        n_iter=np.ones(shape, dtype=np.int64),
        converged=np.ones(shape, dtype=np.bool_),
        cost=np.zeros(shape),
        gradient_norm=np.zeros(shape),
        seconds=1.5,
    )


def test_the_standard_error_is_that_of_the_mean_over_folds():
    scores = np.array([[0.1, 0.5], [0.3, 0.5], [0.8, 0.5]])
    expected = np.std([0.1, 0.3, 0.8], ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(standard_errors(scores), [expected, 0.0])
    assert standard_errors(scores[:1]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_choices(order):
    Cs = np.array([0.01, 0.1, 1.0, 10.0])[order]

    def chosen(means, error):
        """Two folds whose mean is ``means`` and whose standard error is ``error``."""
        means = np.array(means)[order]
        return choose(np.stack([means - error, means + error]), Cs)

    assert chosen([0.5, 0.8, 0.9, 0.7], 0.0) == (1.0, 1.0)
    assert chosen([0.5, 0.8, 0.9, 0.7], 0.125) == (1.0, 0.1)
    assert chosen([0.5, 0.8, 0.9, 0.7], 0.0625) == (1.0, 1.0)
    assert chosen([0.75, 0.5, 1.0, 0.75], 0.25) == (1.0, 0.01)  # just within; the least of them
    assert chosen([0.5, 0.9, 0.9, 0.9], 0.0) == (0.1, 0.1)  # of equal ones the smallest
    assert chosen([0.5, 0.5, 0.5, 0.5], 0.0) == (0.01, 0.01)


def test_the_error_is_the_best_ones_own():
    scores = [[0.6, 0.80], [1.0, 0.82]]  # mean 0.8 ± 0.2, and 0.81 ± 0.01
    assert choose(np.array(scores), np.array([1.0, 2.0])) == (2.0, 1.0)
    scores = [[0.4, 0.80], [1.0, 0.82]]  # 0.7 ± 0.3: its own error does not count
    assert choose(np.array(scores), np.array([1.0, 2.0])) == (2.0, 2.0)


def test_one_fold_has_no_error():
    found = result([[0.5, 0.9, 0.8]], [1, 2, 3])
    assert (found.best_C, found.best_C_1se) == (2.0, 2.0)
    assert found.standard_errors.tolist() == [0, 0, 0]
    assert found.mean_scores.tolist() == [0.5, 0.9, 0.8]


def test_the_table_has_a_record_for_each_C(monkeypatch):
    found = result([[0.5, 0.9], [0.7, 0.7], [0.6, 0.8]], [1, 0.1])
    table = found.table
    assert table.dtype.names == ("C", "mean", "standard_error", "fold_0", "fold_1", "fold_2")
    assert len(table) == 2
    assert table["C"].tolist() == [1, 0.1]
    np.testing.assert_allclose(table["mean"], [0.6, 0.8])
    np.testing.assert_allclose(table["standard_error"], np.full(2, 0.1 / np.sqrt(3)))
    assert table["fold_1"].tolist() == [0.7, 0.7]
    if find_spec("pandas"):
        frame = found.to_frame()
        assert list(frame.columns) == list(table.dtype.names)
        assert frame["mean"].tolist() == found.mean_scores.tolist()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="pip install pandas"):
        found.to_frame()


def test_repr_tells_the_choices():
    words = repr(result([[0.5, 0.9, 0.85], [0.7, 0.7, 0.75]], [1, 0.1, np.inf]))
    assert words == (
        "<Search: 3 values of C on 2 folds, best C = 0.1 with accuracy 0.8000, within one "
        "standard error C = 0.1>"
    )
    assert "best C = inf" in repr(result([[0.5, 0.9]], [1, np.inf]))


# ---- the chart ---------------------------------------------------------------------------------

drawn = pytest.mark.skipif(not find_spec("matplotlib"), reason="matplotlib is not installed")


@drawn
def test_the_chart_is_drawn_on_the_axes_given():
    from matplotlib.figure import Figure

    found = result([[0.5, 0.7, 0.65, 0.4], [0.7, 0.7, 0.75, 0.5]], [10, 0.1, 1, 0.01])
    ax = Figure().subplots()
    assert found.plot(ax) is ax
    line = ax.lines[0]
    assert line.get_xdata().tolist() == [0.01, 0.1, 1, 10]
    np.testing.assert_allclose(line.get_ydata(), [0.45, 0.7, 0.7, 0.6])
    assert (ax.get_xscale(), ax.get_ylabel()) == ("log", "accuracy of held-out rows")
    assert ax.get_title(loc="left") == "2 folds"
    assert "C" in ax.get_xlabel()


@drawn
@pytest.mark.parametrize(
    ("scores", "Cs", "labels"),
    [
        (
            [[0.5, 0.7, 0.8], [0.5, 0.6, 0.6]],
            [0.1, 1, 10],
            ["C = 10 (best)", "C = 1 (one standard error)"],
        ),
        ([[0.5, 0.8]], [0.1, 1], ["C = 1 (best, and within one standard error)"]),
        ([[0.5, 0.8]], [0.1, np.inf], ["C = inf (best, and within one standard error)"]),
        ([[0.5]], [np.inf], []),  # no penalty at all
    ],
)
def test_the_chart_names_both_choices_also_where_they_are_one(scores, Cs, labels):
    ax = result(scores, Cs).plot()
    assert set(labels) <= set(ax.get_legend_handles_labels()[1])
    for line in ax.lines[:1]:
        assert np.isfinite(line.get_xdata()).all()
    ax.figure.savefig(io.BytesIO())
