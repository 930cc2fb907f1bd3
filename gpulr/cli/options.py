"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

DATA = (
    "mnist, mnist-original, digits, or a path: .csv or .tsv (also .gz), .npz, .mat, IDX images, or "
    "a folder of the four IDX files."
)


def option(help: str, *names: str, **how: Any) -> Any:  # noqa: A002 (Typer's word)
    """Return an option; without ``names``, of the name that its parameter has."""
    return typer.Option(*names, help=help, **how)


def flag(help: str, names: str) -> Any:  # noqa: A002
    """Return an option that takes no value; Typer would show one, <bool>."""
    return typer.Option(names, metavar="", help=help)


def data_option(default: str) -> Any:
    """Return the option ``--data``, whose default is told in words."""
    return typer.Option(help=f"{DATA} Default: {default}")


Backend = Annotated[str, option("Where to compute: auto, numpy, cupy.")]
Balanced = Annotated[bool, flag("Give every class the same total weight.", "--balanced")]
DType = Annotated[str, option("Precision: float32 or float64.")]
Json = Annotated[bool, flag("Print one JSON object.", "--json")]
Label = Annotated[
    str | None,
    option(
        "Label column of a .csv or .tsv: its name, or its index from 0. Default: the one that the "
        "model remembers; else label, class, target or y; else the only one of text; else the "
        "first."
    ),
]
ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A file that `gpulr train --output` wrote.")
]
Scale = Annotated[str, option("Multiply the features by this; auto: 1/255 for uint8, else 1.")]
Seed = Annotated[int, option("Of that shuffle.", min=0)]
TestSize = Annotated[float, option("Share of rows to hold out where the data has no test part.")]
TrainingData = Annotated[str | None, data_option("MNIST, or the bundled digits without network.")]
