"""`gpulr train`."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer
from rich.table import Column, Table

from gpulr import datasets
from gpulr.callbacks import ProgressBar
from gpulr.cli import figures, saving, terminal
from gpulr.cli.notebook import ITERATIONS, NOTEBOOK, NotebookRun, run_notebook
from gpulr.datasets.reading import is_table
from gpulr.errors import ParameterError, TrainingInterrupted
from gpulr.families.settings import Settings
from gpulr.families.training import train as train_model
from gpulr.model.metrics import MultilabelEvaluation
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import SplitRecord
from gpulr.model.storage import SUFFIX, check_suffix, is_model
from gpulr.output_files import check_folder
from gpulr.validation.parameters import positive_number, whole_number
from gpulr.words import counted, did_you_mean


def parse_scale(text: str) -> float | str | None:
    """Return "auto", None or a number; accepts fractions such as 1/16."""
    if text.lower() in ("auto", "none"):
        return text.lower() if text.lower() == "auto" else None
    try:
        numerator, _, denominator = text.partition("/")
        return float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        raise ParameterError(f"--scale {text}; expected auto, a number, or e.g. 1/255.") from None


def read_data(
    data: str | None, label: str | None, test_size: float, seed: int
) -> tuple[datasets.Dataset, SplitRecord | None]:
    """Load a data set, hold rows out where it has no test part, and return how that was done."""
    dataset = datasets.load_default() if data is None else datasets.load(data, label=label)
    if dataset.X_test is not None or not test_size:
        return dataset, None
    split: SplitRecord = {"test_size": test_size, "seed": seed}
    return dataset.split(test_size=test_size, seed=seed), split


def train(
    *,
    data: str | None,
    label: str | None,
    test_size: float,
    seed: int,
    output: Path | None,
    as_json: bool,
    settings: dict[str, Any],
) -> None:
    """Load, split if need be, train, evaluate, print, save."""
    _check_settings(settings)
    started = time.perf_counter()
    dataset, split = read_data(data, label, test_size, seed)
    loaded = time.perf_counter()
    say_data(dataset, settings)
    interrupted = False
    try:
        model = train_model(dataset, callbacks=[ProgressBar()], **settings)
    except TrainingInterrupted as interruption:
        interrupted, model = True, interruption.model
    trained = time.perf_counter()
    record_source(model, split, label)
    # Before anything else that could fail: training may have taken hours.
    saved = _save_interrupted(model, output) if interrupted else save(model, output)
    interrupted = interrupted or saved.interrupted
    if interrupted and not as_json:
        raise typer.Exit(terminal.INTERRUPTED)
    say_where(model)
    on_train = model.evaluate(dataset.X, dataset.y)
    on_test = None if dataset.X_test is None else model.evaluate(dataset.X_test, dataset.y_test)
    seconds = {
        "load": loaded - started,
        "train": trained - loaded,
        "evaluate": time.perf_counter() - trained,
    }
    if as_json:
        found = _record(dataset, model, on_train, on_test, seconds) | {"output": saved.path}
        terminal.print_json(found | {"interrupted": True} if interrupted else found)
    else:
        _print(model, on_train, on_test, seconds)
    if interrupted or not saved.as_asked:
        raise typer.Exit(terminal.INTERRUPTED if interrupted else terminal.FAILED)


def _check_settings(settings: dict[str, Any]) -> None:
    """Raise ParameterError for a setting that no data could be trained with."""
    positive_number("C", settings["C"], infinite=True)
    own = ("solver", "scale", "standardize", "learning_rate", "tol", "dtype")
    max_iter = settings.get("max_iter", 0)  # left out: the library's own, which can be used
    Settings.checked(max_iter=max_iter, **{name: settings[name] for name in own})


def train_notebook(
    *,
    backend: str,
    max_iter: int | None,
    seed: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Reproduce the notebook and compare its figures."""
    iterations = ITERATIONS if max_iter is None else whole_number("max_iter", max_iter, least=0)
    each = counted(iterations, "iteration")
    terminal.say(f"The notebook: first digit 0 alone, then all ten, {each} each")
    split: SplitRecord = {"test_size": 0.2, "seed": seed}
    try:
        run = run_notebook(
            backend=backend,
            max_iter=iterations,
            seed=seed,
            callbacks=lambda: [ProgressBar()],
        )
    except TrainingInterrupted as interruption:
        model = interruption.model
        record_source(model, split, None)
        saved = _save_interrupted(model, output)
        if as_json:  # without accuracies: the data went with the run
            known = {"data": "mnist-original", **_of_model(model)}
            terminal.print_json({**known, "interrupted": True, "output": saved.path})
        raise typer.Exit(terminal.INTERRUPTED) from None
    record_source(run.model, split, None)
    say_where(run.model)
    saved = save(run.model, output)
    if as_json:
        record = _record(run.data, run.model, run.train, run.test, run.seconds)
        record["digit_0_alone"] = {"train": run.digit_0_train, "test": run.digit_0_test}
        record["notebook"] = {
            "digit_0_train": NOTEBOOK.train_digit_0,
            "binary_accuracy": list(NOTEBOOK.test_digits),
            "mean_binary_accuracy": NOTEBOOK.mean_binary,
        }
        terminal.print_json(record | {"output": saved.path})
    else:
        _print_notebook(run)
    if not saved.as_asked:
        raise typer.Exit(terminal.FAILED)


