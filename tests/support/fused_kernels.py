"""The fused pass without a GPU: its kernels by g++ on NumPy arrays, and cards of several kinds."""

from __future__ import annotations

import time

import numpy as np
import pytest

from cuda_host import HostModule, why_not
from cuda_layouts import A100, H100, RTX_4090, T4
from gpulr.backend import backend_of, to_host
from gpulr.backend.cuda_signatures import check, signature
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets, LabelTargets
from gpulr.kernels import problem_class
from gpulr.kernels.fused import FusedPass
from gpulr.kernels.plan import MOST_FEATURES, obstacle, plan_for
from gpulr.kernels.tensor_plan import TensorPlan, layouts_for
from helpers import reference

CARDS = (H100, A100, RTX_4090, T4)

_modules = {}


def module(source, macros, sanitize=None):
    """Compile a source for this CPU, once in a session for each set of macros."""
    key = source, tuple(sorted(macros.items())), sanitize
    if key not in _modules:
        _modules[key] = HostModule(source, defines=dict(macros), sanitize=sanitize)
    return _modules[key]


def compiled(code, macros):
    """Compile the text of a source for this CPU: what the stand-in for CuPy launches."""
    return module(code, macros)


class HostKernels:
    """Launches kernels at once, on this CPU; what is captured is recorded, and not run.

    Attributes
    ----------
    launched : list of str
        Names, in order.
    """

    def __init__(self, card=H100, *, sanitize=None, seed=0):
        if reason := why_not():
            pytest.skip(reason)
        self.card, self.sanitize, self.seed = card, sanitize, seed
        self.launched = []
        self.notes = {}
        self.recording = None

    def kernel(self, source, macros, name, shared):
        assert shared <= self.card.shared_block
        compiled = module(source, macros, self.sanitize)

        def launch(grid, block, arguments):
            check(name, signature(source, name), arguments)

            def run():
                compiled.seed = self.seed
                compiled.launch(name, grid, block, arguments, shared)
                self.launched.append(name)

            run() if self.recording is None else self.recording.append(run)

        return launch

    def contiguous(self, x, alignment=1):
        if x.flags.c_contiguous and x.ctypes.data % alignment == 0:
            return x
        assert self.recording is None, "a graph cannot hold an allocation"
        return x.copy()

    def capture(self, function):
        self.recording = recorded = []
        function()
        self.recording = None
        return lambda: [run() for run in recorded]

    def seconds(self, function):
        started = time.perf_counter()
        function()
        return time.perf_counter() - started


def fused(problem, card=H100, **options):
    """Return the fused pass of a problem, by kernels on this CPU."""
    assert obstacle(problem) is None
    return FusedPass(problem, plan_for(problem, card), HostKernels(card, **options))


def by_tensor_cores(problem, card=H100, **options):
    """Return the same by the kernels for tensor cores, whose instructions the shim has."""
    assert obstacle(problem) is None
    layout, _ = layouts_for(problem, card)
    assert isinstance(layout, TensorPlan)
    return FusedPass(problem, layout, HostKernels(card, **options))


