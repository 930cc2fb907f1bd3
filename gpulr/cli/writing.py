"""`gpulr report`, `gpulr export` and `gpulr video`: a file that is made from a saved model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpulr.callbacks import ProgressBar, rich_bar
from gpulr.cli import terminal
from gpulr.cli.data import data_for, say_dataset
from gpulr.datasets.dataset import test_rows
from gpulr.errors import DataError, DataFileError, DataUnavailableError, ParameterError
from gpulr.families import intervals
from gpulr.model.export import save_joblib
from gpulr.model.one_vs_all import OneVsAll, load
from gpulr.output_files import check_folder
from gpulr.reporting import page
from gpulr.words import counted

if TYPE_CHECKING:
    from gpulr.video.film import Film

FORMATS = {".onnx": "for ONNX Runtime and the like", ".joblib": "scikit-learn's estimator, pickled"}
OF_SAMPLES = ("samples", "seconds_per_sample", "seed", "mistakes")
OF_TRAINING = ("solver", "max_iter", "seconds")


def report(
    *, path: Path, data: str | None = None, label: str | None = None, output: Path, json: bool
) -> None:
    """Write a page on a saved model, evaluated on ``data`` or on what it was trained on.

    Data that was named has to be there; without, a page of what the model's file says is better
    than none.
    """
    page.check_output(output, "--output")
    found, dataset, name, n, absent = intervals.read(path), None, None, 0, ""
    replicates = found if isinstance(found, intervals.Bootstrap) else None
    model = found if isinstance(found, OneVsAll) else found.model
    try:
        dataset = data_for(model, data, label)
    except (DataError, DataFileError, DataUnavailableError) as error:
        if data is not None:
            raise
        absent = str(error)
        terminal.say(f"Not evaluated: {' '.join(absent.splitlines())}")
    else:
        name, n = dataset.name, len(test_rows(dataset)[1])
    beside: dict[str, Any] = {"search": model.data.get("search"), "replicates": replicates}
    page.write(model, output, dataset, None, **beside, absent=absent)
    size = terminal.say_written(output)
    if json:
        terminal.print_json({"model": path, "output": output, "data": name, "n": n, "bytes": size})


def export(*, path: Path, output: Path, input_dtype: str | None = None, json: bool) -> None:
    """Write a saved model in the format that the suffix of ``output`` names."""
    check_folder(output, f"--output {output}", "model.onnx")
    suffix = output.suffix.lower()
    if suffix not in FORMATS:
        known = ", ".join(f"{name} ({what})" for name, what in FORMATS.items())
        raise ParameterError(f"--output {output}: the suffix names the format; use {known}.")
    if suffix == ".joblib" and input_dtype is not None:
        raise ParameterError(
            f"--input-dtype {input_dtype} is for .onnx; scikit-learn's estimators take any. Leave "
            "it out."
        )
    model = load(path)
    _not_the_model(output, path)
    if suffix == ".onnx":
        model.to_onnx(output, input_dtype=input_dtype)
    else:
        save_joblib(model, output)
    size = terminal.say_written(output)
    if json:
        record = {"model": path, "output": output, "format": suffix.lstrip("."), "bytes": size}
        terminal.print_json(record)


def film(
    *,
    path: Path,
    data: str | None = None,
    label: str | None = None,
    output: Path,
    training: bool,
    size: str,
    fps: int,
    write: Callable[..., Film],
    given: set[str],
    json: bool,
    **options: Any,
) -> None:
    """Write a video of a saved model's predictions, or of its training: what ``write`` writes."""
    from gpulr.video.film import checked, shape_of

    if refused := given & set(OF_SAMPLES if training else OF_TRAINING):
        why = "--training shows no samples" if training else "only --training trains"
        raise ParameterError(f"{why}; leave out {terminal.options(refused)}.")
    how: dict[str, Any] = {"size": _parse_size(size), "fps": fps}
    checked(output, **how)
    model = load(path)
    if not training or model.image_shape is not None:
        shape_of(model)  # before data are loaded
    _not_the_model(output, path)
    dataset = data_for(model, data, label)
    say_dataset(dataset)
    if training:
        X, y = dataset.X, dataset.y
        how |= {name: options[name] for name in OF_TRAINING}
        how |= {"X_test": dataset.X_test, "y_test": dataset.y_test, "callbacks": [ProgressBar()]}
    else:
        _, X, y = test_rows(dataset)
        if options["samples"] > len(X) and not options["mistakes"]:
            terminal.say(f"{counted(len(X), 'row')}, of which all are shown")
        how |= {"samples": options["samples"], "seed": options["seed"]}
        how["mistakes"] = options["mistakes"]
        how["seconds"] = options["seconds_per_sample"]
    with _frames_bar() as progress:
        made = write(model, X, y, output, progress=progress, **how)
    n_bytes = terminal.say_written(output, f"{made.seconds:g} s, {counted(made.frames, 'frame')}")
    if json:
        record = {"model": path, "output": output, "data": dataset.name, "bytes": n_bytes}
        own = ("frames", "fps", "size", "seconds", "accuracy", "rows")
        terminal.print_json(record | {name: getattr(made, name) for name in own})


def _not_the_model(output: Path, model: Path) -> None:
    """Refuse to write something else over the model that it is made from."""
    if output.exists() and output.samefile(model):
        raise ParameterError(
            f"--output {output} is the model itself, which would be lost. Choose another path."
        )


def _parse_size(text: str) -> tuple[int, int]:
    """Return width and height, of 1280x720 or 1280×720."""
    width, _, height = text.lower().replace("×", "x").partition("x")
    if width.isascii() and width.isdigit() and height.isascii() and height.isdigit():
        return int(width), int(height)
    raise ParameterError(f"--size {text}; expected width and height in pixels, such as 1280x720.")


@contextmanager
def _frames_bar() -> Iterator[Any]:
    """Show a bar of the frames on standard error; nothing where that is not a terminal."""
    bar = rich_bar(terminal.err())
    task = bar.add_task("Frames", total=None, state="", success=True)

    def show(done: int, total: int) -> None:
        bar.start()  # not before: training has a bar of its own
        bar.update(task, completed=done, total=total, state=f"{done:,}/{total:,}")

    try:
        yield show
    finally:
        bar.stop()
