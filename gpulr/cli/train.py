"""`gpulr train`, and what it shares with `gpulr search`: checks, a clock, and what is told."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from gpulr.backend import BACKENDS
from gpulr.callbacks import ProgressBar
from gpulr.cli import evaluate, terminal
from gpulr.cli.checkpoints import check_checkpoint, kept
from gpulr.cli.data import names_in, read_data, record_of, record_source, say_data, say_refinements
from gpulr.cli.refining import refined, rule_of
from gpulr.cli.saving import save, unfinished
from gpulr.cli.tables import table
from gpulr.cli.workers import check_workers, on_workers, record_data
from gpulr.datasets import Dataset
from gpulr.errors import ParameterError, TrainingInterrupted, WorkersLostError
from gpulr.families.settings import Settings
from gpulr.families.training import train as train_model
from gpulr.model.evaluation import MultilabelEvaluation
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.storage import check_suffix, is_model
from gpulr.output_files import check_folder
from gpulr.validation.parameters import positive_number, positive_weights
from gpulr.words import counted, did_you_mean


class Clock:
    """The seconds that the parts of a command take."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, part: str) -> None:
        """End a part."""
        before, self._since = self._since, time.perf_counter()
        self.seconds[part] = self._since - before


def train(
    *,
    data: str | None = None,
    label: str | None = None,
    features: str | None = None,
    test_size: float,
    seed: int,
    balanced: bool,
    calibrate: bool = False,
    thresholds: str | None = None,
    dask: str | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: float | None = None,
    output: Path | None = None,
    json: bool,
    **settings: Any,
) -> int:
    """Load, split if need be, train, refine, save, evaluate, print."""
    settings["class_weight"] = "balanced" if balanced else None
    rule = None if thresholds is None else rule_of(thresholds)
    check_run(settings, test_size, output)
    check_workers(dask)
    check_checkpoint(checkpoint, checkpoint_every)
    positive_number("C", settings["C"], infinite=True)
    positive_weights(settings.get("pos_weight"), 1)
    checked_settings(settings)
    clock, interrupted = Clock(), ""
    columns = names_in(features)
    dataset, split = read_data(data, label, test_size, seed, columns)
    clock.lap("load")
    say_data(dataset, settings)
    try:
        with (
            kept(checkpoint, checkpoint_every) as keeping,
            on_workers(dask, dataset, data, label, split, columns) as rows,
        ):
            model = train_model(**rows, callbacks=[ProgressBar()], **settings, **keeping)
    except (TrainingInterrupted, WorkersLostError) as interruption:
        if interruption.model is None:
            raise
        model = interruption.model
        interrupted = unfinished(model)
        if isinstance(interruption, WorkersLostError):
            terminal.show_error(str(interruption))
    if dask is not None:
        record_data(model, dataset)
    clock.lap("train")
    record_source(model, split, label, columns)
    if (calibrate or rule is not None) and not interrupted:
        try:
            model = refined(model, dataset, settings, seed=seed, calibrate=calibrate, rule=rule)
        except TrainingInterrupted:
            interrupted = (
                "Interrupted while refining; saved the trained model, without thresholds or "
                "calibration, as"
            )
        except Exception:
            save(model, output)
            raise
        clock.lap("refine")
        say_refinements(model)
    # Before anything else that could fail: training may have taken hours.
    path, code = save(model, output, interrupted=interrupted)
    if code == terminal.INTERRUPTED and not json:
        return code
    on_train = model.evaluate(dataset.X, dataset.y)
    on_test = None if dataset.X_test is None else model.evaluate(dataset.X_test, dataset.y_test)
    clock.lap("evaluate")
    if json:
        record = record_of_run(dataset, model, on_train, on_test, clock) | {"output": path}
        terminal.print_json(record, interrupted=code == terminal.INTERRUPTED)
    else:
        _show(model, on_train, on_test, clock.seconds["train"])
    return code


