"""bootstrap(): how far the weights would vary with other rows of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory
from gpulr.core.problem import Problem
from gpulr.errors import ConvergenceWarning, ParameterError, TrainingInterrupted, warn
from gpulr.families.advice import Ends, how_to_converge
from gpulr.families.inputs import read_inputs
from gpulr.families.interrupt import closing, ctrl_c
from gpulr.families.intervals import Bootstrap
from gpulr.families.prepare import TrainingData, prepare
from gpulr.families.replicates import Replicates, seeds_of
from gpulr.families.settings import Settings
from gpulr.solvers import Solution, minimize
from gpulr.solvers.solution import Callback
from gpulr.validation.parameters import callables, inverse_penalty, whole_number
from gpulr.words import shown

START_TOL = 1e-4  # of the fit that replicates start from, where their own is yet to be chosen
ENDED = ("stopped", "interrupted")


@host_memory
def bootstrap(
    X: Any,
    y: Any = None,
    *,
    n: int = 200,
    weights: str = "poisson",
    random_state: int | np.random.Generator | None = None,
    backend: str = "auto",
    C: float | npt.ArrayLike = 1.0,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    scale: float | str | None = "auto",
    standardize: bool = False,
    max_iter: int = 2000,
    tol: float | None = None,
    dtype: npt.DTypeLike = "float32",
    callbacks: Sequence[Callback] = (),
) -> Bootstrap:
    """Train every model on ``n`` resamples of the rows as well, as columns of one weight matrix.

    A replicate counts each row as often as it was drawn: it is what :func:`gpulr.train` finds with
    these counts as ``sample_weight``. ``C`` is the same for all, which is what an equal C means to
    scikit-learn on the resampled rows: the penalty is 1/(C m), with m the replicate's own sum of
    weights. Scale, centre and class weights are those of all rows.

    Parameters
    ----------
    X, y, backend, C, class_weight, scale, standardize, max_iter, dtype
        As :func:`gpulr.train` takes them. The solver is L-BFGS; ``max_iter`` is that of each group.
    n : int
        Replicates, at least 2. The ends of 95 % intervals want some hundreds.
    weights : "poisson" or "multinomial"
        How often a row is drawn: Poisson(1) each, independently, or as many draws with replacement
        as there are rows. A replicate in which some model has no row to answer with 1, or none
        with 0, is drawn again: the bootstrap is one given that every class is seen.
    random_state : int, Generator or None
        What :func:`numpy.random.default_rng` takes. Each replicate has its own stream, so that of a
        larger ``n`` the first are the same.
    sample_weight : (n_samples,), optional
        Goes with its row: a row of weight 2 is drawn as one row. Rows of weight 0 are not drawn.
    tol : float, optional
        As in :func:`gpulr.train`. None: 0.003 of how much gradients differ between replicates
        at the model of all rows, at most 1e-4. (With many rows, train's is nearly met at the start,
        and intervals come out wrong.) It is one number for all features; where these differ by
        orders of magnitude, use ``standardize``.
    callbacks : sequence of callables
        As in :func:`gpulr.train`. ``Progress.models`` counts columns: first those of the model of
        all rows, then those of each replicate, in groups as large as memory allows (1 GiB).
        ``StopIteration`` ends training; the replicates of groups that are done are returned.

    Returns
    -------
    Bootstrap

    Raises
    ------
    DataError
        As :func:`gpulr.train`, and for classes so small that no draw has rows of all.
    ParameterError
        A setting cannot be used.
    BackendUnavailableError, DivergenceError
        As :func:`gpulr.train`.
    TrainingInterrupted
        Ctrl-C; its ``model`` is that of all rows.

    Warns
    -----
    ConvergenceWarning, BackendFallbackWarning, ScaleWarning

    Examples
    --------
    >>> import gpulr
    >>> data = gpulr.datasets.load_digits()
    >>> result = gpulr.bootstrap(data.X, data.y % 2, n=20, random_state=0)
    >>> result.coef.shape
    (20, 64, 1)
    """
    settings = Settings.checked(
        scale=scale,
        standardize=standardize,
        max_iter=max_iter,
        tol=START_TOL if tol is None else tol,
        dtype=dtype,
    )
    n = whole_number("n", n, least=2)
    if not isinstance(weights, str) or weights not in ("poisson", "multinomial"):
        raise ParameterError(f'weights={shown(weights)}; use "poisson" or "multinomial".')
    seeds = seeds_of(random_state, n)
    callbacks = callables(callbacks)
    inputs = read_inputs(X, y, None).weighted(sample_weight, class_weight)
    C = inverse_penalty(C, inputs.labels.n_models)
    with (
        prepare(
            inputs,
            settings,
            requested=backend,
            n_passes=min(settings.max_iter, 20),
            n_sets=n + 1,
            together=inputs.labels.n_models,
        ) as data,
        ctrl_c() as interrupted,
        closing(callbacks),
    ):
        task = _Task.of(
            Replicates(data, C, weights, seeds), callbacks=callbacks, interrupted=interrupted
        )
        state = _State(settings.tol, choose_tol=tol is None)
        while not state.complete:
            state = task.step(state)
    data = replace(data, settings=replace(settings, tol=state.tol))
    assert state.whole is not None
    model = data.model(state.whole, C)
    if state.ended == "interrupted":
        raise TrainingInterrupted(
            "The bootstrap was interrupted. The model of all rows is in `.model` of this "
            "exception; replicates are not kept.",
            model,
        )
    ended, parts = state.whole.result in ENDED, [p for p in state.parts if p.result not in ENDED]
    if data.settings.tol > 0 and not ended:
        _warn_not_converged(state.whole, parts, data)
    converged = np.concatenate([np.zeros(0, np.bool_), *(part.converged for part in parts)])
    converged = converged.reshape(-1, data.n_models)
    theta = np.hstack([np.zeros((data.rows.n_features + 1, 0)), *(part.theta for part in parts)])
    arrays = data.parameters(theta, sets=(len(converged),))
    return Bootstrap(
        model=model,
        coef=arrays["weights"],
        intercept=arrays["intercept"],
        converged=converged,
        intercept_at_center=arrays.get("intercept_at_center"),
    )


@dataclass(frozen=True, slots=True)
class _State:
    """How far a bootstrap has come: all that is needed to go on.

    Attributes
    ----------
    tol : float
    choose_tol : bool
        Whether that is still to be chosen, by what resampling does to the gradients.
    whole : Solution or None
        Of all rows.
    groups : tuple of range
        Replicates that are trained together.
    parts : tuple of Solution
        Of the groups that have been trained.
    """

    tol: float
    choose_tol: bool
    whole: Solution | None = None
    groups: tuple[range, ...] = ()
    parts: tuple[Solution, ...] = ()

    @property
    def ended(self) -> str:
        """How a callback or an interrupt ended it, or nothing."""
        results = [part.result for part in (self.whole, *self.parts) if part is not None]
        return results[-1] if results and results[-1] in ENDED else ""

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to train."""
        done = bool(self.groups) and len(self.parts) == len(self.groups)
        return done or bool(self.ended)


