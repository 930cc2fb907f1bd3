"""Any labels on any Axes, and no figure that somebody has to close."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import gpulr
from gpulr import show
from gpulr.errors import MissingExtraError, ParameterError
from gpulr.show.predictions import label_text
from helpers import python
from shown import drawn

HOSTILE = np.array(
    [
        "<script>alert(1)</script>",
        "$x^2$",
        "$\\frac{$",
        "_",
        "_y",
        "a\nb\0",
        "{}",
        "%s",
        "ß",
        "x" * 99,
    ]
)


@pytest.fixture
def hostile(digits):
    X, y, X_test, y_test = digits
    model = gpulr.train(X, HOSTILE[y], image_shape=(8, 8))
    return model, X_test, HOSTILE[y_test]


def test_labels_are_shown_as_they_are_and_shortened(hostile):
    model, X, y = hostile
    result = model.evaluate(X, y)
    pictures = {
        "cost": show.cost(model),
        "weights": show.weights(model),
        "table": show.weights(replace(model, image_shape=None)),
        "samples": show.samples(model, X, y),
        "mistakes": show.mistakes(model, X, y),
        "confusion": show.confusion(result),
        "accuracy": show.accuracy(result),
    }
    shown = [label_text(label) for label in model.classes]
    assert {"$x^2$", "_", "_y", "a b", "%s", "x" * 17 + "…", "<script>alert(1)<…"} <= set(shown)
    for name, ax in pictures.items():
        texts = drawn(ax)
        for text in ax.figure.findobj(Text):
            if any(c in text.get_text() for c in "$_{"):
                assert not text.get_parse_math(), (name, text)
                assert not text.get_usetex(), (name, text)
        if name not in ("samples", "mistakes"):
            assert set(shown) <= set(texts), name
        assert max(map(len, texts)) < 130, name
    legend = [text.get_text() for text in pictures["cost"].get_legend().get_texts()]
    assert sorted(legend) == sorted(shown)


def test_axes_of_the_callers_are_drawn_on(ten, digits):
    _, _, X, y = digits
    result = ten.evaluate(X, y)
    figure = Figure(figsize=(12, 8), layout="constrained")
    given = figure.subplots(2, 3).ravel()
    pictures = [
        lambda ax: show.cost(ten, ax=ax),
        lambda ax: show.weights(ten, ax=ax),
        lambda ax: show.confusion(result, ax=ax),
        lambda ax: show.accuracy(result, ax=ax),
        lambda ax: show.samples(ten, X, y, ax=ax),
        lambda ax: show.mistakes(ten, X, y, ax=ax),
    ]
    for ax, draw in zip(given, pictures, strict=True):
        assert draw(ax) is ax
        assert ax.get_title(loc="left")
    figure.canvas.draw()
    part = Figure().subfigures(1, 2)[1].subplots()
    assert show.weights(ten, ax=part) is part
    for draw in pictures:
        with pytest.raises(ParameterError, match="ax is of type ndarray; expected one"):
            draw(given)


def test_a_notebook_shows_the_axes_that_a_cell_ends_in(ten):
    assert show.cost(ten)._repr_png_().startswith(b"\x89PNG")


def test_drawing_needs_no_pyplot_and_no_display():
    code = """
import sys, gpulr, numpy as np
assert "matplotlib" not in sys.modules
model = gpulr.train(np.eye(4), [0, 1, 0, 1], max_iter=1, tol=0)
ax = gpulr.show.weights(model, image_shape=(2, 2))
ax.figure.savefig("/dev/null", format="png")
print("matplotlib.pyplot" in sys.modules)
"""
    assert python(code, MPLBACKEND="TkAgg", DISPLAY="").strip() == "False"


def test_estimators_and_searches_hold_models(digits):
    X, y, _, _ = digits
    classifier = gpulr.OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=2).fit(X, y)
    assert len(show.cost(classifier).lines) == 10
    assert len(show.weights(classifier.search_, image_shape=(8, 8)).child_axes) == 11
    assert show.c_path(classifier).get_title(loc="left") == "2 folds"
    with pytest.raises(ParameterError, match=r"OneVsAll; expected what gpulr\.search returns"):
        show.c_path(classifier.model_)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    monkeypatch.delitem(sys.modules, "gpulr.show.benchmarks", raising=False)
    for name in ("benchmarks", "weights"):
        monkeypatch.delitem(vars(show), name, raising=False)
    with pytest.raises(MissingExtraError, match=r'matplotlib.* python -m pip install "\.\[plot\]"'):
        show.weights  # noqa: B018
    assert "weights" in dir(show)
