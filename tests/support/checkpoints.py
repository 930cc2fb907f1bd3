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


TRAINING = """
import os, time
import numpy as np, gpulr
X = np.random.default_rng(0).normal(size=(300, 5))
y = np.arange(300) % 3
def tell(progress):
    print("iteration", progress.iteration, flush=True)
    time.sleep(0.01)
gpulr.train(X, y, checkpoint=os.environ["CHECKPOINT"], checkpoint_every=None, tol=0,
            max_iter=10**7, callbacks=[tell])
"""

# Forks, which need no import: a hundred trainings, killed at any moment, and one that is done.
KILLED = """
import os, random, signal, sys, time, warnings
from pathlib import Path
import numpy as np, gpulr
from gpulr.families.checkpoint_file import read_one

warnings.simplefilter("ignore", gpulr.ResumedWarning)
random.seed(0)
path = Path(os.environ["CHECKPOINT"])
previous = path.with_name(path.name + ".previous")
rng = np.random.default_rng(0)
X = rng.normal(size=(200, 8))
y = (X[:, :4] + rng.normal(size=(200, 4))).argmax(axis=1)
settings = dict(solver=os.environ["SOLVER"], C=1e4, tol=0)

def train(max_iter=10**6, **how):
    return gpulr.train(X, y, max_iter=max_iter, **settings, **how)

train(5)  # threads are made anew in each child
least = 0
for kill in range(int(os.environ["KILLS"])):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        tell = lambda progress: os.write(write, progress.iteration.to_bytes(4, "little"))
        try:
            train(checkpoint=path, checkpoint_every=0, callbacks=[tell])
        finally:
            os._exit(1)
    os.close(write)
    first = os.read(read, 4)
    assert first, "it ended by itself"
    time.sleep(random.uniform(0.0, 0.04))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    told = first
    while more := os.read(read, 2**16):
        told += more
    os.close(read)
    began, last = (int.from_bytes(each, "little") for each in (told[:4], told[-4:]))
    assert began >= least, (began, least)
    if not path.exists():  # not one was written yet
        assert last < 2, last
        continue
    least = read_one(path).about["iteration"]
    assert last - 2 <= least <= last, (least, last)
    if previous.exists():
        assert read_one(previous).about["iteration"] in (least - 1, least)
    assert sum(each.name.startswith(".gpulr-") for each in path.parent.iterdir()) <= 2
model, expected = train(least + 3, checkpoint=path), train(least + 3)
assert np.array_equal(model.weights, expected.weights)
for name in ("cost", "gradient_norm", "n_iter"):
    assert np.array_equal(getattr(model.history, name), getattr(expected.history, name)), name
assert sorted(os.listdir(path.parent)) == [path.name, previous.name]
print("the same after", least, "iterations")
"""

# The same of searches: until one is done, however often they are killed before.
KILLED_SEARCH = """
import os, random, signal, sys, time, warnings
import numpy as np, gpulr

warnings.simplefilter("ignore", gpulr.ResumedWarning)
random.seed(0)
path, kind = os.environ["CHECKPOINT"], os.environ["KIND"]
rng = np.random.default_rng(0)
X = rng.normal(size=(600, 8))
Y = X[:, :4] + rng.normal(size=(600, 4)) > 0.5
how = dict(Cs=[0.1, 10.0, 1e4], cv=3, tol=1e-8, dtype="float64")
if kind == "blocks":
    parts = np.split(X, 3)
    X = gpulr.Blocks([lambda part=part: part for part in parts], n_samples=[200] * 3)
if kind == "a C for each model":
    how |= dict(per_model=True, scoring="neg_log_loss")

def search(**more):
    return gpulr.search(X, Y.argmax(axis=1) if kind == "blocks" else Y, **how, **more)

expected, kills = search(), 0
while True:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            tell = lambda now: os.write(write, b"1")
            search(checkpoint=path, checkpoint_every=0, callbacks=[tell])
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    left = random.randint(1, 3) * 1.2**kills  # iterations; more each time, so that it ends
    while left > 0 and os.read(read, 1):
        left -= 1
    time.sleep(random.uniform(0.0, 0.002))
    os.kill(child, signal.SIGKILL)
    os.close(read)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        break
    assert code == -signal.SIGKILL, code
    kills += 1
found = search(checkpoint=path)
for name in ("Cs", "scores", "best_C", "best_C_1se"):
    np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
np.testing.assert_array_equal(found.model.weights, expected.model.weights)
assert found.model.history.n_iter.tolist() == expected.model.history.n_iter.tolist()
print("the same after", kills)
"""
