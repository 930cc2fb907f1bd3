"""Problems whose passes go through the fused kernels: by size, a check and measured speed.

``GPULR_FUSED=never`` does without them, ``=require`` makes it an error where they cannot be used;
with ``auto``, the default, they are used where they have been found right, and faster than the
portable pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gpulr.backend import Backend
from gpulr.backend.cuda_kernels import Kernels
from gpulr.backend.environment import setting
from gpulr.core.problem import Margins, Pass, Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets
from gpulr.errors import BackendUnavailableError
from gpulr.kernels.agreement import parameters, passes_disagree
from gpulr.kernels.fused import FusedPass
from gpulr.kernels.plan import FUSED, MOST_FEATURES, obstacle
from gpulr.kernels.recursion import Recursion, disagreement
from gpulr.kernels.step import Step
from gpulr.kernels.tensor_plan import layouts_for
from gpulr.kernels.trials import (
    Found,
    Trials,
    quickest,
    recursion_fails,
    try_out,
    with_memory,
)

Array = Any

# Numbers in X below which kernels are not compiled: the first time on a machine that takes a second
# or two, as long as a thousand portable passes. An estimate.
LEAST = 2**22


class FusedProblem(Problem):
    """A problem on a backend that has kernels; a part of its models, or rows, is another one."""

    @cached_property
    def dispatch(self) -> Dispatch:
        """What computes the passes of this problem."""
        kernels = self.backend.kernels
        assert kernels is not None  # else it would be a Problem
        return choose(self, kernels)

    @cached_property
    def recursion(self) -> Recursion | None:
        kernels = self.backend.kernels
        assert kernels is not None
        return recursion_for(self, kernels)

    @cached_property
    def stepping(self) -> Step | None:
        return None if self.dispatch.halves is None else Step(self.dispatch.halves)

    @property
    def descend(self) -> Callable[[Array, Array, Array, int], tuple[Array, ...]] | None:
        return None if self.dispatch.whole is None else self.dispatch.whole.descend

    def evaluate(self, theta: Array) -> Pass:
        fused = self.dispatch.whole
        return super().evaluate(theta) if fused is None else Pass(*fused.evaluate(theta))

    def margins(self, theta: Array, whole: Array | None = None) -> Margins:
        fused = self.dispatch.halves
        if fused is None:
            return super().margins(theta, whole)
        return Margins(fused.margins(theta), self.backend)

    def evaluate_margins(self, margins: Margins, theta: Array | None = None) -> Pass:
        fused, theta = self.dispatch.halves, self.start() if theta is None else theta
        if fused is None:
            return super().evaluate_margins(margins, theta)
        return Pass(*fused.evaluate_margins(margins.Z, theta))


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What computes a problem's passes, by kernels; None: array functions do."""

    whole: FusedPass | None  # whole passes
    halves: FusedPass | None  # margins, and passes from margins
    reason: str  # why, in words


def _requested() -> str:
    """Return ``GPULR_FUSED``, or raise ParameterError if it is none of auto, never and require."""
    return setting(*FUSED)


# What this process has found out: by kind of layout; and by kernels, how those of L-BFGS fail.
_trials: dict[Any, Trials] = {}
_recursion_fails: dict[Kernels, str | None] = {}


