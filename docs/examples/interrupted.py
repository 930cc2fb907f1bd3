"""Long work that is interrupted
=============================

Long work that is interrupted, and goes on where it was: nothing is lost, not a bit.

A search and a bootstrap keep a checkpoint. Here a callback ends each of them, as Ctrl-C, SIGTERM, a
full memory or the power would; the same call goes on. A run that was killed has what was written at
most a minute before (checkpoint_every=60.0), one that was interrupted all that it knew.

Run it: python docs/examples/interrupted.py
"""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
