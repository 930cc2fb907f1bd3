"""`gpulr train`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import typer
from rich.table import Column, Table

from gpulr.callbacks import ProgressBar
from gpulr.cli import figures, terminal
from gpulr.cli.checks import check_run, parse_scale
from gpulr.cli.inputs import read_data, record_of, record_source, say_data
from gpulr.cli.saving import save, save_interrupted, say_where
from gpulr.datasets import Dataset
from gpulr.errors import TrainingInterrupted
from gpulr.families.settings import Settings
from gpulr.families.training import train as train_model
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.scores import MultilabelEvaluation
from gpulr.validation.parameters import positive_number
from gpulr.words import counted


def train(
    data: str | None,
    label: str | None,
    test_size: float,
    seed: int,
    *,
    output: Path | None,
    as_json: bool,
    settings: dict[str, Any],
) -> None:
    """Load, split if need be, train, save, evaluate, print."""
    check_run(settings["backend"], test_size, output)
    settings = settings | {"scale": parse_scale(settings["scale"])}
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
    saved = save_interrupted(model, output) if interrupted else save(model, output)
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
        found = record_of_run(dataset, model, on_train, on_test, seconds) | {"output": saved.path}
        terminal.print_json(found | {"interrupted": True} if interrupted else found)
    else:
        _show(model, on_train, on_test, seconds["train"])
    saved.leave(interrupted)


def _check_settings(settings: dict[str, Any]) -> None:
    """Raise ParameterError for a setting that no data could be trained with."""
    positive_number("C", settings["C"], infinite=True)
    own = ("solver", "scale", "standardize", "learning_rate", "tol", "dtype")
    max_iter = settings.get("max_iter", 0)  # left out: the library's own, which can be used
    Settings(max_iter=max_iter, **{name: settings[name] for name in own})


def record_of_run(
    dataset: Dataset,
    model: OneVsAll,
    on_train: figures.Figures,
    on_test: figures.Figures | None,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Return what a training was and what came of it, for JSON."""
    if isinstance(on_train, MultilabelEvaluation):
        accuracies: dict[str, Any] = {
            "train": figures.record(on_train),
            "test": None if on_test is None else figures.record(on_test),
        }
    else:
        test = {} if on_test is None else figures.record(on_test)
        accuracies = {
            "train_accuracy": on_train.accuracy,
            "test_accuracy": test.get("accuracy"),
            **{name: test.get(name) for name in ("binary_accuracy", "mean_binary_accuracy")},
        }
    return {**record_of(dataset), **record_of_model(model), **accuracies, "seconds": seconds}


def record_of_model(model: OneVsAll) -> dict[str, Any]:
    """Return how a model was trained, for JSON."""
    own = ("n_features", "classes", "backend", "device", "fallback_reason")
    return {
        **{name: getattr(model, name) for name in own},
        **{name: model.settings[name] for name in ("solver", "C", "scale", "max_iter", "tol")},
        "n_iter": model.n_iter,
        "converged": model.converged,
        "cost": model.history.cost[-1],
    }


def _show(
    model: OneVsAll, on_train: figures.Figures, on_test: figures.Figures | None, seconds: float
) -> None:
    part, shown = ("train", on_train) if on_test is None else ("test", on_test)
    name, *numbers = figures.model_columns(shown, part)
    table = Table(Column(name, overflow="fold"))
    for heading in (*numbers, "cost", "iterations", "converged"):
        table.add_column(heading, no_wrap=True)  # names give way
    history = model.history
    own = (history.cost[-1], history.n_iter, history.converged)
    for row, cost, n_iter, converged in zip(figures.model_rows(shown), *own, strict=True):
        table.add_row(*row, f"{cost:.5f}", str(n_iter), "yes" if converged else "no")
    terminal.show(
        table,
        *figures.summary(shown, part)[:-1],
        figures.summary(on_train, "train")[-1],
        *([] if on_test is None else [figures.summary(on_test, "test")[-1]]),
        f"{counted(model.n_models, 'model')} in {seconds:.2f} s: "
        f"{counted(model.n_iter, 'iteration')} of {model.settings['solver']} on {model.backend} "
        f"({model.device})",
    )
