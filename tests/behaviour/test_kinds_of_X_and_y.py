"""Every kind of X and of y, in whatever the numbers and labels come: the same weights, or the cure.

To add a kind, add a line: what makes it of a NumPy array. What a library cannot do is a line in
``NOT_TAKEN`` or ``CURES``: the words of the error, or the code that it tells the user to run, which
is run. Kinds of libraries that are not installed skip.
"""

from __future__ import annotations

import datetime
import io
import re
import tempfile
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.backend import to_host

codes = np.arange(60) % 3
# Small whole numbers, which every dtype holds.
X = np.random.default_rng(5).integers(0, 4, (60, 4)) + 3.0 * np.eye(3, 4)[codes]
NAMES = ["a", "b", "c", "d"]


def need(name):
    """Import a library, or skip where it is not installed."""
    return pytest.importorskip(name, reason=f"{name} is not installed")


# ---- what X can be: of numbers (n_samples, n_features) ------------------------------------------


def of_dtype(name):
    return lambda rows: rows.astype(name)


def of_ml_dtypes(name):
    return lambda rows: rows.astype(getattr(need("ml_dtypes"), name))


def of_format(name, dtype="float64"):
    return lambda rows: getattr(sparse, name)(rows.astype(dtype))


def with_long_indices(rows):
    made = sparse.csr_array(rows)
    made.indices, made.indptr = made.indices.astype(np.int64), made.indptr.astype(np.int64)
    return made


def memory_mapped(rows):
    with tempfile.TemporaryFile() as file:
        made = np.memmap(file, dtype=rows.dtype, shape=rows.shape)
    made[:] = rows
    return made


def columns(rows):
    return dict(zip(NAMES, rows.T.copy(), strict=True))


def frame(rows, dtype=None):
    made = need("pandas").DataFrame(columns(rows))
    return made if dtype is None else made.astype(dtype)


def mixed_frame(rows):
    return frame(rows).astype({"a": "int8", "b": "float32", "d": "uint64"})


def polars_frame(rows):
    return need("polars").DataFrame(columns(rows))


def arrow_table(rows):
    return need("pyarrow").table(columns(rows))


def arrow_arrays(rows):
    pyarrow = need("pyarrow")
    flat = pyarrow.array(rows.ravel())
    return pyarrow.FixedSizeListArray.from_arrays(flat, rows.shape[1])


def arrow_tensors(rows):
    return need("pyarrow").FixedShapeTensorArray.from_numpy_ndarray(rows)


def arrow_chunks(rows):
    return need("pyarrow").concat_tables([arrow_table(rows[:17]), arrow_table(rows[17:])])


def data_array(rows, **settings):
    return need("xarray").DataArray(rows, dims=("row", "feature"), **settings)


def dataset(rows):
    return need("xarray").Dataset({name: ("row", x) for name, x in columns(rows).items()})


def strict_array(rows):
    return need("array_api_strict").asarray(rows)


def tensor(dtype="float64", **settings):
    def made(rows):
        torch = need("torch")
        return torch.tensor(rows, **settings).to(getattr(torch, dtype))

    return made


def jax_array(dtype):
    def made(rows):
        jax = need("jax")
        return jax.numpy.asarray(rows.astype(np.float32)).astype(getattr(jax.numpy, dtype))

    return made


def stored(rows):
    h5py = need("h5py")
    file = h5py.File(io.BytesIO(), "w")
    file["X"] = rows
    return file["X"]


def stored_in_chunks(rows):
    group = need("zarr").group()
    group["X"] = rows
    return group["X"]


