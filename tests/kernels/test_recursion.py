"""L-BFGS's kernels against its array functions: compiled by g++, launched as on a device.

As in test_fused.py, what is proven is the source: not that a card runs it, or how fast.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from covering import some_nightly
from cuda_host import KernelFault
from fused_kernels import HostKernels
from gpulr.backend import backend_of
from gpulr.kernels import recursion
from gpulr.kernels.recursion import PAIRS, Recursion, disagreement
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.lbfgs_state import LBFGSState, Pair
from gpulr.solvers.model_curvature import ModelCurvature
from gpulr.solvers.pairs import direction, learn, two_loops

NUMPY = backend_of(None)


def make(features, models, n_pairs, *, skipped=()):
    """Return a state in the midst of training, and λ, which one model in three does not have."""
    rng = np.random.default_rng(0)
    shape = features + 1, models
    values = 10.0 ** -np.linspace(0, 12, features)[:, np.newaxis]
    curvature = SharedCurvature(
        mean=np.zeros((features, 1)),
        basis=np.eye(features),
        values=values,
        rest=1e-12,
    )
    pairs = []
    for i in range(n_pairs):
        s = rng.normal(size=shape)
        y = s * rng.uniform(0.5, 2.0, shape)  # sᵀy > 0
        rho = 1.0 / np.sum(s * y, axis=0)
        pairs.append(Pair(s, y, 0.0 * rho if i in skipped else rho))
    if n_pairs:
        pairs[0].rho[::2] = 0.0
    C = np.where(np.arange(models) % 3 == 1, np.inf, rng.uniform(1e-3, 1.0, models))
    each = rng.uniform(0.05, 0.25, (2, models))
    gradient = rng.normal(size=shape)
    state = LBFGSState(
        **dict.fromkeys(("theta", "gradient", "margins"), 0.0 * gradient),
        **dict.fromkeys(("cost", "best", "least", "idle", "factor", "stalled"), each[0]),
        **{"reduced": gradient, "pairs": tuple(pairs), "gamma": each[0], "kappa": each[1]},
        **{"age": 0, "curvature": curvature},
    )
    return state, 1.0 / (C * 1000.0)


def problem(state, lam, kernels=None):
    """Return what the solver asks a problem for, with or without kernels."""
    recursion = None
    if kernels is not None:
        recursion = Recursion(NUMPY, kernels, len(state.reduced) - 1)
    rows = SimpleNamespace(dtype=np.float64)
    return SimpleNamespace(backend=NUMPY, penalty=lam, recursion=recursion, rows=rows)


def close(got, expected, rtol=1e-12):
    """Compare each model's column, to rounding in its largest number."""
    got, expected = np.atleast_2d(got), np.atleast_2d(expected)
    assert got.shape == expected.shape
    assert np.isfinite(expected).all()
    np.testing.assert_array_less(
        np.abs(got - expected).max(axis=0), rtol * np.abs(expected).max(axis=0) + 1e-300
    )


def with_factors(state, dtype=np.float32):
    """Return the state with three curvatures of models' own, which every fourth model has not."""
    rng, k = np.random.default_rng(2), len(state.gamma)
    n = len(state.curvature.values)
    size = n // 2 + 1
    F = rng.normal(size=(3, size, 2 * size)) / np.sqrt(size)
    inverses = np.linalg.inv(np.linalg.cholesky(F @ np.swapaxes(F, 1, 2))).astype(dtype)
    rest = rng.uniform(0.5, 1.0, (3, n + 1 - size))
    which = np.where(np.arange(k) % 4 == 3, -1, rng.integers(0, 3, k))
    curvature = ModelCurvature(state.curvature, inverses, rest, which, NUMPY)
    return replace(state, curvature=curvature)


CASES = pytest.mark.parametrize(
    ("features", "models", "n_pairs"),
    [(1, 1, 0), (37, 33, 1), (785, 1, 3), (785, 10, 10), (37, 33, 10), (1, 33, 3), (1024, 2, 2)],
)


@CASES
def test_the_two_loops(features, models, n_pairs):
    state, lam = make(features, models, n_pairs)
    kernels = HostKernels()
    d, slope = direction(problem(state, lam, kernels), state, state.curvature)
    assert kernels.launched == ["find_direction"]
    close(d, two_loops(NUMPY, state, state.curvature, lam)[0])
    close(slope, np.sum(d * state.reduced, axis=0))
    assert (slope < 0.0).all()


