"""Labels and other names as short text, for pictures, reports, videos and the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

CODE_POINT = re.compile(r"U\+[0-9A-F]{4,6}")  # of a character that no font has
LONGEST = 18  # characters of a label in a picture


def shortened(text: Any, longest: int) -> str:
    """Return text of at most so many characters, cut in its middle: labels often differ in ends."""
    words = str(text)
    if len(words) <= longest:
        return words
    tail = (longest - 1) // 2
    head, rest = longest - 1 - tail, len(words) - tail
    for code in CODE_POINT.finditer(words):  # none is cut
        head = code.start() if code.start() < head < code.end() else head
        rest = code.end() if code.start() < rest < code.end() else rest
    return words[:head].rstrip() + "…" + words[rest:].lstrip()


def shortened_apart(texts: Sequence[str], longest: int) -> list[str]:
    """Return each text shortened; those that would look alike are cut around what differs."""
    short = [shortened(text, longest) for text in texts]
    groups: dict[str, list[int]] = {}
    for i, words in enumerate(short):
        groups.setdefault(words, []).append(i)
    for alike in groups.values():
        if longest > 3 and len({texts[i] for i in alike}) > 1:
            start = _common([texts[i] for i in alike])
            ending = _common([texts[i][start:][::-1] for i in alike])
            for i in alike:
                short[i] = _around(texts[i], start, len(texts[i]) - ending, longest)
    return short


def _common(texts: list[str]) -> int:
    """Return how many characters texts have in common at their beginnings."""
    first, last = min(texts), max(texts)  # what these share, all do
    pairs = enumerate(zip(first, last, strict=False))
    return next((k for k, (a, b) in pairs if a != b), min(len(first), len(last)))


def _around(text: str, start: int, end: int, longest: int) -> str:
    """Return so many characters of a text that has more, around a part of it, or that part's."""
    width = longest - 2
    left = max(0, min(start, (start + min(end, start + width) - width) // 2, len(text) - width))
    if left:
        left = text.find(" ", left, start) + 1 or left  # begins with a word
    cut = text[left : left + width]
    return ("…" if left else "") + cut.strip() + ("…" if left + width < len(text) else "")


def label_text(label: Any, longest: int = LONGEST) -> str:
    """Return a label as text on one line, shortened; � stands for what cannot be printed."""
    return shortened(_on_one_line(label), longest)


def label_texts(labels: Iterable[Any], longest: int = LONGEST) -> list[str]:
    """Return :func:`label_text` of each, which differ where labels do."""
    return shortened_apart([_on_one_line(label) for label in labels], longest)


def _on_one_line(label: Any) -> str:
    words = " ".join(str(label).split())
    words = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)
    return words or "(empty)"
