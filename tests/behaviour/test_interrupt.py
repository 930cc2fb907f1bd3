"""Ctrl-C ends training after the iteration that is under way, and keeps the model."""

from __future__ import annotations

import signal
import threading
from contextlib import nullcontext

import numpy as np
import pytest

import gpulr
from gpulr.solvers import SOLVERS
from helpers import interrupt


@pytest.fixture(autouse=True)
def default_handler():
    """Ctrl-C does what it does in a program of the user's."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Press:
    """A callback that presses Ctrl-C at an iteration."""

    def __init__(self, at=2):
        self.at = at

    def __call__(self, progress):
        if progress.iteration == self.at:
            signal.raise_signal(signal.SIGINT)


LONG = {"max_iter": 10**7, "tol": 0}


def test_ctrl_c_of_a_terminal_raises_with_the_model_so_far():
    assert interrupt("""
try:
    gpulr.train(X, y, solver="gd", batched=False, **settings)
except gpulr.TrainingInterrupted as error:
    model = error.model
    assert isinstance(error, KeyboardInterrupt)
    assert f"after {model.n_iter} iterations" in str(error)
assert 2 <= model.n_iter < 10**6, model.n_iter
assert len(model.history.cost) == model.n_iter + 1
assert not model.converged
assert np.isfinite(model.weights).all() and model.weights[:, 0].any()
again = gpulr.train(X, y, solver="gd", max_iter=model.n_iter, tol=0)
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


@pytest.mark.parametrize("main_thread", ["trains", "waits"])
def test_training_in_another_thread_goes_on(blobs, main_thread):
    results, begun, pressed = [], threading.Event(), threading.Event()

    def wait(progress):
        begun.set()
        pressed.wait(30)

    def train():
        results.append(gpulr.train(*blobs, max_iter=30, tol=0, callbacks=[wait]))

    def press():
        if main_thread == "trains":
            gpulr.train(*blobs, callbacks=[Press()], **LONG)
        signal.raise_signal(signal.SIGINT)

    worker = threading.Thread(target=train)
    worker.start()
    assert begun.wait(30)
    with pytest.raises(KeyboardInterrupt) as caught:
        press()
    pressed.set()
    worker.join(30)
    assert isinstance(caught.value, gpulr.TrainingInterrupted) == (main_thread == "trains")
    assert results[0].n_iter == 30


def test_a_handler_of_the_programs_own_is_left_alone(blobs):
    presses = []

    def handler(signum, frame):
        presses.append(signum)

    def stop(progress):
        if presses:
            raise StopIteration

    signal.signal(signal.SIGINT, handler)
    model = gpulr.train(*blobs, callbacks=[Press(), stop], **LONG)
    assert signal.getsignal(signal.SIGINT) is handler
    assert (len(presses), model.n_iter) == (1, 2)


def test_a_second_ctrl_c_interrupts_at_once(blobs):
    reached = []

    def press_twice(progress):
        signal.raise_signal(signal.SIGINT)  # the first: training ends after this iteration
        reached.append(progress.iteration)
        signal.raise_signal(signal.SIGINT)
        reached.append("never")

    with pytest.raises(KeyboardInterrupt):
        gpulr.train(*blobs, callbacks=[press_twice], **LONG)
    assert reached == [0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"max_iter": 1, "tol": 0}, None),
        ({"callbacks": [lambda progress: 1 / 0]}, ZeroDivisionError),
        ({"solver": "gd", "learning_rate": 1e30}, gpulr.DivergenceError),
        ({"callbacks": [Press()]}, gpulr.TrainingInterrupted),
    ],
)
def test_the_handler_is_restored_after_training_and_after_errors(blobs, settings, error):
    with pytest.raises(error) if error else nullcontext():
        gpulr.train(*blobs, **settings)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


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
