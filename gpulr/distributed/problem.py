"""A problem whose rows lie in parts, of which only sums come here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.core.problem import Margins, Pass, Problem
from gpulr.core.targets import LabelTargets, RowWeights
from gpulr.distributed.margins import Lineage, PartitionedMargins
from gpulr.distributed.messages import Columns
from gpulr.distributed.parts import Parts

Array = Any


@dataclass(frozen=True, eq=False)
class PartitionedProblem(Problem):
    """A problem whose rows lie in parts.

    ``rows`` are :class:`gpulr.distributed.parts.PartitionedRows`. Of ``targets`` and ``weights``
    only is here what tells one model from another: its label, and the rule and number of its weight
    set.
    """

    @classmethod
    def of(  # type: ignore[override]
        cls,
        parts: Parts,
        C: npt.NDArray[np.float64],
        *,
        models: npt.NDArray[Any] | None = None,
        rule: Any = None,
        set_index: npt.NDArray[Any] | None = None,
        pos_weight: npt.NDArray[np.float64] | None = None,
        balanced: bool = False,
        unknown: bool = False,
        intercept: bool = True,
    ) -> PartitionedProblem:
        """Return the problem; see :meth:`Problem.of`.

        ``models`` (n_models,) are those of the labels, None: all of them, and ``rule`` is one of
        :mod:`gpulr.distributed.weight_sets`.
        """
        rows = parts.rows
        models = np.arange(parts.targets.n_models) if models is None else models
        targets = LabelTargets(None, models.astype(np.int32), rows.backend, rows.dtype)
        index = None if set_index is None else set_index.astype(np.int32)
        weights = RowWeights(None, rule, index, rows.backend, rows.dtype)
        problem = cls(rows, targets, C, weights, C, parts.mass, intercept)
        return problem._answering(pos_weight, balanced=balanced, unknown=unknown)

    @property
    def parts(self) -> Parts:
        """Where the rows are."""
        parts: Parts = self.rows.parts  # type: ignore[attr-defined]
        return parts

    @cached_property
    def columns(self) -> Columns:
        """What parts are told of the models."""
        targets, weights = self.targets, self.weights
        assert isinstance(targets, LabelTargets)
        sets = weights.weight_sets, weights.set_index
        return Columns(targets.label, targets.positive, *sets, self.intercept)

    def _sums(self, method: str, *arguments: Any) -> tuple[Any, ...]:
        return self.parts.sums(method, self.columns, *arguments)

    def draw(self, size: int) -> Array:
        """Choose rows as :meth:`Problem.draw` does, by their ranks; all, where they are few."""
        n = self.parts.n_weighted
        if n <= 2 * size:
            return np.arange(n)
        return np.sort(np.random.default_rng(0).choice(n, size, replace=False))

    def sample(self, index: Array) -> Problem:
        """Return the problem on some of the rows, which are brought here once."""
        _, targets, weight = self.parts.take(index)
        label, positive = self.columns.models, self.columns.positive
        targets = replace(targets.select(label), positive=positive)
        weights = replace(self.weights, base=weight)
        if weights.weight_sets is not None:
            weights = replace(weights, weight_sets=self.parts.take_sets(index, self.columns.rule))
        rows, mass = self.rows.sample(index), float(len(index))
        if weight is not None:
            mass = float(np.sum(weight, dtype=np.float64))
        sample = Problem(rows, targets, self.C, weights, self.m, mass, self.intercept)._weighed()
        return replace(sample, C=self.C * (self.m / sample.m))

    def evaluate(self, theta: Array) -> Pass:
        return self._finished(theta, *self._sums("evaluate", theta))

    def margins(self, theta: Array, whole: Array | None = None) -> Margins:
        lineage = Lineage("linear", theta, (), self.columns)
        return PartitionedMargins(None, self.backend, lineage, theta, self.parts)

    def evaluate_margins(self, margins: Margins, theta: Array | None = None) -> Pass:
        return self._finished(theta, *self._sums("evaluate_margins", margins))

    def _finished(self, theta: Array | None, loss: Array, gradient: Array) -> Pass:
        return self.penalized(theta, loss, gradient[:-1, :], gradient[-1, :])

    def derivatives_along(
        self, margins: Margins, direction: Margins, t: float = 0.0
    ) -> tuple[Array, Array, Array]:
        first, second, slope = self._sums("derivatives_along", margins, direction, t)
        return first / self.m, second / self.m, slope / self.m

    def slopes(self, margins: Margins, index: Array | None) -> tuple[Array, Array]:
        assert isinstance(margins, PartitionedMargins)
        sample = self.sample(index)
        return sample.slopes(sample.margins(margins.theta), None)

    def gram_product(self, V: Array) -> Array:
        (product,) = self._sums("gram_product", V)
        return product / self.mass

    def class_counts(self) -> tuple[Array, Array]:
        positive, negative = self._sums("class_counts")
        return positive, negative

    def answer_sums(self) -> tuple[Array, Array]:
        positive, every = self._sums("answer_sums")
        return positive, every

    def exact_gradient(self, theta: Array, with_noise: bool) -> tuple[Array, Array | None]:
        found, noise = self._sums("exact_gradient", theta, with_noise)
        return (
            self._finished(theta, 0.0 * self.m, found).gradient,
            None if noise is None else noise / self.m,
        )