X_KINDS = {
    **{name: of_dtype(name) for name in ("float64", "float32", "float16", ">f4", "longdouble")},
    **{name: of_dtype(name) for name in ("uint8", "int16", "int64", "uint64", "object")},
    **{name: of_ml_dtypes(name) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4")},
    "lists": lambda rows: rows.tolist(),
    "a list of rows": list,
    "an array of arrays": lambda rows: np.array([*rows, None], dtype=object)[:-1],
    "images": lambda rows: rows.reshape(-1, 2, 2),
    "a matrix": lambda rows: rows.view(np.matrix),
    "nothing masked": lambda rows: np.ma.array(rows, mask=False),
    "Fortran order": np.asfortranarray,
    "every other": lambda rows: np.repeat(np.repeat(rows, 2, axis=0), 2, axis=1)[::2, ::2],
    "reversed": lambda rows: rows[::-1].copy()[::-1],
    "read-only": lambda rows: np.frombuffer(rows.tobytes()).reshape(rows.shape),
    "memory-mapped": memory_mapped,
    **{name: of_format(name) for name in ("csr_array", "csc_matrix", "coo_array")},
    "sparse float32": of_format("csr_array", "float32"),
    "sparse bytes": of_format("csr_array", "uint8"),
    "sparse counts": of_format("csr_matrix", "int64"),
    "sparse, 64-bit indices": with_long_indices,
    "pydata's sparse": lambda rows: need("sparse").COO.from_numpy(rows),
    "pydata's GCXS": lambda rows: need("sparse").GCXS.from_numpy(rows),
    "pydata's sparse float16": lambda rows: need("sparse").COO.from_numpy(rows.astype("f2")),
    "records": lambda rows: np.rec.fromarrays(rows.T, names=NAMES),
    "pandas": frame,
    "pandas, one block": lambda rows: need("pandas").DataFrame(rows, columns=NAMES),
    "pandas, unnamed": lambda rows: need("pandas").DataFrame(rows),
    "pandas, mixed": mixed_frame,
    "pandas nullable": lambda rows: frame(rows, "Float32"),
    "pandas nullable and others": lambda rows: frame(rows).astype({"a": "Int64", "c": "float32"}),
    "pandas of Arrow": lambda rows: frame(rows, need("pyarrow") and "double[pyarrow]"),
    "pandas objects": lambda rows: frame(rows, object),
    "pandas sparse": lambda rows: frame(rows, need("pandas").SparseDtype("float", 0.0)),
    "pandas Series of arrays": lambda rows: need("pandas").Series(list(rows)),
    "pandas column of arrays": lambda rows: need("pandas").DataFrame({"e": list(rows)}),
    "pandas column of tensors": lambda rows: need("pandas").DataFrame({"e": list(tensor()(rows))}),
    "pandas column of lists": lambda rows: need("pandas").DataFrame({"e": rows.tolist()}),
    "polars": polars_frame,
    "polars LazyFrame": lambda rows: polars_frame(rows).lazy(),
    "polars float32": lambda rows: polars_frame(rows.astype(np.float32)),
    "polars Series of lists": lambda rows: need("polars").Series(rows.tolist()),
    "polars column of lists": lambda rows: need("polars").DataFrame({"e": rows.tolist()}),
    "polars column of arrays": lambda rows: need("polars").DataFrame({"e": rows}),
    "polars lazy arrays": lambda rows: need("polars").LazyFrame({"e": rows}),
    "narwhals": lambda rows: need("narwhals").from_native(polars_frame(rows)),
    "narwhals, lazy": lambda rows: need("narwhals").from_native(polars_frame(rows).lazy()),
    "Arrow table": arrow_table,
    "Arrow batch": lambda rows: arrow_table(rows).to_batches()[0],
    "Arrow chunks": arrow_chunks,
    "Arrow array of lists": lambda rows: need("pyarrow").array(rows.tolist()),
    "Arrow array of arrays": arrow_arrays,
    "Arrow column of arrays": lambda rows: need("pyarrow").table({"e": arrow_arrays(rows)}),
    "Arrow column of tensors": lambda rows: need("pyarrow").table({"e": arrow_tensors(rows)}),
    "Arrow column of lists": lambda rows: need("pyarrow").table({"e": rows.tolist()}),
    "xarray": data_array,
    "xarray with names": lambda rows: data_array(rows, coords={"feature": NAMES}),
    "xarray Dataset": dataset,
    "Dask DataFrame, mixed": lambda rows: need("dask.dataframe").from_pandas(
        mixed_frame(rows), npartitions=2
    ),
    "Dask DataFrame": lambda rows: need("dask.dataframe").from_pandas(frame(rows), npartitions=2),
    "array-api-strict": strict_array,
    "torch": tensor(),
    "torch with gradients": tensor(requires_grad=True),
    **{f"torch {name}": tensor(name) for name in ("float32", "float16", "bfloat16", "float8_e5m2")},
    **{f"torch {name}": tensor(name) for name in ("uint8", "int16", "uint16", "uint32")},
    "a list of tensors": lambda rows: list(tensor()(rows)),
    **{f"jax {name}": jax_array(name) for name in ("float32", "float16", "bfloat16", "int8")},
    "HDF5": stored,
    "Zarr": stored_in_chunks,
}


# ---- what y can be: of class indices (n_samples,) -----------------------------------------------


def text(labels):
    return np.array(["x", "y", "z"])[labels]


def indicator(labels):
    return np.eye(3)[labels]


def series(make):
    return lambda labels: need("pandas").Series(make(labels))


def arrow_text(labels):
    need("pyarrow")
    return series(text)(labels).astype("string[pyarrow]")


def arrow_labels(labels):
    return need("pyarrow").array(text(labels))


Y_KINDS = {
    **{name: of_dtype(name) for name in ("int64", "uint8", "float32", "object")},
    "ml_dtypes": of_ml_dtypes("bfloat16"),
    "text": text,
    "bytes": lambda labels: text(labels).astype("S"),
    "objects": lambda labels: text(labels).astype(object),
    "a list": lambda labels: labels.tolist(),
    "a list of text": lambda labels: text(labels).tolist(),
    "dates": lambda labels: np.datetime64("2020-01-01") + labels,
    "Decimal": lambda labels: [Decimal(int(label)) for label in labels],
    "one column": lambda labels: labels[:, np.newaxis],
    "sparse column": lambda labels: sparse.csr_array(labels[:, np.newaxis]),
    "pandas Series": series(text),
    "pandas Categorical": lambda labels: need("pandas").Categorical(text(labels)),
    "pandas categories": lambda labels: series(text)(labels).astype("category"),
    "pandas nullable": lambda labels: series(np.asarray)(labels).astype("Int64"),
    "pandas Arrow text": lambda labels: arrow_text(labels),
    "pandas column": lambda labels: need("pandas").DataFrame({"label": text(labels)}),
    "polars Series": lambda labels: need("polars").Series(labels),
    "polars Categorical": lambda labels: polars_text(labels).cast(need("polars").Categorical),
    "polars column": lambda labels: need("polars").DataFrame({"label": text(labels)}),
    "polars LazyFrame": lambda labels: need("polars").LazyFrame({"label": text(labels)}),
    "Arrow array": arrow_labels,
    "Arrow chunks": lambda labels: need("pyarrow").chunked_array(
        [text(labels[:9]), text(labels[9:])]
    ),
    "Arrow dictionary": lambda labels: arrow_labels(labels).dictionary_encode(),
    "xarray": lambda labels: need("xarray").DataArray(labels),
    "Dask array": lambda labels: need("dask.array").from_array(labels),
    "array-api-strict": strict_array,
    "torch": lambda labels: need("torch").tensor(labels),
    "torch column": lambda labels: need("torch").tensor(labels)[:, None],
    "jax": lambda labels: need("jax").numpy.asarray(labels.astype(np.int32)),
}
LABEL_MATRICES = {
    "indicator": indicator,
    "indicator of bits": lambda labels: indicator(labels) > 0,
    "indicator of ml_dtypes": lambda labels: of_ml_dtypes("bfloat16")(indicator(labels)),
    "indicator as lists": lambda labels: indicator(labels).tolist(),
    "sparse indicator": lambda labels: sparse.csr_array(indicator(labels)),
    "pydata's sparse indicator": lambda labels: need("sparse").COO.from_numpy(indicator(labels)),
    "pandas indicator": lambda labels: need("pandas").get_dummies(text(labels)),
    "pandas nullable indicator": lambda labels: (
        need("pandas").get_dummies(text(labels)).astype("Int8")
    ),
    "polars indicator": lambda labels: polars_text(labels).to_dummies(),
    "polars lazy indicator": lambda labels: polars_text(labels).to_dummies().lazy(),
    "Arrow indicator": lambda labels: need("pyarrow").table(
        indicator(labels).T.tolist(), list("xyz")
    ),
    "xarray indicator": lambda labels: need("xarray").DataArray(indicator(labels)),
    "torch indicator": lambda labels: need("torch").tensor(indicator(labels)),
    "torch indicator of bfloat16": lambda labels: tensor("bfloat16")(indicator(labels)),
}


def polars_text(labels):
    return need("polars").Series("label", text(labels))


# ---- what is done with them ----------------------------------------------------------------------

SETTINGS = {"scale": None, "tol": 1e-6}


def train(rows, labels):
    model = gpulr.train(rows, labels, **SETTINGS)
    return model.weights, model.intercept, model.decision_function(rows)


def search(rows, labels):
    found = gpulr.search(rows, labels, Cs=[0.5], cv=2, **SETTINGS)
    return found.model.weights, found.model.intercept


def bootstrap(rows, labels):
    return (gpulr.bootstrap(rows, labels, n=2, random_state=0, **SETTINGS).coef,)


def estimator(rows, labels):
    fitted = gpulr.OneVsAllLogisticRegression(tol=1e-6).fit(rows, labels)
    return fitted.coef_, fitted.decision_function(rows)


@cache
def trained():
    return gpulr.train(X, codes, **SETTINGS)


def predict(rows, labels):
    found = trained()
    assert 0 <= found.evaluate(rows, codes).accuracy <= 1
    return found.decision_function(rows), found.predict(rows)


OPERATIONS = {each.__name__: each for each in (train, search, bootstrap, estimator, predict)}


@cache
def expected(name):
    return [np.array(part) for part in OPERATIONS[name](X, codes)]


def assert_as_expected(name, rows, labels):
    """The operation gives of these what it gives of plain arrays."""
    for found, like in zip(OPERATIONS[name](rows, labels), expected(name), strict=True):
        np.testing.assert_allclose(to_host(found), like, rtol=2e-3, atol=2e-3)


NOT_TAKEN = {
    ("images", "estimator"): "Found array with dim 3",
    ("bytes", "estimator"): r"bytes.*scikit-learn does not take.*y\.astype\(str\)",
    ("Decimal", "estimator"): r"Decimal.*scikit-learn does not take.*gpulr\.train",
}
LIBRARY_ADVICE = "ignore:(the matrix subclass|A column-vector y was passed|Sparse CSR tensor)"


def check(kind, operation, rows, labels):
    """The operation gives what is expected, or the error that is known."""
    if (kind, operation) in NOT_TAKEN:
        with pytest.raises(ValueError, match=f"(?s){NOT_TAKEN[kind, operation]}"):
            OPERATIONS[operation](rows, labels)
    else:
        assert_as_expected(operation, rows, labels)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", X_KINDS)
@pytest.mark.filterwarnings(LIBRARY_ADVICE)
def test_every_kind_of_X(kind, operation):
    check(kind, operation, X_KINDS[kind](X), codes)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "predict"])
