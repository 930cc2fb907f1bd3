"""The commands' options; what they do is in the file of their name, imported when they are run."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gpulr._version import __version__
from gpulr.cli import terminal
from gpulr.cli.options import (
    DATA,
    Backend,
    Balanced,
    DType,
    Json,
    Label,
    ModelFile,
    Scale,
    Seed,
    TestSize,
    TrainingData,
    data_option,
    flag,
    option,
)
from gpulr.cli.signals import exit_quietly
from gpulr.cli.terminal import Task, guarded
from gpulr.errors import ParameterError, needs_extra

app = typer.Typer(
    name="gpulr",
    help="Train whole families of one-vs-all logistic models at once, as one weight matrix.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 bad data, 4 backend unavailable, 130 "
    "interrupted. A model that cannot be written where it should be goes to the folder "
    "GPULR_RESCUE, or another; the last line on standard error names it.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


class Recipe(StrEnum):
    """Prepared runs."""

    notebook = "notebook"


def run_and_exit() -> NoReturn:
    """Run the command that the process was started with, and end the process."""
    exit_quietly(terminal.run(app))


def _version(value: bool) -> None:
    if value:
        terminal.show(f"gpulr {__version__}")
        raise typer.Exit


@app.callback()
def _gpulr(
    version: Annotated[
        bool,
        option("Print the version.", "--version", metavar="", callback=_version, is_eager=True),
    ] = False,
) -> None:
    pass


@app.command()
@guarded
def train(
    context: typer.Context,
    data: TrainingData = None,
    label: Label = None,
    backend: Backend = "auto",
    solver: Annotated[
        str, option("Optimisation method: lbfgs, nesterov (accelerated), gd (textbook).")
    ] = "lbfgs",
    C: Annotated[float, option("Inverse regularisation strength; inf for none.", "--C")] = 1.0,
    scale: Scale = "auto",
    standardize: Annotated[
        bool, flag("Mean 0 and standard deviation 1 per feature.", "--standardize")
    ] = False,
    balanced: Balanced = False,
    learning_rate: Annotated[
        float | None,
        option("Fixed step size of gd and nesterov. Default: from the curvature."),
    ] = None,
    max_iter: Annotated[
        int | None, option("Most iterations. Default: 2000; 600 for the notebook.")
    ] = None,
    tol: Annotated[
        float, option("Stop at gradients this small; 0: exactly --max-iter iterations.")
    ] = 1e-4,
    dtype: DType = "float32",
    batched: Annotated[
        bool, flag("All models at once, or one after the other.", "--batched/--loop")
    ] = True,
    test_size: TestSize = 0.2,
    seed: Seed = 0,
    output: Annotated[
        Path | None, option("Save the model, e.g. model.safetensors.", "--output", "-o")
    ] = None,
    recipe: Annotated[Recipe | None, option("notebook: the original notebook, reproduced.")] = None,
    json: Json = False,
) -> Task:
    """Train one-vs-all models, all classes at once, and report their accuracy."""
    if recipe is not None:
        from gpulr.cli.notebook import reproduce

        given = _given(context)
        return partial(
            reproduce,
            backend=backend,
            max_iter=max_iter,
            seed=seed,
            output=output,
            as_json=json,
            given=given,
        )
    from gpulr.cli.train import train

    settings = {"backend": backend, "solver": solver, "C": C, "tol": tol, "dtype": dtype}
    settings |= {"scale": scale, "standardize": standardize, "batched": batched}
    settings |= {"class_weight": "balanced" if balanced else None, "learning_rate": learning_rate}
    if max_iter is not None:
        settings["max_iter"] = max_iter
    split = (test_size, seed)
    return partial(train, data, label, *split, output=output, as_json=json, settings=settings)


def _given(context: typer.Context) -> set[str]:
    """Return the names of the options that stand on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


@app.command()
@guarded
def search(
    data: TrainingData = None,
    label: Label = None,
    Cs: Annotated[
        str, option("How many values from 1e-4 to 1e4, or values: 0.01,1,100.", "--Cs")
    ] = "10",
    folds: Annotated[int, option("Number of stratified folds.")] = 5,
    scoring: Annotated[
        str, option("accuracy, balanced_accuracy or neg_log_loss, on held-out rows.")
    ] = "accuracy",
    refit: Annotated[
        bool, flag("Train a model on all rows with the best C.", "--refit/--no-refit")
    ] = True,
    one_standard_error: Annotated[
        bool,
        flag(
            "Refit with the smallest C within one standard error of the best instead.",
            "--one-standard-error",
        ),
    ] = False,
    backend: Backend = "auto",
    scale: Scale = "auto",
    standardize: Annotated[
        bool, flag("Mean 0 and standard deviation 1 per feature, of all rows.", "--standardize")
    ] = False,
    balanced: Balanced = False,
    max_iter: Annotated[int, option("Most iterations for each C.")] = 2000,
    tol: Annotated[float, option("Stop at gradients this small.")] = 1e-4,
    dtype: DType = "float32",
    test_size: TestSize = 0.2,
    seed: Seed = 0,
    output: Annotated[Path | None, option("Save the refitted model.", "--output", "-o")] = None,
    plot: Annotated[Path | None, option("Draw the scores along C, e.g. path.png.")] = None,
    json: Json = False,
) -> Task:
    """Choose C by cross-validation: every class, C and fold trained together."""
    from gpulr.cli.search import search

    settings = {"Cs": Cs, "cv": folds, "scoring": scoring, "backend": backend, "scale": scale}
    settings |= {"refit": "1se" if refit and one_standard_error else refit}
    settings |= {"class_weight": "balanced" if balanced else None, "standardize": standardize}
    settings |= {"max_iter": max_iter, "tol": tol, "dtype": dtype}
    if one_standard_error and not refit:
        raise ParameterError("--one-standard-error chooses what is refitted; leave out --no-refit.")
    files = (output, plot)
    split = (test_size, seed)
    return partial(search, data, label, *split, *files, as_json=json, settings=settings)


