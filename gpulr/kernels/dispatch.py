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

from gpulr.backend import Backend, to_host
from gpulr.backend.compiled_functions import grouping_cost
from gpulr.backend.cuda_kernels import Kernels
from gpulr.backend.environment import setting
from gpulr.core.problem import Margins, Pass, Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets
from gpulr.errors import BackendFallbackWarning, BackendUnavailableError, warn
from gpulr.kernels.fused import FusedPass
from gpulr.kernels.plan import FUSED, Plan, obstacle, plan_for
from gpulr.kernels.recursion import Recursion, disagreement

Array = Any

# Numbers in X below which kernels are not compiled: the first time on a machine that takes a second
# or two, as long as a thousand portable passes. An estimate.
LEAST = 2**22
# How far apart the two passes may be, of the largest number: both are float32 in other orders, and
# cuBLAS may be set to use TF32 (CUPY_TF32).
AGREEMENT = 2e-3


class FusedProblem(Problem):
    """A problem on a backend that has kernels; a part of its models, or rows, is another one."""

    @cached_property
    def dispatch(self) -> Dispatch:
        """What computes the passes of this problem."""
        kernels = self.backend.kernels
        assert kernels is not None  # else it would be a Problem
        return choose(self, kernels)

    @property
    def recursion(self) -> Recursion | None:
        return self.dispatch.recursion

    @property
    def descend(self) -> Callable[[Array, Array, Array, int], tuple[Array, ...]] | None:
        return None if self.dispatch.whole is None else self.dispatch.whole.descend

    def evaluate(self, theta: Array) -> Pass:
        fused = self.dispatch.whole
        return super().evaluate(theta) if fused is None else Pass(*fused.evaluate(theta))

    def margins(self, theta: Array) -> Margins:
        fused = self.dispatch.halves
        if fused is None:
            return super().margins(theta)
        return Margins(fused.margins(theta), self.backend)

    def evaluate_margins(self, margins: Margins, theta: Array) -> Pass:
        fused = self.dispatch.halves
        if fused is None:
            return super().evaluate_margins(margins, theta)
        return Pass(*fused.evaluate_margins(margins.Z, theta))


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What computes a problem's passes, by kernels; None: array functions do."""

    whole: FusedPass | None  # whole passes
    halves: FusedPass | None  # margins, and passes from margins
    reason: str  # why, in words
    recursion: Recursion | None = None  # what L-BFGS computes between these halves


def _requested() -> str:
    """Return ``GPULR_FUSED``, or raise ParameterError if it is none of auto, never and require."""
    return setting(*FUSED)


# What this process has found out, by kernels and all that makes a difference to them; and the
# layouts tried so far, whose kernels are compiled.
_found: dict[Any, tuple[bool, bool, str]] = {}
_at_hand: dict[Any, list[Plan]] = {}
# Compiling takes as long as ten thousand passes, loading a compiled kernel as some hundred: more
# than a better layout saves once some models have converged.
WASTE = 1.4


