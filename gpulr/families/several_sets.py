"""Models of several sets of training rows, as columns of one matrix, and their margins elsewhere.

What out-of-fold predictions, learning curves and permutation tests have in common: from the
arguments of :func:`gpulr.train` to columns that are trained, in groups that fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.core.problem import Problem
from gpulr.errors import ConvergenceWarning, warn
from gpulr.families.advice import ends_of, how_to_converge
from gpulr.families.inputs import Inputs
from gpulr.families.interrupt import closing, ctrl_c
from gpulr.families.prepare import prepare
from gpulr.families.reading import read_inputs
from gpulr.families.settings import Settings, TrainingArguments
from gpulr.families.training_data import TrainingData
from gpulr.solvers import Solution, groups_of, minimize_in_groups
from gpulr.solvers.solution import Callback
from gpulr.validation.labels import LabelMatrix, Labels
from gpulr.validation.parameters import callables, inverse_penalty, switch
from gpulr.words import did_you_mean

Index = npt.NDArray[np.integer[Any]]
PASSES = 40  # over the rows that each column takes, about


@dataclass(frozen=True, eq=False)
class Request:
    """What a family was asked to train, checked."""

    inputs: Inputs
    settings: Settings
    C: float | list[float]
    backend: str
    batched: bool
    callbacks: Sequence[Callback]

    @contextmanager
    def prepare(self, n_sets: int) -> Iterator[Training]:
        """Bring rows and labels to where they are trained, for so many sets of columns."""
        with (
            prepare(
                self.inputs,
                self.settings,
                requested=self.backend,
                n_passes=min(self.settings.max_iter, PASSES),
                C=self.C,
                n_sets=n_sets,
                group_size=self.inputs.labels.n_models,
            ) as data,
            ctrl_c() as interrupted,
            closing(self.callbacks),
        ):
            yield Training(self, data, interrupted)


def read_request(family: str, X: object, y: object, C: object, arguments: object) -> Request:
    """Check what ``family``, a function, was called with.

    Raises
    ------
    TypeError
        An argument that is not of :class:`TrainingArguments`.
    DataError, ParameterError
        X, y, C or an argument cannot be used.
    """
    given, known = dict(arguments), TrainingArguments.__annotations__  # type: ignore[call-overload]
    for name in given:
        if name not in known:
            raise TypeError(
                f"{family}() got an unexpected keyword argument {name!r}"
                f"{did_you_mean(name, list(known))}"
            )
    weights = (given.get(name) for name in ("sample_weight", "class_weight", "pos_weight"))
    inputs = read_inputs(X, y, None).weighted(*weights)
    return Request(
        inputs,
        Settings(
            **{each.name: given[each.name] for each in fields(Settings) if each.name in given}
        ),
        inverse_penalty(C, inputs.labels.n_models),
        given.get("backend", "auto"),
        switch("batched", given.get("batched", True)),
        callables(given.get("callbacks", ())),
    )


@dataclass(frozen=True, eq=False)
class Training:
    """Trains problems of the columns that a family is made of."""

    request: Request
    data: TrainingData
    interrupted: Callable[[], bool]

    def train(self, problem: Problem) -> Solution | None:
        """Return the solution; None if a callback or an interrupt ended training."""
        settings, method = self.request.settings, self.request.settings.method()
        one_by_one = list(np.arange(problem.n_models)[:, np.newaxis])
        solution = minimize_in_groups(
            method,
            problem,
            groups_of(method, problem) if self.request.batched else one_by_one,
            max_iter=settings.max_iter,
            tol=settings.tol,
            callbacks=self.request.callbacks,
            interrupted=self.interrupted,
        )
        return None if solution.result in ("interrupted", "stopped") else solution

    def warn(self, *solutions: Solution) -> None:
        """Warn, once, of models that did not converge."""
        settings = self.request.settings
        how = {"which": "", "use": "Their answers count all the same; for closer optima"}
        advice = how_to_converge(ends_of(*solutions), self.data.rows, settings, **how)
        if advice and settings.tol > 0:
            warn(advice.message, ConvergenceWarning)


def as_indicator(labels: Labels | LabelMatrix, rows: Index | slice) -> npt.NDArray[Any]:
    """Return what each model is to answer for some rows, (n_rows, n_models) uint8."""
    truth = labels.truth(rows)
    if isinstance(labels, LabelMatrix):
        return truth
    positive = np.arange(len(labels.classes), dtype=truth.dtype)[-labels.n_models :]
    return np.asarray(truth[:, np.newaxis] == positive).view(np.uint8)
