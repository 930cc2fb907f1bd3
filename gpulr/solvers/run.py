"""How far a run of a solver has come: an object to go on with, also from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from gpulr.core.problem import Problem
from gpulr.solvers.restoring import check_parameters, record_of
from gpulr.solvers.solver import State

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
    state: State  # the solver's, of these
    active: Annotated[npt.NDArray[np.int64], "(n_models,)"]  # which columns these are
    # which of them the last burst ended, so that they leave
    ending: Annotated[npt.NDArray[np.bool_], "(n_models,)"]
    # cost and gradient norm where each column is, or ended
    figures: Annotated[Floats, "(2, n_columns)"]
    # of COLUMN: what is known of the end of each
    columns: Annotated[npt.NDArray[Any], "(n_columns,)"]
    burst: int = 1  # iterations until the figures are looked at again
    iteration: int = -1  # how many are done; before the start is known, -1
    seconds: float = 0.0  # when the last one was
    # Figures and seconds of each iteration: the list of the run before, with more entries.
    history: list[tuple[Annotated[Floats, "(2, n_columns)"], float]] = field(default_factory=list)
    # Columns that have ended, and their parameters: (n_ended,), and (n_features + 1, n_ended).
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
        columns = record_of(named, (k,), COLUMN)
        if len(active) < k:
            problem = problem.select(problem.backend.asarray(active))
        ended, times = read("ended", problem), read("times")
        if times.dtype != np.float64:
            raise ValueError(f"times of {times.dtype}")
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
        """Raise ValueError unless every column is in training or done."""
        done = self.ended[0][0] if self.ended else self.active[:0]
        going, leaving = self.active[~self.ending], self.active[self.ending]
        n, dtype = self.problem.rows.n_features + 1, self.state.theta.dtype
        fit = all(
            gone.dtype == np.int64 and tuple(theta.shape) == (n, len(gone)) and theta.dtype == dtype
            for gone, theta in self.ended
        )
        every = np.sort(np.concatenate([going, done]))
        fit &= np.array_equal(every, np.arange(len(self.columns)))
        fit &= bool(np.isin(leaving, done).all()) and len(np.unique(leaving)) == len(leaving)
        fit &= self.iteration + 1 == len(self.history) and self.burst > 0 and self.seconds >= 0.0
        if not fit:
            raise ValueError("columns that are neither in training nor done")
        for theta in (self.state.theta, *(theta for _, theta in self.ended)):
            check_parameters(theta)
