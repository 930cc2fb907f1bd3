"""How far a run of a solver has come: an object to go on with, also from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.core.problem import Problem
from gpulr.solvers.solver import check_models

Array = Any
Floats = npt.NDArray[np.float64]

# As in Solution; and the norm at which a column is looked at: whether it has converged.
ENDS = {
    **dict.fromkeys(("n_iter", "refreshes"), np.int64),
    **dict.fromkeys(("converged", "stalled", "rounding"), np.bool_),
}
COLUMN = np.dtype([*ENDS.items(), ("goal", np.float64)])
STORED = "state", "active", "ending", "figures", "burst", "iteration", "seconds"


@dataclass(frozen=True, slots=True)
class Run:
    """How far a run has come: with what it is to do, all that is needed to go on."""

    problem: Problem  # of the columns in training
    state: Any  # the solver's, of these
    active: npt.NDArray[np.int64]  # which columns these are
    ending: npt.NDArray[np.bool_]  # which of them the last burst ended, so that they leave
    figures: Floats  # (2, n_models), cost and gradient norm where each column is, or ended
    columns: npt.NDArray[Any]  # (n_models,) of COLUMN: what is known of the end of each
    burst: int = 1  # iterations until the figures are looked at again
    iteration: int = -1  # how many are done; before the start is known, -1
    seconds: float = 0.0  # when the last one was
    # Figures and seconds of each iteration: the list of the run before, with more entries.
    history: list[tuple[Floats, float]] = field(default_factory=list)
    # Columns that have ended, and their parameters.
    ended: tuple[tuple[npt.NDArray[np.int64], Array], ...] = ()
    result: str = ""  # as in Solution; empty while the run goes on
    beyond: int = 0  # how many iterations the state is further, of a run that ended in a burst

    def stored(self) -> dict[str, Any]:
        """Return what of a run that goes on is in a file; history and ends of columns as arrays."""
        done = self.history[: self.iteration + 1]  # which later runs have added to
        which, thetas = zip(*self.ended, strict=True) if self.ended else ((), ())
        xp = self.problem.backend.xp
        return {
            **{name: getattr(self, name) for name in STORED},
            "columns": {name: self.columns[name].copy() for name in COLUMN.names or ()},
            "history": np.stack([figures for figures, _ in done]),
            "times": np.array([seconds for _, seconds in done]),
            "ended": (np.concatenate(which), xp.concat(list(thetas), axis=1)) if which else None,
        }

    @classmethod
    def restored(cls, read: Callable[..., Any], problem: Problem) -> Run:
        """Return a run of ``problem`` from what :meth:`stored` returned, whose items are read.

        Raises ValueError and the like where that does not fit the problem.
        """
        k, active, named = problem.n_models, read("active"), read("columns")
        columns = np.zeros(k, COLUMN)
        for name in COLUMN.names or ():
            columns[name] = named[name]
        if len(active) < k:
            problem = problem.select(problem.backend.asarray(active))
        ended, times = read("ended", problem), read("times")
        run = cls(
            problem,
            **{name: read(name, problem) for name in STORED},
            columns=columns,
            history=list(zip(read("history"), times.tolist(), strict=True)),
            ended=() if ended is None else (ended,),
        )
        run._check()
        return run

    def _check(self) -> None:
        """Raise ValueError unless arrays are of the problem's columns."""
        n, k, a = self.problem.rows.n_features + 1, len(self.columns), len(self.active)
        none = np.zeros(0, np.int64), np.zeros((n, 0))
        gone, theta = self.ended[0] if self.ended else none
        expected = [
            (self.active, (a,), "int64"),
            (gone, (len(gone),), "int64"),
            (self.ending, (a,), "bool"),
            (self.figures, (2, k), "float64"),
            *((figures, (2, k), "float64") for figures, _ in self.history),
            (theta, (n, len(gone)), "float64"),
            (self.state.theta, (n, a), "float64"),
        ]
        for array, shape, dtype in expected:
            if tuple(array.shape) != shape or not str(array.dtype).endswith(dtype):
                raise ValueError(f"an array of {array.dtype} {tuple(array.shape)}, not {shape}")
        every = np.sort(np.concatenate([self.active[~self.ending], gone]))
        counts = self.iteration + 1 == len(self.history), self.burst > 0, self.seconds >= 0.0
        if not (np.array_equal(every, np.arange(k)) and all(counts)):
            raise ValueError("columns that are neither in training nor done")
        check_models(self.state, a)
