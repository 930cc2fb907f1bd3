"""NumPy's files: archives of a data set, and rows that are mapped; believed as far as they go."""

from __future__ import annotations

import io
import os
import zipfile

import numpy as np
import pytest

from gpulr.datasets import read
from gpulr.datasets.readers import checks
from gpulr.datasets.readers.numpy_files import read_npy
from gpulr.errors import DataFileError


def npy(array):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


def with_header(text, body=b"", version=b"\x01\x00"):
    """Return a .npy file with this header, whatever it says."""
    text = text.encode() + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + body


def claiming(descr, shape, body=b"", **version):
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    return with_header(repr(fields), body, **version)


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as z:
        for name, content in members.items():
            z.writestr(name + ".npy", content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_X_and_y(tmp_path, X, y, save):
    save(tmp_path / "some.npz", X=X, y=y, other=np.arange(3))
    got = read(tmp_path / "some.npz")
    np.testing.assert_array_equal(got.X, X)
    np.testing.assert_array_equal(got.y, y)
    assert got.X.dtype == np.uint8
    assert got.y.dtype == np.int64
    assert (got.image_shape, got.X_test, got.name) == ((5, 5), None, "some")
    assert got.source == str(tmp_path / "some.npz")


def test_reads_keras_images(tmp_path, X, y):
    images = X.reshape(-1, 5, 5)
    np.savez(tmp_path / "k.npz", x_train=images, y_train=y, x_test=images[:2], y_test=y[:2])
    got = read(tmp_path / "k.npz")
    np.testing.assert_array_equal(got.X, X)
    np.testing.assert_array_equal(got.X_test, X[:2])
    np.testing.assert_array_equal(got.y_test, y[:2])
    assert got.image_shape == (5, 5)


def test_image_shape_of_more_axes_and_of_none(tmp_path, y):
    np.savez(tmp_path / "a.npz", X=np.zeros((12, 4, 3, 2), np.float32), y=y)
    assert read(tmp_path / "a.npz").image_shape == (4, 3, 2)
    for shape in ((12, 24), (12, 9)):
        np.savez(tmp_path / "a.npz", X=np.zeros(shape, np.uint8), y=y)
        assert read(tmp_path / "a.npz").image_shape is None
    np.savez(tmp_path / "a.npz", X=np.zeros((12, 25), np.float32), y=y)
    assert read(tmp_path / "a.npz").image_shape is None


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([0.0, 1.0, 2.0]), np.array([0, 1, 2])),
        (np.array([[0], [1], [2]], np.uint8), np.array([0, 1, 2])),
        (np.array([[0, 1, 2]], ">i4"), np.array([0, 1, 2])),
        (np.array([True, False, True]), np.array([1, 0, 1])),
        (np.array(["a", "bc", "d"]), np.array(["a", "bc", "d"])),
        (np.array([b"a", b"bc", b"d"]), np.array(["a", "bc", "d"])),
        (np.array(["a", "bc", "d"], ">U2"), np.array(["a", "bc", "d"])),
    ],
)
def test_labels(tmp_path, labels, expected):
    np.savez(tmp_path / "a.npz", X=np.zeros((3, 2)), y=labels)
    got = read(tmp_path / "a.npz").y
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == expected.dtype


def test_labels_may_be_several_columns_of_zeros_and_ones(tmp_path):
    Y = np.array([[0.0, 1], [1, 1], [0, 0]])
    np.savez(tmp_path / "a.npz", X=np.zeros((3, 2)), y=Y, X_test=np.zeros((1, 2)), y_test=Y[:1])
    dataset = read(tmp_path / "a.npz")
    assert dataset.y.dtype == dataset.y_test.dtype == np.uint8
    assert dataset.y.tolist() == Y.tolist()
    assert dataset.y_test.tolist() == [[0, 1]]


