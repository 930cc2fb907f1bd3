"""The commands' options; what they do is in files that are imported when they are run.

Each function here has the options of a command as its parameters, and returns the function that is
then called with them; those that are None are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import typer

from gpulr._version import __version__
from gpulr.cli import terminal
from gpulr.cli.terminal import Task, guarded
from gpulr.errors import needs_extra

app = typer.Typer(
    name="gpulr",
    help="Train whole families of one-vs-all logistic models at once, as one weight matrix.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 bad data, 4 backend unavailable, 130 "
    "interrupted (143 by SIGTERM). A model that cannot be written to its path goes to the folder "
    "GPULR_RESCUE, or to another; the last line on standard error names the file.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


class Recipe(StrEnum):
    """Prepared runs."""

    notebook = "notebook"


def option(default: Any, words: str, *names: str, **how: Any) -> Any:
    """Return an option; without ``names``, of the name that its parameter has."""
    return typer.Option(default, *names, help=words, **how)


def flag(names: str, words: str, **how: Any) -> Any:
    """Return an option that takes no value (Typer would show one, <bool>): on if it has an off."""
    return typer.Option("/" in names, names, help=words, metavar="", **how)


DATA = (
    "mnist, mnist-original, digits, or a path: .csv or .tsv (also .gz), .npz, .mat, IDX images, or "
    "a folder of the four IDX files; or, read block by block: .npy with labels beside it, "
    ".parquet, a folder of either, .zarr, .h5, .h5ad."
)
COLUMN = "Column that holds the labels: its name, or for .csv and .tsv files its number, from 0."
USUAL = "the one named label, class, target or y; else the only text column; else the first."

DATA_TO_TRAIN = option(None, f"{DATA} Default: MNIST, or the bundled digits without a network.")
DATA_OF_MODEL = option(None, f"{DATA} Default: what the model was trained on.")
LABEL = option(None, f"{COLUMN} Default: {USUAL}")
FEATURES = option(
    None,
    "Columns to train on, for Parquet, .csv and .tsv files with column names: height,width. "
    "Default: all but the label.",
)
LABEL_OF_MODEL = option(None, f"{COLUMN} Default: the one that the model remembers; else {USUAL}")
MODEL = typer.Argument(metavar="MODEL", help="A file that `gpulr train --output` wrote.")
JSON = flag("--json", "Print one JSON object.")
BACKEND = option("auto", "Where to compute: auto, numpy, cupy, torch.")
SCALE = option("auto", "Multiply the features by this; auto: 1/255 for uint8, else 1.")
BALANCED = flag(
    "--balanced", "Give positive and negative rows of each model the same total weight."
)
POS_WEIGHT = option(None, "Weight of each model's positive rows; the others weigh 1.")
DTYPE = option("float32", "Precision: float32 or float64.")
DASK = option(
    None,
    "Train on the workers of a Dask cluster: local:4 starts four on this machine; or the address "
    "of a scheduler whose workers see the same files.",
)
CHECKPOINT = option(
    None,
    "A file, e.g. run.ckpt, to save the progress to: the same command resumes from it.",
)
CHECKPOINT_EVERY = option(
    60.0, "Seconds between writes of the checkpoint; 0: after each iteration.", min=0.0
)
TEST_SIZE = option(0.2, "Share of rows to hold out for testing, if the data have no test part.")
SEED = option(0, "Any whole number; a different one holds out different rows for testing.", min=0)


def command(function: Callable[..., Task]) -> Callable[..., None]:
    """Add a command of this function's name, options and help."""
    run: Callable[..., None] = app.command()(guarded(function))
    return run


