"""search(): every class × every C × every fold as columns of one matrix."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory
from gpulr.errors import ConvergenceWarning, ParameterError, SearchInterrupted, warn
from gpulr.families.advice import Advice, how_to_converge, stall
from gpulr.families.cross_validation import CLOSER, CrossValidation, SearchProgress
from gpulr.families.folds import check_folds, split
from gpulr.families.inputs import Inputs, read_inputs
from gpulr.families.interrupt import closing, ctrl_c
from gpulr.families.search_result import Search, choose
from gpulr.families.settings import Settings
from gpulr.families.training import (
    class_weight_record,
    model_of,
    weighted_problem,
)
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import TrainingSettings
from gpulr.model.scores import scorer
from gpulr.solvers import minimize
from gpulr.validation.parameters import callables, inverse_penalties, whole_number
from gpulr.words import counted, shown

__all__ = ["SearchProgress", "search", "search_on"]

MEMORY_BYTES = 2**30  # what columns that are trained together may take, unless told otherwise


def search(
    X: Any = None,
    y: Any = None,
    *,
    Cs: int | npt.ArrayLike = 10,
    cv: Any = 5,
    groups: npt.ArrayLike | None = None,
    scoring: str | Callable[..., float] = "accuracy",
    refit: bool | str = True,
    backend: str = "auto",
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    scale: float | str | None = "auto",
    standardize: bool = False,
    fit_intercept: bool = True,
    max_iter: int = 2000,
    tol: float = 1e-4,
    dtype: npt.DTypeLike = "float32",
    callbacks: Sequence[Callable[[SearchProgress], object]] = (),
    image_shape: tuple[int, ...] | None = None,
    memory: int | None = None,
) -> Search:
    """Choose C by cross-validation: all classes and folds are columns of one matrix.

    From the smallest C to the largest, the models of every class and fold are trained together,
    each on the rows of its fold alone, starting from where they ended with the C before: parameters
    and what L-BFGS had learnt of the curvature. So no model's start has seen its held-out rows.

    Parameters
    ----------
    X, y, backend, class_weight, scale, fit_intercept, dtype, image_shape
        As for :func:`gpulr.train`.
    Cs : int or (n_Cs,) array
        Values of C to try, > 0 (∞ for no penalty), in any order; a number (≥ 2) stands for so many
        from 10⁻⁴ to 10⁴, in equal ratios.
    cv : int, scikit-learn splitter, or iterable of (train, test)
        Number of stratified folds; or any splitter (which gets classes as indices, and zeros where
        y is a matrix of labels); or pairs of index arrays or masks, which may leave rows out.
    groups : (n_samples,), optional
        For splitters that keep groups of rows together.
    scoring : "accuracy", "balanced_accuracy", "neg_log_loss", or callable
        Of a matrix of labels "accuracy" is the share of rows with all labels right, and there is no
        balanced accuracy. A callable gets the true labels and the normalised probabilities (n_rows,
        n_classes), or of two classes those of the second, (n_rows,); of a matrix of labels zeros
        and ones and probabilities, each (n_rows, n_labels); and ``sample_weight`` if it takes that.
        Greater is better.
    refit : True, "1se", "mean" or False
        Train a model on all rows with the best C, or with the smallest C within one standard error
        of it; or take the mean of the folds' models, of each with the best C of its fold; or none.
    sample_weight : (n_samples,), optional
        Weight of each row, ≥ 0, in training and in scoring.
    standardize : bool
        Shift and scale every feature to mean 0 and standard deviation 1, those of all rows.
    max_iter, tol : as for :func:`gpulr.train`
        For each C. Models go on to a quarter of ``tol``, since those that start near their end
        would stop at once.
    callbacks : sequence of callables
        Called with a :class:`SearchProgress` after each iteration; one that raises
        ``StopIteration`` interrupts the search. One with a ``close`` method is closed at the end.
    memory : int, optional
        Bytes that columns trained together may take; more are trained in groups of classes. None:
        1 GiB. On a device it is no more than is free there.

    Returns
    -------
    Search

    Raises
    ------
    DataError
        X, y or the folds cannot be trained on; a fold trains on no row of some class.
    ParameterError
        A setting cannot be used.
    SearchInterrupted
        Ctrl-C, or a callback's wish; its ``search`` has the values of C that were done, if any.

    Warns
    -----
    ConvergenceWarning, BackendFallbackWarning, DataFallbackWarning

    Examples
    --------
    >>> import gpulr
    >>> found = gpulr.search(gpulr.datasets.load_digits(), Cs=[0.1, 1, 10], cv=3)
    >>> found.scores.shape
    (3, 3)
    """
    settings = Settings.checked(
        scale=scale,
        standardize=standardize,
        max_iter=max_iter,
        tol=tol,
        dtype=dtype,
        fit_intercept=fit_intercept,
    )
    found, advice, _ = search_on(
        read_inputs(X, y, image_shape),
        settings,
        backend=backend,
        Cs=Cs,
        cv=cv,
        groups=groups,
        scoring=scoring,
        refit=refit,
        sample_weight=sample_weight,
        class_weight=class_weight,
        callbacks=callbacks,
        memory=memory,
    )
    if advice:
        warn(advice.message, ConvergenceWarning)
    return found


def check_search(settings: Settings) -> None:
    """Raise ParameterError for settings that train models, but end no search."""
    if settings.tol == 0.0:
        raise ParameterError("tol=0 never ends a search; expected a number > 0.")
    if settings.max_iter == 0:
        raise ParameterError("max_iter=0 trains nothing to compare; expected a whole number ≥ 1.")


@host_memory
def search_on(
    inputs: Inputs,
    settings: Settings,
    *,
    backend: str = "auto",
    Cs: int | npt.ArrayLike = 10,
    cv: Any = 5,
    groups: npt.ArrayLike | None = None,
    scoring: str | Callable[..., float] = "accuracy",
    refit: bool | str = True,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    callbacks: Sequence[Callable[[SearchProgress], object]] = (),
    memory: int | None = None,
) -> tuple[Search, Advice | None, CrossValidation]:
    """Search on checked data, as :func:`search`.

    Returns
    -------
    found : Search
    advice : Advice or None
        What to say where models did not converge.
    models : CrossValidation
        Those that were trained on the folds.
    """
    started = time.perf_counter()
    check_search(settings)
    named = isinstance(refit, str) and refit in ("1se", "mean")
    if not (isinstance(refit, bool | np.bool_) or named):
        raise ParameterError(f'refit={shown(refit)}; use True, "1se", "mean" or False.')
    values = inverse_penalties(Cs)
    callbacks = callables(callbacks)
    budget = MEMORY_BYTES if memory is None else whole_number("memory", memory, least=1)
    labels = inputs.labels
    weight = labels.row_weight(sample_weight, class_weight)
    of_rows = labels.row_weight(sample_weight, None)
    scores_with = scorer(scoring, labels)
    folds = split(cv, labels.strata, groups)
    check_folds(folds, labels, weight, of_rows)
    xb = settings.backend(backend, inputs.X, 8.0 * labels.n_models * len(folds) * len(values))
    model, rounding = None, np.zeros(labels.n_models, dtype=np.bool_)
    with xb.activate(), ctrl_c() as interrupted:
        rows = settings.rows(inputs, xb, together=len(folds))  # classes are trained apart
        models = CrossValidation(rows, labels, folds, weight, settings, values, budget)
        with closing(callbacks):
            whole = models.train(callbacks, interrupted)
        scores = models.score(scores_with, of_rows)
        if whole and refit:
            record: TrainingSettings = {
                "sample_weight": sample_weight is not None,
                "class_weight": class_weight_record(class_weight),
            }
            if refit == "mean":
                model = _mean_model(models, inputs, scores, record)
            else:
                C = choose(scores, values)[refit == "1se"]
                model, rounding, whole = _refit(models, inputs, C, record, interrupted)
    found = None
    if models.done.any():
        found = _result(models, scores, scores_with.name, model, time.perf_counter() - started)
    if not whole or found is None:
        raise SearchInterrupted(
            f"The search was interrupted after {models.done.sum()} of "
            f"{counted(len(values), 'value')} of C"
            + ("; what is known of them is in `.search` of this exception." if found else "."),
            found,
        )
    if not found.converged.all():
        return found, _how_to_converge(found, models), models
    if model is not None and not model.converged and refit != "mean":
        return found, how_to_converge(model, rounding, rows, settings), models
    return found, None, models


def _refit(
    models: CrossValidation,
    inputs: Inputs,
    C: float,
    record: TrainingSettings,
    interrupted: Callable[[], bool],
) -> tuple[OneVsAll | None, npt.NDArray[np.bool_], bool]:
    """Train on all rows, from the mean of the folds' parameters.

    Returns the model, what of it ended at rounding, and whether it was finished.
    """
    rows, settings = models.rows, models.settings
    targets = models.labels.targets(rows.backend, rows.dtype)
    solution = minimize(
        models.solver,
        weighted_problem(rows, targets, C, models.weight, intercept=settings.fit_intercept),
        max_iter=settings.max_iter,
        tol=settings.tol / CLOSER,
        start=rows.backend.asarray(models.mean_theta(C)),
        prepared=models.prepared,
        interrupted=interrupted,
    )
    if solution.result == "interrupted":
        return None, solution.rounding, False
    converged = solution.gradient_norm[-1] <= settings.tol
    stalled = solution.stalled & ~converged
    solution = replace(solution, converged=converged, stalled=stalled)
    record = settings.record(rows) | {"C": C, "batched": True} | record
    return model_of(solution, inputs, rows, record), solution.rounding & stalled, True


def _mean_model(
    models: CrossValidation,
    inputs: Inputs,
    scores: npt.NDArray[np.float64],
    record: TrainingSettings,
) -> OneVsAll:
    """Return the mean of the folds' models, each with the best C of its fold; its C is theirs."""
    rows, settings = models.rows, models.settings
    Cs = [choose(fold, models.Cs)[0] for fold in scores[:, np.newaxis]]
    thetas = [models.theta[models.Cs == C, f][0] for f, C in enumerate(Cs)]
    targets, C = models.labels.targets(rows.backend, rows.dtype), float(np.mean(Cs))
    solution = minimize(
        models.solver,
        weighted_problem(rows, targets, C, models.weight, intercept=settings.fit_intercept),
        max_iter=0,
        tol=settings.tol,
        start=rows.backend.asarray(np.mean(thetas, axis=0, dtype=np.float64)),
    )
    record = settings.record(rows) | {"C": C, "batched": True} | record
    return model_of(solution, inputs, rows, record)