def test_parts_with_different_labels(tmp_path):
    Y = np.array([[0, 1, 1], [1, 1, 0], [0, 0, 0]])
    X = np.zeros((3, 2))
    np.savez(tmp_path / "a.npz", X=X, y=Y, X_test=X, y_test=Y[:, :2])
    with pytest.raises(DataFileError, match=r"y has shape \(3, 3\), but y_test has shape \(3, 2\)"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1, 2], "whole numbers"),
        ([[0, 1], [1, 2], [0, 1]], "expected one label per sample"),
        ([np.nan, 1, 2], "NaN"),
        ([1e300, 1, 2], "whole numbers"),
        ([[0, 1], [1, 0], [0, 1]], "one-hot"),
        ([1j, 0, 1], "complex"),
        ([0, 1], "2 labels"),
        (np.array([2**63] * 3, np.uint64), "int64"),
        (np.array([b"\xff"] * 3), "UTF-8"),
    ],
)
def test_unusable_labels(tmp_path, labels, message):
    np.savez(tmp_path / "a.npz", X=np.zeros((3, 2)), y=np.array(labels))
    with pytest.raises(DataFileError, match=message):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("dtype", [">f4", ">i2", "?", "f2", np.longdouble])
def test_dtypes_become_native(tmp_path, y, dtype):
    values = np.arange(24).reshape(12, 2) % 2
    np.savez(tmp_path / "a.npz", X=np.asfortranarray(values.astype(dtype)), y=y)
    got = read(tmp_path / "a.npz").X
    np.testing.assert_array_equal(got, values)
    assert got.dtype.isnative
    assert got.flags.c_contiguous
    assert got.dtype.kind in "iuf"
    assert got.itemsize <= 8


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.zeros((3, 2))}, "holds the arrays X; expected"),
        ({}, "holds the arrays none"),
        ({"X": np.zeros((3, 2)), "y": np.zeros(3), "X_test": np.zeros((1, 2))}, "half of a test"),
        ({"X": np.zeros(3), "y": np.zeros(3)}, "n_samples, n_features"),
        ({"X": np.zeros((3, 2), complex), "y": np.zeros(3)}, "complex"),
        ({"X": np.zeros((3, 2), "i4,f4"), "y": np.zeros(3)}, "structured"),
        ({"X": np.zeros((3, 2), "M8[s]"), "y": np.zeros(3)}, "datetime"),
        ({"X": np.zeros((0, 2)), "y": np.zeros(0)}, "at least one"),
        ({"X": np.zeros((3, 0, 2)), "y": np.zeros(3)}, "expected"),
        ({"X": np.zeros((3, 2), "U3"), "y": np.zeros(3)}, "dtype <U3"),
        (
            {"X": np.zeros((3, 4, 4)), "y": np.zeros(3), "X_test": np.zeros((1, 2, 8)),
             "y_test": np.zeros(1)},
            "images of shape",
        ),
    ],
)  # fmt: skip
def test_unusable_arrays(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataFileError, match=message):
        read(tmp_path / "a.npz")


def test_pickles_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    for X, y in ((np.array([[Trap()]]), np.zeros(1)), (np.zeros((1, 1)), np.array([Trap()]))):
        np.savez(tmp_path / "a.npz", X=X, y=y)
        with pytest.raises(DataFileError, match="pickled"):
            read(tmp_path / "a.npz")


def test_header_claims_ten_terabytes(tmp_path, y):
    members = {"X": claiming("|u1", (12, 10**12), bytes(64)), "y": npy(y)}
    with pytest.raises(DataFileError, match=r"claims shape \(12, 1000000000000\)"):
        read(archive(tmp_path / "a.npz", members))


@pytest.mark.parametrize(
    "bad",
    [
        claiming("|u1", (-1, -12), bytes(12)),
        claiming("|u1", (12, 2), bytes(25)),
        claiming("|u1", (12, 2), bytes(23)),
        with_header("{'descr': __import__('os'), 'fortran_order': False, 'shape': (12, 2), }"),
        claiming("|u1", (12, 2), version=b"\x07\x00"),
        claiming("|u1", (12, 2**63)),
        b"\x93NUMPY",
        b"",
        b"<html>",
    ],
)
def test_damaged_members(tmp_path, y, bad):
    with pytest.raises(DataFileError):
        read(archive(tmp_path / "a.npz", {"X": bad, "y": npy(y)}))


