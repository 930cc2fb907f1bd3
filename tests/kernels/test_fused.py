"""The fused pass against float64: its sources compiled by g++, launched as on a device.

What this proves: the sources, at the sizes and with the arguments that `FusedPass` gives them,
compute what `gpulr/logistic.py` does, for storages, layouts and sizes that leave remainders
everywhere; no result depends on the order of threads between barriers, or of blocks; under
sanitizers, that no two threads touch the same memory without a barrier between them, and that
nothing is read or written out of bounds.

What it does not: that a card runs them, or how fast; anything of warps, caches, asynchronous copies
and the memory model of a device; rounding that depends on a card's own exp and log. That they
compile for cards, within their registers and shared memory, is test_cuda_compile.py's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from covering import some_nightly
from cuda_host import KernelFault
from fused_kernels import CARDS, CASES, H100, T4, assert_right, fused, make
from gpulr.backend.buffers import aligned
from gpulr.core.problem import Problem
from gpulr.kernels import fused as fused_pass
from gpulr.kernels.fused import FusedPass
from gpulr.kernels.plan import MOST_FEATURES, obstacle, plan_for
from helpers import make_problem

# Each takes half a second to compile, and is made of what others have.
RARE = {"one feature", "one of each", "one column", "bytes", "bytes, standardized", "halves"}
RARE |= {"bfloat16", "standardized", "as wide as can be", "unknown labels"}
EACH_STORAGE = pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])


@pytest.mark.parametrize("case", some_nightly(CASES, RARE))
def test_a_pass_and_its_halves(case):
    n, features, models, options = CASES[case]
    problem, theta, *expected = make(n, features, models, **options)
    one, portable = fused(problem), problem.evaluate(theta)
    cost, gradient = one.evaluate(theta)
    assert_right(problem, (cost, gradient), theta, *expected)
    np.testing.assert_allclose(cost, portable.cost, rtol=2e-6)
    np.testing.assert_allclose(gradient, portable.gradient, rtol=1e-4, atol=2e-5)
    Z, X = one.margins(theta), expected[0]
    assert Z.dtype == np.float32
    size = np.hstack([np.abs(X), np.ones((len(X), 1))]) @ np.abs(theta)
    if problem.rows.center is not None:
        size += np.abs(problem.rows.center * problem.rows.scale).T @ np.abs(theta[:-1])
    error = np.abs(Z - X @ theta[:-1] - theta[-1])
    np.testing.assert_array_less(error, 8 * np.finfo(np.float32).eps * size)
    assert_right(problem, one.evaluate_margins(Z, theta), theta, *expected)


@pytest.mark.covering
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
@EACH_STORAGE
def test_each_card_has_its_layout(card, dtype):
    problem, theta, *expected = make(70, 100, 12, dtype=dtype, sets=2)
    one = fused(problem, card)
    assert_right(problem, one.evaluate(theta), theta, *expected)


@pytest.mark.parametrize(
    ("n", "models"),
    [
        *((n, 7) for n in (1, 15, 16, 17, 33, 257, 2 * 16 * 132 + 5)),
        *some_nightly([(50, k) for k in (1, 2, 9, 10, 11, 25)], [(50, 1), (50, 9), (50, 10)]),
    ],
)
def test_any_number_of_rows_and_models(n, models):
    problem, theta, *expected = make(n, 30, models)
    one = fused(problem)
    assert_right(problem, one.evaluate(theta), theta, *expected)
    grid = one._chunks[0].grid
    assert grid.segments == max(1, -(-n // grid.segment_rows))


def test_extreme_margins_are_exact():
    problem, theta, X, Y, s = make(64, 30, 7, size=1e30)
    one = fused(problem)
    cost, gradient = one.evaluate(theta)
    assert np.isfinite(cost).all()
    assert np.isfinite(gradient).all()
    assert_right(problem, (cost, gradient), theta, X, Y, s)
    # Rows without a weight count for nothing, however far off they are.
    Z = np.where(Y > 0, np.float32(-3e38), np.float32(3e38)).astype(np.float32)
    weights = np.zeros((64, 1), np.float32)
    weights[0] = 1.0
    alone = Problem.of(problem.rows, problem.targets, problem.C, sample_weight=weights)
    Z[0] = 0.0
    cost, _ = fused(alone).evaluate_margins(Z, 0.0 * theta)
    np.testing.assert_allclose(cost, np.log(2.0), rtol=1e-6)


@EACH_STORAGE
def test_the_opposite_question_has_the_same_bits(dtype):
    problem, theta, *_ = make(64, 30, 7, dtype=dtype, size=9.0)
    targets = replace(problem.targets, table=1 - problem.targets.table)
    one, other = fused(problem), fused(replace(problem, targets=targets))
    for a, b in (
        (one.evaluate(theta), other.evaluate(-theta)),
        (
            one.evaluate_margins(one.margins(theta), theta),
            other.evaluate_margins(other.margins(-theta), -theta),
        ),
    ):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], -b[1])


@pytest.mark.covering
@pytest.mark.parametrize("answer", [0, 1])
@EACH_STORAGE
def test_what_sure_models_have_left_to_learn_is_exact(rng, dtype, answer):
    X = rng.integers(0, 3, (50, 32)).astype(dtype)
    theta = np.full((33, 1), 1.0 if answer else -1.0)  # margins of about ±32
    problem = make_problem(np.asarray, X, np.full(50, answer), C=np.inf, n_classes=2)
    r = (0.5 - answer) * 2.0 * expit(-np.abs(X.astype(float).sum(axis=1) + 1.0))
    expected = np.append(r @ X, r.sum())[:, np.newaxis] / 50
    one = fused(problem)
    for _, gradient in (one.evaluate(theta), one.evaluate_margins(one.margins(theta), theta)):
        np.testing.assert_allclose(gradient, expected, rtol=2e-6)


def test_sums_of_bytes_that_are_subnormal_themselves_are_kept(rng):
    X = rng.integers(0, 3, (50, 32), dtype=np.uint8)
    problem = make_problem(np.asarray, X, np.zeros(50), C=np.inf, n_classes=2)
    one, theta = fused(problem), rng.normal(size=(33, 1))
    theta[-1] = 0.0
    Z = 1e20 * one.margins(1e-20 * theta).astype(np.float64)
    np.testing.assert_allclose(Z, X @ theta[:-1], rtol=0, atol=2e-2)
    _, gradient = one.evaluate_margins(np.full((50, 1), -48.0, np.float32), 0.0 * theta)
    expected = X.sum(axis=0)[:, np.newaxis] * expit(-48.0) / 50
    np.testing.assert_allclose(gradient[:-1], expected, rtol=1e-3)


def test_what_is_not_finite_shows():
    problem, theta, *_ = make(50, 30, 7)
    theta[3, 2] = np.nan
    cost, gradient = fused(problem).evaluate(theta)
    assert np.isnan(cost).tolist() == [i == 2 for i in range(7)]
    assert np.isnan(gradient).any(axis=0).tolist() == [i == 2 for i in range(7)]


# ---- how it is done ---------------------------------------------------------------------------


def bits(problem, theta, card=H100, **options):
    """Everything that the kernels give, as bytes."""
    one = fused(problem, card, **options)
    Z = one.margins(theta)
    arrays = *one.evaluate(theta), Z, *one.evaluate_margins(Z, theta)
    return [array.tobytes() for array in arrays]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_same_bits_in_every_order(dtype):
    problem, theta, *_ = make(133, 30, 12, dtype=dtype, sets=3, base=True)
    first = bits(problem, theta)
    for seed in (1, 2, 3):
        assert bits(problem, theta, seed=seed) == first


SANITIZED = {
    "bytes": (40, 30, 7, {"dtype": "uint8", "sets": 2, "base": True, "standardize": True}),
    "two quads a thread": (40, 61, 5, {"labels": True}),
    "halves": (40, 30, 7, {"dtype": "float16", "standardize": True}),
}


@pytest.mark.slow
@pytest.mark.parametrize("sanitize", ["thread", "address,undefined"])
@pytest.mark.parametrize(
    "what",
    [
        "bytes",
        *(pytest.param(each, marks=pytest.mark.nightly) for each in list(SANITIZED)[1:]),
    ],
)
def test_sanitizers_find_nothing(what, sanitize):
    n, features, models, options = SANITIZED[what]
    problem, theta, *expected = make(n, features, models, **options)
    one = fused(problem, sanitize=sanitize)
    if what == "two quads a thread":  # which otherwise only more features than a test likes have
        one = FusedPass(problem, replace(one.plan, quads=2), one.kernels)
    Z = one.margins(theta)
    assert_right(problem, one.evaluate(theta), theta, *expected)
    assert_right(problem, one.evaluate_margins(Z, theta), theta, *expected)
    one.descend(theta, 0.0 * theta, 0.0 * problem.m, 1)


BOUNDS = "const int n = end - start < tile_rows ? (int)(end - start) : tile_rows;"
# Barriers between a write and a read by other threads are missing; rows beyond the last are read;
# and threads leave before others wait for them.
MISTAKES = {
    "no barrier after rows": ("    __syncthreads();\n}", "}", "thread", "data race"),
    "no barrier after margins": (
        "            __syncthreads();\n        }\n\n        if (lane",
        "        }\n\n        if (lane",
        *("thread", "data race"),
    ),
    "no barrier after residuals": (
        "        __syncthreads();\n\n        if constexpr (BACKWARD) {\n            if (share",
        "        if constexpr (BACKWARD) {\n            if (share",
        *("thread", "data race"),
    ),
    "no barrier before the next rows": (
        *("            __syncthreads();  // before the next rows are copied\n", ""),
        *("thread", "data race"),
    ),
    "beyond the rows": (BOUNDS, "const int n = tile_rows;", "address,undefined", "overflow"),
    "threads that leave": (
        *("const int t = threadIdx.x;", "const int t = threadIdx.x; if (t > 99) return;"),
        *(None, "divergent barrier: 100 threads"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_in_a_kernel_are_found(what, broken):
    present, absent, sanitize, words = MISTAKES[what]
    broken(fused_pass, "PROPAGATE", present, absent)
    problem, theta, *_ = make(601, 30, 7)
    one = fused(problem, replace(H100, processors=1), sanitize=sanitize)
    assert one._chunks[0].grid.segment_rows > one.plan.tile  # rows come in more than one tile
    with pytest.raises(KernelFault, match=words):
        one.evaluate(theta)


def test_the_shim_flushes_subnormals_as_cards_do(broken):
    problem, theta, *_ = make(133, 30, 7, dtype="uint8")
    broken(fused_pass, "PROPAGATE", "__fmaf_ieee_rn(x[r].v[f]", "__fmaf_rn(x[r].v[f]")
    lost = fused(problem).margins(theta)
    np.testing.assert_array_equal(lost, np.broadcast_to(theta[-1].astype(np.float32), (133, 7)))


def test_threads_run_in_an_order_of_each_seed(broken):
    problem, theta, *_ = make(133, 30, 7, dtype="uint8")
    broken(fused_pass, "PROPAGATE", *MISTAKES["no barrier after margins"][:2])
    assert len({fused(problem, seed=seed).margins(theta).tobytes() for seed in range(4)}) > 1


def test_few_bytes_of_scratch_are_more_launches(monkeypatch):
    problem, theta, *expected = make(700, 30, 7, sets=3, base=True)
    monkeypatch.setattr(fused_pass, "SCRATCH_BYTES", 4 * 30 * 7 * 12)
    one = fused(problem)
    assert len(one._chunks) > 3
    assert_right(problem, one.evaluate(theta), theta, *expected)
    Z = one.margins(theta)
    np.testing.assert_array_equal(Z, fused(problem).margins(theta))
    assert_right(problem, one.evaluate_margins(Z, theta), theta, *expected)
    assert one.kernels.launched.count("add_segments") == 2 * len(one._chunks)


def test_views_are_taken_as_they_are_meant():
    problem, theta, *expected = make(50, 30, 7, sets=2, base=True)
    kept = aligned(problem.rows.X.size + 1, np.float32)[1:].reshape(problem.rows.X.shape)
    kept[...] = problem.rows.X
    moved = replace(problem, rows=replace(problem.rows, X=kept))
    assert_right(problem, fused(moved).evaluate(np.asfortranarray(theta)), theta, *expected)


def test_gradient_descent_is_a_graph_of_four_kernels():
    problem, theta, *_ = make(50, 30, 7, sets=2, intercept=False)
    one = fused(problem)
    rate = np.linspace(0.1, 0.5, 7)
    start, gradient = theta.copy(), problem.evaluate(theta).gradient
    thetas, measured, cost, down = one.descend(theta, gradient, rate, 5)
    np.testing.assert_array_equal(theta, start)  # what was passed in stays
    iteration = ["absorb_scaling", "propagate", "add_segments", "finish_pass"]
    assert one.kernels.launched == 6 * iteration  # once to warm up
    for i in range(5):
        theta = theta - rate * gradient
        expected, gradient = problem.evaluate(theta)
        np.testing.assert_allclose(thetas[i], theta, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(measured[i, 0], expected, rtol=1e-6)
        np.testing.assert_allclose(measured[i, 1], np.abs(gradient).max(axis=0), rtol=1e-5)
    np.testing.assert_allclose(cost, expected, rtol=1e-6)
    np.testing.assert_allclose(down, gradient, rtol=1e-4, atol=1e-6)
    again = one.descend(thetas[-1], down, rate, 2)
    assert one.kernels.launched == 8 * iteration
    np.testing.assert_array_equal(measured[-1, 0], cost)
    assert (again[2] < cost).all()
    np.testing.assert_allclose(thetas[-1], theta, rtol=1e-5, atol=1e-6)  # not overwritten


def test_a_measured_gradient_that_is_not_a_number_shows():
    problem, theta, *_ = make(50, 30, 7)
    gradient = np.zeros_like(theta)
    gradient[0, 4] = np.nan
    _, measured, *_ = fused(problem).descend(theta, gradient, np.ones(7), 1)
    assert np.isnan(measured).any(axis=(0, 1)).tolist() == [i == 4 for i in range(7)]


# ---- what it takes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compute": "float64", "dtype": "float64"}, "float32"),
        ({"dtype": "int16"}, "int16"),
        ({"features": MOST_FEATURES + 1, "n": 2}, f"{MOST_FEATURES + 1:,} features"),
    ],
)
def test_what_kernels_do_not_take(options, words):
    problem, *_ = make(**{"n": 5, "features": 3, "models": 2} | options)
    assert words in obstacle(problem)


def test_weights_of_folds_are_bytes():
    problem, *_ = make(20, 3, 2, sets=2)
    fractions = replace(problem.weights, weight_sets=problem.weights.weight_sets / 2)
    assert "float64" in obstacle(replace(problem, weights=fractions))
    bools = replace(problem.weights, weight_sets=problem.weights.weight_sets > 0)
    theta = np.zeros((4, 2))
    got = fused(replace(problem, weights=bools)).evaluate(theta)
    expected = replace(problem, weights=bools).evaluate(theta)
    np.testing.assert_allclose(got[1], expected.gradient, rtol=1e-5, atol=1e-7)


def test_a_card_with_too_little_shared_memory_has_no_plan():
    problem, *_ = make(2, MOST_FEATURES, 1)
    assert plan_for(problem, H100) is not None
    assert plan_for(problem, T4) is None
