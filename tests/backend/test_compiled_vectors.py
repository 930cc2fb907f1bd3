"""Compiled products and sums of arrays like the parameters: against float64, to the same bits."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from gpulr.backend import backend_of, compiled_functions, sweeps, threads

COLUMNS = (1, 3, 8, 20, 33, 70)
ROWS = (1, 255, 256, 700)


@pytest.fixture
def functions(compiled_products, monkeypatch):
    """Return what compiles the functions for vectors of so many bytes."""
    from gpulr.backend import compiled_vectors

    def compiled(width=None):
        if width is not None:
            monkeypatch.setattr(
                "gpulr.backend.compiled_loops.vector_registers", lambda: (width, 32)
            )
        return compiled_vectors.compile_functions()

    return compiled


def sample(rng, n, k, dtype, count=3):
    vectors = [rng.standard_normal((n, k)).astype(dtype) for _ in range(count)]
    return vectors, rng.standard_normal((n, k)), rng.standard_normal((count, k))


@pytest.mark.parametrize("width", [64, 32, 16])  # AVX-512, AVX, NEON and SSE
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_they_are_right(functions, rng, width, dtype):
    compiled = functions(width)
    for n, k, count in product(ROWS, COLUMNS, (1, 10)):
        vectors, x, c = sample(rng, n, k, dtype, count)
        size = np.stack([np.abs(v * x).sum(axis=0) for v in vectors])
        found = compiled.dots(vectors, x).sum(axis=0)
        assert np.all(np.abs(found - [(v * x).sum(axis=0) for v in vectors]) <= 1e-13 * size)
        factor = rng.standard_normal(k)
        expected = factor * x + sum(each * v for each, v in zip(c, vectors, strict=True))
        np.testing.assert_allclose(
            compiled.combine(x, c, vectors, factor), expected, rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize(("n", "count"), [(3001, 3), (2561, 1)])  # of which 185, and 1, are left
def test_bits_depend_neither_on_threads_nor_on_other_columns(functions, rng, monkeypatch, n, count):
    functions()
    backend = backend_of(None)
    assert backend.vector_functions is not None
    vectors, x, c = sample(rng, n, 40, np.float32, count)

    def both(v, x, c):
        def at_once(rows):
            combined = backend.combine(x[rows], c, [each[rows] for each in v], 2.0)
            return [combined], [backend.dots_of_rows([each[rows] for each in v], combined)]

        (combined,), (dots,) = backend.sweep(at_once, *x.shape)
        np.testing.assert_array_equal(combined, backend.combine(x, c, v, 2.0))
        np.testing.assert_array_equal(dots, backend.dots(v, combined))
        return combined, dots

    expected = both(vectors, x, c)
    np.testing.assert_allclose(expected[1], [(v * expected[0]).sum(axis=0) for v in vectors])
    for block, n_threads in ((1, 1), (1, 3), (2**15, 2), (2**30, 2)):
        monkeypatch.setattr(sweeps, "BLOCK", block)
        monkeypatch.setattr(threads, "thread_count", lambda n=n_threads: n)
        for columns in (slice(None), slice(7, 8), slice(3, 20)):
            *part, some = [np.ascontiguousarray(a[:, columns]) for a in (*vectors, x)]
            for found, whole in zip(both(part, some, c[:, columns]), expected, strict=True):
                np.testing.assert_array_equal(found, whole[:, columns])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_column(functions, rng, bad):
    vectors, x, c = sample(rng, 300, 20, np.float32)
    vectors[1][17, 5] = bad
    x[2, 9] = bad
    compiled = functions()
    for found in (compiled.dots(vectors, x).sum(axis=0), compiled.combine(x, c, vectors, 1.0)):
        lost = ~np.isfinite(found).all(axis=0)
        assert lost.nonzero()[0].tolist() == [5, 9]


def test_others_go_to_numpy(compiled_products, rng, monkeypatch):
    numpy = backend_of(None)
    vectors, x, c = sample(rng, 30, 4, np.float64)
    expected = np.stack([(v * x).sum(axis=0) for v in vectors])
    combined = x + sum(each * v for each, v in zip(c, vectors, strict=True))
    odd = {
        "as they are": (vectors, x),
        "Fortran order": (vectors, np.asfortranarray(x)),
        "strided": ([np.repeat(v, 2, axis=0)[::2] for v in vectors], x),
        "two dtypes": ([vectors[0].astype(np.longdouble), *vectors[1:]], x),
    }
    for arrays, y in odd.values():
        np.testing.assert_allclose(numpy.dots(arrays, y), expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(numpy.combine(y, c, arrays), combined, rtol=1e-12, atol=1e-12)
    odd["of another shape"] = ([v[:1] for v in vectors], x)  # which NumPy broadcasts
    assert compiled_functions.vector_functions().take(*odd.pop("as they are"))
    assert not any(compiled_functions.vector_functions().take(*arrays) for arrays in odd.values())
