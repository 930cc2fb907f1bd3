"""What is read from a checkpoint is what its classes' fields say, or is refused."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pytest

import gpulr
from gpulr.families import checkpoint_file
from gpulr.families.checkpoint_fields import FieldTypes
from gpulr.families.checkpoint_tree import Unpacker
from gpulr.families.several_sets import Problems
from gpulr.solvers import exact_curvature, refresh
from gpulr.solvers.restoring import OTHERS

Array = Any


@dataclass
class Part:
    theta: Annotated[Array, "(n_features + 1, n_models) float64"]


@dataclass
class Whole:
    names: tuple[str, ...]
    step: int
    scale: float | Annotated[Array, "(n_features, 1) float"]
    pair: Annotated[npt.NDArray[np.int64], "(n_pairs, 2)"]
    each: list[Annotated[Array, "(_,) float64"]]
    other: Annotated[npt.NDArray[Any], "(n_pairs,) bool"] | None
    one: Part
    several: Annotated[list[Part], OTHERS]
    by_name: dict[int, float]
    either: Annotated[Any, Part | int]


RIGHT = {
    "names": ("a", "b"),
    "step": np.int64(2),
    "scale": np.ones((4, 1), np.float32),
    "pair": np.zeros((3, 2), np.int64),
    "each": [np.zeros(1), np.zeros(2)],
    "other": np.zeros(3, bool),
    "one": Part(np.zeros((5, 2))),
    "several": [Part(np.zeros((5, 7))), Part(np.zeros((5, 3)))],
    "by_name": {1: 0.5},
    "either": Part(np.zeros((5, 2))),
}
WRONG = [
    ("names", ("a", 1)),
    ("names", "ab"),
    ("step", 2.0),
    ("step", True),
    ("scale", np.ones((1, 1))),
    ("scale", np.ones((4, 1), np.int64)),
    ("scale", None),
    ("pair", np.zeros((3, 2))),
    ("each", [np.zeros((1, 1))]),
    ("pair", np.zeros((4, 2), np.int64)),
    ("pair", np.zeros((3, 1), np.int64)),
    ("pair", np.zeros((3, 2), np.uint64)),
    ("other", np.zeros((3, 1), bool)),
    ("other", np.zeros(3)),
    ("one", Part(np.zeros((5, 3)))),
    ("one", Part(np.zeros((4, 2)))),
    ("one", Part(None)),
    ("one", None),
    ("several", [Part(np.zeros((4, 7)))]),
    ("several", (Part(np.zeros((5, 7))),)),
    ("by_name", {"1": 0.5}),
    ("by_name", {1: "x"}),
    ("either", "x"),
    ("either", Part(np.zeros((5, 3)))),
]


def check(**changed):
    types, sizes = FieldTypes((Part, Whole)), {"n_samples": 9, "n_features": 4, "n_models": 2}
    types.check(Whole(**RIGHT | changed), Any, sizes)


@pytest.mark.parametrize("changed", [{}, {"scale": 1.0}, {"other": None}, {"either": 3}], ids=str)
def test_fields_that_are_right(changed):
    check(**changed)


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{i}" for i in range(len(WRONG))])
def test_fields_that_are_not(name, value):
    with pytest.raises(ValueError, match=r"Whole\.\w*: .*not"):
        check(**{name: value})


def test_a_run_that_is_read_later_is_one():
    items = {"done": {"tuple": []}, "run": "text", "about": None}
    unpacker = Unpacker([{"class": "Problems", "items": items}], {}, classes=[Problems])
    problems = unpacker.unpack({"object": 0})
    with pytest.raises(ValueError, match=r"not .*GroupedRun"):
        problems.run(None)


RUNS = {
    "train": (gpulr.train, {}),
    "nesterov": (gpulr.train, {"solver": "nesterov"}),
    "gd": (gpulr.train, {"solver": "gd"}),
    "search": (gpulr.search, {"Cs": [0.1, 10.0], "cv": 3}),
    "bootstrap": (gpulr.bootstrap, {"n": 5, "random_state": 3, "tol": 1e-3}),
    "cross_val_predict": (gpulr.cross_val_predict, {"cv": 3}),
}


DAMAGES = [
    lambda array: array[np.newaxis],
    lambda array: array[..., np.newaxis],
    lambda array: array.astype(np.uint8),
]


def each_run():
    """Return parameters: runs, and whether each array is damaged in all ways, or in one of them."""
    for name in [*RUNS, "train with shared curvature", "train with models' own"]:
        quick = name in ("search", "bootstrap", "train with models' own")
        if quick:
            yield pytest.param(name, "on the way", False, id=f"{name}-one")
        for at in ("on the way", "done"):
            yield pytest.param(name, at, True, id=f"{name}-{at}-all", marks=pytest.mark.nightly)


@pytest.mark.parametrize(("name", "at", "all_ways"), list(each_run()))
def test_arrays_of_another_shape_or_dtype_are_refused(tmp_path, monkeypatch, name, at, all_ways):
    if "curvature" in name or "own" in name:
        monkeypatch.setattr(exact_curvature, "MOST", 0)
    if "own" in name:
        monkeypatch.setattr(refresh, "MARGIN", -1.0)
    function, how = RUNS[name.split()[0]]
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 5)).astype(np.float32)
    y = (X[:, :3] + rng.normal(size=(60, 3))).argmax(axis=1)
    path, told = tmp_path / "run.ckpt", []

    def stop(progress):
        told.append(progress)
        if at == "on the way" and len(told) == 5:
            raise StopIteration

    def call():
        with contextlib.suppress(gpulr.SearchInterrupted):
            function(X, y, callbacks=[stop], checkpoint=path, checkpoint_every=None, **how)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gpulr.GpulrWarning)
        call()
        right = checkpoint_file.read_one(path)
        arrays = {each: right.arrays[each][...] for each in right.arrays}
        assert arrays
        texts = {"fingerprint": right.fingerprint, "about": right.about, "tree": right.tree}
        for i, (each, array) in enumerate(arrays.items()):
            for damage in DAMAGES if all_ways else [DAMAGES[i % 3]]:
                other = damage(array)
                checkpoint_file.write(path, arrays | {each: other}, **texts, keep=False)
                with pytest.raises(gpulr.CheckpointError, match="does not fit this run"):
                    call()
