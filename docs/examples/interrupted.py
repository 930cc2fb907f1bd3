"""
Interrupted, and going on where it was
======================================

Nothing is lost, not a bit. A search and a bootstrap each keep a checkpoint. Here a callback stops
both of them, as Ctrl-C, SIGTERM, a full memory or a power cut would, and the same call resumes. A
killed run resumes from what it wrote at most a minute before (checkpoint_every=60.0), and an
interrupted run from where it stopped.

Run it: python docs/examples/interrupted.py
"""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import gpulr


class Interrupt:
    """Interrupts a run, once, when it has told of so many iterations."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, progress: object) -> None:
        """Count, and interrupt."""
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def interrupted(call: Callable[..., Any], path: Path, after: int) -> Any:
    """Make a call that keeps a checkpoint and is interrupted, and the same one again."""
    how = {"callbacks": [Interrupt(after)], "checkpoint": path}
    try:
        call(**how)
    except (gpulr.TrainingInterrupted, gpulr.SearchInterrupted) as interruption:
        print(interruption)
    with warnings.catch_warnings():  # what goes on says so
        warnings.simplefilter("ignore", gpulr.ResumedWarning)
        return call(**how)


data = gpulr.datasets.load_digits()


def search(**how: Any) -> gpulr.Search:
    """Look for the best C."""
    return gpulr.search(data, Cs=[0.01, 1, 100], cv=3, **how)


def bootstrap(**how: Any) -> gpulr.Bootstrap:
    """Train on resamples of the rows."""
    return gpulr.bootstrap(data, n=20, random_state=0, **how)


with tempfile.TemporaryDirectory() as folder:
    found = interrupted(search, Path(folder) / "search.ckpt", after=20)
    replicates = interrupted(bootstrap, Path(folder) / "bootstrap.ckpt", after=20)

same = np.array_equal(found.model.weights, search().model.weights)
same &= np.array_equal(replicates.coef, bootstrap().coef)
print(f"As if nothing had happened: {same}")

# %%
# The same for a single training, drawn: gradient descent is interrupted after 40 of 120 iterations,
# and the resumed run ends exactly where an uninterrupted one does.


def descend(**how: Any) -> gpulr.OneVsAll:
    """Train for 120 iterations."""
    return gpulr.train(data, solver="gd", max_iter=120, tol=0, **how)


with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    warnings.simplefilter("ignore", gpulr.ResumedWarning)
    how = {"checkpoint": Path(folder) / "run.ckpt"}
    try:
        descend(callbacks=[Interrupt(40)], **how)
    except gpulr.TrainingInterrupted as interruption:
        so_far = interruption.model
    resumed = descend(**how)
print(f"the same bits: {np.array_equal(resumed.weights, descend().weights)}")

costs, first = resumed.history.cost.sum(axis=1), so_far.n_iter
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.semilogy(range(first + 1), costs[: first + 1], color="#D55E00", label="until the interruption")
ax.semilogy(range(first, 121), costs[first:], color="#0072B2", label="the same call again")
ax.set(xlabel="iteration", ylabel="cost of the ten models")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()
