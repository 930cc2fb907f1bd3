"""`gpulr search`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.table import Table

from gpulr import datasets
from gpulr.arguments import inverse_penalties
from gpulr.callbacks import SearchProgressBar
from gpulr.cli import figures, terminal
from gpulr.cli.training import read_data, record_source, save, say_data, say_where
from gpulr.errors import ParameterError, SearchInterrupted
from gpulr.folds import check_number
from gpulr.metrics import MultilabelEvaluation
from gpulr.scoring import LABEL_SCORERS, SCORERS
from gpulr.search_result import Search, search_record
from gpulr.searching import check_search
from gpulr.searching import search as search_models
from gpulr.settings import Settings
from gpulr.storage import check_folder


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


def check_plot(plot: Path | None) -> None:
    """Refuse a chart that could not be written, before anything is trained."""
    if plot is None:
        return
    check_folder(plot, f"--plot {plot}", "path.png")
    from matplotlib.figure import Figure

    known = Figure().canvas.get_supported_filetypes()
    if plot.suffix.lstrip(".").lower() not in known:
        raise ParameterError(
            f"--plot {plot}; expected a file name that ends in .png, .svg or .pdf."
        )


def search(
    *,
    data: str | None,
    label: str | None,
    test_size: float,
    seed: int,
    output: Path | None,
    plot: Path | None,
    as_json: bool,
    settings: dict[str, Any],
) -> None:
    """Load, split if need be, search, evaluate, print, draw, save."""
    if output is not None and not settings["refit"]:
        raise ParameterError("--output saves the refitted model; leave out --no-refit.")
    _check_settings(settings)
    started = time.perf_counter()
    dataset, split = read_data(data, label, test_size, seed)
    loaded = time.perf_counter()
    say_data(dataset, settings)
    try:
        found = search_models(dataset, callbacks=[SearchProgressBar()], **settings)
    except SearchInterrupted as interruption:
        terminal.say(str(interruption).partition(";")[0].rstrip("."))
        if interruption.search is not None:
            _report(interruption.search, dataset, None, {}, plot, as_json)
        raise typer.Exit(terminal.INTERRUPTED) from None
    searched = time.perf_counter()
    tested = None
    if found.model is not None:
        record_source(found.model, split, label)
        found.model.data["search"] = search_record(found) | {"refit": settings["refit"]}
        say_where(found.model)
        if dataset.X_test is not None:
            tested = found.model.evaluate(dataset.X_test, dataset.y_test)
        save(found.model, output)
    seconds = {
        "load": loaded - started,
        "search": searched - loaded,
        "evaluate": time.perf_counter() - searched,
    }
    _report(found, dataset, tested, seconds, plot, as_json)


def _check_settings(settings: dict[str, Any]) -> None:
    """Raise ParameterError for a setting with which no data could be searched."""
    inverse_penalties(settings["Cs"])
    own = ("scale", "standardize", "max_iter", "tol", "dtype")
    check_search(Settings.checked(**{name: settings[name] for name in own}))
    check_number(settings["cv"])
    if settings["scoring"] not in (known := {**SCORERS, **LABEL_SCORERS}):
        raise ParameterError(f"--scoring {settings['scoring']}; use one of {', '.join(known)}.")


def _report(
    found: Search,
    dataset: datasets.Dataset,
    tested: figures.Figures | None,
    seconds: dict[str, float],
    plot: Path | None,
    as_json: bool,
) -> None:
    if plot is not None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 4), layout="constrained")
        found.plot(figure.subplots())
        figure.savefig(plot, dpi=150)
        terminal.say(f"Drew {plot}")
    if as_json:
        terminal.print_json(_record(found, dataset, tested, seconds))
    else:
        _print(found, dataset, tested)


def _record(
    found: Search,
    dataset: datasets.Dataset,
    tested: figures.Figures | None,
    seconds: dict[str, float],
) -> dict[str, Any]:
    model = found.model
    return {
        "data": dataset.name,
        "source": dataset.source,
        "n_train": len(dataset.X),
        "n_test": 0 if dataset.X_test is None else len(dataset.X_test),
        "n_folds": len(found.scores),
        "n_trained": found.converged.size,
        "scoring": found.scoring,
        "Cs": found.Cs,
        "mean_scores": found.mean_scores,
        "standard_errors": found.standard_errors,
        "scores": found.scores,
        "best_C": found.best_C,
        "best_C_1se": found.best_C_1se,
        "refit_C": None if model is None else model.settings["C"],
        "backend": None if model is None else model.backend,
        "device": None if model is None else model.device,
        "fallback_reason": None if model is None else model.fallback_reason,
        "n_iter": found.n_iter.max(axis=(0, 2)),
        "converged": bool(found.converged.all()),
        **_accuracy(tested),
        "seconds": seconds,
    }


def _accuracy(tested: figures.Figures | None) -> dict[str, Any]:
    if isinstance(tested, MultilabelEvaluation):
        return {"test": figures.record(tested)}
    return {"test_accuracy": None if tested is None else tested.accuracy}


def _print(found: Search, dataset: datasets.Dataset, tested: figures.Figures | None) -> None:
    table = Table("C", f"mean {found.scoring}", "standard error", "")
    for C, mean, error in zip(found.Cs, found.mean_scores, found.standard_errors, strict=True):
        marks = [
            *(["best"] if found.best_C == C else []),
            *(["within one standard error"] if found.best_C_1se == C else []),
        ]
        style = "bold" if marks else None
        table.add_row(f"{C:.4g}", f"{mean:.4f}", f"{error:.4f}", ", ".join(marks), style=style)
    console = terminal.out()
    console.print(table)
    n_folds, n_Cs, n_models = found.converged.shape
    one, many = ("label", "labels") if np.ndim(dataset.y) > 1 else ("class", "classes")
    classes = f"{n_models} {many if n_models > 1 else one}"
    console.print(
        f"{found.converged.size} models ({classes} × {n_Cs} values of C × {n_folds} folds) in "
        f"{found.seconds:.2f} s, "
        f"{found.converged.sum()} converged"
    )
    if found.model is not None:
        console.print(f"refitted on all rows with C = {found.model.settings['C']:.4g}")
    if tested is not None:
        console.print(figures.summary(tested, "test")[-1])
