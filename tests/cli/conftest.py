from __future__ import annotations

import signal

import pytest

import gpulr


@pytest.fixture
def ctrl_c(monkeypatch):
    """Press Ctrl-C in the run of a command, in each iteration of which something holds."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def press(module, when):
        def bar(progress):
            if when(progress):
                signal.raise_signal(signal.SIGINT)

        name = "ProgressBar" if hasattr(module, "ProgressBar") else "SearchProgressBar"
        monkeypatch.setattr(module, name, lambda: bar)

    yield press
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def digits_model():
    return gpulr.train(gpulr.datasets.load_digits(), max_iter=30, tol=0)


@pytest.fixture
def model_file(digits_model, tmp_path):
    """A model of the digits: digits.safetensors in the folder where `run` is."""
    digits_model.save(tmp_path / "digits.safetensors")
    return tmp_path / "digits.safetensors"