def choose(problem: Problem, kernels: Kernels) -> Dispatch:
    """Choose what computes a problem's passes; kernels are tried once for problems like it.

    Warns of kernels that fail or are wrong, with a BackendFallbackWarning. Where they cannot be
    used, and ``GPULR_FUSED=require``, raises BackendUnavailableError.
    """
    wanted = _requested()
    reason = _not_compiled(problem, wanted) or obstacle(problem)
    layouts = [] if reason else layouts_for(problem, kernels.card)
    if reason is None and not layouts:
        reason = f"too little shared memory on {kernels.card.name} for so many features"
    if not layouts:
        if wanted == "require":
            raise BackendUnavailableError(f"GPULR_FUSED=require, but {reason}.")
        return Dispatch(None, None, str(reason))
    kind = kernels, str(problem.rows.X.dtype), layouts[-1].features, layouts[-1].centered
    trials, k = _trials.setdefault(kind, Trials()), problem.n_models
    weighted = problem.weights.weight_sets is None, problem.targets.positive is None
    reads = type(problem.targets), *weighted
    tried: dict[int, tuple[Found, FusedPass | None]] = {}
    for best in trials.contenders(layouts):
        layout = trials.layout(best, k)
        # Speed depends on the layout, and on how full the card is.
        work = problem.rows.n_samples * -(-k // layout.columns)
        known, one = trials.nearest(layout, work, reads), None
        if known is None:
            known, one = try_out(problem, layout, kernels, wanted, work, reads)
            trials.found.append(known)
        tried[id(known)] = known, one
    found, one = tried[id(quickest([known for known, _ in tried.values()]))]
    whole, halves, reason = found.whole, found.halves, found.reason
    if wanted == "require":
        whole = halves = True
    if (whole or halves) and one is None:
        try:
            one = with_memory(problem.backend, lambda: FusedPass(problem, found.layout, kernels))
        except Exception as error:
            if wanted == "require" or not problem.backend.ran_out(error):
                raise
            reason = f"there is no memory for it: {error}"
    kernels.notes["passes"] = reason
    if one is None:
        return Dispatch(None, None, reason)
    return Dispatch(one if whole else None, one if halves else None, reason)


def recursion_for(problem: Problem, kernels: Kernels) -> Recursion | None:
    """Return L-BFGS's kernels, which pay beside any pass; None: they are not used.

    They are tried out once, as :func:`choose` does, and warned of.
    """
    wanted = _requested()
    if _not_compiled(problem, wanted) is not None or problem.rows.n_features > MOST_FEATURES:
        return None  # of more features there may be too little shared memory
    backend = problem.backend
    if kernels not in _recursion_fails:
        _recursion_fails[kernels] = recursion_fails(backend, kernels, wanted)
    if _recursion_fails[kernels] is not None:
        return None
    return Recursion(backend, kernels, problem.rows.n_features)


def _not_compiled(problem: Problem, wanted: str) -> str | None:
    """Say why nothing is compiled for a problem, or None where it may be."""
    if wanted == "never":
        return "GPULR_FUSED=never"
    size = problem.rows.n_samples * problem.rows.n_features
    if wanted == "auto" and size < LEAST:
        return f"X has {size:,} numbers; kernels are compiled from {LEAST:,} on"
    return None


def trials(backend: Backend) -> list[tuple[str, str]]:
    """Try out what passes may use beyond the array library, and say what came of it."""
    return [] if backend.kernels is None else [("fused pass", trial(backend, backend.kernels))]


def trial(backend: Backend, kernels: Kernels) -> str:
    """Try the kernels on a few made-up rows, and say what came of it, whatever their speed."""
    try:
        if _requested() == "never":
            return "not used: GPULR_FUSED=never"
        X = backend.asarray(np.arange(64 * 20, dtype=np.uint8).reshape(64, 20))
        codes = backend.asarray(np.arange(64, dtype=np.int32) % 3)
        table = backend.asarray(np.eye(3, dtype=np.float32))
        C = backend.asarray(np.ones(3))
        rows = Rows(X, 1.0 / 255.0, None, backend, backend.xp.float32)
        problem = Problem.of(rows, ClassTargets(codes, table, backend), C)
        card = kernels.card
        wrong = None
        for layout in layouts_for(problem, card):
            one = FusedPass(problem, layout, kernels)
            wrong = wrong or passes_disagree(problem, one, parameters(problem))
        wrong = wrong or disagreement(backend, kernels)
        memory = f"{card.shared_block // 1024} KiB of shared memory for a block"
        return wrong or f"works (sm_{card.capability}, {card.processors} processors, {memory})"
    except Exception as error:  # which the report is to show
        return f"failed: {type(error).__name__}: {error}"
