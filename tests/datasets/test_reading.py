from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from gpulr.datasets import load, read
from gpulr.errors import DataFileError

NAMES = ["a.npz", "a.mat", "a.mat.zip", "a.csv", "a.csv.gz", "a-images-idx3-ubyte", "images.gz"]


@pytest.mark.parametrize("name", NAMES)
def test_missing_empty_folder_and_garbage(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(DataFileError, match="does not exist"):
        read(path)
    (tmp_path / name.replace("images", "labels")).write_bytes(b"x")
    path.write_bytes(b"")
    with pytest.raises(DataFileError, match="is empty"):
        read(path)
    for garbage in (b"x", b"<html><body>403</body></html>\n" * 9, b"\x1f\x8b" + b"\0" * 50,
                    b"PK\x03\x04" + b"\0" * 50, bytes(range(256))):  # fmt: skip
        path.write_bytes(garbage)
        with pytest.raises(DataFileError) as info:
            read(path)
        assert info.value.path == path
        assert info.value.remedy
    path.unlink()
    path.mkdir()
    with pytest.raises(DataFileError, match="folder"):
        read(path)


@pytest.mark.parametrize("name", ["a.txt", "a", "a.gz", "a.npy", "a.pkl"])
def test_unknown_suffix(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(1))
    with pytest.raises(DataFileError, match=r"unknown suffix.*\.npz.*\.mat.*\.csv.*IDX"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
def test_unreadable(tmp_path, name, monkeypatch):
    path = tmp_path / name
    path.write_bytes(b"x")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root

        def refuse(self, *args, **kwargs):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(DataFileError, match="Permission denied"):
        read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_named_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(DataFileError, match="not a regular file"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("path", ["nul\0.csv", "~nobody-of-this-name/a.csv", "x" * 5000 + ".csv"])
def test_impossible_paths(path):
    with pytest.raises(DataFileError):
        read(path)
    with pytest.raises(DataFileError):
        load(path)


def test_home_and_relative_paths(tmp_path, monkeypatch, X, y):
    np.savez(tmp_path / "a.npz", X=X, y=y)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in ("~/a.npz", "a.npz"):
        assert len(load(path).X) == 12


def test_error_survives_pickling(tmp_path):
    with pytest.raises(DataFileError) as info:
        read(tmp_path / "a.npz")
    assert str(pickle.loads(pickle.dumps(info.value))) == str(info.value)