def make(
    n,
    features,
    models,
    *,
    dtype="float32",
    standardize=False,
    labels=False,
    base=False,
    sets=0,
    positives=False,
    size=1.0,
    intercept=True,
    compute="float32",
    seed=0,
    backend=None,
):
    """Return a problem, and its float64 X (as the models see it), Y and weights."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    rng, backend = np.random.default_rng(seed), backend or backend_of(None)
    put, precision = backend.asarray, getattr(backend.xp, compute)
    if dtype == "uint8":
        X, scale = rng.integers(0, 256, (n, features), dtype=np.uint8), 1 / 255
    elif dtype == "bool":
        X, scale = rng.random((n, features)) < 0.3, 1.0
    else:
        X, scale = rng.normal(size=(n, features)).astype(dtype), 1.0
    seen = X.astype(np.float64)
    center = None
    if standardize:
        center = seen.mean(axis=0)[:, np.newaxis] + 0.25
        scale = rng.uniform(0.5, 2.0, (features, 1)) * (0.01 if dtype == "uint8" else 1.0)
        seen = (seen - center[:, 0]) * scale[:, 0]
    else:
        seen = seen * scale
    wide = scale if isinstance(scale, float) else put(scale)
    rows = Rows(put(X), wide, None if center is None else put(center), backend, precision)
    if labels:
        indicator = rng.integers(0, 3 if positives else 2, (n, 3 + models // 2), dtype=np.uint8)
        indicator[rng.integers(0, n)] = 1  # something is known of each
        label = rng.integers(0, indicator.shape[1], models).astype(np.int32)
        targets = LabelTargets(put(indicator), put(label), backend, precision)
        Y = (indicator[:, label] == 1).astype(np.float64)
    else:
        codes = rng.integers(0, 5, n).astype(np.int32)
        table = rng.integers(0, 2, (5, models)).astype(compute)
        targets = ClassTargets(put(codes), put(table), backend)
        Y = table[codes].astype(np.float64)
    s = np.ones((n, models))
    pos_weight = rng.exponential(size=models) if positives else None
    if positives:
        s = np.where(Y > 0, pos_weight.astype(compute), s)
        s = s * (indicator[:, label] < 2) if labels else s
    sample_weight = set_weights = set_index = None
    if base:
        sample_weight = rng.uniform(0.2, 2.0, (n, 1)).astype(compute)
        s = s * sample_weight
    if sets:
        set_weights = rng.integers(0, 3, (n, sets), dtype=np.uint8)
        set_weights[Y[:, 0].argmax()] = 1  # no set is without rows
        set_index = rng.integers(0, sets, models).astype(np.int32)
        s = s * set_weights[:, set_index]
    C = np.where(rng.random(models) < 0.2, np.inf, rng.uniform(0.1, 10.0, models))
    problem = problem_class(backend).of(
        *(rows, targets, put(C)),
        sample_weight=None if sample_weight is None else put(sample_weight),
        weight_sets=None if set_weights is None else put(set_weights),
        set_index=None if set_index is None else put(set_index),
        pos_weight=None if pos_weight is None else put(pos_weight),
        unknown=positives and labels,
        intercept=intercept,
    )
    theta = size * rng.normal(size=(features + 1, models)) / np.sqrt(features)
    return problem, put(theta), seen, Y, s


def zeros_for(laid, n, features, k, dtype, *, backward, forward):
    """Name the kernel that goes these ways, and return arguments of ``n`` rows of zeros for it."""
    around = [np.zeros((n, features), dtype), None, n, n, min(n, laid.tile)]
    Z, W, b = (np.zeros(s, np.float32) for s in ((n, k), (features, k), (k,)))
    targets = [np.zeros(n, np.int32), np.zeros((1, k), np.float32), None, None, 0, None, None, None]
    sums = [np.zeros((features, k), np.float32), np.zeros((2, k))]
    return {
        (True, True): ("propagate", [*around, W, b, k, *targets, 0, None, *sums]),
        (True, False): ("propagate_back", [*around, Z, k, *targets, 0, None, *sums]),
        (False, True): ("propagate_forward", [*around, W, b, k, Z]),
    }[backward, forward]


def assert_right(problem, got, theta, X, Y, s):
    """Compare cost and gradient with float64, to what float32 can tell in sums of such numbers."""
    cost, gradient, theta = map(to_host, (*got, theta))
    assert cost.dtype == gradient.dtype == np.float64
    expected_cost, expected = reference(X, Y, theta, to_host(problem.C), s)
    if not problem.intercept:
        expected[-1] = 0.0
    X1 = np.hstack([np.abs(X), np.ones((len(X), 1))])
    if problem.rows.center is not None and problem.rows.center_in_block is None:
        # Bytes are centred after the sum, whose terms are larger before.
        X1[:, :-1] += np.abs(to_host(problem.rows.center * problem.rows.scale)[:, 0])
    eps, m = np.finfo(np.float32).eps, s.sum(axis=0)
    margin = X1 @ np.abs(theta)  # what rounding of a margin is relative to
    rounding = 4 * eps * (margin + 1.0)
    np.testing.assert_array_less(
        np.abs(cost - expected_cost), 1e-12 + (s * rounding).sum(axis=0) / m + eps * expected_cost
    )
    allowed = X1.T @ (s * (rounding + 4 * eps)) / m + 1e-9
    np.testing.assert_array_less(np.abs(gradient - expected), allowed)


# Each leaves remainders of another kind: rows of a tile and of a segment, quads of features, models
# of a group, bytes of a copy (16, 8, 4, 2 and 1 at a time), shares of narrow rows.
CASES = {
    "MNIST's width": (67, 784, 10, {}),
    "one row": (1, 5, 3, {}),
    "one feature": (40, 1, 2, {}),
    "one of each": (1, 1, 1, {}),
    "one column": (123, 150, 1, {"base": True}),
    "33 columns": (90, 30, 33, {"sets": 4, "base": True}),
    "bytes": (133, 784, 10, {"dtype": "uint8"}),
    "bytes, odd": (70, 785, 7, {"dtype": "uint8", "sets": 3}),
    "bytes, standardized": (70, 150, 6, {"dtype": "uint8", "standardize": True}),
    "bits": (300, 64, 10, {"dtype": "bool", "labels": True}),
    "halves": (61, 151, 5, {"dtype": "float16", "labels": True, "base": True}),
    "halves, standardized": (50, 36, 4, {"dtype": "float16", "standardize": True}),
    "bfloat16": (61, 151, 5, {"dtype": "bfloat16", "labels": True, "base": True}),
    "bfloat16, standardized": (50, 36, 4, {"dtype": "bfloat16", "standardize": True}),
    "standardized": (45, 37, 10, {"standardize": True, "sets": 2}),
    "no intercept": (45, 37, 10, {"intercept": False}),
    "two quads a thread": (11, 2051, 5, {}),
    "as wide as can be": (7, MOST_FEATURES, 3, {"dtype": "uint8"}),
    "large margins": (64, 30, 7, {"size": 1e4}),
    "positives": (90, 30, 7, {"positives": True, "base": True, "sets": 2}),
    "unknown labels": (90, 31, 12, {"positives": True, "labels": True, "dtype": "uint8"}),
    "unknown, weighted": (300, 64, 3, {"positives": True, "labels": True, "sets": 2}),
}