@pytest.mark.covering
@CASES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_models_of_their_own_curvature(features, models, n_pairs, dtype):
    state, lam = make(features, models, n_pairs)
    state, kernels = with_factors(state, dtype), HostKernels()
    d, slope = direction(problem(state, lam, kernels), state, state.curvature)
    kappa = 2.0 * state.kappa
    pair, gamma = learn(problem(state, lam, kernels), state, *step(state), kappa)
    assert kernels.launched == ["find_direction", "learn_pair"]
    # Kernels sum products with inverses in float64.
    wide = state.curvature.inverses.astype(np.float64)
    state = replace(state, curvature=replace(state.curvature, inverses=wide))
    expected = learn(problem(state, lam), state, *step(state), kappa)
    close(d, two_loops(NUMPY, state, state.curvature, lam)[0], 1e-10)
    close(slope, np.sum(d * state.reduced, axis=0))
    for name in ("s", "y", "rho"):
        close(getattr(pair, name), getattr(expected[0], name))
    close(gamma, expected[1], 1e-10)


def test_no_model_of_its_own_curvature():
    state, lam = make(37, 5, 3)
    none = replace(state, curvature=with_factors(state).curvature.none(5))
    kernels = HostKernels()
    for got, expected in zip(
        direction(problem(none, lam, kernels), none, none.curvature),
        direction(problem(state, lam, kernels), state, state.curvature),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)
    assert kernels.launched == ["find_direction"] * 2


def test_pairs_that_are_not_to_be_used():
    state, lam = make(37, 5, 10, skipped=(0, 4, 9))
    d, _ = direction(problem(state, lam, HostKernels()), state, state.curvature)
    close(d, two_loops(NUMPY, state, state.curvature, lam)[0])
    used = [pair for i, pair in enumerate(state.pairs) if i not in (0, 4, 9)]
    close(d, two_loops(NUMPY, replace(state, pairs=tuple(used)), state.curvature, lam)[0])


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("what", ["goes up", "is no number"])
def test_without_a_way_down_it_is_that_of_the_shared_curvature(what, own):
    state, lam = make(37, 3, 3)
    shared = state.curvature
    state = with_factors(state) if own else state
    last = state.pairs[-1]
    s, y, rho = last.s.copy(), last.y.copy(), last.rho.copy()
    if what == "goes up":  # a pair of negative curvature along the gradient
        s[:, 0], y[:, 0] = state.reduced[:, 0], -state.reduced[:, 0]
        rho[0] = 1.0 / (s[:, 0] @ y[:, 0])
        state = replace(state, pairs=(*state.pairs[:-1], Pair(s, y, rho)))
        assert two_loops(NUMPY, state, state.curvature, lam)[1][0] > 0.0
    else:
        rho[0] = np.nan
        state = replace(state, pairs=(*state.pairs[:-1], Pair(s, y, rho)))
    expected, expected_slope = direction(problem(state, lam), state, state.curvature)
    d, slope = direction(problem(state, lam, HostKernels()), state, state.curvature)
    close(d, expected, 1e-4 if own else 1e-12)
    close(slope, expected_slope, 1e-4 if own else 1e-12)
    close(d[:, 0], -shared.solve(state.reduced, state.kappa, lam)[:, 0])
    assert (slope < 0.0).all()


def step(state):
    """Return d, t, and the reduced gradient after the step: models 1, 4, … curve downwards."""
    rng = np.random.default_rng(1)
    d, t = rng.normal(size=state.reduced.shape), rng.uniform(0.5, 2.0, len(state.gamma))
    bend = np.where(np.arange(len(t)) % 3 == 1, -1.0, 1.0)
    return d, t, state.reduced + bend * rng.uniform(0.5, 2.0, d.shape) * d


@CASES
def test_what_is_learnt_from_a_step(features, models, n_pairs):
    state, lam = make(features, models, n_pairs)
    kernels, kappa = HostKernels(), 2.0 * state.kappa
    pair, gamma = learn(problem(state, lam, kernels), state, *step(state), kappa)
    assert kernels.launched == ["learn_pair"]
    expected, expected_gamma = learn(problem(state, lam), state, *step(state), kappa)
    assert ((pair.rho > 0.0) == (np.arange(models) % 3 != 1)).all()
    close(pair.s, expected.s)
    close(pair.y, expected.y)
    close(pair.rho, expected.rho)
    close(gamma, expected_gamma)


@pytest.mark.parametrize("kernels", [None, HostKernels])
def test_a_step_to_an_infinite_cost_teaches_nothing(kernels):
    state, lam = make(37, 3, 2)
    d, t, reduced = step(state)
    reduced[:, 0], reduced[5, 2] = np.inf, np.nan
    with np.errstate(invalid="ignore"):
        made = problem(state, lam, kernels and kernels())
        pair, gamma = learn(made, state, d, t, reduced, state.kappa)
    assert not pair.rho.any()
    assert not pair.y.any()
    np.testing.assert_array_equal(gamma, state.gamma)


def test_arrays_are_taken_as_they_are_meant():
    state, lam = make(37, 6, 3)
    expected, _ = direction(problem(state, lam), state, state.curvature)
    state = replace(
        state,
        reduced=np.asfortranarray(state.reduced),
        pairs=tuple(
            Pair(np.asfortranarray(p.s), np.asfortranarray(p.y), p.rho) for p in state.pairs
        ),
        gamma=np.repeat(state.gamma, 2)[::2],
    )
    d, _ = direction(problem(state, lam, HostKernels()), state, state.curvature)
    close(d, expected)


