"""Data sets by name: digits, MNIST where it is on this machine, and small files in its place."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from dataset_files import idx_bytes
from gpulr.datasets import NAMES, describe, load, load_default, load_digits, load_mnist, mnist
from gpulr.errors import DataFallbackWarning, DataFileError


def test_digits_never_change():
    got = load_digits()
    assert got.X.shape == (1442, 64)
    assert got.X_test.shape == (355, 64)
    assert {got.X.dtype, got.X_test.dtype} == {np.dtype(np.float32)}
    assert {got.y.dtype, got.y_test.dtype} == {np.dtype(np.int64)}
    assert (got.X.min(), got.X.max()) == (0, 1)
    assert (got.image_shape, got.name) == ((8, 8), "digits")
    np.testing.assert_array_equal(
        np.bincount(got.y_test), (np.bincount(got.y) + np.bincount(got.y_test)) // 5
    )
    digest = hashlib.sha256(
        (16 * got.X_test).astype(np.uint8).tobytes() + bytes(got.y_test.tolist())
    )
    assert digest.hexdigest() == "dffb3bbc3bee43a253e1a27dcd91eed7938a7aa43dbb1099812cb3e7392d9b1c"


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits as load_bundled

    X, y = load_bundled(return_X_y=True)
    got = load("digits")
    both = np.column_stack([np.vstack([got.X, got.X_test]), np.hstack([got.y, got.y_test])])
    bundled = np.column_stack([X / 16, y]).astype(both.dtype)
    np.testing.assert_array_equal(both[np.lexsort(both.T)], bundled[np.lexsort(bundled.T)])


def test_digits_where_scikit_learn_keeps_its_file_elsewhere(monkeypatch):
    known = load_digits()
    monkeypatch.setattr("gpulr.datasets.catalogue.find_spec", lambda name: None)
    np.testing.assert_array_equal(load_digits().X, known.X)
    np.testing.assert_array_equal(load_digits().y, known.y)


@pytest.mark.parametrize("name", ["MNIST", "mnits", "no/such/file.npz", "file.csv"])
def test_neither_name_nor_path(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataFileError, match="does not exist") as info:
        load(name)
    assert all(known in str(info.value) for known in NAMES)
    for value in (None, 3.5):
        with pytest.raises(DataFileError, match="is no name or path"):
            load(value)


def test_names_go_before_paths(tmp_path, monkeypatch, X, y):
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    assert load("digits").name == "digits"
    with pytest.raises(DataFileError, match="IDX"):
        load("./digits")
    with pytest.raises(DataFileError, match="IDX"):
        load(Path("digits"))


def test_default_is_mnist_if_there(tiny, cache_folder, put):
    put(cache_folder / "mnist", tiny)
    assert load_default().name == "mnist"


def test_default_falls_back(cache_folder):
    with pytest.warns(DataFallbackWarning, match="(?s)not on this machine.*GPULR_DATA_HOME") as w:
        assert load_default().name == "digits"
    assert len(w) == 1


def test_describe(tiny, cache_folder, put):
    mnist_record, original, digits = describe()
    assert [r.name for r in (mnist_record, original, digits)] == list(NAMES)
    assert [r.available for r in (mnist_record, original, digits)] == [False, False, True]
    assert "4 of 4 files are missing" in mnist_record.note
    assert digits.size > 10_000
    put(cache_folder / "mnist", tiny)
    mnist_record, original, _ = describe()
    assert mnist_record.available
    assert original.available
    assert original.note == "built from mnist"
    assert mnist_record.size == sum(map(len, tiny.values()))
    assert mnist_record.location == str(cache_folder / "mnist")
    put(cache_folder, {"mnist-original.mat": b"12345"})
    assert describe()[1].size == 5


def test_import_is_light():
    code = """
