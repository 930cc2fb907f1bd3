"""Lines that end between words, by the columns that a terminal takes for them."""

from __future__ import annotations

from rich.cells import cell_len

HANGING = "  "  # before what remains of an indented line


def folded(text: str, width: int) -> list[str]:
    """Return the lines of a text, broken at spaces where it is wider; no word is broken."""
    lines: list[str] = []
    for line in text.split("\n"):
        words = line.split(" ")
        lines.append(words[0])
        for word in words[1:]:
            if cell_len(lines[-1]) + 1 + cell_len(word) <= width:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
    return lines


def with_hanging_lines(text: str, width: int) -> str:
    """Return a text folded to a width.

    What remains of an indented line stands a little further to the right than its beginning.
    """
    lines = []
    for line in text.split("\n"):
        words = line.lstrip(" ")
        indent = line[: len(line) - len(words)]
        hanging = indent + HANGING if indent else ""
        first, *others = folded(words, width - len(hanging))
        lines += [indent + first, *(hanging + other for other in others)]
    return "\n".join(lines)
