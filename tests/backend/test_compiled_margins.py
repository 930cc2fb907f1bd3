"""Compiled functions of margins: against wider ones, on vectors of any length, to the same bits."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from gpulr import backend, logistic
from gpulr.backend import compiled_functions, compiled_rows

COLUMNS = (1, 2, 3, 7, 10, 16, 31, 40)
EACH_DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])
WIDER = {"float32": np.float64, "float64": np.longdouble}
EPS = {dtype: float(np.finfo(dtype).eps) for dtype in WIDER}  # 1.2e-7 and 2.2e-16


@pytest.fixture
def functions(compiled_products, monkeypatch):
    """Return what compiles the functions for vectors of so many bytes."""
    from gpulr.backend import compiled_margins

    def compiled(dtype="float32", width=None):
        if width is not None:
            monkeypatch.setattr(
                "gpulr.backend.compiled_loops.vector_registers", lambda: (width, 32)
            )
        return compiled_margins.compile_functions(dtype)

    return compiled


def sample(rng, n, k, weights=None, dtype="float32"):
    """Return margins, a direction, targets and weights, all (n, k) or of the rows."""
    Z, D = 8 * rng.standard_normal((2, n, k))
    Y, s = rng.random((n, k)) < 0.2, rng.random((n, k))
    s = None if weights is None else s[:, : weights or None]
    return [None if a is None else a.astype(dtype) for a in (Z, D, Y, s)]


def wide(*arrays):
    return [None if a is None else a.astype(WIDER[a.dtype.name]) for a in arrays]


def activated(Z, Y, s):
    R, loss = logistic.activate(Z, Y, s)
    R = R if s is None else s * R
    return R, loss, *logistic.row_sums(R)


@pytest.mark.covering
@EACH_DTYPE
@pytest.mark.parametrize("width", [64, 32, 16])  # AVX-512, AVX, NEON and SSE
def test_they_are_right(functions, rng, width, dtype):
    compiled, eps = functions(dtype, width), EPS[dtype]
    for k, weights in product(COLUMNS, (None, 1, 0)):  # none, of rows, of elements
        for n in (1, 5, 4096 // k, 4096 // k + 1):
            Z, D, Y, s = sample(rng, n, k, weights, dtype)
            R, loss, db = compiled.activate(Z, Y, s)
            expected_R, expected_loss, expected_db = activated(*wide(Z, Y, s))
            assert R.dtype == dtype
            np.testing.assert_allclose(R, expected_R, rtol=6 * eps)  # also where 1 − p is 1e-20
            # Sums of thousands, in float64.
            np.testing.assert_allclose(loss, expected_loss, rtol=3 * eps + 2e-14)
            size = np.abs(expected_R).sum(axis=0).max()
            atol = (3 * eps + 2e-14) * size
            np.testing.assert_allclose(db, expected_db, rtol=8 * eps, atol=atol)

            sums = compiled.derivatives_along(Z, D, 0.5, Y, s)
            Z, D, Y, s = wide(Z, D, Y, s)
            here = (Z + 0.5 * D).astype(dtype).astype(Z.dtype)  # as the functions round it
            terms = logistic.derivatives_along(here, np.abs(D), Y * 0.0, s)
            for found, exact, size in zip(
                sums, logistic.derivatives_along(here, D, Y, s), terms, strict=True
            ):
                np.testing.assert_allclose(found, exact, rtol=80 * eps, atol=8 * eps * size.max())


@EACH_DTYPE
def test_extreme_margins(functions, dtype):
    compiled, eps = functions(dtype), EPS[dtype]
    huge, tiny = float(np.finfo(dtype).max), 10 * float(np.finfo(dtype).tiny)
    Z = np.array(
        [[0, 17, -17, 87, -87, 200, -200, 700, -700, 1e38, -huge, np.inf, -np.inf, np.nan]]
    )
    Z = Z.astype(dtype)
    for y in (0.0, 1.0):
        Y = np.full_like(Z, y)
        R, loss, _ = compiled.activate(Z, Y, None)
        u = np.where(y, -1.0, 1.0) * np.float64(Z)
        with np.errstate(over="ignore"):
            expected = np.where(y, -1.0, 1.0) / (1.0 + np.exp(-u))
        np.testing.assert_allclose(R, expected, rtol=8 * eps, atol=tiny)
        losses = np.maximum(u, 0.0)[0] + np.log1p(np.exp(-np.abs(u)))[0]
        np.testing.assert_allclose(loss, losses, rtol=8 * eps, atol=tiny)


@EACH_DTYPE
def test_a_column_has_the_same_bits_beside_any_others(functions, rng, dtype):
    compiled = functions(dtype)
    Z, D, Y, s = sample(rng, 1000, 40, weights=0, dtype=dtype)
    R, *totals = compiled.activate(Z, Y, s)
    R, sums = R.copy(), compiled.derivatives_along(Z, D, 1.0, Y, s)
    for columns in (slice(0, 1), slice(3, 13), slice(39, 40), slice(7, 38)):
        part = [np.ascontiguousarray(a[:, columns]) for a in (Z, D, Y, s)]
        found, *some = compiled.activate(part[0], part[2], part[3])
        np.testing.assert_array_equal(found, R[:, columns])
        for whole, total in zip(totals, some, strict=True):
            np.testing.assert_array_equal(total, whole[columns])
        of_part = compiled.derivatives_along(*part[:2], 1.0, *part[2:])
        for whole, some in zip(sums, of_part, strict=True):
            np.testing.assert_array_equal(some, whole[columns])


def test_what_they_do_not_take_is_left_to_numpy(functions, rng):
    numpy = backend.select("numpy")
    Z, D, Y, s = sample(rng, 50, 6, weights=1)
    for part in (
        lambda a: a.astype(np.float16),
        lambda a: a[:, ::2],
        lambda a: a[::2, :3],
        lambda a: a[:, :0].copy(),  # no models, in none of which NumPy finds anything
    ):
        z, d, y = (part(a) for a in (Z, D, Y))
        assert not compiled_functions.margin_functions(Z.dtype).take(z, y)
        assert numpy.margin_functions(False, z, y) is None
        w = None if len(z) < 50 else s.astype(z.dtype)
        for found, expected in (
            (numpy.activate_margins(z, y, w), activated(z, y, w)),
            (
                numpy.derivatives_along(z, d, 0.5, y, w),
                logistic.derivatives_along(z + 0.5 * d, d, y, w),
            ),
        ):
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b)


def test_an_llvm_that_cannot_compile_them_does_without(functions, monkeypatch):
    from gpulr.backend import compiled_margins

    def fail(*arguments):
        raise RuntimeError("Intrinsic has incorrect argument type")

    monkeypatch.setattr(compiled_margins, "load", fail)
    finders = compiled_functions.margin_functions, compiled_rows.pass_function
    try:
        for find in finders:
            find.cache_clear()
        assert compiled_functions.margin_functions(np.dtype(np.float32)) is None
        assert compiled_rows.pass_function() is None
    finally:
        for find in finders:
            find.cache_clear()


def test_wrong_functions_are_not_used(functions, compiled_products, monkeypatch):
    from gpulr.backend import compiled_margins

    for dtype, form in compiled_margins.FORMATS.items():
        wrong = form._replace(ln2=(0.7, 0.0))
        monkeypatch.setattr(compiled_margins, "SINGLE" if dtype == "float32" else "WIDE", wrong)
        assert functions(dtype) is None


@EACH_DTYPE
@pytest.mark.parametrize("width", [64, 16])
def test_signed_targets_are_targets_and_weights(compiled_products, monkeypatch, rng, width, dtype):
    from gpulr.backend import compiled_margins

    monkeypatch.setattr("gpulr.backend.compiled_loops.vector_registers", lambda: (width, 32))
    compiled, eps = compiled_margins.compile_functions(dtype, signed=True), EPS[dtype]
    for k, weights in product((1, 3, 16, 31), (None, 1, 0)):
        for n in (1, 5, 4096 // k + 1):
            Z, D, Y, s = sample(rng, n, k, weights, dtype)
            T = (
                np.where(Y > 0, rng.exponential(size=k), -1.0) * (rng.random((n, k)) > 0.2)
            ).astype(dtype)
            R, loss, db = compiled.activate(Z, T, s)
            y, weight = logistic.unsigned(*wide(T, s))
            np.testing.assert_array_equal(y, T > 0)
            expected = activated(Z.astype(WIDER[dtype]), y, weight)
            np.testing.assert_allclose(R, expected[0], rtol=8 * eps)
            np.testing.assert_allclose(loss, expected[1], rtol=4 * eps + 2e-14)
            atol = 16 * eps * np.abs(expected[0]).sum(axis=0).max() + 2e-14
            np.testing.assert_allclose(db, expected[2], rtol=8 * eps, atol=atol)
            sums = compiled.derivatives_along(Z, D, 0.5, T, s)
            Z, D = wide(Z, D)
            here = (Z + 0.5 * D).astype(dtype).astype(Z.dtype)
            exact = logistic.derivatives_along(here, D, y, weight)
            sizes = logistic.derivatives_along(here, np.abs(D), 0.0 * y, weight)
            for found, theirs, size in zip(sums, exact, sizes, strict=True):
                np.testing.assert_allclose(found, theirs, rtol=80 * eps, atol=8 * eps * size.max())
