from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from dataset_files import idx_bytes
from gpulr.datasets import read
from gpulr.datasets.readers import checks
from gpulr.errors import DataFileError

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture
def images(X):
    return X.reshape(-1, 5, 5)


@pytest.fixture
def contents(images, y):
    arrays = images, y.astype(np.uint8), images[:3], y[:3].astype(np.uint8)
    return dict(zip((IMAGES, LABELS, *TEST), map(idx_bytes, arrays), strict=True))


@pytest.mark.parametrize("gz_images", [False, True])
@pytest.mark.parametrize("gz_labels", [False, True])
def test_labels_are_found_beside(tmp_path, X, y, contents, gz_images, gz_labels, put):
    files = {}
    for name, zipped in ((IMAGES, gz_images), (LABELS, gz_labels)):
        files[name + ".gz" * zipped] = gzip.compress(contents[name]) if zipped else contents[name]
    put(tmp_path, files)
    got = read(tmp_path / (IMAGES + ".gz" * gz_images))
    np.testing.assert_array_equal(got.X, X)
    np.testing.assert_array_equal(got.y, y)
    assert (got.X.dtype, got.y.dtype) == (np.uint8, np.int64)
    assert (got.image_shape, got.X_test, got.name) == ((5, 5), None, "train-images")


@pytest.mark.parametrize(
    ("images_name", "labels_name"),
    [
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
        ("images.gz", "labels.gz"),
        ("a-images.idx", "a-labels.idx"),
        ("Image", "Label"),
        ("latest-images-idx3-ubyte", "latest-labels-idx1-ubyte"),
    ],
)
def test_other_names(tmp_path, X, contents, images_name, labels_name, put):
    put(tmp_path, {images_name: contents[IMAGES], labels_name: contents[LABELS], "notes.txt": b""})
    np.testing.assert_array_equal(read(tmp_path / images_name).X, X)
    np.testing.assert_array_equal(read(tmp_path).X, X)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_folder(tmp_path, X, y, contents, put, suffix):
    files = {k + suffix: gzip.compress(v) if suffix else v for k, v in contents.items()}
    put(tmp_path / "four", files | {"README.md": b"images"})
    got = read(tmp_path / "four")
    np.testing.assert_array_equal(got.X, X)
    np.testing.assert_array_equal(got.X_test, X[:3])
    np.testing.assert_array_equal(got.y_test, y[:3])
    assert (got.name, got.source) == ("four", str(tmp_path / "four"))


def test_folder_without_test_part(tmp_path, contents, put):
    put(tmp_path, {name: contents[name] for name in (IMAGES, LABELS)})
    assert read(tmp_path).X_test is None


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


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_dtypes(tmp_path, y, dtype, put):
    values = (np.arange(48).reshape(12, 2, 2) - (0 if dtype == "u1" else 20)).astype(dtype)
    put(tmp_path, {IMAGES: idx_bytes(values), LABELS: idx_bytes(y.astype(dtype))})
    got = read(tmp_path / IMAGES)
    np.testing.assert_array_equal(got.X, values.reshape(12, 4))
    assert got.X.dtype == np.dtype(dtype)
    assert got.y.dtype == np.int64
    assert got.X.flags.writeable


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({LABELS: None}, IMAGES, r"no file of labels beside it.*train-labels-idx1"),
        ({}, LABELS, "file of labels"),
        ({LABELS: TEST[1]}, IMAGES, r"labels of shape \(3,\) for the 12 images"),
    ],
    ids=["none", "given for images", "of another length"],
)
def test_labels_that_do_not_fit(tmp_path, contents, put, change, path, message):
    sources = {name: change.get(name, name) for name in (IMAGES, LABELS)}
    put(tmp_path, {name: contents[source] for name, source in sources.items() if source})
    with pytest.raises(DataFileError, match=message):
        read(tmp_path / path)


def head(code, *shape):
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>403 Forbidden</html>", "web page"),
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
def test_damaged(tmp_path, contents, put, content, message, zipped):
    files = {IMAGES: gzip.compress(content) if zipped else content, LABELS: contents[LABELS]}
    put(tmp_path, files)
    with pytest.raises(DataFileError, match=message):
        read(tmp_path / IMAGES)


def test_damaged_gzip(tmp_path, contents, put):
    whole = gzip.compress(contents[IMAGES])
    crc = bytearray(whole)
    crc[-6] ^= 1
    cases = [bytes(crc), whole + b"tail", whole[:-1], whole[:-9], whole[:20], whole[:2], whole * 2]
    for content in [*cases, b"<html>"]:
        put(tmp_path, {IMAGES + ".gz": content, LABELS: contents[LABELS]})
        with pytest.raises(DataFileError) as info:
            read(tmp_path / (IMAGES + ".gz"))
    assert "begins with b'<html>'" in str(info.value)


def test_bomb_is_refused_before_it_expands(tmp_path, contents, put, monkeypatch):
    monkeypatch.setattr(checks, "ALWAYS_FINE", 1000)
    bomb = gzip.compress(head(8, 12, 1000, 1000) + b"\0" * 12_000_000)
    put(tmp_path, {IMAGES: bomb, LABELS: contents[LABELS]})
    monkeypatch.setattr("gpulr.datasets.readers.idx.read_exactly", None)
    with pytest.raises(DataFileError, match="decompression bomb"):
        read(tmp_path / IMAGES)
