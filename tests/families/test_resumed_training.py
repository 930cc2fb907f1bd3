"""A training that goes on from its checkpoint: the same bits as one that was never interrupted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import gpulr
from checkpoints import Interrupt, interrupted, resumed, rows, same
from gpulr.solvers import curvature, groups, lbfgs, refresh
from sources import Slices


def plain():
    return *rows(), {}


def in_bytes():
    X, y = rows()
    return np.clip(40 * X + 128, 0, 255).astype(np.uint8), y, {}


def in_rows_of_features():
    X, y = rows()
    return np.asfortranarray(X), y, {}


def sparse_rows():
    X, y = rows()
    return sparse.csr_array(np.where(np.abs(X) > 0.8, X, 0.0)), y, {"tol": 1e-5}


def uneven():
    X, y = rows()
    return X * np.float32(2.0) ** np.array([0, 12, -14, 0, 3, 0, 0, 0, 0], np.float32), y, {}


def unknown():
    X, _ = rows()
    Y = (X[:, :3] > [0.0, 1.0, 0.5]).astype(float)
    Y[::7, 1] = np.nan
    return X, Y, {"pos_weight": [1.0, 2.0, 3.0]}


def weighted():
    X, y = rows()
    return X, y, {"sample_weight": np.arange(len(X)) % 5 / 2.0, "class_weight": "balanced"}


def started():
    X, y = rows()
    return X, y, {"start": gpulr.train(X[::3], y[::3], tol=1e-2), "tol": 1e-6}


def two_classes():
    X, y = rows()
    return X, y > 0, {}


def blocks():
    X, y = rows()
    loaders = [lambda i=i: (X[i : i + 80], y[i : i + 80]) for i in (0, 80, 160)]
    return gpulr.Blocks(loaders), None, {}


def sliced():
    X, y = rows()
    return Slices(X, 50), y, {}


CASES = {
    "lbfgs": plain,
    "float64": lambda: (*rows(), {"dtype": "float64", "tol": 1e-9}),
    "large C": lambda: (*rows(), {"C": [1.0, 1e3, 1e5, np.inf], "tol": 1e-6}),
    "nesterov": lambda: (*rows(), {"solver": "nesterov", "max_iter": 9, "tol": 0}),
    "gd": lambda: (*rows(), {"solver": "gd", "max_iter": 5, "tol": 0}),
    "gd at a rate": lambda: (*rows(), {"solver": "gd", "learning_rate": 0.3, "tol": 0.1}),
    "standardized": lambda: (*rows(), {"standardize": True}),
    "no intercept": lambda: (*rows(), {"fit_intercept": False}),
    "by features": in_rows_of_features,
    "bytes": in_bytes,
    "sparse": sparse_rows,
    "uneven": uneven,
    "unknown": unknown,
    "weights": weighted,
    "start": started,
    "two classes": two_classes,
    "blocks": blocks,
    "a source": sliced,
    "one by one": lambda: (*rows(), {"batched": False}),
    "nothing to train": lambda: (*rows(), {"max_iter": 1, "tol": 0}),
}


@pytest.fixture(params=["exact", "shared", "sampled", "own", "sketched", "in groups"])
def kind(request, monkeypatch, as_if_large):
    """What curvature models go by, and whether all train at once."""
    from gpulr.solvers import exact_curvature

    if request.param == "exact":
        monkeypatch.setattr(exact_curvature, "MOST", 10**9)
    if request.param == "sampled":  # so that there are more than twice as many rows
        monkeypatch.setattr(lbfgs.LBFGS.__init__, "__defaults__", (10, 100, 6, 0.0))
    if request.param == "own":
        monkeypatch.setattr(refresh, "MARGIN", -1.0)
    if request.param == "sketched":
        monkeypatch.setattr(curvature.SharedCurvature, "full_up_to", 4)
    if request.param == "in groups":
        monkeypatch.setattr(groups, "WORKING_BYTES", 1)
        monkeypatch.setattr(groups, "cut", lambda n, *sizes: np.array_split(np.arange(n), 2))
    return request.param


def every_point(tmp_path, X, y, **how):
    """Interrupt a training at each of the times when callbacks are told, and go on."""
    whole = Interrupt()
    expected = gpulr.train(X, y, callbacks=[whole], **how)
    for at, (_, iteration) in enumerate(whole.told):
        path = tmp_path / f"{at}.ckpt"
        interrupted(path, at, X, y, **how)
        model, told = resumed(X, y, checkpoint=path, **how)
        assert told == whole.told[at:], (at, iteration)
        same(model, expected)
    return expected


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
def test_at_any_point(case, tmp_path, library, as_if_large):
    X, y, how = CASES[case]()
    every_point(tmp_path, X, y, **how)


@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
@pytest.mark.parametrize("case", ["lbfgs", "large C", "uneven", "weights"])
def test_at_any_point_with_any_curvature(case, kind, tmp_path):
    X, y, how = CASES[case]()
    model = every_point(tmp_path, X, y, **how)
    assert kind not in ("exact", "own") or kind in model.history.curvature
