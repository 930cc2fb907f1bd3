"""The real MNIST files, where they are on this machine."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest

from dataset_files import idx_bytes
from gpulr.datasets import describe, load, load_mnist, load_mnist_original, mnist
from gpulr.errors import DataFileError

pytestmark = pytest.mark.mnist


@pytest.fixture
def offline(real_mnist, monkeypatch):
    monkeypatch.setenv("GPULR_DATA_HOME", str(real_mnist))
    monkeypatch.setattr(mnist, "MIRRORS", ())
    return real_mnist


def test_mnist(offline):
    got = load_mnist()
    assert got.X.shape == (60_000, 784)
    assert got.X_test.shape == (10_000, 784)
    assert (got.X.dtype, got.y.dtype) == (np.uint8, np.int64)
    assert got.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert got.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert got.X.sum(dtype=np.int64) == 1_567_298_545
    assert (got.image_shape, got.name) == ((28, 28), "mnist")
    assert got.source == str(offline / "mnist")
    record = describe()[0]
    assert (record.available, record.size) == (True, sum(file.size for file in mnist.FILES))


def test_constants_agree_with_the_files(offline):
    got = load_mnist()
    arrays = [got.X.reshape(-1, 28, 28), got.y, got.X_test.reshape(-1, 28, 28), got.y_test]
    for file, array in zip(mnist.FILES, arrays, strict=True):
        plain = idx_bytes(array.astype(np.uint8))
        assert hashlib.sha256(plain).hexdigest() == file.plain_sha256
        assert len(plain) == file.plain_size


def test_read_as_a_folder_is_the_same(offline):
    named, read = load("mnist"), load(offline / "mnist")
    for part in ("X", "y", "X_test", "y_test"):
        np.testing.assert_array_equal(getattr(named, part), getattr(read, part))
    assert read.image_shape == (28, 28)


@pytest.fixture
def idx_files_alone(offline, tmp_path):
    (tmp_path / "mnist").symlink_to(offline / "mnist")
    return tmp_path


def test_original_built_from_idx_files(idx_files_alone, monkeypatch):
    monkeypatch.setenv("GPULR_DATA_HOME", str(idx_files_alone))
    got = load_mnist_original()
    assert got.source.startswith("built from ")
    assert got.X.shape == (70_000, 784)
    assert (got.X.dtype, got.y.dtype) == (np.uint8, np.int64)
    assert got.X.flags.c_contiguous
    assert np.bincount(got.y).sum() == 70_000
    assert (np.diff(got.y[:60_000]) >= 0).all()
    assert (np.diff(got.y[60_000:]) >= 0).all()
    part = got.split()
    assert (part.X.shape, part.X_test.shape) == ((56_000, 784), (14_000, 784))


@pytest.fixture
def archive(offline):
    archive = offline / "mnist-original.mat.zip"
    if not archive.exists():
        pytest.skip("mnist-original.mat.zip is not in GPULR_DATA_HOME")
    return archive


def test_original_file_equals_the_built_one(archive, idx_files_alone, monkeypatch):
    got = load_mnist_original()
    assert got.source == str(archive)
    monkeypatch.setenv("GPULR_DATA_HOME", str(idx_files_alone))
    built = load_mnist_original()
    assert got.X.tobytes() == built.X.tobytes()
    assert got.y.tobytes() == built.y.tobytes()
    assert got.X.flags.c_contiguous


def test_original_with_a_flipped_bit(archive, tmp_path, monkeypatch):
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / archive.name).write_bytes(content)
    monkeypatch.setenv("GPULR_DATA_HOME", str(tmp_path))
    with pytest.raises(DataFileError, match="sha256"):
        load_mnist_original()


def test_csv_of_mnist_size_is_small_and_quick(offline, tmp_path):
    """A sixth of mnist_train.csv; the whole takes about six times as long."""
    got = load_mnist()
    X, y = got.X[:10_000], got.y[:10_000]
    table = np.column_stack([y, X])
    texts = np.array([str(i) for i in range(256)])
    with (tmp_path / "mnist_train.csv").open("w") as stream:
        stream.write("label," + ",".join(f"{i}x{j}" for i in range(28) for j in range(28)) + "\n")
        stream.writelines(",".join(row) + "\n" for row in texts[table].tolist())
    start = time.process_time()
    read = load(tmp_path / "mnist_train.csv")
    assert time.process_time() - start < 5
    np.testing.assert_array_equal(read.X, X)
    np.testing.assert_array_equal(read.y, y)
    assert (read.X.dtype, read.image_shape) == (np.uint8, (28, 28))
