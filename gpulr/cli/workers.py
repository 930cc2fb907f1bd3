"""`--dask`: rows of a command's data on the workers of a Dask cluster."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from gpulr import datasets
from gpulr.cli import terminal
from gpulr.errors import BackendUnavailableError, ParameterError, needs_extra
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import SplitRecord
from gpulr.sources import Source
from gpulr.words import counted

PART_BYTES = 64 * 2**20  # of rows; the number of parts does not depend on that of workers
LEAST_PARTS = 8


@contextmanager
def on_workers(
    where: str | None,
    dataset: datasets.Dataset,
    data: str | None,
    label: str | None,
    split: SplitRecord | None,
    features: list[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield X, y and image_shape to train on: of the data set, or on workers while there are any.

    Parameters
    ----------
    where : "local:4", the address of a scheduler, or None
    dataset, data, label, split, features
        What was loaded, and how: workers read large files themselves.
    """
    if where is None:
        yield {"X": dataset, "y": None}
        return
    with needs_extra("dask", "--dask needs Dask"), ExitStack() as stack:
        client = stack.enter_context(_client(where, stack))
        lazy = _lazy(dataset.X, data, (label, features and tuple(features)), split)
        workers = counted(len(client.scheduler_info(n_workers=-1)["workers"]), "worker")
        terminal.say(f"{counted(lazy.numblocks[0], 'part')} on {workers} of {where}")
        yield {"X": lazy, "y": dataset.y, "image_shape": dataset.image_shape}


def record_data(model: OneVsAll, dataset: datasets.Dataset) -> None:
    """Keep in a model what training on the data set would have: its name, and where it is from."""
    model.data.update({"name": dataset.name, "source": dataset.source})
    if dataset.label_name is not None:
        model.data["label"] = dataset.label_name
    if dataset.feature_names is not None:
        model.data["feature_names"] = list(dataset.feature_names)


def check_workers(where: str | None) -> None:
    """Raise ParameterError for what is neither a number of workers nor an address."""
    kind, _, number = (where or "").partition(":")
    if kind == "local" and number.isdecimal() and int(number) > 0:
        return
    if where is not None and (kind == "local" or not number):
        raise ParameterError(
            f"--dask {where}; expected local:4, for so many workers on this machine, or the "
            "address of a scheduler, such as tcp://10.0.0.5:8786."
        )


def _client(where: str, stack: ExitStack) -> Any:
    from distributed import Client, LocalCluster

    address: Any = where
    if where.startswith("local:"):
        n = int(where.partition(":")[2])  # as check_workers found
        address = stack.enter_context(LocalCluster(n_workers=n, dashboard_address=":0"))
    try:
        return Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise BackendUnavailableError(
            f"--dask {where}: no scheduler of Dask's answers there ({error}). Start one with "
            "`dask scheduler`, and workers with `dask worker ADDRESS`; or use local:4."
        ) from error


def _lazy(X: Any, data: str | None, columns: Any, split: SplitRecord | None) -> Any:
    """Return rows as a Dask array: cut from an array here, or read by workers from the files."""
    import dask
    import dask.array as da

    n, n_features = X.shape
    parts = min(n, max(LEAST_PARTS, math.ceil(X.nbytes / PART_BYTES)))
    edges = [n * i // parts for i in range(parts + 1)]
    if not isinstance(X, Source):
        return da.from_array(X, chunks=(tuple(b - a for a, b in pairwise(edges)), n_features))
    path = None if data is None else str(Path(data).absolute() if Path(data).exists() else data)
    held_out = None if split is None else tuple(sorted(split.items()))
    read = dask.delayed(_rows, pure=False)
    blocks = X.cut([slice(a, b) for a, b in pairwise(edges)])
    return da.concatenate(
        [
            da.from_delayed(
                read(path, columns, held_out, rows.start, rows.stop),
                (rows.stop - rows.start, n_features),
                X.dtype,
            )
            for rows in blocks
        ]
    )


def _rows(path: str | None, columns: Any, split: Any, start: int, stop: int) -> Any:
    """Return rows of a data set that this worker has open."""
    return _opened(path, columns, split)[start:stop, :]


@cache
def _opened(path: str | None, columns: Any, split: Any) -> Any:
    label, features = columns
    how: Any = {"label": label, "features": features}
    dataset = datasets.load_default() if path is None else datasets.load(path, **how)
    return (dataset if split is None else dataset.split(**dict(split))).X
