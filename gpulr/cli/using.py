"""`gpulr evaluate`, `predict` and `data`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import typer
from rich.table import Column, Table

import gpulr
from gpulr import datasets
from gpulr.cli import figures, terminal
from gpulr.cli.training import in_words
from gpulr.cli.wording import on_one_line
from gpulr.datasets.readers.table_columns import KnownColumns
from gpulr.datasets.reading import is_table
from gpulr.errors import DataError, DataFileError, DataUnavailableError
from gpulr.images.framing import Frame
from gpulr.images.loading import IMAGE_SUFFIXES, load_images, make_folder, save_framed
from gpulr.model.one_vs_all import OneVsAll
from gpulr.output_files import check_folder
from gpulr.words import counted


def evaluate(path: Path, *, data: str | None, label: str | None, as_json: bool) -> None:
    """Evaluate a saved model on a data set's test part, or on all of it where it has none."""
    model = gpulr.load(path)
    dataset = its_data(model, label) if data is None else data_for(model, data, label)
    part, X, y = "all", dataset.X, dataset.y
    if dataset.X_test is not None and dataset.y_test is not None:
        part, X, y = "test", dataset.X_test, dataset.y_test
    terminal.say(in_words(dataset))
    result = model.evaluate(X, y)
    if as_json:
        about = {"model": path, "data": dataset.name, "part": part, "n": len(X)}
        terminal.print_json({**about, "classes": model.classes, **figures.record(result)})
        return
    title = f"{dataset.name}, {part} rows: {len(X):,}"
    table = Table(*figures.model_columns(result), title=title)
    for row in figures.model_rows(result):
        table.add_row(*row)
    console = terminal.out()
    console.print(table)
    for line in figures.summary(result):
        console.print(line)
    if not model.multilabel and len(model.classes) <= 12:
        console.print(figures.confusion(result))


def its_data(model: OneVsAll, label: str | None) -> datasets.Dataset:
    """Load the data that the model's file says it was trained on, with the same rows held out."""
    name, source = model.data.get("name", ""), model.data.get("source", "")
    if name in datasets.NAMES:
        dataset = datasets.load(name)
    elif os.path.exists(source):  # noqa: PTH110 (False for names that are none)
        dataset = datasets.load(source, label=label or model.data.get("label"))
    else:
        raise DataError(
            f"This model was trained on {name or 'unnamed data'} ({source or 'unknown source'}), "
            "which cannot be loaded from here. Name the data with --data."
        )
    split = model.data.get("split")
    return dataset.split(**split) if split and dataset.X_test is None else dataset


def data_for(model: OneVsAll, data: str, label: str | None) -> datasets.Dataset:
    """Load data that are named; a table's columns are found by the names that the model knows."""
    if is_table(data):
        from gpulr.datasets.reading import read_labelled

        return read_labelled(data, _known_columns(model), label=label)
    return datasets.load(data, label=label)


def _known_columns(model: OneVsAll) -> KnownColumns:
    label, names = model.data.get("label"), model.data.get("feature_names")
    return KnownColumns(
        model.n_features,
        None if label is None else str(label),
        None if names is None else tuple(map(str, names)),
    )


def predict(
    path: Path,
    inputs: list[str],
    *,
    label: str | None,
    rows: int | None,
    framed: Path | None,
    as_json: bool,
) -> None:
    """Predict image files, rows of .npy files, or rows of data sets.

    An input that cannot be used does not keep the others from being predicted.
    """
    model = gpulr.load(path)
    inputs = [each for name in inputs for each in _pictures_in(name) or [name]]
    if framed is not None:
        Frame.of(model)  # which only a model of images has
        make_folder(framed)
        check_folder(framed / "0-framed.png", f"--framed {framed}", "")
    records: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    for name in inputs:
        try:
            records += _predicted(model, name, label)
        except (DataError, DataFileError, DataUnavailableError) as error:
            errors.append({"input": name, "error": terminal.words_of(error)})
    shown = records if rows == 0 else records[: rows or (None if as_json else 20)]
    if not model.multilabel:
        shown = [{**record, "certain": _is_certain(record["probabilities"])} for record in shown]
    if as_json:
        found = {"model": path, "classes": model.classes, "predictions": shown}
        terminal.print_json({**found, "errors": errors} if errors else found)
    elif records:
        _print_predictions(model, shown)
        if len(records) > len(shown):
            more = counted(len(records) - len(shown), "more row")
            terminal.say(f"{more}; --rows 0 prints all, --json too")
    for entry in errors:
        name, words = on_one_line(entry["input"]), entry["error"]
        terminal.show_error(words if name in words else f"{name}: {words}")
    if framed is not None:
        written = save_framed([Path(name) for name in inputs if _is_image(name)], model, framed)
        terminal.say(f"what the model sees: {counted(len(written), 'image')} in {framed}")
    if errors:
        raise typer.Exit(terminal.BAD_DATA)


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


