"""Model files: everything comes back, and what is damaged or foreign is refused."""

from __future__ import annotations

import dataclasses
import datetime
import os
import signal

import numpy as np
import pytest
from safetensors.numpy import save as to_bytes

import gpulr
from gpulr.model import storage
from helpers import start_python


@pytest.fixture
def model(rng):
    """A small trained model, quickly."""
    return gpulr.train(rng.normal(size=(12, 2)), np.arange(12) % 3, max_iter=2, tol=0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def assert_same(a, b):
    """Every field, bit for bit."""
    for field in dataclasses.fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if dataclasses.is_dataclass(x):
            assert_same(x, y)
        elif isinstance(x, np.ndarray):
            assert (x.dtype, x.shape) == (y.dtype, y.shape), field.name
            np.testing.assert_array_equal(x, y, err_msg=field.name)
        else:
            assert x == y, field.name
            assert type(x) is type(y), field.name


def interrupt(progress):
    if progress.models.tolist() == [1]:
        raise KeyboardInterrupt


CASES = {
    "plain": ({}, [0, 1, 2]),
    "float64": ({"dtype": "float64"}, [0, 1, 2]),
    "no penalty": ({"C": np.inf}, [0, 1, 2]),
    "C per model": ({"C": [0.1, np.inf, 1]}, [0, 1, 2]),
    "one by one, gd": ({"batched": False, "solver": "gd", "learning_rate": 0.1}, [0, 1, 2]),
    "image": ({"image_shape": (2, 3)}, [0, 1, 2]),
    "image sides of NumPy": ({"image_shape": (np.int64(2), np.uint8(3))}, [0, 1, 2]),
    "names": ({}, ["Ærø", "猫", "🐈 with spaces"]),
    "half a surrogate pair": ({}, ["\udcff", "b", "c"]),
    "floats": ({}, np.array([-1.0, 0.0, 3.0], np.float32)),
    "big numbers": ({}, np.array([0, 2**63, 2**64 - 1], np.uint64)),
    "bool": ({}, [False, True, True]),
    "two names": ({}, ["no", "yes", "yes"]),
    "bytes": ({}, [b"a", b"\xff\x00b", b"c"]),
    "days": ({}, np.array(["2020-02-29", "1969-12-31", "2026-01-01"], "M8[D]")),
    "nanoseconds": ({}, np.array([-1, 0, 2**62], "M8[ns]")),
    "durations": ({}, np.array([1, 2, 3], "m8[h]")),
    "several labels": ({}, np.array([[1, 0, 1], [0, 0, 1], [0, 1, 1]])),
    "two labels": ({}, np.array([[1, 0], [0, 0], [1, 1]])),
    "interrupted": ({"batched": False, "callbacks": [interrupt]}, [0, 1, 2]),
}


@pytest.mark.parametrize("case", CASES)
def test_everything_comes_back(rng, path, case):
    settings, labels = CASES[case]
    X = rng.normal(size=(12, 6))
    try:
        model = gpulr.train(X, np.array(labels)[np.arange(12) % 3], max_iter=2, tol=0, **settings)
    except gpulr.TrainingInterrupted as interruption:
        model = interruption.model
    assert (case == "interrupted") == (not model.history.n_iter.all())
    model = dataclasses.replace(model, fallback_reason="no GPU — „none“")
    model.data["source"] = os.fsdecode(b"/data/\xff.npz")  # a path that is not Unicode
    model.save(path)
    loaded = gpulr.load(path)
    assert_same(model, loaded)
    np.testing.assert_array_equal(model.predict(X), loaded.predict(X))
    loaded.save(path)
    assert_same(model, gpulr.load(str(path)))


def test_a_model_on_a_device_is_loaded_on_the_host(put, rng, path):
    X, y = rng.normal(size=(12, 2)), np.arange(12) % 3
    trained = gpulr.train(put(X), y, max_iter=2, tol=0)
    trained.save(path)
    loaded = gpulr.load(path)
    assert isinstance(loaded.weights, np.ndarray)
    assert loaded.backend == trained.backend
    np.testing.assert_array_equal(loaded.weights, gpulr.backend.to_host(trained.weights))


def test_names_of_labels_come_back(model, path):
    names = np.array(["b", "a", "Ærø"])
    dataclasses.replace(model, classes=names, multilabel=True).save(path)
    assert gpulr.load(path).classes.tolist() == names.tolist()
    assert gpulr.load(path).predict(np.zeros((2, 2))).shape == (2, 3)


def test_labels_that_a_file_cannot_hold(rng, path):
    days = [datetime.date(2020, 1, 1 + i % 3) for i in range(12)]
    X = rng.normal(size=(12, 2))
    model = gpulr.train(X, days, max_iter=2, tol=0)
    path.write_bytes(b"kept")
    with pytest.raises(gpulr.ModelFileError, match=r"are date objects.*classes\.astype\(str\)"):
        model.save(path)
    assert path.read_bytes() == b"kept"
    dataclasses.replace(model, classes=model.classes.astype(str)).save(path)
    assert gpulr.load(path).predict(X).tolist() == [str(day) for day in model.predict(X)]


def refused(path, message):
    with pytest.raises(gpulr.ModelFileError, match=message) as caught:
        gpulr.load(path)
    assert caught.value.path == path
    assert caught.value.remedy in str(caught.value)


@pytest.mark.parametrize("step", [37, pytest.param(1, marks=pytest.mark.slow)])
def test_any_flipped_bit_and_any_truncation_are_noticed(model, path, rng, step):
    model.save(path)
    content = path.read_bytes()
    assert len(content) < 6000
    for position in range(0, len(content), step):
        path.write_bytes(content[:position])
        refused(path, "not a readable model file")
        damaged = bytearray(content)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            loaded = gpulr.load(path)
        except gpulr.ModelFileError:
            continue
        assert_same(model, loaded)  # a byte that means nothing
    path.write_bytes(content + b"\0")
    refused(path, "not a readable model file")


def test_other_files_and_newer_versions_are_refused(model, path, monkeypatch):
    zeros = bytes(100)
    for content in (b"", b"PK\x03\x04" + zeros, b"\x93NUMPY" + zeros, b"\xff" * 1000, 10 * zeros):
        path.write_bytes(content)
        refused(path, rf"not a readable model file \(.*{len(content)} bytes\)")
    for metadata in (None, {}, {"format": "pt"}):
        path.write_bytes(to_bytes({"weights": np.zeros((2, 3))}, metadata=metadata))
        refused(path, "a safetensors file, but not a gpulr model")
    monkeypatch.setattr(storage, "PLAIN", 3)
    model.save(path)
    monkeypatch.undo()
    refused(path, r"version 3, this gpulr reads 1 to 2\. Update gpulr")


def test_thresholds_are_kept_and_older_versions_refuse_them(model, path, monkeypatch):
    chosen = dataclasses.replace(model, thresholds=np.array([0.5, -1.0, np.inf]))
    chosen.save(path)
    assert_same(gpulr.load(path), chosen)
    monkeypatch.setattr(storage, "VERSION", 1)  # as an earlier gpulr reads it
    refused(path, "model format version 2")
    model.save(path)
    assert_same(gpulr.load(path), model)
    monkeypatch.undo()
    for wrong in ([0.0, 1.0], [0.0, np.nan, 1.0], [0.0, -np.inf, 1.0], np.float32([0, 1, 2])):
        object.__setattr__(chosen, "thresholds", np.asarray(wrong))  # past its own check
        with pytest.raises(gpulr.ModelFileError, match="thresholds"):
            chosen.save(path)


def test_places_without_a_model(tmp_path):
    refused(tmp_path / "missing.safetensors", "there is no such file")
    refused(tmp_path, "is not a file")
    refused(tmp_path / ("x" * 300), "name too long")


def files(folder):
    return sorted(entry.name for entry in folder.iterdir())


def not_saved(model, path, message):
    with pytest.raises(gpulr.ModelFileError, match=f"could not be written: .*{message}") as caught:
        model.save(path)
    assert "still in memory" in str(caught.value)


def test_places_that_cannot_be_written(model, tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").write_text("")
    for place, message in {
        "no folder/m.safetensors": "No such file or directory",
        "folder.safetensors": "not a regular file",
        "file/m.safetensors": "Not a directory",
    }.items():
        not_saved(model, tmp_path / place, message)
    for name in ("m.pkl", "m", "m.txt", "m.safetensors.gz", ".safetensors"):
        with pytest.raises(gpulr.ParameterError, match=r"use .*\.safetensors\. `gpulr export` wr"):
            model.save(tmp_path / name)
    assert files(tmp_path) == ["file", "folder.safetensors"]
    model.save(tmp_path / "m.SafeTensors")
    assert_same(model, gpulr.load((tmp_path / "m.SafeTensors").rename(tmp_path / "m.bin")))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_folder_that_is_read_only(model, tmp_path):
    tmp_path.chmod(0o500)
    try:
        not_saved(model, tmp_path / "m.safetensors", "Permission denied")
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_leaves_the_old_file(model, small_disk):
    path = small_disk / "model.safetensors"
    model.save(path)
    large = np.zeros((100_000, 3), np.float32)
    large = dataclasses.replace(model, weights=large, feature_std=None)
    not_saved(large, path, "No space left")
    assert files(small_disk) == [path.name]
    assert_same(model, gpulr.load(path))


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_a_failing_disk_and_an_interruption_leave_the_old_file(model, path, monkeypatch, error):
    model.save(path)

    def fail(descriptor):
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    if isinstance(error, OSError):
        not_saved(dataclasses.replace(model, scale=2.0), path, "Input/output error")
    else:
        with pytest.raises(KeyboardInterrupt):
            dataclasses.replace(model, scale=2.0).save(path)
    assert files(path.parent) == [path.name]
    assert gpulr.load(path).scale == 1.0


def test_being_killed_leaves_the_old_file(model, path):
    model.save(path)
    code = """
import dataclasses, os, gpulr
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
dataclasses.replace(gpulr.load(os.environ["MODEL"]), scale=2.0).save(os.environ["MODEL"])
"""
    with start_python(code, MODEL=str(path)) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, output
    assert_same(model, gpulr.load(path))


def test_a_link_keeps_pointing_to_the_file(model, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link.safetensors"
    model.save(link)
    link.rename(target)
    link.symlink_to(target)
    dataclasses.replace(model, scale=3.0).save(link)
    assert link.is_symlink()
    assert gpulr.load(target).scale == gpulr.load(link).scale == 3.0
    assert files(tmp_path) == ["link.safetensors", "target"]
