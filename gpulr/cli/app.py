"""The commands and their options."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gpulr._version import __version__
from gpulr.backend import BACKENDS
from gpulr.cli import terminal
from gpulr.cli.terminal import guarded
from gpulr.errors import ParameterError

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


_BACKENDS = ("auto", *BACKENDS)


class Recipe(StrEnum):
    """Prepared runs."""

    notebook = "notebook"


_NO_VALUE = ""  # Typer would show a value, <bool>, which flags do not take
JsonOption = Annotated[
    bool, typer.Option("--json", metavar=_NO_VALUE, help="Print one JSON object.")
]
LabelOption = Annotated[
    str | None,
    typer.Option(
        help="Label column of a .csv or .tsv: its name, or its index from 0. Default: the one that "
        "the model remembers; else label, class, target or y; else the only one of text; else "
        "the first."
    ),
]
DATA_HELP = (
    "mnist, mnist-original, digits, or a path: .csv or .tsv (also .gz), .npz, .mat, IDX images, or "
    "a folder of the four IDX files."
)


def _version(value: bool) -> None:
    if value:
        print(f"gpulr {__version__}")
        raise typer.Exit


@app.callback()
def _gpulr(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar=_NO_VALUE,
            callback=_version,
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    pass


@app.command()
@guarded("training")
def train(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Option(help=DATA_HELP + " Default: MNIST, or the bundled digits without network."),
    ] = None,
    label: LabelOption = None,
    backend: Annotated[
        str, typer.Option(help=f"Where to compute: {', '.join(_BACKENDS)}.")
    ] = "auto",
    solver: Annotated[
        str, typer.Option(help="Optimisation method: lbfgs, nesterov (accelerated), gd (textbook).")
    ] = "lbfgs",
    C: Annotated[
        float, typer.Option("--C", help="Inverse regularisation strength; inf for none.")
    ] = 1.0,
    scale: Annotated[
        str, typer.Option(help="Multiply the features by this; auto: 1/255 for uint8, else 1.")
    ] = "auto",
    standardize: Annotated[
        bool,
        typer.Option(
            "--standardize", metavar=_NO_VALUE, help="Mean 0 and standard deviation 1 per feature."
        ),
    ] = False,
    balanced: Annotated[
        bool,
        typer.Option(
            "--balanced", metavar=_NO_VALUE, help="Give every class the same total weight."
        ),
    ] = False,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Fixed step size of gd and nesterov. Default: from the curvature."),
    ] = None,
    max_iter: Annotated[
        int | None, typer.Option(help="Most iterations. Default: 2000; 600 for the notebook.")
    ] = None,
    tol: Annotated[
        float, typer.Option(help="Stop at gradients this small; 0: exactly --max-iter iterations.")
    ] = 1e-4,
    dtype: Annotated[str, typer.Option(help="Precision: float32 or float64.")] = "float32",
    batched: Annotated[
        bool,
        typer.Option(
            "--batched/--loop",
            metavar=_NO_VALUE,
            help="All models at once, or one after the other.",
        ),
    ] = True,
    test_size: Annotated[
        float, typer.Option(help="Share of rows to hold out where the data has no test part.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Of that shuffle.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Save the model, e.g. model.safetensors.")
    ] = None,
    recipe: Annotated[
        Recipe | None, typer.Option(help="notebook: the original notebook, reproduced.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Train one-vs-all models, all classes at once, and report their accuracy."""
    from gpulr.cli import training

    training.check_options(
        backend, _BACKENDS, test_size, output, given=_given(context), recipe=recipe
    )
    if recipe is not None:
        training.train_notebook(
            backend=backend,
            max_iter=max_iter,
            seed=seed,
            output=output,
            as_json=json,
        )
        return
    training.train(
        data=data,
        label=label,
        test_size=test_size,
        seed=seed,
        output=output,
        as_json=json,
        settings={
            "backend": backend,
            "solver": solver,
            "C": C,
            "scale": training.parse_scale(scale),
            "standardize": standardize,
            "class_weight": "balanced" if balanced else None,
            "learning_rate": learning_rate,
            "tol": tol,
            "dtype": dtype,
            "batched": batched,
            **({} if max_iter is None else {"max_iter": max_iter}),
        },
    )