@app.command()
@guarded
def evaluate(
    model: ModelFile,
    data: Annotated[str | None, data_option("what the model was trained on.")] = None,
    label: Label = None,
    json: Json = False,
) -> Task:
    """Report a model's accuracy on the test part of its data, or on other data."""
    from gpulr.cli.evaluate import evaluate

    return partial(evaluate, model, data, label, as_json=json)


@app.command()
@guarded
def predict(
    model: ModelFile,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Image files (.png, .jpg, …) or a folder of them, a .npy file of rows, or a data "
            "set. A .csv with as many columns as the model has features needs no label column."
        ),
    ],
    label: Label = None,
    rows: Annotated[
        int | None,
        option("Most rows to print, 0: all. Default: 20, and all with --json.", min=0),
    ] = None,
    framed: Annotated[
        Path | None, option("Write what the model sees of each image file to this folder.")
    ] = None,
    json: Json = False,
) -> Task:
    """Predict the class of images, or of the rows of data files."""
    from gpulr.cli.predict import predict

    return partial(predict, model, inputs, label=label, rows=rows, framed=framed, as_json=json)


@app.command()
@guarded
def report(
    model: ModelFile,
    data: Annotated[
        str | None, data_option("what the model was trained on, where that can be had.")
    ] = None,
    label: Label = None,
    output: Annotated[
        Path, option("The page, one .html file; replaced if there.", "--output", "-o")
    ] = Path("report.html"),
    json: Json = False,
) -> Task:
    """Write a page on a model: figures, mistakes, weights, and a canvas to draw on."""
    from gpulr.cli.report import report

    return partial(report, model, data, label, output=output, as_json=json)


@app.command()
@guarded
def export(
    model: ModelFile,
    output: Annotated[
        Path, option("model.onnx, or model.joblib for scikit-learn's estimator.", "--output", "-o")
    ],
    input_dtype: Annotated[
        str | None,
        option("Of X in .onnx, e.g. uint8. Default: what the model was trained on."),
    ] = None,
    json: Json = False,
) -> Task:
    """Write a model for other software: an ONNX file, or scikit-learn's estimator."""
    from gpulr.cli.export import export

    return partial(export, model, output=output, input_dtype=input_dtype, as_json=json)


@app.command()
@guarded
def video(
    context: typer.Context,
    model: ModelFile,
    output: Annotated[Path, option("The video, e.g. digits.mp4.", "--output", "-o")],
    data: Annotated[str | None, data_option("what the model was trained on.")] = None,
    label: Label = None,
    samples: Annotated[int, option("How many rows to show, drawn at random.")] = 60,
    seconds_per_sample: Annotated[float, option("How long each is shown.")] = 1.5,
    seed: Annotated[int, option("Of the draw.", min=0)] = 0,
    training: Annotated[
        bool, flag("Show the weights while they are trained again.", "--training")
    ] = False,
    solver: Annotated[str, option("With --training, how: gd (textbook), nesterov, lbfgs.")] = "gd",
    max_iter: Annotated[int, option("With --training, how many iterations.")] = 300,
    seconds: Annotated[float, option("With --training, length of the video.")] = 12.0,
    size: Annotated[str, option("Width and height in pixels.")] = "1280x720",
    fps: Annotated[int, option("Frames per second.")] = 30,
    json: Json = False,
) -> Task:
    """Film a model at work, sample by sample, or its weights in training (extra: video)."""
    with needs_extra("video", "Videos need PyAV and Pillow"):
        from gpulr.cli.video import OF_SAMPLES, OF_TRAINING, film

    return partial(
        film,
        *(model, data, label),
        output=output,
        training=training,
        size=size,
        fps=fps,
        options={name: context.params[name] for name in (*OF_SAMPLES, *OF_TRAINING)},
        given=_given(context),
        as_json=json,
    )


@app.command()
@guarded
def data(
    name: Annotated[
        str | None, typer.Argument(help=DATA + " Without: what is on this machine.")
    ] = None,
    label: Label = None,
    json: Json = False,
) -> Task:
    """List the data sets, or load one (downloading it if need be) and describe it."""
    from gpulr.cli.data import describe, list_all

    return partial(list_all, json) if name is None else partial(describe, name, label, json)


@app.command()
@guarded
def doctor(json: Json = False) -> Task:
    """Report what was found on this machine, and why a backend cannot be used."""
    from gpulr.cli.doctor import doctor

    return partial(doctor, as_json=json)