@dataclass(frozen=True, slots=True)
class _Task:
    """What a bootstrap trains, and how: ``run`` is :func:`minimize` with all but the problem."""

    every: Problem
    replicates: Replicates
    run: Callable[..., Solution]
    column_bytes: int

    @classmethod
    def of(cls, replicates: Replicates, **calls: Any) -> _Task:
        """Return it; what all columns share is prepared."""
        data = replicates.data
        method, every = data.settings.method(), data.problem(replicates.C)
        max_iter = data.settings.max_iter
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large is told by an error
            prepared = method.prepare(every) if max_iter else None
        run = partial(minimize, method, prepared=prepared, max_iter=max_iter, **calls)
        return cls(every, replicates, run, method.column_bytes(data.rows))

    def step(self, state: _State) -> _State:
        """Train the model of all rows; or that again, to a tolerance; or the next replicates."""
        whole, asarray = state.whole, self.every.backend.asarray
        if whole is None:
            state = replace(state, whole=self.run(self.every, tol=state.tol))
        elif state.choose_tol:
            tol = min(START_TOL, self.replicates.tolerance(whole.theta))
            if tol < START_TOL:
                whole = self.run(self.every, tol=tol, start=asarray(whole.theta))
            state = replace(state, tol=tol, choose_tol=False, whole=whole)
        elif not state.groups:
            groups = self.replicates.groups(self.column_bytes)
            state = replace(state, groups=tuple(groups))
        else:
            group, k = state.groups[len(state.parts)], self.every.n_models
            part = self.run(
                self.replicates.problem(group),
                tol=state.tol,
                start=asarray(np.tile(whole.theta, (1, len(group)))),
                models=np.arange((group.start + 1) * k, (group.stop + 1) * k),
            )
            state = replace(state, parts=(*state.parts, part))
        return state


def _warn_not_converged(whole: Solution, parts: Sequence[Solution], data: TrainingData) -> None:
    """Warn once for all that did not converge, with what to change."""
    each = [whole, *parts]
    left = [int((~part.converged).sum()) for part in each]
    names = ("converged", "stalled", "rounding")
    ends = Ends(
        np.concatenate([part.gradient_norm[-1] for part in each]),
        *(np.concatenate([getattr(part, name) for part in each]) for name in names),
    )
    largest = f"{ends.gradient_norm.max():.1e}"
    advice = how_to_converge(
        ends,
        data.rows,
        data.settings,
        who=f"{sum(left[1:])} of {sum(len(part.converged) for part in parts)} models of "
        f"replicates, and {left[0]} of {len(whole.converged)} of all rows,",
        which=f"; the largest gradient entry is {largest}",
        use="They are part of the intervals; for closer optima",
        or_else=", or lower C",
    )
    if advice:
        warn(advice.message, ConvergenceWarning)
