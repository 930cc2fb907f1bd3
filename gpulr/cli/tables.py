"""Tables for a terminal of any width: lines, heads and labels give way, never a number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Column, Table
from rich.text import Text

from gpulr.cli.folding import folded
from gpulr.cli.terminal import escaped

LEAST_LABEL, LEAST_PROSE = 10, 20  # columns of a terminal that a text keeps
SHORT_LABEL = 5  # that a label keeps where heads would lose their words
_NUMBER = re.compile(r"[-+−]?[\d,]+(\.\d+)?(e[-+]?\d+)?%?|inf|·|–|never")
_SOME_DIGIT = re.compile(r"\d")

Cell = str | Text


class Fitted:
    """A table as wide as a terminal lets it be.

    Columns of numbers stand to the right. In a narrow terminal heads go on several lines, at their
    spaces; then the box goes, then labels lose their middle, then heads their ends. What is too
    wide even so becomes several tables, each with the first column, or is ``instead``. With
    ``named`` the heads behind the first are labels: on one line each, and shortened as such.
    """

    def __init__(
        self,
        headings: Iterable[str | Column],
        rows: Iterable[Iterable[Cell]],
        *,
        title: str | None = None,
        boxed: bool = True,
        show_header: bool = True,
        styles: Sequence[str | None] = (),
        last_apart: bool = False,
        named: bool = False,
        instead: RenderableType | None = None,
    ) -> None:
        columns = [it if isinstance(it, Column) else Column(it) for it in headings]
        self._prose = [column.overflow == "fold" for column in columns]
        self._heads = [escaped(str(column.header)) for column in columns]
        self._rows = [[_text(cell) for cell in row] for row in rows]
        self._cells = [[row[j] for row in self._rows] for j in range(len(columns))]
        self._numbers = [_are_numbers(cells) for cells in self._cells]
        self._bodies = [max((_width(c.plain) for c in cells), default=0) for cells in self._cells]
        self._title, self._boxed, self._show_header = title, boxed, show_header
        self._styles, self._last_apart, self._instead = styles, last_apart, instead
        self._named = [named and j > 0 for j in range(len(columns))]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        width, every = options.max_width, list(range(len(self._heads)))
        found = self._fit(every, width)
        if found is None and self._instead is not None:
            yield self._instead
            return
        if self._title is not None:
            yield Text(escaped(self._title), "table.title")
        for group in [every] if found else self._groups(width):
            widths, boxed = self._fit(group, width) or (self._least(group), False)
            yield self._table(group, widths, boxed)

    def _fit(self, group: list[int], room: int) -> tuple[list[int], bool] | None:
        """Return the widths of columns, and whether they are boxed; None if that is too wide."""
        whole = [max(self._bodies[j], _width(self._head(j))) for j in group]
        folded = [max(self._bodies[j], self._longest(j)) for j in group]
        for boxed in (True, False) if self._boxed else (False,):
            space = room - (3 * len(group) + 1 if boxed else len(group))
            for widths in (whole, folded):
                if sum(widths) <= space:
                    return self._spread(widths, whole, space), boxed
        whole_words = (self._least(group, label) for label in (LEAST_LABEL, SHORT_LABEL))
        for floor in (*whole_words, self._least(group)):
            if sum(floor) <= space:
                return _lowered(folded, floor, space), False
        return None

    def _head(self, j: int) -> str:
        return self._heads[j] if self._show_header else ""

    def _longest(self, j: int) -> int:
        """Return the columns of a terminal that a head's words need."""
        return (_width if self._named[j] else _longest_word)(self._head(j))

    def _least(self, group: list[int], label: int | None = None) -> list[int]:
        """Return the smallest widths that columns may have.

        With ``label`` heads keep their words, and labels, heads among them, so many columns.
        """
        least = []
        for j in group:
            low = LEAST_PROSE if self._prose[j] else label or LEAST_LABEL
            body = self._bodies[j] if self._numbers[j] else max(1, min(low, self._bodies[j]))
            head = self._longest(j) if label else 0
            least.append(max(body, min(head, low) if self._named[j] else head))
        return least

    @staticmethod
    def _spread(widths: list[int], whole: list[int], space: int) -> list[int]:
        """Return widths with as many heads on one line as there is space for."""
        widths = list(widths)
        for i in sorted(range(len(widths)), key=lambda i: whole[i] - widths[i]):
            if sum(widths) + whole[i] - widths[i] <= space:
                widths[i] = whole[i]
        return widths

    def _groups(self, room: int) -> Iterator[list[int]]:
        """Yield the columns of several tables that fit, the first column in each."""
        group = [0]
        for j in range(1, len(self._heads)):
            if len(group) > 1 and self._fit([*group, j], room) is None:
                yield group
                group = [0]
            group = [*group, j]
        yield group

    def _table(self, group: list[int], widths: list[int], boxed: bool) -> Table:
        columns = []
        for j, width in zip(group, widths, strict=True):
            head = self._head(j)
            if self._named[j]:
                head = shortened(head, width)
            else:
                head = "\n".join(_beginning(line, width) for line in folded(head, width))
            justify: Any = "right" if self._numbers[j] else "left"
            columns.append(Column(head, justify=justify, width=width, vertical="top"))
        how: dict[str, Any] = {"box": box.HEAVY_HEAD}
        if not boxed:
            how = {"box": None, "padding": (0, 1, 0, 0)}
        table = Table(
            *columns,
            show_header=self._show_header,
            **how,
        )
        for i, row in enumerate(self._rows):
            if self._last_apart and i == len(self._rows) - 1:
                table.add_section()
            cells = [self._cell(row[j], j, w) for j, w in zip(group, widths, strict=True)]
            table.add_row(*cells, style=self._styles[i] if self._styles else None)
        return table

    def _cell(self, cell: Text, j: int, width: int) -> Text:
        if self._prose[j] or _width(cell.plain) <= width:
            return cell
        lines = "\n".join(shortened(line, width) for line in cell.plain.split("\n"))
        return Text(lines, cell.style)


def table(headings: Iterable[str | Column], rows: Iterable[Iterable[Cell]], **how: Any) -> Fitted:
    """Return a table of these rows; the options are those of :class:`Fitted`."""
    return Fitted(headings, rows, **how)


def shortened(text: str, width: int) -> str:
    """Return text in so many columns of a terminal, without its middle where it has more."""
    if cell_len(text) <= width:
        return text
    if width < 2:
        return "…"
    room = max((width - 1) // 3, min(1, width - 2))
    end = text[len(text) - room :]
    while cell_len(end) > room:
        end = end[1:]
    return chop_cells(text, width - 1 - cell_len(end))[0] + "…" + end


def _beginning(text: str, width: int) -> str:
    return text if cell_len(text) <= width else chop_cells(text, max(1, width - 1))[0] + "…"


def _text(cell: Cell) -> Text:
    return Text(escaped(cell)) if isinstance(cell, str) else Text(escaped(cell.plain), cell.style)


def _are_numbers(cells: list[Text]) -> bool:
    texts = [cell.plain for cell in cells if cell.plain]
    return all(map(_NUMBER.fullmatch, texts)) and any(map(_SOME_DIGIT.search, texts))


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _lowered(widths: list[int], floors: list[int], space: int) -> list[int]:
    """Return widths that are lowered to a sum, the widest first, none below its floor."""
    widths = [max(both) for both in zip(widths, floors, strict=True)]
    while sum(widths) > space:
        i = max(range(len(widths)), key=lambda i: (widths[i] > floors[i], widths[i]))
        widths[i] -= 1
    return widths
