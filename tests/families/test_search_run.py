"""A search from its settings to its model: what it refuses, tells, keeps and warns of."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import gpulr
from gpulr.backend import to_host
from gpulr.families import search_run
from helpers import assert_optimal, stacked, targets

CS = [10.0, 0.01, 1.0]
TIGHT = {"tol": 1e-6, "dtype": "float64", "refit": False}


# ---- what is trained, in which order, and how it is told ---------------------------------------


def test_values_of_C_may_come_in_any_order(put, blobs):
    X, y = blobs
    order = [2, 0, 3, 1]
    Cs = np.array([0.01, 0.3, 5.0, np.inf])
    sorted_ = gpulr.search(put(X), y, Cs=Cs, cv=3, refit=False)
    for values in (Cs[order], Cs[order].tolist(), put(Cs[order])):
        found = gpulr.search(put(X), y, Cs=values, cv=3, refit=False)
        np.testing.assert_array_equal(found.Cs, Cs[order])
        for name in ("scores", "n_iter", "cost"):
            expected = getattr(sorted_, name)[:, order]
            np.testing.assert_array_equal(getattr(found, name), expected)
        assert (found.best_C, found.best_C_1se) == (sorted_.best_C, sorted_.best_C_1se)


def test_a_number_of_values_or_a_single_one(blobs):
    found = gpulr.search(*blobs, Cs=3, cv=2, refit=False)
    np.testing.assert_allclose(found.Cs, [1e-4, 1, 1e4])
    found = gpulr.search(*blobs, Cs=[2], cv=2, refit=np.bool_(False))
    assert found.Cs.tolist() == [2.0]
    assert found.best_C == found.best_C_1se == 2.0
    assert found.model is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"Cs": []}, "an array"),
        ({"Cs": 0}, "whole number ≥ 2"),
        *(({"Cs": one}, r"pass \[C\]") for one in (1, 1.0)),
        *(({"Cs": no}, f"Cs={no!r}") for no in (True, None, "1, 2")),
        ({"Cs": [[1.0, 2.0]]}, r"shape \(1, 2\)"),
        ({"Cs": [[1.0], [2.0, 3.0]]}, "cannot be made into an array"),
        ({"Cs": [1, -1]}, "Cs=-1"),
        ({"Cs": [1, 0.0]}, "Cs=0.0"),
        ({"Cs": [1, np.nan]}, "Cs=nan"),
        ({"Cs": ["a"]}, "Cs='a'"),
        ({"Cs": [1, 2, 1.0]}, r"\[1.0\] more than once"),
        ({"tol": 0}, "tol=0"),
        ({"max_iter": 0}, "max_iter=0"),
        *(({"refit": no}, f"refit={no!r}") for no in ("2se", 0, None)),
        ({"memory": 0}, "memory=0"),
        ({"scoring": "roc_auc"}, "roc_auc"),
        ({"cv": 1}, "cv=1"),
        ({"callbacks": [3]}, "callables"),
        ({"dtype": "float16"}, "float16"),
        ({"backend": "abacus"}, "abacus"),
    ],
)
def test_settings_that_cannot_be_used_are_told(blobs, settings, words):
    with pytest.raises(gpulr.ParameterError, match=words):
        gpulr.search(*blobs, **settings)


def test_folds_that_cannot_be_trained_are_told(blobs):
    X, y = blobs
    with pytest.raises(gpulr.DataError, match=r"Fold 1 trains on no row of \[2\]"):
        gpulr.search(X, y, cv=[(range(90), [0]), (range(60), [0])])
    weight = np.r_[np.ones(80), np.zeros(10)]
    with pytest.raises(gpulr.DataError, match="scored on have sample_weight 0"):
        gpulr.search(X, y, cv=[(range(90), range(80, 90))], sample_weight=weight)
    with pytest.raises(gpulr.DataError, match="labels"):
        gpulr.search(X, y[:-1])


def test_groups_of_classes_within_a_budget_of_memory(put, made, rng):
    y, told = np.arange(300) % 10, []
    X = (rng.normal(size=(300, 8)) + rng.normal(size=(10, 8))[y]).astype(np.float32)
    whole = gpulr.search(put(X), y, Cs=CS, cv=3, **TIGHT)
    each = gpulr.search(put(X), y, Cs=CS, cv=3, memory=1, callbacks=[told.append], **TIGHT)
    task = made[0].task
    memory = 4 * len(task.folds) * task.solver.column_bytes(task.data.rows)
    some = gpulr.search(put(X), y, Cs=CS, cv=3, memory=memory, **TIGHT)
    assert [len(path.groups) for path in made] == [1, 10, 3]
    for found, models in ((each, made[1]), (some, made[2])):
        # On a device the next C begins at a burst's end, which neighbours have a part in: models
        # differ by what tol leaves open.
        alone = task.data.rows.backend.check_every == 1
        np.testing.assert_allclose(models.theta, made[0].theta, atol=2e-4 if alone else 2e-3)
        np.testing.assert_allclose(found.cost, whole.cost, rtol=1e-9 if alone else 1e-7)
        np.testing.assert_allclose(found.scores, whole.scores, atol=0.01)  # a row
        assert found.converged.all()
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert done[-1] == told[0].total == 90
    assert [p.C for p in told[:2]] == [0.01, 0.01]
    seconds = [progress.seconds for progress in told]
    assert seconds == sorted(seconds)


def test_progress_ends_at_the_total_though_nothing_converges(blobs):
    told = []
    with pytest.warns(gpulr.ConvergenceWarning):
        gpulr.search(*blobs, Cs=CS, cv=3, max_iter=1, tol=1e-9, callbacks=[told.append])
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert (done[0], done[-1], told[-1].total) == (0, 27, 27)


def test_callbacks_are_closed(blobs):
    class Bar:
        closed = 0

        def __call__(self, progress):
            assert not self.closed

        def close(self):
            self.closed += 1

    def fail(progress):
        raise ZeroDivisionError

    gpulr.search(*blobs, Cs=CS, cv=3, callbacks=[bar := Bar()])
    assert bar.closed == 1
    with pytest.raises(ZeroDivisionError):
        gpulr.search(*blobs, Cs=CS, cv=3, callbacks=[bar := Bar(), fail])
    assert bar.closed == 1


def test_the_path_is_short(digits):
    found = gpulr.search(*digits[:2])
    assert found.scores.shape == (5, 10)
    assert found.n_iter.shape == found.converged.shape == (5, 10, 10)
    assert found.converged.all()
    assert found.n_iter.max() <= 25
    assert found.n_iter.mean() <= 8
    assert found.gradient_norm.max() <= 1e-4
    assert found.mean_scores.max() > 0.9
    assert 0 < found.seconds < 60


def test_one_warning_for_all_that_did_not_converge(blobs):
    with pytest.warns(gpulr.ConvergenceWarning) as caught:
        found = gpulr.search(*blobs, Cs=CS, cv=3, max_iter=2, tol=1e-9)
    words, left = str(caught[0].message), int((~found.converged).sum())
    assert (len(caught), caught[0].filename) == (1, __file__)
    assert words.startswith(f"{left} of 27 models did not reach tol=1e-09 (in 2 iterations)")
    assert "nor did the refitted model" in words
    assert np.isfinite(found.scores).all()
    assert left > 0
    with pytest.warns(gpulr.ConvergenceWarning, match="float32 allows no closer approach") as all_:
        gpulr.search(*blobs, Cs=CS, cv=3, tol=1e-14, refit=False)
    assert len(all_) == 1


# ---- the model ---------------------------------------------------------------------------------


@pytest.mark.covering
@pytest.mark.parametrize("refit", [True, "1se"])
def test_the_refitted_model_is_that_of_train(put, digits, refit):
    X, y, X_test, y_test = digits
    X, y = X[y < 4], y[y < 4]
    X, y, X_test, y_test = X[:240], y[:240], X_test[y_test < 4], y_test[y_test < 4]
    found = gpulr.search(put(X), y, Cs=8, cv=3, refit=refit)
    C = found.best_C if refit is True else found.best_C_1se
    assert found.best_C_1se < found.best_C
    model = found.model
    assert model.settings["C"] == C
    assert (model.settings["sample_weight"], model.settings["class_weight"]) == (False, None)
    assert model.converged
    assert_optimal(X, targets(y), stacked(model), C, tol=1.5e-4, rounding=1e-6)
    expected = gpulr.train(put(X), y, C=C)
    assert model.settings == expected.settings
    assert model.data == expected.data
    np.testing.assert_allclose(
        model.evaluate(put(X_test), y_test).accuracy,
        expected.evaluate(put(X_test), y_test).accuracy,
        atol=0.015,  # two rows
    )
    assert type(model.weights) is type(expected.weights)


def test_the_refitted_model_of_weighted_standardized_bytes(rng, tmp_path):
    y = np.array(["a", "b"])[np.arange(200) % 2]
    X = (rng.normal(100, 20, (200, 4)) + 20 * (y == "b")[:, np.newaxis]).astype(np.uint8)
    settings = {
        "standardize": True,
        "sample_weight": rng.random(200),
        "class_weight": {"a": 2.0},
        "dtype": "float64",
        "tol": 1e-8,
        "image_shape": (2, 2),
    }
    found = gpulr.search(X, y, Cs=[0.1, 1], cv=3, **settings)
    expected = gpulr.train(X, y, C=found.best_C, **settings)
    np.testing.assert_allclose(found.model.weights, expected.weights, rtol=1e-4)
    np.testing.assert_allclose(found.model.intercept, expected.intercept, rtol=1e-4)
    assert found.model.settings == expected.settings
    assert found.model.image_shape == (2, 2)
    found.model.save(tmp_path / "m.safetensors")
    assert gpulr.load(tmp_path / "m.safetensors").settings == found.model.settings


def test_data_sets_and_the_default_data(blobs, monkeypatch):
    X, y = blobs
    data = gpulr.datasets.Dataset(X, y, image_shape=(2, 2), name="stand-in", source="a test")
    monkeypatch.setattr(gpulr.datasets, "load_default", lambda: data)
    expected = gpulr.search(X, y, Cs=CS, cv=3)
    for found in (gpulr.search(Cs=CS, cv=3), gpulr.search(data, Cs=CS, cv=3)):
        np.testing.assert_array_equal(found.scores, expected.scores)
        assert found.model.data["name"] == "stand-in"
        assert found.model.image_shape == (2, 2)


# ---- interruption ------------------------------------------------------------------------------


@pytest.mark.parametrize("exception", [KeyboardInterrupt, StopIteration])
def test_an_interrupted_search_keeps_the_values_of_C_that_were_done(put, made, blobs, exception):
    X, y = blobs
    closed = []

    def interrupt(progress):
        if progress.C == 10 and progress.done > 20:
            raise exception

    interrupt.close = lambda: closed.append(True)
    with pytest.raises(gpulr.SearchInterrupted, match="after 2 of 3 values of C") as caught:
        gpulr.search(put(X), y, Cs=CS, cv=3, callbacks=[interrupt])
    found = caught.value.search
    whole = gpulr.search(put(X), y, Cs=CS, cv=3)
    assert found.Cs.tolist() == [0.01, 1.0]
    np.testing.assert_array_equal(found.scores, whole.scores[:, 1:])
    np.testing.assert_array_equal(found.n_iter, whole.n_iter[:, 1:])
    assert found.model is None
    assert found.best_C in (0.01, 1.0)
    assert closed == [True]


@pytest.mark.parametrize(
    ("told", "done", "settings"), [(0, 0, {}), (27, 3, {"max_iter": 1, "tol": 1e-9})]
)
def test_interrupted_at_once_or_when_told_of_the_last_that_ended_short(blobs, told, done, settings):
    def interrupt(progress):
        if progress.done == told:
            raise KeyboardInterrupt if told == 0 else StopIteration

    with pytest.raises(gpulr.SearchInterrupted, match=f"after {done} of 3 values of C") as caught:
        gpulr.search(*blobs, Cs=CS, cv=3, callbacks=[interrupt], **settings)
    found = caught.value.search
    if not done:
        assert found is None
    else:
        assert found.Cs.tolist() == CS
        assert found.model is None


def test_an_interrupted_refit_keeps_all_scores(monkeypatch, blobs):
    def stopped(*arguments, **settings):
        return minimize(*arguments, **settings | {"interrupted": lambda: True})

    minimize = search_run.minimize
    monkeypatch.setattr(search_run, "minimize", stopped)
    with pytest.raises(gpulr.SearchInterrupted, match="after 3 of 3 values of C") as caught:
        gpulr.search(*blobs, Cs=CS, cv=3)
    assert caught.value.search.Cs.tolist() == CS
    assert caught.value.search.model is None


def test_a_path_goes_on_from_what_it_holds(made, blobs):
    gpulr.search(*blobs, Cs=CS, cv=3, refit=False)
    task, calls = made[0].task, (lambda done, C: None, lambda: False)
    path = task.step(task.begin(), *calls)
    for _ in range(2):
        path = task.step(path, *calls)
    assert path.complete
    np.testing.assert_array_equal(path.theta, made[0].theta)
    np.testing.assert_array_equal(path.ends, made[0].ends)


def test_ctrl_c(blobs):
    pressed = []

    def press(progress):
        if progress.C == 1 and not pressed:
            pressed.append(progress)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(gpulr.SearchInterrupted) as caught:
            gpulr.search(*blobs, Cs=[0.1, 1], callbacks=[press])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.search.Cs.tolist() == [0.1]


# ---- on the path, at scale ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.mnist
def test_five_hundred_models_on_mnist(real_mnist):
    X, y = real_mnist.X[:12_000], real_mnist.y[:12_000]
    found = gpulr.search(X, y)
    assert found.converged.all()
    assert found.n_iter.max() <= 60
    assert found.mean_scores.max() > 0.89
    assert to_host(found.model.weights).shape == (784, 10)
