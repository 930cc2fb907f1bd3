"""What a run is of: the same numbers have one hash, however they are stored and read."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.backend import NumPyBackend
from gpulr.families import row_hashes
from gpulr.families.fingerprint import difference, fingerprint_of
from gpulr.families.reading import read_inputs
from gpulr.families.row_hashes import HASH, hash_rows
from gpulr.families.settings import Settings
from sources import Slices, SparseSlices


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch):
    monkeypatch.setattr(row_hashes, "PIECE_BYTES", 700)
    monkeypatch.setattr(row_hashes, "SPARSE_ROWS", 13)


def rows_of(X):
    return read_inputs(X, np.arange(X.shape[0]) % 2, None).X


DTYPES = ("bool", "uint8", "int16", "float16", "float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_numbers_have_one_hash(rng, tmp_path, dtype, monkeypatch):
    X = (rng.normal(size=(211, 7)) * 20).astype(dtype)
    np.save(tmp_path / "X.npy", X)
    hashes = {hash_rows(each) for each in (X, np.asfortranarray(X), X[:, ::-1][:, ::-1])}
    hashes |= {hash_rows(X.astype(X.dtype.newbyteorder(">")))}
    hashes |= {hash_rows(np.load(tmp_path / "X.npy", mmap_mode="r"))}
    for chunk, block_bytes in ((50, 10_000), (1, 300), (211, 10**9)):
        monkeypatch.setattr(NumPyBackend, "block_bytes", block_bytes)
        hashes |= {hash_rows(rows_of(Slices(X, chunk)))}
        hashes |= {hash_rows(X)}
    assert len(hashes) == 1
    assert hashes.pop().startswith(HASH)


def test_sparse_rows_too(rng, monkeypatch):
    X = sparse.random_array((211, 40), density=0.2, random_state=rng, format="csr")
    hashes = {hash_rows(X), hash_rows(sparse.csr_matrix(X)), hash_rows(long(X))}
    for block_bytes in (10_000, 2_000, 10**9):
        monkeypatch.setattr(NumPyBackend, "block_bytes", block_bytes)
        hashes |= {hash_rows(rows_of(SparseSlices(X)))}
    assert len(hashes) == 1


def long(X):
    return sparse.csr_array(
        (X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape
    )


def test_arrays_of_any_library(put, rng):
    X = rng.normal(size=(211, 7)).astype(np.float32)
    assert hash_rows(put(X)) == hash_rows(X)


def test_other_numbers_have_another_hash(rng):
    X = rng.normal(size=(211, 7)).astype(np.float32)
    seen = {hash_rows(X), hash_rows(X[:-1]), hash_rows(X[::-1]), hash_rows(np.roll(X, 1, axis=1))}
    for at in (0, 100, 211 * 7 - 1):
        other = X.copy()
        other.reshape(-1)[at] = np.nextafter(other.reshape(-1)[at], 9)
        seen.add(hash_rows(other))
    S = sparse.csr_array(np.where(X > 0.5, X, 0.0))
    moved = S.copy()
    moved.indices[5] = (moved.indices[5] + 1) % 7
    seen |= {hash_rows(S), hash_rows(moved), hash_rows(S * 2)}
    assert len(seen) == 10


def test_the_first_that_differs_is_named():
    now = {"a": "1", "b": "2", "c": HASH + "3"}
    assert difference(now, now) == ""
    assert difference(now | {"b": "5", "c": HASH + "4"}, now) == "b was 5, and is 2 here"
    assert difference(now | {"c": HASH + "4"}, now) == "c is another one here"
    assert difference(now | {"c": "None"}, now) == "c was None, and is given here"
    assert difference(now | {"d": "1"}, now) == "d was 1, and is None here"
    assert difference({"b": "2", "c": HASH + "3"}, now) == "a was None, and is 1 here"


def test_what_is_said_of_a_run_is_short(rng):
    X, backend = rng.normal(size=(60, 3)), NumPyBackend("numpy", np)
    Y = (X > 0).astype(np.uint8)
    inputs = read_inputs(X, Y, None).weighted(None, None, [1.0, 2.0, 3.0])
    C = list(np.geomspace(1, 10, 200))
    found = fingerprint_of("train", inputs, Settings(max_iter=3), backend, C=C)
    assert all(len(value) <= 80 for value in found.values())
    assert found["gpulr"] == gpulr.__version__
    assert found["pos_weight"] == "[1.0, 2.0, 3.0]"
    assert found["dtype"] == "float32"
    assert found["C"].startswith(HASH)
    assert "max_iter" not in found
