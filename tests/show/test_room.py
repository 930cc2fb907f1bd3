"""What is drawn on small Axes of the caller's stays within the figure, and can be read."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import gpulr
from gpulr import show
from gpulr.show.lettering import wrapped
from gpulr.show.room import bounds
from shown import drawn

LONG = np.array([f"class of a long name {i}" for i in range(10)])


@pytest.fixture(scope="module")
def pictures(digits):
    """Every picture of ten models of long names, of 8×8 images and as a table."""
    X, y, X_test, y_test = digits
    y, rows = LONG[y], (X_test, LONG[y_test])
    model = gpulr.train(X, y, image_shape=(8, 8))
    table = gpulr.train(X.astype(np.float32), y, standardize=True)
    search = gpulr.search(X, y, Cs=[0.1, 1.0], cv=2, keep_paths=True, tol=1e-2)
    boot = gpulr.bootstrap(X.astype(np.float32), y, n=4, random_state=0, tol=1e-2)
    curve = gpulr.learning_curve(X, y, cv=2, tol=1e-2)
    result = model.evaluate(*rows)
    return {
        "accuracy": lambda ax: show.accuracy(result, ax=ax),
        "bootstrap": lambda ax: show.bootstrap(boot, ax=ax),
        "c_path": lambda ax: show.c_path(search, ax=ax),
        "calibration": lambda ax: show.calibration(model, *rows, ax=ax),
        "confusion": lambda ax: show.confusion(result, ax=ax),
        "cost": lambda ax: show.cost(model, ax=ax),
        "images": lambda ax: show.weights(model, ax=ax),
        "learning_curve": lambda ax: show.learning_curve(curve, ax=ax),
        "mistakes": lambda ax: show.mistakes(model, *rows, ax=ax),
        "path": lambda ax: show.path(search, ax=ax),
        "precision_recall": lambda ax: show.precision_recall(model, *rows, ax=ax),
        "roc": lambda ax: show.roc(model, *rows, ax=ax),
        "roc of each": lambda ax: show.roc(model, *rows, per_model=True, ax=ax),
        "samples": lambda ax: show.samples(model, *rows, ax=ax),
        "table": lambda ax: show.weights(table, ax=ax),
    }


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_lettering_stays_within_a_figure_of_3_by_2_inches(pictures, layout):
    outside = {}
    for name, draw in pictures.items():
        ax = Figure(figsize=(3, 2), dpi=100, layout=layout).subplots()
        assert draw(ax) is ax
        drawn(ax)
        box = ax.get_tightbbox()
        beyond = max(-box.x0, -box.y0, box.x1 - 300, box.y1 - 200)
        if beyond > 3:  # pixels of a hundredth of an inch
            outside[name] = beyond, box
        assert min(ax.bbox.size) > 50, name  # and something is left to be seen
    assert not outside


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_a_matrix_and_its_colour_bar_are_whole_in_figures_of_usual_size(ten, digits, layout):
    figure = Figure(figsize=(5.5, 5), dpi=100, layout=layout)
    show.confusion(ten.evaluate(*digits[2:]), ax=figure.subplots())
    FigureCanvasAgg(figure).draw()
    for ax in figure.axes:
        box = ax.get_tightbbox()
        assert min(box.x0, box.y0) > -3
        assert box.x1 < 553
        assert box.y1 < 503


@pytest.mark.parametrize("name", ["roc", "calibration", "precision_recall", "accuracy"])
def test_figures_of_our_own_show_all_of_their_lettering(pictures, name):
    figure = pictures[name](None).figure
    FigureCanvasAgg(figure).draw()
    for text in figure.findobj(Text):
        box = text.get_window_extent()
        if text.get_text() and text.get_visible() and text not in _ticks(figure):
            assert box.x0 > -1, text
            assert box.x1 < figure.bbox.x1 + 1, text


def _ticks(figure):
    """Numbers of axes, some of which are beyond what is shown."""
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    return [tick.label1 for axis in axes for tick in (*axis.majorTicks, *axis.minorTicks)]


def test_panels_are_as_many_as_can_be_read(pictures):
    for size, n in (((3, 2), 2), ((6, 4), 8)):
        ax = pictures["roc of each"](Figure(figsize=size).subplots())
        assert len(ax.child_axes) == n
        said = " ".join(ax.get_title(loc="left").split())
        assert said.startswith(f"ROC curve, {n} of 10 models")
    ax = pictures["bootstrap"](Figure(figsize=(3, 2)).subplots())
    assert not ax.child_axes
    assert "1 of 10 models" in " ".join(ax.get_title(loc="left").split())
    assert pictures["path"](Figure(figsize=(3, 2)).subplots()).get_xscale() == "log"


def test_what_was_asked_for_is_drawn_in_small_axes_too(ten, digits):
    def small():
        return Figure(figsize=(3, 2)).subplots()

    rows = digits[2:]
    assert len(show.samples(ten, *rows, ax=small()).child_axes) == 2  # an image and its bars
    assert len(show.samples(ten, *rows, n=3, ax=small()).child_axes) == 6
    assert len(show.mistakes(ten, *rows, n=2, ax=small()).child_axes) == 4
    ax = show.roc(ten, *rows, classes=[1, 2, 3, 4], per_model=True, ax=small())
    assert len(ax.child_axes) == 4


def test_a_legend_that_would_cover_the_curves_is_one_of_averages(pictures):
    figure = Figure(figsize=(9.6, 6.4), layout="constrained")
    together = pictures["roc"](figure.subplots(2, 2)[0, 1])
    alone = pictures["roc"](Figure().subplots())
    for ax, n in ((together, 2), (alone, 10)):
        assert sum(line.get_gid() == "curve" for line in ax.lines) == n
        drawn(ax)
    box, square = alone.get_legend().get_window_extent(), alone.get_window_extent()
    assert box.x0 >= square.x1


def test_words_for_chance_do_not_keep_a_legend_from_its_place(ten, digits):
    left, _ = Figure(figsize=(10, 4)).subplots(1, 2)
    show.precision_recall(ten, *digits[2:], ax=left)
    drawn(left)
    assert left.get_legend().get_texts()[-1].get_text() == "chance"
    assert left.get_legend().get_window_extent().x0 >= left.get_window_extent().x1
    own = show.precision_recall(ten, *digits[2:])
    assert "\n" not in own.get_ylabel()
    assert own.get_legend().get_texts()[-1].get_text() == "chance: its share of rows"


def test_other_axes_keep_their_place(pictures):
    figure = Figure(figsize=(6, 3))
    left, right = figure.subplots(1, 2)
    before, box = right.get_position().bounds, bounds(left)
    pictures["cost"](left)
    assert right.get_position().bounds == before
    assert left.get_position().x1 < box.x1 < right.get_position().x0
    drawn(left)
    assert left.get_tightbbox().x1 / figure.bbox.width < right.get_position().x0


def test_lines_are_folded_between_words():
    assert wrapped("one two three", 10.0, 10) == "one two three"
    assert wrapped("one two three", 0.6, 10) == "one two\nthree"
    assert wrapped("one\ntwo", 0.01, 10) == "one\ntwo"
    assert wrapped(wrapped("a  b " * 20, 1.0, 10), 1.0, 10) == wrapped("a  b " * 20, 1.0, 10)
