"""search(): every class × every C × every fold as columns of one matrix."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory
from gpulr.errors import ConvergenceWarning, ParameterError, SearchInterrupted, warn
from gpulr.families.advice import Advice, how_to_converge
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
from gpulr.model.scores import scorer as scorer_of
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
    X, y, backend, class_weight, scale, standardize, fit_intercept, dtype, image_shape
        As for :func:`gpulr.train`; scale, mean and standard deviation are those of all rows.
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
        As for :func:`gpulr.train`; the weights count in the scores too.
    max_iter, tol : as for :func:`gpulr.train`
        For each C. Models go on to a quarter of ``tol``, since those that start near their end
        would stop at once.
    callbacks : sequence of callables
        As for :func:`gpulr.train`, but called with a :class:`gpulr.callbacks.SearchProgress`;
        ``StopIteration`` interrupts the search.
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
    settings = Settings(
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
    requested: str,
    *,
    Cs: int | npt.ArrayLike,
    cv: Any,
    groups: npt.ArrayLike | None,
    scoring: str | Callable[..., float],
    refit: bool | str,
    callbacks: Sequence[Callable[[SearchProgress], object]],
    memory: int | None,
) -> tuple[Search, Advice | None, Path]:
    """Do what :func:`search` does, with settings and inputs that are checked already.

    Returns what was found, what to say where models did not converge, and the models that were
    trained on the folds.
    """
    started = time.perf_counter()
    check_search(settings)
    named = isinstance(refit, str) and refit in ("1se", "mean")
    if not (isinstance(refit, bool | np.bool_) or named):
        raise ParameterError(f'refit={shown(refit)}; use True, "1se", "mean" or False.')
    Cs = inverse_penalties(Cs)
    callbacks = callables(callbacks)
    budget = MEMORY_BYTES if memory is None else whole_number("memory", memory, least=1)
    scorer = scorer_of(scoring, inputs.labels)
    folds = split(cv, inputs.labels.strata, groups)
    check_folds(folds, inputs.labels, inputs.weight, inputs.sample_weight)
    n, n_passes, solution, C = len(folds), 8.0 * len(Cs), None, 0.0
    with (
        prepare(
            inputs, settings, requested=requested, n_passes=n_passes, n_sets=n, group_size=n
        ) as data,
        ctrl_c() as interrupted,
    ):
        with closing(callbacks):
            path = CrossValidation(data, folds, Cs, budget).train(callbacks, interrupted)
        scores = path.score(scorer, inputs.sample_weight)
        finished = path.complete and not path.stopped
        if finished and refit:
            solution, C = _refit(path, scores, refit, interrupted)
            finished = solution.result != "interrupted"
    model = data.model(solution, C) if finished and solution is not None else None
    done, found = path.done, None
    if done.any():
        best, one_se = choose(scores, Cs[done])
        names = ("n_iter", "converged", "cost", "gradient_norm")
        found = Search(
            Cs=Cs[done],
            scores=scores,
            scoring=scorer.name,
            best_C=best,
            best_C_1se=one_se,
            model=model,
            seconds=time.perf_counter() - started,
            **{name: path.ends[name][:, done] for name in names},
        )
    if not finished or found is None:
        raise SearchInterrupted(
            f"The search was interrupted after {done.sum()} of {counted(len(Cs), 'value')} of C"
            + ("; what is known of them is in `.search` of this exception." if found else "."),
            found,
        )
    advice = _advice(found, path)
    if advice is None and solution is not None and model is not None and refit != "mean":
        advice = advice_for(model, solution, data.rows, settings)
    return found, advice, path


def _refit(
    path: Path,
    scores: npt.NDArray[np.float64],
    refit: bool | str,
    interrupted: Callable[[], bool],
) -> tuple[Solution, float]:
    """Train on all rows with the C that is chosen, from the mean of the folds' parameters there.

    With "mean", nothing is trained: each fold has its own best C, and the mean of their parameters
    and that of these C are the result.
    """
    task, settings, Cs = path.task, path.task.data.settings, path.task.Cs
    chosen: Any = choose(scores, Cs)[refit == "1se"]
    max_iter, tol = settings.max_iter, settings.tol / CLOSER
    if refit == "mean":
        chosen = [choose(of_fold[np.newaxis], Cs)[0] for of_fold in scores]
        max_iter, tol = 0, settings.tol
    C = float(np.mean(chosen))
    solution = minimize(
        task.solver,
        task.data.problem(C),
        max_iter=max_iter,
        tol=tol,
        start=path.mean_theta(chosen),
        prepared=path.prepared,
        interrupted=interrupted,
    )
    return at_tolerance(solution, settings.tol), C


def _advice(found: Search, path: Path) -> Advice | None:
    """Say which models on folds did not converge, and what to change; None if all did."""
    left = ~found.converged
    if not left.any():
        return None
    values = ", ".join(f"{C:g}" for C in found.Cs[left.any(axis=(0, 2))][:10])
    largest = f"their largest gradient entry is {found.gradient_norm[left].max():.1e}"
    others = "" if found.model is None or found.model.converged else ", nor did the refitted model"
    return how_to_converge(
        path.ends[:, path.done],
        path.task.data.rows,
        path.task.data.settings,
        which=f", with C = {values}; {largest}{others}",
        use="Their scores count all the same; for closer optima",
        always=", or leave out the largest values of C",
    )