def choose(problem: Problem, kernels: Kernels) -> Dispatch:
    """Choose what computes a problem's passes; kernels are tried once for problems like it.

    Warns of kernels that fail or are wrong, with a BackendFallbackWarning. Where they cannot be
    used, and ``GPULR_FUSED=require``, raises BackendUnavailableError.
    """
    wanted = _requested()
    if wanted == "never":
        return Dispatch(None, None, "GPULR_FUSED=never")
    reason = obstacle(problem)
    size = problem.rows.n_samples * problem.rows.n_features
    if reason is None and wanted == "auto" and size < LEAST:
        reason = f"X has {size:,} numbers; kernels are compiled from {LEAST:,} on"
    layout = None if reason else _layout(problem, kernels)
    if reason is None and layout is None:
        reason = f"too little shared memory on {kernels.card.name} for so many features"
    if reason is not None or layout is None:
        if wanted == "require":
            raise BackendUnavailableError(f"GPULR_FUSED=require, but {reason}.")
        return Dispatch(None, None, str(reason))
    # Speed depends on the layout, on how full the card is, and on how full the last group is.
    groups = -(-problem.n_models // layout.columns)
    rows = problem.rows.n_samples.bit_length()
    key = kernels, layout, groups, rows, type(problem.targets), problem.weights.weight_sets is None
    one = None
    if key not in _found:
        _found[key], one = _try_out(problem, layout, kernels, wanted)
        _at_hand.setdefault(_kind(kernels, layout), []).append(layout)
    whole, halves, reason = _found[key]
    if wanted == "require":
        whole = halves = True
    if not (whole or halves):
        return Dispatch(None, None, reason)
    if one is None:
        one = FusedPass(problem, layout, kernels)
    recursion = Recursion(problem.backend, kernels, problem.rows.n_features) if halves else None
    return Dispatch(one if whole else None, one if halves else None, reason, recursion)


def _layout(problem: Problem, kernels: Kernels) -> Plan | None:
    """Lay out a problem's passes, as earlier ones were if that wastes little."""
    best, k = plan_for(problem, kernels.card), problem.n_models
    if best is None:
        return None
    most = WASTE * grouping_cost(best.columns, k)
    known = [
        layout
        for layout in _at_hand.get(_kind(kernels, best), ())
        if layout.columns >= k or grouping_cost(layout.columns, k) <= most
    ]
    return min(known, key=lambda layout: grouping_cost(layout.columns, k), default=best)


def _kind(kernels: Kernels, layout: Plan) -> Any:
    return kernels, layout.storage, layout.features, layout.centered


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
        layout = plan_for(problem, card)
        assert layout is not None  # 20 features fit
        wrong = _disagreement(problem, FusedPass(problem, layout, kernels), _parameters(problem))
        memory = f"{card.shared_block // 1024} KiB of shared memory for a block"
        return wrong or f"works (sm_{card.capability}, {card.processors} processors, {memory})"
    except Exception as error:  # which the report is to show
        return f"failed: {type(error).__name__}: {error}"


def _try_out(
    problem: Problem, layout: Plan, kernels: Kernels, wanted: str
) -> tuple[tuple[bool, bool, str], FusedPass | None]:
    """Compare the kernels with the portable pass, at parameters drawn once, and time both.

    Returns what was found, and the pass that was tried, or None where it failed.
    """
    theta = _parameters(problem)
    try:
        one = FusedPass(problem, layout, kernels)  # copies what is not contiguous: may not fit
        wrong = _disagreement(problem, one, theta)
        if wrong is None:
            timed = (
                lambda: one.evaluate(theta),
                lambda: one.evaluate_margins(one.margins(theta), theta),
                lambda: Problem.evaluate(problem, theta),
                lambda: Problem.evaluate_margins(problem, Problem.margins(problem, theta), theta),
            )
            ours, ours_halved, theirs, theirs_halved = map(kernels.seconds, timed)
    except Exception as error:  # compilers and drivers fail in many ways; the portable pass serves
        wrong = f"{type(error).__name__}: {error}"
    if wrong is not None:
        message = f"the fused pass failed on {kernels.card.name}: {wrong}"
        if wanted == "require":
            raise BackendUnavailableError(f"GPULR_FUSED=require, but {message}.")
        warn(
            f"{message}. Training goes on by the portable pass, which is slower; GPULR_FUSED=never "
            "does so without this warning.",
            BackendFallbackWarning,
        )
        return (False, False, message), None
    words = f"fused {ours:.2e} s, portable {theirs:.2e} s a pass"
    words += f"; {ours_halved:.2e} and {theirs_halved:.2e} s in halves"
    return (ours < theirs, ours_halved < theirs_halved, words), one


def _parameters(problem: Problem) -> Array:
    """Return parameters with margins of all sizes, the same ones every time."""
    n, k = problem.rows.n_features, problem.n_models
    theta = np.random.default_rng(0).standard_normal((n + 1, k)) / np.sqrt(n)
    return problem.backend.asarray(theta)


def _disagreement(problem: Problem, one: FusedPass, theta: Array) -> str | None:
    """Say where the kernels differ from the portable pass, or None where they agree."""
    expected = Problem.evaluate(problem, theta)
    passes = {
        "the whole pass": one.evaluate(theta),
        "the pass from margins": one.evaluate_margins(one.margins(theta), theta),
    }
    for name, got in passes.items():
        for what, ours, theirs in zip(("cost", "gradient"), got, expected, strict=True):
            a, b = to_host(ours), to_host(theirs)
            apart, largest = np.abs(a - b).max(initial=0.0), np.abs(b).max(initial=0.0)
            if not apart <= AGREEMENT * largest:
                return f"{name}'s {what} is off by {apart:.1e}, of {largest:.1e}"
    return disagreement(problem.backend, one.kernels)
