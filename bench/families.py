"""Out-of-fold predictions, learning curves and permutation tests beside scikit-learn's functions.

Whole calls on MNIST on stratified folds, each function with its defaults: scikit-learn's with its
LogisticRegression, on what its users pass (pixels ÷ 255). scikit-learn is timed once; of tests by
permutations a permutation's share is told, since scikit-learn's gets one only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn import model_selection
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import gpulr
from bench.data import DATA
from bench.run import Patience, take_turn

RUNS = 3
SIZES = (0.1, 0.55, 1.0)  # the first, middle and last of the default ones
PERMUTATIONS, FEW = 20, 1  # gpulr's, and scikit-learn's
NEAR = 0.02  # accuracies: softmax and one-vs-all differ by less
Measured = tuple[str, list[float], list[float]]


def families(size: float, patience: Patience) -> Iterator[Measured]:
    """Return what each family is called, and the times of gpulr's and scikit-learn's function."""
    work = DATA["mnist"]().part(size)
    X, y, floats, model = work.X, work.y, work.X * np.float64(work.scale), LogisticRegression()
    how: dict[str, Any] = {"cv": 5, "random_state": 0}
    gpulr.train(X[:1000], y[:1000])  # what the first call of a process does is not charged

    ours, runs = timed(lambda: gpulr.cross_val_predict(X, y, scale=work.scale), patience, RUNS)
    base, theirs = timed(
        lambda: model_selection.cross_val_predict(model, floats, y, method="predict_proba"),
        patience,
    )
    alike(np.mean(ours.argmax(axis=1) == y), np.mean(base.argmax(axis=1) == y))
    yield "cross_val_predict, probabilities", runs, theirs

    ours, runs = timed(
        lambda: gpulr.learning_curve(X, y, train_sizes=SIZES, scale=work.scale), patience, RUNS
    )
    base, theirs = timed(
        lambda: model_selection.learning_curve(
            model, floats, y, train_sizes=SIZES, shuffle=True, **how
        ),
        patience,
    )
    alike(ours.test_scores.mean(axis=1), base[2].mean(axis=1))
    yield "learning_curve, three sizes", runs, theirs

    ours, runs = timed(
        lambda: gpulr.permutation_test(X, y, n=PERMUTATIONS, scale=work.scale), patience
    )
    base, theirs = timed(
        lambda: model_selection.permutation_test_score(model, floats, y, n_permutations=FEW, **how),
        patience,
    )
    alike([ours.score, ours.scores.mean()], [base[0], base[1].mean()])
    each = [[t / (1 + n) for t in ts] for ts, n in ((runs, PERMUTATIONS), (theirs, FEW))]
    yield "permutation_test, a permutation", each[0], each[1]


def timed(call: Callable[[], Any], patience: Patience, runs: int = 1) -> tuple[Any, list[float]]:
    """Return what a call returns, and the seconds of some runs."""
    kept: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # after scikit-learn's 100 iterations
        times = [take_turn(lambda: kept.append(call()), patience).seconds for _ in range(runs)]
    return kept[-1], times


def alike(ours: Any, theirs: Any) -> None:
    """Raise AssertionError where accuracies are not within noise."""
    np.testing.assert_allclose(ours, theirs, atol=NEAR)
