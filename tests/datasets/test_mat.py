from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from gpulr.datasets import read
from gpulr.datasets.readers import checks
from gpulr.errors import DataFileError


@pytest.fixture
def save(tmp_path):
    def write(variables, **options):
        scipy.io.savemat(tmp_path / "a.mat", variables, **options)
        return tmp_path / "a.mat"

    return write


@pytest.mark.parametrize(
    "options", [{}, {"do_compression": True}, {"format": "4"}], ids=["v6", "v7", "v4"]
)
@pytest.mark.parametrize("names", [("data", "label"), ("X", "y")])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("column", [False, True])
def test_either_orientation(save, X, y, options, names, transposed, column):
    labels = y[:, None] if column else y[None, :]
    got = read(
        save({names[0]: X.T if transposed else X, names[1]: labels.astype(float)}, **options)
    )
    np.testing.assert_array_equal(got.X, X)
    np.testing.assert_array_equal(got.y, y)
    assert (got.X.dtype, got.y.dtype) == (np.uint8, np.int64)
    assert got.X.flags.c_contiguous
    assert (got.image_shape, got.name) == ((5, 5), "a")


def test_square_is_taken_by_name(save):
    square = np.arange(16).reshape(4, 4)
    np.testing.assert_array_equal(read(save({"X": square, "y": np.arange(4)})).X, square)
    np.testing.assert_array_equal(read(save({"data": square, "label": np.arange(4)})).X, square.T)


def test_test_part_and_images_last(save, y):
    images = np.arange(5 * 4 * 12, dtype=np.uint8).reshape(5, 4, 12)
    got = read(save({"X": images, "y": y, "X_test": images[..., :2], "y_test": y[:2]}))
    np.testing.assert_array_equal(got.X[3].reshape(got.image_shape), images[..., 3])
    np.testing.assert_array_equal(got.X_test, got.X[:2])
    assert got.image_shape == (5, 4)


def test_other_variables_do_not_matter(save, X, y):
    other = {"c": np.array(["a", 1], object), "s": {"f": 1.0}, "z": 1j, "t": "text"}
    np.testing.assert_array_equal(read(save({**other, "X": X, "y": y})).X, X)


def test_big_endian(tmp_path):
    def element(kind, content):
        return struct.pack(">2I", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    def matrix(name, shape, values):
        return element(
            14,
            element(6, struct.pack(">2I", 6, 0))
            + element(5, struct.pack(">2i", *shape))
            + element(1, name)
            + element(9, np.array(values, ">f8").tobytes()),
        )

    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    X, y = matrix(b"X", (3, 2), range(6)), matrix(b"y", (3, 1), range(3))
    (tmp_path / "a.mat").write_bytes(head + X + y)
    np.testing.assert_array_equal(read(tmp_path / "a.mat").X, [[0, 3], [1, 4], [2, 5]])


def test_zip(tmp_path, save, X, y):
    with zipfile.ZipFile(tmp_path / "b.mat.zip", "w") as z:
        z.write(save({"X": X, "y": y}), "folder/b.mat")
        z.writestr("__MACOSX/folder/._b.mat", b"junk")
        z.writestr("readme.txt", b"")
    got = read(tmp_path / "b.mat.zip")
    np.testing.assert_array_equal(got.X, X)
    assert got.name == "b"
    for n in (0, 2):
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as z:
            for i in range(n):
                z.writestr(f"{i}.mat", b"x")
        with pytest.raises(DataFileError, match=f"holds {n} .mat files"):
            read(tmp_path / "b.zip")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"X": scipy.sparse.eye_array(3, format="csc"), "y": np.arange(3)}, "sparse"),
        ({"X": np.array([[1, "a"]], object), "y": np.arange(1)}, "cell"),
        ({"X": np.eye(2), "y": np.array(["a", "b"])}, "char"),
        ({"X": {"a": 1.0}, "y": np.arange(1)}, "struct"),
        ({"X": np.eye(3) * 1j, "y": np.arange(3)}, "complex"),
        ({"X": np.eye(3), "y": np.arange(3) * 1j}, "complex"),
        ({"X": np.zeros((0, 3)), "y": np.arange(3)}, "0×3"),
        ({"X": np.eye(3), "y": np.arange(4)}, "4 labels"),
        ({"X": np.eye(3), "label": np.arange(3)}, "holds the variables X, label; expected"),
        ({"X": np.eye(3), "y": np.arange(3), "X_test": np.eye(3)}, "half of a test part"),
        ({"X": np.eye(3), "y": np.arange(3) / 2}, "whole numbers"),
    ],
)
def test_unusable_variables(save, variables, message, compress):
    with pytest.raises(DataFileError, match=message):
        read(save(variables, do_compression=compress))


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
def test_other_files(tmp_path, content, message):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DataFileError, match=message):
        read(tmp_path / "a.mat")


@pytest.mark.parametrize("compress", [False, True])
def test_every_truncation(save, X, y, compress):
    path = save({"X": X, "y": y}, do_compression=compress)
    whole = path.read_bytes()
    for n in [*range(1, len(whole), 23), len(whole) - 1]:
        path.write_bytes(whole[:n])
        with pytest.raises(DataFileError):
            read(path)


def test_flipped_bit_in_compressed_values(save, X, y):
    """SciPy alone ignores zlib's checksum."""
    path = save({"X": X, "y": y}, do_compression=True)
    whole = bytearray(path.read_bytes())
    _, size = struct.unpack_from("<2I", whole, 128)
    whole[128 + 8 + size - 1] ^= 1  # of the checksum
    path.write_bytes(whole)
    with pytest.raises(DataFileError, match="incorrect data check"):
        read(path)


def test_unknown_value_type_does_not_crash(save, X, y):
    """SciPy alone ends the process with a segmentation fault."""
    path = save({"X": X, "y": y})
    whole = bytearray(path.read_bytes())
    at = whole.index(X.T.tobytes()) - 8
    for kind in (0, 8, 77, 65535):
        whole[at : at + 4] = struct.pack("<I", kind)
        path.write_bytes(whole)
        with pytest.raises(DataFileError, match="unknown type"):
            read(path)


def bomb(n_bytes, claimed=None):
    head = struct.pack("<2I", 14, claimed or n_bytes) + struct.pack("<4I", 6, 8, 9, 0)
    packed = zlib.compress(head + bytes(n_bytes - 16))
    return (
        b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + struct.pack("<2I", 15, len(packed))
    ) + packed


def test_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "ALWAYS_FINE", 1000)
    (tmp_path / "a.mat").write_bytes(bomb(4_000_000))
    with pytest.raises(DataFileError, match="decompression bomb"):
        read(tmp_path / "a.mat")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a.mat", bytes(4_000_000))
    with pytest.raises(DataFileError, match="decompression bomb"):
        read(tmp_path / "a.zip")


def test_claim_of_four_gigabytes(tmp_path):
    (tmp_path / "a.mat").write_bytes(bomb(4000, claimed=2**32 - 16))
    with pytest.raises(DataFileError, match="claims 4,294,967,280 bytes"):
        read(tmp_path / "a.mat")


def test_two_variables_of_one_name(tmp_path, X, y):
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"X": X, "y": y, "z": y})
    (tmp_path / "a.mat").write_bytes(stream.getvalue().replace(b"z\0\0\0", b"y\0\0\0"))
    with pytest.raises(DataFileError, match="same name"):
        read(tmp_path / "a.mat")