def _given(context: typer.Context) -> set[str]:
    """Return the names of the options that stand on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


@app.command()
@guarded("searching")
def search(
    data: Annotated[
        str | None,
        typer.Option(help=DATA_HELP + " Default: MNIST, or the bundled digits without network."),
    ] = None,
    label: LabelOption = None,
    Cs: Annotated[
        str, typer.Option("--Cs", help="How many values from 1e-4 to 1e4, or values: 0.01,1,100.")
    ] = "10",
    folds: Annotated[int, typer.Option(help="Number of stratified folds.")] = 5,
    scoring: Annotated[
        str, typer.Option(help="accuracy, balanced_accuracy or neg_log_loss, on held-out rows.")
    ] = "accuracy",
    refit: Annotated[
        bool,
        typer.Option(
            "--refit/--no-refit",
            metavar=_NO_VALUE,
            help="Train a model on all rows with the best C.",
        ),
    ] = True,
    one_standard_error: Annotated[
        bool,
        typer.Option(
            "--one-standard-error",
            metavar=_NO_VALUE,
            help="Refit with the smallest C within one standard error of the best instead.",
        ),
    ] = False,
    backend: Annotated[
        str, typer.Option(help=f"Where to compute: {', '.join(_BACKENDS)}.")
    ] = "auto",
    scale: Annotated[
        str, typer.Option(help="Multiply the features by this; auto: 1/255 for uint8, else 1.")
    ] = "auto",
    standardize: Annotated[
        bool,
        typer.Option(
            "--standardize",
            metavar=_NO_VALUE,
            help="Mean 0 and standard deviation 1 per feature, of all rows.",
        ),
    ] = False,
    balanced: Annotated[
        bool,
        typer.Option(
            "--balanced", metavar=_NO_VALUE, help="Give every class the same total weight."
        ),
    ] = False,
    max_iter: Annotated[int, typer.Option(help="Most iterations for each C.")] = 2000,
    tol: Annotated[float, typer.Option(help="Stop at gradients this small.")] = 1e-4,
    dtype: Annotated[str, typer.Option(help="Precision: float32 or float64.")] = "float32",
    test_size: Annotated[
        float, typer.Option(help="Share of rows to hold out where the data has no test part.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Of that shuffle.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Save the refitted model.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the scores along C, e.g. path.png.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Choose C by cross-validation: every class, C and fold trained together."""
    from gpulr.cli import searching, training

    training.check_options(backend, _BACKENDS, test_size, output, given=set(), recipe=None)
    searching.check_plot(plot)
    if one_standard_error and not refit:
        raise ParameterError("--one-standard-error chooses what is refitted; leave out --no-refit.")
    searching.search(
        data=data,
        label=label,
        test_size=test_size,
        seed=seed,
        output=output,
        plot=plot,
        as_json=json,
        settings={
            "Cs": searching.parse_values(Cs),
            "cv": folds,
            "scoring": scoring,
            "refit": "1se" if one_standard_error else refit,
            "backend": backend,
            "scale": training.parse_scale(scale),
            "standardize": standardize,
            "class_weight": "balanced" if balanced else None,
            "max_iter": max_iter,
            "tol": tol,
            "dtype": dtype,
        },
    )


ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A file that `gpulr train --output` wrote.")
]


@app.command()
@guarded("using")
def evaluate(
    model: ModelArgument,
    data: Annotated[
        str | None, typer.Option(help=DATA_HELP + " Default: what the model was trained on.")
    ] = None,
    label: LabelOption = None,
    json: JsonOption = False,
) -> None:
    """Report a model's accuracy on the test part of its data, or on other data."""
    from gpulr.cli import using

    using.evaluate(model, data=data, label=label, as_json=json)


