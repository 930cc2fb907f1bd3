"""Labels as they are drawn: measured, shortened in the middle, in fonts that have their letters."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import gpulr
from gpulr import show
from gpulr.errors import FontWarning
from gpulr.show import lettering
from gpulr.show.labels import shortened
from shown import drawn, names_of


def test_labels_that_differ_in_their_ends_differ_when_they_are_shortened():
    labels = [f"class {i:02}" for i in range(50)]
    assert len({shortened(label, 7) for label in labels}) == 50
    assert shortened("class 07", 7) == "cla…07"
    assert shortened("abcdefgh", 8) == "abcdefgh"
    assert shortened("abcdefgh", 2) == "a…"
    assert lettering.fitted(labels, 0.4, 8)[7].endswith("07")


@pytest.mark.parametrize("size", [6.0, "small", "medium"])
def test_labels_are_measured_and_not_counted(size):
    wide, narrow = "W" * 18, "i" * 18
    assert lettering.width(wide, size) > 3 * lettering.width(narrow, size)
    (drawn_text,) = lettering.fitted([wide], 0.8, size)
    figure = Figure(dpi=72)
    text = figure.text(0, 0, drawn_text, fontsize=size)
    FigureCanvasAgg(figure).draw()
    assert text.get_window_extent().width / 72 == pytest.approx(
        lettering.width(drawn_text, size), abs=0.03
    )
    assert 0.6 < lettering.width(drawn_text, size) <= 0.8
    assert lettering.fitted([narrow], 0.8, "small") == [narrow]


def test_another_installed_font_has_what_the_readers_lacks(cjk, blobs):
    X, y = blobs
    model = gpulr.train(X, np.array(["猫", "狗", "plain"])[y])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = show.accuracy(model.evaluate(X, np.array(["猫", "狗", "plain"])[y]))
        assert {"猫", "狗", "plain"} == set(names_of(ax))
        drawn(ax)  # matplotlib warns of missing glyphs here
    assert cjk in ax.get_yticklabels()[0].get_fontfamily()
    assert lettering.width("猫猫", 10) == pytest.approx(2 * 10 / 72, rel=0.1)


def test_a_font_that_was_installed_after_matplotlib_listed_them_is_found(latin):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lettering.drawable(["猫"]) == ["猫"]
    assert latin in lettering.plain(["猫"])["fontfamily"]


def test_the_file_of_the_font_is_found_for_videos(cjk):
    assert lettering.font_file("猫 cat").endswith("two.ttf")
    assert lettering.font_file("naïve ✓ cat") is None
    assert lettering.font_file("\u2fd5") is None


def test_where_no_font_has_them_one_warning_names_one_and_labels_still_differ(cjk, monkeypatch):
    monkeypatch.setattr(lettering, "_told", set())
    with pytest.warns(FontWarning, match="Noto Sans CJK") as told:
        found = [lettering.drawable([c, "plain"]) for c in "\u2fd5\u2fd4"]
    assert len(told) == 1
    assert found == [["U+2FD5", "plain"], ["U+2FD4", "plain"]]


def test_code_points_are_cut_whole():
    label = "".join(f"U+{code:04X}" for code in range(0x3068, 0x3070)) + " end"
    for longest in range(9, len(label)):
        left = shortened(label, longest)
        assert len(left) <= longest
        assert re.fullmatch(r"(U\+[0-9A-F]{4})*…(U\+[0-9A-F]{4})* ?(end|nd|d)?", left)
    assert shortened(label, 20) == "U+3068…end"


def test_names_that_are_read_from_the_right_do_not_turn_what_is_beside():
    marked, plain = lettering.drawable(["\u0627\u0644 13", "plain"])
    assert plain == "plain"
    assert marked == "\u200e\u0627\u0644 13\u200e"
    assert lettering.width(marked, 9) == pytest.approx(lettering.width(marked.strip("\u200e"), 9))
