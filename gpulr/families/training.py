"""train(): from data to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory, to_host
from gpulr.core.rows import Rows
from gpulr.errors import (
    ConvergenceWarning,
    ParameterError,
    TrainingInterrupted,
    WorkersLostError,
    warn,
)
from gpulr.families.advice import Advice, ends_of, how_to_converge
from gpulr.families.checkpoint import Kept, checkpointed
from gpulr.families.checkpoint_place import Place, place_of
from gpulr.families.fingerprint import Fingerprint, fingerprint_of
from gpulr.families.inputs import Inputs
from gpulr.families.interrupt import closing, ctrl_c
from gpulr.families.prepare import prepare
from gpulr.families.reading import read_inputs
from gpulr.families.settings import Settings
from gpulr.families.training_data import scaled_parameters
from gpulr.model.one_vs_all import OneVsAll
from gpulr.solvers import (
    GroupedRun,
    Solution,
    falls_short,
    groups_of,
    minimize_in_groups,
    one_by_one,
)
from gpulr.solvers.solution import Callback
from gpulr.validation.labels import LabelMatrix, Labels
from gpulr.validation.parameters import callables, inverse_penalty, switch
from gpulr.words import counted


def train(
    X: Any = None,
    y: Any = None,
    *,
    backend: str = "auto",
    solver: str = "lbfgs",
    C: float | npt.ArrayLike = 1.0,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    pos_weight: float | npt.ArrayLike | None = None,
    scale: float | str | None = "auto",
    standardize: bool = False,
    fit_intercept: bool = True,
    learning_rate: float | None = None,
    max_iter: int = 2000,
    tol: float = 1e-4,
    dtype: npt.DTypeLike = "float32",
    batched: bool = True,
    start: OneVsAll | None = None,
    callbacks: Sequence[Callback] = (),
    image_shape: tuple[int, ...] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: float | None = 60.0,
) -> OneVsAll:
    """Train one logistic model per class, all at once, as the columns of one weight matrix.

    Parameters
    ----------
    X : (n_samples, n_features) array, images (n_samples, height, width, …), or a Dataset; optional
        The rows to train on: an array of any library and any real dtype, or a table of numbers
        (pandas, Polars, Arrow, …). None is the default data: MNIST or, where that cannot be had,
        the bundled digits. X is not modified, and never copied whole to a wider dtype: blocks of
        rows are converted as they are used.

        An array that is on a device is used there. NumPy and CuPy use PyTorch's and JAX's arrays
        where they can share the memory. What the array's library lacks on the device, such as
        float64, is computed on the host. An array on the host is copied to a GPU once; what does
        not fit there is copied block by block in every pass.

        Memory maps, what h5py, zarr, AnnData (dense or CSR) or xarray has open, and anything else
        that has a shape, a dtype and slicing, are read block by block in every pass, never all at
        once. This takes up to 256 MiB, and three arrays of margins (n_samples, n_models) in
        ``dtype``.

        Blocks of a Dask array or DataFrame stay with the workers of the current
        ``distributed.Client``; only their sums come here. Without a client, blocks are computed in
        every pass, on Dask's threads (once, if they fit in 256 MiB). y and ``sample_weight`` may be
        Dask's too.
    y : (n_samples,), or (n_samples, n_labels) of 0 and 1; optional
        The label of each row. Labels may be of any one type that can be sorted: numbers, booleans,
        strings, dates, …. Two classes give one model; more give one each.

        For rows that have any number of labels, y is a matrix (dense, sparse, or a DataFrame, whose
        columns name the labels), and each column gets a model. A column that is all 0 or all 1 is
        learnt as that constant. An entry that is NaN, None or a table's missing value is unknown:
        the model of its column is trained on the other rows.
    backend : "auto", "numpy", "cupy" or "torch"
        What computes. "auto" is ``GPULR_BACKEND`` if that is set, else a GPU if one works and the
        work repays it, else NumPy; it uses PyTorch's GPUs only if PyTorch is loaded already and
        CuPy does not work. On a machine that cannot run "cupy" or "torch", these train on NumPy
        after a warning.
    solver : "lbfgs", "nesterov" or "gd"
        The method of minimisation. "lbfgs" is preconditioned L-BFGS, which reaches the optimum in
        some ten passes. (With few rows and features it uses each model's own Hessian, which is
        Newton's method.) "nesterov" is accelerated gradient descent; "gd" is the textbook's, at a
        fixed step.
    C : float or (n_models,) array
        Inverse regularisation strength as in scikit-learn, > 0; ∞ for none.
    sample_weight : (n_samples,), optional
        Weight of each row, ≥ 0; a weight of 2 counts as the row twice.
    class_weight : dict or "balanced", optional
        Weights of rows by their class. A dict maps classes to weights (1 for those it lacks), which
        are the same for every model; a matrix y cannot have one. "balanced" weighs each model's
        rows separately, as scikit-learn's ``OneVsRestClassifier`` does: by n / (2 n₊) the rows that
        it should answer with 1, and by n / (2 n₋) all others, where rows count by their
        ``sample_weight``. Both multiply ``sample_weight``.
    pos_weight : float or (n_models,) array, optional
        Factor, > 0, on the weights of the rows that a model should answer with 1. PyTorch's
        ``BCEWithLogitsLoss`` has the same, and so has ``class_weight={1: pos_weight}`` of the
        models in ``OneVsRestClassifier``.
    scale : float, "auto" or None
        Factor that X is multiplied by, in effect. "auto" is 1/255 for uint8 and 1 otherwise; None
        is 1. ``C``, ``tol`` and ``learning_rate`` refer to the scaled X, the model's weights to X
        as passed.
    standardize : bool
        Shift and scale every feature to mean 0 and standard deviation 1, without a copy of X.
    fit_intercept : bool
        Whether models have an intercept. False fixes it at 0 for the scaled X. (With
        ``standardize``, the shift then still gives X as passed an intercept.)
    learning_rate : float, optional
        Fixed step size of "gd" and "nesterov"; None chooses one from a bound on the curvature.
    max_iter : int
        The most iterations; each is one pass over X.
    tol : float
        Tolerance: a model has converged when the largest absolute entry of its gradient is ≤
        ``tol``. Where rounding in ``dtype`` might hide that it is not, this is checked in float64.
        With 0, exactly ``max_iter`` iterations are run.

        With few rows and features, "lbfgs" knows the Hessian and asks for more: a model has
        converged only when no more than about ``tol`` times its cost is left to gain (or times
        1e-6, if the cost is below). Otherwise, and with the other solvers, only the gradient is
        known. If features are small and the penalty weak, the gradient may be within ``tol`` far
        from the optimum.

        "lbfgs" measures features of extreme size in other units, so that a feature's unit changes
        neither when training ends nor what converged means. A feature is extreme if its largest
        distance from its middle (without an intercept, from 0) is below 2⁻¹⁰ or above 2¹⁰; it is
        multiplied by the power of two that brings this to about 1. ``C`` refers to the scaled X all
        the same.
    dtype : "float32" or "float64"
        What margins and products are computed in, and the weights' dtype. Sums are always float64.
    batched : bool
        True trains all models at once, or in groups if they would take more than 1 GiB of working
        memory. False trains them one after the other, by the same code: same weights, slower.
    start : OneVsAll, optional
        A model of the same features and classes, at whose weights training begins. None begins at
        zero. "lbfgs", if there are many rows, then first takes some steps on a sample of them and
        begins where these lead; ``history.cost`` starts there.
    callbacks : sequence of callables
        Functions that are called with a :class:`gpulr.callbacks.Progress` after each iteration. One
        that raises ``StopIteration`` ends training (of all models). One that has a ``close`` method
        is closed at the end. A GPU is asked for its progress only every few iterations; callbacks
        are then called for each of these, and a training that one ends still returns the model of
        that iteration.
    image_shape : tuple of int, optional
        The shape of a row as an image; None takes it from X or the data set, if they have it.
    checkpoint : path, optional
        A file that keeps how far training has come; its previous version is kept as PATH.previous.
        The same call again continues from there, and says so with a ResumedWarning; on a CPU, the
        result has the same bits as without the interruption. If the training is done, the call
        returns its model at once.

        Only ``callbacks``, ``image_shape`` and ``max_iter`` may differ. With a larger ``max_iter``,
        models that had run out of iterations continue (where models are trained in groups, only
        those of the last group; others begin anew). The file holds the solver's state, which is as
        large as three arrays of margins at most, and no rows of X.
    checkpoint_every : float or None
        Seconds between writes of the checkpoint, in the background; more if writing would take over
        1 % of the time. 0 writes after each iteration, None only at the end. The checkpoint is
        always written when training ends or is interrupted: by Ctrl-C, by an error, or by a signal
        that would end the process (SIGTERM, SIGHUP). Such signals then act as Ctrl-C does; they are
        caught only in the main thread, and only if the program has not chosen what they do.

    Returns
    -------
    OneVsAll

    Raises
    ------
    DataError
        X or y cannot be trained on.
    ParameterError
        A setting cannot be used.
    BackendUnavailableError
        The backend cannot be used and ``GPULR_FALLBACK=error``.
    CheckpointError
        The ``checkpoint`` file is no checkpoint, or belongs to another training: to other data,
        settings or version of gpulr.
    DeviceMemoryError
        The device's memory does not suffice, even with the smallest blocks of rows.
    DivergenceError
        The cost became infinite: ``learning_rate`` is too large.
    TrainingInterrupted
        Ctrl-C was pressed; the error's ``model`` is the model so far.
    WorkersLostError
        The cluster that holds the Dask arrays is gone; the error's ``model`` is the model so far.

    Warns
    -----
    ConvergenceWarning, BackendFallbackWarning, DataFallbackWarning, ResumedWarning,
    CheckpointWarning

    Examples
    --------
    >>> import gpulr
    >>> data = gpulr.datasets.load_digits()
    >>> model = gpulr.train(data)
    >>> model.weights.shape
    (64, 10)
    """
    settings = Settings(
        solver=solver,
        scale=scale,
        standardize=standardize,
        fit_intercept=fit_intercept,
        learning_rate=learning_rate,
        max_iter=max_iter,
        tol=tol,
        dtype=dtype,
    )
    batched = switch("batched", batched)
    callbacks = callables(callbacks)
    place = place_of(checkpoint, checkpoint_every)
    inputs = read_inputs(X, y, image_shape, elsewhere=True)
    inputs = inputs.weighted(sample_weight, class_weight, pos_weight)
    model, advice = train_on(
        inputs,
        settings,
        backend,
        C=C,
        batched=batched,
        start=start,
        callbacks=callbacks,
        place=place,
    )
    if advice:
        warn(advice.message, ConvergenceWarning)
    return model


@host_memory
def train_on(
    inputs: Inputs,
    settings: Settings,
    requested: str = "auto",
    *,
    C: float | npt.ArrayLike = 1.0,
    batched: bool = True,
    start: OneVsAll | None = None,
    callbacks: Sequence[Callback] = (),
    place: Place | None = None,
) -> tuple[OneVsAll, Advice | None]:
    """Do what :func:`train` does, with settings and inputs that are checked already.

    Checkpoints are kept at a ``place``. Returns the model, and what to say where models did not
    reach the tolerance.
    """
    method = settings.method()
    C = inverse_penalty(C, inputs.labels.n_models)
    start = check_start(start, inputs.labels, inputs.X.shape[1])
    n_passes = min(settings.max_iter, 40 if settings.solver == "lbfgs" else 300)
    short = not callbacks and settings.max_iter <= 2000
    with (
        prepare(inputs, settings, requested=requested, n_passes=n_passes, C=C, short=short) as data,
        ctrl_c(terminated=place is not None) as interrupted,
        closing(callbacks),
    ):
        begin = None
        if start is not None:
            begin = scaled_parameters(start, data.rows, intercept=settings.fit_intercept)

        def fingerprint() -> Fingerprint:
            how = {"C": C, "batched": batched, "start": begin}
            return fingerprint_of("train", inputs, settings, data.rows.backend, **how)

        with checkpointed(place, fingerprint, KEPT, backend=data.rows.backend) as kept:
            problem = data.problem(C)
            solution, progress = kept.read(problem, partial(within, max_iter=settings.max_iter))
            if solution is None:
                try:
                    solution = minimize_in_groups(
                        method,
                        problem,
                        groups_of(method, problem) if batched else one_by_one(problem),
                        max_iter=settings.max_iter,
                        tol=settings.tol,
                        start=begin,
                        callbacks=callbacks,
                        interrupted=interrupted,
                        checkpoint=kept.offer,
                        resumed=progress,
                    )
                except WorkersLostError as lost:
                    if lost.solution is not None:
                        lost.model = data.model(lost.solution, C, batched=batched)
                    raise
                kept.done(solution, solution.result)
    model = data.model(solution, C, batched=batched)
    if solution.result == "interrupted":
        raise TrainingInterrupted(
            f"Training was interrupted after {counted(model.n_iter, 'iteration')}; the model so "
            f"far is in `.model` of this exception.{kept.way_on}",
            model,
        )
    if solution.result in ("max_iter", "stalled") and settings.tol > 0:
        return model, advice_for(model, solution, data.rows, settings)
    return model, None


def within(kept: GroupedRun | Solution, max_iter: int) -> GroupedRun | Solution | None:
    """Return what was kept; None of a result that may take more iterations now."""
    return None if isinstance(kept, Solution) and falls_short(kept, max_iter) else kept


def about_training(progress: GroupedRun | None, result: Solution | None) -> dict[str, Any]:
    """Say how far a training has come, for whoever looks into its checkpoint."""
    if result is not None or progress is None:
        n_iter = 0 if result is None else len(result.seconds) - 1
        return {"where": f"done after {counted(n_iter, 'iteration')}", "iteration": n_iter}
    run, n, where = progress.run, len(progress.group), ""
    if (n_groups := int(progress.group.max()) + 1) > 1:
        where = f" of group {progress.number + 1} of {n_groups}"
    groups_done = sum(len(part.n_iter) for _, part in progress.parts)
    ended = len(run.columns) - int((~run.ending).sum())
    return {
        "where": f"iteration {run.iteration}{where}, {groups_done + ended} of {n} models done",
        "iteration": run.iteration,
        "seconds": run.seconds,
    }


KEPT = Kept(about_training, GroupedRun, Solution)


def check_start(start: Any, labels: Labels | LabelMatrix, n_features: int) -> OneVsAll | None:
    """Return the model to begin at, or raise ParameterError if it is none of these labels and rows.

    Only the weights have to fit: a model of other rows, settings or backend is as good a start.
    """
    if start is None:
        return None
    if not isinstance(start, OneVsAll):
        raise ParameterError(
            f"start is a {type(start).__name__}; expected a model that gpulr.train returned, or "
            "that gpulr.load read."
        )
    forms, same = ("one class for each row", "any number of labels for each row"), ""
    if start.n_features != n_features:
        has, here = counted(start.n_features, "feature"), f"X has {n_features}"
        same = "the same features"
    elif start.multilabel != labels.multilabel:
        has, here = forms[start.multilabel], f"y holds {forms[labels.multilabel]}"
        same = "labels of one form"
    elif not np.array_equal(start.classes, labels.classes):
        classes, others = (of.classes[:20].tolist() for of in (start, labels))
        has, here, same = f"the classes {classes}", f"y holds {others}", "the same classes"
    if same:
        raise ParameterError(
            f"start is a model of {has}, and {here}. Train on {same}, or leave start out."
        )
    if not all(np.all(np.isfinite(to_host(a))) for a in (start.weights, start.intercept)):
        raise ParameterError("start holds weights that are not finite. Leave start out.")
    return start


def advice_for(
    model: OneVsAll, solution: Solution, rows: Rows, settings: Settings
) -> Advice | None:
    """Say which models of a solution did not converge, and what to change."""
    left = np.flatnonzero(~solution.converged)
    names, norms = model.classes[-model.n_models :][left], solution.gradient_norm[-1, left]
    shown = ", ".join(f"{c} ({g:.1e})" for c, g in zip(names[:10], norms[:10], strict=True))
    unpenalized = np.isinf(model.settings["C"]).any()
    never = " (C = ∞ never converges on separable data)" if unpenalized else ""
    return how_to_converge(
        ends_of(solution),
        rows,
        settings,
        which=f"; class (largest gradient entry): {shown}{', …' if len(left) > 10 else ''}",
        use="The model is usable; for a closer optimum",
        or_else=f", or lower C{never}",
    )
