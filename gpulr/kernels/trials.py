"""What kernels are tried out with: whether they are right here, and how fast; what was found."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gpulr.backend import Backend
from gpulr.backend.compiled_functions import grouping_cost
from gpulr.backend.cuda_kernels import Kernels
from gpulr.core.problem import Problem
from gpulr.errors import BackendFallbackWarning, BackendUnavailableError, warn
from gpulr.kernels.agreement import parameters, passes_disagree
from gpulr.kernels.fused import FusedPass
from gpulr.kernels.recursion import disagreement
from gpulr.kernels.tensor_plan import Layout

Array = Any
T = TypeVar("T")

# Layouts of one kind that are tried in a process. Each is compiled, which takes as long as ten
# thousand passes, and a search whose models converge would come to ever smaller problems.
MOST_TRIALS = 3
ALIKE = 4.0  # what was found out at this many times the work, or a part of it, is not tried again
# Loading a compiled kernel takes as long as some hundred passes: more than a better layout saves
# once some models have converged.
WASTE = 1.4
# Of two kernels, the one that should be slower is taken where its passes take less than this part
# of the other's time: less tells nothing, where a device waits for its launches.
CLEARLY = 0.9


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a trial."""

    layout: Layout
    work: float  # rows, times groups of models
    reads: Any  # which targets and weights there were: other ways through the kernels
    whole: bool  # whether whole passes are right, and faster
    halves: bool
    reason: str
    seconds: float  # a whole pass and one in halves; infinite where they are not right
    remembered: bool = True  # False: memory ran out, which tells nothing of other problems


@dataclass(slots=True)
class Trials:
    """What this process has found out about layouts of one kind: its rows, on one device."""

    found: list[Found] = field(default_factory=list)

    def contenders(self, layouts: Sequence[Layout]) -> Sequence[Layout]:
        """Return layouts less those of the kernel that was slower, where two have been tried."""
        first = {type(f.layout): f for f in reversed(self.found) if f.remembered}
        both = [first[type(layout)] for layout in layouts if type(layout) in first]
        if len(both) < len(layouts):
            return layouts
        best = type(quickest(both).layout)
        return [layout for layout in layouts if type(layout) is best]

    def layout(self, best: Layout, models: int) -> Layout:
        """Return a layout of the same kernel: an earlier one if that wastes little, or must do."""
        most = WASTE * grouping_cost(best.columns, models)
        if len(self.found) >= MOST_TRIALS:
            most = math.inf
        known = [f.layout for f in self.found if f.remembered and type(f.layout) is type(best)]
        fitting = [
            layout
            for layout in known
            if layout.columns >= models or grouping_cost(layout.columns, models) <= most
        ]
        return min(fitting, key=lambda each: grouping_cost(each.columns, models), default=best)

    def nearest(self, layout: Layout, work: float, reads: Any) -> Found | None:
        """Return what was found in the most similar case; None: this one is to be tried."""

        def distance(found: Found) -> tuple[bool, float]:
            return found.reads != reads, abs(math.log(found.work / work))

        known = [f for f in self.found if f.remembered and f.layout == layout]
        nearest = min(known, key=distance, default=None)
        if len(self.found) >= MOST_TRIALS:
            words = "no trial is left"
            return nearest or Found(layout, work, reads, False, False, words, math.inf)
        if nearest is None or distance(nearest) > (False, math.log(ALIKE)):
            return None
        return nearest


def quickest(found: Sequence[Found]) -> Found:
    """Return one of several: the first, unless another is clearly quicker."""
    best = found[0]
    for other in found[1:]:
        if other.seconds < CLEARLY * best.seconds:
            best = other
    return best


def with_memory(backend: Backend, function: Callable[[], T]) -> T:
    """Call a function; where memory runs out, once more with all that can be given back."""
    try:
        return function()
    except Exception as error:
        if not backend.ran_out(error):
            raise
        traceback.clear_frames(error.__traceback__)
    backend.free()
    return function()


def try_out(
    problem: Problem, layout: Layout, kernels: Kernels, wanted: str, work: float, reads: Any
) -> tuple[Found, FusedPass | None]:
    """Compare the kernels with the portable pass, at parameters drawn once, and time both.

    Returns what was found, and the pass that was tried, or None where it failed.
    """
    one, remembered, serves = None, True, "Training goes on by the portable pass, which is slower"
    try:
        one, wrong, seconds = with_memory(
            problem.backend, lambda: _compared(problem, layout, kernels)
        )
    except Exception as error:  # compilers and drivers fail in many ways; the portable pass serves
        wrong = f"{type(error).__name__}: {error}"
        if problem.backend.ran_out(error):
            if wanted == "require":
                raise
            remembered, serves = False, "Training goes on by the portable pass, in smaller blocks"
        elif problem.backend.lost() is not None:
            raise
    if wrong is not None:
        message = f"the {layout.name} failed on {kernels.card.name}: {wrong}"
        _tell(message, wanted, serves)
        return Found(layout, work, reads, False, False, message, math.inf, remembered), None
    ours, ours_halved, theirs, theirs_halved = seconds
    words = f"{layout.name} {ours:.2e} s, portable {theirs:.2e} s a pass"
    words += f"; {ours_halved:.2e} and {theirs_halved:.2e} s in halves"
    faster = ours < theirs, ours_halved < theirs_halved
    return Found(layout, work, reads, *faster, words, ours + ours_halved), one


def recursion_fails(backend: Backend, kernels: Kernels, wanted: str) -> str | None:
    """Try L-BFGS's kernels out, and say how they fail, or None where they do not."""
    try:
        wrong = with_memory(backend, lambda: disagreement(backend, kernels))
    except Exception as error:  # as above
        if backend.ran_out(error) or backend.lost() is not None:
            raise
        wrong = f"{type(error).__name__}: {error}"
    if wrong is not None:
        message = f"kernels of L-BFGS failed on {kernels.card.name}: {wrong}"
        _tell(message, wanted, "Array functions serve, which are slower")
    return wrong


def _tell(message: str, wanted: str, serves: str) -> None:
    if wanted == "require":
        raise BackendUnavailableError(f"GPULR_FUSED=require, but {message}.")
    warn(
        f"{message}. {serves}; GPULR_FUSED=never does so without this warning.",
        BackendFallbackWarning,
    )


def _compared(
    problem: Problem, layout: Layout, kernels: Kernels
) -> tuple[FusedPass, str | None, list[float]]:
    """Return the fused pass, where it is wrong, and seconds of it, its halves, and the portable."""
    theta = parameters(problem)
    one = FusedPass(problem, layout, kernels)  # copies what is not contiguous: may not fit
    wrong = passes_disagree(problem, one, theta)
    if wrong is not None:
        return one, wrong, []
    timed = (
        lambda: one.evaluate(theta),
        lambda: one.evaluate_margins(one.margins(theta), theta),
        lambda: Problem.evaluate(problem, theta),
        lambda: Problem.evaluate_margins(problem, Problem.margins(problem, theta), theta),
    )
    return one, None, [kernels.seconds(function) for function in timed]
