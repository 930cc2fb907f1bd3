"""What is no path is said to be none, wherever a path is taken."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr.errors import DataFileError, ModelFileError, ParameterError
from gpulr.images.loading import load_images
from gpulr.output_files import path_of, replace_file


class Bytes:
    def __fspath__(self):
        return b"m.safetensors"


@pytest.fixture(scope="module")
def model():
    X = np.random.default_rng(1).random((12, 4))
    return gpulr.train(X, np.arange(12) % 3, image_shape=(2, 2), max_iter=1, tol=0)


TAKES_PATHS = {
    "save": lambda model, path: model.save(path),
    "load": lambda model, path: gpulr.load(path),
    "report": gpulr.report,
    "replace_file": lambda model, path: replace_file(path, b"content"),
    "load_images": lambda model, path: load_images([path], model),
    "datasets.load": lambda model, path: gpulr.datasets.load(path),
    "datasets.read": lambda model, path: gpulr.datasets.read(path),
}


@pytest.mark.parametrize(
    "value", [5, None, 1.5, [], b"x.csv", b"m.safetensors", Bytes(), "nul\0.csv", "m\0.safetensors"]
)
@pytest.mark.parametrize("name", TAKES_PATHS)
def test_what_is_no_path(model, name, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = DataFileError if name.startswith("datasets") else ParameterError
    with pytest.raises(expected):
        TAKES_PATHS[name](model, value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["", ".", "/", "..", "/dev/null", "/nowhere/m.safetensors"])
@pytest.mark.parametrize("name", TAKES_PATHS)
def test_paths_without_a_file(model, name, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((DataFileError, ModelFileError, ParameterError)):
        TAKES_PATHS[name](model, value)
    assert list(tmp_path.iterdir()) == []


def test_paths_are_kept_and_messages_name_what_was_got(tmp_path):
    assert path_of("path", str(tmp_path)) == path_of("path", tmp_path) == tmp_path
    with pytest.raises(ParameterError, match="output=5; expected a path"):
        path_of("output", 5)
    with pytest.raises(ParameterError, match="expected a path"):
        path_of("path", "a\0b")
    with pytest.raises(DataFileError, match=r"b'x\.csv': is no name or path \(of type bytes\)"):
        gpulr.datasets.load(b"x.csv")