import gpulr.datasets, sys
unwanted = {"scipy", "sklearn", "pooch", "requests", "filelock", "rich", "platformdirs", "pandas"}
print(*unwanted & sys.modules.keys())
gpulr.datasets.load("digits")
print("sklearn" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("\nFalse\n", "")


# -- mnist-original: small files in its place --------------------------------------------------


@pytest.fixture
def tiny_original(tiny, cache_folder, put, monkeypatch):
    """The tiny files in place, and mnist-original's known content replaced by theirs."""
    put(cache_folder / "mnist", tiny)
    parts = load_mnist()
    train, test = np.argsort(parts.y, kind="stable"), np.argsort(parts.y_test, kind="stable")
    X = np.vstack([parts.X[train], parts.X_test[test]])
    y = np.hstack([parts.y[train], parts.y_test[test]])
    monkeypatch.setattr(mnist, "ORIGINAL_SHAPE", X.shape)
    monkeypatch.setattr(mnist, "ORIGINAL_X_SHA256", hashlib.sha256(X.tobytes()).hexdigest())
    labels = hashlib.sha256(y.astype(np.uint8).tobytes()).hexdigest()
    monkeypatch.setattr(mnist, "ORIGINAL_Y_SHA256", labels)
    return X, y


def test_original_is_built_or_read(tiny_original, cache_folder):
    X, y = tiny_original
    built = load("mnist-original")
    assert built.source.startswith("built from ")
    scipy.io.savemat(cache_folder / "mnist-original.mat", {"data": X.T, "label": y[None] * 1.0})
    found = load("mnist-original")
    assert found.source == str(cache_folder / "mnist-original.mat")
    for got in (built, found):
        np.testing.assert_array_equal(got.X, X)
        np.testing.assert_array_equal(got.y, y)
        assert (got.X.dtype, got.y.dtype, got.X_test) == (np.uint8, np.int64, None)
        assert got.X.flags.c_contiguous
        assert (got.image_shape, got.name) == ((28, 28), "mnist-original")


@pytest.mark.parametrize("which", ["pixel", "label", "order"])
def test_original_with_other_content(tiny_original, cache_folder, which):
    X, y = tiny_original
    if which == "pixel":
        X[3, 400] ^= 1
    elif which == "label":
        y[5] += 256  # the same as uint8
    else:
        X, y = X[::-1], y[::-1]
    scipy.io.savemat(cache_folder / "mnist-original.mat", {"data": X.T, "label": y})
    with pytest.raises(DataFileError, match="does not hold mnist-original"):
        load("mnist-original")


# -- the real files, where they are on this machine --------------------------------------------


@pytest.fixture
def offline(real_mnist, monkeypatch):
    """The folder that holds them."""
    home = Path(real_mnist.source).parent
    monkeypatch.setenv("GPULR_DATA_HOME", str(home))
    monkeypatch.setattr(mnist, "MIRRORS", ())
    return home


@pytest.mark.mnist
def test_mnist(offline, real_mnist):
    got = real_mnist
    assert (got.X.shape, got.X_test.shape) == ((60_000, 784), (10_000, 784))
    assert (got.X.dtype, got.y.dtype) == (np.uint8, np.int64)
    assert got.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert got.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert got.X.sum(dtype=np.int64) == 1_567_298_545
    assert (got.image_shape, got.name) == ((28, 28), "mnist")
    assert got.source == str(offline / "mnist")
    record = describe()[0]
    assert (record.available, record.size) == (True, sum(file.size for file in mnist.FILES))
    arrays = [got.X.reshape(-1, 28, 28), got.y, got.X_test.reshape(-1, 28, 28), got.y_test]
    for file, array in zip(mnist.FILES, arrays, strict=True):
        plain = idx_bytes(array.astype(np.uint8))
        assert hashlib.sha256(plain).hexdigest() == file.plain_sha256
        assert len(plain) == file.plain_size


@pytest.mark.mnist
@pytest.mark.slow
def test_mnist_read_as_a_folder_is_the_same(offline):
    named, read = load("mnist"), load(offline / "mnist")
    for part in ("X", "y", "X_test", "y_test"):
        np.testing.assert_array_equal(getattr(named, part), getattr(read, part))
    assert read.image_shape == (28, 28)


@pytest.mark.mnist
@pytest.mark.slow
def test_original_file_equals_the_one_built_of_idx_files(offline, tmp_path, monkeypatch):
    archive = offline / "mnist-original.mat.zip"
    found = load("mnist-original") if archive.exists() else None
    (tmp_path / "mnist").symlink_to((offline / "mnist").resolve())
    monkeypatch.setenv("GPULR_DATA_HOME", str(tmp_path))
    built = load("mnist-original")
    assert built.source.startswith("built from ")
    assert built.X.shape == (70_000, 784)
    assert (built.X.dtype, built.y.dtype) == (np.uint8, np.int64)
    assert (np.diff(built.y[:60_000]) >= 0).all()
    assert (np.diff(built.y[60_000:]) >= 0).all()
    part = built.split()
    assert (part.X.shape, part.X_test.shape) == ((56_000, 784), (14_000, 784))
    if found is None:
        pytest.skip("mnist-original.mat.zip is not in GPULR_DATA_HOME")
    assert found.source == str(archive)
    assert (found.X.tobytes(), found.y.tobytes()) == (built.X.tobytes(), built.y.tobytes())
    assert found.X.flags.c_contiguous
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / archive.name).write_bytes(content)
    with pytest.raises(DataFileError, match="sha256"):
        load("mnist-original")


@pytest.mark.mnist
def test_csv_of_mnist_is_small_and_quick(real_mnist, tmp_path):
    """A twentieth of mnist_train.csv; the whole takes about twenty times as long."""
    X, y = real_mnist.X[:3000], real_mnist.y[:3000]
    texts = np.array([str(i) for i in range(256)])[np.column_stack([y, X])]
    lines = ["label," + ",".join(f"{i}x{j}" for i in range(28) for j in range(28))]
    lines += [",".join(row) for row in texts.tolist()]
    (tmp_path / "mnist_train.csv").write_text("\n".join(lines))
    start = time.process_time()
    read = load(tmp_path / "mnist_train.csv")
    assert time.process_time() - start < 1.5
    np.testing.assert_array_equal(read.X, X)
    np.testing.assert_array_equal(read.y, y)
    assert (read.X.dtype, read.image_shape) == (np.uint8, (28, 28))
