"""`gpulr predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Column

from gpulr import datasets
from gpulr.cli import terminal
from gpulr.cli.data import in_a_cell, known_columns, say_refinements
from gpulr.cli.tables import table
from gpulr.cli.terminal import on_one_line
from gpulr.datasets.dataset import test_rows
from gpulr.datasets.reading import SUPPORTED, is_stored, is_table, read_rows
from gpulr.errors import DataError, DataFileError, DataUnavailableError
from gpulr.images.framing import Frame
from gpulr.images.loading import IMAGE_SUFFIXES, load_images, make_folder, save_framed
from gpulr.model.one_vs_all import OneVsAll, load
from gpulr.output_files import check_folder
from gpulr.show.predictions import Predictions, most_probable
from gpulr.words import counted


def predict(
    *,
    path: Path,
    inputs: list[str],
    label: str | None = None,
    rows: int | None = None,
    framed: Path | None = None,
    json: bool,
) -> int:
    """Predict image files, rows of .npy files, or rows of data sets.

    An input that cannot be used does not keep the others from being predicted.
    """
    model = load(path)
    inputs = [each for name in inputs for each in _pictures_in(name) or [name]]
    if framed is not None:
        Frame.of(model)  # which only a model of images has
        make_folder(framed)
        check_folder(framed / "0-framed.png", f"--framed {framed}", "")
    say_refinements(model)
    records: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    for name in inputs:
        try:
            records += _predicted(model, name, label)
        except (DataError, DataFileError, DataUnavailableError) as error:
            errors.append({"input": name, "error": terminal.words_of(error)})
    shown = records if rows == 0 else records[: rows or (None if json else 20)]
    if json:
        found = {"model": path, "classes": model.classes, "predictions": shown}
        terminal.print_json({**found, "errors": errors} if errors else found)
    elif records:
        _show(model, shown)
        if len(records) > len(shown):
            more = counted(len(records) - len(shown), "more row")
            terminal.say(f"{more}; --rows 0 prints all, --json too")
    for entry in errors:
        name, words = on_one_line(entry["input"]), entry["error"]
        terminal.show_error(words if name in words else f"{name}: {words}")
    if framed is not None:
        written = save_framed([Path(name) for name in inputs if _is_image(name)], model, framed)
        terminal.say(f"what the model sees: {counted(len(written), 'image')} in {framed}")
    return terminal.BAD_DATA if errors else 0


def _pictures_in(name: str) -> list[str]:
    """Return the pictures in a folder, by name; none if it is no folder, or has other files."""
    folder = Path(name)
    try:
        names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    except OSError:  # which reading it tells of
        return []
    pictures = [
        each
        for each in names
        if _is_image(each) and not each.startswith(".") and (folder / each).is_file()
    ]
    if pictures:
        skipped = len(names) - len(pictures)
        others = f"; {counted(skipped, 'other file or folder', 'other files or folders')} skipped"
        what = counted(len(pictures), "picture")
        terminal.say(f"{name}: {what}{others if skipped else ''}")
    return [str(folder / each) for each in pictures]


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def _predicted(model: OneVsAll, name: str, label: str | None) -> list[dict[str, Any]]:
    """Return what is predicted for each row of an input."""
    X, y = _rows(model, name, label)
    predictions, P = Predictions.of(model, X), model.predict_proba(X)
    if y is not None and model.multilabel and y.ndim == 2 and y.shape[1] == model.n_models:
        y = [model.classes[row == 1] for row in y]
    records, certain = [], predictions.certain
    for i, which in enumerate(predictions.predicted):
        predicted = model.classes[which]
        record = {
            "input": name if _is_image(name) else f"{name}[{i}]",
            "predicted": predicted if model.multilabel else predicted[0],
            "probabilities": P[i],
        }
        if y is not None:
            record["true"] = y[i]
        if not model.multilabel:
            record["certain"] = bool(certain[i])
        records.append(record)
    return records


def _rows(model: OneVsAll, name: str, label: str | None) -> tuple[Any, Any]:
    """Return the rows of an input, and their labels where it has them."""
    if _is_image(name):
        return load_images([Path(name)], model), None
    if is_table(name) or is_stored(name):
        return read_rows(name, known_columns(model), label=label)
    pictures = f"pictures ({', '.join(IMAGE_SUFFIXES)})"
    if Path(name).is_dir() and not any("idx" in each.name for each in Path(name).iterdir()):
        found, remedy = f"is a folder without {pictures} or IDX files", "Name files, or a folder of"
        raise DataFileError(name, found, f"{remedy} pictures.")
    try:
        return test_rows(datasets.load(name, label=label))[1:]
    except DataFileError as error:
        if SUPPORTED not in error.remedy:
            raise
        remedy = f"{error.remedy[:-1]}; also {pictures} or a folder of them."
        raise DataFileError(name, error.found, remedy) from error


def _show(model: OneVsAll, shown: list[dict[str, Any]]) -> None:
    has_true = any("true" in record for record in shown)
    headings: list[str | Column] = [
        "input",
        "predicted",
        *(["true"] if has_true else []),
        "probabilities" if model.multilabel else "probability",
    ]
    unsure = not all(record.get("certain", True) for record in shown)
    if model.n_models > 1 and not model.multilabel:
        headings += [Column("", overflow="fold")] if unsure else []
        headings += ["next", "its P"]
    rows = (
        [
            on_one_line(record["input"]),
            in_a_cell(record["predicted"]),
            *([in_a_cell(record.get("true", ""))] if has_true else []),
            *_certainty(model, record, unsure=unsure),
        ]
        for record in shown
    )
    terminal.show(table(headings, rows, boxed=False))


def _certainty(model: OneVsAll, record: dict[str, Any], *, unsure: bool) -> list[str]:
    """Return in words how probable the prediction is, and what comes next to it.

    With ``unsure`` they have a place for whether this one is.
    """
    P: npt.NDArray[np.floating] = record["probabilities"]
    said = np.isin(model.classes, record["predicted"])
    if model.multilabel:
        return [", ".join(f"{p:.3f}" for p in P[said])]
    if model.n_models == 1:
        return [f"{P[0] if said[1] else 1 - P[0]:.3f}"]
    first = int(said.argmax())
    second = next(j for j in most_probable(P, 2) if j != first)
    words = ["" if record["certain"] else "unsure"] if unsure else []
    name = on_one_line(model.classes[second])
    return [f"{P[first]:.3f}", *words, name, f"{P[second]:.3f}"]
