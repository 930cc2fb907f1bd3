"""`gpulr search`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gpulr.callbacks import SearchProgressBar
from gpulr.cli import evaluate, terminal
from gpulr.cli.checkpoints import check_checkpoint, kept
from gpulr.cli.data import names_in, read_data, record_of, record_source, say_data
from gpulr.cli.plotting import check_plot, draw
from gpulr.cli.saving import save
from gpulr.cli.tables import table
from gpulr.cli.train import Clock, check_run, checked_settings
from gpulr.cli.workers import check_workers, on_workers, record_data
from gpulr.datasets import Dataset
from gpulr.errors import ParameterError, SearchInterrupted, WorkersLostError
from gpulr.families.folds import check_number
from gpulr.families.search import check_search
from gpulr.families.search import search as search_models
from gpulr.families.search_result import Search, search_record
from gpulr.model.evaluation import MultilabelEvaluation
from gpulr.model.scores import check_score
from gpulr.validation.parameters import inverse_penalties, positive_weights
from gpulr.words import counted


def search(
    *,
    data: str | None = None,
    label: str | None = None,
    features: str | None = None,
    test_size: float,
    seed: int,
    folds: int,
    one_standard_error: bool,
    balanced: bool,
    dask: str | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: float | None = None,
    output: Path | None = None,
    plot: Path | None = None,
    json: bool,
    **settings: Any,
) -> int:
    """Load, split if need be, search, save, evaluate, print, draw."""
    if not settings["refit"] and one_standard_error:
        raise ParameterError("--one-standard-error chooses what is refitted; leave out --no-refit.")
    settings |= {"cv": folds, "class_weight": "balanced" if balanced else None}
    if one_standard_error:
        settings["refit"] = "1se"
    check_run(settings, test_size, output)
    check_workers(dask)
    check_checkpoint(checkpoint, checkpoint_every)
    check_plot(plot)
    if output is not None and not settings["refit"]:
        raise ParameterError("--output saves the refitted model; leave out --no-refit.")
    settings["Cs"] = parse_values(settings["Cs"])
    _check_settings(settings)
    clock = Clock()
    columns = names_in(features)
    dataset, split = read_data(data, label, test_size, seed, columns)
    clock.lap("load")
    say_data(dataset, settings)
    found, tested, path, code = None, None, None, 0
    try:
        with (
            kept(checkpoint, checkpoint_every, always=True) as keeping,
            on_workers(dask, dataset, data, label, split, columns) as rows,
        ):
            bar = [SearchProgressBar()]
            found = search_models(**rows, callbacks=bar, **settings, **keeping)
    except SearchInterrupted as interruption:
        terminal.say(str(interruption).partition(";")[0].rstrip("."))
        code, found = terminal.INTERRUPTED, interruption.search
    except WorkersLostError as lost:
        if lost.search is None:
            raise
        terminal.show_error(str(lost))
        code, found = terminal.INTERRUPTED, lost.search
    clock.lap("search")
    if found is not None and found.model is not None:
        if dask is not None:
            record_data(found.model, dataset)
        record_source(found.model, split, label, columns)
        found.model.data["search"] = {**search_record(found), "refit": settings["refit"]}
        path, code = save(found.model, output)  # before anything else that could fail
        if dataset.X_test is not None:
            tested = found.model.evaluate(dataset.X_test, dataset.y_test)
    clock.lap("evaluate")
    if json:
        record = {**record_of(dataset), **_record(found), **_accuracy(tested)}
        record |= {"test_score": _test_score(found, tested)}
        record |= {"output": path, "seconds": clock.seconds}
        terminal.print_json(record, interrupted=code == terminal.INTERRUPTED)
    elif found is not None:
        _show(found, dataset, tested)
    if plot is not None and found is not None:
        draw(found.plot, plot)
    return code


def parse_values(text: str) -> int | list[float]:
    """Return how many values of C, or the values: "10", "0.1,1,10,inf", or a single one, "1,"."""
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
        if values and ("," in text or not text.strip().lstrip("+-").isdigit()):
            return values
    except ValueError:
        values = []
    if not values or values[0] < 2:
        raise ParameterError(
            f"--Cs {text}; expected how many values, at least 2, or values with commas between "
            "them, e.g. 0.01,1,100 (a single one: 1,)."
        )
    return int(text)


def _check_settings(settings: dict[str, Any]) -> None:
    """Raise ParameterError for a setting with which no data could be searched."""
    inverse_penalties(settings["Cs"])
    positive_weights(settings.get("pos_weight"), 1)
    check_search(checked_settings(settings))
    check_number(settings["cv"])
    check_score(settings["scoring"])


def _record(found: Search | None) -> dict[str, Any]:
    if found is None:  # interrupted before the first C was done
        return {
            **dict.fromkeys(("Cs", "mean_scores", "standard_errors", "scores"), ()),
            **dict.fromkeys(("best_C", "best_C_1se", "refit_C")),
        }
    own = ("scoring", "Cs", "mean_scores", "standard_errors", "scores", "best_C", "best_C_1se")
    model = found.model
    return {
        "n_folds": len(found.scores),
        "n_trained": found.converged.size,
        **{name: getattr(found, name) for name in own},
        "refit_C": None if model is None else model.settings["C"],
        **{name: getattr(model, name, None) for name in ("backend", "device", "fallback_reason")},
        "n_iter": found.n_iter.max(axis=(0, 2)),
        "converged": bool(found.converged.all()),
    }


def _test_score(found: Search | None, tested: evaluate.Figures | None) -> float | None:
    """Return what the refitted model reaches on test rows by the score that chose its C."""
    return None if found is None or tested is None else tested.averages.get(found.scoring)


def _accuracy(tested: evaluate.Figures | None) -> dict[str, Any]:
    if isinstance(tested, MultilabelEvaluation):
        return {"test": evaluate.record(tested)}
    return {"test_accuracy": None if tested is None else tested.accuracy}


def _show(found: Search, dataset: Dataset, tested: evaluate.Figures | None) -> None:
    several = np.ndim(dataset.y) > 1
    subset = " (all labels of a row right)" if several and found.scoring == "accuracy" else ""
    headings = ["C", f"mean {found.scoring}{subset}", "standard error", ""]
    rows, styles = [], []
    for C, mean, error in zip(found.Cs, found.mean_scores, found.standard_errors, strict=True):
        marks = {"best": found.best_C, "within one standard error": found.best_C_1se}
        words = ", ".join(filter(None, (_marked(*mark, C) for mark in marks.items())))
        rows.append([f"{C:.4g}", f"{mean:.4f}", f"{error:.4f}", words])
        styles.append("bold" if words else None)
    n_folds, n_Cs, n_models = found.converged.shape
    kinds = ("label", "labels") if several else ("class", "classes")
    counts = (counted(n_models, *kinds), f"{counted(n_Cs, 'value')} of C", counted(n_folds, "fold"))
    lines = [
        f"{counted(found.converged.size, 'model')} ({' × '.join(counts)}) in "
        f"{found.seconds:.2f} s, {found.converged.sum()} converged"
    ]
    if found.model is not None:
        C = found.model.settings["C"]
        own = "the C of each model" if isinstance(C, list) else f"C = {C:.4g}"
        lines.append(f"refitted on all rows with {own}")
    if tested is not None:
        if (score := _test_score(found, tested)) is not None and found.scoring != "accuracy":
            lines.append(f"{found.scoring} (test)  {score:.4f}")
        lines.append(evaluate.summary(tested, "test")[0])
    terminal.show(table(headings, rows, styles=styles), *lines)


def _marked(mark: str, choice: Any, C: float) -> str:
    """Return the mark of a C that is the choice, or of how many models it is that of each."""
    if np.ndim(choice) == 0:
        return mark if choice == C else ""
    return f"{mark} of {counted(n, 'model')}" if (n := int(np.sum(choice == C))) else ""
