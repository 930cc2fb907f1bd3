"""A table of scores, a row for each class or label: as records, as a frame, and to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import MissingExtraError, UndefinedScoreWarning, warn
from gpulr.model.binary import Each
from gpulr.model.measures import AVERAGES, mean
from gpulr.words import counted, listed

MOST_SHOWN = 40  # rows of a table that is printed


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Scores:
    """A table of scores.

    Attributes
    ----------
    table : structured array (n_models,)
        A record for each class or label that has a model (of two classes, the positive one). It has
        the name, the number of rows with this label, a column for each score, under scikit-learn's
        names, and the threshold, if the model has thresholds. A score that the rows leave undefined
        is NaN.
    averages : dict of str to float
        Scores of all models together, under the names that ``scoring`` of a search takes. Labels
        whose score is undefined in the table are left out.
    """

    table: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, [("class", "U1")]))
    averages: Mapping[str, float] = field(default_factory=dict)

    def to_frame(self) -> Any:
        """Return ``table`` as a pandas DataFrame with the names as its index; needs pandas."""
        return frame_of(self.table).set_index((self.table.dtype.names or ())[0])

    def cells(self, most: int | None = None) -> tuple[list[str], list[list[str]]]:
        """Return headings, and the rows of the table and its averages, as text.

        Losses are left out; the averages have those of all models together.
        """
        kind, *columns = (name for name in self.table.dtype.names or () if name[:4] != "neg_")
        of_scores = (name[::-1].replace("_", "\n", 1)[::-1] for name in columns[1:])
        headings = [kind, "rows", *of_scores]
        rows = [
            [str(record[kind]), *(_cell(record[c]) for c in columns)]
            for record in self.table[:most]
        ]
        if len(self.table) > 1:
            scores = [name for name in columns[1:] if name != "threshold"]
            macro = {f"{name}_macro": mean(self.table[name]) for name in scores}
            known = {**self.averages, **macro}
            for average in AVERAGES:
                figures = (_cell(known.get(f"{name}_{average}", "")) for name in columns[1:])
                rows.append([average, "", *figures])
        return headings, rows

    def together(self) -> dict[str, float]:
        """Return the averages that :meth:`cells` leaves out, under the names that tables show."""
        columns = [name for name in self.table.dtype.names or () if name[:4] != "neg_"]
        apart = {f"{c}_{average}" for c in columns for average in AVERAGES} | {*columns[2:]}
        found = {name: x for name, x in self.averages.items() if name not in apart}
        if "accuracy" in columns:  # of a label's own there
            found["accuracy (all labels of a row right)"] = self.averages["accuracy"]
        return found

    def __str__(self) -> str:
        headings, rows = self.cells(MOST_SHOWN)
        cells = [*zip(*(_on_two_lines(heading) for heading in headings), strict=True), *rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in cells]
        if (more := len(self.table) - MOST_SHOWN) > 0:
            lines.insert(2 + MOST_SHOWN, f"… {more:,} more in .table and .to_frame()")
        together = self.together()
        width = max(map(len, together), default=0)
        lines += ["", *(f"{name:{width}}  {x:.4f}" for name, x in together.items())]
        return "\n".join(lines)

    def __repr__(self) -> str:
        own = {of.name: getattr(self, of.name) for of in fields(self)}
        figures = {name: x for name, x in own.items() if isinstance(x, float)}
        figures |= {
            name: x for name, x in self.averages.items() if name in ("roc_auc", "roc_auc_ovr")
        }
        told = ", ".join(f"{name}={x:.6g}" for name, x in figures.items())
        return f"{type(self).__name__}({told}, table of {counted(len(self.table), 'row')})"


def frame_of(table: npt.NDArray[Any]) -> Any:
    """Return a result's table as a pandas DataFrame; raises MissingExtraError without pandas."""
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError(
            "to_frame() needs pandas, which is not installed: python -m pip install pandas. "
            "The same figures are in .table, a NumPy array of records."
        ) from error

    return pandas.DataFrame(table)


def _cell(value: Any) -> str:
    if isinstance(value, str) or value != value:
        return value if isinstance(value, str) else "–"
    if value == np.inf:  # a threshold
        return "never"
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def _on_two_lines(heading: str) -> tuple[str, str]:
    first, _, second = heading.rpartition("\n")
    return first, second


def table_of(
    kind: str,
    names: npt.NDArray[Any],
    positives: npt.NDArray[Any],
    each: Mapping[str, Each],
    thresholds: Each | None = None,
) -> npt.NDArray[Any]:
    """Return the scores as records, and warn of labels that leave some undefined."""
    columns = {kind: names, "positives": positives, **each}
    if thresholds is not None:
        columns["threshold"] = thresholds
    table = np.empty(len(names), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    if kind == "label" and not (positives > 0).all():  # classes without rows are nothing unusual
        without = names[~(positives > 0)]
        warn(
            f"No row here has the label {listed(without.tolist())}: precision, recall, F1, AUROC "
            "and average precision are NaN in its row of the table, and averages leave them out. "
            "Evaluate on rows that have every label.",
            UndefinedScoreWarning,
        )
    return table
