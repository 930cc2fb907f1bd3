"""What tests of pictures share: models to draw, and that pyplot is left as it was."""

from __future__ import annotations

import string

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager, pyplot

import gpulr
from gpulr.show import lettering


@pytest.fixture(scope="session")
def ten():
    """Ten digit models, with images of 8×8."""
    return gpulr.train(gpulr.datasets.load_digits())


@pytest.fixture(scope="session")
def letters():
    """26 classes of 2×3 images, which overlap: model, X, y."""
    rng = np.random.default_rng(3)
    codes = np.arange(260) % 26
    X = (rng.normal(size=(26, 6))[codes] + rng.normal(size=(260, 6))).astype(np.float32)
    y = np.array(list(string.ascii_lowercase))[codes]
    return gpulr.train(X, y, image_shape=(2, 3)), X, y


@pytest.fixture(scope="session")
def _font_of_two_characters(tmp_path_factory):
    """A font that has 猫 and 狗, as squares."""
    pen = TTGlyphPen(None)
    for i, place in enumerate(((0, 0), (0, 900), (900, 900), (900, 0))):
        (pen.lineTo if i else pen.moveTo)(place)
    pen.closePath()
    square, names = pen.glyph(), [".notdef", "cat", "dog"]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord("猫"): "cat", ord("狗"): "dog"})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Two Animals", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, usWinAscent=900, usWinDescent=100)
    builder.setupPost()
    path = tmp_path_factory.mktemp("fonts") / "two.ttf"
    builder.save(path)
    return path


@pytest.fixture
def latin(_font_of_two_characters, monkeypatch):
    """Fonts of Latin letters in matplotlib's list; installed since, one that has 猫 and 狗."""
    fonts = [font for font in font_manager.fontManager.ttflist if font.name.startswith("DejaVu")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", fonts)
    monkeypatch.setattr(lettering, "findSystemFonts", lambda: [str(_font_of_two_characters)])
    for cached in (lettering._found, lettering._add_new_fonts):
        cached.cache_clear()
    yield "Two Animals"
    for cached in (lettering._found, lettering._add_new_fonts):
        cached.cache_clear()


@pytest.fixture
def cjk(_font_of_two_characters, latin):
    """The name of a font that is in matplotlib's list, and the only one that has 猫 and 狗."""
    font_manager.fontManager.addfont(_font_of_two_characters)
    return latin


@pytest.fixture(autouse=True)
def _nothing_is_left_in_pyplot():
    before = pyplot.get_fignums()
    yield
    assert pyplot.get_fignums() == before
