"""Families over parts of a Dask array, called in this process, against those of all rows."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest

import gpulr
from checkpoints import Interrupt, same
from gpulr.distributed import Here
from gpulr.errors import DataError
from gpulr.families import bootstrap
from gpulr.families.checkpoint_place import Place
from gpulr.families.partitioned_inputs import read_partitioned
from gpulr.families.search import search_on
from gpulr.families.settings import Settings
from gpulr.families.training import train_on
from gpulr.solvers import refresh
from parted import Losing

da = pytest.importorskip("dask.array", reason="of Dask's arrays")
N, CUTS = 900, (200, 300, 1, 399)
CLASSES = np.array(["ash", "elm", "oak"])
RNG = np.random.default_rng(8)
X = RNG.normal(size=(N, 5))
SCORES = X @ RNG.normal(size=(5, 3)) + RNG.normal(size=(N, 3))
Y = CLASSES[SCORES.argmax(axis=1)]
MATRIX = (SCORES > 0.5).astype(np.float64)
MATRIX[::9, 1] = np.nan
WEIGHT = np.where(np.arange(N) % 7 == 0, 0.0, RNG.uniform(0.5, 2.0, N))
BYTES = np.clip(40 * X + 128, 0, 255).astype(np.uint8)


def make_here(function, *columns, engine=Here):
    """Do what DaskEngine.make does for a client, in this process."""

    def here(x):
        return x.compute(scheduler="sync") if hasattr(x, "__dask_graph__") else x

    return engine(function(*map(here, row)) for row in zip(*columns, strict=True))


def in_parts(
    X, y, sample_weight=None, class_weight=None, pos_weight=None, image_shape=None, engine=Here
):
    lazy = X if hasattr(X, "__dask_graph__") else da.from_array(X, chunks=(CUTS, *X.shape[1:]))
    inputs = read_partitioned(lazy, y, image_shape, partial(make_here, engine=engine))
    return inputs.weighted(sample_weight, class_weight, pos_weight)


CASES = {
    "classes": {},
    "two classes": {"y": Y == "elm"},
    "weights": {"sample_weight": WEIGHT},
    "weights of classes": {"class_weight": {"ash": 3.0, "oak": 0.5}, "sample_weight": WEIGHT},
    "balanced": {"class_weight": "balanced", "sample_weight": WEIGHT},
    "pos_weight": {"pos_weight": [1.0, 2.0, 3.0]},
    "labels": {"y": MATRIX},
    "labels, weights": {"y": MATRIX, "sample_weight": WEIGHT, "pos_weight": 3.0},
    "labels, balanced": {"y": MATRIX, "class_weight": "balanced"},
    "standardized": {"X": 50.0 * X + 1000.0, "standardize": True},
    "standardized bytes": {"X": BYTES, "standardize": True},
    "bytes": {"X": BYTES},
    "tiny and huge features": {"X": X * np.array([1e-8, 1e9, 1, 1, 1]), "C": 1e15},
    "no intercept": {"fit_intercept": False},
    "images": {"X": np.repeat(BYTES, 2, axis=1).reshape(N, 5, 2)},
    "gradient descent": {"solver": "nesterov", "max_iter": 20, "tol": 0.0},
}


@pytest.mark.parametrize("case", CASES)
def test_training_equals_that_of_one_process(case):
    how = {"X": X, "y": Y, "C": 1.0, "tol": 1e-7, "dtype": "float64"} | CASES[case]
    rows, y, C = (how.pop(name) for name in ("X", "y", "C"))
    weights = {
        name: how.pop(name, None) for name in ("sample_weight", "class_weight", "pos_weight")
    }
    one = gpulr.train(rows, y, C=C, **weights, **how)
    shape = rows.shape[1:] if rows.ndim > 2 else None
    model, _ = train_on(in_parts(rows, y, **weights, image_shape=shape), Settings(**how), C=C)
    assert one.history.converged.all() == model.history.converged.all()
    scale = abs(one.weights).max(axis=1, keepdims=True)  # of each feature, which may be tiny
    np.testing.assert_allclose(model.weights / scale, one.weights / scale, atol=2e-5)
    np.testing.assert_allclose(model.intercept, one.intercept, atol=2e-5 * abs(one.intercept).max())
    np.testing.assert_array_equal(model.classes, one.classes)
    assert model.classes.dtype == one.classes.dtype
    if one.feature_std is None:
        assert model.feature_std is None
    else:
        np.testing.assert_allclose(model.feature_std, one.feature_std, rtol=1e-9)
    np.testing.assert_allclose(model.data["prior"], one.data["prior"], rtol=1e-12)
    facts = ("settings", "versions", "backend", "device", "fallback_reason", "multilabel")
    for name in (*facts, "scale", "image_shape"):
        assert getattr(model, name) == getattr(one, name)
    assert {**model.data, "prior": 0} == {**one.data, "prior": 0}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_labels_and_weights_are_cut_as_the_rows_are(dtype):
    def weights(y, w):
        return train_on(in_parts(X, y, w), Settings(dtype=dtype))[0].weights

    expected = weights(Y, WEIGHT)
    lazy_y, lazy_w = da.from_array(Y, chunks=250), da.from_array(WEIGHT, chunks=77)
    for y, w in ((lazy_y, lazy_w), (lazy_y[:, None], WEIGHT), (list(Y), list(WEIGHT))):
        np.testing.assert_array_equal(weights(y, w), expected)


def test_blocks_of_unknown_length_and_without_rows():
    lazy, some = da.from_array(X, chunks=(CUTS, 5)), X[:, 0] > 0.5
    keep = da.from_array(some, chunks=(CUTS,))
    expected = gpulr.train(X[some], Y[some], tol=1e-7, dtype="float64").weights
    y = da.from_array(Y, chunks=(CUTS,))
    fewer = da.from_array(Y, chunks=300)[da.from_array(some, chunks=300)]
    for labels in (Y[some], y[keep], fewer):
        inputs = in_parts(lazy[keep], labels)
        assert inputs.engine.n_parts == 4 - (not some[500])
        model, _ = train_on(inputs, Settings(tol=1e-7, dtype="float64"))
        np.testing.assert_allclose(model.weights, expected, atol=1e-5)
    with pytest.raises(DataError, match=rf"X has {some.sum()} rows and y has {some[:600].sum()};"):
        in_parts(lazy[keep], fewer.blocks[:2])
    with pytest.raises(DataError, match=r"none of its blocks has rows"):
        in_parts(lazy[lazy[:, 0] > 99.0], y)


def test_a_part_without_some_class():
    order = np.argsort(Y, kind="stable")
    expected = gpulr.train(X[order], Y[order], tol=1e-7, dtype="float64").weights
    model, _ = train_on(in_parts(X[order], Y[order]), Settings(tol=1e-7, dtype="float64"))
    np.testing.assert_allclose(model.weights, expected, atol=1e-5)


def test_frames_and_sparse_blocks():
    frames = pytest.importorskip("dask.dataframe", reason="of Dask's DataFrames")
    pandas, sparse = pytest.importorskip("pandas"), pytest.importorskip("scipy.sparse")
    how = {"tol": 1e-7, "dtype": "float64"}
    table = pandas.DataFrame(X, columns=list("abcde")).assign(tree=Y)
    lazy = frames.from_pandas(table, npartitions=3)
    model, _ = train_on(in_parts(lazy[list("abcde")], lazy["tree"]), Settings(**how))
    assert model.data["feature_names"] == list("abcde")
    np.testing.assert_allclose(model.weights, gpulr.train(X, Y, **how).weights, atol=2e-5)
    thin = np.where(X > 0.5, X, 0.0)
    blocks = da.from_array(thin, chunks=(CUTS, 5)).map_blocks(sparse.csr_array, dtype=X.dtype)
    model, _ = train_on(in_parts(blocks, Y), Settings(**how))
    np.testing.assert_allclose(model.weights, gpulr.train(thin, Y, **how).weights, atol=2e-5)
    np.testing.assert_array_equal(model.predict(blocks).compute(), model.predict(thin))
    assert model.score(blocks, Y) == model.score(thin, Y)


def test_a_column_of_objects_that_are_no_numbers_is_named_with_its_part():
    dask, frames = pytest.importorskip("dask"), pytest.importorskip("dask.dataframe")
    table = pytest.importorskip("pandas").DataFrame(X, columns=list("abcde")).astype({"b": object})
    table.loc[len(X) - 1, "b"] = "tall"
    with dask.config.set({"dataframe.convert-string": False}):
        lazy = frames.from_pandas(table, npartitions=3)
    with pytest.raises(DataError, match=r"Part 2 \(X\.partitions\[2\]\): .* not numbers: 'b'"):
        train_on(in_parts(lazy, Y), Settings())


def test_a_start_and_models_one_by_one():
    how = Settings(tol=1e-7, dtype="float64")
    whole, _ = train_on(in_parts(X, Y), how)
    again, _ = train_on(in_parts(X, Y), how, start=whole)
    assert again.n_iter == 0
    single, _ = train_on(in_parts(X, Y), how, batched=False)
    np.testing.assert_allclose(single.weights, whole.weights, atol=2e-5)


def test_what_is_sent_does_not_grow_with_the_rows():
    engines = []

    class Counted(Here):
        def __init__(self, parts):
            super().__init__(parts)
            engines.append(self)

        def map_each(self, method, arguments):
            parts = super().map_each(method, arguments).parts
            self.counts.sent += sum(len(pickle.dumps(each)) for each in arguments)
            return Counted(parts)

    rng, both = np.random.default_rng(1), []
    for n in (30_000, 90_000):  # of which 12,000 are the sample, which comes here once
        rows = da.from_array(rng.normal(size=(n, 4)), chunks=(n // 5, 4))
        labels = da.from_array(rng.integers(0, 3, n), chunks=n // 5)
        weight = da.from_array(rng.uniform(1, 2, n), chunks=n // 5)
        engines.clear()
        inputs = in_parts(rows, labels, weight, engine=Counted)
        train_on(inputs, Settings(max_iter=3, tol=0.0, standardize=True))
        both.append([sum(getattr(e.counts, way) for e in engines) for way in ("sent", "received")])
    sample = 12_000 * (8 * 4 + 4 + 4)
    np.testing.assert_allclose(both[0], both[1], rtol=0.1)
    assert both[1][1] < sample + 100_000
    assert both[1][0] < 300_000


def replaced(number, change):
    """Return a Dask array of which one block is changed, without its dtype or shape being told."""
    blocks = [da.from_array(part, chunks=-1) for part in np.split(X, np.cumsum(CUTS)[:-1])]
    blocks[number] = blocks[number].map_blocks(change, dtype=X.dtype, meta=X[:0])
    return da.concatenate(blocks)


def holed(block):
    return np.where(np.arange(len(block))[:, None] == 7, np.nan, block)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda block: block.astype(np.float32), "has dtype float32, and Part 0 .* float64"),
        (lambda block: block[:, :4], "has features 4, and Part 0 .* has 5"),
        (holed, r"NaN or infinity \(first in row 7\)"),
        (lambda block: block.astype(complex), "complex"),
    ],
    ids=["dtype", "width", "NaN", "complex"],
)
def test_errors_name_the_part(change, says):
    with pytest.raises(DataError, match=rf"Part 3 \(X\.blocks\[3\]\).*{says}"):
        train_on(in_parts(replaced(3, change), Y), Settings())


def test_labels_that_do_not_belong_to_the_rows():
    with pytest.raises(DataError, match="900 rows and y has 899"):
        in_parts(X, da.from_array(Y[:-1], chunks=100))
    with pytest.raises(DataError, match="899"):
        in_parts(X, Y[:-1])
    with pytest.raises(DataError, match="one class only"):
        in_parts(X, np.zeros(N))
    with pytest.raises(DataError, match="Pass both X and y"):
        in_parts(X, None)
    mixed = da.from_array(Y, chunks=(CUTS,)).map_blocks(lambda y: y if len(y) > 1 else y != "elm")
    with pytest.raises(DataError, match=r"y holds .* in Part 0 .* and .* in Part 2 .* one kind"):
        in_parts(X, mixed)
    holed = da.from_array(np.where(np.arange(N) == 600, np.nan, 1.0 * (Y == "elm")), chunks=(CUTS,))
    with pytest.raises(DataError, match=r"Part 3 .*y holds NaN"):
        in_parts(X, holed)
    with pytest.raises(DataError, match=r"zero, which leaves fewer than two classes"):
        in_parts(X, Y, class_weight={"elm": 0.0, "ash": 0.0})
    with pytest.raises(DataError, match=r"Part 2 .*negative"):
        in_parts(X, Y, da.from_array(np.where(np.arange(N) == 500, -1.0, 1.0), chunks=(CUTS,)))
    with pytest.raises(gpulr.ParameterError, match="'yew'"):
        in_parts(X, Y, class_weight={"yew": 2.0})


SEARCHES = {
    "accuracy": {"sample_weight": WEIGHT},
    "balanced_accuracy": {},
    "neg_log_loss": {"class_weight": {"ash": 2.0}, "sample_weight": WEIGHT},
    "neg_brier_score": {"y": Y == "elm"},
    "f1": {"y": Y == "elm", "sample_weight": WEIGHT},
    "f1_macro": {"class_weight": "balanced"},
    "precision_micro": {"per_model": True},
    "recall_weighted": {"refit": "mean", "keep_paths": True},
    "top_k_accuracy": {},
    "roc_auc": {"y": Y == "elm", "sample_weight": WEIGHT},
    "roc_auc_ovr": {"refit": False},
    "roc_auc_ovr_weighted": {"sample_weight": WEIGHT},
    "average_precision_macro": {"per_model": True},
    "average_precision_micro": {"sample_weight": WEIGHT},
    "roc_auc of labels": {"y": MATRIX, "per_model": True},
    "average_precision_weighted of labels": {"y": MATRIX, "sample_weight": WEIGHT},
    "accuracy of labels": {"y": MATRIX, "sample_weight": WEIGHT},
    "balanced_accuracy of labels": {"y": MATRIX},
    "neg_log_loss of labels": {"y": MATRIX, "per_model": True},
    "f1 of labels": {"y": MATRIX, "refit": "1se"},
}


@pytest.mark.parametrize("case", SEARCHES)
def test_search_equals_that_of_one_process(case):
    how = {"y": Y, "refit": True, "per_model": False, "keep_paths": False} | SEARCHES[case]
    weights = {name: how.pop(name, None) for name in ("sample_weight", "class_weight")}
    how |= {"Cs": [0.01, 1.0], "cv": 4, "scoring": case.partition(" ")[0]}
    y, settings = how.pop("y"), Settings(tol=1e-7, dtype="float64")
    one = gpulr.search(X, y, tol=1e-7, dtype="float64", **weights, **how)
    how |= {"groups": None, "callbacks": (), "memory": None}
    found, _ = search_on(in_parts(X, y, **weights), settings, "auto", **how)
    np.testing.assert_allclose(found.scores, one.scores, atol=1e-6)
    np.testing.assert_array_equal(found.best_C, one.best_C)
    if how["refit"]:
        np.testing.assert_allclose(found.model.weights, one.model.weights, atol=2e-5)
    if how["per_model"]:
        np.testing.assert_allclose(found.model_scores, one.model_scores, atol=1e-6)
    if how["keep_paths"]:
        np.testing.assert_allclose(found.paths, one.paths, atol=2e-5)


def searched(y=Y, weight=None, engine=Here, max_iter=2000, **how):
    common = {"Cs": [1.0], "cv": 3, "groups": None, "scoring": "accuracy", "refit": False}
    common |= {"callbacks": (), "memory": None}
    inputs = in_parts(X, y, weight, engine=engine)
    return search_on(inputs, Settings(max_iter=max_iter), "auto", **common | how)


def test_what_a_search_over_parts_refuses():
    with pytest.raises(gpulr.ParameterError, match=r"Use one of accuracy, .*top_k_accuracy, or"):
        searched(scoring=lambda truth, P: 1.0)
    with pytest.raises(gpulr.ParameterError, match="scoring=matthews_corrcoef needs all held-out"):
        searched(scoring="matthews_corrcoef")
    for how in ({"cv": [(np.arange(9), np.arange(9, 20))]}, {"groups": np.arange(N)}):
        with pytest.raises(gpulr.ParameterError, match=r"on the workers .* such as cv=5"):
            searched(**how)
    with pytest.raises(gpulr.ParameterError, match="too many folds"):
        searched(cv=N)
    rare = np.where(np.arange(N) == 450, "yew", Y)
    with pytest.raises(DataError, match=r"Fold 2 trains on no row of \['yew'\]"):
        searched(rare)
    weight = np.where(np.arange(N) < 450, 0.0, 1.0)
    with pytest.raises(DataError, match=r"fold 0 is scored on have sample_weight 0"):
        searched(weight=weight)


LOSSES = {
    "the folds": (lambda trips: trips[-1] == "fold_sums", None),
    "the first score": (lambda trips: trips.count("scores") == 1, None),
    "the second score": (lambda trips: trips.count("scores") == 2, [0.1]),
    "the refit": (lambda trips: trips.count("scores") == 2 and trips[-1] != "scores", [0.1, 1.0]),
}


@pytest.mark.parametrize("when", LOSSES)
def test_a_search_that_loses_its_rows_has_what_was_done_before(when):
    (loses, Cs), trips = LOSSES[when], []

    class Lost(Here):
        def map_each(self, method, arguments):
            return Lost(super().map_each(method, arguments).parts)

        def _answers(self, method, calls):
            trips.append(method)
            if loses(trips):
                raise gpulr.WorkersLostError("No worker is left.", ())
            return super()._answers(method, calls)

    how = {"Cs": [0.1, 1.0], "max_iter": 4, "refit": True}
    with pytest.raises(gpulr.WorkersLostError, match="No worker is left") as raised:
        searched(engine=Lost, **how)
    found = raised.value.search
    if Cs is None:
        assert found is None
    else:
        assert found.Cs.tolist() == Cs
        whole, _ = searched(**how)
        np.testing.assert_array_equal(found.scores, whole.scores[:, : len(Cs)])
        assert found.model is None


@pytest.mark.parametrize("kind", ["poisson", "multinomial"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weights"])
def test_bootstrap_draws_what_one_process_draws(kind, weight, monkeypatch):
    how = {"n": 4, "weights": kind, "random_state": 3, "tol": 1e-8, "dtype": "float64"}
    y = np.where(np.arange(N) == 5, "yew", Y)  # some replicates are drawn again
    one = gpulr.bootstrap(X, y, sample_weight=weight, **how)
    monkeypatch.setattr(bootstrap, "read_inputs", lambda X, y, *_, **__: in_parts(X, y))
    many = gpulr.bootstrap(X, y, sample_weight=weight, **how)
    np.testing.assert_allclose(many.coef, one.coef, atol=2e-4)
    assert abs(one.coef[0] - one.coef[1]).max() > 0.05
    np.testing.assert_allclose(many.model.weights, one.model.weights, atol=2e-5)
    assert many.model.settings == one.model.settings


RESUMED = {
    "classes": {},
    "own curvature": {"C": 1e3, "tol": 1e-6},
    "labels, weights": {"y": MATRIX, "sample_weight": WEIGHT, "pos_weight": 3.0},
    "standardized bytes": {"X": BYTES, "standardize": True},
    "one by one": {"batched": False, "tol": 1e-2},
    "nesterov": {"solver": "nesterov", "max_iter": 6, "tol": 0.0},
}


@pytest.mark.parametrize(
    "engine", [Here, partial(Losing, loses=lambda trip, part: trip % 3 == part)]
)
@pytest.mark.parametrize("case", RESUMED)
def test_a_training_goes_on_to_the_same_bits(case, engine, tmp_path, monkeypatch):
    how = {"X": X, "y": Y, "C": 1.0, "batched": True} | RESUMED[case]
    rows, y, C, batched = (how.pop(name) for name in ("X", "y", "C", "batched"))
    weights = {name: how.pop(name, None) for name in ("sample_weight", "pos_weight")}
    if case == "own curvature":
        monkeypatch.setattr(refresh, "MARGIN", -1.0)

    def train(callback, place=None):
        inputs = in_parts(rows, y, **weights, engine=engine)
        call = {"C": C, "batched": batched, "callbacks": [callback], "place": place}
        return train_on(inputs, Settings(**how), **call)[0]

    whole = Interrupt()
    expected = train(whole)
    for at in range(len(whole.told)):
        place = Place(tmp_path / f"{at}.ckpt", None)
        with pytest.raises(gpulr.TrainingInterrupted):
            train(Interrupt(at), place)
        told = Interrupt()
        with pytest.warns(gpulr.ResumedWarning, match="goes on from"):
            same(train(told, place), expected)
        assert told.told == whole.told[at:]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chunks": (450, 450)}, "the parts of X are others here"),
        ({"X": X + 1e-9}, "X is another one here"),
        ({"y": np.roll(Y, 1)}, "y is another one here"),
        ({"sample_weight": None}, "sample_weight was given, and is None here"),
        ({"sample_weight": WEIGHT + 1e-9}, "sample_weight is another one here"),
    ],
)
def test_another_training_in_parts_is_told(change, words, tmp_path):
    place = Place(tmp_path / "run.ckpt", None)

    def train(X=X, y=Y, sample_weight=WEIGHT, chunks=CUTS):
        lazy = da.from_array(X, chunks=(chunks, 5))
        return train_on(in_parts(lazy, y, sample_weight), Settings(), place=place)

    train()
    with pytest.raises(gpulr.CheckpointError, match=f"another run: {words}"):
        train(**change)


def test_a_training_of_all_rows_is_another_one(tmp_path):
    gpulr.train(X, Y, checkpoint=tmp_path / "run.ckpt")
    with pytest.raises(gpulr.CheckpointError, match="backend was numpy, and is numpy on a cluster"):
        train_on(in_parts(X, Y), Settings(), place=Place(tmp_path / "run.ckpt", None))


@pytest.mark.parametrize("rows", [150, 0])
def test_a_block_shorter_than_its_chunk_is_named(rows):
    whole = da.from_array(X, chunks=(300, 5))
    short = whole.map_blocks(
        lambda block, block_info=None: (
            block[:rows] if block_info[0]["chunk-location"][0] == 1 else block
        ),
        meta=np.empty((0, 5)),
    )
    with pytest.raises(DataError, match=rf"Part 1 .*has {rows} rows, and X.chunks says .* 300"):
        in_parts(short, Y)


@pytest.mark.parametrize("client", [False, True])
def test_text_columns_of_a_table_are_named_before_they_are_computed(client):
    pd = pytest.importorskip("pandas", reason="of tables")
    dd = pytest.importorskip("dask.dataframe", reason="of tables")

    def refuse(table):
        raise AssertionError("it was computed")

    meta = pd.DataFrame({"height": [1.0], "name": pd.array(["a"], "string"), "born": [pd.NaT]})
    table = dd.from_pandas(meta, npartitions=1).map_partitions(refuse, meta=meta.iloc[:0])
    with pytest.raises(DataError, match=r"not numbers: 'name' \(string.*\), 'born' \(datetime"):
        in_parts(table, np.arange(1)) if client else gpulr.train(table, np.arange(1))
