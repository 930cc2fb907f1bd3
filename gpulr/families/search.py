"""search(): every class × every C × every fold as columns of one matrix."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory
from gpulr.errors import ConvergenceWarning, ParameterError, SearchInterrupted, warn
from gpulr.families.advice import Advice, Ends, how_to_converge
from gpulr.families.cross_validation import (
    CLOSER,
    CrossValidation,
    Path,
    SearchProgress,
    at_tolerance,
)
from gpulr.families.folds import check_folds, split
from gpulr.families.inputs import Inputs, read_inputs
from gpulr.families.interrupt import closing, ctrl_c
from gpulr.families.prepare import prepare
from gpulr.families.search_result import Search, choose
from gpulr.families.settings import Settings
from gpulr.families.training import advice_for
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.scores import scorer
from gpulr.solvers import Solution, minimize
from gpulr.validation.parameters import callables, inverse_penalties, whole_number
from gpulr.words import counted, shown

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
        read_inputs(X, y, image_shape).weighted(sample_weight, class_weight),
        settings,
        backend,
        Cs=Cs,
        cv=cv,
        groups=groups,
        scoring=scoring,
        refit=refit,
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
    requested: str = "auto",
    *,
    Cs: int | npt.ArrayLike = 10,
    cv: Any = 5,
    groups: npt.ArrayLike | None = None,
    scoring: str | Callable[..., float] = "accuracy",
    refit: bool | str = True,
    callbacks: Sequence[Callable[[SearchProgress], object]] = (),
    memory: int | None = None,
) -> tuple[Search, Advice | None, Path]:
    """Search on checked data, as :func:`search`.

    Returns
    -------
    found : Search
    advice : Advice or None
        What to say where models did not converge.
    path : Path
        The models that were trained on the folds.
    """
    started = time.perf_counter()
    check_search(settings)
    named = isinstance(refit, str) and refit in ("1se", "mean")
    if not (isinstance(refit, bool | np.bool_) or named):
        raise ParameterError(f'refit={shown(refit)}; use True, "1se", "mean" or False.')
    Cs = inverse_penalties(Cs)
    callbacks = callables(callbacks)
    budget = MEMORY_BYTES if memory is None else whole_number("memory", memory, least=1)
    labels = inputs.labels
    scores_with = scorer(scoring, labels)
    folds = split(cv, labels.strata, groups)
    check_folds(folds, labels, inputs.weight, inputs.sample_weight)
    solution, C = None, 0.0
    with (
        prepare(
            inputs,
            settings,
            requested=requested,
            n_passes=8.0 * len(Cs),
            n_sets=len(folds),
            together=len(folds),
        ) as data,
        ctrl_c() as interrupted,
    ):
        with closing(callbacks):
            path = CrossValidation(data, folds, Cs, budget).train(callbacks, interrupted)
        scores = path.score(scores_with, inputs.sample_weight)
        if path.complete and not path.stopped and refit:
            solution, C = _refit(path, scores, refit, interrupted)
    model, whole = None, path.complete and not path.stopped
    if solution is not None:
        whole = solution.result != "interrupted"
        model = data.model(solution, C) if whole else None
    found = None
    if path.done.any():
        found = _result(path, scores, scores_with.name, model, time.perf_counter() - started)
    if not whole or found is None:
        raise SearchInterrupted(
            f"The search was interrupted after {path.done.sum()} of "
            f"{counted(len(Cs), 'value')} of C"
            + ("; what is known of them is in `.search` of this exception." if found else "."),
            found,
        )
    advice = _advice(found, path)
    if advice is None and solution is not None and model is not None and refit != "mean":
        advice = advice_for(model, solution.rounding, data.rows, settings)
    return found, advice, path


def _refit(
    path: Path,
    scores: npt.NDArray[np.float64],
    refit: bool | str,
    interrupted: Callable[[], bool],
) -> tuple[Solution, float]:
    """Train on all rows with the C that is chosen, from the mean of the folds' parameters.

    Of "mean" that mean is the solution already, each fold with the best C of its own; and their
    mean is C.
    """
    task, data, settings, mean = path.task, path.task.data, path.task.data.settings, refit == "mean"
    at: Any = choose(scores, task.Cs)[refit == "1se"]
    if mean:
        at = [choose(fold, task.Cs)[0] for fold in scores[:, np.newaxis]]
    C = float(np.mean(at))
    solution = minimize(
        task.solver,
        data.problem(C),
        max_iter=0 if mean else settings.max_iter,
        tol=settings.tol if mean else settings.tol / CLOSER,
        start=path.mean_theta(at),
        prepared=path.prepared,
        interrupted=interrupted,
    )
    return at_tolerance(solution, settings.tol), C


def _result(
    path: Path,
    scores: npt.NDArray[np.float64],
    scoring: str,
    model: OneVsAll | None,
    seconds: float,
) -> Search:
    done, Cs = path.done, path.task.Cs
    best, one_se = choose(scores, Cs[done])
    names = ("n_iter", "converged", "cost", "gradient_norm")
    return Search(
        Cs=Cs[done],
        scores=scores,
        scoring=scoring,
        best_C=best,
        best_C_1se=one_se,
        model=model,
        seconds=seconds,
        **{name: path.ends[name][:, done] for name in names},
    )


def _advice(found: Search, path: Path) -> Advice | None:
    """Say which models on folds did not converge, and what to change; None if all did."""
    left = ~found.converged
    if not left.any():
        return None
    stalled, rounding = (path.ends[name][:, path.done] for name in ("stalled", "rounding"))
    ends = Ends(found.gradient_norm, found.converged, stalled, rounding)
    values = ", ".join(f"{C:g}" for C in found.Cs[left.any(axis=(0, 2))][:10])
    others = "" if found.model is None or found.model.converged else ", nor did the refitted model"
    return how_to_converge(
        ends,
        path.task.data.rows,
        path.task.data.settings,
        who=ends.share,
        which=f", with C = {values}; their largest gradient entry is {ends.largest}{others}",
        use="Their scores count all the same; for closer optima",
        always=", or leave out the largest values of C",
    )
