"""A training that goes on from its checkpoint: the same bits as one that was never interrupted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import gpulr
from checkpoints import Interrupt, interrupted, resumed, rows, same
from gpulr.backend import long_arrays, to_host
from gpulr.solvers import curvature, exact_curvature, groups, lbfgs, refresh
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


@pytest.mark.covering
@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
def test_at_any_point(case, tmp_path, library, as_if_large):
    X, y, how = CASES[case]()
    every_point(tmp_path, X, y, **how)


@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
@pytest.mark.parametrize(
    "case",
    ["large C", *(pytest.param(c, marks=pytest.mark.slow) for c in ("lbfgs", "uneven", "weights"))],
)
def test_at_any_point_with_any_curvature(case, kind, tmp_path):
    X, y, how = CASES[case]()
    model = every_point(tmp_path, X, y, **how)
    assert kind not in ("exact", "own") or kind in model.history.curvature


@pytest.mark.covering(2)
@pytest.mark.parametrize("solver", ["lbfgs", "gd"])
@pytest.mark.parametrize("curvatures", ["shared", "exact"])
def test_at_any_point_in_bursts_of_a_device(
    put, solver, curvatures, tmp_path, monkeypatch, as_if_large
):
    """In the midst of a burst it goes on from before that."""
    X, y = rows()
    how = {"solver": solver, "C": [1.0, 1e2, 1e4, 1e4], "tol": 0, "max_iter": 11}
    if curvatures == "exact":
        monkeypatch.setattr(exact_curvature, "MOST", 10**9)
    whole = Interrupt()
    expected = gpulr.train(put(X), y, callbacks=[whole], **how)
    for at in range(12):
        path = tmp_path / f"{at}.ckpt"
        with pytest.raises(gpulr.TrainingInterrupted):
            gpulr.train(put(X), y, checkpoint=path, callbacks=[Interrupt(at)], **how)
        model, told = resumed(put(X), y, checkpoint=path, **how)
        assert told == whole.told[told[0][1] :]
        assert at - 8 < told[0][1] <= at
        for name in ("cost", "gradient_norm", "n_iter", "refreshes"):
            one, other = (getattr(each.history, name) for each in (model, expected))
            np.testing.assert_array_equal(one, other, err_msg=name)
        np.testing.assert_array_equal(to_host(model.weights), to_host(expected.weights))


def test_margins_that_are_in_a_file(tmp_path, monkeypatch):
    X, y = rows()
    expected = gpulr.train(X, y, C=1e4, tol=1e-6)
    monkeypatch.setattr(long_arrays, "LONG", 0)
    monkeypatch.setattr(long_arrays._Memory, "fits", lambda self, n_bytes: False)
    for at in range(expected.n_iter):
        path, how = tmp_path / f"{at}.ckpt", {"C": 1e4, "tol": 1e-6, "checkpoint_every": 0}
        interrupted(path, at, X, y, **how)
        same(resumed(X, y, checkpoint=path, **how)[0], expected)