def test_bomb_is_refused(tmp_path, y, monkeypatch):
    monkeypatch.setattr(checks, "ALWAYS_FINE", 1000)
    X = np.zeros((12, 100_000), np.uint8)
    path = archive(tmp_path / "a.npz", {"X": npy(X), "y": npy(y)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(DataFileError, match="decompression bomb"):
        read(path)


def test_larger_than_half_of_memory_is_refused(tmp_path, X, y, monkeypatch):
    monkeypatch.setattr(checks, "ALWAYS_FINE", 100)
    monkeypatch.setattr(checks, "physical_memory", lambda: 600)
    np.savez(tmp_path / "a.npz", X=X, y=y)
    with pytest.raises(DataFileError, match="over half of this machine's 600 bytes"):
        read(tmp_path / "a.npz")


def test_every_truncation_and_crc(tmp_path, X, y):
    path = tmp_path / "a.npz"
    np.savez(path, X=X, y=y)
    whole = path.read_bytes()
    for n in range(1, len(whole), 37):
        path.write_bytes(whole[:n])
        with pytest.raises(DataFileError, match="sha256"):
            read(path)
    at = whole.index(X.tobytes()) + 100
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(DataFileError, match="CRC") as info:
        read(path)
    assert info.value.__cause__ is not None


# -- rows in .npy files --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "?", "<i8", ">f4", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_are_mapped(tmp_path, dtype, order):
    X = np.asarray(np.arange(12).reshape(4, 3) % 2, dtype, order=order)
    np.save(tmp_path / "a.npy", X)
    got = read_npy(tmp_path / "a.npy")
    assert isinstance(got, np.memmap)
    np.testing.assert_array_equal(got, X)


NO_ARRAY = {
    "empty": b"",
    "text": b"1,2\n3,4\n",
    "archive": b"PK\x03\x04" + bytes(100),
    "cut": np.lib.format.magic(1, 0),
    "token": with_header("{'descr': '<f4', 'shape': (1,2), 'fortran_order': False, \"\"\"}"),
    "deep": with_header("[" * 5000),
    "large numbers": claiming("<f4", (10**4000,)),
    "long": with_header(" " * 20_000),
    "no shape": with_header("{'descr': '<f4'}"),
    "more": claiming("<f4", (10**9, 5), bytes(20)),
    "overflow": claiming("<f4", (2**62, 2**62), bytes(20)),
    "negative": claiming("<f4", (-1, -5), bytes(20)),
    "nothing": claiming("<f4", (10**12, 0)),
    "no bytes each": claiming("|S0", (10**9, 5)),
    "nothing and no bytes": claiming("|V0", (10**9,), bytes(20)),
    "text inside": claiming("<U1", (1, 5), bytes(20)),
    "complex": claiming("<c8", (1, 2), bytes(16)),
    "structured": claiming([("a", "<f4")], (1, 5), bytes(20)),
    "objects": claiming("|O", (5,), bytes(40)),
    "single": claiming("<f4", (), bytes(4)),
}


@pytest.mark.parametrize("kind", NO_ARRAY)
def test_other_files_are_refused(tmp_path, kind):
    (tmp_path / "a.npy").write_bytes(NO_ARRAY[kind])
    with pytest.raises(DataFileError, match=r"a\.npy"):
        read_npy(tmp_path / "a.npy")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(DataFileError, match="not a regular file"):
        read_npy(tmp_path / "a.npy")
    for name in ("missing.npy", "nul\0.npy", "", "x" * 300):
        with pytest.raises(DataFileError):
            read_npy(tmp_path / name)


@pytest.mark.parametrize(
    ("descr", "shape"),
    [("|S0", (10**9,)), ("<U0", (10**9,)), ("|V0", (10**9,)), ("|u1", (10**12, 0))],
)
@pytest.mark.parametrize("place", ["X", "y", "X_test", "y_test"])
def test_values_of_no_bytes_take_no_memory(tmp_path, descr, shape, place):
    members = dict.fromkeys(("X", "X_test"), claiming("|u1", (3, 2), bytes(6)))
    members |= dict.fromkeys(("y", "y_test"), claiming("|u1", (3,), bytes(3)))
    members[place] = claiming(descr, shape)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    with pytest.raises(DataFileError):
        read(tmp_path / "a.npz")
