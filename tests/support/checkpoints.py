"""Trainings that are interrupted, and go on from their checkpoints."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr

HISTORY = ("cost", "gradient_norm", "n_iter", "converged", "stalled", "refreshes")


class Interrupt:
    """Ends training at an iteration, and knows of which it was told."""

    def __init__(self, at=-1, error=KeyboardInterrupt):
        self.at, self.error, self.told = at, error, []

    def __call__(self, progress):
        self.told.append((progress.models[0], progress.iteration))
        if len(self.told) == self.at + 1:
            raise self.error


def resumed(*args, at=None, **how):
    """Train from a checkpoint, which is there; return the model and what callbacks were told."""
    told = Interrupt()
    with pytest.warns(gpulr.ResumedWarning, match="goes on from") as caught:
        model = gpulr.train(*args, callbacks=[told], **how)
    text = next(str(w.message) for w in caught if w.category is gpulr.ResumedWarning)
    assert f"iteration {told.told[0][1]}" in text
    return model, told.told


def same(model, expected):
    for name in ("weights", "intercept"):
        np.testing.assert_array_equal(getattr(model, name), getattr(expected, name))
    for name in HISTORY:
        one, other = (getattr(each.history, name) for each in (model, expected))
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert len(model.history.seconds) == len(expected.history.seconds)
    assert np.all(np.diff(model.history.seconds) >= 0.0)
    assert {**model.settings, "max_iter": 0} == {**expected.settings, "max_iter": 0}


def interrupted(path, at, *args, **how):
    """Train until a callback ends that, after ``at`` others were told."""
    with pytest.raises(gpulr.TrainingInterrupted, match="goes on from"):
        gpulr.train(*args, checkpoint=path, callbacks=[Interrupt(at)], **how)


def rows(n=240, p=9, k=4, seed=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    scores = X[:, :k] * np.linspace(3.0, 0.3, k) + rng.normal(size=(n, k))
    return X.astype(np.float32), scores.argmax(axis=1)
