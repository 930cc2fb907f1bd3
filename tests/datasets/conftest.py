"""Small arrays, and folders and mirrors that stand for the user's."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from dataset_files import mirror, tiny_mnist
from gpulr.datasets import download, mnist


@pytest.fixture
def X():
    return np.random.default_rng(1).integers(0, 256, (12, 25)).astype(np.uint8)


@pytest.fixture
def y():
    return np.arange(12) % 3


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """An empty cache folder, no GPULR_DATA_HOME, no real mirror, and no proxy before others."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(download, "cache_folder", lambda: folder)
    monkeypatch.delenv("GPULR_DATA_HOME", raising=False)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch, cache_folder):
    folder = tmp_path / "home"
    monkeypatch.setenv("GPULR_DATA_HOME", str(folder))
    return folder


@pytest.fixture
def tiny(monkeypatch):
    """Known files replaced by tiny ones; gives their bytes by name."""
    files, contents = tiny_mnist()
    monkeypatch.setattr(mnist, "FILES", files)
    return contents


@pytest.fixture
def put():
    """Write files into a folder, made if need be."""

    def write(folder, contents):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return folder

    return write


@pytest.fixture
def mirrors(monkeypatch):
    """Have mirrors that answer so, and no others, in a block; gives their URLs and names asked."""

    @contextlib.contextmanager
    def opened(*answers):
        with contextlib.ExitStack() as stack:
            served = [stack.enter_context(mirror(answer)) for answer in answers]
            monkeypatch.setattr(mnist, "MIRRORS", tuple(url for url, _ in served))
            yield served

    return opened
