"""When passes go through the fused kernels, and what happens where those fail; without a GPU."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import gpulr
from fused_kernels import T4, HostKernels
from gpulr.backend import NumPyBackend, backend_of
from gpulr.backend.buffers import aligned
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets
from gpulr.kernels import dispatch
from gpulr.kernels import trials as trials_module
from gpulr.kernels.dispatch import FusedProblem, choose, recursion_for, trial, trials
from gpulr.kernels.fused import FusedPass
from gpulr.kernels.plan import MOST_FEATURES, Plan
from gpulr.kernels.tensor_plan import TensorPlan
from gpulr.solvers.curvature import SharedCurvature
from helpers import make_problem

pytestmark = pytest.mark.slow  # most of it in compiling kernels for this CPU


class Timed(HostKernels):
    """Kernels of which is said how fast they are, beside a portable pass of a second."""

    def __init__(self, *seconds, **options):
        super().__init__(**options)
        self.said = list(seconds)  # whole, halves, and the same of the portable pass
        self.asked = 0

    def seconds(self, function):
        function()
        self.asked += 1
        return self.said[(self.asked - 1) % len(self.said)]


@pytest.fixture(autouse=True)
def _small_enough(monkeypatch):
    monkeypatch.setattr(dispatch, "LEAST", 0)


@pytest.fixture
def problem(rng):
    def put(x, dtype=None):
        return np.asarray(x, dtype)

    X = rng.normal(size=(60, 9)).astype(np.float32)
    return make_problem(put, X, rng.integers(0, 3, 60))


FAST = (0.5, 0.5, 1.0, 1.0)


@pytest.mark.parametrize(
    ("seconds", "whole", "halves"),
    [
        (FAST, True, True),
        ((0.5, 2.0, 1.0, 1.0), True, False),
        ((2.0, 0.5, 1.0, 1.0), False, True),
        ((1.0, 1.0, 1.0, 1.0), False, False),
    ],
)
def test_what_is_faster_serves(problem, seconds, whole, halves):
    kernels = Timed(*seconds)
    chosen = choose(problem, kernels)
    assert (chosen.whole is not None, chosen.halves is not None) == (whole, halves)
    assert f"{seconds[0]:.2e}" in chosen.reason
    assert kernels.asked == 4
    choose(problem, kernels)  # measured once
    choose(problem.sample(np.arange(15)), kernels)  # as much, or nearly
    assert kernels.asked == 4
    choose(problem.sample(np.arange(7)), kernels)  # another size, which fills a card less
    assert kernels.asked == 8


@pytest.mark.parametrize("seconds", [FAST, (2.0, 2.0, 1.0, 1.0)])
def test_the_kernels_of_lbfgs_serve_beside_any_pass(problem, seconds, rng):
    """They pay where the portable pass is faster, or the only one."""
    kernels = Timed(*seconds)
    double = make_problem(np.asarray, rng.normal(size=(9, 2)), [0, 1, 2] * 3, dtype="float64")
    for each in (problem, double):
        assert recursion_for(each, kernels) is not None
    assert kernels.launched == ["find_direction", "learn_pair"] * 3  # tried once


def test_the_kernels_of_lbfgs_are_for_as_many_features_as_shared_memory_holds(rng):
    """Of a few wide rows all directions are known, without eigenvectors."""
    for n in (MOST_FEATURES, MOST_FEATURES + 1):
        wide = make_problem(np.asarray, rng.normal(size=(6, n)), [0, 1, 2] * 2)
        found = recursion_for(wide, Timed(*FAST, card=T4))
        assert (found is None) == (n > MOST_FEATURES)


@pytest.mark.nightly
def test_shrinking_problems_are_tried_at_most_three_times(rng, monkeypatch):
    """Of one kind of rows, whatever the models, the rows, and what they are to answer."""
    made = []

    class Counted(FusedPass):
        def __init__(self, problem, *arguments):
            super().__init__(problem, *arguments)
            made.append(problem)

    monkeypatch.setattr(trials_module, "FusedPass", Counted)
    X, numpy = rng.normal(size=(640, 9)).astype(np.float32), backend_of(None)
    codes, kernels = rng.integers(0, 7, 640).astype(np.int32), Timed(*FAST)
    tried = []
    for rows in (640, 320, 40):
        for models in (120, 119, 60, 33, 9, 6, 4, 2, 1):
            table = rng.integers(0, 2, (7, models)).astype(np.float32)
            targets = ClassTargets(codes[:rows], table, numpy)
            sets = {"weight_sets": np.ones((rows, 2), np.uint8)} if models % 2 else {}
            if sets:
                sets["set_index"] = np.zeros(models, np.int32)
            few = Rows(X[:rows], 1.0, None, numpy, np.float32)
            chosen = choose(Problem.of(few, targets, np.ones(models), **sets), kernels)
            assert chosen.whole is not None
            tried.append(chosen.whole.plan)
    assert kernels.asked == 4 * len(made) == 12
    assert len(set(tried)) <= 3  # what has not been tried does not serve


@pytest.fixture
def bytes_of(rng):
    """Return a function: a problem of so many rows, of uint8 or another dtype, and of models."""
    X, codes = rng.integers(0, 256, (640, 9)), rng.integers(0, 7, 640).astype(np.int32)

    def of(rows=640, models=10, dtype="uint8"):
        table = rng.integers(0, 2, (7, models)).astype(np.float32)
        targets = ClassTargets(codes[:rows], table, backend_of(None))
        few = Rows(X[:rows].astype(dtype), 1 / 255, None, backend_of(None), np.float32)
        return Problem.of(few, targets, np.ones(models))

    return of


TENSOR, FLOAT32, EVEN = (0.4, 0.4, 1.0, 1.0), (0.5, 0.5, 1.0, 1.0), (0.42, 0.42, 1.0, 1.0)


@pytest.mark.nightly
@pytest.mark.parametrize("dtype", ["uint8", "float16"])
@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ((*TENSOR, *FLOAT32), TensorPlan),
        ((*FLOAT32, *TENSOR), Plan),
        ((*EVEN, *TENSOR), TensorPlan),  # within what a measurement tells
        ((2.0, 2.0, 1.0, 1.0, 3.0, 3.0, 1.0, 1.0), None),
    ],
)
def test_a_card_decides_which_kernel_serves(bytes_of, dtype, seconds, chosen):
    kernels = Timed(*seconds)
    for problem in (bytes_of(dtype=dtype), bytes_of(dtype=dtype), bytes_of(500, dtype=dtype)):
        found = choose(problem, kernels)
        for one in (found.whole, found.halves):
            assert type(one.plan if one else None) is (chosen or type(None))
        assert kernels.notes["passes"] == found.reason
        name, which = ("fused pass", 4) if chosen is Plan else ("by tensor cores", 0)
        said = f"{name} {seconds[which]:.2e} s"
        assert said in found.reason
    assert kernels.asked == 8  # once each


@pytest.mark.nightly
def test_kernels_of_two_kinds_are_tried_at_most_three_times(bytes_of):
    kernels, tried = Timed(*TENSOR, *FLOAT32, *TENSOR), []
    for rows in (640, 40):
        for models in (120, 33, 9, 4, 2, 1):
            chosen = choose(bytes_of(rows, models), kernels)
            assert isinstance(chosen.whole.plan, TensorPlan)
            tried.append(chosen.whole.plan)
    assert kernels.asked == 12
    assert len(set(tried)) <= 2  # one of the other kernel lost


def test_a_card_without_tensor_cores_tries_one_kernel(bytes_of):
    kernels = Timed(*FAST, card=T4)
    assert isinstance(choose(bytes_of(), kernels).whole.plan, Plan)
    assert kernels.asked == 4


@pytest.mark.nightly
def test_one_kernel_serves_where_the_other_fails(bytes_of, monkeypatch):
    class Half(Timed):
        def kernel(self, source, macros, name, shared):
            if source.stem == self.fails:
                raise OSError("no such instruction")
            return super().kernel(source, macros, name, shared)

    for fails, serves in (("tensor", Plan), ("propagate", TensorPlan)):
        kernels = Half(*FAST)
        kernels.fails = fails
        with pytest.warns(gpulr.BackendFallbackWarning, match="no such instruction") as told:
            assert isinstance(choose(bytes_of(), kernels).whole.plan, serves)
        assert len(told) == 1
        assert isinstance(choose(bytes_of(100, 3), kernels).whole.plan, serves)
        monkeypatch.setenv("GPULR_FUSED", "require")
        kernels = Half(*FAST)
        kernels.fails = fails
        with pytest.raises(gpulr.BackendUnavailableError, match="no such instruction"):
            choose(bytes_of(), kernels)
        monkeypatch.delenv("GPULR_FUSED")


@pytest.mark.nightly
def test_models_that_leave_compile_nothing(rng):
    def of(models):
        codes, table = rng.integers(0, models, 60), np.eye(models, dtype=np.float32)
        targets = ClassTargets(codes.astype(np.int32), table, backend_of(None))
        rows = Rows(X, 1.0, None, backend_of(None), np.float32)
        return Problem.of(rows, targets, np.ones(models))

    X, kernels = rng.normal(size=(60, 9)).astype(np.float32), Timed(*FAST)
    ten = of(10)
    first = choose(ten, kernels)
    assert first.whole.plan.columns == 10
    asked = kernels.asked
    for left in ([0, 3, 4, 5, 6, 7, 8, 9], [0, 3, 4, 5, 6, 7], [8, 1, 2]):
        few = choose(ten.select(np.array(left)), kernels)
        assert few.whole.plan is first.whole.plan
    assert kernels.asked == asked
    expected = ten.select(np.array(left)).evaluate(np.zeros((10, 3)))
    np.testing.assert_allclose(
        few.whole.evaluate(np.zeros((10, 3)))[1], expected.gradient, atol=1e-6
    )
    assert choose(of(23), kernels).whole.plan.columns == 10
    other = Timed(*FAST)
    assert choose(of(2), other).whole.plan.columns == 2  # where nothing is at hand
    assert choose(of(1), other).whole.plan.columns == 2
    assert choose(ten, other).whole.plan.columns == 10  # in pairs these would take twice as long
    assert choose(of(3), other).whole.plan.columns == 2  # the better of those at hand


@pytest.mark.parametrize(
    ("wanted", "least", "words"),
    [("auto", 60 * 9 + 1, "540 numbers"), ("never", 0, "GPULR_FUSED=never")],
)
def test_small_data_and_never_compile_nothing(problem, monkeypatch, wanted, least, words):
    monkeypatch.setenv("GPULR_FUSED", wanted)
    monkeypatch.setattr(dispatch, "LEAST", least)
    kernels = Timed(*FAST)
    chosen = choose(problem, kernels)
    assert chosen.whole is chosen.halves is None
    assert words in chosen.reason
    assert not kernels.launched
    monkeypatch.setattr(dispatch, "LEAST", 60 * 9)
    assert (choose(problem, kernels).whole is None) == (wanted == "never")


def test_require_takes_them_however_slow_or_small(problem, monkeypatch):
    monkeypatch.setenv("GPULR_FUSED", " Require ")
    monkeypatch.setattr(dispatch, "LEAST", 10**9)
    chosen = choose(problem, Timed(2.0, 2.0, 1.0, 1.0))
    assert isinstance(chosen.whole, FusedPass)
    assert isinstance(chosen.halves, FusedPass)


def test_require_says_why_not(problem, monkeypatch, rng):
    monkeypatch.setenv("GPULR_FUSED", "require")
    double = make_problem(np.asarray, rng.normal(size=(9, 2)), [0, 1, 2] * 3, dtype="float64")
    with pytest.raises(gpulr.BackendUnavailableError, match=r"require, but .*float32"):
        choose(double, Timed(*FAST))
    wide = make_problem(np.asarray, np.ones((3, 4096), np.float32), [0, 1, 2])
    with pytest.raises(gpulr.BackendUnavailableError, match=r"shared memory on T4"):
        choose(wide, Timed(*FAST, card=T4))
    with pytest.raises(gpulr.BackendUnavailableError, match=r"require, but .*no compiler"):
        choose(problem, Uncompiled(*FAST))


def test_an_unknown_wish(problem, monkeypatch):
    monkeypatch.setenv("GPULR_FUSED", "always")
    with pytest.raises(gpulr.ParameterError, match=r"GPULR_FUSED='always'.*never"):
        choose(problem, Timed(*FAST))


class Uncompiled(Timed):
    def kernel(self, *arguments):
        raise OSError("no compiler")


class Wrong(Timed):
    """One number that a kernel writes is off."""

    def __init__(self, name, *seconds):
        super().__init__(*seconds)
        self.wrong = name

    def kernel(self, source, macros, name, shared):
        launch = super().kernel(source, macros, name, shared)

        def broken(grid, block, arguments):
            launch(grid, block, arguments)
            if name == self.wrong:
                arguments[-1 if name == "propagate_forward" else -2].reshape(-1)[-1] += 1e3

        return broken


@pytest.mark.parametrize("wrong", [None, "propagate", "propagate_forward", "propagate_back"])
def test_kernels_that_fail_are_told_of_once_and_not_used(problem, wrong):
    kernels = Wrong(wrong, *FAST) if wrong else Uncompiled(*FAST)
    with pytest.warns(gpulr.BackendFallbackWarning, match="fused pass failed on H100") as told:
        chosen = choose(problem, kernels)
    assert len(told) == 1
    assert chosen.whole is chosen.halves is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose(problem, kernels).whole is None


@pytest.mark.parametrize("wrong", [None, "find_direction", "learn_pair"])
def test_kernels_of_lbfgs_that_fail_are_told_of_once_and_not_used(problem, wrong, monkeypatch):
    kernels = Wrong(wrong, *FAST) if wrong else Uncompiled(*FAST)
    with pytest.warns(gpulr.BackendFallbackWarning, match="of L-BFGS failed on H100") as told:
        assert recursion_for(problem, kernels) is None
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recursion_for(problem, kernels) is None
    monkeypatch.setenv("GPULR_FUSED", "require")
    with pytest.raises(gpulr.BackendUnavailableError, match="require, but kernels of L-BFGS"):
        recursion_for(problem, Wrong(wrong, *FAST) if wrong else Uncompiled(*FAST))


class Full(Timed):
    """Memory runs out at the first few kernels that are asked for."""

    def __init__(self, fails, error=MemoryError):
        super().__init__(*FAST)
        self.fails, self.error = fails, error

    def kernel(self, *arguments):
        if self.fails:
            self.fails -= 1
            raise self.error("Out of memory allocating 1,234 bytes")
        return super().kernel(*arguments)


@pytest.fixture
def short(monkeypatch):
    """NumPy's memory is a device's; return how often it was given back."""
    freed = []
    monkeypatch.setattr(NumPyBackend, "out_of_memory", (MemoryError,))
    monkeypatch.setattr(NumPyBackend, "free", lambda self: freed.append(1))
    return freed


def test_memory_that_is_given_back_suffices(problem, short):
    kernels = Full(1)
    assert choose(problem, kernels).whole is not None
    assert recursion_for(problem, Full(1)) is not None
    assert short == [1, 1]


def test_memory_that_runs_out_says_nothing_of_speed(problem, short, monkeypatch):
    kernels = Full(2)
    with pytest.warns(gpulr.BackendFallbackWarning, match=r"1,234 bytes.*in smaller blocks"):
        assert choose(problem, kernels).whole is None
    assert choose(problem, kernels).whole is not None  # tried again, once there is memory
    monkeypatch.setenv("GPULR_FUSED", "require")
    with pytest.raises(MemoryError, match="1,234"):  # which is typed where the device is left
        choose(problem, Full(2))
    with pytest.raises(MemoryError, match="1,234"):
        recursion_for(problem, Full(2))


def test_a_pass_for_which_memory_runs_out_later(problem, short, monkeypatch):
    kernels = Timed(*FAST)
    assert choose(problem, kernels).whole is not None

    def full(*arguments):
        raise MemoryError("no more")

    monkeypatch.setattr(dispatch, "FusedPass", full)
    chosen = choose(problem, kernels)
    assert chosen.whole is chosen.halves is None
    assert "no more" in chosen.reason


def test_a_device_that_is_lost_is_no_reason_for_another_pass(problem, monkeypatch):
    monkeypatch.setattr(NumPyBackend, "lost", lambda self: "cudaErrorIllegalAddress")
    for use in (choose, recursion_for):
        with pytest.raises(RuntimeError, match="illegal"):
            use(problem, Full(1, lambda words: RuntimeError("an illegal access")))


@pytest.mark.parametrize("wanted", ["auto", "require"])
def test_a_pass_that_does_not_fit_in_memory_is_told_of_and_not_used(problem, monkeypatch, wanted):
    class Large(FusedPass):
        def __init__(self, *arguments):
            raise MemoryError("out of memory: 1,234 bytes")

    monkeypatch.setenv("GPULR_FUSED", wanted)
    monkeypatch.setattr(trials_module, "FusedPass", Large)
    words = "fused pass failed on H100: MemoryError: out of memory: 1,234 bytes"
    if wanted == "require":
        with pytest.raises(gpulr.BackendUnavailableError, match=f"require, but the {words}"):
            choose(problem, Timed(*FAST))
        return
    with pytest.warns(gpulr.BackendFallbackWarning, match=words):
        chosen = choose(problem, Timed(*FAST))
    assert chosen.whole is chosen.halves is None


def test_the_pass_that_is_tried_serves(problem, monkeypatch):
    made = []

    class Counted(FusedPass):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(trials_module, "FusedPass", Counted)
    chosen = choose(problem, Timed(*FAST))
    assert made == [chosen.whole]
    assert chosen.halves is chosen.whole


@pytest.mark.nightly
def test_a_trial_says_what_came_of_it(monkeypatch):
    numpy = backend_of(None)
    assert trials(numpy) == []
    words = trial(numpy, Timed(*FAST))
    assert words == "works (sm_90, 132 processors, 227 KiB of shared memory for a block)"
    assert "no compiler" in trial(numpy, Uncompiled(*FAST))
    assert "gradient is off" in trial(numpy, Wrong("propagate", *FAST))
    monkeypatch.setenv("GPULR_FUSED", "never")
    assert trial(numpy, Uncompiled(*FAST)) == "not used: GPULR_FUSED=never"
    monkeypatch.setenv("GPULR_FUSED", "sometimes")
    assert "ParameterError" in trial(numpy, Timed(*FAST))


# ---- training through them ---------------------------------------------------------------------


@pytest.fixture
def through(monkeypatch):
    """Train on NumPy arrays as on a device: by kernels, and in bursts of iterations."""
    kernels = Timed(*FAST)
    monkeypatch.setattr(NumPyBackend, "kernels", kernels)
    monkeypatch.setattr(NumPyBackend, "check_every", 8)
    return kernels


@pytest.mark.parametrize("solver", ["gd", "nesterov", "lbfgs"])
def test_training(solver, blobs, through, monkeypatch):
    X, y = blobs
    iterations = {"tol": 0, "max_iter": 11} if solver != "lbfgs" else {"tol": 1e-5}
    model = gpulr.train(X, y, solver=solver, **iterations)
    used = set(through.launched)
    monkeypatch.setenv("GPULR_FUSED", "never")
    portable = gpulr.train(X, y, solver=solver, **iterations)
    assert {"absorb_scaling", "propagate", "finish_pass"} <= used
    np.testing.assert_allclose(model.weights, portable.weights, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(model.history.cost[-1], portable.history.cost[-1], rtol=1e-5)
    if solver != "lbfgs":
        assert model.history.cost.shape == portable.history.cost.shape == (12, 3)
        np.testing.assert_allclose(model.history.cost, portable.history.cost, rtol=1e-4)


def test_lbfgs_is_a_few_launches_beside_its_passes(blobs, through, as_if_large, monkeypatch):
    X, y = blobs
    options = {"tol": 0, "max_iter": 14}  # in which pairs have come and gone
    model = gpulr.train(X, y, **options)
    trial, training = 3, 14
    for name in ("find_direction", "learn_pair"):
        assert through.launched.count(name) == trial + training
    steps = "look_along", "choose_step", "step_margins", "judge_step", "keep_margins"
    for name in steps:
        assert through.launched.count(name) >= training
    # The same passes, and array functions between them: what differs is rounding.
    monkeypatch.setattr(FusedProblem, "recursion", None)
    monkeypatch.setattr(FusedProblem, "stepping", None)
    through.launched.clear()
    portable = gpulr.train(X, y, **options)
    assert set(through.launched).isdisjoint(("find_direction", "learn_pair", *steps))
    assert "propagate_back" in through.launched
    np.testing.assert_allclose(model.history.cost, portable.history.cost, rtol=1e-7)
    np.testing.assert_allclose(model.weights, portable.weights, rtol=1e-4, atol=1e-5)


@pytest.mark.nightly
def test_features_of_which_leading_eigenvectors_are_known(blobs, through, monkeypatch):
    X, y = blobs
    monkeypatch.setattr(SharedCurvature, "full_up_to", 3)
    monkeypatch.setattr(SharedCurvature, "sketch_bytes", 0)
    assert gpulr.train(np.hstack([X, X**2]), y, tol=1e-5).converged
    assert "find_direction" not in through.launched  # nor tried
    assert "propagate_back" in through.launched


@pytest.mark.nightly
def test_models_that_leave(blobs, through):
    X, y = blobs
    C = [0.01, 1.0, 100.0]  # converge one after the other
    model = gpulr.train(X, y, C=C, solver="gd", tol=2e-2, max_iter=1000)
    assert model.converged
    assert len(set(model.history.n_iter.tolist())) > 1
    X1 = np.hstack([X, np.ones((len(X), 1))])
    theta = np.vstack([model.weights, model.intercept])
    P = 1 / (1 + np.exp(-X1 @ theta))
    gradient = X1.T @ (P - (y[:, np.newaxis] == np.arange(3))) / len(X)
    gradient[:-1] += theta[:-1] / np.asarray(C) / len(X)
    assert np.abs(gradient).max() < 2.1e-2


@pytest.mark.nightly
def test_a_search(blobs, through, monkeypatch):
    X, y = blobs
    options = {"Cs": [0.1, 1.0], "cv": 3, "tol": 1e-5}
    search = gpulr.search(X, y, **options)
    assert {"propagate_forward", "propagate_back"} <= set(through.launched)
    monkeypatch.setenv("GPULR_FUSED", "never")
    np.testing.assert_array_equal(search.scores, gpulr.search(X, y, **options).scores)


@pytest.mark.nightly
def test_labels_and_weights(rng, through, monkeypatch):
    X = rng.integers(0, 256, (80, 12), dtype=np.uint8)
    Y = rng.integers(0, 2, (80, 5))
    options = {"sample_weight": rng.uniform(0.5, 2.0, 80), "standardize": True, "tol": 1e-6}
    model = gpulr.train(X, Y, **options)
    assert "propagate_back" in through.launched
    monkeypatch.setenv("GPULR_FUSED", "never")
    portable = gpulr.train(X, Y, **options)
    np.testing.assert_allclose(model.decision_function(X), portable.decision_function(X), atol=2e-3)


class Copying(Timed):
    """Kernels that count the copies of arrays of some shapes that they have to make."""

    def __init__(self, *shapes):
        super().__init__(*FAST)
        self.shapes, self.copies = shapes, 0

    def contiguous(self, x, alignment=1):
        found = super().contiguous(x, alignment)
        self.copies += found is not x and x.shape in self.shapes
        return found


@pytest.mark.nightly
@pytest.mark.parametrize("layout", ["C", "F", "misaligned", "strided"])
def test_rows_are_copied_once_however_many_models_leave(blobs, as_if_large, monkeypatch, layout):
    X, y = blobs
    kernels = Copying(X.shape)
    monkeypatch.setattr(NumPyBackend, "kernels", kernels)
    plain = aligned(X.size + 1, np.float32)
    kept = plain[:-1] if layout == "C" else plain[1:]
    kept = kept.reshape(X.shape)
    kept[...] = X
    if layout == "F":
        kept = np.asfortranarray(X)
    elif layout == "strided":
        kept = np.repeat(X, 2, axis=1)[:, ::2]
    model = gpulr.train(kept, y, C=[0.01, 1.0, 100.0], tol=1e-3)
    assert len(set(model.history.n_iter.tolist())) > 1
    assert "propagate_back" in kernels.launched
    assert kernels.copies == (layout != "C")
    kernels.copies = 0
    monkeypatch.setenv("GPULR_FUSED", "never")
    gpulr.train(kept, y, tol=1e-3)
    assert kernels.copies == 0


@pytest.mark.nightly
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_labels_are_copied_once_however_many_models_leave(
    blobs, as_if_large, monkeypatch, rng, layout
):
    X, y = blobs
    Y = (rng.random((len(X), 12)) < 0.3).astype(np.uint8)
    Y[:, :3] |= y[:, np.newaxis] == np.arange(3)
    kept = {
        "C": Y,
        "F": np.asfortranarray(Y),
        "strided": np.repeat(Y, 2, axis=1)[:, ::2],
    }[layout]
    kernels = Copying(X.shape, Y.shape)
    monkeypatch.setattr(NumPyBackend, "kernels", kernels)
    model = gpulr.train(np.asfortranarray(X), kept, C=[0.01, *[1.0] * 10, 100.0], tol=1e-3)
    assert len(set(model.history.n_iter.tolist())) > 1
    assert "propagate_back" in kernels.launched
    assert kernels.copies == 1 + (layout == "F")  # checks have made rows of strided ones


def test_rows_that_cannot_be_copied_are_left_to_the_portable_pass(blobs, monkeypatch):
    class Full(Timed):
        def contiguous(self, x, alignment=1):
            if x.flags.c_contiguous:
                return x
            raise MemoryError("no more")

    X, y = blobs
    kernels = Full(*FAST)
    monkeypatch.setattr(NumPyBackend, "kernels", kernels)
    monkeypatch.setattr(NumPyBackend, "out_of_memory", (MemoryError,))
    gpulr.train(np.asfortranarray(X), y)
    assert not kernels.launched
    monkeypatch.setenv("GPULR_FUSED", "require")
    with pytest.raises(gpulr.BackendUnavailableError, match=r"in C order, and .* a copy"):
        gpulr.train(np.asfortranarray(X), y)
