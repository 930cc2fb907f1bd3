"""Ctrl-C ends training after the iteration that is under way, and keeps the model."""

from __future__ import annotations

import signal
from contextlib import nullcontext

import numpy as np
import pytest

import gpulr
from gpulr.solvers import SOLVERS
from helpers import interrupt


# In one process: test_a_keyboard_interrupt_in_a_callback_keeps_the_model, of every solver.
@pytest.mark.parametrize(("solver", "batched"), [("lbfgs", True), ("gd", False)])
def test_ctrl_c_raises_with_the_model_so_far(solver, batched):
    assert interrupt(f"""
try:
    gpulr.train(X, y, solver={solver!r}, batched={batched}, **settings)
except gpulr.TrainingInterrupted as error:
    model = error.model
    assert isinstance(error, KeyboardInterrupt)
    assert f"after {{model.n_iter}} iterations" in str(error)
assert 2 <= model.n_iter < 10**6, model.n_iter
assert len(model.history.cost) == model.n_iter + 1
assert not model.converged
assert np.isfinite(model.weights).all() and model.weights[:, 0].any()
again = gpulr.train(X, y, solver={solver!r}, max_iter=model.n_iter, tol=0)
np.testing.assert_allclose(model.weights[:, 0], again.weights[:, 0], rtol=1e-4, atol=1e-6)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
model.predict(X)
print("done")
""") == (0, "done")


def test_ctrl_c_ends_a_loop_around_training():
    code, output = interrupt("""
for C in (1, 10):
    try:
        gpulr.train(X, y, C=C, **settings)
    except Exception:
        pass  # does not catch a KeyboardInterrupt
""")
    assert code in (-signal.SIGINT, 130, 1)
    assert "TrainingInterrupted" in output


def test_training_in_another_thread_goes_on():
    assert interrupt("""
results = []
def train():
    results.append(gpulr.train(X, y, max_iter=300, tol=0, callbacks=[lambda p: time.sleep(0.002)]))
worker = threading.Thread(target=train)
worker.start()
try:
    gpulr.train(X, y, **settings)
except gpulr.TrainingInterrupted as error:
    assert error.model.n_iter < 10**6
worker.join(30)
assert results[0].n_iter == 300
print("done")
""") == (0, "done")


def test_training_in_a_thread_alone_leaves_ctrl_c_to_the_main_thread():
    assert interrupt("""
results, done = [], threading.Event()
def train():
    results.append(gpulr.train(X, y, max_iter=100, tol=0, callbacks=[tell]))
    done.set()
threading.Thread(target=train).start()
try:
    time.sleep(30)
except KeyboardInterrupt:
    done.wait(30)
    print(results[0].n_iter)
""") == (0, "100")


def test_a_handler_of_the_programs_own_is_left_alone():
    assert interrupt("""
presses = []
def handler(signum, frame):
    presses.append(signum)
signal.signal(signal.SIGINT, handler)
def stop(progress):
    tell(progress)
    if presses:
        raise StopIteration
model = gpulr.train(X, y, max_iter=10**7, tol=0, callbacks=[stop])
assert signal.getsignal(signal.SIGINT) is handler
print(len(presses), model.n_iter < 10**6)
""") == (0, "1 True")


def test_a_second_ctrl_c_interrupts_at_once():
    assert interrupt("""
def hang(progress):
    print("ready", flush=True)
    signal.raise_signal(signal.SIGINT)  # the first: training ends after this iteration
    for _ in range(3000):
        time.sleep(0.01)                # which never ends
try:
    gpulr.train(X, y, max_iter=10**7, tol=0, callbacks=[hang])
except KeyboardInterrupt:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    print("done")
""") == (0, "done")


def test_the_handler_is_restored_after_training_and_after_errors(blobs):
    def fail(progress):
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        raise ZeroDivisionError

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for settings, error in (
            ({"max_iter": 1, "tol": 0}, None),
            ({"callbacks": [fail]}, ZeroDivisionError),
            ({"solver": "gd", "learning_rate": 1e30}, gpulr.DivergenceError),
        ):
            with pytest.raises(error) if error else nullcontext():
                gpulr.train(*blobs, **settings)
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("batched", [True, False])
def test_a_keyboard_interrupt_in_a_callback_keeps_the_model(put, blobs, solver, batched):
    X, y = blobs
    settings = {"solver": solver, "max_iter": 5, "tol": 0}

    def interrupt(progress):
        if progress.iteration == 5 and progress.models[-1] >= 1:
            raise KeyboardInterrupt

    with pytest.raises(gpulr.TrainingInterrupted, match="after 5 iterations") as caught:
        gpulr.train(put(X), y, callbacks=[interrupt], batched=batched, **settings)
    model = caught.value.model
    weights = gpulr.backend.to_host(model.weights)
    expected = gpulr.train(X, y, **settings).weights
    done = 3 if batched else 2  # the third was not begun
    np.testing.assert_allclose(weights[:, :done], expected[:, :done], rtol=1e-4, atol=1e-6)
    assert not weights[:, done:].any()
    assert model.history.n_iter.tolist() == [5] * done + [0] * (3 - done)
    assert not model.history.converged.any()
    assert model.history.cost.shape == (6, 3)
    assert model.predict(put(X)).shape == (90,)


def test_converged_models_stay_converged_when_interrupted(blobs):
    def interrupt(progress):
        if progress.converged.any():
            raise KeyboardInterrupt

    with pytest.raises(gpulr.TrainingInterrupted) as caught:
        gpulr.train(*blobs, C=[1e-3, 1, 1], callbacks=[interrupt], max_iter=5000)
    assert caught.value.model.history.converged.sum() == 1
