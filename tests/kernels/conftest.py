"""Sources of kernels with a mistake in them."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Replace one thing in a source, which a module has by a name."""

    def replace_in(module, name, present, absent):
        text = getattr(module, name).read_text()
        assert text.count(present) == 1
        path = tmp_path / getattr(module, name).name
        path.write_text(text.replace(present, absent))
        for header in getattr(module, name).parent.glob("*.cuh"):
            shutil.copy(header, tmp_path)
        monkeypatch.setattr(module, name, path)

    return replace_in
