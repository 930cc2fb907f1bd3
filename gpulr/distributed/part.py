"""A part of the rows, where it is: sums over its rows, and margins that it remembers."""

from __future__ import annotations

import math
import pickle
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import NumPyBackend, is_sparse, select, to_host
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets, LabelTargets, RowWeights, Targets
from gpulr.distributed.held_margins import HeldMargins
from gpulr.distributed.messages import LOST, Columns, Held, Recipe
from gpulr.kernels import problem_class
from gpulr.kernels.plan import in_order
from gpulr.sources import Source

Array = Any

PROBLEMS = 4  # of the last columns, which a part keeps


@dataclass(frozen=True, eq=False)
class Before:
    """How many rows lie in the parts before one."""

    classes: npt.NDArray[np.int64]  # (n_classes,) of each class; of a matrix of labels (1,): all
    weighted: int = 0  # of weight > 0


class Part:
    """Rows that lie together, and what models are to answer for them.

    Its problems have C = ∞ and m = 1, so that what they return are sums over the rows. It is
    pickled without margins and all else that it can make again.

    Parameters
    ----------
    rows : Rows
        On NumPy, scaled as those of all parts are.
    targets : Targets
        Of all models of the labels, on NumPy.
    weight : (n_rows, 1) in the compute dtype, or None
        Of mean 1 over the rows of all parts.
    before : Before
        Where they are among all rows.
    requested : str
        The backend to compute with, as :func:`gpulr.train` takes it.
    """

    def __init__(
        self,
        rows: Rows,
        targets: Targets,
        weight: npt.NDArray[Any] | None,
        before: Before,
        requested: str = "auto",
    ) -> None:
        self.rows, self.targets, self.weight = rows, targets, weight
        self.before, self.requested = before, requested
        self._forget()

    def _forget(self) -> None:
        self._turn = threading.Lock()
        self._held = HeldMargins()
        self._problems: dict[int, Problem] = {}
        self._sets: tuple[bytes, Array] = b"", None

    def __getstate__(self) -> dict[str, Any]:
        made = "_turn", "_held", "_problems", "_sets", "rows_here", "_targets_here"
        state = {name: value for name, value in self.__dict__.items() if name not in made}
        return state | {"rows": replace(self.rows)}  # without what they keep

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __sizeof__(self) -> int:
        X = self.rows.X
        if isinstance(X, Source):
            return 0
        return int(X.data.nbytes + X.indices.nbytes if is_sparse(X) else X.nbytes)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.rows.n_samples

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Which rows have weight, (n_rows,)."""
        return np.ones(self.n_rows, np.bool_) if self.weight is None else self.weight[:, 0] > 0.0

    @property
    def strata(self) -> npt.NDArray[Any]:
        """What stratified folds have equal shares of: class indices (n_rows,); of labels zeros."""
        if isinstance(self.targets, ClassTargets):
            return np.asarray(self.targets.codes)
        return np.zeros(self.n_rows, np.int32)

    def counts(self) -> tuple[int, int, float]:
        """Return how many rows there are, how many of them have weight, and the sum of weights."""
        if self.weight is None:
            return self.n_rows, self.n_rows, float(self.n_rows)
        kept = int(np.count_nonzero(self.weight))
        return self.n_rows, kept, float(np.sum(self.weight, dtype=np.float64))

    def longest(self) -> float:
        """Return the largest Σ |x| of a row; see :attr:`gpulr.core.rows.Rows.longest`."""
        with self.active():
            return self.rows.longest

    def take(self, ranks: npt.NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """Return rows, what is to be answered, and weights, of some of the rows that have weight.

        ``ranks`` are their numbers among these.
        """
        index, targets = self._numbers(ranks), self.targets
        answers = targets.codes if isinstance(targets, ClassTargets) else targets.indicator
        weight = None if self.weight is None else self.weight[index]
        return self.rows.backend.take_rows(self.rows.X, index), answers[index], weight

    def take_sets(self, ranks: npt.NDArray[np.int64], rule: Any) -> Array:
        """Return the weight sets of some of the rows that have weight, (n_rows, n_sets)."""
        return self.sets(rule)[self._numbers(ranks)]

    def _numbers(self, ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return ranks if self.weight is None else np.flatnonzero(self.kept)[ranks]

    def sets(self, rule: Any) -> npt.NDArray[np.uint8]:
        """Return the weight sets that a rule makes of the rows, (n_rows, n_sets)."""
        key = pickle.dumps(rule)
        if self._sets[0] != key:
            self._problems.clear()  # which have the former
            self._sets = key, rule.sets(self)
        sets: npt.NDArray[np.uint8] = self._sets[1]
        return sets

    @contextmanager
    def active(self) -> Iterator[None]:
        """Return a context to compute in."""
        with self.rows_here.backend.activate(), np.errstate(over="ignore", invalid="ignore"):
            yield

    @cached_property
    def rows_here(self) -> Rows:
        """The rows on the backend that computes with them."""
        rows = self.rows
        requested = "numpy" if is_sparse(rows.X) and self.requested == "auto" else self.requested
        backend = select(requested, X=rows.X)
        if isinstance(backend, NumPyBackend):
            return rows
        with backend.activate():
            dtype = getattr(backend.xp, np.dtype(rows.dtype).name)
            X = in_order(backend.place(rows.X, rounds_to=dtype), backend, dtype)

            def put(each: Any) -> Any:
                return each if each is None or isinstance(each, float) else backend.asarray(each)

            scale, center, factor, *known = map(
                put, (rows.scale, rows.center, rows.factor, *rows.extremes)
            )
            return Rows(X, scale, center, backend, dtype, factor, (known[0], known[1]))

    @cached_property
    def _targets_here(self) -> Targets:
        targets, backend, dtype = self.targets, self.rows_here.backend, self.rows_here.dtype
        put = backend.asarray
        if isinstance(backend, NumPyBackend):
            return targets
        if isinstance(targets, ClassTargets):
            return ClassTargets(put(targets.codes), put(targets.table, dtype), backend)
        indicator = targets.indicator
        indicator = indicator.toarray() if is_sparse(indicator) else indicator
        indicator = in_order(put(indicator), backend, dtype)
        return LabelTargets(indicator, put(targets.label), backend, dtype)

    def problem(self, columns: Columns) -> Problem:
        """Return the problem of these columns, where it is computed."""
        if columns.key not in self._problems:
            for key in list(self._problems)[: 1 - PROBLEMS]:
                del self._problems[key]
            self._problems[columns.key] = self._problem(columns)
        return self._problems[columns.key]

    def _problem(self, columns: Columns) -> Problem:
        rows = self.rows_here
        backend, xp = rows.backend, rows.backend.xp
        targets = self._targets_here.select(backend.asarray(columns.models))
        if columns.positive is not None:
            targets = replace(targets, positive=backend.asarray(columns.positive, rows.dtype))
        weight = None if self.weight is None else backend.asarray(self.weight)
        sets = index = None
        if columns.rule is not None:
            sets, index = backend.asarray(self.sets(columns.rule)), columns.set_index
            index = backend.asarray(index)
        weights = RowWeights(weight, sets, index, backend, rows.dtype)
        one = xp.ones(len(columns.models), dtype=xp.float64, device=backend.device)
        kind = problem_class(backend)
        return kind(rows, targets, math.inf * one, weights, one, 1.0, columns.intercept)

    def answer(
        self,
        method: str,
        columns: Columns,
        plan: Sequence[tuple[Recipe, Columns]],
        live: Collection[int],
        arguments: Sequence[Any],
    ) -> Any:
        """Return what a method of the problem does, or LOST where margins are missing.

        Parameters
        ----------
        plan : recipes, each with the columns that it is about
            Of margins that are to be made first, in this order, unless they are here.
        live : numbers of margins
            Which to remember; all others are dropped.
        arguments : of the method
            :class:`Held` stands for margins.
        """
        with self._turn, self.active():
            wanted = {each.number for each in arguments if isinstance(each, Held)}
            made = self._held.follow(plan, wanted | set(live), self.problem)
            if not made or not wanted <= self._held.keys():
                return LOST
            problem = self.problem(columns)
            put = problem.backend.asarray

            def here(each: Any) -> Any:
                if isinstance(each, Held):
                    return self._held[each.number]
                return put(each) if isinstance(each, np.ndarray) else each

            found = getattr(problem, method)(*map(here, arguments))
            self._held.drop_others(set(live))
            found = found if isinstance(found, tuple) else (found,)
            return tuple(None if each is None else to_host(each) for each in found)
