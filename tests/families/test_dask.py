"""Families over the workers of a Dask cluster: what users call, and what comes back."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr

pytest.importorskip("distributed", reason="of Dask's clusters")
import dask.array as da

from checkpoints import Interrupt, interrupted, resumed, same
from clusters import cluster

N = 40_000  # of which the sample are 12,000
RNG = np.random.default_rng(4)
X = RNG.normal(size=(N, 30)).astype(np.float32)
NOISY = X @ RNG.normal(size=(30, 3)) + 3.0 * RNG.normal(size=(N, 3))
Y = np.array(["ash", "elm", "oak"])[NOISY.argmax(axis=1)]
WEIGHT = RNG.uniform(0.5, 2.0, N)


def lazy():
    """Rows, labels and weights, in chunks of their own."""
    return (
        da.from_array(X, chunks=(9_000, 30)),
        da.from_array(Y, chunks=7_000),
        da.from_array(WEIGHT, chunks=13_000),
    )


@pytest.fixture(scope="module")
def client():
    with cluster(n_workers=2) as client:
        yield client


def test_training_and_what_is_told_of_it(client):
    told = {"one": [], "many": []}
    one = gpulr.train(X, Y, sample_weight=WEIGHT, tol=1e-6, callbacks=[told["one"].append])
    rows, y, weight = lazy()
    many = gpulr.train(rows, y, sample_weight=weight, tol=1e-6, callbacks=[told["many"].append])
    np.testing.assert_allclose(many.weights, one.weights, atol=5e-5 * abs(one.weights).max())
    assert [each.iteration for each in told["many"]] == list(range(many.n_iter + 1))
    assert told["many"][-1].converged.all()
    assert {**many.data, "prior": 0} == {**one.data, "prior": 0}
    facts = ("settings", "versions", "backend", "device", "fallback_reason", "scale")
    assert all(getattr(many, name) == getattr(one, name) for name in facts)


def test_the_same_bits_for_any_number_of_workers(client):
    rows, y, weight = lazy()
    two = gpulr.train(rows, y, sample_weight=weight)
    with cluster(n_workers=3, threads_per_worker=2):
        three = gpulr.train(rows, y, sample_weight=weight)
    np.testing.assert_array_equal(two.weights, three.weights)
    np.testing.assert_array_equal(two.history.cost, three.history.cost)


def test_a_training_goes_on_on_other_workers(client, tmp_path):
    rows, y, weight = lazy()
    whole, how = Interrupt(), {"sample_weight": weight, "tol": 1e-7}
    expected = gpulr.train(rows, y, callbacks=[whole], **how)
    for at in (0, 3):
        path = tmp_path / f"{at}.ckpt"
        interrupted(path, at, rows, y, **how)
        with cluster(n_workers=1, threads_per_worker=2):
            model, told = resumed(rows, y, checkpoint=path, **how)
        assert told == whole.told[at:]
        same(model, expected)


def test_search_bootstrap_evaluation_and_predictions(client):
    rows, y, weight = lazy()
    how = {"Cs": [1e-4, 1.0], "cv": 3, "sample_weight": weight}
    found, one = gpulr.search(rows, y, **how), gpulr.search(X, Y, **how | {"sample_weight": WEIGHT})
    np.testing.assert_allclose(found.scores, one.scores, atol=2e-4)
    some = slice(0, 9_000)
    few = gpulr.bootstrap(rows[:18_000], y[:18_000], n=2, random_state=0)
    np.testing.assert_allclose(
        few.coef, gpulr.bootstrap(X[:18_000], Y[:18_000], n=2, random_state=0).coef, atol=2e-2
    )
    model = found.model
    many, here = model.evaluate(rows, y, weight), model.evaluate(X, Y, WEIGHT)
    np.testing.assert_allclose(many.confusion, here.confusion)
    assert list(many.averages.items()) == [(n, pytest.approx(x)) for n, x in here.averages.items()]
    assert many.table.dtype == here.table.dtype
    for name in here.table.dtype.names[1:]:
        np.testing.assert_allclose(many.table[name], here.table[name], rtol=1e-6)
    assert model.score(rows, Y) == pytest.approx(model.score(X, Y))
    predicted = model.predict(rows)
    assert isinstance(predicted, da.Array)
    np.testing.assert_array_equal(predicted[some].compute(), model.predict(X[some]))
    estimator = gpulr.OneVsAllLogisticRegression().fit(rows, y)
    assert estimator.score(rows, y) == pytest.approx(estimator.score(X, Y))


def test_rankings_of_blocks_some_of_which_have_no_rows(client):
    rows, _, _ = lazy()
    some = da.from_array(np.arange(N) % 3 + (np.arange(N) // 9_000 == 1) < 1, chunks=9_000)
    few, own = rows[some], da.from_array(Y, chunks=9_000)[some]
    found = gpulr.search(few, own, Cs=[1e-4], cv=3, scoring="roc_auc_ovr", refit=False)
    kept = some.compute()
    how = {"Cs": [1e-4], "cv": 3, "scoring": "roc_auc_ovr"}
    one = gpulr.search(X[kept], Y[kept], **how)
    np.testing.assert_allclose(found.scores, one.scores, atol=2e-5)
    many, here = one.model.evaluate(few, own), one.model.evaluate(X[kept], Y[kept])
    assert many.averages["roc_auc_ovr"] == pytest.approx(here.averages["roc_auc_ovr"], abs=1e-7)


def test_an_evaluation_is_few_tasks(client, monkeypatch):
    tasks, compute = [], client.compute
    monkeypatch.setattr(client, "compute", lambda some: tasks.append(len(some)) or compute(some))
    model = gpulr.train(X[:2000], Y[:2000], tol=0.1)
    n_parts = 16
    rows = da.from_array(X, chunks=(N // n_parts, 30))
    found = model.evaluate(rows, da.from_array(Y, chunks=N // n_parts))
    assert found.averages["roc_auc_ovr"] == pytest.approx(
        model.evaluate(X, Y).averages["roc_auc_ovr"], abs=1e-7
    )
    assert tasks == [n_parts, n_parts, 1]  # parts, their margins, and whoever ranks them


@pytest.mark.parametrize("kind", ["classes", "two classes", "labels"])
@pytest.mark.parametrize("here", [True, False], ids=["no client", "client"])
def test_calibration_and_thresholds_by_margins_of_blocks(client, monkeypatch, kind, here):
    y = {"classes": Y, "two classes": Y == "elm", "labels": (NOISY > 1).astype(float)}[kind]
    if kind == "labels":
        y[::9, 1] = np.nan
    model = gpulr.train(X[:2000], y[:2000], tol=0.1)
    Z, w = model.decision_function(X), np.where(np.arange(N) % 5 == 0, 0.0, WEIGHT)
    rows, _, _ = lazy()
    if here:
        monkeypatch.setattr("gpulr.model.held_out.current_client", lambda: None)
    lazy_Z, lazy_y = model.decision_function(rows), da.from_array(y, chunks=7_000)
    many = model.calibrated(lazy_Z, lazy_y, w).with_thresholds(lazy_Z, y, "f1")
    one = model.calibrated(Z, y, w).with_thresholds(Z, y, "f1")
    np.testing.assert_allclose(many.weights, one.weights, rtol=1e-5)
    np.testing.assert_allclose(many.thresholds, one.thresholds, rtol=1e-6)
    assert many.data["calibration"]["n_samples"] == N
    np.testing.assert_allclose(many.data["calibration"]["a"], one.data["calibration"]["a"], 1e-7)


def test_what_are_no_margins_of_blocks(client):
    model = gpulr.train(X[:2000], Y[:2000], tol=0.1)
    rows, y, _ = lazy()
    with pytest.warns(gpulr.ParameterWarning, match="as probabilities do"):
        model.with_thresholds(model.predict_proba(rows), y)
    with pytest.raises(gpulr.DataError, match=r"Block \d of Z: .*shape \(\d+, 2\)"):
        model.calibrated(model.decision_function(rows)[:, :2], y)
    with pytest.raises(gpulr.DataError, match="X has 40,000 rows and y has 39,999"):
        model.calibrated(model.decision_function(rows), y[1:])


def test_what_is_not_for_rows_elsewhere(client):
    rows, y, _ = lazy()
    for family in (gpulr.permutation_test, gpulr.cross_val_predict, gpulr.learning_curve):
        with pytest.raises(gpulr.ParameterError, match=r"train, search, bootstrap and evaluate"):
            family(rows, y)


def fail(block, block_info=None):
    if block_info[0]["chunk-location"][0] == 3:
        raise OSError("the disk is gone")
    return block


def holed(block, block_info=None):
    rows = np.arange(len(block))[:, np.newaxis] == 7
    return np.where(rows & (block_info[0]["chunk-location"][0] == 3), np.nan, block)


def test_errors_name_the_part_and_have_their_cause(client):
    rows, y, _ = lazy()
    bad = {"dtype": X.dtype, "meta": X[:0]}
    with pytest.raises(gpulr.DataError, match=r"Part 3 of 5 cannot be made: .*disk") as caught:
        gpulr.train(rows.map_blocks(fail, **bad), y)
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(gpulr.DataError, match=r"Part 3 \(X\.blocks\[3\]\): .*NaN.*in row 7\)"):
        gpulr.train(rows.map_blocks(holed, **bad), y)
    model = gpulr.train(rows, y, max_iter=1, tol=1.0)
    with pytest.raises(gpulr.DataError, match=r"Block 3 of X: .*NaN"):
        model.evaluate(rows.map_blocks(holed, **bad), y)
    with pytest.raises(gpulr.DataError, match=r"Part 3 of 5 cannot be made: .*disk") as caught:
        model.evaluate(rows.map_blocks(fail, **bad), y)
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(gpulr.DataError, match=r"Block 3 of X: .*NaN.*in row 7\)"):
        model.predict(rows.map_blocks(holed, **bad)).compute()
    for ask in (model.evaluate, model.score):
        with pytest.raises(gpulr.DataError, match=r"^There is no y"):
            ask(rows)


def test_an_interruption_has_the_model_so_far(client):
    def interrupt(progress):
        if progress.iteration == 2:
            raise KeyboardInterrupt

    rows, y, _ = lazy()
    with pytest.raises(gpulr.TrainingInterrupted) as caught:
        gpulr.train(rows, y, tol=1e-7, callbacks=[interrupt])
    assert caught.value.model.n_iter == 2
    assert gpulr.train(rows, y).converged  # the cluster is as it was


def test_without_workers_an_evaluation_does_not_wait_for_ever(monkeypatch):
    model = gpulr.train(X[:1000], Y[:1000], max_iter=1, tol=1.0)
    monkeypatch.setenv("GPULR_WORKER_TIMEOUT", "0.5")
    with cluster(n_workers=0), pytest.raises(gpulr.WorkersLostError, match="no worker came"):
        model.evaluate(*lazy())


def test_a_lost_cluster_leaves_the_model_so_far():
    with cluster(n_workers=1) as client:

        def close(progress):
            if progress.iteration == 2:
                client.close()

        rows, y, _ = lazy()
        with pytest.raises(gpulr.WorkersLostError, match="the client is closed") as caught:
            gpulr.train(rows, y, tol=1e-7, callbacks=[close])
    model = caught.value.model
    assert model.n_iter == 2
    assert model.evaluate(X, Y).accuracy > 0.6


def test_a_lost_cluster_leaves_what_a_search_has_done():
    rows, y, _ = lazy()
    how = {"Cs": [1.0, 1e-4, 0.01], "cv": 3}
    with cluster(n_workers=1) as client:
        whole = gpulr.search(rows, y, refit=False, **how)

        def close(progress):
            if progress.C == 1.0:  # the last one
                client.close()

        with pytest.raises(gpulr.WorkersLostError, match="the client is closed") as caught:
            gpulr.search(rows, y, callbacks=[close], **how)
    left = caught.value.search
    np.testing.assert_array_equal(left.Cs, [1e-4, 0.01])
    np.testing.assert_array_equal(left.scores, whole.scores[:, 1:])
    assert left.model is None
    assert left.converged.all()
