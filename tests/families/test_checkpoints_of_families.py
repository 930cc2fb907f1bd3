"""Searches, bootstraps and the rest go on from a checkpoint, to the same bits."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest

import gpulr
from gpulr.backend import to_host
from gpulr.families import checkpoint as checkpoints
from gpulr.families import replicates
from gpulr.solvers import exact_curvature, groups, refresh

CS = [10.0, 0.01, 1.0]


class Fault(Exception):  # noqa: N818
    """Ends a run, as a full memory would."""


@pytest.fixture
def offers(monkeypatch):
    """End a run when it has offered so many checkpoints; returns how many it has."""
    offer, state = checkpoints.Checkpoint.offer, {"n": 0, "end": None}

    def counted(self, progress):
        offer(self, progress)
        state["n"] += 1
        if state["n"] == state["end"]:
            raise Fault

    monkeypatch.setattr(checkpoints.Checkpoint, "offer", counted)

    def run(call, end=None):
        state.update(n=0, end=end)
        try:
            call()
        except Fault:
            assert end is not None
        return state["n"]

    return run


def rows(n=120, p=6, k=3, seed=1):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X.astype(np.float32), (X[:, :k] + 0.7 * rng.normal(size=(n, k))).argmax(axis=1)


def quietly(function, *args, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gpulr.GpulrWarning)
        return function(*args, **how)


def same(found, expected):
    """The bits of two results are the same, but for times."""
    assert type(found) is type(expected)
    if hasattr(expected, "shape"):
        np.testing.assert_array_equal(to_host(found), to_host(expected))
        return
    for name in getattr(type(expected), "__dataclass_fields__", ()):
        if name != "seconds":
            same(getattr(found, name), getattr(expected, name))
    if not hasattr(type(expected), "__dataclass_fields__"):
        assert found == expected


def at_points(offers, tmp_path, call, points=None):
    """End a run at each of its points, or some, and go on: all is as if it had never ended."""
    expected = quietly(call, checkpoint=None)
    n = offers(lambda: quietly(call, checkpoint=tmp_path / "whole.ckpt"))
    same(quietly(call, checkpoint=tmp_path / "whole.ckpt"), expected)
    ends = range(1, n + 1) if points is None else np.unique(np.linspace(1, n, points, dtype=int))
    for end in ends:
        path = tmp_path / f"{end}.ckpt"
        assert offers(lambda path=path: quietly(call, checkpoint=path), end) == end
        with pytest.warns(gpulr.ResumedWarning, match="goes on from"):
            found = call(checkpoint=path)
        same(found, expected)
    return expected, n


def searching(**how):
    X, y = rows()
    return lambda **more: gpulr.search(X, y, Cs=CS, cv=3, **how, **more)


@pytest.fixture(params=["exact", "shared", "own"])
def curvature(request, monkeypatch):
    """What curvature models go by."""
    if request.param != "exact":
        monkeypatch.setattr(exact_curvature, "MOST", 0)
    if request.param == "own":
        monkeypatch.setattr(refresh, "MARGIN", -1.0)


@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
def test_a_search_at_any_point(offers, tmp_path, curvature):
    expected, n = at_points(offers, tmp_path, searching())
    assert expected.model is not None
    assert n > 10


SEARCHES = {
    "classes one by one": {"memory": 1},
    "a C for each model": {"per_model": True, "scoring": "roc_auc_ovr"},
    "the simplest": {"refit": "1se", "keep_paths": True},
    "the mean of folds": {"refit": "mean"},
    "no refit": {"refit": False},
    "float64": {"dtype": "float64", "tol": 1e-8, "standardize": True},
    "no convergence": {"max_iter": 3},
}


@pytest.mark.covering
@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
@pytest.mark.parametrize("case", SEARCHES)
def test_searches_of_all_kinds(offers, tmp_path, case, curvature):
    how = dict(SEARCHES[case])
    if how.get("scoring"):
        how["scoring"] = "neg_log_loss"
    at_points(offers, tmp_path, searching(**how), points=5)


@pytest.mark.covering
@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
@pytest.mark.parametrize(
    "how",
    [
        {"tol": 1e-3},
        {"weights": "multinomial", "standardize": True},
        {"dtype": "float64", "tol": 1e-6, "pos_weight": 2.0},
        {"max_iter": 2},
    ],
    ids=["tol", "chosen", "float64", "short"],
)
def test_a_bootstrap_at_any_point(offers, tmp_path, monkeypatch, curvature, how):
    monkeypatch.setattr(replicates, "GROUP_BYTES", 2**16)
    X, y = rows()

    def call(**more):
        return gpulr.bootstrap(X, y, n=7, random_state=5, **how, **more)

    expected, n = at_points(offers, tmp_path, call, points=9)
    assert expected.n_replicates == 7
    assert n > 6


def test_a_bootstrap_without_a_seed_goes_on_with_its_own_draws(offers, tmp_path, monkeypatch):
    monkeypatch.setattr(replicates, "GROUP_BYTES", 2**16)
    X, y = rows()
    path = tmp_path / "b.ckpt"
    offers(lambda: gpulr.bootstrap(X, y, n=6, checkpoint=path), 15)
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes(path.read_bytes())
    first, again = (quietly(gpulr.bootstrap, X, y, n=6, checkpoint=each) for each in (path, copy))
    same(again, first)
    same(quietly(gpulr.bootstrap, X, y, n=6, checkpoint=path), first)


OTHERS = {
    "cross_val_predict": {"cv": 3},
    "learning_curve": {"cv": 3, "train_sizes": [0.5, 1.0]},
    "permutation_test": {"cv": 3, "n": 4},
}


@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("how", [{}, {"solver": "nesterov", "max_iter": 6}], ids=["lbfgs", "ag"])
def test_other_families_at_any_point(offers, tmp_path, monkeypatch, name, how):
    X, y = rows()
    if name == "permutation_test":
        monkeypatch.setattr("gpulr.families.permutation_test.WORKING_BYTES", 2**16)
    monkeypatch.setattr(groups, "cut", lambda n, *sizes: np.array_split(np.arange(n), 2))

    def call(**more):
        return getattr(gpulr, name)(X, y, **OTHERS[name], **how, **more)

    at_points(offers, tmp_path, call, points=5)


@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
@pytest.mark.parametrize("name", ["search", "bootstrap"])
def test_where_the_rows_are(offers, tmp_path, put, name):
    X, y = rows()
    usual = {"search": {"Cs": CS, "cv": 2}, "bootstrap": {"n": 3, "random_state": 0}}

    def call(**more):
        return getattr(gpulr, name)(put(X), y, **usual[name], **more)

    at_points(offers, tmp_path, call, points=4)


# ---- what is told, and what may differ ----------------------------------------------------------


@pytest.mark.parametrize("at", [0, 3, 7, 11])
def test_the_first_progress_of_a_search_is_where_it_went_on(tmp_path, at):
    told, again = [], []

    def interrupt(progress):
        told.append(progress)
        if len(told) == at + 1:
            raise KeyboardInterrupt

    call, path = searching(dtype="float64", tol=1e-9), tmp_path / "s.ckpt"
    with pytest.raises(gpulr.SearchInterrupted, match=r"The same call goes on from .*s\.ckpt"):
        call(callbacks=[interrupt], checkpoint=path)
    with pytest.warns(gpulr.ResumedWarning, match=r"of 3 values of C, \d+ of 27 models"):
        call(callbacks=[again.append], checkpoint=path)
    assert (again[0].done, again[0].C) == (told[-1].done, told[-1].C)
    assert again[0].seconds >= told[-1].seconds
    assert [each.done for each in told[:-1] + again] == sorted(
        each.done for each in told[:-1] + again
    )
    assert again[-1].done == 27


def test_another_family_says_where_it_goes_on(tmp_path):
    X, y = rows()
    path, told = tmp_path / "c.ckpt", []

    def interrupt(progress):
        if progress.iteration == 2:
            raise KeyboardInterrupt

    how = {"cv": 3, "checkpoint": path}
    with pytest.raises(gpulr.TrainingInterrupted, match=r"The same call goes on from .*c\.ckpt"):
        gpulr.cross_val_predict(X, y, callbacks=[interrupt], **how)
    with pytest.warns(gpulr.ResumedWarning, match="0 problems trained, iteration 2, 0 of 9 models"):
        gpulr.cross_val_predict(X, y, callbacks=[told.append], **how)
    assert told[0].iteration == 2


def test_an_interrupted_bootstrap_says_how_to_go_on(tmp_path):
    X, y = rows()
    path = tmp_path / "b.ckpt"

    def interrupt(progress):
        if progress.models[0] >= 3:
            raise KeyboardInterrupt

    with pytest.raises(gpulr.TrainingInterrupted, match=r"The same call goes on from .*b\.ckpt"):
        gpulr.bootstrap(X, y, n=4, random_state=0, callbacks=[interrupt], checkpoint=path)
    with pytest.warns(gpulr.ResumedWarning, match="0 of 4 replicates, iteration 0 of the next"):
        gpulr.bootstrap(X, y, n=4, random_state=0, checkpoint=path)


DIFFER = [
    ("search", {"Cs": [1.0, 10.0]}, "Cs were .*10.0. here"),
    ("search", {"cv": 4}, "cv is another one here"),
    ("search", {"scoring": "neg_log_loss"}, "scoring was accuracy, and is neg_log_loss here"),
    ("search", {"refit": "1se"}, "refit was True, and is 1se here"),
    ("search", {"tol": 1e-3}, r"tol was 0\.0001, and is 0\.001 here"),
    ("bootstrap", {"n": 5}, "n was 4, and is 5 here"),
    ("bootstrap", {"weights": "multinomial"}, "weights were poisson, and are multinomial here"),
    ("bootstrap", {"random_state": 1}, "random_state was 0, and is 1 here"),
    ("bootstrap", {"C": 2.0}, r"C was 1\.0, and is 2\.0 here"),
    ("cross_val_predict", {"cv": 4}, "cv is another one here"),
    ("learning_curve", {"train_sizes": [0.4, 1.0]}, "train_sizes (were|are others)"),
    ("permutation_test", {"random_state": 1}, "random_state"),
]


@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
@pytest.mark.parametrize(("name", "changed", "words"), DIFFER, ids=lambda part: str(part)[:24])
def test_another_call_is_refused(tmp_path, name, changed, words):
    X, y = rows()
    usual = {"search": {"Cs": CS, "cv": 3}, "bootstrap": {"n": 4, "random_state": 0}}
    how, path = {**usual, **OTHERS}[name], tmp_path / "x.ckpt"
    call = getattr(gpulr, name)
    call(X, y, checkpoint=path, **how)
    before = path.read_bytes()
    with pytest.raises(gpulr.CheckpointError, match=words):
        call(X, y, checkpoint=path, **how | changed)
    with pytest.raises(gpulr.CheckpointError, match="X is another one here"):
        call(X + np.float32(1e-3), y, checkpoint=path, **how)
    with pytest.raises(gpulr.CheckpointError, match="function was"):
        gpulr.train(X, y, checkpoint=path)
    assert path.read_bytes() == before
    told = []
    with pytest.warns(gpulr.ResumedWarning, match="nothing is trained"):
        call(X, y, checkpoint=path, max_iter=7, callbacks=[told.append], **how)
    assert not told


def more_iterations():
    X, y = rows()
    yield "search", partial(gpulr.search, X, y, Cs=CS, cv=3)
    yield "mean", partial(gpulr.search, X, y, Cs=CS, cv=3, refit="mean")
    yield (
        "bootstrap",
        partial(gpulr.bootstrap, X, y, n=7, random_state=5, tol=1e-9, dtype="float64"),
    )
    yield "chosen", partial(gpulr.bootstrap, X, y, n=7, random_state=5)
    for name, how in OTHERS.items():
        yield name, partial(getattr(gpulr, name), X, y, **how)


@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
@pytest.mark.parametrize(
    ("name", "call"), [pytest.param(*each, id=each[0]) for each in more_iterations()]
)
def test_what_had_too_few_iterations_goes_on_with_more(offers, tmp_path, monkeypatch, name, call):
    monkeypatch.setattr(replicates, "GROUP_BYTES", 2**16)
    monkeypatch.setattr("gpulr.families.permutation_test.WORKING_BYTES", 2**16)
    monkeypatch.setattr(exact_curvature, "MOST", 0)  # so that it takes some iterations
    path = tmp_path / "run.ckpt"
    for max_iter in (1, 3):
        short = quietly(call, max_iter=max_iter, checkpoint=path)
        same(short, quietly(call, max_iter=max_iter))
        content = path.read_bytes()
        with pytest.warns(gpulr.ResumedWarning, match="nothing is trained"):
            same(call(max_iter=max_iter, checkpoint=path), short)
        assert path.read_bytes() == content
    expected = quietly(call)
    with pytest.warns(gpulr.ResumedWarning, match="goes on from"):
        same(call(checkpoint=path), expected)
    with pytest.warns(gpulr.ResumedWarning, match="nothing is trained"):
        call(max_iter=3, checkpoint=path)


@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
@pytest.mark.parametrize("name", ["learning_curve", "permutation_test"])
def test_what_is_done_is_not_scored_again(offers, tmp_path, monkeypatch, name):
    monkeypatch.setattr("gpulr.families.permutation_test.WORKING_BYTES", 2**16)
    (X, y), scored, path = rows(), [], tmp_path / "run.ckpt"

    def accuracy(y_true, P):
        scored.append(len(y_true))
        return np.mean(y_true == P.argmax(axis=1))

    def call(**how):
        return getattr(gpulr, name)(X, y, scoring=accuracy, **OTHERS[name], **how)

    expected = call()
    every = len(scored)
    n = offers(lambda: call(checkpoint=path))
    path.unlink()
    scored.clear()
    offers(lambda: call(checkpoint=path), n - 1)
    assert 0 < len(scored) < every
    same(quietly(call, checkpoint=path), expected)
    assert len(scored) == every
    same(quietly(call, checkpoint=path), expected)
    assert len(scored) == every


@pytest.mark.parametrize("name", ["learning_curve", "permutation_test"])
def test_draws_that_are_others_each_time_have_no_checkpoint(tmp_path, name):
    how = {"checkpoint": tmp_path / "run.ckpt", "random_state": None, **OTHERS[name]}
    with pytest.raises(gpulr.ParameterError, match="Pass a whole number"):
        getattr(gpulr, name)(*rows(), **how)
