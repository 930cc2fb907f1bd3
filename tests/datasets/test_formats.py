"""Files of every format, whole, odd and damaged: one data set, or one DataFileError."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib
from itertools import product

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from dataset_files import head, idx_bytes, npy, npy_claiming, npy_with_header, saved, zipped
from gpulr.datasets import load, read
from gpulr.datasets.readers import checks
from gpulr.datasets.readers.numpy_files import read_npy
from gpulr.errors import DataFileError
from gpulr.sources import Blocks

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
NAMES = ["a.npz", "a.mat", "a.mat.zip", "a.csv", "a.csv.gz", "a-images-idx3-ubyte", "images.gz"]


@pytest.fixture
def contents(X, y):
    """Four IDX files, by name."""
    images, labels = X.reshape(-1, 5, 5), y.astype(np.uint8)
    arrays = images, labels, images[:3], labels[:3]
    return dict(zip((IMAGES, LABELS, *TEST), map(idx_bytes, arrays), strict=True))


@pytest.fixture
def write(tmp_path):
    """Write a file, by its content, or by NumPy's or MATLAB's variables; gives its path."""

    def written(name, content, **options):
        if isinstance(content, dict) and name.endswith(".npz"):
            content = saved(np.savez, **content)
        elif isinstance(content, dict):
            content = saved(scipy.io.savemat, content, **options)
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return written


@pytest.fixture
def refused(write):
    """Whether a file of this content is refused in these words."""

    def check(message, name, content, **options):
        path = write(name, content, **options)
        with pytest.raises(DataFileError, match=message) as info:
            read(path)
        assert info.value.path.parent == path.parent
        assert info.value.remedy
        return info.value

    return check


# -- whole files -------------------------------------------------------------------------------


def check_whole(got, X, y, path=None):
    np.testing.assert_array_equal(got.X, X)
    np.testing.assert_array_equal(got.y, y)
    assert (got.X.dtype, got.y.dtype) == (np.uint8, np.int64)
    assert got.X.flags.c_contiguous
    assert (got.image_shape, got.X_test) == ((5, 5), None)
    assert path is None or got.source == str(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(write, X, y, save):
    path = write("some.npz", saved(save, X=X, y=y, other=np.arange(3)))
    check_whole(read(path), X, y, path)
    assert read(path).name == "some"


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}])
@pytest.mark.parametrize("names", [("data", "label"), ("X", "y")])
def test_mat_of_either_orientation(write, X, y, options, names):
    for samples, labels in product((X, X.T), (y[:, None], y[None, :])):
        path = write("a.mat", {names[0]: samples, names[1]: labels.astype(float)}, **options)
        check_whole(read(path), X, y, path)


@pytest.mark.parametrize("of_images", ["", ".gz"])
@pytest.mark.parametrize("of_labels", ["", ".gz"])
def test_idx_labels_are_found_beside(write, X, y, contents, of_images, of_labels):
    path = write(IMAGES + of_images, zipped(contents[IMAGES], of_images))
    write(LABELS + of_labels, zipped(contents[LABELS], of_labels))
    check_whole(read(path), X, y, path)
    assert read(path).name == "train-images"


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
        ("images.gz", "labels.gz"),
        ("a-images.idx", "a-labels.idx"),
        ("Image", "Label"),
        ("latest-images-idx3-ubyte", "latest-labels-idx1-ubyte"),
    ],
)
def test_other_names_of_idx_files(tmp_path, X, y, contents, images, labels, put):
    put(tmp_path, {images: contents[IMAGES], labels: contents[LABELS], "notes.txt": b""})
    check_whole(read(tmp_path / images), X, y)
    check_whole(read(tmp_path), X, y, tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_folder_of_idx_files(tmp_path, X, y, contents, put, suffix):
    files = {name + suffix: zipped(content, suffix) for name, content in contents.items()}
    put(tmp_path / "four", files | {"README.md": b"images"})
    got = read(tmp_path / "four")
    np.testing.assert_array_equal(got.X, X)
    np.testing.assert_array_equal(got.X_test, X[:3])
    np.testing.assert_array_equal(got.y_test, y[:3])
    assert (got.name, got.source) == ("four", str(tmp_path / "four"))


def test_test_parts_and_images_of_any_axes(write, X, y):
    images = X.reshape(-1, 5, 5)
    keras = {"x_train": images, "y_train": y, "x_test": images[:2], "y_test": y[:2]}
    got = read(write("k.npz", keras))
    check_whole(got.__class__(got.X, got.y, image_shape=got.image_shape), X, y)
    np.testing.assert_array_equal(got.X_test, X[:2])
    np.testing.assert_array_equal(got.y_test, y[:2])
    last = np.arange(5 * 4 * 12, dtype=np.uint8).reshape(5, 4, 12)
    got = read(write("a.mat", {"X": last, "y": y, "X_test": last[..., :2], "y_test": y[:2]}))
    np.testing.assert_array_equal(got.X[3].reshape(got.image_shape), last[..., 3])
    np.testing.assert_array_equal(got.X_test, got.X[:2])
    assert got.image_shape == (5, 4)


@pytest.mark.parametrize(
    ("shape", "dtype", "image_shape"),
    [
        ((12, 4, 3, 2), "f4", (4, 3, 2)),
        ((12, 24), "u1", None),
        ((12, 9), "u1", None),
        ((12, 25), "f4", None),
    ],
)
def test_image_shapes(write, y, shape, dtype, image_shape):
    assert read(write("a.npz", {"X": np.zeros(shape, dtype), "y": y})).image_shape == image_shape


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
def test_labels(write, labels, expected):
    got = read(write("a.npz", {"X": np.zeros((3, 2)), "y": labels})).y
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == expected.dtype


def test_labels_may_be_several_columns_of_zeros_and_ones(write):
    X, Y = np.zeros((3, 2)), np.array([[0.0, 1], [1, 1], [0, 0]])
    got = read(write("a.npz", {"X": X, "y": Y, "X_test": X[:1], "y_test": Y[:1]}))
    assert got.y.dtype == got.y_test.dtype == np.uint8
    assert (got.y.tolist(), got.y_test.tolist()) == (Y.tolist(), [[0, 1]])


@pytest.mark.parametrize("dtype", [">f4", ">i2", "?", "f2", np.longdouble])
def test_dtypes_become_native(write, y, dtype):
    values = np.arange(24).reshape(12, 2) % 2
    got = read(write("a.npz", {"X": np.asfortranarray(values.astype(dtype)), "y": y})).X
    np.testing.assert_array_equal(got, values)
    assert got.dtype.isnative
    assert got.flags.c_contiguous
    assert got.dtype.kind in "iuf"
    assert got.itemsize <= 8


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_dtypes_of_idx_files(tmp_path, y, dtype, put):
    values = (np.arange(48).reshape(12, 2, 2) - (0 if dtype == "u1" else 20)).astype(dtype)
    put(tmp_path, {IMAGES: idx_bytes(values), LABELS: idx_bytes(y.astype(dtype))})
    got = read(tmp_path / IMAGES)
    np.testing.assert_array_equal(got.X, values.reshape(12, 4))
    assert (got.X.dtype, got.y.dtype) == (np.dtype(dtype), np.int64)
    assert got.X.flags.writeable


def test_square_matrices_and_other_variables_of_mat_files(write, X, y):
    square = np.arange(16).reshape(4, 4)
    for X_name, y_name, expected in (("X", "y", square), ("data", "label", square.T)):
        got = read(write("a.mat", {X_name: square, y_name: np.arange(4)}))
        np.testing.assert_array_equal(got.X, expected)
    other = {"c": np.array(["a", 1], object), "s": {"f": 1.0}, "z": 1j, "t": "text"}
    np.testing.assert_array_equal(read(write("a.mat", {**other, "X": X, "y": y})).X, X)


def test_mat_of_big_endian_numbers(write):
    def element(kind, content):
        return struct.pack(">2I", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    def matrix(name, shape, values):
        flags, dimensions = struct.pack(">2I", 6, 0), struct.pack(">2i", *shape)
        values = np.array(values, ">f8").tobytes()
        parts = ((6, flags), (5, dimensions), (1, name), (9, values))
        return element(14, b"".join(element(*part) for part in parts))

    start = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    X, y = matrix(b"X", (3, 2), range(6)), matrix(b"y", (3, 1), range(3))
    np.testing.assert_array_equal(read(write("a.mat", start + X + y)).X, [[0, 3], [1, 4], [2, 5]])


def test_zip_of_a_mat_file(tmp_path, X, y):
    with zipfile.ZipFile(tmp_path / "b.mat.zip", "w") as archive:
        archive.writestr("folder/b.mat", saved(scipy.io.savemat, {"X": X, "y": y}))
        archive.writestr("__MACOSX/folder/._b.mat", b"junk")
        archive.writestr("readme.txt", b"")
    check_whole(read(tmp_path / "b.mat.zip"), X, y)
    assert read(tmp_path / "b.mat.zip").name == "b"
    for n in (0, 2):
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            for i in range(n):
                archive.writestr(f"{i}.mat", b"x")
        with pytest.raises(DataFileError, match=f"holds {n} .mat files"):
            read(tmp_path / "b.zip")


@pytest.mark.parametrize("dtype", ["u1", "?", "<i8", ">f4", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_of_npy_files_are_mapped(tmp_path, dtype, order):
    X = np.asarray(np.arange(12).reshape(4, 3) % 2, dtype, order=order)
    np.save(tmp_path / "a.npy", X)
    got = read_npy(tmp_path / "a.npy")
    assert isinstance(got, np.memmap)
    np.testing.assert_array_equal(got, X)


# -- what cannot be samples and labels ---------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": None}, "holds the arrays X; expected"),
        ({"X": None, "y": None}, "holds the arrays none"),
        ({"X_test": np.zeros((1, 2))}, "half of a test"),
        ({"X": np.zeros(3)}, r"X has shape \(3,\); expected \(n_samples, n_features\)\. Correct"),
        ({"X": np.zeros(())}, r"X has shape \(\); expected \(n_samples, n_features\)\. Correct"),
        ({"X_test": np.zeros(2), "y_test": np.zeros(2)}, r"X_test has shape \(2,\); expected"),
        ({"X": np.zeros((3, 2), complex)}, "complex"),
        ({"X": np.zeros((3, 2), "i4,f4")}, "structured"),
        ({"X": np.zeros((3, 2), "M8[s]")}, "datetime"),
        ({"X": np.zeros((0, 2)), "y": np.zeros(0)}, "at least one"),
        ({"X": np.zeros((3, 0, 2))}, "expected"),
        ({"X": np.zeros((3, 2), "U3")}, "dtype <U3"),
        (
            {"X": np.zeros((3, 4, 4)), "X_test": np.zeros((1, 2, 8)), "y_test": np.zeros(1)},
            "images of shape",
        ),
        (
            {
                "y": np.eye(3) + np.eye(3, k=1),
                "X_test": np.zeros((1, 2)),
                "y_test": np.ones((1, 2)),
            },
            r"y has shape \(3, 3\), but y_test has shape \(1, 2\)",
        ),
        ({"y": [0.5, 1, 2]}, "whole numbers"),
        ({"y": [[0, 1], [1, 2], [0, 1]]}, "expected one label per sample"),
        ({"y": [np.nan, 1, 2]}, "NaN"),
        ({"y": [1e300, 1, 2]}, "whole numbers"),
        ({"y": [[0, 1], [1, 0], [0, 1]]}, "one-hot"),
        ({"y": [1j, 0, 1]}, "complex"),
        ({"y": [0, 1]}, "2 labels"),
        ({"y": np.array([2**63] * 3, np.uint64)}, "int64"),
        ({"y": np.array([b"\xff"] * 3)}, "UTF-8"),
    ],
)
def test_unusable_arrays(refused, arrays, message):
    arrays = {"X": np.zeros((3, 2)), "y": np.zeros(3)} | arrays
    refused(message, "a.npz", {name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"X": scipy.sparse.eye_array(3, format="csc"), "y": np.arange(3)}, "sparse"),
        ({"X": np.array([[1, "a"]], object), "y": np.arange(1)}, "cell"),
        ({"X": np.eye(2), "y": np.array(["a", "b"])}, "char"),
        ({"X": {"a": 1.0}, "y": np.arange(1)}, "struct"),
        ({"X": np.eye(3) * 1j, "y": np.arange(3)}, r"complex.*Save real numbers, .*real\(X\)"),
        ({"X": np.eye(3), "y": np.arange(3) * 1j}, r"complex.*Save real numbers, .*real\(y\)"),
        ({"X": np.zeros((0, 3)), "y": np.arange(3)}, "0×3"),
        ({"X": np.eye(3), "y": np.arange(4)}, "4 labels"),
        ({"X": np.eye(3), "label": np.arange(3)}, "holds the variables X, label; expected"),
        ({"X": np.eye(3), "y": np.arange(3), "X_test": np.eye(3)}, "half of a test part"),
        ({"X": np.eye(3), "y": np.arange(3) / 2}, "whole numbers"),
    ],
)
def test_unusable_variables(refused, variables, message, compress):
    refused(message, "a.mat", variables, do_compression=compress)


def test_complex_variables_of_version_4(refused):
    message = r"complex double.*real\(X\)"
    refused(message, "a.mat", {"X": np.eye(3) * 1j, "y": np.arange(3)}, format="4")


def test_pickles_are_never_loaded(refused):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    for X, y in ((np.array([[Trap()]]), np.zeros(1)), (np.zeros((1, 1)), np.array([Trap()]))):
        refused("pickled", "a.npz", {"X": X, "y": y})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((LABELS, *TEST), "without a pair"),
        ((IMAGES, *TEST), "without a pair"),
        ((IMAGES, LABELS, TEST[1]), "without a pair"),
        ((IMAGES, LABELS, *TEST, "more-images-idx3-ubyte"), "several files for the train images"),
        ((), "IDX files found: none"),
    ],
)
def test_folders_of_other_files(tmp_path, contents, put, names, message):
    put(tmp_path, {name: contents.get(name, contents[IMAGES]) for name in names})
    with pytest.raises(DataFileError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("labels", "name", "message"),
    [
        (None, IMAGES, r"no file of labels beside it.*train-labels-idx1"),
        (LABELS, LABELS, "file of labels"),
        (TEST[1], IMAGES, r"labels of shape \(3,\) for the 12 images"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, contents, put, labels, name, message):
    put(tmp_path, {IMAGES: contents[IMAGES]} | ({LABELS: contents[labels]} if labels else {}))
    with pytest.raises(DataFileError, match=message):
        read(tmp_path / name)


# -- damaged files -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"<!DOCTYPE html><html>403 Forbidden</html>",
            "<!DOCTYPE html.*Some mirrors .* web page .*from another",
        ),
        (b"\0\0\x08", "not an IDX file"),
        (head(0x0A, 12, 5, 5) + b"\0" * 300, "not an IDX file"),
        (head(8) + b"\0", "not an IDX file"),
        (b"\0\0\x08\xff" + b"\0" * 2000, "not an IDX file"),
        (head(8, 12, 5, 5)[:9], "header of 3 dimensions"),
        (head(8, 12, 5, 5) + b"\0" * 299, "299 bytes follow"),
        (head(8, 12, 5, 5) + b"\0" * 301, "bytes follow"),
        (head(8, 10_000_000, 1000, 1000) + b"\0" * 300, r"10,000,000,000,000"),
        (head(0x0E, *[2**32 - 1] * 3) + b"\0" * 300, "claims"),
        (head(8, 300) + b"\0" * 300, "single dimension"),
        (head(8, 0, 5, 5), "labels of shape"),
        (head(8, 12, 0, 5), "unusable"),
    ],
)
def test_damaged_idx_files(write, refused, contents, content, message, suffix):
    write(LABELS, contents[LABELS])
    refused(message, IMAGES, zipped(content, suffix))


def test_damaged_gzip(write, refused, contents):
    write(LABELS, contents[LABELS])
    whole = gzip.compress(contents[IMAGES])
    crc = bytearray(whole)
    crc[-6] ^= 1
    for content in (crc, whole + b"tail", whole[:-1], whole[:-9], whole[:20], whole[:2], whole * 2):
        refused(".", IMAGES + ".gz", content)
    refused("begins with b'<html>'", IMAGES + ".gz", b"<html>")


HDF5 = b"\x89HDF\r\n\x1a\n" + b"\0" * 600


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HDF5, "-v7"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\0" * 384 + HDF5, "-v7"),
        (b"x", "sha256"),
        (b"<html>" * 100, "sha256"),
        (b"\0" * 200, "sha256"),
        (b"\0" * 20, "sha256"),
    ],
    ids=range(6),
)
def test_other_files_than_mat(refused, content, message):
    refused(message, "a.mat", content)


@pytest.mark.parametrize(
    ("name", "options"), [("a.npz", {}), ("a.mat", {}), ("a.mat", {"do_compression": True})]
)
def test_every_truncation(write, refused, X, y, name, options):
    whole = write(name, {"X": X, "y": y}, **options).read_bytes()
    for n in [*range(1, len(whole), 29), len(whole) - 1]:
        refused("sha256", name, whole[:n])


def test_flipped_bits_that_a_checksum_tells(write, refused, X, y):
    """SciPy alone ignores zlib's, and NumPy zip's unless it reads to the end."""
    whole = bytearray(write("a.mat", {"X": X, "y": y}, do_compression=True).read_bytes())
    _, size = struct.unpack_from("<2I", whole, 128)
    whole[128 + 8 + size - 1] ^= 1  # of the checksum
    refused("incorrect data check", "a.mat", whole)
    whole = bytearray(write("a.npz", {"X": X, "y": y}).read_bytes())
    whole[whole.index(X.tobytes()) + 100] ^= 1
    assert refused("CRC", "a.npz", whole).__cause__ is not None


def test_unknown_value_type_does_not_crash(write, refused, X, y):
    """SciPy alone ends the process with a segmentation fault."""
    whole = bytearray(write("a.mat", {"X": X, "y": y}).read_bytes())
    at = whole.index(X.T.tobytes()) - 8
    for kind in (0, 8, 77, 65535):
        whole[at : at + 4] = struct.pack("<I", kind)
        refused("unknown type", "a.mat", whole)


def test_two_variables_of_one_name(write, refused, X, y):
    whole = write("a.mat", {"X": X, "y": y, "z": y}).read_bytes()
    refused("same name", "a.mat", whole.replace(b"z\0\0\0", b"y\0\0\0"))


def compressed_variable(n_bytes, claimed=None):
    start = struct.pack("<6I", 14, claimed or n_bytes, 6, 8, 9, 0)
    packed = zlib.compress(start + bytes(n_bytes - 16))
    size = struct.pack("<2I", 15, len(packed))
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + size + packed


def test_no_room_is_made_for_more_than_a_file_has(tmp_path):
    (tmp_path / "a").write_bytes(b"abcdef")
    with checks.BoundedFile(tmp_path / "a") as file:
        assert file.read(2) == b"ab"
        assert file.read(2**46) == b"cdef"
        assert (file.read(2**46), file.read(0), file.read()) == (b"", b"", b"")
        file.seek(1)
        assert file.read() == b"bcdef"


def test_claim_of_four_gigabytes(refused):
    content = compressed_variable(4000, claimed=2**32 - 16)
    refused("claims 4,294,967,280 bytes", "a.mat", content)


@pytest.mark.parametrize("kind", [1, 2, 4], ids=["cell", "struct", "text"])
def test_claims_of_variables_that_are_not_wanted(write, refused, X, y, kind):
    """SciPy alone takes 2 GiB for the name of each."""
    odd = np.array(["a", 1.0], object) if kind == 1 else {"field": 1.0} if kind == 2 else "text"
    whole = bytearray(write("a.mat", {"odd": odd, "X": X, "y": y}).read_bytes())
    at = whole.index(b"\x01\0\x03\0odd\0")
    whole[at : at + 8] = struct.pack("<2I", 1, 2**31 - 1)
    refused("type 1 and 2,147,483,647 bytes", "a.mat", whole)


def test_bombs_are_refused(write, refused, contents, y, monkeypatch):
    monkeypatch.setattr(checks, "ALWAYS_FINE", 1000)
    bomb = "decompression bomb"
    refused(bomb, "a.mat", compressed_variable(4_000_000))
    refused(bomb, "a.zip", archive({"a.mat": bytes(4_000_000)}))
    large = npy(np.zeros((12, 100_000), np.uint8))
    refused(bomb, "a.npz", archive({"X.npy": large, "y.npy": npy(y)}))
    write(LABELS, contents[LABELS])
    monkeypatch.setattr("gpulr.datasets.readers.idx.read_exactly", None)  # before it expands
    refused(bomb, IMAGES, gzip.compress(head(8, 12, 1000, 1000) + b"\0" * 12_000_000))


def test_larger_than_half_of_memory_is_refused(refused, X, y, monkeypatch):
    monkeypatch.setattr(checks, "ALWAYS_FINE", 100)
    monkeypatch.setattr(checks, "physical_memory", lambda: 600)
    refused("over half of this machine's 600 bytes", "a.npz", {"X": X, "y": y})


def archive(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (npy_claiming("|u1", (12, 10**12), bytes(64)), r"claims shape \(12, 1000000000000\)"),
        (npy_claiming("|u1", (-1, -12), bytes(12)), "."),
        (npy_claiming("|u1", (12, 2), bytes(25)), "."),
        (npy_claiming("|u1", (12, 2), bytes(23)), "."),
        (npy_with_header("{'descr': __import__('os'), 'fortran_order': 0, 'shape': (9,)}"), "."),
        (npy_claiming("|u1", (12, 2), version=b"\x07\x00"), "."),
        (npy_claiming("|u1", (12, 2**63)), "."),
        (b"\x93NUMPY", "."),
        (b"", "."),
        (b"<html>", "."),
    ],
)
def test_damaged_members(refused, y, bad, message):
    refused(message, "a.npz", archive({"X.npy": bad, "y.npy": npy(y)}))


@pytest.mark.parametrize(
    ("descr", "shape"),
    [("|S0", (10**9,)), ("<U0", (10**9,)), ("|V0", (10**9,)), ("|u1", (10**12, 0))],
)
@pytest.mark.parametrize("place", ["X", "y", "X_test", "y_test"])
def test_values_of_no_bytes_take_no_memory(refused, descr, shape, place):
    members = dict.fromkeys(("X.npy", "X_test.npy"), npy_claiming("|u1", (3, 2), bytes(6)))
    members |= dict.fromkeys(("y.npy", "y_test.npy"), npy_claiming("|u1", (3,), bytes(3)))
    refused(".", "a.npz", archive({**members, f"{place}.npy": npy_claiming(descr, shape)}))


def test_names_in_an_archive_that_differ(refused, X, y):
    """Else a test part would be left out where one letter of its name is another."""
    content = archive({f"{name}.npy": npy(of) for name, of in {"X": X, "y": y, "X_t": X}.items()})
    before, _, after = content.rpartition(b"X_t.npy")  # in the directory, at the end
    refused("differ", "a.npz", before + b"X_u.npy" + after)
    entry = content.rindex(b"PK\1\2", 0, content.rindex(b"PK\1\2"))  # y's, before that of X_t
    swallowed = bytearray(content)
    swallowed[entry + 32] = content.index(b"PK\5\6") - content.rindex(b"PK\1\2")  # its comment
    refused("lists 2 of 3 arrays", "a.npz", bytes(swallowed))


def test_a_long_header_takes_no_memory(write, refused, y):
    """NumPy reads as many bytes as a header claims to have, before it says that they are too many.

    Of a large file, and of what is packed small, these are there.
    """
    claim = (2**26).to_bytes(4, "little") + b"{"
    long = b"\x93NUMPY\x02\x00" + claim
    path = write("a.npy", long + bytes(64))
    with (path).open("r+b") as file:
        file.truncate(2**27)  # a hole
    tracemalloc.start()
    try:
        with pytest.raises(DataFileError, match=r"claims 67,108,864 bytes"):
            read_npy(path)
        with pytest.raises(DataFileError, match=r"claims 67,108,864 bytes"):
            Blocks.from_npy(path)
        refused("claims", "a.npz", archive({"X.npy": long + bytes(2**20), "y.npy": npy(y)}))
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


NO_ROWS = {
    "empty": b"",
    "text": b"1,2\n3,4\n",
    "archive": b"PK\x03\x04" + bytes(100),
    "cut": np.lib.format.magic(1, 0),
    "token": npy_with_header("{'descr': '<f4', 'shape': (1,2), 'fortran_order': False, \"\"\"}"),
    "deep": npy_with_header("[" * 5000),
    "large numbers": npy_claiming("<f4", (10**4000,)),
    "long": npy_with_header(" " * 20_000),
    "no shape": npy_with_header("{'descr': '<f4'}"),
    "more": npy_claiming("<f4", (10**9, 5), bytes(20)),
    "overflow": npy_claiming("<f4", (2**62, 2**62), bytes(20)),
    "negative": npy_claiming("<f4", (-1, -5), bytes(20)),
    "nothing": npy_claiming("<f4", (10**12, 0)),
    "no bytes each": npy_claiming("|S0", (10**9, 5)),
    "nothing and no bytes": npy_claiming("|V0", (10**9,), bytes(20)),
    "text inside": npy_claiming("<U1", (1, 5), bytes(20)),
    "complex": npy_claiming("<c8", (1, 2), bytes(16)),
    "structured": npy_claiming([("a", "<f4")], (1, 5), bytes(20)),
    "objects": npy_claiming("|O", (5,), bytes(40)),
    "single": npy_claiming("<f4", (), bytes(4)),
}


@pytest.mark.parametrize("kind", NO_ROWS)
def test_what_holds_no_rows_is_not_mapped(write, kind):
    path = write("a.npy", NO_ROWS[kind])
    with pytest.raises(DataFileError, match=r"a\.npy"):
        read_npy(path)


# -- whatever is at a path ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_missing_empty_folder_and_garbage(tmp_path, write, refused, name):
    path = tmp_path / name
    with pytest.raises(DataFileError, match="does not exist"):
        read(path)
    write(name.replace("images", "labels"), b"x")
    refused("is empty", name, b"")
    for garbage in (b"x", b"<html><body>403</body></html>\n" * 9, b"\x1f\x8b" + b"\0" * 50,
                    b"PK\x03\x04" + b"\0" * 50, bytes(range(256))):  # fmt: skip
        assert refused(".", name, garbage).path == path
    path.unlink()
    path.mkdir()
    with pytest.raises(DataFileError, match="folder"):
        read(path)


@pytest.mark.parametrize("name", ["a.txt", "a", "a.gz", "a.feather", "a.pkl"])
def test_unknown_suffix(refused, name):
    refused(r"unknown suffix.*\.npz.*\.mat.*\.csv.*IDX", name, pickle.dumps(1))


@pytest.mark.parametrize("name", NAMES)
def test_unreadable(write, name, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    path = write(name, b"x")
    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(DataFileError, match="Permission denied"):
        read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize(("name", "reader"), [("a.csv", read), ("a.npy", read_npy)])
def test_named_pipes_are_not_waited_for(tmp_path, name, reader):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataFileError, match="not a regular file"):
        reader(tmp_path / name)


@pytest.mark.parametrize("path", ["nul\0.csv", "~nobody-of-this-name/a.csv", "x" * 5000 + ".csv"])
def test_impossible_paths(tmp_path, path):
    for reader in (read, load, lambda path: read_npy(tmp_path / path)):
        with pytest.raises(DataFileError):
            reader(path)
    with pytest.raises(DataFileError):
        read_npy(tmp_path)


def test_home_and_relative_paths(tmp_path, write, monkeypatch, X, y):
    write("a.npz", {"X": X, "y": y})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in ("~/a.npz", "a.npz"):
        assert len(load(path).X) == 12


def test_error_survives_pickling(tmp_path):
    with pytest.raises(DataFileError) as info:
        read(tmp_path / "a.npz")
    assert str(pickle.loads(pickle.dumps(info.value))) == str(info.value)
