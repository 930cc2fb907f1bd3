"""How CuPy is asked for kernels: against a stand-in for it that runs them on this CPU.

What a card and CuPy themselves do with these calls is for test_gpu.py to find out, on a card.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

import gpulr
from covering import some_nightly
from cuda_host import why_not
from fake_cupy import CARD
from fake_gpu import FakeArray, Namespace
from fused_kernels import H100, compiled
from gpulr.backend import select, to_host
from gpulr.backend.cuda import CuPyBackend
from gpulr.backend.cuda_kernels import Kernels, kernels_of
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets
from gpulr.kernels import dispatch, problem_class
from gpulr.kernels.dispatch import FusedProblem, choose, trial, trials
from gpulr.kernels.fused import FusedPass
from gpulr.kernels.plan import plan_for

pytestmark = pytest.mark.slow  # most of it in compiling kernels for this CPU


@pytest.fixture
def cupy(install):
    """Install a stand-in for CuPy that runs kernels on this CPU."""
    if reason := why_not():
        pytest.skip(reason)
    install(compiler=compiled)
    kernels_of.cache_clear()
    yield sys.modules["cupy"]
    kernels_of.cache_clear()


def put(x, dtype=None):
    return FakeArray(np.array(x, dtype))


@pytest.fixture
def problem(cupy, rng):
    backend = CuPyBackend("cupy", Namespace(), cupy.cuda.Device(0))
    X = put(rng.normal(size=(700, 30)).astype(np.float32))
    codes = put(rng.integers(0, 3, 700).astype(np.int32))
    targets = ClassTargets(codes, put(np.eye(3, dtype=np.float32)), backend)
    return Problem.of(Rows(X, 1.0, None, backend, np.float32), targets, put(np.ones(3)))


def close(got, expected, **tolerance):
    np.testing.assert_allclose(to_host(got), to_host(expected), **tolerance)


def test_the_card(cupy):
    assert Kernels(0).card == replace(H100, name="Fake GPU")
    assert kernels_of(0) is kernels_of(0)
    assert kernels_of(0) is not kernels_of(1)


def test_passes_and_a_captured_iteration(cupy, problem, rng):
    kernels = kernels_of(0)
    one = FusedPass(problem, plan_for(problem, kernels.card), kernels)
    assert one.plan.shared_bytes() > 48 * 1024
    theta = put(rng.normal(size=(31, 3)))
    got, expected = one.evaluate(theta), problem.evaluate(theta)
    close(got[0], expected.cost, rtol=1e-5)
    close(got[1], expected.gradient, atol=1e-6)
    got = one.evaluate_margins(one.margins(theta), theta)
    close(got[1], expected.gradient, atol=1e-6)
    assert len(cupy.modules) == 2  # one for each source
    cupy.launched.clear()
    theta = put(np.zeros((31, 3)))
    gradient = problem.evaluate(theta).gradient
    thetas, _, cost, _ = one.descend(theta, gradient, put(np.full(3, 0.5)), 3)
    assert len(cupy.launched) == 4 * (1 + 3)
    close(cost, problem.evaluate(thetas[-1, ...]).cost, rtol=1e-5)
    assert (to_host(cost) < np.log(2.0)).all()


def test_a_capture_that_fails_leaves_the_stream_as_it_was(cupy):
    def fail():
        raise RuntimeError("within")

    before, kernels = cupy.current, kernels_of(0)
    assert kernels.capture(fail) is fail  # which says so itself
    assert cupy.current is before
    assert cupy.machine.capturing is None
    assert kernels.notes == {"CUDA graph": "not recorded: RuntimeError: within"}
    assert kernels.capture(print) is print  # not tried again


@pytest.mark.parametrize("broken", [None, "capture", "end of capture"])
def test_iterations_that_cannot_be_recorded_are_launched(
    install, broken, blobs, large, monkeypatch
):
    if reason := why_not():
        pytest.skip(reason)
    monkeypatch.setenv("GPULR_FUSED", "require")
    install(broken, compiler=compiled)
    kernels_of.cache_clear()
    cupy, options = sys.modules["cupy"], {"solver": "gd", "tol": 0, "max_iter": 6}
    model = gpulr.train(*blobs, backend="cupy", **options)
    assert cupy.replayed == (0 if broken else 6)
    assert ("cudaErrorStreamCapture" in model.versions.get("CUDA graph", "")) == bool(broken)
    expected = gpulr.train(*blobs, backend="numpy", **options)
    np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-4, atol=1e-5)
    kernels_of.cache_clear()


def test_arrays_are_copied_only_where_they_must_be(cupy):
    kernels = kernels_of(0)
    X = put(np.zeros((40, 16), np.float32))
    assert kernels.contiguous(X) is X
    assert kernels.contiguous(X[:, ::2]) is not X[:, ::2]
    assert kernels.contiguous(X[:, ::2]).flags.c_contiguous
    bytes_ = put(np.zeros(100, np.uint8))
    start = -bytes_.data.ptr % 16
    assert kernels.contiguous(bytes_[start:], 16).data.ptr == bytes_[start:].data.ptr
    moved = kernels.contiguous(bytes_[start + 1 :], 16)
    assert moved.data.ptr != bytes_[start + 1 :].data.ptr


def test_time_is_the_shortest_of_some(cupy):
    calls = []
    assert kernels_of(0).seconds(lambda: calls.append(1)) == 1.0
    assert len(calls) == 4  # the first is not timed


def test_the_backend_chooses_and_reports(cupy, problem, monkeypatch):
    backend = problem.backend
    monkeypatch.setenv("GPULR_FUSED", "require")
    assert problem_class(backend) is FusedProblem
    chosen = choose(problem, backend.kernels)
    assert chosen.whole.kernels is backend.kernels is kernels_of(0)
    assert trial(problem.backend, kernels_of(0)).startswith("works (sm_90")
    assert [name for name, _ in trials(backend)] == ["fused pass"]


@pytest.fixture
def large(monkeypatch, as_if_large):
    """No rows are too few for kernels, or for the curvature that models share."""
    monkeypatch.setattr(dispatch, "LEAST", 0)


def test_training_on_the_stand_in(cupy, blobs, large, monkeypatch):
    X, y = blobs
    monkeypatch.setenv("GPULR_FUSED", "require")
    expected = gpulr.train(X, y, backend="numpy", tol=1e-5)
    model = gpulr.train(X, y, backend="cupy", tol=1e-5)
    assert {"propagate_back", "find_direction"} <= set(cupy.launched)
    np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["propagate", "find_direction"])
def test_a_kernel_that_ends_the_device(cupy, blobs, large, name):
    """Its error comes at a later call, in a trial: no other pass can go on."""
    select("cupy")
    cupy.machine.crashes = name
    with pytest.raises(gpulr.DeviceLostError, match="cudaErrorIllegalAddress"):
        gpulr.train(*blobs, backend="cupy")


@pytest.mark.skipif(find_spec("cupy") is None, reason="CuPy is not installed")
def test_cupy_has_what_is_asked_of_it():
    import cupy

    runtime = cupy.cuda.runtime
    assert all(hasattr(runtime, name) for name in CARD)
    for name in ("Device", "Event", "Stream", "get_elapsed_time"):
        assert hasattr(cupy.cuda, name)
    assert hasattr(cupy.cuda.Stream, "begin_capture")
    assert hasattr(cupy.cuda.Graph, "launch")
    assert hasattr(cupy.RawKernel, "max_dynamic_shared_size_bytes")
    assert gpulr.backends()["cupy"].name == "cupy"


@pytest.fixture
def numbers(rng):
    """Ten classes of overlapping images, X (300, 40) uint8; and y."""
    y = rng.integers(0, 10, 300)
    X = rng.integers(0, 200, (300, 40), dtype=np.uint8)
    X[np.arange(300), y] += 55
    return X, y


@pytest.mark.parametrize("solver", some_nightly(["lbfgs", "gd"], {"gd"}))
def test_a_first_training_compiles_little(cupy, numbers, as_if_large, monkeypatch, solver):
    monkeypatch.setenv("GPULR_FUSED", "require")
    chosen, choose = [], dispatch.choose

    def counted(*arguments):
        found = choose(*arguments)
        chosen.append(len(cupy.modules))
        return found

    monkeypatch.setattr(dispatch, "choose", counted)
    options = {"backend": "cupy", "solver": solver, "max_iter": 5, "tol": 0}
    gpulr.train(*numbers, **options)
    launched = cupy.machine.launched
    assert "propagate_back" in launched
    # NVRTC takes about 1 s for a module of gpulr's, and 0.14 s for each of CuPy's array functions.
    assert chosen[0] <= 4  # before the first pass, with the probe's
    # Gradient descent has nothing between its passes, L-BFGS a direction and a step.
    assert len(cupy.modules) == chosen[0] + (2 if solver == "lbfgs" else 0)
    passes = launched.index("propagate_forward" if solver == "lbfgs" else "propagate")
    assert len(set(launched[:passes])) <= 36
    compiled_first = list(cupy.modules)
    gpulr.train(numbers[0][:290], numbers[1][:290], **options)
    assert cupy.modules == compiled_first


@pytest.mark.nightly
@pytest.mark.parametrize("standardize", [False, True])
def test_arrays_on_another_card_train_and_predict_there(cupy, numbers, monkeypatch, standardize):
    monkeypatch.setenv("GPULR_FUSED", "require")
    X, y = numbers
    with cupy.cuda.Device(1):
        there, labels = put(X), put(y)
    assert cupy.machine.current == 0
    model = gpulr.train(there, labels, tol=1e-3, standardize=standardize)
    assert (model.backend, model.device) == ("cupy", "Fake GPU (cuda:1)")
    assert "propagate_back" in cupy.machine.launched
    reference = gpulr.train(X, y, backend="numpy", tol=1e-3, standardize=standardize)
    for name in ("predict", "predict_proba", "decision_function"):
        found = getattr(model, name)(there)
        assert found.on == model.weights.on == 1
        close(found, getattr(reference, name)(X), rtol=2e-2, atol=2e-2)
    assert model.score(there, labels) == pytest.approx(reference.score(X, y), abs=0.01)
    assert reference.predict(there).on == 1
    assert model.predict(put(X)).on == 0  # the weights follow the rows
    assert cupy.machine.current == 0


def test_an_estimator_that_chooses_C_does_so_on_the_card_of_its_rows(cupy, numbers):
    X, y = numbers
    with cupy.cuda.Device(1):
        there = put(X[:60, :9], np.float32)
    estimator = gpulr.OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=2, tol=1e-2)
    estimator.fit(there, y[:60] % 3)
    assert estimator.coefs_paths_.on == estimator.coef_.on == 1
    assert tuple(estimator.coefs_paths_.shape) == (2, 2, 3, 10)
    assert estimator.predict(there).on == 1


@pytest.mark.parametrize("family", ["train", "search", "bootstrap"])
def test_advice_on_another_card_is_found_there(cupy, numbers, family):
    X, y = numbers
    with cupy.cuda.Device(1):
        there = put(X[:60, :9], np.float32)
    options = {"train": {}, "search": {"Cs": [0.1, 1.0], "cv": 2}, "bootstrap": {"n": 2}}
    with pytest.warns(gpulr.ConvergenceWarning, match="raise max_iter"):
        getattr(gpulr, family)(there, y[:60] % 3, tol=1e-9, max_iter=2, **options[family])
    assert cupy.machine.current == 0


NIGHTLY = [pytest.param(kind, marks=pytest.mark.nightly) for kind in ("float32", "float16", "bool")]


@pytest.mark.slow
@pytest.mark.usefixtures("as_if_large")
@pytest.mark.parametrize("kind", ["uint8", *NIGHTLY])
def test_the_smoke_run_that_a_card_is_first_given(cupy, numbers, monkeypatch, kind):
    gpu_smoke = pytest.importorskip("bench.gpu_smoke")
    data = pytest.importorskip("bench.data")
    work = data.Data("numbers", *numbers, 1 / 255)
    monkeypatch.setattr(gpu_smoke, "load_workload", lambda: work)
    found = dict(gpu_smoke.smoke(kind, 200))
    assert all(run["error"] < 1e-5 for run in found.values())
    assert {"propagate", "propagate_back", "find_direction"} <= set(cupy.machine.launched)
