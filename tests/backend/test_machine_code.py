"""Compiled code on disk: read where it is whole and one's own, else compiled again."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from helpers import python, start_python


@pytest.fixture
def loads(compiled_products, monkeypatch, tmp_path):
    """Return what loads a product's code from a folder, and says whether it was written anew."""
    from gpulr.backend import machine_code

    def load(folder=tmp_path / "code", name="products"):
        monkeypatch.setenv("GPULR_CODE_CACHE", str(folder))
        written = []

        def write():
            writer = compiled_products._Writer(compiled_products.Tile(4, 2, 2), "uint8", "float32")
            writer.margins()
            written.append(name)
            return writer.module

        assert machine_code.load(name, write).get_function_address("margins")
        return bool(written)

    return load


def test_it_is_compiled_once(loads, tmp_path):
    assert [loads(), loads(), loads(name="others"), loads()] == [True, False, True, False]
    if hasattr(os, "getuid"):
        assert (tmp_path / "code").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "damage", [lambda code: code[:-1], lambda code: b"", lambda code: b"?" * 99]
)
def test_a_damaged_file_is_replaced(loads, tmp_path, damage):
    loads()
    (file,) = (tmp_path / "code").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert [loads(), loads()] == [True, False]


def test_other_code_and_other_machines_have_their_own(loads, monkeypatch):
    from gpulr.backend import machine_code

    assert [loads(), loads()] == [True, False]
    monkeypatch.setattr(machine_code.llvmlite, "__version__", "0.0")
    assert [loads(), loads()] == [True, False]
    original = machine_code.Path.read_bytes
    monkeypatch.setattr(machine_code.Path, "read_bytes", lambda p: original(p) + b" ")
    assert [loads(), loads()] == [True, True]  # no checksum is right either


@pytest.mark.parametrize("missing", ["buffers.py", "machine_code.py", "compiled_loops.py"])
def test_where_sources_are_not_at_hand_nothing_is_kept(loads, tmp_path, monkeypatch, missing):
    from gpulr.backend import machine_code

    original = machine_code.Path.read_bytes

    def read(path):  # as in a ZIP file, or where there is bytecode alone
        if path.name == missing:
            raise NotADirectoryError(path)
        return original(path)

    machine_code._sources.cache_clear()
    monkeypatch.setattr(machine_code.Path, "read_bytes", read)
    assert [loads(), loads()] == [True, True]
    assert not list((tmp_path / "code").iterdir())


def test_where_nothing_can_be_kept(loads, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for folder in ("never", tmp_path / "file", tmp_path / "file" / "below"):
        assert [loads(folder), loads(folder)] == [True, True]
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert [loads(""), loads("")] == [True, True]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system has other permissions")
def test_a_folder_that_others_may_write_to_is_not_used(loads, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code").chmod(0o777)
    assert [loads(), loads()] == [True, True]
    assert not list((tmp_path / "code").iterdir())


def test_processes_at_once_write_whole_files(compiled_products, tmp_path):
    code = """
import numpy as np, gpulr
X = np.arange(300 * 200, dtype=np.uint8).reshape(300, 200)
print(float(gpulr.train(X, np.arange(300) % 3, max_iter=2, tol=0).history.cost.sum()))
"""
    environment = {"GPULR_CODE_CACHE": str(tmp_path), "GPULR_COMPILE": "require"}
    processes = [start_python(code, **environment) for _ in range(3)]
    found = {process.communicate(timeout=60)[0] for process in processes}
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    found.add(python(code, **environment))
    assert len(found) == 1
    assert float(next(iter(found))) > 0
    assert len(files) >= 2
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == files


def test_what_is_read_computes_the_same(compiled_products, tmp_path, monkeypatch, rng):
    monkeypatch.setenv("GPULR_CODE_CACHE", str(tmp_path))
    X, W = rng.integers(0, 256, (50, 100)).astype(np.uint8), rng.normal(size=(100, 3))
    from gpulr.backend import compiled_functions, compiled_rows

    results = []
    for _ in range(2):
        monkeypatch.setattr(compiled_functions, "_compiled", {})
        results.append(compiled_rows.CompiledRows(X, np.dtype("float32")) @ np.float32(W))
    np.testing.assert_array_equal(*results)
    np.testing.assert_allclose(results[0], X @ W, rtol=1e-4, atol=1e-2)