def _given(context: typer.Context) -> set[str]:
    """Return the names of the options that stand on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _version(value: bool) -> None:
    if value:
        terminal.show(f"gpulr {__version__}")
        raise typer.Exit


@app.callback()
def _gpulr(
    version: bool = flag("--version", "Print the version.", callback=_version, is_eager=True),
) -> None:
    pass


@command
def train(
    context: typer.Context,
    data: str | None = DATA_TO_TRAIN,
    label: str | None = LABEL,
    features: str | None = FEATURES,
    backend: str = BACKEND,
    solver: str = option("lbfgs", "How to train: lbfgs, nesterov (accelerated), gd (textbook)."),
    C: float = option(1.0, "Inverse regularisation strength; inf for none.", "--C"),
    scale: str = SCALE,
    standardize: bool = flag("--standardize", "Mean 0 and standard deviation 1 per feature."),
    balanced: bool = BALANCED,
    pos_weight: float | None = POS_WEIGHT,
    learning_rate: float | None = option(
        None, "Fixed step size of gd and nesterov. Default: from the curvature."
    ),
    max_iter: int | None = option(
        None, "Maximum number of iterations. Default: 2000; 600 for the notebook."
    ),
    tol: float = option(1e-4, "Stop at gradients this small; 0: exactly --max-iter iterations."),
    dtype: str = DTYPE,
    dask: str | None = DASK,
    batched: bool = flag("--batched/--loop", "Train all models at once, or one after the other."),
    calibrate: bool = flag(
        "--calibrate", "Calibrate probabilities by out-of-fold margins (five folds)."
    ),
    thresholds: str | None = option(
        None,
        "Choose a threshold for each label, by the same margins: f1 (the largest), precision=0.9 "
        "or recall=0.9 (at least).",
    ),
    test_size: float = TEST_SIZE,
    seed: int = SEED,
    checkpoint: Path | None = CHECKPOINT,
    checkpoint_every: float = CHECKPOINT_EVERY,
    output: Path | None = option(None, "Save the model, e.g. model.safetensors.", "--output", "-o"),
    recipe: Recipe | None = option(None, "notebook: reproduce the original notebook."),
    json: bool = JSON,
) -> Task:
    """Train one-vs-all models, all classes at once, and report their accuracy."""
    if recipe is not None:
        from gpulr.cli.notebook import reproduce

        return partial(reproduce, given=_given(context))
    from gpulr.cli.train import train

    return train


@command
def search(
    data: str | None = DATA_TO_TRAIN,
    label: str | None = LABEL,
    features: str | None = FEATURES,
    Cs: str = option("10", "Number of values from 1e-4 to 1e4, or the values: 0.01,1,100.", "--Cs"),
    folds: int = option(5, "Number of stratified folds.", "--folds", "--cv"),
    scoring: str = option(
        "accuracy",
        "Score on held-out rows, by scikit-learn's name: accuracy (with several labels, all of a "
        "row must be right), balanced_accuracy, neg_log_loss, roc_auc, roc_auc_ovr, f1_macro, …",
    ),
    refit: bool = flag("--refit/--no-refit", "Train a model on all rows with the best C."),
    one_standard_error: bool = flag(
        "--one-standard-error",
        "Refit with the smallest C within one standard error of the best instead.",
    ),
    per_model: bool = flag("--per-model", "Choose a C for each model, by its own scores."),
    backend: str = BACKEND,
    scale: str = SCALE,
    standardize: bool = flag(
        "--standardize", "Mean 0 and standard deviation 1 per feature, over all rows."
    ),
    balanced: bool = BALANCED,
    pos_weight: float | None = POS_WEIGHT,
    max_iter: int = option(2000, "Maximum number of iterations for each C."),
    tol: float = option(1e-4, "Stop at gradients this small."),
    dtype: str = DTYPE,
    dask: str | None = DASK,
    test_size: float = TEST_SIZE,
    seed: int = SEED,
    checkpoint: Path | None = CHECKPOINT,
    checkpoint_every: float = CHECKPOINT_EVERY,
    output: Path | None = option(None, "Save the refitted model.", "--output", "-o"),
    plot: Path | None = option(None, "Draw the scores along C, e.g. path.png."),
    json: bool = JSON,
) -> Task:
    """Choose C by cross-validation: every class, C and fold trained together."""
    from gpulr.cli.search import search

    return search


@command
def bootstrap(
    data: str | None = DATA_TO_TRAIN,
    label: str | None = LABEL,
    features: str | None = FEATURES,
    n: int = option(200, "Number of resamples of the rows.", "--n", min=2),
    level: float = option(0.95, "Confidence level of the intervals."),
    weights: str = option("poisson", "How rows are drawn: poisson or multinomial."),
    backend: str = BACKEND,
    C: float = option(1.0, "Inverse regularisation strength; inf for none.", "--C"),
    scale: str = SCALE,
    standardize: bool = flag(
        "--standardize",
        "Mean 0 and standard deviation 1 per feature, so that weights can be compared.",
    ),
    balanced: bool = BALANCED,
    pos_weight: float | None = POS_WEIGHT,
    max_iter: int = option(2000, "Maximum number of iterations."),
    tol: float | None = option(
        None, "Stop at gradients this small. Default: small compared with how resamples differ."
    ),
    dtype: str = DTYPE,
    dask: str | None = DASK,
    seed: int = option(0, "Any whole number; a different one draws different rows.", min=0),
    top: int | None = option(
        None,
        "Maximum number of features to print and draw for each class; 0: all. Default: 10, or all "
        "with --json.",
        min=0,
    ),
    checkpoint: Path | None = CHECKPOINT,
    checkpoint_every: float = CHECKPOINT_EVERY,
    output: Path | None = option(
        None,
        "Save the model and the weights of all resamples in one file, e.g. bootstrap.safetensors.",
        *("--output", "-o"),
    ),
    plot: Path | None = option(None, "Draw weights and their intervals, e.g. intervals.png."),
    json: bool = JSON,
) -> Task:
    """Show how much weights would vary with other rows of the same kind, as intervals."""
    from gpulr.cli.bootstrap import bootstrap

    return bootstrap


@command
def evaluate(
    path: Path = MODEL,
    data: str | None = DATA_OF_MODEL,
    label: str | None = LABEL_OF_MODEL,
    json: bool = JSON,
) -> Task:
    """Report a model's scores on the test part of its data, or on other data."""
    from gpulr.cli.evaluate import evaluate

    return evaluate