def _record(
    dataset: datasets.Dataset,
    model: OneVsAll,
    on_train: figures.Figures,
    on_test: figures.Figures | None,
    seconds: dict[str, float],
) -> dict[str, Any]:
    return {
        "data": dataset.name,
        "source": dataset.source,
        "n_train": len(dataset.X),
        "n_test": 0 if dataset.X_test is None else len(dataset.X_test),
        **_of_model(model),
        **_accuracies(on_train, on_test),
        "seconds": seconds,
    }


def _of_model(model: OneVsAll) -> dict[str, Any]:
    return {
        "n_features": model.n_features,
        "classes": model.classes,
        "backend": model.backend,
        "device": model.device,
        "fallback_reason": model.fallback_reason,
        **{key: model.settings[key] for key in ("solver", "C", "scale", "max_iter", "tol")},
        "n_iter": model.n_iter,
        "converged": model.converged,
        "cost": model.history.cost[-1],
    }


def _accuracies(on_train: figures.Figures, on_test: figures.Figures | None) -> dict[str, Any]:
    if isinstance(on_train, MultilabelEvaluation):
        return {
            "train": figures.record(on_train),
            "test": None if on_test is None else figures.record(on_test),
        }
    assert not isinstance(on_test, MultilabelEvaluation)  # of the same model
    return {
        "train_accuracy": on_train.accuracy,
        "test_accuracy": None if on_test is None else on_test.accuracy,
        "binary_accuracy": None if on_test is None else on_test.binary_accuracy,
        "mean_binary_accuracy": None if on_test is None else on_test.mean_binary_accuracy,
    }


def _print(
    model: OneVsAll,
    on_train: figures.Figures,
    on_test: figures.Figures | None,
    seconds: dict[str, float],
) -> None:
    part, shown = ("train", on_train) if on_test is None else ("test", on_test)
    name, *numbers = figures.model_columns(shown, part)
    table = Table(Column(name, overflow="fold"))
    for heading in (*numbers, "cost", "iterations", "converged"):
        table.add_column(heading, no_wrap=True)  # names give way
    for j, row in enumerate(figures.model_rows(shown)):
        table.add_row(
            *row,
            f"{model.history.cost[-1, j]:.5f}",
            str(model.history.n_iter[j]),
            "yes" if model.history.converged[j] else "no",
        )
    console = terminal.out()
    console.print(table)
    for line in (*figures.summary(shown, part)[:-1], figures.summary(on_train, "train")[-1]):
        console.print(line)
    if on_test is not None:
        console.print(figures.summary(on_test, "test")[-1])
    console.print(
        f"{counted(model.n_models, 'model')} in {seconds['train']:.2f} s: "
        f"{counted(model.n_iter, 'iteration')} of {model.settings['solver']} on {model.backend} "
        f"({model.device})"
    )


def _print_notebook(run: NotebookRun) -> None:
    table = Table("digit", "test accuracy", "notebook", "difference", title="One model per digit")
    for digit, accuracy in enumerate(run.test.binary_accuracy):
        theirs = NOTEBOOK.test_digits[digit] if digit < len(NOTEBOOK.test_digits) else None
        table.add_row(str(digit), f"{accuracy:.4f}", *_compared(accuracy, theirs))
    mean = run.test.mean_binary_accuracy
    table.add_section()
    table.add_row("mean of the ten", f"{mean:.4f}", *_compared(mean, NOTEBOOK.mean_binary))
    console = terminal.out()
    console.print(
        f"Digit 0 alone: train accuracy {run.digit_0_train:.5f} (notebook "
        f"{NOTEBOOK.train_digit_0:.5f}), test accuracy {run.digit_0_test:.4f} (notebook "
        f"{NOTEBOOK.test_digits[0]:.4f})"
    )
    console.print(table)
    console.print(
        "The notebook prints the mean of the ten as the accuracy of the One-Vs-All model: "
        "answering “not this digit” every time would already score 0.90 there."
    )
    console.print(
        f"multiclass accuracy (the digit with the largest margin): train {run.train.accuracy:.4f}, "
        f"test {run.test.accuracy:.4f}"
    )