@pytest.mark.parametrize(
    "what", ["more pairs than they take", "some eigenvectors only", "penalties of their own"]
)
def test_array_functions_serve_where_kernels_do_not(what):
    state, lam = make(9, 2, PAIRS + 1 if what == "more pairs than they take" else 2)
    if what == "some eigenvectors only":
        curvature = state.curvature
        leading = replace(curvature, basis=np.eye(9)[:, :4], values=curvature.values[:4])
        state = replace(state, curvature=leading)
    if what == "penalties of their own":
        shares = replace(state.curvature, share=np.linspace(1.0, 2.0, 9)[:, np.newaxis])
        state = replace(state, curvature=shares)
    kernels = HostKernels()
    d, _ = direction(problem(state, lam, kernels), state, state.curvature)
    learn(problem(state, lam, kernels), state, *step(state), state.kappa)
    assert not kernels.launched
    close(d, two_loops(NUMPY, state, state.curvature, lam)[0])


# ---- how it is done ---------------------------------------------------------------------------


def launched(kernels, features=150, models=3, n_pairs=3):
    """Launch both kernels; return what they give."""
    state, lam = make(features, models, n_pairs)
    state = with_factors(state)
    made = problem(state, lam, kernels)
    pair, gamma = learn(made, state, *step(state), state.kappa)
    return *direction(made, state, state.curvature), pair.s, pair.y, pair.rho, gamma


@pytest.mark.slow
def test_the_same_bits_in_every_order():
    first = [x.tobytes() for x in launched(HostKernels(), 785, 7, 10)]
    for seed in (1, 2, 3):
        assert [x.tobytes() for x in launched(HostKernels(seed=seed), 785, 7, 10)] == first


@pytest.mark.slow
@pytest.mark.parametrize("sanitize", ["thread", "address,undefined"])
def test_sanitizers_find_nothing(sanitize):
    kernels = HostKernels(sanitize=sanitize)
    for got, expected in zip(launched(kernels), launched(HostKernels()), strict=True):
        np.testing.assert_array_equal(got, expected)
    launched(kernels, 1, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("present", "absent"),
    [
        ("    __syncthreads();\n    double sum", "    double sum"),
        ("    turn ^= 1;\n", ""),
        ("    __syncthreads();  // x has been written\n", ""),
        ("    __syncthreads();\n    for (int c = thr", "    for (int c = thr"),
        ("    __syncthreads();\n}\n\n// The inverse", "}\n\n// The inverse"),
    ],
    ids=["the barrier of a sum", "turns", "x", "y", "x, as it is to be"],
)
def test_the_thread_sanitizer_finds_what_is_missing(present, absent, broken):
    broken(recursion, "SOURCE", present, absent)
    with pytest.raises(KernelFault, match="data race"):
        launched(HostKernels(sanitize="thread"))


@pytest.mark.slow
def test_the_address_sanitizer_finds_a_read_beyond_the_features(broken):
    present = "    for (int f = thread; f <= features; f += THREADS) q[f] *= scale;"
    broken(recursion, "SOURCE", present, present.replace("q[f]", "q[f + features + 2]"))
    with pytest.raises(KernelFault, match="overflow"):
        launched(HostKernels(sanitize="address,undefined"))


# ---- proof ------------------------------------------------------------------------------------


def test_kernels_agree_with_matrices():
    kernels = HostKernels()
    assert disagreement(NUMPY, kernels) is None
    assert kernels.launched == ["find_direction", "learn_pair"] * 3


RARE = [
    ("q[f] *= scale;", "q[f] *= 1.0;", "direction"),
    ("x[f] /= rest[own * first + f] + lam;", "x[f] /= rest[own * first + f];", "direction"),
    ("row * size + c] * y[row]", "c * size + row] * y[row]", "direction"),
    ("s[at] = step;", "s[at] = d[at];", "step"),
    ("y[at] = change;", "y[at] = step;", "change"),
    ("good ? sy / yHy", "good ? sy / yy", "γ"),
]


@pytest.mark.parametrize(
    ("present", "absent", "words"),
    [
        ("factor = alpha[i] - beta;", "factor = alpha[i] + beta;", "direction"),
        ("slope[model] = down;", "slope[model] = -down;", "slope"),
        ("good ? 1.0 / sy", "good ? 1.0 / ss", "ρ"),
        *some_nightly(RARE, RARE),
    ],
)
def test_what_is_wrong_is_told(present, absent, words, broken):
    broken(recursion, "SOURCE", present, absent)
    assert f"L-BFGS's {words} is off" in disagreement(NUMPY, HostKernels())