@pytest.mark.parametrize("kind", Y_KINDS | LABEL_MATRICES)
@pytest.mark.filterwarnings(LIBRARY_ADVICE)
def test_every_kind_of_y(kind, operation):
    check(kind, operation, X, (Y_KINDS | LABEL_MATRICES)[kind](codes))


# ---- what is refused, and the cure, which is followed -------------------------------------------


def with_column(values, make=frame):
    """Return a table whose column b holds these values."""

    def made():
        table = make(X)
        held = values() if callable(values) else values
        if make is polars_frame:
            return table.with_columns(b=need("polars").Series(held))
        if make is arrow_table:
            return table.set_column(1, "b", need("pyarrow").array(held))
        return table.assign(b=held)

    return made


def days():
    return np.datetime64("2020-01-01") + np.arange(60)


def in_time_zone():
    return need("pandas").Series(days()).dt.tz_localize("UTC")


def periods():
    return need("pandas").Series(days()).dt.to_period("D")


def dates():
    return [datetime.date(2020, 1, 1) + datetime.timedelta(i) for i in range(60)]


def archive():
    file = io.BytesIO()
    np.savez(file, X=X)
    file.seek(0)
    return np.load(file)


def groups():
    return frame(X).groupby(np.arange(60))


def file_of_hdf5():
    return stored(X).file


