"""`gpulr video`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpulr import video
from gpulr.callbacks import ProgressBar, rich_bar
from gpulr.cli import inputs, terminal
from gpulr.cli.checks import in_options, not_the_model
from gpulr.errors import ParameterError
from gpulr.model.one_vs_all import load
from gpulr.video.encoder import check_output, check_size, require_pyav
from gpulr.video.film import Film, Progress, shape_of
from gpulr.words import counted

OF_SAMPLES = ("samples", "seconds_per_sample", "seed")
OF_TRAINING = ("solver", "max_iter", "seconds")


def film(
    path: Path,
    data: str | None,
    label: str | None,
    *,
    output: Path,
    training: bool,
    size: str,
    fps: int,
    options: dict[str, Any],
    given: set[str],
    as_json: bool,
) -> None:
    """Write a video of a saved model's predictions, or of its training."""
    if refused := given & set(OF_SAMPLES if training else OF_TRAINING):
        why = "--training shows no samples" if training else "only --training trains"
        raise ParameterError(f"{why}; leave out {in_options(refused)}.")
    require_pyav()
    check_output(output)
    how: dict[str, Any] = {"size": _parse_size(size), "fps": fps}
    check_size(**how)
    model = load(path)
    shape_of(model)  # before data are loaded
    not_the_model(output, path)
    dataset = inputs.data_for(model, data, label)
    inputs.say_dataset(dataset)
    write: Any = video.training if training else video.predictions
    if training:
        how |= {name: options[name] for name in OF_TRAINING}
        how |= {"X_test": dataset.X_test, "y_test": dataset.y_test, "callbacks": [ProgressBar()]}
        X, y = dataset.X, dataset.y
    else:
        _, X, y = inputs.test_rows(dataset)
        if options["samples"] > len(X):
            terminal.say(f"{counted(len(X), 'row')}, of which all are shown")
        how |= {name: options[name] for name in ("samples", "seed")}
        how["seconds"] = options["seconds_per_sample"]
    with _progress() as progress:
        made = write(model, X, y, output, progress=progress, **how)
    _report(path, made, dataset.name, as_json)


def _parse_size(text: str) -> tuple[int, int]:
    """Return width and height, of 1280x720 or 1280×720."""
    width, _, height = text.lower().replace("×", "x").partition("x")
    if width.isascii() and width.isdigit() and height.isascii() and height.isdigit():
        return int(width), int(height)
    raise ParameterError(f"--size {text}; expected width and height in pixels, such as 1280x720.")


def _report(model: Path, made: Film, data: str, as_json: bool) -> None:
    what = f"{made.seconds:g} s, {counted(made.frames, 'frame')}"
    size = terminal.say_written(made.path, what)
    if as_json:
        own = ("frames", "fps", "size", "seconds")
        record = {"model": model, "output": made.path, "data": data}
        record |= {name: getattr(made, name) for name in own} | {"bytes": size}
        terminal.print_json(record | {"accuracy": made.accuracy, "rows": made.rows})


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show a bar of the frames on standard error; nothing where that is not a terminal."""
    bar = rich_bar(terminal.err())
    task = bar.add_task("Frames", total=None)

    def show(done: int, total: int) -> None:
        bar.start()  # not before: training has a bar of its own
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        bar.stop()
