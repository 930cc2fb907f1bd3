"""Whether products are compiled: what is asked for, what is proven, which rows; and without it."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import gpulr
import gpulr.backend
from gpulr import backend
from gpulr.backend import compiled_functions, compiled_rows, compiler, probes
from gpulr.backend.cpu import SlicedRows
from helpers import python


@pytest.fixture
def no_llvmlite(monkeypatch, uncompiled):
    """A machine without llvmlite, whatever this one has."""
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.delitem(sys.modules, "gpulr.backend.compiled_products", raising=False)
    monkeypatch.delattr(gpulr.backend, "compiled_products", raising=False)


@pytest.fixture
def numpy():
    return backend.select("numpy")


def test_training_works_without_llvmlite(no_llvmlite, monkeypatch, digits):
    X, y, X_test, y_test = digits
    model = gpulr.train(X, y)
    assert model.evaluate(X_test, y_test).accuracy > 0.95
    assert "gpulr.backend.compiled_products" not in sys.modules
    monkeypatch.setenv("GPULR_COMPILE", "never")
    np.testing.assert_array_equal(gpulr.train(X, y).weights, model.weights)
    monkeypatch.delenv("GPULR_COMPILE")
    status = compiler.compiler()
    assert not status.usable
    assert "llvmlite is not installed" in status.words
    monkeypatch.setenv("GPULR_COMPILE", "require")
    with pytest.raises(
        gpulr.BackendUnavailableError, match=r'=require, but .* not installed.*pip.*"\.\[fast\]"'
    ):
        gpulr.train(X, y)


def test_never_tries_nothing_out(monkeypatch, numpy):
    monkeypatch.setattr(compiler, "_probe", lambda: pytest.fail("tried out"))
    X = np.ones((40, 33), np.float32)
    for value in ("never", " NEVER "):
        monkeypatch.setenv("GPULR_COMPILE", value)
        assert compiler.compiler().words == "not used: GPULR_COMPILE=never"
        assert isinstance(numpy.operand(X, np.float32), SlicedRows)
        assert numpy.operand_width(X, np.float32) == 33


def test_the_compiler_is_loaded_when_it_is_used(compiled_products):
    code = """
import os, sys, gpulr, numpy as np
def train():
    gpulr.train(np.eye(40), np.arange(40) % 2, max_iter=1, tol=0)
    print("llvmlite" in sys.modules)