def group_of_zarr():
    group = need("zarr").group()
    group["X"] = X
    return group


def parts_of_a_dataset():
    return need("xarray").Dataset({"e": (("row", "feature"), X), "a": ("row", X[:, 0])})


def arrow_maps():
    pyarrow = need("pyarrow")
    return pyarrow.array([[("k", 1)]] * 60, pyarrow.map_(pyarrow.string(), pyarrow.int64()))


class OnDevice:
    """A DataFrame as cuDF's: it does not come to the host unless it is told to."""

    columns, dtypes, shape = list("abcd"), [X.dtype] * 4, X.shape

    def __array__(self, *arguments, **settings):
        raise TypeError("Implicit conversion to a host NumPy array is not allowed")

    def to_cupy(self):
        return X

    to_numpy = to_cupy


class OnCluster:
    """A DataFrame as Spark's: its rows are collected, its numbers are not."""

    columns = tuple("abcd")

    def collect(self):
        return X

    def toPandas(self):
        return frame(X)


def quantized():
    torch = need("torch")
    return torch.quantize_per_tensor(torch.tensor(X).float(), 0.5, 0, torch.qint8)


def masked_tensor():
    torch = need("torch")
    return torch.masked.masked_tensor(torch.tensor(X), torch.tensor(X > 0))


