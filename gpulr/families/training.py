"""train(): from data to a model."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr._version import __version__
from gpulr.backend import backend_of, host_memory, is_device_array, to_host
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import Targets
from gpulr.errors import ConvergenceWarning, TrainingInterrupted, warn
from gpulr.families.advice import Advice, how_to_converge
from gpulr.families.inputs import Inputs, read_inputs
from gpulr.families.interrupt import closing, ctrl_c
from gpulr.families.settings import Settings
from gpulr.families.warm_start import check_start, parameters
from gpulr.kernels.fused_problem import problem_class
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import History, TrainingSettings
from gpulr.solvers import Solution, groups_of, minimize_in_groups
from gpulr.solvers.driver import Callback
from gpulr.validation.parameters import callables, inverse_penalty, switch
from gpulr.words import counted

__all__ = ["train"]


def train(
    X: Any = None,
    y: Any = None,
    *,
    backend: str = "auto",
    solver: str = "lbfgs",
    C: float | npt.ArrayLike = 1.0,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
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
) -> OneVsAll:
    """Train one logistic model per class, all at once, as the columns of one weight matrix.

    Parameters
    ----------
    X : (n_samples, n_features) array, images (n_samples, height, width, …), or a Dataset; optional
        Any real dtype, in any array library, or a table of numbers (pandas, Polars, Arrow, …). On
        a device it is used where it is, unless its library lacks something there, such as float64,
        which JAX has on request only: then on the host. Not modified, and never copied whole to a
        wider dtype: blocks of rows are converted as they are used. To a GPU it is copied once, and
        what of it does not fit there, block by block in every pass: it may be a memory map. None:
        the default data, MNIST or, where that cannot be had, the bundled digits.
    y : (n_samples,), or (n_samples, n_labels) of 0 and 1; optional
        Labels of any one type that can be sorted: numbers, booleans, strings, dates, …; two classes
        give one model, more give one each. Or, for rows that have any number of labels, a matrix
        (dense, sparse, or a DataFrame, whose columns name the labels): one model for each column.
        A column that is all 0 or all 1 is learnt as that constant.
    backend : "auto", "numpy" or "cupy"
        "auto": ``GPULR_BACKEND`` if set, else a GPU if it works and the work repays it, else NumPy.
        "cupy" on a machine that cannot run it trains on NumPy after a warning.
    solver : "lbfgs", "nesterov" or "gd"
        Preconditioned L-BFGS, which reaches the optimum in some ten passes; accelerated gradient
        descent; or the textbook's, at a fixed step.
    C : float or (n_models,) array
        Inverse regularisation strength as in scikit-learn, > 0; ∞ for none.
    sample_weight : (n_samples,), optional
        Weight of each row, ≥ 0; a weight of 2 counts as the row twice.
    class_weight : dict or "balanced", optional
        Weight of the rows of each class (1 where the dict has none), multiplied into
        ``sample_weight``; "balanced" is n_samples / (n_classes · rows of the class), where each row
        counts by its ``sample_weight``. Not for a matrix y.
    scale : float, "auto" or None
        What X is multiplied by, in effect; "auto" is 1/255 for uint8 and 1 otherwise, None is 1.
        ``C``, ``tol`` and ``learning_rate`` refer to the scaled X, the model's weights to X as
        passed.
    standardize : bool
        Shift and scale every feature to mean 0 and standard deviation 1, without a copy of X.
    fit_intercept : bool
        False: the intercept of the scaled X is 0. (With ``standardize``, that of X as passed is
        what the shift makes of it.)
    learning_rate : float, optional
        Fixed step size of "gd" and "nesterov"; None chooses one from a bound on the curvature.
    max_iter : int
        The most iterations; each is one pass over X.
    tol : float
        A model has converged when the largest absolute entry of its gradient is ≤ ``tol``; where
        rounding in ``dtype`` may hide that it is not, that is looked at in float64. In "lbfgs" the
        gradient is that of X with features of extreme size, whose largest (scaled) distance from
        their middle (from 0 without an intercept) is below 2⁻¹⁰ or above 2¹⁰, brought to about 1 by
        a power of two: other units of such a feature change neither when training ends nor what
        converged means. ``C`` refers to them as they are. With 0, exactly ``max_iter`` iterations
        are run.
    dtype : "float32" or "float64"
        What margins and products are computed in, and the weights' dtype. Sums are float64 always.
    batched : bool
        False trains the models one after the other, by the same code: same weights, slower. True
        trains them all at once, or in groups where they would take more than 1 GiB of working
        memory (:mod:`gpulr.solvers.groups`).
    start : OneVsAll, optional
        A model of the same features and classes, at whose weights training begins; without, at
        zero.
    callbacks : sequence of callables
        Called with a :class:`gpulr.callbacks.Progress` after each iteration; one that raises
        ``StopIteration`` ends training (of all models). One with a ``close`` method is closed at
        the end. On a GPU, which is asked every few iterations how far it is, they are called with
        each of these then; the model of one that ends training is that of its iteration all the
        same.
    image_shape : tuple of int, optional
        What a row looks like as an image; taken from X or the data set where they tell.

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
    DeviceMemoryError
        The device's memory does not suffice, even with the smallest blocks of rows.
    DivergenceError
        The cost became infinite: ``learning_rate`` is too large.
    TrainingInterrupted
        Ctrl-C; its ``model`` is the model so far.

    Warns
    -----
    ConvergenceWarning, BackendFallbackWarning, DataFallbackWarning

    Examples
    --------
    >>> import gpulr
    >>> data = gpulr.datasets.load_digits()
    >>> model = gpulr.train(data)
    >>> model.weights.shape
    (64, 10)
    """
    settings = Settings.checked(
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
    model, advice = train_on(
        read_inputs(X, y, image_shape),
        settings,
        backend=backend,
        C=C,
        sample_weight=sample_weight,
        class_weight=class_weight,
        batched=batched,
        start=start,
        callbacks=callbacks,
    )
    if advice:
        warn(advice.message, ConvergenceWarning)
    return model


@host_memory
def train_on(
    inputs: Inputs,
    settings: Settings,
    *,
    backend: str = "auto",
    C: float | npt.ArrayLike = 1.0,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    batched: bool = True,
    start: OneVsAll | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[OneVsAll, Advice | None]:
    """Do what :func:`train` does, with settings and inputs that are checked already.

    Returns
    -------
    model : OneVsAll
    advice : Advice or None
        Which models did not reach the tolerance, and what to change; None if all did.
    """
    labels = inputs.labels
    weight = labels.row_weight(sample_weight, class_weight)
    C = inverse_penalty(C, labels.n_models)
    start = check_start(start, labels, inputs.X.shape[1])
    passes = min(settings.max_iter, 40 if settings.solver == "lbfgs" else 300)
    xb = settings.backend(backend, inputs.X, passes * labels.n_models)
    with xb.activate():
        rows = settings.rows(inputs, xb)
        problem = weighted_problem(
            rows, labels.targets(xb, rows.dtype), C, weight, intercept=settings.fit_intercept
        )
        begin = None
        if start is not None:
            begin = parameters(start, rows, intercept=settings.fit_intercept)
        with ctrl_c() as interrupted, closing(callbacks):
            method = settings.method()
            alone = np.arange(problem.n_models)[:, np.newaxis]
            solution = minimize_in_groups(
                method,
                problem,
                groups_of(method, problem) if batched else list(alone),
                max_iter=settings.max_iter,
                tol=settings.tol,
                start=begin,
                callbacks=callbacks,
                interrupted=interrupted,
            )

    record: TrainingSettings = {
        "C": C,
        "sample_weight": sample_weight is not None,
        "class_weight": class_weight_record(class_weight),
        "batched": batched,
    }
    model = model_of(solution, inputs, rows, settings.record(rows) | record)
    if solution.result == "interrupted":
        raise TrainingInterrupted(
            f"Training was interrupted after {counted(model.n_iter, 'iteration')}; the model so "
            "far is in `.model` of this exception.",
            model,
        )
    if solution.result in ("max_iter", "stalled") and settings.tol > 0:
        return model, how_to_converge(model, solution.rounding, rows, settings)
    return model, None


def weighted_problem(
    rows: Rows,
    targets: Targets,
    C: float | list[float],
    weight: npt.NDArray[np.float64] | None,
    **keywords: Any,
) -> Problem:
    """Return the problem of rows that weigh ``weight`` (n_samples,), or all the same.

    ``keywords`` are those of :meth:`gpulr.core.problem.Problem.of`.
    """
    xb, unit = rows.backend, 1.0 if weight is None else float(weight.mean())
    each = np.broadcast_to(unit * np.asarray(C, dtype=np.float64), targets.n_models)
    # Weights a s with C / a are the same problem; those of mean 1 do not overflow.
    s = None if weight is None else xb.asarray(weight[:, np.newaxis] / unit, rows.dtype)
    problem = problem_class(xb)
    return problem.of(rows, targets, xb.asarray(each.copy()), sample_weight=s, **keywords)


def folded(theta: npt.NDArray[np.float64], rows: Rows) -> dict[str, npt.NDArray[np.float64]]:
    """Return parameters (n_features + 1, n_columns) as arrays of OneVsAll, which take X as is."""
    scale = rows.multiplier if isinstance(rows.multiplier, float) else to_host(rows.multiplier)
    W, b = scale * theta[:-1], theta[-1]
    if rows.center is None:
        return {"weights": W, "intercept": b}
    center = to_host(rows.center)
    return {
        "weights": W,
        "intercept": b - (center * W).sum(axis=0),
        "center": center[:, 0],
        "intercept_at_center": b,
    }


def model_of(
    solution: Solution, inputs: Inputs, rows: Rows, settings: TrainingSettings
) -> OneVsAll:
    """Fold scale and centre into the weights, and bring them to where the caller's X is."""
    backend, arrays = rows.backend, folded(solution.theta, rows)
    here: dict[str, Any] = {name: array.astype(settings["dtype"]) for name, array in arrays.items()}
    if is_device_array(inputs.X):
        here = {name: backend_of(inputs.X).asarray(array) for name, array in here.items()}
    versions = {"gpulr": __version__, "python": platform.python_version(), "numpy": np.__version__}
    versions |= {**backend.versions, "system": f"{platform.system()} {platform.machine()}"}
    return OneVsAll(
        **here,
        classes=inputs.labels.classes,
        history=History(
            solution.cost,
            solution.gradient_norm,
            solution.seconds,
            solution.n_iter,
            solution.converged,
            solution.stalled,
        ),
        backend=backend.name,
        device=backend.device_name,
        fallback_reason=backend.fallback_reason,
        settings=settings,
        scale=settings["scale"],
        image_shape=inputs.image_shape,
        data=inputs.record,
        versions=versions,
        multilabel=inputs.labels.multilabel,
    )


def class_weight_record(class_weight: Mapping[Any, float] | str | None) -> Any:
    """Return what a model remembers of the weights of classes."""
    if isinstance(class_weight, Mapping):
        return {str(label): float(weight) for label, weight in class_weight.items()}
    return class_weight
