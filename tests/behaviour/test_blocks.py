"""Blocks in place of X: the same models, scores and errors as of the rows in memory."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.errors import DataError, ParameterError

CUTS = [0, 700, 701, 2000, 3300, 5000]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(5000, 12)).astype(np.float32)
    X *= rng.uniform(size=X.shape) < 0.5
    return X, (X @ rng.normal(size=(12, 4)) + rng.normal(size=(5000, 4))).argmax(axis=1)


class Loaders:
    """Loaders of parts of arrays, and how often each was called."""

    def __init__(self, *arrays, convert=lambda X: X, cuts=CUTS):
        self.arrays, self.convert, self.cuts = arrays, convert, cuts
        self.calls = [0] * (len(cuts) - 1)

    def load(self, i):
        self.calls[i] += 1
        X, *others = (array[self.cuts[i] : self.cuts[i + 1]] for array in self.arrays)
        return (self.convert(X), *others) if others else self.convert(X)

    def blocks(self, **options):
        n = len(self.calls)
        return gpulr.Blocks([lambda i=i: self.load(i) for i in range(n)], **options)


def blocks_of(*arrays, convert=lambda X: X, cuts=CUTS, **options):
    return Loaders(*arrays, convert=convert, cuts=cuts).blocks(**options)


def assert_same_model(model, expected, tolerance=2e-5):
    np.testing.assert_array_equal(model.classes, expected.classes)
    assert model.weights.dtype == expected.weights.dtype
    np.testing.assert_allclose(model.weights, expected.weights, atol=tolerance)
    np.testing.assert_allclose(model.intercept, expected.intercept, atol=tolerance)


def polars_table(X):
    return pytest.importorskip("polars", reason="an extra of the tests").DataFrame(X)


def pandas_table(X):
    return pytest.importorskip("pandas", reason="an extra of the tests").DataFrame(X)


def arrow_table(X):
    pa = pytest.importorskip("pyarrow", reason="an extra of the tests")
    return pa.table({f"f{j}": X[:, j] for j in range(X.shape[1])})


def tensor(X):
    torch = pytest.importorskip("torch", reason="its tests run in the session arrays")
    return torch.asarray(X.copy())


KINDS = [
    *(np.asarray, np.asfortranarray, sparse.csr_array, sparse.coo_matrix),
    *(pandas_table, polars_table, arrow_table, tensor),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_parts_of_any_kind_train_the_same_model(rows, kind):
    X, y = rows
    blocks = blocks_of(X, y, convert=kind)
    model = gpulr.train(blocks)
    assert_same_model(model, gpulr.train(X, y))
    assert model.evaluate(blocks).accuracy == pytest.approx(model.evaluate(X, y).accuracy, abs=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, np.float64, ">f4"])
@pytest.mark.parametrize("standardize", [False, True])
def test_dtypes(rows, dtype, standardize):
    X, y = (rows[0] * 20 + 100).astype(dtype), rows[1]
    how = {"dtype": "float64"} | ({"standardize": True} if standardize else {"scale": 0.01})
    assert_same_model(gpulr.train(blocks_of(X, y), **how), gpulr.train(X, y, **how), 1e-3)


def test_weights_come_from_loaders_or_beside(rows, rng):
    X, y = rows
    weight = rng.integers(0, 4, len(y)).astype(np.float64)
    expected = gpulr.train(X, y, sample_weight=weight, class_weight="balanced")
    for blocks, beside in (
        (blocks_of(X, y, weight), {}),
        (blocks_of(X, y), {"sample_weight": weight}),
        (blocks_of(X), {"y": y, "sample_weight": weight}),
    ):
        assert_same_model(gpulr.train(blocks, **beside, class_weight="balanced"), expected)
        found = expected.evaluate(blocks, **beside).table
        for name in (of := expected.evaluate(X, y, weight).table).dtype.names:
            if of[name].dtype.kind == "f":  # the sums of a row may depend on which block it is in
                np.testing.assert_allclose(found[name], of[name], rtol=1e-5)
            else:
                np.testing.assert_array_equal(found[name], of[name])
    with pytest.raises(DataError, match="sample_weight was passed too"):
        gpulr.train(blocks_of(X, y, weight), sample_weight=weight)


@pytest.mark.parametrize("labels", ["text", "dense matrix", "sparse matrix", "bool", "unknown"])
def test_labels_of_any_form(rows, labels, rng):
    X, y = rows
    matrix = (y[:, np.newaxis] == np.arange(3)).astype(np.float32)
    unknown = np.where(rng.uniform(size=matrix.shape) < 0.2, np.nan, matrix)
    y = {
        "text": np.array(["a", "bb", "c", "dddd"])[y],
        "dense matrix": matrix,
        "sparse matrix": sparse.csr_array(matrix),
        "bool": y > 1,
        "unknown": unknown,
    }[labels]
    expected = gpulr.train(X, y)
    for blocks, beside in ((blocks_of(X, y), None), (blocks_of(X), y)):
        model = gpulr.train(blocks, beside)
        assert_same_model(model, expected)
        assert model.score(blocks, beside) == pytest.approx(expected.score(X, y), abs=1e-3)


def test_classes_are_those_that_are_named(rows):
    X, y = rows
    order = np.argsort(y, kind="stable")  # most parts lack a class
    X, y = X[order], y[order]
    model = gpulr.train(blocks_of(X, y))
    assert_same_model(model, gpulr.train(X, y))
    more = gpulr.train(blocks_of(X, y, classes=[3, 2, 1, 0, 9]))
    np.testing.assert_array_equal(more.classes, [0, 1, 2, 3, 9])
    assert more.predict(X).max() == 3


def test_predictions_load_each_part_once(rows):
    X, y = rows
    model = gpulr.train(X, y)
    for name, arguments in (
        ("predict", ()),
        ("decision_function", ()),
        ("predict_proba", ()),
        ("score", (y,)),
        ("evaluate", (y,)),
    ):
        loaders = Loaders(X)
        found, expected = (getattr(model, name)(of, *arguments) for of in (loaders.blocks(), X))
        assert loaders.calls == [1] * 5
        if name == "evaluate":
            found, expected = found.confusion, expected.confusion
        # Margins may differ in their last bits: by where in a block a row is.
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_memory_and_threads_change_no_bit(rows, monkeypatch):
    X, y = rows
    first = gpulr.train(blocks_of(X, y))
    for options in ({"memory": 2**30}, {"memory": X.nbytes // 2}):
        again = gpulr.train(blocks_of(X, y, **options))
        np.testing.assert_array_equal(again.weights, first.weights)
    monkeypatch.setenv("GPULR_NUM_THREADS", "1")
    np.testing.assert_array_equal(gpulr.train(blocks_of(X, y)).weights, first.weights)


def test_what_memory_allows_is_loaded_once(rows):
    X, y = rows
    loaders = Loaders(X, y)
    gpulr.train(loaders.blocks(memory=X.nbytes), max_iter=3, tol=0)
    assert loaders.calls == [1] * 5
    loaders = Loaders(X, y)
    gpulr.train(loaders.blocks(), max_iter=3, tol=0)
    assert len(set(loaders.calls)) == 1
    assert loaders.calls[0] > 3
    few = Loaders(X, y)
    gpulr.train(few.blocks(memory=X[3300:].nbytes), max_iter=3, tol=0)
    assert few.calls == [*loaders.calls[:4], 1]


def test_known_shapes_save_a_pass(rows):
    X, y = rows
    lengths = np.diff(CUTS)
    loaders, known = Loaders(X), Loaders(X)
    gpulr.train(loaders.blocks(), y, max_iter=3, tol=0)
    gpulr.train(known.blocks(n_samples=lengths, n_features=12), y, max_iter=3, tol=0)
    # The first pass finds the features' extremes too, which takes one otherwise.
    assert known.calls == loaders.calls
    even = Loaders(X, cuts=range(0, 5001, 1000))
    model = gpulr.train(even.blocks(n_samples=5000), y)
    assert_same_model(model, gpulr.train(X, y))


def test_families_and_estimators(rows):
    X, y = rows[0][:1500], rows[1][:1500]
    cuts = [0, 500, 900, 1500]
    blocks = blocks_of(X, y, cuts=cuts)
    found, expected = (gpulr.search(*of, Cs=[0.1, 1], cv=3) for of in ((blocks,), (X, y)))
    np.testing.assert_allclose(found.scores, expected.scores, atol=2e-3)
    assert_same_model(found.model, expected.model, 1e-4)
    two = blocks_of(X, y % 2, cuts=cuts)
    boot, other = (gpulr.bootstrap(*of, n=5, random_state=0) for of in ((two,), (X, y % 2)))
    np.testing.assert_allclose(boot.model.weights, other.model.weights, atol=1e-4)
    Z, other = (gpulr.cross_val_predict(*of, cv=3) for of in ((blocks,), (X, y)))
    assert np.mean(other != Z) < 2e-3
    estimator = gpulr.OneVsAllLogisticRegression(scale=None).fit(blocks)
    alone = gpulr.OneVsAllLogisticRegression(scale=None).fit(X, y)
    np.testing.assert_allclose(estimator.coef_, alone.coef_, atol=1e-4)
    assert estimator.n_features_in_ == 12
    for name in ("predict", "predict_proba", "decision_function", "predict_log_proba"):
        of_parts, of_rows = (getattr(alone, name)(of) for of in (blocks, X))
        np.testing.assert_array_equal(of_parts, of_rows)
    assert alone.score(blocks) == alone.score(X, y)
    chosen = gpulr.OneVsAllLogisticRegressionCV(Cs=[0.1, 1], cv=3).fit(blocks_of(X, cuts=cuts), y)
    assert chosen.score(blocks) == pytest.approx(found.model.score(X, y), abs=5e-3)


def test_columns_of_tables_keep_their_names(rows):
    pandas = pytest.importorskip("pandas", reason="an extra of the tests")
    X, y = rows
    names = [f"f{j}" for j in range(12)]
    blocks = blocks_of(pandas.DataFrame(X, columns=names), y)
    model = gpulr.train(blocks)
    assert model.data["feature_names"] == names
    reverse = blocks_of(pandas.DataFrame(X[:, ::-1], columns=names[::-1]), y)
    np.testing.assert_array_equal(model.predict(reverse), model.predict(X))
    estimator = gpulr.OneVsAllLogisticRegression().fit(blocks)
    assert estimator.feature_names_in_.tolist() == names


def test_parts_may_be_images(rows):
    X, y = rows
    blocks = blocks_of(X.reshape(-1, 3, 4), y)
    assert gpulr.train(blocks).image_shape == (3, 4)
    assert gpulr.train(blocks, image_shape=(4, 3)).image_shape == (4, 3)


def broken(rows, i, what, at_call=1):
    """Return blocks of which part i is something else from a call on."""
    loaders = Loaders(*rows)

    def load(j):
        X, y = loaders.load(j)
        return what(X.copy(), y) if j == i and loaders.calls[j] >= at_call else (X, y)

    return gpulr.Blocks([lambda j=j: load(j) for j in range(5)])


def with_value(X, value):
    X[3, 5] = value
    return X


FAULTS = {
    "raises": (lambda X, y: 1 // 0, "ZeroDivisionError: "),
    "wide": (lambda X, y: (np.c_[X, X], y), r"has 24 features; .* has 12\."),
    "dtype": (lambda X, y: (X.astype(np.float64), y), r"dtype float64; .* has float32\."),
    "sparse": (lambda X, y: (sparse.csr_array(X), y), r"sparse rows; .* has none\."),
    "empty": (lambda X, y: (X[:0], y[:0]), "X is empty"),
    "nan": (lambda X, y: (with_value(X, np.nan), y), r"NaN or infinity \(first in row 3"),
    "infinite": (lambda X, y: (with_value(X, np.inf), y), r"NaN or infinity \(first in row 3"),
    "no labels": (lambda X, y: X, r"no labels; .* has them\."),
    "few labels": (lambda X, y: (X, y[1:]), "X has 1,300 rows and y has 1,299 labels"),
    "text labels": (lambda X, y: (X, y.astype(str)), "y holds text, and in the parts before numb"),
    "a matrix": (lambda X, y: (X, np.eye(4)[y]), r"y holds a matrix of the labels \[0, 1, 2, 3\]"),
    "fractions": (lambda X, y: (X, y + 0.5), "y holds fractions"),
    "weights": (lambda X, y: (X, y, np.ones(len(y))), r"weights; .* has none\."),
    "four": (lambda X, y: (X, y, None, None), "returned 4 things"),
    "none": (lambda X, y: (None, y), r"returned None; expected X, \(X, y\)"),
    "text": (lambda X, y: (X.astype(str), y), "dtype <U"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_error_names_the_part(rows, fault):
    what, words = FAULTS[fault]
    with pytest.raises(DataError, match=rf"^Part 3 \(of 5, counted from 0\) .*{words}"):
        gpulr.train(broken(rows, 3, what))


def test_a_loaders_own_error_is_the_cause(rows):
    cause = OSError("the disk is gone")

    def raises(X, y):
        raise cause

    model = gpulr.train(*rows)
    for use in (gpulr.train, model.predict, model.evaluate):
        with pytest.raises(DataError, match="OSError: the disk is gone") as info:
            use(broken(rows, 3, raises))
        assert info.value.__cause__ is cause


LATER = {
    "raises": FAULTS["raises"],
    "nan": FAULTS["nan"],
    "rows": (lambda X, y: (X[1:], y[1:]), "returned 1,300 rows before, and now 1,299 rows"),
    "other rows": (lambda X, y: (X[::-1], y), "returned other rows before"),
    "wide": FAULTS["wide"],
    "dtype": FAULTS["dtype"],
}


@pytest.mark.parametrize("fault", LATER)
@pytest.mark.parametrize("at_call", [2, 4])
def test_parts_that_change_are_found_out(rows, fault, at_call):
    what, words = LATER[fault]
    with pytest.raises(DataError, match=rf"^Part 3 \(of 5, counted from 0\) .*{words}"):
        gpulr.train(broken(rows, 3, what, at_call))


def test_columns_in_another_order_are_named(rows):
    pandas = pytest.importorskip("pandas", reason="an extra of the tests")
    table, y = pandas.DataFrame(rows[0][:50, :3], columns=list("abc")), rows[1][:50]
    for other, words in (
        (table[list("acb")], "the column 'c' in place 1; .* has 'b' there"),
        (table.to_numpy(), "no names of columns; .* has them"),
    ):
        with pytest.raises(DataError, match=f"^Part 1 .* it has {words}"):
            gpulr.train(gpulr.Blocks([lambda: (table, y), lambda other=other: (other, y)]))


def test_functions_that_are_no_loaders(rows):
    def load(i):
        return rows

    with pytest.raises(ParameterError, match=r"loaders\[0\] .* without arguments \(.*'i'\)"):
        gpulr.Blocks([load])
    with pytest.raises(
        ParameterError, match=r"loaders\[0\] and loaders\[1\] are the same function"
    ):
        gpulr.Blocks([lambda: load(i) for i in range(3)])  # noqa: B023, as newcomers write it
    loaders = []
    for i in range(2):
        loaders.append(lambda: load(i))  # noqa: B023
    with pytest.raises(
        ParameterError, match=r"loaders\[0\] and loaders\[1\] are the same function"
    ):
        gpulr.Blocks(loaders)
    with pytest.raises(DataError, match=r"X holds functions.*gpulr\.Blocks\("):
        gpulr.train(loaders)

    def loader_of(i):
        return lambda: load(i)

    for good in ([partial(load, i) for i in range(2)], [loader_of(i) for i in range(2)]):
        assert gpulr.Blocks(good).n_parts == 2
    assert gpulr.Blocks([lambda: rows] * 3).n_parts == 3  # one part, three times


def test_delayed_parts_are_told_to_be_loaders(rows):
    delayed = pytest.importorskip("dask", reason="its tests run in the session arrays").delayed
    parts = [delayed(lambda i=i: (rows[0][i::2], rows[1][i::2]))() for i in range(2)]
    for X in (parts, parts[0]):
        with pytest.raises(DataError, match=r"X is delayed.*part\.compute for part in X"):
            gpulr.train(X, rows[1])
    assert gpulr.train(gpulr.Blocks([part.compute for part in parts])).n_features == 12


def test_labels_beside_have_to_fit(rows):
    X, y = rows
    with pytest.raises(DataError, match="X has 5,000 rows and y has 4,999 labels"):
        gpulr.train(blocks_of(X), y[1:])
    with pytest.raises(DataError, match="Loaders return labels, and y was passed too"):
        gpulr.train(blocks_of(X, y), y)
    with pytest.raises(DataError, match="Loaders return no labels, and no y was passed"):
        gpulr.train(blocks_of(X))
    with pytest.raises(DataError, match=r"Part 0 .* classes does not have"):
        gpulr.train(blocks_of(X, y, classes=[0, 1]))
    with pytest.raises(DataError, match="one class only"):
        gpulr.train(blocks_of(X, 0 * y))
    with pytest.raises(DataError, match=r"Part 1 .* expected 1,075 by n_samples"):
        gpulr.train(blocks_of(X, n_samples=[700, *[1075] * 4]), y)
    with pytest.raises(DataError, match=r"Part 0 .* expected 13, which is n_features"):
        gpulr.train(blocks_of(X, n_features=13), y)
    model = gpulr.train(X, y)
    with pytest.raises(DataError, match="There is no y"):
        model.evaluate(blocks_of(X))
    with pytest.raises(DataError, match="y has 5,001 rows; the parts have 5,000"):
        model.evaluate(blocks_of(X), np.r_[y, 0])
    with pytest.raises(
        DataError, match=r"Part 0 .* X has 12 features; this model was trained on 5"
    ):
        gpulr.train(X[:, :5], y).predict(blocks_of(X))
