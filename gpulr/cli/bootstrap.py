"""`gpulr bootstrap`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.callbacks import ProgressBar
from gpulr.cli import terminal
from gpulr.cli.checkpoints import check_checkpoint, kept
from gpulr.cli.data import in_a_cell, names_in, read_data, record_of, record_source, say_data
from gpulr.cli.plotting import check_plot, draw
from gpulr.cli.saving import save
from gpulr.cli.tables import table
from gpulr.cli.train import Clock, check_run, checked_settings
from gpulr.cli.workers import check_workers, on_workers, record_data
from gpulr.errors import TrainingInterrupted, WorkersLostError
from gpulr.families.bootstrap import bootstrap as bootstrap_models
from gpulr.families.bootstrap import check_weights
from gpulr.families.intervals import Bootstrap, check_level
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.score_table import MOST_SHOWN
from gpulr.validation.parameters import positive_number, positive_weights
from gpulr.words import counted

PARTS = ("weight", "low", "high")  # of what is told of a feature
ENDS = ("from", "to")
FEATURES = 10  # that are printed and drawn for each class unless told otherwise


def bootstrap(
    *,
    data: str | None = None,
    label: str | None = None,
    features: str | None = None,
    level: float,
    seed: int,
    balanced: bool,
    dask: str | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: float | None = None,
    top: int | None = None,
    output: Path | None = None,
    plot: Path | None = None,
    json: bool,
    **settings: Any,
) -> int:
    """Load, train on resamples, save, print, draw."""
    settings |= {"class_weight": "balanced" if balanced else None, "random_state": seed}
    check_run(settings, 0.0, output)
    check_workers(dask)
    check_checkpoint(checkpoint, checkpoint_every)
    check_plot(plot)
    check_level(level)
    check_weights(settings["weights"])
    positive_number("C", settings["C"], infinite=True)
    positive_weights(settings.get("pos_weight"), 1)
    checked_settings(settings)
    clock, interrupted, columns = Clock(), "", names_in(features)
    dataset, split = read_data(data, label, 0.0, seed, columns)
    clock.lap("load")
    say_data(dataset, settings)
    found: Bootstrap | OneVsAll
    try:
        with (
            kept(checkpoint, checkpoint_every, always=True) as keeping,
            on_workers(dask, dataset, data, label, split, columns) as rows,
        ):
            found = bootstrap_models(**rows, callbacks=[ProgressBar()], **settings, **keeping)
    except (TrainingInterrupted, WorkersLostError) as interruption:
        if interruption.model is None:
            raise
        found = getattr(interruption, "result", None) or interruption.model
        n = found.n_replicates if isinstance(found, Bootstrap) else 0
        interrupted = (
            f"Interrupted after {n} of {counted(settings['n'], 'replicate')}; saved the model of "
            "all rows and these as"
        )
        if isinstance(interruption, WorkersLostError):
            terminal.show_error(str(interruption))
    clock.lap("bootstrap")
    model = found.model if isinstance(found, Bootstrap) else found
    if dask is not None:
        record_data(model, dataset)
    record_source(model, split, label, columns)
    path, code = save(found, output, interrupted=interrupted)
    intervals = found if isinstance(found, Bootstrap) and found.n_replicates > 1 else None
    most = top or (None if json or top == 0 else FEATURES)
    if json:
        record = {**record_of(dataset), **_record(model, intervals, level, most)}
        record |= {"output": path, "seconds": clock.seconds}
        terminal.print_json(record, interrupted=code == terminal.INTERRUPTED)
    elif intervals is not None:
        _show(intervals, level, most, clock.seconds["bootstrap"])
    if plot is not None and intervals is not None:
        n = model.n_features if top == 0 else top or FEATURES
        draw(partial(intervals.plot, level=level, n=n), plot)
    return code


def _record(
    model: OneVsAll, found: Bootstrap | None, level: float, most: int | None
) -> dict[str, Any]:
    own = ("n_features", "classes", "backend", "device", "fallback_reason", "n_iter", "converged")
    record: dict[str, Any] = {name: getattr(model, name) for name in own}
    record |= {name: model.settings[name] for name in ("C", "scale", "max_iter", "tol")}
    record |= {"level": level, "n_replicates": 0, "n_converged": 0, "models": None}
    if found is not None:
        record["n_replicates"] = found.n_replicates
        record["n_converged"] = found.converged.all(axis=1).sum()
        record["models"] = _models(found, level, most)
    return record


def _models(found: Bootstrap, level: float, most: int | None) -> list[dict[str, Any]]:
    """Return of each model how many features' intervals leave 0, and the strongest of these."""
    model, strength = found.model, found.strength(level)
    weights = _with_ends(model.weights, found.coef_interval(level))
    intercepts = _with_ends(model.intercept, found.intercept_interval(level))
    names = model.data.get("feature_names") or range(model.n_features)

    def feature(f: int, j: int) -> dict[str, Any]:
        record = {"feature": names[f], **dict(zip(PARTS, weights[:, f, j], strict=True))}
        std = model.feature_std if found.feature_std is None else found.feature_std
        return record if std is None else record | {"standard_deviation": std[f]}

    told = []
    for j, name in enumerate(model.classes[-model.n_models :]):
        leave, positive = strength[:, j] > 0, weights[0, :, j] > 0
        order = np.argsort(-strength[:, j], kind="stable")[: leave.sum()]
        told.append(
            {
                "label" if model.multilabel else "class": name,
                "n_for": (leave & positive).sum(),
                "n_against": (leave & ~positive).sum(),
                "intercept": dict(zip(PARTS, intercepts[:, j], strict=True)),
                "features": [feature(f, j) for f in order[:most]],
            }
        )
    return told