@app.command()
@guarded("using")
def predict(
    model: ModelArgument,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Image files (.png, .jpg, …) or a folder of them, a .npy file of rows, or a data "
            "set. A .csv with as many columns as the model has features needs no label column."
        ),
    ],
    label: LabelOption = None,
    rows: Annotated[
        int | None,
        typer.Option(min=0, help="Most rows to print, 0: all. Default: 20, and all with --json."),
    ] = None,
    framed: Annotated[
        Path | None,
        typer.Option(help="Write what the model sees of each image file to this folder."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Predict the class of images, or of the rows of data files."""
    from gpulr.cli import using

    using.predict(model, inputs, label=label, rows=rows, framed=framed, as_json=json)


@app.command()
@guarded("reporting")
def report(
    model: ModelArgument,
    data: Annotated[
        str | None,
        typer.Option(
            help=DATA_HELP + " Default: what the model was trained on, where that can be had."
        ),
    ] = None,
    label: LabelOption = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The page, one .html file; replaced if there.")
    ] = Path("report.html"),
    json: JsonOption = False,
) -> None:
    """Write a page on a model: figures, mistakes, weights, and a canvas to draw on."""
    from gpulr.cli import reporting

    reporting.report(model, data=data, label=label, output=output, as_json=json)


@app.command()
@guarded("exporting")
def export(
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="model.onnx, or model.joblib for scikit-learn's estimator."
        ),
    ],
    input_dtype: Annotated[
        str | None,
        typer.Option(help="Of X in .onnx, e.g. uint8. Default: what the model was trained on."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a model for other software: an ONNX file, or scikit-learn's estimator."""
    from gpulr.cli import exporting

    exporting.export(model, output=output, input_dtype=input_dtype, as_json=json)


@app.command()
@guarded("filming")
def video(
    context: typer.Context,
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The video, e.g. digits.mp4.")],
    data: Annotated[
        str | None, typer.Option(help=DATA_HELP + " Default: what the model was trained on.")
    ] = None,
    label: LabelOption = None,
    samples: Annotated[int, typer.Option(help="How many rows to show, drawn at random.")] = 60,
    seconds_per_sample: Annotated[float, typer.Option(help="How long each is shown.")] = 1.5,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
    training: Annotated[
        bool,
        typer.Option(
            "--training", metavar=_NO_VALUE, help="Show the weights while they are trained again."
        ),
    ] = False,
    solver: Annotated[
        str, typer.Option(help="With --training, how: gd (textbook), nesterov, lbfgs.")
    ] = "gd",
    max_iter: Annotated[int, typer.Option(help="With --training, how many iterations.")] = 300,
    seconds: Annotated[float, typer.Option(help="With --training, length of the video.")] = 12.0,
    size: Annotated[str, typer.Option(help="Width and height in pixels.")] = "1280x720",
    fps: Annotated[int, typer.Option(help="Frames per second.")] = 30,
    json: JsonOption = False,
) -> None:
    """Film a model at work, sample by sample, or its weights in training (extra: video)."""
    from gpulr.cli import filming

    filming.film(
        model,
        output=output,
        data=data,
        label=label,
        training=training,
        size=size,
        fps=fps,
        options={
            "samples": samples,
            "seconds_per_sample": seconds_per_sample,
            "seed": seed,
            "solver": solver,
            "max_iter": max_iter,
            "seconds": seconds,
        },
        given=_given(context),
        as_json=json,
    )


@app.command()
@guarded("using")
def data(
    name: Annotated[
        str | None, typer.Argument(help=DATA_HELP + " Without: what is on this machine.")
    ] = None,
    label: LabelOption = None,
    json: JsonOption = False,
) -> None:
    """List the data sets, or load one (downloading it if need be) and describe it."""
    from gpulr.cli import using

    using.data(name, label=label, as_json=json)


@app.command()
@guarded("diagnosing")
def doctor(json: JsonOption = False) -> None:
    """Report what was found on this machine, and why a backend cannot be used."""
    from gpulr.cli import diagnosing

    diagnosing.doctor(as_json=json)


def run() -> int:
    """Run the command line, and return its exit code."""
    return terminal.run(app)