@command
def compare(
    a: Path = MODEL,
    b: Path = typer.Argument(
        metavar="OTHER", help="Another model of the same classes and features."
    ),
    data: str | None = DATA_OF_MODEL,
    label: str | None = LABEL_OF_MODEL,
    level: float = option(0.95, "Confidence level of the intervals."),
    seed: int = option(0, "Any whole number; a different one draws different resamples.", min=0),
    report: Path | None = option(None, "Write an HTML page, e.g. compare.html."),
    json: bool = JSON,
) -> Task:
    """Compare two models on the same rows: differences, and what only one gets right."""
    from gpulr.cli.compare import compare

    return compare


@command
def predict(
    path: Path = MODEL,
    inputs: list[str] = typer.Argument(
        help="Image files (.png, .jpg, …) or a folder of them, a .npy file of rows, or a data set. "
        "A .csv with as many columns as the model has features needs no label column."
    ),
    label: str | None = LABEL_OF_MODEL,
    rows: int | None = option(
        None, "Maximum number of rows to print; 0: all. Default: 20, or all with --json.", min=0
    ),
    framed: Path | None = option(
        None, "Write to this folder what the model sees of each image file."
    ),
    json: bool = JSON,
) -> Task:
    """Predict the class of images, or of the rows of data files."""
    from gpulr.cli.predict import predict

    return predict


@command
def report(
    path: Path = MODEL,
    data: str | None = option(
        None, f"{DATA} Default: what the model was trained on, if it can be found."
    ),
    label: str | None = LABEL_OF_MODEL,
    output: Path = option(
        "report.html", "The HTML page to write; an existing file is replaced.", "--output", "-o"
    ),
    json: bool = JSON,
) -> Task:
    """Write an HTML page about a model: scores, mistakes, weights, a canvas to draw on."""
    from gpulr.cli.writing import report

    return report


@command
def export(
    path: Path = MODEL,
    output: Path = option(
        ..., "model.onnx, or model.joblib for scikit-learn's estimator.", "--output", "-o"
    ),
    input_dtype: str | None = option(
        None, "Type of X in the .onnx file, e.g. uint8. Default: the type it was trained on."
    ),
    json: bool = JSON,
) -> Task:
    """Write a model for other software: an ONNX file, or scikit-learn's estimator."""
    from gpulr.cli.writing import export

    return export


@command
def video(
    context: typer.Context,
    path: Path = MODEL,
    output: Path = option(..., "The video, e.g. digits.mp4.", "--output", "-o"),
    data: str | None = DATA_OF_MODEL,
    label: str | None = LABEL_OF_MODEL,
    samples: int = option(60, "Number of rows to show, drawn at random."),
    seconds_per_sample: float = option(1.5, "How long each row is shown."),
    seed: int = option(0, "Any whole number; a different one draws different rows.", min=0),
    mistakes: bool = flag("--mistakes", "Show only rows that are predicted wrongly."),
    training: bool = flag("--training", "Show the weights while they are trained again."),
    solver: str = option("gd", "With --training, how to train: gd (textbook), nesterov, lbfgs."),
    max_iter: int = option(300, "With --training, the number of iterations."),
    seconds: float = option(12.0, "With --training, the length of the video."),
    size: str = option("1280x720", "Width and height in pixels."),
    fps: int = option(30, "Frames per second."),
    json: bool = JSON,
) -> Task:
    """Film a model at work, sample by sample, or its weights in training (extra: video)."""
    from gpulr.cli.writing import film

    with needs_extra("video", "Videos need PyAV and Pillow"):
        from gpulr.video import predictions
        from gpulr.video import training as again
        from gpulr.video.film import require_pyav

    require_pyav()
    return partial(film, write=again if training else predictions, given=_given(context))


@command
def data(
    name: str | None = typer.Argument(
        None, help=f"{DATA} Without it: list what is on this machine."
    ),
    label: str | None = LABEL,
    features: str | None = FEATURES,
    json: bool = JSON,
) -> Task:
    """List the data sets, or load one (downloading it if need be) and describe it."""
    from gpulr.cli.data import describe

    return describe


@command
def checkpoint(
    path: Path = typer.Argument(metavar="PATH", help="A file that --checkpoint wrote."),
    json: bool = JSON,
) -> Task:
    """Print what a checkpoint holds: its run, its data, and how far training has come."""
    from gpulr.cli.checkpoints import checkpoint

    return checkpoint


@command
def doctor(json: bool = JSON) -> Task:
    """Report which backends this machine can use, and why the others cannot be used."""
    from gpulr.cli.doctor import doctor

    return doctor