def _predicted(model: OneVsAll, name: str, label: str | None) -> list[dict[str, Any]]:
    """Return what is predicted for each row of an input."""
    X, y = _rows(model, name, label)
    P, true = model.predict_proba(X), None if y is None else _named(model, y)
    records = []
    for i, predicted in enumerate(_named(model, model.predict(X))):
        row = name if _is_image(name) else f"{name}[{i}]"
        record = {"input": row, "predicted": predicted, "probabilities": P[i]}
        records.append(record if true is None else {**record, "true": true[i]})
    return records


def _print_predictions(model: OneVsAll, shown: list[dict[str, Any]]) -> None:
    has_true = any("true" in record for record in shown)
    several = model.n_models > 1 and not model.multilabel
    table = Table(
        Column("input", overflow="fold"),
        "predicted",
        *(["true"] if has_true else []),
        "probabilities" if model.multilabel else "probability",
        *(["next"] if several else []),
        box=None,
    )
    for record in shown:
        table.add_row(
            on_one_line(record["input"]),
            _words(record["predicted"]),
            *([_words(record.get("true", ""))] if has_true else []),
            *_certainty(model, record["probabilities"]),
        )
    terminal.out().print(table)


def _named(model: OneVsAll, y: npt.NDArray[Any]) -> Any:
    """Return the names of each row's labels, of an indicator matrix; else y, a name for each."""
    if model.multilabel and y.ndim == 2 and y.shape[1] == model.n_models:
        return [model.classes[row == 1] for row in y]
    return y


def _certainty(model: OneVsAll, P: npt.NDArray[Any]) -> list[str]:
    """Return in words how probable the prediction is, and what comes next to it."""
    if model.multilabel:
        return [", ".join(f"{p:.3f}" for p in P[P > 0.5])]
    if model.n_models == 1:
        return [f"{max(P[0], 1 - P[0]):.3f}"]
    first, second = np.argsort(P)[::-1][:2]
    unsure = "" if _is_certain(P) else " (unsure)"
    return [f"{P[first]:.3f}{unsure}", f"{on_one_line(model.classes[second])} ({P[second]:.3f})"]


def _is_certain(P: npt.NDArray[Any]) -> bool:
    """Return whether some class is more probable than not; of two, one always is."""
    return len(P) == 1 or bool(P.max() >= 0.5)


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def _rows(
    model: OneVsAll, name: str, label: str | None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Return the rows of an input, and their labels where it has them."""
    if _is_image(name):
        return load_images([Path(name)], model), None
    if name.lower().endswith(".npy"):
        from gpulr.datasets.readers.numpy_files import read_npy

        return read_npy(Path(name)), None
    if is_table(name):
        from gpulr.datasets.reading import read_rows

        return read_rows(name, _known_columns(model), label=label)
    if Path(name).is_dir() and not any("idx" in each.name for each in Path(name).iterdir()):
        raise DataFileError(
            name,
            f"is a folder without pictures ({', '.join(IMAGE_SUFFIXES)}) or IDX files",
            "Name files, or a folder of pictures.",
        )
    dataset = datasets.load(name, label=label)
    if dataset.X_test is not None:
        return dataset.X_test, dataset.y_test
    return dataset.X, dataset.y


def data(name: str | None, *, label: str | None, as_json: bool) -> None:
    """List the named data sets, or load one and describe it."""
    if name is None:
        _list_data(as_json)
        return
    dataset = datasets.load(name, label=label)
    if dataset.y.ndim == 2:  # a column for each label
        classes, counts = np.arange(dataset.y.shape[1]), dataset.y.sum(axis=0)
    else:
        classes, counts = np.unique(dataset.y, return_counts=True)
    record = {
        "name": dataset.name,
        "source": dataset.source,
        "n_train": len(dataset.X),
        "n_test": 0 if dataset.X_test is None else len(dataset.X_test),
        "n_features": dataset.X.shape[1],
        "dtype": str(dataset.X.dtype),
        "image_shape": dataset.image_shape,
        "classes": classes,
        "counts": counts,
    }
    if as_json:
        terminal.print_json(record)
        return
    table = Table(show_header=False)
    for key, value in record.items():
        table.add_row(key.replace("_", " "), _words(value))
    terminal.out().print(table)


def _words(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return on_one_line(value)
    return ", ".join(map(on_one_line, value[:20])) + (", …" if len(value) > 20 else "")


def _list_data(as_json: bool) -> None:
    entries = datasets.describe()
    if as_json:
        terminal.print_json(
            {
                entry.name: {
                    "available": entry.available,
                    "location": entry.location,
                    "size": entry.size,
                    "description": entry.description,
                    "note": entry.note,
                }
                for entry in entries
            }
        )
        return
    table = Table("name", "here", Column("what and where", overflow="fold"))
    for entry in entries:
        where = "\n".join(part for part in (entry.description, entry.location, entry.note) if part)
        table.add_row(entry.name, "yes" if entry.available else "no", where)
    terminal.out().print(table)
