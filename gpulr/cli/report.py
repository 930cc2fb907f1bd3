"""`gpulr report`."""

from __future__ import annotations

from pathlib import Path

from gpulr.cli import terminal
from gpulr.cli.inputs import data_for
from gpulr.errors import DataError, DataFileError, DataUnavailableError
from gpulr.model.one_vs_all import load
from gpulr.reporting.page import check_output, rows_of, write


def report(path: Path, data: str | None, label: str | None, *, output: Path, as_json: bool) -> None:
    """Write a page on a saved model, evaluated on ``data`` or on what it was trained on.

    Data that was named has to be there; without, a page of what the model's file says is better
    than none.
    """
    check_output(output, "--output")
    model = load(path)
    dataset, absent = None, ""
    try:
        dataset = data_for(model, data, label)
    except (DataError, DataFileError, DataUnavailableError) as error:
        if data is not None:
            raise
        absent = str(error)
        terminal.say(f"Not evaluated: {' '.join(absent.splitlines())}")
    X, y, part = (None, None, "") if dataset is None else rows_of(dataset)
    write(model, output, X, y, part=part, search=model.data.get("search"), absent=absent)
    size = terminal.say_written(output)
    if as_json:
        name = None if dataset is None else dataset.name
        n = 0 if X is None else len(X)
        terminal.print_json({"model": path, "output": output, "data": name, "n": n, "bytes": size})