def _compared(ours: float, theirs: float | None) -> tuple[str, str]:
    return ("–", "–") if theirs is None else (f"{theirs:.4f}", f"{ours - theirs:+.4f}")


def in_words(dataset: datasets.Dataset) -> str:
    """Return what a data set is, for the first line that a command prints."""
    rows, features = counted(dataset.n_samples, "row"), counted(dataset.n_features, "feature")
    if dataset.X_test is not None:
        rows += f" to train on, {len(dataset.X_test):,} to test on"
    parts = [rows, f"{features} ({dataset.X.dtype})"]
    if dataset.image_shape is not None:
        parts.append(f"images of {'×'.join(map(str, dataset.image_shape))}")
    if dataset.label_name is not None:
        parts.append(f"label {dataset.label_name!r}")
    return f"{dataset.name}: {', '.join(parts)}; from {dataset.source}"


def say_data(dataset: datasets.Dataset, settings: dict[str, Any]) -> None:
    """Tell what the data are, and what a table of whole numbers is taken for."""
    terminal.say(in_words(dataset))
    if dataset.image_shape is None or not is_table(dataset.source):
        return
    shape = "×".join(map(str, dataset.image_shape))
    scaled = settings["scale"] == "auto" and not settings["standardize"]
    terminal.say(
        f"{dataset.source}: whole numbers from 0 to 255, taken for {shape} pixels"
        + (", divided by 255; --scale 1 leaves them as they are" if scaled else "")
    )


def say_where(model: OneVsAll) -> None:
    """Tell of a backend that was not to be had."""
    if model.fallback_reason:
        terminal.say(f"Trained on {model.backend}: {' '.join(model.fallback_reason.split())}")


def record_source(model: OneVsAll, split: SplitRecord | None, label: str | None) -> None:
    """Keep in the model what finds its data, and the rows held out, again for `evaluate`."""
    if split is not None:
        model.data["split"] = split
    if label is not None:
        model.data.setdefault("label", label)  # an index; the name goes before it
    source = Path(str(model.data.get("source", "")))
    with suppress(OSError):  # the working folder is gone
        if source.exists():
            model.data["source"] = str(source.absolute())


def check_options(
    backend: str,
    backends: tuple[str, ...],
    test_size: float,
    output: Path | None,
    *,
    given: set[str],
    recipe: object,
) -> None:
    """Refuse what cannot work before anything is loaded, let alone trained for hours."""
    if recipe is not None:
        ignored = given - {"recipe", "backend", "max_iter", "seed", "output", "json"}
        if ignored:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(ignored))
            raise ParameterError(
                "--recipe notebook trains on mnist-original with the notebook's settings; leave "
                f"out {names}."
            )
    if backend not in backends:
        raise ParameterError(
            f"--backend {backend}{did_you_mean(backend, backends)}; use one of "
            f"{', '.join(backends)}."
        )
    if not 0 <= test_size < 1:
        raise ParameterError(
            f"--test-size {test_size}: test_size is a share of the rows, from 0 to below 1."
        )
    if output is None:
        return
    check_folder(output, f"--output {output}", "model.safetensors")
    if output.is_file() and not is_model(output):
        raise ParameterError(
            f"--output {output}: that file exists and is no gpulr model; it would be lost. Choose "
            "another path."
        )
    check_suffix(output, f"--output {output}")


def save(model: OneVsAll, output: Path | None) -> saving.Saved:
    """Save the model, or say how it would have been."""
    if output is None:
        terminal.say("The model was not saved; --output model.safetensors keeps it")
        return saving.Saved(None, as_asked=True)
    return saving.save(model, output)


def _save_interrupted(model: OneVsAll, output: Path | None) -> saving.Saved:
    """Save the model so far, to a new name if none was given."""
    path = output or Path(f"interrupted-{secrets.token_hex(3)}{SUFFIX}")
    done = counted(model.n_iter, "iteration")
    return saving.save(model, path, f"Interrupted after {done}; saved the model so far as")