def check_run(settings: dict[str, Any], test_size: float, output: Path | None) -> None:
    """Refuse, before data are loaded, a backend, a share of test rows or a file for the model.

    The scale becomes what the library takes.
    """
    backend, known = settings["backend"], ("auto", *BACKENDS)
    if backend not in known:
        near = did_you_mean(backend, known)
        raise ParameterError(f"--backend {backend}{near}; use one of {', '.join(known)}.")
    if not 0 <= test_size < 1:
        raise ParameterError(
            f"--test-size {test_size}: test_size is a share of the rows, from 0 to below 1."
        )
    if output is not None:
        subject = f"--output {output}"
        check_folder(output, subject, "model.safetensors")
        if output.is_file() and not is_model(output):
            raise ParameterError(
                f"{subject}: that file exists and is no gpulr model; it would be lost. Choose "
                "another path."
            )
        check_suffix(output, subject)
    if "scale" in settings:
        settings["scale"] = _parse_scale(settings["scale"])


def _parse_scale(text: str) -> float | str | None:
    """Return "auto", None or a number; accepts fractions such as 1/16."""
    if text.lower() in ("auto", "none"):
        return "auto" if text.lower() == "auto" else None
    try:
        numerator, _, denominator = text.partition("/")
        return float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        raise ParameterError(f"--scale {text}; expected auto, a number, or e.g. 1/255.") from None


def checked_settings(settings: dict[str, Any]) -> Settings:
    """Raise ParameterError for a setting with which no data could be trained."""
    own = {name: settings[name] for name in Settings.__dataclass_fields__ if name in settings}
    return Settings(**{"max_iter": 0} | own)  # left out: the library's own


def record_of_run(
    dataset: Dataset,
    model: OneVsAll,
    on_train: evaluate.Figures,
    on_test: evaluate.Figures | None,
    clock: Clock,
) -> dict[str, Any]:
    """Return what a training was and what came of it, for JSON."""
    test = None if on_test is None else evaluate.record(on_test)
    if isinstance(on_train, MultilabelEvaluation):
        accuracies: dict[str, Any] = {"train": evaluate.record(on_train), "test": test}
    else:
        own, test = ("binary_accuracy", "mean_binary_accuracy"), test or {}
        accuracies = {"train_accuracy": on_train.accuracy, "test_accuracy": test.get("accuracy")}
        accuracies |= {name: test.get(name) for name in own}
    about = {**record_of(dataset), **record_of_model(model)}
    return {**about, **accuracies, "seconds": clock.seconds}


def record_of_model(model: OneVsAll) -> dict[str, Any]:
    """Return how a model was trained, for JSON."""
    own = ("n_features", "classes", "backend", "device", "fallback_reason", "n_iter", "converged")
    return {
        **{name: getattr(model, name) for name in own},
        **{name: model.settings[name] for name in ("solver", "C", "scale", "max_iter", "tol")},
        "cost": model.history.cost[-1],
        "refinements": model.refinements,
        "thresholds": model.thresholds,
    }


def _show(
    model: OneVsAll, on_train: evaluate.Figures, on_test: evaluate.Figures | None, seconds: float
) -> None:
    part, shown = ("train", on_train) if on_test is None else ("test", on_test)
    headings, rows = evaluate.by_model(shown, part)
    headings += ["cost", "iterations", "converged"]
    history = model.history
    ends = zip(history.cost[-1], history.n_iter, history.converged, strict=True)
    words = ([f"{cost:.5f}", str(n), "yes" if done else "no"] for cost, n, done in ends)
    lines = [a + b for a, b in zip(rows, words, strict=True)]
    which = None
    if len(lines) == len(shown.table):  # and not one model of two classes
        places, which = evaluate.lowest(shown)
        lines = [lines[j] for j in places]
    first, *others = evaluate.summary(shown, part)
    terminal.show(
        first,
        *([] if on_test is None else [evaluate.summary(on_train, "train")[0]]),
        *others,
        table(headings, lines, title=which),
        f"{counted(model.n_models, 'model')} in {seconds:.2f} s: "
        f"{counted(model.n_iter, 'iteration')} of {model.settings['solver']} on {model.backend} "
        f"({model.device})",
    )
