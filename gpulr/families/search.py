"""search(): every class × every C × every fold as columns of one matrix."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory
from gpulr.errors import (
    ConvergenceWarning,
    ParameterError,
    SearchInterrupted,
    warn,
)
from gpulr.families.advice import Advice, how_to_converge
from gpulr.families.checkpoint import checkpointed
from gpulr.families.checkpoint_place import Place, place_of
from gpulr.families.cross_validation import CrossValidation, SearchProgress
from gpulr.families.fingerprint import Fingerprint, fingerprint_of
from gpulr.families.folds import check_folds, split
from gpulr.families.inputs import Inputs
from gpulr.families.interrupt import ctrl_c
from gpulr.families.partitioned_data import PartitionedData
from gpulr.families.partitioned_folds import split_parts
from gpulr.families.partitioned_inputs import PartitionedInputs
from gpulr.families.path import Path
from gpulr.families.prepare import prepare
from gpulr.families.reading import read_inputs
from gpulr.families.scoring import tell_left_out, tell_undefined
from gpulr.families.search_result import Search, choose, choose_each, mean_of_defined
from gpulr.families.search_run import (
    KEPT,
    SearchState,
    SearchTask,
    chosen,
    finished,
    go_on,
    within,
)
from gpulr.families.settings import Settings
from gpulr.families.training import advice_for
from gpulr.model.scores import scorer as scorer_of
from gpulr.validation.parameters import callables, inverse_penalties, switch, whole_number
from gpulr.words import counted, shown


def search(
    X: Any = None,
    y: Any = None,
    *,
    Cs: int | npt.ArrayLike = 10,
    cv: Any = 5,
    groups: npt.ArrayLike | None = None,
    scoring: str | Callable[..., float] = "accuracy",
    refit: bool | str = True,
    per_model: bool = False,
    keep_paths: bool = False,
    backend: str = "auto",
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    pos_weight: float | npt.ArrayLike | None = None,
    scale: float | str | None = "auto",
    standardize: bool = False,
    fit_intercept: bool = True,
    max_iter: int = 2000,
    tol: float = 1e-4,
    dtype: npt.DTypeLike = "float32",
    callbacks: Sequence[Callable[[SearchProgress], object]] = (),
    image_shape: tuple[int, ...] | None = None,
    memory: int | None = None,
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: float | None = 60.0,
) -> Search:
    """Choose C by cross-validation: all classes and folds are columns of one matrix.

    C goes from the smallest to the largest. For each C, the models of every class and fold are
    trained together, each on the training rows of its fold alone. A model starts from where it
    ended with the C before: from its parameters and what L-BFGS had learnt of the curvature. So no
    start has seen the held-out rows.

    Parameters
    ----------
    X, y, backend, class_weight, pos_weight, scale, standardize, fit_intercept, dtype, image_shape
        As for :func:`gpulr.train`. Scale, mean and standard deviation are those of all rows.
        ``class_weight="balanced"`` counts the rows that each fold trains on.

        If the rows are a Dask array's on the workers of a cluster, ``cv`` must be a number, and
        ``scoring`` one of the names listed below. For AUROC and average precision, workers send
        each other the margins of held-out rows. One of them ranks all those of a model, C and fold,
        which takes 40 bytes a row.
    Cs : int or (n_Cs,) array
        Values of C to try, > 0 (∞ for no penalty), in any order. A number (≥ 2) stands for that
        many values from 10⁻⁴ to 10⁴, in equal ratios.
    cv : int, scikit-learn splitter, or iterable of (train, test)
        How rows are divided into folds. A number of folds makes stratified ones; for a matrix of
        labels, they are runs of consecutive rows (shuffle rows that are sorted, or pass ``KFold(5,
        shuffle=True)``). A splitter gets classes as indices, or zeros if y is a matrix of labels.
        Pairs are index arrays or masks, and may leave rows out.
    groups : (n_samples,), optional
        Group of each row, for splitters that keep groups together.
    scoring : str, scorer of scikit-learn's, or callable
        The score by which C is chosen; greater is better. Names are scikit-learn's: "accuracy",
        "balanced_accuracy", "neg_log_loss", "neg_brier_score", "roc_auc", "average_precision",
        "f1", "precision", "recall", the last four also with "_macro", "_micro" or "_weighted";
        "roc_auc_ovr", "roc_auc_ovr_weighted", "top_k_accuracy", and any other that
        ``sklearn.metrics.get_scorer`` knows for classifiers.

        With more than two classes, "roc_auc" and the names that need an ending are refused; the
        error says which name to use. With a matrix of labels, these are means over labels; AUROC
        and average precision leave out labels for which a fold's held-out rows do not define them.
        There, "accuracy" is the share of rows with *all* labels right, which is small if there are
        many labels. ROC curves and average precision use margins; "roc_auc_ovr" uses probabilities
        that sum to 1, as in scikit-learn.

        A scorer may come from ``make_scorer``. Any other callable gets the true labels and the
        normalised probabilities, (n_rows, n_classes); with two classes, only those of the second,
        (n_rows,). With a matrix of labels it gets zeros and ones, and probabilities, each (n_rows,
        n_labels). It also gets ``sample_weight`` if it takes that.
    refit : True, "1se", "mean" or False
        The model to return. True trains one on all rows with the best C, "1se" with the smallest C
        within one standard error of the best. "mean" averages the folds' models, each with the best
        C of its fold. False returns none.
    per_model : bool
        Whether each model gets its own C. True chooses it by the model's own scores, those of its
        class or label against all others; ``refit`` then trains the models with these, all at once.
    keep_paths : bool
        Whether to keep the weights of each C and fold, as ``paths``. These are n_folds · n_Cs ·
        n_models · (n_features + 1) numbers of the compute dtype: for MNIST, ten values and five
        folds 1.6 MB; for 1,000 labels on 768 features 154 MB.
    sample_weight : (n_samples,), optional
        Weight of each row, as for :func:`gpulr.train`; the scores use it too.
    max_iter, tol : as for :func:`gpulr.train`
        Limits for each C. Models are trained to a quarter of ``tol``, since those that start near
        their end would otherwise stop at once.
    callbacks : sequence of callables
        As for :func:`gpulr.train`, but called with a :class:`gpulr.callbacks.SearchProgress`;
        ``StopIteration`` interrupts the search.
    memory : int, optional
        Bytes that columns trained together may take; if all would take more, classes are trained in
        groups. None is 1 GiB, or, on the workers of a cluster, as much as X takes there, if that is
        more. On a device it is no more than is free there.
    checkpoint, checkpoint_every : path, and float or None; optional
        As for :func:`gpulr.train`: the same call again continues from there, with the same folds (a
        splitter that shuffles needs a seed). The first of the ``callbacks`` is told of the models
        that were already done. If the search is done, the call returns it at once. With a larger
        ``max_iter``, if some models had too few iterations, all begin anew, as each starts where
        one with the C before ended.

    Returns
    -------
    Search

    Raises
    ------
    DataError
        X, y or the folds cannot be trained on; a fold trains on no row of some class.
    ParameterError
        A setting cannot be used.
    CheckpointError
        The ``checkpoint`` file is no checkpoint, or belongs to another search.
    SearchInterrupted
        Ctrl-C was pressed, or a callback asked for it; the error's ``search`` has the values of C
        that were done, if any.
    WorkersLostError
        The cluster that holds the Dask arrays is gone; the error's ``search`` has what is known of
        the values of C that were done and scored, if any.

    Warns
    -----
    ConvergenceWarning, BackendFallbackWarning, DataFallbackWarning, ResumedWarning,
    CheckpointWarning

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
    place = place_of(checkpoint, checkpoint_every)
    found, advice = search_on(
        read_inputs(X, y, image_shape, elsewhere=True).weighted(
            sample_weight, class_weight, pos_weight
        ),
        settings,
        backend,
        Cs=Cs,
        cv=cv,
        groups=groups,
        scoring=scoring,
        refit=refit,
        per_model=per_model,
        keep_paths=keep_paths,
        callbacks=callbacks,
        memory=memory,
        place=place,
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
    per_model: bool = False,
    keep_paths: bool = False,
    place: Place | None = None,
) -> tuple[Search, Advice | None]:
    """Do what :func:`search` does, with settings and inputs that are checked already.

    Checkpoints are kept at a ``place``. Returns what was found, and what to say where models did
    not converge.
    """
    started = time.perf_counter()
    check_search(settings)
    named = isinstance(refit, str) and refit in ("1se", "mean")
    if not (isinstance(refit, bool | np.bool_) or named):
        raise ParameterError(f'refit={shown(refit)}; use True, "1se", "mean" or False.')
    per_model, keep_paths = switch("per_model", per_model), switch("keep_paths", keep_paths)
    Cs = inverse_penalties(Cs)
    callbacks = callables(callbacks)
    budget = None if memory is None else whole_number("memory", memory, least=1)
    scorer = scorer_of(scoring, inputs.labels)
    folds: Any
    if isinstance(inputs, PartitionedInputs):
        scorer.over_parts(per_model=per_model, multilabel=inputs.labels.multilabel)
        folds = split_parts(cv, groups, inputs.common)
    else:
        folds = split(cv, inputs.labels.strata, groups)
        check_folds(folds, inputs.labels, inputs.weight, inputs.sample_weight)
    n, n_passes = len(folds), 8.0 * len(Cs)
    with (
        prepare(
            inputs, settings, requested=requested, n_passes=n_passes, C=Cs, n_sets=n, group_size=n
        ) as data,
        ctrl_c(terminated=place is not None) as interrupted,
    ):
        elsewhere = isinstance(data, PartitionedData)
        task = SearchTask(CrossValidation(data, folds, Cs, budget), scorer, per_model, refit)
        if elsewhere:  # later, the rows may be lost
            task = replace(task, models=replace(task.models, after_step=task.score))

        def fingerprint() -> Fingerprint:
            how: dict[str, Any] = {"Cs": Cs.tolist(), "cv": n if elsewhere else folds.counts}
            how |= {"scoring": scorer.name, "per_model": per_model, "refit": refit}
            how |= {"keep_paths": keep_paths}
            return fingerprint_of("search", inputs, settings, data.rows.backend, **how)

        with checkpointed(place, fingerprint, KEPT, backend=data.rows.backend) as kept:
            if isinstance(data, PartitionedData):  # whose parts are hashed as they came
                data.check_folds(folds, None if per_model else scorer)
            state, progress = kept.read(task, partial(within, task))
            first = state or progress or SearchState(task.models.begin())
            state = state or go_on(task, first, callbacks, interrupted, kept.offer)
            if complete := finished(task, state):
                kept.finish(state)
            else:
                kept.keep()
    path, scores, solution = state.path, state.scores, state.solution
    assert scores is not None  # go_on has scored what is done
    model, done, found = None, path.done, None
    if complete and solution is not None:
        model = data.model(solution, chosen(task, path, scores).C.tolist())
    if done.any():
        best, one_se = (choose_each if per_model else choose)(scores, Cs[done])
        if per_model:
            undefined = np.asarray(np.isnan(scores).any(axis=(0, 1)))
            so = "their C is chosen by the other folds, or where there are none by all other models"
            tell_undefined(undefined, inputs.labels.names, so)
        else:
            tell_left_out(scorer, inputs, folds.tests)
        names = ("n_iter", "converged", "cost", "gradient_norm")
        found = Search(
            Cs=Cs[done],
            scores=mean_of_defined(scores) if per_model else scores,
            scoring=scorer.name,
            best_C=best,
            best_C_1se=one_se,
            model=model,
            seconds=time.perf_counter() - started + first.seconds,
            model_scores=scores if per_model else None,
            paths=path.coefficients() if keep_paths else None,
            **{name: path.ends[name][:, done] for name in names},
        )
    if path.lost is not None:
        path.lost.search = found
        raise path.lost
    if not complete or found is None:
        raise SearchInterrupted(
            f"The search was interrupted after {done.sum()} of {counted(len(Cs), 'value')} of C"
            + ("; what is known of them is in `.search` of this exception." if found else ".")
            + kept.way_on,
            found,
        )
    advice = _advice(found, path)
    if advice is None and solution is not None and model is not None and refit != "mean":
        advice = advice_for(model, solution, data.rows, settings)
    return found, advice


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
