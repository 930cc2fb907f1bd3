"""The pass by tensor cores against float64 and the float32 kernel, by g++ and the shim's products.

What this proves is what test_fused.py proves of the other kernel, for products whose sums are cut
off as in tensor cores, or rather more (tests/support/cuda/host/shim.h). Not: that cards cut off no
more than that, nor how fast they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from covering import some_nightly
from cuda_host import KernelFault
from cuda_layouts import CARDS, H100, T4
from fused_kernels import assert_right, by_tensor_cores, fused, make, module, zeros_for
from gpulr.core.problem import Problem
from gpulr.kernels import fused as fused_pass
from gpulr.kernels.fused import CHUNK_ROWS, TENSOR
from gpulr.kernels.plan import MOST_ROWS, RESERVED
from gpulr.kernels.tensor_plan import WIDTHS, layouts_for, tensor_plan
from helpers import make_problem

pytestmark = pytest.mark.slow  # most of it in compiling kernels for this CPU

TENSOR_CARDS = [card for card in CARDS if card.capability >= 80]

# Remainders of each kind: rows of 16 and of a tile, steps of 16 features, models of eight columns,
# features of eight, bytes of a row beyond multiples of 16 and 4, shares of narrow rows.
CASES = {
    "MNIST's width": (67, 784, 10, {"dtype": "uint8"}),
    "one of each": (1, 1, 1, {"dtype": "uint8"}),
    "one column": (35, 150, 1, {"dtype": "float16", "base": True}),
    "15 columns": (90, 30, 15, {"dtype": "uint8", "sets": 4, "base": True}),
    "bytes, odd, standardized": (50, 151, 7, {"dtype": "uint8", "sets": 3, "standardize": True}),
    "bits": (300, 64, 10, {"dtype": "bool", "labels": True}),
    "halves": (61, 151, 5, {"dtype": "float16", "labels": True, "base": True}),
    "no intercept": (45, 37, 10, {"dtype": "float16", "intercept": False}),
    "large margins": (64, 30, 7, {"dtype": "float16", "size": 1e4}),
    "unknown labels": (90, 31, 9, {"positives": True, "labels": True, "dtype": "uint8"}),
}
RARE = {"one of each", "one column", "halves", "large margins"}


@pytest.mark.parametrize("case", some_nightly(CASES, RARE))
def test_a_pass_and_its_halves(case):
    n, features, models, options = CASES[case]
    problem, theta, *expected = make(n, features, models, **options)
    one = by_tensor_cores(problem)
    cost, gradient = one.evaluate(theta)
    assert_right(problem, (cost, gradient), theta, *expected)
    Z = one.margins(theta)
    assert_right(problem, one.evaluate_margins(Z, theta), theta, *expected)
    # As good as the other kernel, to 1e-6 of the largest.
    other = fused(problem)
    for got, reference in ((Z, other.margins(theta)), (gradient, other.evaluate(theta)[1])):
        np.testing.assert_allclose(got, reference, rtol=0, atol=1e-6 * np.abs(reference).max())
    exact = expected[0] @ theta[:-1] + theta[-1]
    assert np.abs(Z - exact).max() <= 1e-6 * np.abs(exact).max() + 1e-7


@pytest.mark.nightly
@pytest.mark.parametrize("card", TENSOR_CARDS, ids=lambda card: card.name)
@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_each_card_has_its_layout(card, dtype):
    problem, theta, *expected = make(70, 784, 12, dtype=dtype, sets=2)
    one = by_tensor_cores(problem, card)
    assert_right(problem, one.evaluate(theta), theta, *expected)


@pytest.mark.nightly
@pytest.mark.parametrize("n", [2, 15, 16, 17, 129, 300])
def test_any_number_of_rows(n):
    problem, theta, *expected = make(n, 27, 7, dtype="uint8")
    card = replace(H100, processors=1)
    one = by_tensor_cores(problem, card)
    assert_right(problem, one.evaluate(theta), theta, *expected)
    np.testing.assert_allclose(one.margins(theta), problem.margins(theta).Z, atol=2e-6)


def test_what_tensor_cores_are_not_for():
    kinds = {"float32": {}, "float16": {"standardize": True}, "uint8": {}}
    for dtype, options in kinds.items():
        problem, *_ = make(5, 3, 2, dtype=dtype, **options)
        cards = (T4,) if dtype == "uint8" else (H100, T4)
        assert all(len(layouts_for(problem, card)) == 1 for card in cards)
    assert tensor_plan(T4, 8, 784, 10) is None


@pytest.mark.nightly
@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_weights_of_any_size_keep_their_digits(rng, dtype):
    """Unscaled halves lose 3e-2 of such weights; residuals, large weights of rows too."""
    problem, theta, X, Y, _ = make(64, 48, 4, dtype=dtype)
    s = 10.0 ** rng.uniform(-12, 12, (64, 1))
    weighted = Problem.of(problem.rows, problem.targets, problem.C, sample_weight=s)
    for scale in (1e-24, 1e-6, 1.0, 1e25):
        small = scale * theta * 10.0 ** rng.uniform(-4, 0, (48, 1)).repeat(4, 1)[[*range(48), 0]]
        one = by_tensor_cores(weighted)
        exact = X @ small[:-1] + small[-1]
        error = np.abs(one.margins(small) - exact)
        assert (error <= 1e-6 * (np.abs(X) @ np.abs(small[:-1]) + np.abs(small[-1]))).all()
        R = s * (expit(exact) - Y)
        gradient = np.vstack([X.T @ R * problem.rows.scale, R.sum(axis=0)]) / s.sum()
        gradient[:-1] *= 1.0 if dtype == "float16" else 1 / problem.rows.scale
        gradient[:-1] += small[:-1] / (problem.C * s.sum())
        got = one.evaluate(small)[1]
        assert (np.abs(got - gradient) <= 2e-6 * np.abs(gradient).max(axis=0)).all()


def test_the_largest_halves_are_exact():
    problem, theta, *_ = make(40, 20, 3, dtype="float16")
    X = np.where(problem.rows.X > 0, np.float16(65504), np.float16(-6e-8)).astype(np.float16)
    rows = replace(problem.rows, X=X)
    one = by_tensor_cores(replace(problem, rows=rows))
    exact = X.astype(float) @ theta[:-1] + theta[-1]
    np.testing.assert_allclose(one.margins(theta), exact, rtol=0, atol=1e-6 * 65504)


@pytest.mark.parametrize("answer", [0, 1])
@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_what_sure_models_have_left_to_learn_is_exact(rng, dtype, answer):
    X = rng.integers(0, 3, (50, 32)).astype(dtype)
    theta = np.full((33, 1), 1.0 if answer else -1.0)  # margins of about ±32
    problem = make_problem(np.asarray, X, np.full(50, answer), C=np.inf, n_classes=2)
    r = (0.5 - answer) * 2.0 * expit(-np.abs(X.astype(float).sum(axis=1) + 1.0))
    expected = np.append(r @ X, r.sum())[:, np.newaxis] / 50
    one = by_tensor_cores(problem)
    for _, gradient in (one.evaluate(theta), one.evaluate_margins(one.margins(theta), theta)):
        np.testing.assert_allclose(gradient, expected, rtol=2e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_shows_and_touches_no_neighbour(value):
    problem, theta, *_ = make(50, 40, 11, dtype="uint8")
    one = by_tensor_cores(problem)
    before = one.evaluate(theta)
    other = np.arange(11) != 2
    theta[3, 2] = value
    cost, gradient = one.evaluate(theta)
    assert np.isnan(one.margins(theta)[:, 2]).any()
    assert np.isnan(cost).tolist() == np.isnan(gradient).any(axis=0).tolist() == (~other).tolist()
    np.testing.assert_array_equal(cost[other], before[0][other])
    np.testing.assert_array_equal(gradient[:, other], before[1][:, other])


def test_the_opposite_question_has_the_same_bits():
    problem, theta, *_ = make(64, 30, 7, dtype="uint8", size=9.0)
    targets = replace(problem.targets, table=1 - problem.targets.table)
    a = by_tensor_cores(problem).evaluate(theta)
    b = by_tensor_cores(replace(problem, targets=targets)).evaluate(-theta)
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1], -b[1])


# ---- how it is done ---------------------------------------------------------------------------


@pytest.mark.nightly
@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_the_same_bits_in_every_order(dtype):
    problem, theta, *_ = make(133, 30, 9, dtype=dtype, sets=3, base=True)
    found = set()
    for seed in range(3):
        one = by_tensor_cores(problem, replace(H100, processors=2), seed=seed)
        Z = one.margins(theta)
        arrays = *one.evaluate(theta), Z, *one.evaluate_margins(Z, theta)
        found.add(b"".join(array.tobytes() for array in arrays))
    assert len(found) == 1


@pytest.mark.nightly
def test_models_in_groups_have_the_bits_of_models_alone():
    """In the same layout: which columns are beside them, and how many groups there are."""
    problem, theta, *_ = make(100, 30, 15, dtype="uint8", sets=2)
    whole = by_tensor_cores(problem)
    cost, gradient = whole.evaluate(theta)
    for left in ([0, 3, 7, 14], [14, 2]):
        few = few_models(problem, np.array(left), whole.plan)
        np.testing.assert_array_equal(few.evaluate(theta[:, left])[1], gradient[:, left])
        np.testing.assert_array_equal(few.evaluate(theta[:, left])[0], cost[left])


def few_models(problem, left, plan):
    one = by_tensor_cores(problem)
    grid = one._chunks[0].grid
    few = fused_pass.FusedPass(problem.select(left), plan, one.kernels)
    # As many rows in a segment, whatever the groups.
    chunk = few._chunks[0]
    few._chunks[0] = replace(
        chunk,
        grid=grid._replace(groups=1),
        around=(*chunk.around[:3], grid.segment_rows, grid.tile_rows),
    )
    few._partial = tuple(np.empty((grid.segments, *x.shape[1:]), x.dtype) for x in few._partial)
    return few


SANITIZED = {
    "bytes": (40, 30, 7, {"dtype": "uint8", "sets": 2, "base": True}),
    "halves, odd": (70, 61, 3, {"dtype": "float16", "labels": True}),
}


@pytest.mark.nightly
@pytest.mark.parametrize("sanitize", ["thread", "address,undefined"])
@pytest.mark.parametrize("what", SANITIZED)
def test_sanitizers_find_nothing(what, sanitize):
    n, features, models, options = SANITIZED[what]
    problem, theta, *expected = make(n, features, models, **options)
    card = replace(H100, processors=1)
    one = by_tensor_cores(problem, card, sanitize=sanitize)
    Z = one.margins(theta)
    assert_right(problem, one.evaluate(theta), theta, *expected)
    assert_right(problem, one.evaluate_margins(Z, theta), theta, *expected)


# Barriers between a write and a read by other threads are missing; rows beyond the last are read.
MISTAKES = {
    "no barrier after rows": ("    __syncthreads();\n}", "}", "thread", "data race"),
    "no barrier after halves": (
        *("        __syncthreads();  // before products are taken, and the next rows copied\n", ""),
        *("thread", "data race"),
    ),
    "no barrier after margins": (
        *("            __syncthreads();  // before margins are added up\n", ""),
        *("thread", "data race"),
    ),
    "no barrier after residuals": (
        *("            __syncthreads();  // before residuals are multiplied\n", ""),
        *("thread", "data race"),
    ),
    "no barrier after the last rows": (
        *("        __syncthreads();  // the last rows have been used", "        // "),
        *("thread", "data race"),
    ),
    "beyond the rows": (
        "int n = end - start < tile_rows ? end - start : tile_rows;\n        const int sixteens",
        "int n = tile_rows;\n        const int sixteens",
        *("address,undefined", "overflow"),
    ),
}


@pytest.mark.nightly
@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_in_the_kernel_are_found(what, broken):
    present, absent, sanitize, words = MISTAKES[what]
    broken(fused_pass, "TENSOR", present, absent)
    problem, theta, *_ = make(301, 30, 7, dtype="uint8")
    one = by_tensor_cores(problem, replace(H100, processors=1), sanitize=sanitize)
    assert one._chunks[0].grid.segment_rows > one.plan.tile  # rows come in more than one tile
    with pytest.raises(KernelFault, match=words):
        one.evaluate(theta)


@pytest.mark.nightly
def test_few_bytes_of_scratch_are_more_launches(monkeypatch):
    problem, theta, *expected = make(300, 33, 7, dtype="float16", sets=3, base=True)
    monkeypatch.setattr(fused_pass, "SCRATCH_BYTES", 4 * 30 * 7 * 6)
    one = by_tensor_cores(problem)
    assert len(one._chunks) > 3
    assert_right(problem, one.evaluate(theta), theta, *expected)
    assert_right(problem, one.evaluate_margins(one.margins(theta), theta), theta, *expected)


# ---- layouts ----------------------------------------------------------------------------------

SIZES = {
    "card": st.sampled_from(TENSOR_CARDS),
    "storage": st.sampled_from([8, 16]),
    "features": st.integers(1, 4096) | st.sampled_from([784, 1024, 1536, 2048]),
    "models": st.integers(1, 2000),
    "rows": st.integers(1, CHUNK_ROWS),
}


@settings(max_examples=200, deadline=None)
@given(**SIZES)
def test_a_plan_fits_and_covers_everything(card, storage, features, models, rows):
    laid = tensor_plan(card, storage, features, models)
    if laid is None:
        assert features > 1500  # and with fewer, every card has room
        return
    assert laid.columns in WIDTHS
    assert laid.shared_bytes() <= card.shared_block
    assert laid.blocks * (laid.shared_bytes() + RESERVED) <= card.shared_processor
    for half in ({"forward": False}, {"backward": False}):
        assert laid.shared_bytes(**half) < laid.shared_bytes()
    warps = laid.threads // 32
    assert laid.own * warps >= laid.steps
    assert warps >= max(laid.owners, laid.columns // 4)
    assert laid.blocks * warps <= 16
    assert laid.registers <= laid.registers_there
    assert laid.registers_there * -(-laid.blocks * warps // 4) * 32 <= 16_384
    assert 0 < laid.tile <= laid.threads
    assert laid.tile % 16 == 0

    grid = laid.grid(card, rows, models)
    assert (grid.groups - 1) * laid.columns < models <= grid.groups * laid.columns
    assert (grid.segments - 1) * grid.segment_rows < rows <= grid.segments * grid.segment_rows
    assert grid.segments <= 65_535
    assert grid.segment_rows < MOST_ROWS + 16
    assert grid.segments == 1 or grid.segment_rows * features * storage // 8 % 16 == 0
    assert grid.tile_rows % 16 == 0
    assert 0 < grid.tile_rows <= laid.tile


@pytest.mark.nightly
@pytest.mark.parametrize(("backward", "forward"), [(True, True), (True, False), (False, True)])
def test_shared_memory_is_counted_to_the_byte(backward, forward):
    """A byte less than the plan says, and the address sanitizer finds the last one used."""
    k, features = 12, 40
    laid = tensor_plan(H100, 8, features, k)
    n = laid.tile
    size = laid.shared_bytes(forward=forward, backward=backward)
    ways = {"backward": backward, "forward": forward}
    name, arguments = zeros_for(laid, n, features, k, np.uint8, **ways)
    compiled = module(TENSOR, laid.macros, "address")
    compiled.launch(name, 1, laid.threads, arguments, size)
    with pytest.raises(KernelFault, match="overflow"):
        compiled.launch(name, 1, laid.threads, arguments, size - 1)
