"""`gpulr train`."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from gpulr import datasets
from gpulr.callbacks import ProgressBar
from gpulr.cli import terminal
from gpulr.errors import ParameterError, TrainingInterrupted
from gpulr.metrics import Evaluation
from gpulr.model import OneVsAll
from gpulr.recipes import ITERATIONS, NOTEBOOK, NotebookRun, run_notebook
from gpulr.training import train as train_model


def parse_scale(text: str) -> float | str:
    """Return "auto" or a number; accepts fractions such as 1/16."""
    if text == "auto":
        return text
    try:
        numerator, _, denominator = text.partition("/")
        return float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        raise ParameterError(f"--scale {text}; expected auto, a number, or e.g. 1/255.") from None


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
    _check_output(output)
    started = time.perf_counter()
    dataset = datasets.load_default() if data is None else datasets.load(data, label=label)
    split = None
    if dataset.X_test is None and test_size:
        dataset = dataset.split(test_size=test_size, seed=seed)
        split = {"test_size": test_size, "seed": seed}
    loaded = time.perf_counter()
    terminal.say(str(dataset))
    try:
        model = train_model(dataset, callbacks=[ProgressBar()], **settings)
    except TrainingInterrupted as interruption:
        _save_interrupted(interruption, output, split)
    trained = time.perf_counter()
    _record_split(model, split)
    _say_where(model)
    on_train = model.evaluate(dataset.X, dataset.y)
    on_test = None if dataset.X_test is None else model.evaluate(dataset.X_test, dataset.y_test)
    seconds = {
        "load": loaded - started,
        "train": trained - loaded,
        "evaluate": time.perf_counter() - trained,
    }
    _save(model, output)
    if as_json:
        terminal.print_json(_record(dataset, model, on_train, on_test, seconds))
    else:
        _print(model, on_train, on_test, seconds)


def train_notebook(
    *,
    backend: str,
    max_iter: int | None,
    seed: int,
    output: Path | None,
    as_json: bool,
    data: str | None,
) -> None:
    """Reproduce the notebook and compare its figures."""
    if data not in (None, "mnist-original"):
        raise ParameterError(
            f"--recipe notebook trains on mnist-original; got --data {data}. Leave --data out."
        )
    _check_output(output)
    iterations = ITERATIONS if max_iter is None else max_iter
    terminal.say(f"The notebook: first digit 0 alone, then all ten, {iterations} iterations each")
    split = {"test_size": 0.2, "seed": seed}
    try:
        run = run_notebook(
            backend=backend,
            max_iter=iterations,
            seed=seed,
            callbacks=lambda: [ProgressBar()],
        )
    except TrainingInterrupted as interruption:
        _save_interrupted(interruption, output, split)
    _record_split(run.model, split)
    _say_where(run.model)
    _save(run.model, output)
    if as_json:
        record = _record(run.data, run.model, run.train, run.test, run.seconds)
        record["digit_0_alone"] = {"train": run.digit_0_train, "test": run.digit_0_test}
        record["notebook"] = {
            "digit_0_train": NOTEBOOK.train_digit_0,
            "binary_accuracy": list(NOTEBOOK.test_digits),
            "mean_binary_accuracy": NOTEBOOK.mean_binary,
        }
        terminal.print_json(record)
    else:
        _print_notebook(run)


def _record(
    dataset: datasets.Dataset,
    model: OneVsAll,
    on_train: Evaluation,
    on_test: Evaluation | None,
    seconds: dict[str, float],
) -> dict[str, Any]:
    return {
        "data": dataset.name,
        "source": dataset.source,
        "n_train": len(dataset.X),
        "n_test": 0 if dataset.X_test is None else len(dataset.X_test),
        "n_features": model.n_features,
        "classes": model.classes,
        "backend": model.backend,
        "device": model.device,
        "fallback_reason": model.fallback_reason,
        **{key: model.settings[key] for key in ("solver", "C", "scale", "max_iter", "tol")},
        "n_iter": model.n_iter,
        "converged": model.converged,
        "cost": model.history.cost[-1],
        "train_accuracy": on_train.accuracy,
        "test_accuracy": None if on_test is None else on_test.accuracy,
        "binary_accuracy": None if on_test is None else on_test.binary_accuracy,
        "mean_binary_accuracy": None if on_test is None else on_test.mean_binary_accuracy,
        "seconds": seconds,
    }


def _print(
    model: OneVsAll, on_train: Evaluation, on_test: Evaluation | None, seconds: dict[str, float]
) -> None:
    part, shown = ("train", on_train) if on_test is None else ("test", on_test)
    table = Table("class", f"binary accuracy ({part})", "cost", "iterations", "converged")
    names = model.classes if model.n_models > 1 else model.classes[1:]
    for j, name in enumerate(names):
        table.add_row(
            str(name),
            f"{shown.binary_accuracy[j]:.4f}",
            f"{model.history.cost[-1, j]:.5f}",
            str(model.history.n_iter[j]),
            "yes" if model.history.converged[j] else "no",
        )
    console = terminal.out()
    console.print(table)
    console.print(f"mean of the binary accuracies ({part})  {shown.mean_binary_accuracy:.4f}")
    console.print(f"multiclass accuracy (train)           {on_train.accuracy:.4f}")
    if on_test is not None:
        console.print(f"multiclass accuracy (test)            {on_test.accuracy:.4f}")
    console.print(
        f"{model.n_models} models in {seconds['train']:.1f} s: {model.n_iter} iterations of "
        f"{model.settings['solver']} on {model.backend} ({model.device})"
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


def _say_where(model: OneVsAll) -> None:
    if model.fallback_reason:
        terminal.say(f"Trained on {model.backend}: {model.fallback_reason}")


def _record_split(model: OneVsAll, split: dict[str, Any] | None) -> None:
    """Keep in the model which rows were held out, so that `evaluate` finds the same ones."""
    if split is not None:
        model.data["split"] = split


def _check_output(output: Path | None) -> None:
    """Refuse, before hours of training, a path to which nothing can be saved."""
    if output is not None and (output.is_dir() or not output.absolute().parent.is_dir()):
        raise ParameterError(
            f"--output {output}: expected a file name in a folder that exists. "
            f"Create {output.absolute().parent} first, or choose another path."
        )


def _save(model: OneVsAll, output: Path | None) -> None:
    if output is None:
        terminal.say("The model was not saved; --output model.safetensors keeps it")
    else:
        model.save(output)
        terminal.say(f"Saved {output}")


def _save_interrupted(
    interruption: TrainingInterrupted, output: Path | None, split: dict[str, Any] | None
) -> None:
    """Save the model so far, to a new name if none was given, and exit."""
    output = output or Path(f"interrupted-{secrets.token_hex(3)}.safetensors")
    _record_split(interruption.model, split)
    interruption.model.save(output)
    terminal.say(
        f"Interrupted after {interruption.model.n_iter} iterations; saved the model so far "
        f"as {output}"
    )
    raise typer.Exit(terminal.INTERRUPTED)
