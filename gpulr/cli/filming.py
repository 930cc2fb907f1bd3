"""`gpulr video`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

import gpulr
from gpulr import video
from gpulr.callbacks import ProgressBar
from gpulr.cli import terminal
from gpulr.cli.training import in_words
from gpulr.cli.using import data_for, its_data
from gpulr.errors import ParameterError
from gpulr.video.encoder import check_output, check_size, require_pyav
from gpulr.video.film import Film, Progress, shape_of
from gpulr.words import counted

_OF_SAMPLES = ("samples", "seconds_per_sample", "seed")
_OF_TRAINING = ("solver", "max_iter", "seconds")


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height, of 1280x720 or 1280×720."""
    width, _, height = text.lower().replace("×", "x").partition("x")
    if width.isascii() and width.isdigit() and height.isascii() and height.isdigit():
        return int(width), int(height)
    raise ParameterError(f"--size {text}; expected width and height in pixels, such as 1280x720.")


def film(
    path: Path,
    *,
    output: Path,
    data: str | None,
    label: str | None,
    training: bool,
    size: str,
    fps: int,
    options: dict[str, Any],
    given: set[str],
    as_json: bool,
) -> None:
    """Write a video of a saved model's predictions, or of its training."""
    ignored = given & set(_OF_SAMPLES if training else _OF_TRAINING)
    if ignored:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(ignored))
        why = "--training shows no samples" if training else "only --training trains"
        raise ParameterError(f"{why}; leave out {names}.")
    require_pyav()
    check_output(output)
    common: dict[str, Any] = {"size": parse_size(size), "fps": fps}
    check_size(**common)
    model = gpulr.load(path)
    shape_of(model)  # before data are loaded
    if output.exists() and output.samefile(path):
        raise ParameterError(
            f"--output {output} is the model itself, which would be lost. Choose another path."
        )
    dataset = its_data(model, label) if data is None else data_for(model, data, label)
    terminal.say(in_words(dataset))
    if training:
        settings = {name: options[name] for name in _OF_TRAINING} | common
        with _progress() as progress:
            made = video.training(
                model,
                dataset.X,
                dataset.y,
                output,
                X_test=dataset.X_test,
                y_test=dataset.y_test,
                callbacks=[ProgressBar()],
                progress=progress,
                **settings,
            )
    else:
        X, y = dataset.X, dataset.y
        if dataset.X_test is not None and dataset.y_test is not None:
            X, y = dataset.X_test, dataset.y_test
        if options["samples"] > len(X):
            terminal.say(f"{counted(len(X), 'row')}, of which all are shown")
        with _progress() as progress:
            made = video.predictions(
                model,
                X,
                y,
                output,
                samples=options["samples"],
                seconds=options["seconds_per_sample"],
                seed=options["seed"],
                progress=progress,
                **common,
            )
    _report(path, made, dataset.name, as_json)


def _report(model: Path, made: Film, data: str, as_json: bool) -> None:
    size = made.path.stat().st_size
    terminal.say(
        f"Wrote {made.path}: {made.seconds:g} s, {counted(made.frames, 'frame')}, {size:,} bytes"
    )
    if as_json:
        terminal.print_json(
            {
                "model": model,
                "output": made.path,
                "data": data,
                "frames": made.frames,
                "fps": made.fps,
                "size": made.size,
                "seconds": made.seconds,
                "bytes": size,
                "accuracy": made.accuracy,
                "rows": made.rows,
            }
        )


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show a bar of the frames on standard error; nothing where that is not a terminal."""
    console = terminal.err()
    bar = Bar(
        TextColumn("Frames"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = bar.add_task("frames", total=None)

    def show(done: int, total: int) -> None:
        bar.start()  # not before: training has a bar of its own
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        bar.stop()