train()
del os.environ["GPULR_COMPILE"]
train()
"""
    assert python(code, GPULR_COMPILE="never").split() == ["False", "True"]


def test_other_values_are_refused_and_reported(monkeypatch, blobs):
    monkeypatch.setenv("GPULR_COMPILE", "always")
    with pytest.raises(gpulr.ParameterError, match=r"GPULR_COMPILE='always'.*require"):
        gpulr.train(*blobs)
    checks = dict(probes.probe_numpy().checks)
    assert "GPULR_COMPILE='always'" in checks["compiled products"]


@pytest.mark.parametrize("value", ["", " ", "auto", " Auto ", "require"])
def test_a_compiler_that_works_is_used(compiled_products, monkeypatch, numpy, value):
    monkeypatch.setenv("GPULR_COMPILE", value)
    status = compiler.compiler()
    assert status.usable
    assert status.version in status.words
    X = np.ones((40, 64), np.uint8)
    rows = numpy.operand(X, np.float32)
    assert isinstance(rows, compiled_rows.CompiledRows)
    assert rows.X is X  # not converted
    assert numpy.operand_width(X, np.float32) < 64
    centred = numpy.operand(X, np.float32, np.ones(64, np.float32))
    assert isinstance(centred, compiled_rows.CompiledRows)
    assert not centred.X.any()


@pytest.mark.parametrize("spoilt", ["margins", "gradient"])
def test_products_that_are_wrong_are_found_out(
    compiled_products, uncompiled, monkeypatch, numpy, spoilt
):
    compile_products = compiled_products.compile_products

    def without_the_last_feature(*arguments):
        products = compile_products(*arguments)
        right = getattr(products, spoilt)
        return products._replace(
            **{spoilt: lambda X, m, stride, n, *rest: right(X, m, stride, n - 1, *rest)}
        )

    monkeypatch.setattr(compiled_products, "compile_products", without_the_last_feature)
    assert compiler.compiler().words == "llvmlite compiles products that are wrong"
    assert isinstance(numpy.operand(np.ones((40, 64), np.float32), np.float32), SlicedRows)


def test_llvms_failure_becomes_a_reason(compiled_products, uncompiled, monkeypatch, digits):
    def fail(*arguments):
        raise RuntimeError("no such target")

    monkeypatch.setattr(compiled_products, "compile_products", fail)
    status = compiler.compiler()
    assert not status.usable
    assert status.words == "llvmlite failed: RuntimeError: no such target"
    gpulr.train(*digits[:2], max_iter=1, tol=0)
    monkeypatch.setenv("GPULR_COMPILE", "require")
    with pytest.raises(gpulr.BackendUnavailableError, match="no such target"):
        gpulr.train(*digits[:2], max_iter=1, tol=0)


REFUSED = {
    "the other byte order": lambda X: X.astype(X.dtype.newbyteorder()),
    "column by column": np.asfortranarray,
    "backwards": lambda X: X[::-1],
    "features backwards": lambda X: X[:, ::-1],
    "every second feature": lambda X: X[:, ::2],
    "rows that overlap": lambda X: sliding_window_view(X.ravel(), 33)[:50],
    "one row for all": lambda X: np.broadcast_to(X[:1], X.shape),
    "no whole entries apart": lambda X: np.array(
        [(row, 7) for row in X], [("X", X.dtype, X.shape[1]), ("y", "u1")]
    )["X"],
    "too few rows": lambda X: X[:7],
    "too few features": lambda X: X[:, :15],
    "too wide": lambda X: np.tile(X, (1, 400)),
    "int16": lambda X: X.astype(np.int16),
}


@pytest.mark.parametrize(
    ("rows", "compute"),
    [*((rows, "float32") for rows in REFUSED), ("as they are", "int32"), ("as they are", ">f4")],
)
def test_rows_that_do_not_fit(compiled_products, rng, numpy, rows, compute):
    # Small whole numbers: every sum is exact, in any order.
    X = rng.integers(-9, 10, (40, 33)).astype(np.float32)
    assert compiled_rows.fits(X, "float32")
    X = REFUSED.get(rows, np.asarray)(X)
    W = rng.integers(-9, 10, (X.shape[1], 3)).astype(compute)
    A = rng.integers(-9, 10, (3, X.shape[0])).astype(compute)
    assert not compiled_rows.fits(X, compute)
    served = numpy.operand(X, np.dtype(compute))
    assert isinstance(served, SlicedRows) or served.X is not X
    plain = X.astype(compute)
    np.testing.assert_array_equal(served @ W, plain @ W, strict=True)
    np.testing.assert_array_equal(A @ served, A @ plain, strict=True)
    assert numpy.operand_width(X, np.dtype(compute)) == X.shape[1]


@pytest.mark.parametrize("storage", ["uint8", "float32"])
def test_training_comes_to_the_same_optimum(
    compiled_products, uncompiled, monkeypatch, digits, storage
):
    X, y = digits[:2]
    X = np.round(16 * X).astype(storage)
    settings = {"dtype": "float64", "scale": 1 / 16, "tol": 1e-10}
    model = gpulr.train(X, y, **settings)
    assert (storage, "float64") in compiled_functions._compiled
    monkeypatch.setenv("GPULR_COMPILE", "never")
    monkeypatch.setattr(compiled_functions, "_compiled", {})
    plain = gpulr.train(X, y, **settings)
    assert not compiled_functions._compiled
    np.testing.assert_allclose(model.weights, plain.weights, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(model.intercept, plain.intercept, rtol=1e-6, atol=1e-8)


def test_threads_compile_each_width_once(compiled_products, uncompiled, monkeypatch, rng):
    compile_products, calls = compiled_products.compile_products, Counter()

    def counted(*arguments):
        calls[arguments] += 1
        time.sleep(0.05)  # for the others to come
        return compile_products(*arguments)

    monkeypatch.setattr(compiled_products, "compile_products", counted)
    X, W = rng.normal(size=(40, 64)), rng.normal(size=(64, 10))
    rows, together = compiled_rows.CompiledRows(X, X.dtype), Barrier(8, timeout=10)

    def multiply(n_columns):
        together.wait()
        return rows @ W[:, :n_columns]

    with ThreadPoolExecutor(8) as pool:
        for Z in pool.map(multiply, 4 * [2, 10]):
            np.testing.assert_allclose(Z, X @ W[:, : Z.shape[1]], rtol=1e-12, atol=1e-12)
    assert list(calls.values()) == [1, 1]  # of the widths that serve these on this processor


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_while_another_thread_compiles(compiled_products):
    code = """
import os, threading, time, warnings
import numpy as np
from gpulr.backend import compiled_products, compiled_rows
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: the point here
X, inside = np.ones((40, 64)), threading.Event()
compile_products = compiled_products.compile_products
def slowly(*arguments):
    inside.set()
    time.sleep(0.2)
    return compile_products(*arguments)
compiled_products.compile_products = slowly
def multiply(n_columns):
    return compiled_rows.CompiledRows(X, X.dtype) @ np.ones((64, n_columns))
threading.Thread(target=multiply, args=(10,)).start()
inside.wait()
child = os.fork()
if not child:
    os._exit(0 if np.all(multiply(2) == 64) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert python(code, timeout=30).strip() == "0"


def test_few_narrow_rows_are_left_to_blas():
    pytest.importorskip("llvmlite")
    narrow, wide = np.zeros((20, 127), dtype=np.float32), np.zeros((20, 128), dtype=np.float32)
    assert not compiled_rows.fits(narrow, np.float32)
    assert compiled_rows.fits(wide, np.float32)
    assert not compiled_rows.fits(narrow[:, :47].astype(np.uint8), np.float32)
    assert compiled_rows.fits(np.zeros((20, 48), dtype=np.uint8), np.float32)
    many = np.zeros((2**17 // 16, 16), dtype=np.float32)
    assert compiled_rows.fits(many, np.float32)
    assert not compiled_rows.fits(many[:-1], np.float32)
    assert not compiled_rows.fits(many.reshape(-1, 8), np.float32)
    assert not compiled_rows.fits(narrow.astype(np.float16), np.float32)
    assert compiled_rows.fits(wide.astype(np.float16), np.float32)


@pytest.mark.parametrize("storage", ["uint8", "float32"])
def test_operands_of_another_dtype_are_converted(compiled_products, rng, storage):
    X = rng.integers(0, 9, (300, 130)).astype(storage)
    rows = compiled_rows.compiled_rows(X, np.dtype(np.float32))
    W, R, b = (rng.standard_normal(shape) for shape in ((130, 3), (300, 3), (3,)))
    narrow = (a.astype(np.float32) for a in (W, R, b))
    for found, expected in zip(
        *((rows.affine(W, b), R.T @ rows) for W, R, b in ((W, R, b), narrow)), strict=True
    ):
        np.testing.assert_array_equal(found, expected, strict=True)
