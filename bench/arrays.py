"""Rows in other kinds of arrays beside NumPy's float32: ``bench goals --only arrays``.

Half of the bytes are to take no longer, torch's tensors on the CPU as long as NumPy's arrays over
the same bytes, and JAX, which compiles, is not to make anyone wait at first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

import gpulr
from bench import passes
from bench.data import DATA, Data, overlapping
from bench.passes import Contestant
from bench.ratios import Result, as_installed, compared, turns
from bench.run import Patience, quartiles, worker

NARROW = ("float16", "bfloat16")
ROUNDS = {"pass": 15, "train": 9, "predict": 150, "few": 150, "processes": 3}


def arrays(size: float, patience: Patience) -> Iterator[Result]:
    """Half precision, torch on the CPU, JAX's first training; in this order, as they load more."""
    images, embeddings = DATA["mnist"]().part(size), _in_all_dtypes(DATA["embeddings"]().part(size))
    for work in (images, embeddings):
        yield from _passes_over_half(work, patience)
    yield from _on_tensors(images, embeddings, patience)
    for wide in (False, True):
        yield _first_on_jax(wide)


def _in_all_dtypes(data: Data) -> Data:
    """Return data whose float32 rows are rounded to what float16 and bfloat16 hold as well."""
    import ml_dtypes

    X = data.X.astype(ml_dtypes.bfloat16).astype(np.float16).astype(ml_dtypes.bfloat16)
    return replace(data, X=X.astype(np.float32))


def _passes_over_half(work: Data, patience: Patience) -> Iterator[Result]:
    """One pass over narrow rows ÷ the same over float32 rows."""

    def prepared(rows: str) -> Callable[[], Any]:
        one = Contestant("batched", "numpy", "float32", rows)
        run = passes.prepare("pass", one, work)
        passes.check("pass", one, run(), work)
        return run

    base, k = prepared("float32"), len(work.models)
    for rows in NARROW:
        what = f"one pass, {k} models, {work.name}, {rows} rows"
        options: dict[str, Any] = {"label": "float32 rows", "untimed": 3, "at_most": 1.0}
        yield turns(what, prepared(rows), base, ROUNDS["pass"], patience=patience, **options)


def _on_tensors(images: Data, embeddings: Data, patience: Patience) -> Iterator[Result]:
    """Trainings, predictions and a search on torch's tensors ÷ the same on NumPy's arrays."""
    import torch

    few = overlapping("few rows", 500, 20, 3)
    model = gpulr.train(images.X, images.y, max_iter=5, tol=0.0, scale=images.scale)

    def train(X: Any, y: Any) -> Any:
        return gpulr.train(X, y).weights

    def predict(X: Any, y: Any) -> Any:
        return model.predict_proba(X)

    def search(X: Any, y: Any) -> Any:
        return gpulr.search(X, y, Cs=[0.1, 1.0], cv=3).model.weights

    some = replace(images, X=images.X[:10_000].astype(np.float32), y=images.y[:10_000])
    tasks = (
        *(("training", train, work, "train") for work in (images, embeddings)),
        ("predicting 10,000 rows", predict, some, "predict"),
        *((what, run, few, "few") for what, run in (("training", train), ("search", search))),
    )
    for what, run, work, kind in tasks:
        tensors = torch.from_numpy(work.X), torch.from_numpy(work.y)
        ours, base = partial(run, *tensors), partial(run, work.X, work.y)
        found = ours()
        assert isinstance(found, torch.Tensor), "results are no tensors"
        np.testing.assert_array_equal(found.numpy(), base())
        options: dict[str, Any] = {"label": "NumPy's arrays", "at_most": 1.05}
        options["untimed"] = 0 if kind == "train" else 3
        words = f"{what}, {work.name}, {work.X.dtype} tensors of torch"
        yield turns(words, ours, base, ROUNDS[kind], patience=patience, **options)


def _first_on_jax(wide: bool) -> Result:
    """A process's first training on JAX's arrays of the digits, in seconds."""
    as_installed()
    first, later, versions = [], [], {}
    for _ in range(ROUNDS["processes"]):
        with mock.patch.dict(os.environ, {"JAX_ENABLE_X64": str(int(wide))}):
            ((times, versions),) = worker(calls, {}, 120.0, "training on JAX's arrays")
        first.append(times[0])
        later.append(float(np.median(times[1:])))
    what = f"first training on the digits in JAX's arrays, x64 {'on' if wide else 'off'}"
    found = compared(what, first, later, label="its later ones")
    return {**found, "at_most": 3.0, "ratio": quartiles(first), "unit": "s", "versions": versions}


def calls() -> Iterator[tuple[list[float], dict[str, str]]]:
    """Time trainings on the bundled digits, the process's first and later ones."""
    import jax

    data = DATA["digits"]()
    X, y = jax.block_until_ready([jax.numpy.asarray(array) for array in (data.X, data.y)])
    times = []
    for _ in range(3):
        started = time.perf_counter()
        model = gpulr.train(X, y)
        jax.block_until_ready(model.weights)
        times.append(time.perf_counter() - started)
    assert isinstance(model.weights, jax.Array), "results are no arrays of JAX's"
    yield times, {"jax": jax.__version__}
