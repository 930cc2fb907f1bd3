"""Parts in files: row groups of Parquet, runs of rows of .npy and Zarr; and files that are none."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from gpulr.errors import DataError, DataFileError, ParameterError
from gpulr.sources import Blocks, part_files
from gpulr.sources.npy_parts import label_file
from gpulr.validation.blocks import read_blocks

NEEDS = "its tests run in the session arrays"


@pytest.fixture
def rows(rng):
    X = rng.normal(size=(50, 6)).astype(np.float32)
    return X, (X[:, 0] > 0).astype(np.int16)


@pytest.fixture
def small_parts(monkeypatch):
    """Runs of ten rows of six float32."""
    monkeypatch.setattr(part_files, "PART_BYTES", 240)


def assert_same(blocks, X, y=None, beside=None):
    """Assert that parts hold these rows and labels, by whichever way they come."""
    blocks = pickle.loads(pickle.dumps(blocks))
    read = read_blocks(blocks, beside, labelled=y is not None)
    assert read.X.dtype == X.dtype
    np.testing.assert_array_equal(read.X[:, :], X)
    if y is not None and beside is None:
        np.testing.assert_array_equal(read.y.classes[read.y.codes], y)


@pytest.fixture
def parquet(tmp_path, rows):
    """A folder of two files of three and two row groups, one of them without rows."""
    pa = pytest.importorskip("pyarrow", reason=NEEDS)
    from pyarrow import parquet

    X, y = rows

    def table(a, b):
        return pa.table({"y": y[a:b]} | {f"f{j}": X[a:b, j] for j in range(X.shape[1])})

    folder = tmp_path / "parts"
    (folder / "more").mkdir(parents=True)
    parquet.write_table(table(0, 25), folder / "a.parquet", row_group_size=10)
    with parquet.ParquetWriter(folder / "more" / "b.parquet", table(0, 0).schema) as writer:
        for a, b in ((25, 30), (30, 30), (30, 50)):
            writer.write_table(table(a, b))
    (folder / "_temporary.parquet").write_bytes(b"no")
    (folder / ".crc.parquet").write_bytes(b"no")
    return folder


def test_row_groups_are_the_parts(parquet, rows):
    X, y = rows
    blocks = Blocks.from_parquet(parquet, label="y")
    assert blocks.n_samples == (10, 10, 5, 5, 20)
    assert blocks.name(4).endswith("b.parquet, row group 2)")
    assert_same(blocks, X, y)
    assert read_blocks(blocks).feature_names == tuple(f"f{j}" for j in range(6))
    chosen = Blocks.from_parquet(str(parquet), features=["f3", "f0"])
    assert_same(chosen, X[:, [3, 0]], y, beside=y)
    files = [parquet / "more" / "b.parquet", parquet / "a.parquet"]
    assert_same(Blocks.from_parquet(files, label="y"), np.vstack([X[25:], X[:25]]))


def test_columns_of_labels_are_a_matrix_with_their_names(tmp_path, rows):
    pa = pytest.importorskip("pyarrow", reason=NEEDS)
    from pyarrow import parquet as files

    X, tags = rows[0][:, :2], [[1, 0, None, 1, 0] * 10, [0.0, 1.0, 1.0, np.nan, 0.0] * 10]
    columns = {"red": tags[0], "f0": X[:, 0], "new": tags[1], "f1": X[:, 1]}
    files.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=20)
    blocks = Blocks.from_parquet(tmp_path, label=["new", "red"])
    assert_same(blocks, X)
    labels = read_blocks(blocks, labelled=True).y
    assert labels.classes.tolist() == ["new", "red"]
    expected = np.array([[0, 1], [1, 0], [1, 2], [2, 1], [0, 0]] * 10)  # 2 is not known
    np.testing.assert_array_equal(labels.indicator, expected)
    one = read_blocks(Blocks.from_parquet(tmp_path, label=["new"], features=["f0"]))
    assert one.feature_names == ("f0",)
    with pytest.raises(DataFileError, match="has no column old; it has red, f0, new, f1"):
        Blocks.from_parquet(tmp_path, label=["new", "old"])


def test_text_is_a_label_and_other_columns_are_refused(parquet, rows, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet as files

    names = ["no", "yes"] * 25
    table = pa.table({"x": rows[0][:, 0], "kind": names})
    table = table.append_column("code", pa.array(names).dictionary_encode())
    files.write_table(table, tmp_path / "t.parquet")
    for label in ("kind", "code"):
        blocks = Blocks.from_parquet(tmp_path / "t.parquet", label=label, features=["x"])
        assert_same(blocks, rows[0][:, :1], names)
    with pytest.raises(ValueError, match=r"t\.parquet: has columns that hold no numbers: code"):
        read_blocks(Blocks.from_parquet(tmp_path / "t.parquet", label="kind"))


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: (folder / "a.parquet").write_bytes(b"PAR1no"), "cannot be read as a Parq"),
        (lambda folder: (folder / "a.parquet").write_bytes(b""), "cannot be read as a Parquet"),
        (lambda folder: [file.unlink() for file in folder.rglob("?.parquet")], "has no .parquet"),
    ],
    ids=["damaged", "empty", "none"],
)
def test_damaged_parquet_files(parquet, break_it, words):
    break_it(parquet)
    with pytest.raises(DataFileError, match=words):
        Blocks.from_parquet(parquet)


def test_damaged_pages_of_parquet(parquet):
    """What the end of a file says is right, so that it is known only when rows are read."""
    content = (parquet / "a.parquet").read_bytes()
    (parquet / "a.parquet").write_bytes(b"PAR1" + b"\xff" * 400 + content[404:])
    loader = Blocks.from_parquet(parquet, label="y").loaders[0]
    with pytest.raises(DataFileError, match=r"a\.parquet: cannot be read as a Parquet file"):
        loader()


def test_columns_that_are_not_there(parquet):
    with pytest.raises(DataFileError, match="has no column z; it has y, f0"):
        Blocks.from_parquet(parquet, label="z")
    with pytest.raises(DataFileError, match=r"absent\.parquet: does not exist\. Check the path"):
        Blocks.from_parquet(parquet / "absent.parquet")
    with pytest.raises(DataFileError, match=r"does not exist\. Pass the folder, or sorted\("):
        Blocks.from_parquet(parquet / "*.parquet")
    with pytest.raises(ParameterError, match=r"features='f0'; expected a list of names, \['f0'\]"):
        Blocks.from_parquet(parquet, features="f0")


def test_columns_that_hold_no_numbers_are_named(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="an extra of the tests")
    from pyarrow import parquet as files

    columns = {"f0": [1.0, 2.0], "user": ["a", "b"], "when": pa.array([0, 1], pa.timestamp("ms"))}
    files.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(
        DataFileError, match=r": user \(string\), when \(timestamp\[ms\]\)\. .*features="
    ):
        Blocks.from_parquet(tmp_path)
    with pytest.raises(DataFileError, match=r"no numbers: when"):
        Blocks.from_parquet(tmp_path, label="user")
    assert Blocks.from_parquet(tmp_path, label="user", features=["f0"]).n_parts == 1


def test_a_file_with_other_columns_is_named(parquet):
    import pyarrow as pa
    from pyarrow import parquet as files

    files.write_table(pa.table({"y": [1], "f0": [2.0]}), parquet / "more" / "c.parquet")
    with pytest.raises(DataFileError, match=r"c\.parquet: has no column f1, f2"):
        Blocks.from_parquet(parquet, label="y")
    wide = pa.table({"y": [1]} | {f"f{j}": [2] for j in range(6)})
    files.write_table(wide, parquet / "more" / "c.parquet")
    with pytest.raises(DataError, match=r"Part 5 .*c\.parquet.*dtype int64; .* has float32"):
        read_blocks(Blocks.from_parquet(parquet, label="y"), labelled=True)


def test_npy_files_are_cut_into_parts(tmp_path, rows, small_parts):
    X, y = rows
    for i, (a, b) in enumerate([(0, 25), (25, 50)]):
        np.save(tmp_path / f"X_{i}.npy", X[a:b])
        np.save(tmp_path / f"y_{i}.npy", y[a:b])
    blocks = Blocks.from_npy(tmp_path)
    assert blocks.n_samples == (10, 10, 5, 10, 10, 5)
    assert_same(blocks, X, y)
    files = [tmp_path / "X_0.npy", tmp_path / "X_1.npy"]
    assert_same(Blocks.from_npy(files), X, y, beside=y)
    assert_same(Blocks.from_npy(files[0]), X[:25], y[:25])
    labels = [tmp_path / "y_0.npy", tmp_path / "y_1.npy"]
    assert_same(Blocks.from_npy(files, labels=labels), X, y)
    with pytest.raises(ParameterError, match="labels names 1 file; expected one for each of 2"):
        Blocks.from_npy(files, labels=labels[0])


@pytest.mark.parametrize(
    "name", ["X.npy y.npy", "x-1.npy y-1.npy", "a.npy a_labels.npy", "X2.npy X2.y.npy"]
)
def test_labels_are_found_beside_rows(tmp_path, name):
    X, y = (tmp_path / each for each in name.split())
    for path in (X, y):
        path.touch()
    assert label_file(X) == y
    assert label_file(y) is None


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_are_read_as_numpy_does_and_not_mapped_whole(
    tmp_path, rows, small_parts, order, monkeypatch
):
    X = np.asarray(rows[0], order=order)
    np.save(tmp_path / "X.npy", X)
    if order == "C":  # of a file by columns, each row is everywhere
        monkeypatch.setattr(np, "memmap", None)
    parts = [load() for load in Blocks.from_npy(tmp_path / "X.npy").loaders]
    assert len(parts) > 1
    np.testing.assert_array_equal(np.concatenate(parts), X, strict=True)


def test_npy_files_that_cannot_be_parts(tmp_path, rows):
    X, y = rows
    with pytest.raises(DataFileError, match=r"has no \.npy files"):
        Blocks.from_npy(tmp_path)
    np.save(tmp_path / "a.npy", np.array([{}, []], dtype=object))
    with pytest.raises(DataFileError, match="cannot be read as a NumPy"):
        Blocks.from_npy(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", X)
    np.save(tmp_path / "a_y.npy", y[1:])
    with pytest.raises(DataFileError, match=r"holds 49 labels; .* has 50 rows"):
        Blocks.from_npy(tmp_path)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-4])
    with pytest.raises(DataFileError, match="cannot be read as a NumPy"):
        Blocks.from_npy(tmp_path / "a.npy")
    (tmp_path / "a_y.npy").unlink()
    np.save(tmp_path / "a.npy", X[:0])
    with pytest.raises(DataFileError, match="holds no rows"):
        Blocks.from_npy(tmp_path / "a.npy")
    with pytest.raises(ParameterError, match=r"No \.npy files are named"):
        Blocks.from_npy([])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_arrays_are_cut_at_chunks(tmp_path, rows, small_parts, zarr_format):
    zarr = pytest.importorskip("zarr", reason=NEEDS)
    X, y = rows
    group = zarr.create_group(tmp_path / "g.zarr", zarr_format=zarr_format)
    group.create_array("X", data=X, chunks=(4, 6))
    group.create_array("y", data=y, chunks=(50,))
    group.create_array("other", data=1 - y)
    blocks = Blocks.from_zarr(tmp_path / "g.zarr")
    assert blocks.n_samples == (8,) * 6 + (2,)
    assert_same(blocks, X, y)
    assert_same(Blocks.from_zarr(group, label="other"), X, 1 - y)
    assert_same(Blocks.from_zarr(group["X"]), X, y, beside=y)
    with pytest.MonkeyPatch.context() as patch:  # parts may be loaded elsewhere
        patch.chdir(tmp_path)
        relative = Blocks.from_zarr("g.zarr")
    assert_same(pickle.loads(pickle.dumps(relative)), X, y)
    with pytest.raises(DataFileError, match="holds the arrays X, other, y, and no z"):
        Blocks.from_zarr(group, label="z")
    with pytest.raises(ParameterError, match="is an array"):
        Blocks.from_zarr(group["X"], label="y")
    with pytest.raises(DataFileError, match=r"cannot be read as a Zarr|does not exist"):
        Blocks.from_zarr(tmp_path / "none.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(DataFileError, match="cannot be read as a Zarr array or group"):
        Blocks.from_zarr(tmp_path / "empty.zarr")


@pytest.mark.parametrize("name", ["X/zarr.json", "X/c/0/0", "zarr.json"])
def test_damaged_zarr_stores(tmp_path, rows, name):
    zarr = pytest.importorskip("zarr", reason=NEEDS)
    group = zarr.create_group(tmp_path / "g.zarr")
    group.create_array("X", data=rows[0])
    (tmp_path / "g.zarr" / name).write_bytes(b'{"zarr_format": 3, "node_type": "array"}')
    with pytest.raises(DataFileError, match=r"g\.zarr.*cannot be read as a Zarr array or group"):
        Blocks.from_zarr(tmp_path / "g.zarr").loaders[0]()


def test_pickles_in_zarr_are_never_loaded(tmp_path, rows):
    zarr = pytest.importorskip("zarr", reason=NEEDS)
    numcodecs = pytest.importorskip("numcodecs", reason=NEEDS)
    array = zarr.create_array(
        tmp_path / "p.zarr", shape=(2, 2), dtype="f4", zarr_format=2, filters=[numcodecs.Pickle()]
    )
    with pytest.raises(DataFileError, match="pickled objects"):
        Blocks.from_zarr(array)
