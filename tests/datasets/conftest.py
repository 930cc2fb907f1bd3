"""Small arrays, and folders that stand for the user's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset_files import tiny_mnist
from gpulr.datasets import known_files, mnist


@pytest.fixture
def X():
    return np.random.default_rng(1).integers(0, 256, (12, 25)).astype(np.uint8)


@pytest.fixture
def y():
    return np.arange(12) % 3


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """An empty cache folder, and no GPULR_DATA_HOME."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(known_files, "cache_folder", lambda: folder)
    monkeypatch.delenv("GPULR_DATA_HOME", raising=False)
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


def _real_folder():
    for folder in known_files.search_folders():
        try:
            found = [known_files.locate(file, folder / mnist.FOLDER) for file in mnist.FILES]
        except ValueError:
            continue
        if all(found):
            return folder
    return None


@pytest.fixture(scope="session")
def real_mnist():
    """Folder whose mnist/ holds the real files; skips without. Nothing is downloaded."""
    folder = _real_folder()
    if folder is None:
        pytest.skip("MNIST's four files are neither in GPULR_DATA_HOME nor in the cache folder")
    return Path.cwd() / folder
