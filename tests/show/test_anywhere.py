"""Any labels on any Axes, no figure that somebody has to close, and what cannot be drawn."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import gpulr
from gpulr import show
from gpulr.errors import DataError, MissingExtraError, ParameterError
from gpulr.show.labels import label_text
from helpers import python
from shown import drawn, panels

HOSTILE = np.array(
    [
        *("<script>alert(1)</script>", "$x^2$", "$\\frac{$", "_", "_y", "a\nb\0", "{}", "%s"),
        *("ß", "x" * 99),
    ]
)


def test_labels_are_shown_as_they_are_and_shortened(digits):
    X, y, X_test, y_test = digits
    model = gpulr.train(X, HOSTILE[y], image_shape=(8, 8))
    data = X_test, HOSTILE[y_test]
    result = model.evaluate(*data)
    pictures = {
        "cost": show.cost(model),
        "weights": show.weights(model),
        "table": show.weights(replace(model, image_shape=None)),
        "samples": show.samples(model, *data, n=1),
        "mistakes": show.mistakes(model, *data, n=1),
        "confusion": show.confusion(result),
        "accuracy": show.accuracy(result),
    }
    shown = [label_text(label) for label in model.classes]
    cut = {"x" * 9 + "…" + "x" * 8, "<script>a…/script>"}
    assert {"$x^2$", "_", "_y", "a b", "%s", *cut} <= set(shown)
    for name, ax in pictures.items():
        texts = drawn(ax)
        for text in ax.figure.findobj(Text):
            if any(c in text.get_text() for c in "$_{"):
                assert not text.get_parse_math(), (name, text)
                assert not text.get_usetex(), (name, text)
        if name in ("cost", "confusion", "accuracy"):  # elsewhere there may be less room
            assert set(shown) <= set(texts), name
        assert max(map(len, texts)) < (250 if name == "table" else 130), name
    beside = [text.get_text() for text in pictures["cost"].texts]
    assert sorted(beside) == sorted(shown)


def test_axes_of_the_callers_are_drawn_on(ten, digits):
    _, _, X, y = digits
    result = ten.evaluate(X, y)
    given = Figure(figsize=(12, 8), layout="constrained").subplots(2, 3).ravel()
    pictures = [
        lambda ax: show.cost(ten, ax=ax),
        lambda ax: show.weights(ten, ax=ax),
        lambda ax: show.confusion(result, ax=ax),
        lambda ax: show.accuracy(result, ax=ax),
        lambda ax: show.samples(ten, X, y, n=1, ax=ax),
        lambda ax: show.mistakes(ten, X, y, n=1, ax=ax),
    ]
    for ax, draw in zip(given, pictures, strict=True):
        assert draw(ax) is ax
        assert ax.get_title(loc="left")
        with pytest.raises(ParameterError, match="ax is of type ndarray; expected one"):
            draw(given)
    given[0].figure.canvas.draw()
    part = Figure().subfigures(1, 2)[1].subplots()
    assert show.weights(ten, ax=part) is part
    assert show.cost(ten)._repr_png_().startswith(b"\x89PNG")  # as a notebook shows it


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


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    monkeypatch.delitem(sys.modules, "gpulr.show.benchmarks", raising=False)
    for name in ("benchmarks", "weights"):
        monkeypatch.delitem(vars(show), name, raising=False)
    with pytest.raises(MissingExtraError, match=r'matplotlib.* python -m pip install "\.\[plot\]"'):
        show.weights  # noqa: B018
    assert "weights" in dir(show)


def test_estimators_and_searches_hold_models(digits):
    X, y, _, _ = digits
    classifier = gpulr.OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=2, tol=1e-2).fit(X, y)
    assert len(show.cost(classifier).lines) == 10
    assert len(show.weights(classifier.search_, image_shape=(8, 8)).child_axes) == 11
    assert show.c_path(classifier).get_title(loc="left") == "2 folds"


@pytest.mark.parametrize(
    ("draw", "arguments", "settings", "words"),
    [
        (show.weights, (), {"image_shape": (8, 9)}, "does not fit 64 features"),
        (show.weights, (), {"image_shape": (4, 4, 4, 1)}, r"expected \(height, width\)"),
        (show.weights, (), {"models": [10]}, "from 0 to 9"),
        (show.weights, (), {"models": []}, "from 0 to 9"),
        (show.weights, (), {"models": [1.5]}, "whole number"),
        (show.weights, (), {"ax": [1]}, "list; expected one matplotlib Axes"),
        (show.samples, (np.zeros((2, 64)),), {"n": 0}, "n=0; expected a whole number"),
        (show.c_path, (), {}, r"OneVsAll; expected what gpulr\.search returns"),
        (show.confusion, (), {}, r"OneVsAll; expected what model\.evaluate"),
        (show.accuracy, (), {}, r"OneVsAll; expected what model\.evaluate"),
    ],
)
def test_what_cannot_be_drawn(ten, draw, arguments, settings, words):
    with pytest.raises(ParameterError, match=words):
        draw(ten, *arguments, **settings)


@pytest.mark.parametrize("draw", [show.cost, show.weights])
def test_what_is_no_model(draw):
    with pytest.raises(ParameterError, match="type ndarray; expected a trained model"):
        draw(np.eye(3))


@pytest.mark.parametrize("draw", [show.samples, show.mistakes])
def test_rows_and_labels_that_cannot_be_drawn(ten, digits, blobs, draw):
    for y, words in ((np.full(355, 99), r"not trained on: \[99\]"), ([1, 2, 3], "y has 3 labels")):
        with pytest.raises(DataError, match=words):
            draw(ten, digits[2], y)
    with pytest.raises(DataError, match="A Dataset brings its own labels"):
        draw(ten, gpulr.datasets.load_digits(), digits[3])
    model = gpulr.train(*blobs)
    with pytest.raises(ParameterError, match=r"Pass image_shape=\(height, width\)"):
        draw(model, *blobs)
    assert panels(draw(model, *blobs, image_shape=(2, 2)))
