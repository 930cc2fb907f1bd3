"""bootstrap(): how far the weights would vary with other rows of the same kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory, to_host
from gpulr.errors import (
    ConvergenceWarning,
    ParameterError,
    TrainingInterrupted,
    WorkersLostError,
    warn,
)
from gpulr.families.advice import Advice, ends_of, how_to_converge
from gpulr.families.checkpoint import checkpointed
from gpulr.families.checkpoint_place import place_of
from gpulr.families.fingerprint import Fingerprint, fingerprint_of
from gpulr.families.interrupt import closing, ctrl_c
from gpulr.families.intervals import Bootstrap
from gpulr.families.prepare import prepare
from gpulr.families.reading import read_inputs
from gpulr.families.replicates import KEPT, START_TOL, Replicates
from gpulr.families.seeds import seeds_of, told
from gpulr.families.settings import Settings
from gpulr.families.training_data import TrainingData
from gpulr.model.one_vs_all import OneVsAll
from gpulr.solvers import Solution
from gpulr.solvers.driver import EARLY
from gpulr.solvers.solution import Callback
from gpulr.validation.parameters import callables, inverse_penalty, whole_number
from gpulr.words import counted, shown

WAYS = ("poisson", "multinomial")  # to draw rows


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
    pos_weight: float | npt.ArrayLike | None = None,
    scale: float | str | None = "auto",
    standardize: bool = False,
    max_iter: int = 2000,
    tol: float | None = None,
    dtype: npt.DTypeLike = "float32",
    callbacks: Sequence[Callback] = (),
    image_shape: tuple[int, ...] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: float | None = 60.0,
) -> Bootstrap:
    """Train every model on ``n`` resamples of the rows as well, as columns of one weight matrix.

    A replicate counts each row as often as it was drawn: :func:`gpulr.train` finds the same with
    these counts as ``sample_weight``. Scale and centre are those of all rows;
    ``class_weight="balanced"`` counts the rows that were drawn. ``C`` is the same for all, as it
    would be for scikit-learn on the resampled rows: the penalty is 1/(C m), with m the replicate's
    own sum of weights.

    Parameters
    ----------
    X, y, backend, C, class_weight, pos_weight, scale, standardize, max_iter, dtype, image_shape
        As for :func:`gpulr.train`. The solver is L-BFGS, and ``max_iter`` is the limit of each
        group. On a cluster, the workers draw the same rows as a single process would, so each draws
        the rows of all.
    n : int
        Number of replicates, at least 2. The ends of 95 % intervals need some hundreds.
    weights : "poisson" or "multinomial"
        How rows are drawn: "poisson" draws each row a Poisson(1) number of times, independently;
        "multinomial" draws as many rows as there are, with replacement. A replicate is drawn again
        if some model has no row to answer with 1 in it, or none to answer with 0: the bootstrap is
        conditional on every class being seen.
    random_state : int, Generator or None
        Seed of the draws, as for :func:`numpy.random.default_rng`. Each replicate has its own
        stream, so a larger ``n`` begins with the same replicates.
    sample_weight : (n_samples,), optional
        Weight of each row, which stays with the row: a row of weight 2 is drawn as one row. Rows of
        weight 0 are not drawn.
    tol : float, optional
        Tolerance, as for :func:`gpulr.train`. None is 0.003 of how much gradients differ between
        replicates at the model of all rows, and at most 1e-4. (With many rows, the default of
        ``train`` is nearly met at the start, and intervals would come out wrong.) It is one number
        for all features; if these differ by orders of magnitude, use ``standardize``.
    callbacks : sequence of callables
        As for :func:`gpulr.train`. ``Progress.models`` counts columns: first those of the model of
        all rows, then those of each replicate, in groups as large as memory allows (1 GiB).
        ``StopIteration`` ends training; the replicates of groups that are done are returned.
    checkpoint, checkpoint_every : path, and float or None; optional
        As for :func:`gpulr.train`: the same call again continues from there, with the same draws
        (with ``random_state=None``, those of the first call). If the bootstrap is done, the call
        returns it at once. With a larger ``max_iter``, the first replicate that had too few
        iterations begins anew, and so do all after it.

    Returns
    -------
    Bootstrap

    Raises
    ------
    DataError
        As :func:`gpulr.train`; or some classes are so small that no draw has rows of all.
    ParameterError, BackendUnavailableError, DivergenceError
        As :func:`gpulr.train`.
    CheckpointError
        The ``checkpoint`` file is no checkpoint, or belongs to another bootstrap.
    TrainingInterrupted
        Ctrl-C was pressed; the error's ``model`` is that of all rows, and its ``result`` has the
        replicates of the groups that were done.
    WorkersLostError
        A cluster is gone; the error's ``model`` is that of all rows.

    Warns
    -----
    ConvergenceWarning, BackendFallbackWarning, ScaleWarning, ResumedWarning, CheckpointWarning

    Examples
    --------
    >>> import gpulr
    >>> data = gpulr.datasets.load_digits()
    >>> result = gpulr.bootstrap(data.X, data.y % 2, n=20, random_state=0)
    >>> result.coef.shape
    (20, 64, 1)
    """
    settings = Settings(
        scale=scale,
        standardize=standardize,
        max_iter=max_iter,
        tol=START_TOL if tol is None else tol,
        dtype=dtype,
    )
    n = whole_number("n", n, least=2)
    check_weights(weights)
    seeds = seeds_of(random_state, n)
    callbacks = callables(callbacks)
    place = place_of(checkpoint, checkpoint_every)
    inputs = read_inputs(X, y, image_shape, elsewhere=True).weighted(
        sample_weight, class_weight, pos_weight
    )
    k = inputs.labels.n_models
    C = inverse_penalty(C, k)
    n_passes = min(settings.max_iter, 20)
    with (
        prepare(
            inputs, settings, requested=backend, n_passes=n_passes, C=C, n_sets=n + 1, group_size=k
        ) as data,
        ctrl_c(terminated=place is not None) as interrupted,
        closing(callbacks),
    ):

        def fingerprint() -> Fingerprint:
            how = {"n": n, "weights": weights, "C": C, "tol": tol}
            how["random_state"] = told(random_state, seeds)
            return fingerprint_of("bootstrap", inputs, settings, data.rows.backend, **how)

        with checkpointed(place, fingerprint, KEPT, backend=data.rows.backend) as kept:
            replicates = Replicates(
                data, C, weights, callbacks, interrupted, kept.offer, tol_is_chosen=tol is not None
            )
            state, progress = kept.read(replicates, replicates.within)
            state = state or progress or replicates.begin(seeds)
            try:
                while not replicates.complete(state):
                    state = replicates.step(state)
            except WorkersLostError as lost:
                whole = state.parts[0] if state.parts else lost.solution
                lost.model = None if whole is None else data.model(whole, C)
                raise
            if state.ended:
                kept.keep()
            else:
                kept.finish(state)
    data = replace(data, settings=replace(settings, tol=state.tol))
    whole, parts = state.parts[0], [part for part in state.parts[1:] if part.result not in EARLY]
    result = _result(data, data.model(whole, C), parts)
    if state.ended == "interrupted":
        raise TrainingInterrupted(
            f"The bootstrap was interrupted after {result.n_replicates} of "
            f"{counted(n, 'replicate')}; these are in `.result` of this exception, and the model "
            f"of all rows in its `.model`.{kept.way_on}",
            result.model,
            result,
        )
    if data.settings.tol > 0 and whole.result not in EARLY:
        advice = _advice(whole, parts, data)
        if advice:
            warn(advice.message, ConvergenceWarning)
    return result


def _result(data: TrainingData, model: OneVsAll, parts: Sequence[Solution]) -> Bootstrap:
    """Return the model with the replicates of these groups."""
    ends = ends_of(*parts)["converged"] if parts else np.zeros(0, np.bool_)
    converged = ends.reshape(-1, data.n_models)
    theta = np.hstack([np.zeros((data.rows.n_features + 1, 0)), *(part.theta for part in parts)])
    arrays = data.parameters(theta, sets=(len(converged),))
    std = None
    if data.settings.standardize:
        scale = to_host(data.rows.scale)[:, 0]
        std = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0.0)
    return Bootstrap(
        model=model,
        coef=arrays["weights"],
        intercept=arrays["intercept"],
        converged=converged,
        intercept_at_center=arrays.get("intercept_at_center"),
        feature_std=std,
    )


def check_weights(weights: str) -> None:
    """Raise ParameterError for what is no way to draw rows."""
    if not isinstance(weights, str) or weights not in WAYS:
        raise ParameterError(f'weights={shown(weights)}; use "{WAYS[0]}" or "{WAYS[1]}".')


def _advice(whole: Solution, parts: Sequence[Solution], data: TrainingData) -> Advice | None:
    """Say once how many did not converge, and what to change; None if all did."""
    ends, k = ends_of(whole, *parts), data.n_models
    left = ~ends["converged"]
    return how_to_converge(
        ends,
        data.rows,
        data.settings,
        who=f"{left[k:].sum()} of {len(left) - k} models of replicates, and {left[:k].sum()} of "
        f"{k} of all rows,",
        which=f"; the largest gradient entry is {ends['gradient_norm'].max():.1e}",
        use="They are part of the intervals; for closer optima",
        or_else=", or lower C",
    )
