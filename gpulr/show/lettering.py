"""Labels in pictures: how wide they are drawn, and the fonts that have their characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from matplotlib import rcParams
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager
from matplotlib.ft2font import FT2Font

from gpulr.errors import FontWarning, warn
from gpulr.show.labels import shortened

# matplotlib's own, behind the reader's: it has ✓ and ✗.
OWN = "DejaVu Sans"
# Marks, which are not seen, keep names that are read from the right from turning what is beside.
LRM = "\u200e"
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
_told: set[str] = set()  # what was warned of, once in a process
DPI = 288  # at which labels are measured: at 72 widths are rounded to points
BOXES = ("Last Resort", "LastResort")  # fonts that have a box for every character
FONTS_TO_INSTALL = "Noto Sans CJK (Debian: fonts-noto-cjk), or Noto Sans of that script"


def plain(texts: Iterable[str]) -> dict[str, Any]:
    """Return how such labels are drawn: "$x$" and "_" are no mathematics and no TeX.

    Behind the reader's fonts are those of the installed ones that have what these lack.
    """
    families = [*rcParams["font.family"], OWN]
    families += [name for name in map(_family_of, _lacking(texts)) if name]
    return {
        "parse_math": False,
        "usetex": False,
        "fontfamily": list(dict.fromkeys(families)),
    }


def drawable(texts: Iterable[str]) -> list[str]:
    """Return labels with U+… for each character that no installed font has, and say so once."""
    labels = [f"{LRM}{text}{LRM}" if RIGHT_TO_LEFT.search(text) else text for text in texts]
    absent = [c for c in _lacking(labels) if _family_of(c) is None]
    if not absent:
        return labels
    if not _told:
        some = ", ".join(map(ascii, absent[:3]))
        _told.update(absent)
        warn(
            f"No installed font has {len(absent)} of the labels' characters ({some}); pictures "
            f"show their code points. Install {FONTS_TO_INSTALL}, then start Python again.",
            FontWarning,
        )
    codes = str.maketrans({c: f"U+{ord(c):04X}" for c in absent})
    return [label.translate(codes) for label in labels]


def width(text: str, size: float | str) -> float:
    """Return how wide a label is drawn, in inches; ``size`` is matplotlib's."""
    font = FontProperties(family=plain([text])["fontfamily"], size=size)
    return float(_renderer().get_text_width_height_descent(text, font, False)[0]) / DPI


def widest(texts: Iterable[str], size: float | str) -> float:
    """Return the width of the widest label in inches; 0 where there are none."""
    return max((width(text, size) for text in texts), default=0.0)


def fitted(texts: Sequence[str], inches: float, size: float | str) -> list[str]:
    """Return labels shortened in the middle to that width, by what they are drawn with."""
    return [_fitted(text, inches, size) for text in texts]


def wrapped(text: str, inches: float, size: float | str) -> str:
    """Return a text whose lines are folded between words at that width."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and width(longer, size) > inches:
                lines.append(line.rstrip())
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)


def _fitted(text: str, inches: float, size: float | str) -> str:
    if width(text, size) <= inches:
        return text
    fits, fails = 1, len(text)  # characters
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if width(shortened(text, middle), size) <= inches:
            fits = middle
        else:
            fails = middle
    return shortened(text, fits)


@cache
def _renderer() -> Any:
    renderer: Any = RendererAgg
    return renderer(1, 1, DPI)


def _lacking(texts: Iterable[str]) -> list[str]:
    """Return the characters that the reader's fonts and matplotlib's own lack."""
    characters = sorted({c for text in texts for c in text if not c.isspace()})
    return [
        c for c in characters if ord(c) > 127 and not _has_own(c, tuple(rcParams["font.family"]))
    ]


@cache
def _has_own(character: str, families: tuple[str, ...]) -> bool:
    return any(
        _has(findfont(FontProperties(family=[family])), character) for family in (*families, OWN)
    )


def font_file(text: str) -> str | None:
    """Return the file of an installed font for a text that matplotlib's own font lacks letters of.

    None where it lacks none, or no font has the first that it lacks.
    """
    lacking = (c for c in text if ord(c) > 127 and not c.isspace() and not _has_own(c, ()))
    family = next(map(_family_of, lacking), None)
    return None if family is None else findfont(FontProperties(family=[family]))


@cache
def _has(path: str, character: str) -> bool:
    font = _font(path)
    return font is not None and bool(font.get_char_index(ord(character)))


@cache
def _font(path: str) -> FT2Font | None:
    try:
        return FT2Font(path)  # and no others behind it, as matplotlib's get_font has
    except (OSError, RuntimeError):  # it was removed, or is damaged
        return None


def _family_of(character: str) -> str | None:
    """Return an installed font that has a character, upright and of regular weight if any is."""
    found = _found(character, len(fontManager.ttflist))
    if found is None:
        _add_new_fonts()
        found = _found(character, len(fontManager.ttflist))
    return found


@cache
def _add_new_fonts() -> None:
    """Add fonts that were installed after matplotlib wrote its list of them, which it keeps."""
    known = {font.fname for font in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - known):
        with suppress(OSError, RuntimeError, ValueError):  # a damaged one
            fontManager.addfont(path)


@cache
def _found(character: str, n_fonts: int) -> str | None:
    fonts = [font for font in fontManager.ttflist if not font.name.startswith(BOXES)]
    regular = ("normal", 400)
    fonts.sort(key=lambda font: ((font.style, font.weight) != regular, "CJK" not in font.name))
    return next((font.name for font in fonts if _has(font.fname, character)), None)