WORDS = np.array(["one", "two", "three"])[np.arange(120) % 3].reshape(60, 2)
ARROW_DATES = "date32[pyarrow]"
ENCODED = "pandas.get_dummies(X, columns=['b'])"
CURES = {  # what makes X, and what the error tells the user to pass
    "a dict of columns": (lambda: columns(X), "pandas.DataFrame(X)"),
    "a dict of arrays": (lambda: {"X": X, "y": codes}, "X['X']"),
    "an archive of NumPy's": (archive, "X['X']"),
    "an HDF5 file": (file_of_hdf5, "X['X']"),
    "a Zarr group": (group_of_zarr, "X['X']"),
    "parts of a Dataset": (parts_of_a_dataset, "X['e']"),
    "a generator": (lambda: (row for row in X), "list(X)"),
    "a map": (lambda: map(list, X), "list(X)"),
    "values of a dict": (lambda: dict(enumerate(X)).values(), "list(X)"),
    "text of digits": (lambda: X.astype(str), "np.asarray(X, dtype=float)"),
    "objects of digits": (lambda: X.astype(str).astype(object), "np.asarray(X, dtype=float)"),
    "words": (lambda: WORDS, "sklearn.preprocessing.OneHotEncoder().fit_transform(X)"),
    "lists of words": (WORDS.tolist, "sklearn.preprocessing.OneHotEncoder().fit_transform(X)"),
    "texts": (
        lambda: [" ".join(row) for row in WORDS],
        "sklearn.feature_extraction.text.TfidfVectorizer().fit_transform(X)",
    ),
    "a Series of texts": (
        lambda: need("pandas").Series([" ".join(row) for row in WORDS]),
        "sklearn.feature_extraction.text.TfidfVectorizer().fit_transform(X)",
    ),
    "a list of dicts": (
        lambda: [{"a": 1.0, "b": i} for i in range(60)],
        "sklearn.feature_extraction.DictVectorizer().fit_transform(X)",
    ),
    "sets": (
        lambda: [set(row) for row in WORDS],
        "sklearn.preprocessing.MultiLabelBinarizer().fit_transform(X)",
    ),
    "complex numbers": (lambda: X + 1j, "np.abs(X)"),
    "complex objects": (lambda: (X + 1j).astype(object), "np.abs(X)"),
    "complex sparse numbers": (lambda: sparse.csr_array(X + 1j), "abs(X)"),
    "complex tensors": (lambda: tensor()(X) + 1j, "abs(X)"),
    "records in two dimensions": (lambda: np.zeros((60, 2), "f4,f4"), "X['f0']"),
    "masked": (lambda: np.ma.masked_equal(X, 3), "X.filled(value)"),
    "masked rows": (
        lambda: [np.ma.array(row, mask=row > 3) for row in X],
        "np.ma.stack(X).filled(value)",
    ),
    "a masked tensor": (masked_tensor, "X.to_tensor(value)"),
    "bfloat16 from a file": (
        lambda: of_ml_dtypes("bfloat16")(X).view("V2"),
        "X.view(ml_dtypes.bfloat16)",
    ),
    "a feature": (lambda: X[:, 0], "X.reshape(-1, 1)"),
    "a list": (lambda: X[:, 0].tolist(), "np.asarray(X).reshape(-1, 1)"),
    "a pandas Series": (lambda: frame(X)["a"], "X.to_frame()"),
    "a polars Series": (lambda: polars_frame(X)["a"], "X.to_frame()"),
    "an Arrow array": (lambda: arrow_table(X)["a"], "np.asarray(X).reshape(-1, 1)"),
    "a DataArray of one dimension": (
        lambda: data_array(X)[:, 0],
        "np.asarray(X).reshape(-1, 1)",
    ),
    "a tensor of one dimension": (lambda: tensor()(X)[:, 0], "X.reshape(-1, 1)"),
    "groups": (groups, "X.mean()"),
    "polars groups": (
        lambda: polars_frame(X).with_row_index("i").group_by("i", maintain_order=True),
        "X.mean()",
    ),
    "pandas text": (with_column(WORDS[:, 0]), ENCODED),
    "pandas categories": (with_column(lambda: need("pandas").Categorical(codes)), ENCODED),
    "pandas objects": (with_column(WORDS[:, 0].astype(object)), ENCODED),
    "pandas objects of dates": (with_column(dates), ENCODED),
    "pandas dates": (with_column(days), "X.astype({'b': 'int64'})"),
    "pandas dates in a time zone": (with_column(in_time_zone), "X.astype({'b': 'int64'})"),
    "pandas durations": (with_column(lambda: days() - days()[0]), "X.astype({'b': 'int64'})"),
    "pandas periods": (with_column(periods), "X.astype({'b': 'int64'})"),
    "pandas dicts": (with_column([{"a": 1}] * 60), "X.drop(columns=['b'])"),
    "pandas sets": (with_column([{1, 2}] * 60), "X.drop(columns=['b'])"),
    "pandas arrays and numbers": (with_column(lambda: list(X)), "X['b']"),
    "pandas lists and numbers": (with_column(X.tolist), "X['b']"),
    "pandas tensors and numbers": (with_column(lambda: list(tensor()(X))), "X['b']"),
    "polars text": (with_column(WORDS[:, 0], polars_frame), "X.to_dummies(['b'])"),
    "polars dates": (with_column(dates, polars_frame), "X.cast({'b': int})"),
    "polars times": (with_column(days, polars_frame), "X.cast({'b': int})"),
    "polars structs": (with_column([{"a": 1}] * 60, polars_frame), "X.drop(['b'])"),
    "polars lists and numbers": (with_column(X.tolist, polars_frame), "X['b']"),
    "Arrow text": (
        with_column(WORDS[:, 0], arrow_table),
        "pandas.get_dummies(X.to_pandas(), columns=['b'])",
    ),
    "Arrow dates": (
        with_column(days, arrow_table),
        "X.to_pandas(date_as_object=False).astype({'b': 'int64'})",
    ),
    "polars text, lazily": (
        lambda: with_column(WORDS[:, 0], polars_frame)().lazy(),
        "X.collect().to_dummies(['b'])",
    ),
    "records of objects": (
        lambda: np.rec.fromarrays([X[:, 0], np.array([{"k": 1}] * 60)], names="a,b"),
        "X[['a']]",
    ),
    "pandas dates of Arrow's": (
        with_column(lambda: need("pyarrow") and need("pandas").Series(dates(), dtype=ARROW_DATES)),
        ENCODED,
    ),
    "Arrow maps": (
        with_column(arrow_maps, arrow_table),
        "X.drop_columns(['b'])",
    ),
    "Arrow structs": (with_column([{"a": 1}] * 60, arrow_table), "X.drop_columns(['b'])"),
    "Arrow lists and numbers": (with_column(X.tolist, arrow_table), "X['b']"),
    "a reader of Arrow's": (lambda: arrow_table(X).to_reader(), "X.read_all()"),
    "records with text": (
        lambda: np.rec.fromarrays([X[:, 0], WORDS[:, 0]], names="a,b"),
        "pandas.get_dummies(pandas.DataFrame(X), columns=['b'])",
    ),
    "a Dataset with text": (
        lambda: dataset(X).assign(b=("row", WORDS[:, 0])),
        "pandas.get_dummies(X.compute().to_pandas(), columns=['b'])",
    ),
    "a DataFrame on a GPU": (OnDevice, "X.to_cupy()"),
    "a DataFrame on a cluster": (OnCluster, "X.toPandas()"),
    "pydata's DOK": (lambda: need("sparse").DOK.from_numpy(X), "X.todense()"),
    "pydata's COO of ones": (
        lambda: need("sparse").COO.from_numpy(X, fill_value=1.0),
        "X.todense()",
    ),
    "a nested tensor": (
        lambda: need("torch").nested.nested_tensor(list(tensor()(X))),
        "X.to_padded_tensor(0.0)",
    ),
    "a sparse tensor": (lambda: tensor()(X).to_sparse(), "X.to_dense()"),
    "a compressed tensor": (lambda: tensor()(X).to_sparse_csr(), "X.to_dense()"),
    "a quantized tensor": (quantized, "X.dequantize()"),
}


