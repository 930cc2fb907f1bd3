"""bootstrap(): how far the weights would vary with other rows of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import backend_of, host_memory, is_device_array
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.errors import ConvergenceWarning, ParameterError, TrainingInterrupted, warn
from gpulr.families.advice import stall
from gpulr.families.inputs import Inputs, read_inputs
from gpulr.families.interrupt import closing, ctrl_c
from gpulr.families.intervals import Bootstrap
from gpulr.families.replicates import Replicates, seeds_of
from gpulr.families.settings import Settings
from gpulr.families.training import class_weight_record, folded, model_of, weighted_problem
from gpulr.model.record import TrainingSettings
from gpulr.solvers import Solution, minimize
from gpulr.solvers.driver import Callback
from gpulr.validation.parameters import callables, inverse_penalty, whole_number
from gpulr.words import counted, shown

__all__ = ["bootstrap"]

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
    inputs = read_inputs(X, y, None)
    labels = inputs.labels
    weight = labels.row_weight(sample_weight, class_weight)
    C = inverse_penalty(C, labels.n_models)
    passes = min(settings.max_iter, 20) * (n + 1)
    xb = settings.backend(backend, inputs.X, passes * labels.n_models)
    with xb.activate():
        rows = settings.rows(inputs, xb, together=labels.n_models, times=n)
        targets = labels.targets(xb, rows.dtype)
        every = weighted_problem(rows, targets, C, weight)
        replicates = Replicates(rows, targets, labels.names, C, weight, weights, seeds)
        with ctrl_c() as interrupted, closing(callbacks):
            settings, whole, parts = _train(
                settings,
                every,
                replicates,
                choose_tol=tol is None,
                callbacks=callbacks,
                interrupted=interrupted,
            )

    record: TrainingSettings = {
        "C": C,
        "sample_weight": sample_weight is not None,
        "class_weight": class_weight_record(class_weight),
        "batched": True,
    }
    model = model_of(whole, inputs, rows, settings.record(rows) | record)
    if "interrupted" in (whole.result, *(part.result for part in parts)):
        raise TrainingInterrupted(
            "The bootstrap was interrupted. The model of all rows is in `.model` of this "
            "exception; replicates are not kept.",
            model,
        )
    parts = [part for part in parts if part.result not in ENDED]
    if settings.tol > 0 and whole.result not in ENDED:
        _warn_not_converged(whole, parts, rows, settings)
    arrays = _in_scale_of_rows(parts, inputs, rows, settings)
    converged = np.concatenate([np.zeros(0, np.bool_), *(part.converged for part in parts)])
    return Bootstrap(model=model, converged=converged.reshape(-1, labels.n_models), **arrays)


def _train(
    settings: Settings,
    every: Problem,
    replicates: Replicates,
    *,
    choose_tol: bool,
    callbacks: Sequence[Callback],
    interrupted: Callable[[], bool],
) -> tuple[Settings, Solution, list[Solution]]:
    """Return the settings with ``tol``, the solution of all rows, and one for each group."""
    method, xb, k = settings.method(), every.backend, every.n_models
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is told by an error
        prepared = method.prepare(every) if settings.max_iter else None
    run = partial(
        minimize,
        method,
        prepared=prepared,
        max_iter=settings.max_iter,
        callbacks=callbacks,
        interrupted=interrupted,
    )
    whole = run(every, tol=settings.tol)
    if whole.result in ENDED:
        return settings, whole, []
    if choose_tol:
        settings = replace(settings, tol=min(START_TOL, replicates.tolerance(whole.theta)))
        if settings.tol < START_TOL:
            whole = run(every, tol=settings.tol, start=xb.asarray(whole.theta))
            if whole.result in ENDED:
                return settings, whole, []
    parts: list[Solution] = []
    for group in replicates.groups(method.column_bytes(replicates.rows)):
        parts.append(
            run(
                replicates.problem(group),
                tol=settings.tol,
                start=xb.asarray(np.tile(whole.theta, (1, len(group)))),
                models=np.arange((group.start + 1) * k, (group.stop + 1) * k),
            )
        )
        if parts[-1].result in ENDED:
            break
    return settings, whole, parts


def _in_scale_of_rows(
    parts: Sequence[Solution], inputs: Inputs, rows: Rows, settings: Settings
) -> dict[str, Any]:
    """Return what :class:`Bootstrap` has of the replicates, where the caller's X is."""
    k = inputs.labels.n_models
    theta = np.hstack([np.zeros((rows.n_features + 1, 0)), *(part.theta for part in parts)])
    arrays = folded(theta, rows)
    here: dict[str, Any] = {}
    here["coef"] = arrays["weights"].reshape(rows.n_features, -1, k).transpose(1, 0, 2)
    for name in ("intercept", "intercept_at_center"):
        if name in arrays:
            here[name] = arrays[name].reshape(-1, k)
    here = {name: np.ascontiguousarray(a, dtype=settings.dtype) for name, a in here.items()}
    if is_device_array(inputs.X):
        here = {name: backend_of(inputs.X).asarray(array) for name, array in here.items()}
    return here


def _warn_not_converged(
    whole: Solution, parts: Sequence[Solution], rows: Rows, settings: Settings
) -> None:
    """Warn once for all that did not converge, with what to change."""
    every = [whole, *parts]
    left = [int((~part.converged).sum()) for part in every]
    if not sum(left):
        return
    largest = max(float(part.gradient_norm[-1].max()) for part in every)
    advice = "raise max_iter, scale the features (standardize=True), or lower C"
    if any(part.stalled.any() for part in every):
        why, instead = stall(rows, settings)
        advice += f"; where {why}, {instead}"
    warn(
        f"{sum(left[1:])} of {sum(len(part.converged) for part in parts)} models of replicates, "
        f"and {left[0]} of {len(whole.converged)} of all rows, did not reach "
        f"tol={settings.tol:.2g} in {counted(settings.max_iter, 'iteration')} (largest gradient "
        "entry "
        f"{largest:.1e}). They are part of the intervals; for closer optima {advice}.",
        ConvergenceWarning,
    )