def _with_ends(weight: Any, ends: tuple[Any, Any]) -> npt.NDArray[np.float64]:
    return np.stack([to_host(each).astype(np.float64) for each in (weight, *ends)])


def _show(found: Bootstrap, level: float, most: int | None, seconds: float) -> None:
    model, share = found.model, f"{100 * level:.4g} %"
    told = _models(found, level, most)
    shown = told[:MOST_SHOWN]
    kind = "label" if model.multilabel else "class"
    rows: list[list[str]] = []
    if model.image_shape is not None:
        headings = [kind, "for it", "against it", "0 within"]
        for each in shown:
            counts = each["n_for"], each["n_against"]
            within = model.n_features - sum(counts)
            rows.append([_name(each), *(f"{n:,}" for n in (*counts, within))])
        title = f"Features by their weights' {share} intervals"
    else:
        headings = [kind, "feature", found.step_words, *ENDS]
        for each in shown:
            rows += _lines(each, 1.0 / model.scale)
        title = f"Features whose weights' {share} intervals leave 0, the strongest first"
    n, k = found.n_replicates, model.n_models
    lines = [
        f"{counted(n, 'replicate')} of {counted(k, 'model')} in {seconds:.2f} s, "
        f"{found.converged.sum():,} of {found.converged.size:,} converged"
    ]
    if len(told) > len(shown):
        lines.insert(0, f"the first {len(shown)} of {k:,} models")
    terminal.show(table(headings, rows, title=title), *lines)


def _lines(told: dict[str, Any], step: float) -> list[list[str]]:
    """Return the lines of a table that are of one model."""
    lines = []
    for each in told["features"]:
        factor = each.get("standard_deviation", step)
        lines.append([in_a_cell(each["feature"]), *(f"{factor * each[p]:.4g}" for p in PARTS)])
    more = told["n_for"] + told["n_against"] - len(lines)
    if more:
        lines.append([f"{more:,} more" if lines else "none", "", "", ""])
    lines = lines or [["none", "", "", ""]]
    return [[_name(told) if not i else "", *line] for i, line in enumerate(lines)]


def _name(told: dict[str, Any]) -> str:
    return in_a_cell(told.get("class", told.get("label")))
