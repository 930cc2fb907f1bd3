from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpulr.datasets import NAMES, describe, load, load_default, load_digits, mnist
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


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import gpulr.datasets", "scipy sklearn pooch requests filelock rich platformdirs pandas"),
        ("import gpulr.datasets as d; d.load('digits')", "sklearn"),
    ],
)
def test_import_is_light(code, unwanted):
    code += f"; import sys; print([name for name in {unwanted.split()} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[]\n", "")


# -- mnist-original without the real files ------------------------------------------------------


@pytest.fixture
def tiny_original(tiny, cache_folder, put, monkeypatch):
    """The tiny files in place, and mnist-original's known content replaced by theirs."""
    put(cache_folder / "mnist", tiny)
    parts = mnist.load_mnist()
    train, test = np.argsort(parts.y, kind="stable"), np.argsort(parts.y_test, kind="stable")
    X = np.vstack([parts.X[train], parts.X_test[test]])
    y = np.hstack([parts.y[train], parts.y_test[test]])
    monkeypatch.setattr(mnist, "ORIGINAL_SHAPE", X.shape)
    monkeypatch.setattr(mnist, "ORIGINAL_X_SHA256", hashlib.sha256(X.tobytes()).hexdigest())
    labels = hashlib.sha256(y.astype(np.uint8).tobytes()).hexdigest()
    monkeypatch.setattr(mnist, "ORIGINAL_Y_SHA256", labels)
    return X, y


def test_original_is_built_or_read(tiny_original, cache_folder):
    import scipy.io

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
    import scipy.io

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