@pytest.mark.parametrize("kind", CURES)
@pytest.mark.filterwarnings("ignore")  # libraries', of what is made of them here
def test_an_error_names_a_cure_that_works(kind):
    make, cure = CURES[kind]
    for operation in ("estimator", "predict", "train"):
        rows = make()
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            OPERATIONS[operation](rows, codes)
        if isinstance(caught.value, gpulr.DataError):  # and not scikit-learn's own
            assert re.search(re.escape(cure) + "[ ,.]", str(caught.value)), caught.value
    known = {"X": rows, "np": np, "value": 0.0, "sklearn": need("sklearn"), "pandas": None}
    for name in ("pandas", "ml_dtypes"):
        if name in cure:
            known[name] = need(name)
    need("sklearn.feature_extraction.text"), need("sklearn.preprocessing")
    rows = eval(cure, known)
    gpulr.train(rows, codes, standardize=True, max_iter=3, tol=0)
    gpulr.OneVsAllLogisticRegression(tol=1.0).fit(rows, codes).predict(rows)


OTHERS = {
    "an object": (lambda: object(), "object of type object; expected an array"),
    "a function": (lambda: len, "expected an array"),
    "dates": (lambda: np.full((60, 2), np.datetime64("2020")), r"datetime64\[Y\].*as numbers"),
    "durations": (lambda: np.full((60, 2), np.timedelta64(3)), r"timedelta64.*as numbers"),
    "a list of dates": (lambda: [[each] for each in dates()], "type date.*days since a date"),
    "rows of several lengths": (
        lambda: np.array([[1, 2], [3]] * 30, dtype=object),
        "rows of equal length",
    ),
    "rows that are missing": (
        lambda: need("pandas").DataFrame({"e": [None, *X[1:]]}),
        "no array in row 0.*Leave such rows out",
    ),
    "a tensor without values": (lambda: need("torch").empty((60, 3), device="meta"), "no data"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.filterwarnings("ignore")
def test_what_has_no_numbers_is_refused(kind):
    make, message = OTHERS[kind]
    for operation in OPERATIONS:
        with pytest.raises(gpulr.DataError, match=f"(?s){message}"):
            OPERATIONS[operation](make(), codes)


def batches(kind):
    """Rows and labels as PyTorch's examples pass them."""
    data = need("torch").utils.data
    rows = data.TensorDataset(tensor()(X), need("torch").tensor(codes))
    if kind == "stream":

        class Stream(data.IterableDataset):
            def __iter__(self):
                return iter([rows[i] for i in range(len(rows))])

        return Stream()
    return data.DataLoader(rows, batch_size=25) if kind == "loader" else rows


@pytest.mark.parametrize("kind", ["set", "stream", "loader"])
def test_batches_are_refused_with_a_cure_that_works(kind):
    model = gpulr.train(X, codes, max_iter=3, tol=0)
    for ask in (gpulr.train, lambda x: gpulr.train(x, codes), model.predict, model.evaluate):
        with pytest.raises(gpulr.DataError, match=r"expected an array\. Pass its") as caught:
            ask(batches(kind))
        known = {"X": batches(kind), "torch": need("torch")}
        exec(str(caught.value).partition(" as one: ")[2].rstrip("."), known)
        np.testing.assert_allclose(known["X"], X, rtol=1e-6)
        np.testing.assert_array_equal(known["y"], codes)


# ---- names ---------------------------------------------------------------------------------------

NAMED = ("records", "pandas", "pandas nullable", "pandas sparse", "polars", "polars LazyFrame")
NAMED += ("narwhals", "Arrow table", "Arrow batch", "xarray with names", "xarray Dataset")


def in_order(table, names):
    """Return a table's columns in another order."""
    if isinstance(table, np.ndarray):
        return np.rec.fromarrays([table[name] for name in names], names=names)
    if hasattr(table, "coords") and hasattr(table, "sel") and not hasattr(table, "data_vars"):
        return table.sel(feature=names)
    return table.select(names) if hasattr(table, "select") else table[names]


@pytest.mark.parametrize("kind", NAMED)
def test_names_are_remembered_and_columns_put_in_order(kind):
    order = ["c", "a", "d", "b"]
    model = gpulr.train(X_KINDS[kind](X), codes, **SETTINGS)
    assert model.data["feature_names"] == NAMES
    moved = gpulr.train(in_order(X_KINDS[kind](X), order), codes, **SETTINGS)
    assert moved.data["feature_names"] == order
    estimator = gpulr.OneVsAllLogisticRegression().fit(X_KINDS[kind](X), codes)
    assert estimator.feature_names_in_.tolist() == NAMES
    like = model.decision_function(X)
    for other in ("pandas", kind):
        rows = in_order(X_KINDS[other](X), order)
        np.testing.assert_allclose(model.decision_function(rows), like, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(moved.decision_function(rows), like, rtol=1e-2, atol=1e-3)
    with pytest.raises(gpulr.DataError, match="X lacks 'b'"):
        model.predict(in_order(X_KINDS[kind](X), ["a", "c", "d"]))


def test_columns_of_arrays_have_no_names():
    for kind in ("pandas column of arrays", "polars column of lists", "Arrow column of arrays"):
        rows = X_KINDS[kind](X)
        assert "feature_names" not in gpulr.train(rows, codes, **SETTINGS).data
        estimator = gpulr.OneVsAllLogisticRegression().fit(rows, codes)
        assert estimator.n_features_in_ == 4
        assert not hasattr(estimator, "feature_names_in_")


@pytest.mark.nightly
@pytest.mark.parametrize("kind", X_KINDS)
@pytest.mark.filterwarnings(LIBRARY_ADVICE)
def test_every_kind_of_X_with_every_kind_of_y(kind):
    for make in (Y_KINDS | LABEL_MATRICES).values():
        try:
            labels = make(codes)
        except pytest.skip.Exception:
            continue
        assert_as_expected("train", X_KINDS[kind](X), labels)