def _result(
    models: CrossValidation,
    scores: npt.NDArray[np.float64],
    scoring: str,
    model: OneVsAll | None,
    seconds: float,
) -> Search:
    done = models.done
    best, one_se = choose(scores, models.Cs[done])
    return Search(
        Cs=models.Cs[done],
        scores=scores,
        scoring=scoring,
        best_C=best,
        best_C_1se=one_se,
        model=model,
        n_iter=models.n_iter[:, done],
        converged=models.converged[:, done],
        cost=models.cost[:, done],
        gradient_norm=models.gradient_norm[:, done],
        seconds=seconds,
    )


def _how_to_converge(found: Search, models: CrossValidation) -> Advice:
    """Say which models did not converge, and what to change."""
    left, settings = ~found.converged, models.settings
    stalled, rounding = (part[:, models.done] for part in (models.stalled, models.rounding))
    values = ", ".join(f"{C:g}" for C in found.Cs[left.any(axis=(0, 2))][:10])
    how = f"in {counted(settings.max_iter, 'iteration')}"
    advice = "raise max_iter, scale the features (standardize=True)"
    if stalled[left].all():
        how, advice = stall(models.rows, settings)
    elif stalled[left].any():
        how += f", or as far as {settings.dtype} allows"
    others = "" if found.model is None or found.model.converged else ", nor did the refitted model"
    message = (
        f"{left.sum()} of {left.size} models did not reach tol={settings.tol:g} ({how}), with "
        f"C = {values}; their largest gradient entry is {found.gradient_norm[left].max():.1e}"
        f"{others}. Their scores count all the same; for closer optima {advice}, or leave out the "
        "largest values of C."
    )
    return Advice(message, attainable=not rounding[left].all())
