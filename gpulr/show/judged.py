"""Labelled rows of each model, and the curves that they make: of one model, or averages of many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import ParameterError
from gpulr.model.binary import LINE, problems
from gpulr.model.one_vs_all import OneVsAll, labelled_margins
from gpulr.show.canvas import model_names, model_of
from gpulr.show.labels import label_texts
from gpulr.show.lettering import drawable
from gpulr.show.predictions import labelled_rows
from gpulr.words import did_you_mean, listed

Floats = npt.NDArray[np.float64]
Problem = tuple[Any, Any, Any]  # margins, truth of 0 and 1, and weights of rows, (n,) each
MOST_POINTS = 20_000  # of an average's line


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A curve from point to point, (n,) each, its score, and its share of positive rows."""

    x: Floats
    y: Floats
    score: float
    share: float = np.nan

    @staticmethod
    def none(share: float) -> Line:
        """Return that of a problem which leaves it undefined."""
        return Line(np.empty(0), np.empty(0), np.nan, share)


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """The words of a kind of curves, and how one is found for a model, for all answers, as a mean.

    ``corner`` is where curves leave room for a legend; ``level`` whether chance is a level of its
    own for each line; ``undefined`` of which shares of positives there is no curve; ``quickly`` is
    as ``line``, of many more rows and for averages.
    """

    title: str
    x: str
    y: str
    score: str
    reference: str | None
    corner: str
    line: Callable[[Problem], Line]
    quickly: Callable[[Problem], Line]
    mean: Callable[[Sequence[Line]], Line] | None = None
    level: bool = False
    undefined: tuple[float, ...] = ()

    def of(self, problem: Problem, *, quickly: bool = False) -> Line:
        """Return the line of a problem; none where all its rows are alike, or there are none."""
        level = share(problem)
        if np.isnan(level) or level in self.undefined:
            return Line.none(level)
        return (self.quickly if quickly else self.line)(problem)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A model, margins (n_rows, n_models), truth and weights of rows; which models were asked for.

    Truth is as of :func:`gpulr.model.binary.problems`; ``names`` are what the models tell.
    """

    model: OneVsAll
    names: list[str]
    Z: Any
    truth: Any
    weight: Floats
    chosen: list[int] | None

    def problem(self, j: int) -> Problem:
        """Return model j's own."""
        return next(problems(self.Z, self.truth, self.weight, slice(j, j + 1)))

    def problems(self) -> Iterator[Problem]:
        """Yield those of all models."""
        for start in range(0, self.model.n_models, LINE):
            yield from problems(self.Z, self.truth, self.weight, slice(start, start + LINE))

    def pooled(self) -> Problem:
        """Return all answers as one."""
        parts = problems(self.Z, self.truth, self.weight, slice(0, self.model.n_models))
        z, y, w = map(np.concatenate, zip(*parts, strict=True))
        return z, y, w


def judged(
    model: Any, X: Any, y: Any, sample_weight: Any, classes: Any, pos_label: Any = None
) -> Judged:
    """Return what a model says of labelled rows."""
    model = model_of(model)
    if pos_label is not None:
        if classes is not None:
            raise ParameterError("Pass pos_label, or classes, but not both.")
        classes = [pos_label]
    of_first = _is_first_of_two(model, classes)
    chosen = None if classes is None or of_first else _places(model, classes)
    X, y = labelled_rows(X, y)
    Z, truth, weight = labelled_margins(model, X, y, sample_weight)
    if of_first:
        name = drawable(label_texts(model.classes[:1]))
        return Judged(model, name, -Z, 1 - truth, weight, None)
    return Judged(model, model_names(model), Z, truth, weight, chosen)


def _is_first_of_two(model: OneVsAll, classes: Any) -> bool:
    """Return whether what is asked for is the class of two that the one model tells against."""
    if classes is None or model.n_models > 1 or len(model.classes) < 2:
        return False
    return bool(np.atleast_1d(np.asarray(classes)).tolist() == model.classes[:1].tolist())


def share(problem: Problem) -> float:
    """Return the share of rows that are positive, by their weights."""
    _, y, w = problem
    return float(y @ w / w.sum()) if w.any() else np.nan


def _places(model: OneVsAll, classes: Any) -> list[int]:
    """Return the models of these classes or labels."""
    known = model.classes[-model.n_models :].tolist()
    wanted = np.atleast_1d(np.asarray(classes)).tolist()
    unknown = [each for each in wanted if each not in known]
    if unknown or not wanted:
        hint = did_you_mean(unknown[0], map(str, known)) if unknown else ""
        raise ParameterError(
            f"classes={wanted}{hint}; expected some of those that have a model: {listed(known)}."
        )
    return [known.index(each) for each in wanted]


def averages(found: Judged, kind: Kind) -> list[tuple[str, Line]]:
    """Return the line of all answers as one, and the mean of all lines."""
    lines = [("micro", _thinned(kind.of(found.pooled(), quickly=True)))]
    if kind.mean is not None:
        each = (kind.of(problem, quickly=True) for problem in found.problems())
        if defined := [one for one in each if len(one.x)]:
            lines.append(("macro", kind.mean(defined)))
    return lines


def _thinned(line: Line) -> Line:
    """Return a line of no more points than can be seen."""
    if len(line.x) <= MOST_POINTS:
        return line
    kept = np.linspace(0, len(line.x) - 1, MOST_POINTS).astype(np.intp)
    return replace(line, x=line.x[kept], y=line.y[kept])
