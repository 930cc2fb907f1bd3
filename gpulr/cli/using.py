"""`gpulr evaluate`, `predict`, `data` and `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.markup import escape
from rich.table import Column, Table

import gpulr
from gpulr import datasets
from gpulr.cli import figures, terminal
from gpulr.datasets.readers.table_columns import KnownColumns
from gpulr.errors import DataError, DataFileError
from gpulr.images import IMAGE_SUFFIXES, load_images
from gpulr.model import OneVsAll


def evaluate(path: Path, *, data: str | None, label: str | None, as_json: bool) -> None:
    """Evaluate a saved model on a data set's test part, or on all of it where it has none."""
    model = gpulr.load(path)
    dataset = its_data(model, label) if data is None else data_for(model, data, label)
    part, X, y = "all", dataset.X, dataset.y
    if dataset.X_test is not None and dataset.y_test is not None:
        part, X, y = "test", dataset.X_test, dataset.y_test
    terminal.say(f"{dataset}, {part} part: {len(X)} rows" if part == "test" else f"{dataset}")
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
    elif Path(source).exists():
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
    if datasets.readers.is_table(data):
        from gpulr.datasets.readers.for_model import read_labelled

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
    path: Path, inputs: list[str], *, label: str | None, rows: int | None, as_json: bool
) -> None:
    """Predict image files, rows of .npy files, or rows of data sets."""
    model = gpulr.load(path)
    records: list[dict[str, Any]] = []
    for batch, names, y in _batches(model, inputs, label):
        true = None if y is None else _named(model, y)
        P = model.predict_proba(batch)
        for i, predicted in enumerate(_named(model, model.predict(batch))):
            record = {"input": names[i], "predicted": predicted, "probabilities": P[i]}
            records.append(record if true is None else {**record, "true": true[i]})
    shown = records if rows == 0 else records[: rows or (None if as_json else 20)]
    if as_json:
        terminal.print_json({"model": path, "classes": model.classes, "predictions": shown})
        return
    has_true = any("true" in record for record in records)
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
            escape(record["input"]),
            escape(_words(record["predicted"])),
            *([escape(_words(record.get("true", "")))] if has_true else []),
            *map(escape, _certainty(model, record["probabilities"])),
        )
    terminal.out().print(table)
    if len(records) > len(shown):
        terminal.say(f"{len(records) - len(shown)} more rows; --rows 0 prints all, --json too")


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
    return [f"{P[first]:.3f}", f"{model.classes[second]} ({P[second]:.3f})"]


def _batches(
    model: OneVsAll, inputs: list[str], label: str | None
) -> list[tuple[npt.NDArray[Any], list[str], npt.NDArray[Any] | None]]:
    images = [Path(name) for name in inputs if name.lower().endswith(IMAGE_SUFFIXES)]
    batches: list[tuple[npt.NDArray[Any], list[str], npt.NDArray[Any] | None]] = []
    if images:
        batches.append((load_images(images, model), [str(image) for image in images], None))
    for name in inputs:
        if name.lower().endswith(IMAGE_SUFFIXES):
            continue
        X: npt.NDArray[Any]
        y: npt.NDArray[Any] | None = None
        if name.lower().endswith(".npy"):
            X = _npy(Path(name))
        elif datasets.readers.is_table(name):
            from gpulr.datasets.readers.for_model import read_rows

            X, y = read_rows(name, _known_columns(model), label=label)
        else:
            dataset = datasets.load(name, label=label)
            X, y = dataset.X, dataset.y
            if dataset.X_test is not None:
                X, y = dataset.X_test, dataset.y_test
        batches.append((X, [f"{name}[{i}]" for i in range(len(X))], y))
    return batches


def _npy(path: Path) -> npt.NDArray[Any]:
    """Map a .npy file of rows; a header that claims more than the file holds is refused."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except (OSError, ValueError, EOFError) as error:
        raise DataFileError(
            path, f"not a readable .npy file ({error})", "Save rows of numbers with numpy.save."
        ) from error


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
        table.add_row(key.replace("_", " "), escape(_words(value)))
    terminal.out().print(table)


def _words(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return str(value)
    return ", ".join(map(str, value[:20])) + (", …" if len(value) > 20 else "")


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
        table.add_row(entry.name, "yes" if entry.available else "no", escape(where))
    terminal.out().print(table)


def doctor(*, as_json: bool) -> None:
    """Report on this machine."""
    from gpulr.doctor import report

    found = report()
    if as_json:
        terminal.print_json(found)
        return
    console = terminal.out()
    console.print(f"gpulr {found['gpulr']}, Python {found['python']}, {found['system']}")
    console.print(", ".join(f"{name} {version}" for name, version in found["versions"].items()))
    for name, value in found["environment"].items():
        console.print(f"{name}={value}", markup=False)
    for blas in found["blas"]:
        console.print(
            f"BLAS: {blas['library']} {blas['version']}, {blas['threads']} threads, "
            f"kernels for {blas['kernels']}",
            markup=False,
        )
    for name, status in found["backends"].items():
        usable = status["usable"]
        console.print(
            f"\n[bold]{name}[/]: {'[green]usable[/]' if usable else '[red]not usable[/]'}"
        )
        for check, outcome in status["checks"]:
            console.print(f"  {check}: {outcome}", markup=False)
        if not usable:
            console.print(f"  why: {status['reason']}", markup=False)
            console.print(f"  what to do: {status['remedy']}", markup=False)
    console.print(f"\nbackend=auto uses {found['auto']} for large work")
    for entry in found["data"]:
        here = "here" if entry["available"] else "not here"
        words = "; ".join(part for part in (here, entry["location"], entry["note"]) if part)
        console.print(f"data {entry['name']}: {words}", markup=False)
