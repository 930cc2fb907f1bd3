"""Models of several sets of training rows, as columns of one matrix, and their margins elsewhere.

What out-of-fold predictions, learning curves and permutation tests have in common: from the
arguments of :func:`gpulr.train` to columns that are trained, in groups that fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from gpulr.core.problem import Problem
from gpulr.errors import ConvergenceWarning, warn
from gpulr.families.advice import ends_of, how_to_converge
from gpulr.families.checkpoint import Kept, NoCheckpoint, checkpointed
from gpulr.families.checkpoint_place import Place, place_of
from gpulr.families.fingerprint import Fingerprint, fingerprint_of
from gpulr.families.inputs import Inputs
from gpulr.families.interrupt import closing, ctrl_c
from gpulr.families.prepare import prepare
from gpulr.families.reading import read_inputs
from gpulr.families.settings import Settings, TrainingArguments
from gpulr.families.training import about_training
from gpulr.families.training_data import TrainingData
from gpulr.solvers import GroupedRun, Solution, falls_short, groups_of, minimize_in_groups
from gpulr.solvers.driver import EARLY
from gpulr.solvers.solution import Callback
from gpulr.validation.labels import LabelMatrix, Labels
from gpulr.validation.parameters import callables, inverse_penalty, switch
from gpulr.words import counted, did_you_mean

Index = npt.NDArray[np.integer[Any]]
PASSES = 40  # over the rows that each column takes, about


Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Request:
    """What a family was asked to train, checked."""

    inputs: Inputs
    settings: Settings
    C: float | list[float]
    backend: str
    batched: bool
    callbacks: Sequence[Callback]
    family: str  # the function that was called
    place: Place | None = None  # of checkpoints

    @contextmanager
    def prepare(self, n_sets: int, **of: Any) -> Iterator[Training]:
        """Bring rows and labels to where they are trained, for so many sets of columns.

        What results depend on beside the arguments of training is told by ``of``, to tell the
        checkpoint of this run from another's.
        """
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
            ctrl_c(terminated=self.place is not None) as interrupted,
            closing(self.callbacks),
        ):

            def fingerprint() -> Fingerprint:
                how = {"C": self.C, "batched": self.batched, **of}
                backend = data.rows.backend
                return fingerprint_of(self.family, self.inputs, self.settings, backend, **how)

            with checkpointed(self.place, fingerprint, KEPT, backend=data.rows.backend) as kept:
                training = Training(self, data, interrupted, kept)
                yield training
                training.close()


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
        family,
        place_of(given.get("checkpoint"), given.get("checkpoint_every", 60.0)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """A problem that was trained, and the scores of its models: none, if none are asked for."""

    solution: Solution
    scores: Annotated[Floats, "(_, _)"]


@dataclass(frozen=True, slots=True, eq=False)
class Problems:
    """How far problems have come that are trained one after the other."""

    done: tuple[Done | None, ...] = ()  # of each, from the first on; None: it is to be trained anew
    run: Any = None  # of the next one: a GroupedRun, or what makes one of its problem
    about: dict[str, Any] | None = None  # what is said of it, where that is known

    def stored(self) -> dict[str, Any]:
        """Return what of it is in a file."""
        return {"done": self.done, "run": self.run, "about": about_problems(self, None)}

    @classmethod
    def restored(cls, read: Callable[..., Any], problem: None) -> Problems:
        """Return it from its fields, which are read: the run when its problem is there."""
        return cls(
            read("done"), lambda problem: read("run", problem, GroupedRun | None), read("about")
        )

    @property
    def next(self) -> int:
        """The number of the problem that ``run`` is of."""
        return next((i for i, each in enumerate(self.done) if each is None), len(self.done))

    def within(self, max_iter: int) -> Problems:
        """Return what of it counts where so many iterations may be taken."""
        done = tuple(
            None if each is None or falls_short(each.solution, max_iter) else each
            for each in self.done
        )
        return self if done == self.done else Problems(done)


class Training:
    """Trains problems of the columns that a family is made of, one after the other."""

    def __init__(
        self,
        request: Request,
        data: TrainingData,
        interrupted: Callable[[], bool],
        kept: NoCheckpoint,
    ) -> None:
        self.request, self.data, self._interrupted, self._kept = request, data, interrupted, kept
        max_iter = request.settings.max_iter
        result, progress = kept.read(None, lambda problems: problems.within(max_iter))
        self._before: Problems = result or progress or Problems()
        self._finished, self._ended = result is not None, False
        self._done: list[Done] = []

    def train(
        self,
        problem: Problem,
        score: Callable[[Solution], Floats] | None = None,
        shape: tuple[int, ...] = (0, 0),
    ) -> Done | None:
        """Return the solution; None if a callback or an interrupt ended training.

        A problem that was done in the run that this one goes on with is not trained again, nor are
        its models scored. ``score`` returns an array of two axes, of this ``shape``.
        """
        offer, before, number = self._kept.offer, self._before, len(self._done)
        resumed = None
        with self._kept.fitting():
            if number < len(before.done) and (known := before.done[number]) is not None:
                known.solution.check(problem.rows, problem.n_models)
                if known.scores.shape != shape:
                    raise ValueError(f"scores of {known.scores.shape}, not {shape}")
                self._done.append(known)
                return known
            if number == before.next and before.run is not None:
                resumed = before.run(problem)

        def unfinished(run: GroupedRun) -> Problems:
            return Problems((*self._done, *before.done[number:]), run)

        settings, method = self.request.settings, self.request.settings.method()
        one_by_one = list(np.arange(problem.n_models)[:, np.newaxis])
        solution = minimize_in_groups(
            method,
            problem,
            groups_of(method, problem) if self.request.batched else one_by_one,
            max_iter=settings.max_iter,
            tol=settings.tol,
            callbacks=self.request.callbacks,
            interrupted=self._interrupted,
            checkpoint=None if offer is None else lambda run: offer(unfinished(run)),
            resumed=resumed,
        )
        if solution.result in EARLY:
            self._ended = True
            self._kept.keep()
            return None
        done = Done(solution, np.zeros(shape) if score is None else score(solution))
        self._done.append(done)
        if offer is not None:
            offer(Problems((*self._done, *before.done[number + 1 :])))
        return done

    def close(self) -> None:
        """Keep what was trained, for the same call again."""
        if not (self._ended or self._finished):
            self._kept.finish(Problems(tuple(self._done)))

    @property
    def way_on(self) -> str:
        """What a message of an interruption adds."""
        return self._kept.way_on

    def warn(self, *solutions: Solution) -> None:
        """Warn, once, of models that did not converge."""
        settings = self.request.settings
        how = {"which": "", "use": "Their answers count all the same; for closer optima"}
        advice = how_to_converge(ends_of(*solutions), self.data.rows, settings, **how)
        if advice and settings.tol > 0:
            warn(advice.message, ConvergenceWarning)


def about_problems(progress: Problems | None, result: Problems | None) -> dict[str, Any]:
    """Say how far problems have come, for whoever looks into their checkpoint."""
    if progress is None or result is not None:
        return {"where": "done"}
    if progress.about is not None:
        return progress.about
    n = sum(each is not None for each in progress.done)
    about = {"where": f"{counted(n, 'problem')} trained", "done": n}
    if progress.run is None:
        return about
    run = about_training(progress.run, None)
    return {**about, **run, "where": f"{about['where']}, {run['where']} of the next"}


def as_indicator(labels: Labels | LabelMatrix, rows: Index | slice) -> npt.NDArray[Any]:
    """Return what each model is to answer for some rows, (n_rows, n_models) uint8."""
    truth = labels.truth(rows)
    if isinstance(labels, LabelMatrix):
        return truth
    positive = np.arange(len(labels.classes), dtype=truth.dtype)[-labels.n_models :]
    return np.asarray(truth[:, np.newaxis] == positive).view(np.uint8)


KEPT = Kept(about_problems, Problems, Problems, (Done,))
