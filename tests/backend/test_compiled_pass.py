"""A compiled pass: the bits of its steps, whatever the rows, and whether it is used at all."""

from __future__ import annotations

import numpy as np
import pytest

from gpulr.backend import compiled_functions, compiled_rows, select
from gpulr.backend.base import Backend

STORAGE = ("bool", "uint8", "int8", "float16", "float32", "float64")


@pytest.fixture
def evaluate(compiled_products):
    """Return what evaluates rows of X in one pass, or returns None."""
    margins = compiled_functions.margin_functions(np.dtype(np.float32))
    function = compiled_rows.pass_function()
    assert margins is not None
    assert function is not None

    def evaluate(X, W, b, Y):
        rows = compiled_rows.compiled_rows(X, np.dtype(np.float32))
        return rows.evaluate(W, b, Y, margins, function)

    return evaluate


def sample(rng, storage, n_rows, n_features, k):
    X = (100 * rng.standard_normal((n_rows, n_features))).astype(storage)
    W, b = (0.01 * rng.standard_normal(shape) for shape in ((n_features, k), k))
    return X, *(a.astype(np.float32) for a in (W, b, rng.random((n_rows, k)) < 0.3))


def by_steps(X, W, b, Y, s=None):
    backend = select("numpy")
    return Backend.propagate(backend, backend.operand(X, W.dtype), W, b, Y, s)


def assert_same_bits(found, expected):
    assert len(found) == len(expected) == 3
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.covering
@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("n_features", [64, 803, 1543])
def test_it_returns_the_bits_of_its_steps(evaluate, rng, storage, n_features):
    narrow = sample(rng, storage, 1, n_features, 1)[0]
    sub_block = compiled_rows.compiled_rows(narrow, np.dtype(np.float32))._sub_block
    for n_rows in (sub_block, sub_block + 7, 2 * sub_block - 1, 3 * sub_block + 1):
        for k in (1, 10, 23):
            everything = sample(rng, storage, n_rows, n_features, k)
            assert_same_bits(evaluate(*everything), by_steps(*everything))


def test_signed_targets_take_one_pass_too(rng, monkeypatch):
    here = select("numpy")
    X, W, b, Y = sample(rng, "float32", 3_000, 150, 10)
    T = np.where(Y > 0, np.float32(3.5), np.float32(-1)) * (rng.random(Y.shape) > 0.1)
    rows, T = here.operand(X, W.dtype), T.astype(np.float32)
    expected = Backend.propagate(here, rows, W, b, T, None, True)
    monkeypatch.setattr(type(here), "activate_margins", None)  # not in steps
    assert_same_bits(here.propagate(rows, W, b, T, None, True), expected)


def test_rows_that_are_a_view(evaluate, rng):
    X, W, b, Y = sample(rng, "float32", 1_500, 150, 10)
    for rows in (X[::2, 3:140], X[:700, :137]):
        arguments = rows, W[: rows.shape[1]], b, Y[: len(rows)]
        assert_same_bits(evaluate(*arguments), by_steps(*arguments))


@pytest.mark.parametrize("storage", ["uint8", "float32"])
def test_nan_survives_in_its_column(evaluate, rng, storage):
    X, W, b, Y = sample(rng, storage, 1_000, 150, 10)
    W[70, 2] = np.nan
    found = evaluate(X, W, b, Y)
    if storage == "uint8":
        assert found is None  # the digits do not suffice: step by step, then
        found = select("numpy").propagate(select("numpy").operand(X, W.dtype), W, b, Y)
    expected = [column == 2 for column in range(10)]
    for part in found:
        assert np.isnan(np.atleast_2d(part)).all(axis=0).tolist() == expected


def test_where_it_is_used(compiled_products, uncompiled, rng, monkeypatch):
    backend, calls = select("numpy"), []
    original = compiled_rows.CompiledRows.evaluate

    def counted(self, *arguments):
        found = original(self, *arguments)
        calls.append(found is not None)
        return found

    monkeypatch.setattr(compiled_rows.CompiledRows, "evaluate", counted)
    for n_rows, weighted, used in (
        (1_000, False, [True]),
        (20, False, [False]),  # less than a sub-block
        (1_000, True, []),
    ):
        X, W, b, Y = sample(rng, "float32", n_rows, 150, 5)
        s = rng.random((n_rows, 1), dtype=np.float32) if weighted else None
        calls.clear()
        found = backend.propagate(backend.operand(X, W.dtype), W, b, Y, s)
        assert calls == used
        assert_same_bits(found, by_steps(X, W, b, Y, s))


def test_a_pass_that_is_wrong_is_not_used(compiled_products, monkeypatch):
    from gpulr.backend.compiled_pass import PassFunction

    right = PassFunction.__call__

    def without_the_last_row(self, functions, sizes, arrays):
        right(self, functions, (*sizes[:2], sizes[2] - 1, *sizes[3:]), arrays)

    monkeypatch.setattr(PassFunction, "__call__", without_the_last_row)
    compiled_rows.pass_function.cache_clear()
    try:
        assert compiled_rows.pass_function() is None
    finally:
        compiled_rows.pass_function.cache_clear()
