"""train(): from data to a model."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpulr._version import __version__
from gpulr.arguments import (
    callables,
    compute_dtype,
    image_shape_of,
    inverse_penalty,
    shape_of_images,
    switch,
)
from gpulr.backend import backend_of, is_device_array, is_sparse, select, to_host
from gpulr.columns import ClassTargets
from gpulr.errors import (
    ConvergenceWarning,
    DataError,
    ParameterError,
    ScaleWarning,
    TrainingInterrupted,
)
from gpulr.interrupt import ctrl_c
from gpulr.model import History, OneVsAll
from gpulr.problem import Problem
from gpulr.rows import Rows, standardized
from gpulr.solvers import SOLVERS, Solution, Solver, minimize, minimize_one_by_one
from gpulr.solvers.driver import Callback
from gpulr.validation import (
    check_rows,
    check_sample_weight,
    check_y,
    finite_rows,
    positive_number,
    whole_number,
)

if TYPE_CHECKING:
    from gpulr.datasets import Dataset

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
    learning_rate: float | None = None,
    max_iter: int = 2000,
    tol: float = 1e-4,
    dtype: npt.DTypeLike = "float32",
    batched: bool = True,
    callbacks: Sequence[Callback] = (),
    image_shape: tuple[int, ...] | None = None,
) -> OneVsAll:
    """Train one logistic model per class, all at once, as the columns of one weight matrix.

    Parameters
    ----------
    X : (n_samples, n_features) array, images (n_samples, height, width, …), or a Dataset; optional
        Any real dtype, in any array library; on a device it is used where it is. Not modified, and
        never copied whole to another dtype: blocks of rows are converted as they are used. None:
        the default data, MNIST or, where that cannot be had, the bundled digits.
    y : (n_samples,), optional
        Labels: numbers, booleans or strings. Two classes give one model, more give one each.
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
        ``sample_weight``; "balanced" is n_samples / (n_classes · rows of the class).
    scale : float, "auto" or None
        What X is multiplied by, in effect; "auto" is 1/255 for uint8 and 1 otherwise, None is 1.
        ``C``, ``tol`` and ``learning_rate`` refer to the scaled X, the model's weights to X as
        passed.
    standardize : bool
        Shift and scale every feature to mean 0 and standard deviation 1, without a copy of X.
    learning_rate : float, optional
        Fixed step size of "gd" and "nesterov"; None chooses one from a bound on the curvature.
    max_iter : int
        The most iterations; each is one pass over X.
    tol : float
        A model has converged when the largest absolute entry of its gradient is ≤ ``tol``. With 0,
        exactly ``max_iter`` iterations are run.
    dtype : "float32" or "float64"
        What margins and products are computed in, and the weights' dtype. Sums are float64 always.
    batched : bool
        False trains the models one after the other, by the same code: same weights, slower.
    callbacks : sequence of callables
        Called with a :class:`gpulr.callbacks.Progress` after each iteration; one that raises
        ``StopIteration`` ends training (of all models). One with a ``close`` method is closed at
        the end.
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
    if not isinstance(solver, str) or solver not in SOLVERS:
        raise ParameterError(f"solver={solver!r}; use one of {tuple(SOLVERS)}.")
    dtype = compute_dtype(dtype)
    max_iter = whole_number("max_iter", max_iter, least=0)
    tol = positive_number("tol", tol, zero=True)
    standardize, batched = switch("standardize", standardize), switch("batched", batched)
    callbacks = callables(callbacks)
    if learning_rate is not None:
        learning_rate = positive_number("learning_rate", learning_rate)
        if solver == "lbfgs":
            raise ParameterError(
                f'learning_rate={learning_rate} has no use in solver="lbfgs", which searches along '
                'each direction. Leave it out, or use solver="gd" or "nesterov".'
            )
    if standardize and scale not in ("auto", None):
        raise ParameterError(f"standardize=True chooses the scale; leave out scale={scale!r}.")

    X, y, source, image_shape = _data(X, y, image_shape)
    n_samples, n_features = X.shape
    classes, codes = check_y(y, n_samples)
    targets = np.eye(len(classes))[:, 0 if len(classes) > 2 else 1 :]
    n_models = targets.shape[1]
    weight = check_sample_weight(sample_weight, class_weight, classes, codes)
    unit = 1.0 if weight is None else float(weight.mean())
    factor = 1.0 if standardize else _scale(scale, X)
    passes = min(max_iter, 40 if solver == "lbfgs" else 300)
    flops = 4.0 * n_samples * n_features * n_models * passes
    xb = select("numpy" if is_sparse(X) and backend == "auto" else backend, X=X, flops=flops)
    settings = {
        "solver": solver,
        "C": inverse_penalty(C, n_models),
        "scale": factor,
        "standardize": standardize,
        "sample_weight": sample_weight is not None,
        "class_weight": _class_weight_record(class_weight),
        "learning_rate": learning_rate,
        "max_iter": max_iter,
        "tol": tol,
        "dtype": dtype.name,
        "batched": batched,
    }
    with xb.activate():
        X_here, xp_dtype = xb.asarray(X), getattr(xb.xp, dtype.name)
        finite_rows(X_here, xb, xp_dtype)
        source["feature_range"] = _feature_range(xb.xp, X_here)
        if image_shape is not None and len(image_shape) == 2 and not is_sparse(X):
            source |= _look(X_here, image_shape)
        if isinstance(scale, str) and not standardize:
            _warn_of_small_bytes(X, source["feature_range"][1])
        if standardize:
            rows = standardized(X_here, xb, xp_dtype)
        else:
            rows = Rows(X_here, factor, None, xb, xp_dtype)
        problem = Problem.of(
            rows,
            ClassTargets(xb.asarray(codes), xb.asarray(targets, xp_dtype), xb),
            xb.asarray(
                np.broadcast_to(unit * np.asarray(settings["C"], dtype=np.float64), n_models).copy()
            ),
            # Weights a s with C / a are the same problem; those of mean 1 do not overflow.
            sample_weight=(
                None if weight is None else xb.asarray(weight[:, np.newaxis] / unit, xp_dtype)
            ),
        )
        method: Solver = SOLVERS[solver](learning_rate)
        with ctrl_c() as interrupted:
            try:
                solution = (minimize if batched else minimize_one_by_one)(
                    method,
                    problem,
                    max_iter=max_iter,
                    tol=tol,
                    callbacks=callbacks,
                    interrupted=interrupted,
                )
            finally:
                for callback in callbacks:
                    getattr(callback, "close", lambda: None)()

    model = _model(solution, X, rows, classes, settings, dtype, image_shape, source)
    if solution.result == "interrupted":
        raise TrainingInterrupted(
            f"Training was interrupted after {model.n_iter} iterations; the model so far is in "
            "`.model` of this exception.",
            model,
        )
    if solution.result in ("max_iter", "stalled") and tol > 0:
        _warn_not_converged(model, tol, max_iter)
    return model


def _data(
    X: Any, y: Any, image_shape: tuple[int, ...] | None
) -> tuple[Any, Any, dict[str, Any], tuple[int, ...] | None]:
    """Return X (two-dimensional), y, a record of where they came from, and the image shape."""
    from gpulr import datasets

    dataset: Dataset | None = None
    if X is None and y is None:
        dataset = datasets.load_default()
    elif isinstance(X, datasets.Dataset):
        if y is not None:
            raise DataError("A Dataset brings its own labels; pass y=None, or dataset.X and y.")
        dataset = X
    elif isinstance(X, str | os.PathLike):
        raise DataError(
            f"X is {str(X)!r}; expected an array or a Dataset. Pass "
            f"gpulr.datasets.load({str(X)!r})."
        )
    elif X is None or y is None:
        raise DataError("Pass both X and y, or neither to train on the default data.")
    if dataset is not None:
        X, y = dataset.X, dataset.y
        image_shape = dataset.image_shape if image_shape is None else image_shape
    elif image_shape is None:
        image_shape = shape_of_images(X)
    X = check_rows(X)
    record = {
        "name": dataset.name if dataset else "arrays",
        "source": dataset.source if dataset else "passed to train()",
        "n_samples": int(X.shape[0]),
        "dtype": str(X.dtype).rpartition(".")[2],
    }
    return X, y, record, None if image_shape is None else image_shape_of(image_shape, X.shape[1])


def _feature_range(xp: Any, X: Any) -> list[float]:
    if is_sparse(X):
        return [float(X.data.min(initial=0)), float(X.data.max(initial=0))]
    if xp.isdtype(X.dtype, "bool"):  # which has no minimum in the array API standard
        return [float(xp.all(X)), float(xp.any(X))]
    return [float(xp.min(X)), float(xp.max(X))]


def _look(X: Any, image_shape: tuple[int, ...]) -> dict[str, Any]:
    """Return how the first thousand images look, for pictures that are to look like them.

    "background" is "dark" or "bright"; "extent" the share of the frame that what is drawn spans, in
    the direction in which it spans more: 20/28 for MNIST.
    """
    images = to_host(X[: min(1000, X.shape[0]), :]).reshape(-1, *image_shape).astype(np.float32)
    middle = (images.max() + images.min()) / 2
    border = np.concatenate(
        [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1
    )
    bright = bool(border.mean() > middle)
    drawn = images < middle if bright else images > middle
    spans = [drawn.any(axis=3 - axis).sum(axis=1) / image_shape[axis - 1] for axis in (1, 2)]
    extent = float(np.median(np.maximum(*spans)))
    return {"background": "bright" if bright else "dark", "extent": extent or 1.0}


def _warn_of_small_bytes(X: Any, largest: float) -> None:
    if str(X.dtype).endswith("uint8") and 1 < largest < 64:
        warnings.warn(
            f'X is uint8 and goes up to {largest:g} only; scale="auto" divides by 255 all the '
            "same, which makes the penalty strong. If these are not pixels from 0 to 255, pass "
            f"scale=1/{largest:g}, or scale=None.",
            ScaleWarning,
            stacklevel=4,
        )


def _scale(scale: float | str | None, X: Any) -> float:
    if isinstance(scale, str) and scale == "auto":
        return 1.0 / 255.0 if str(X.dtype).endswith("uint8") else 1.0
    return 1.0 if scale is None else positive_number("scale", scale)


def _model(
    solution: Solution,
    X: Any,
    rows: Rows,
    classes: npt.NDArray[Any],
    settings: dict[str, Any],
    dtype: np.dtype[Any],
    image_shape: tuple[int, ...] | None,
    data: dict[str, Any],
) -> OneVsAll:
    """Fold scale and centre into the weights, and bring them to where the caller's X is."""
    backend = rows.backend
    scale = rows.scale if isinstance(rows.scale, float) else to_host(rows.scale)
    W, b = scale * solution.theta[:-1], solution.theta[-1]
    arrays = {"weights": W, "intercept": b}
    if rows.center is not None:
        center = to_host(rows.center)
        arrays = {
            "weights": W,
            "intercept": b - (center * W).sum(axis=0),
            "center": center[:, 0],
            "intercept_at_center": b,
        }
    here: dict[str, Any] = {name: array.astype(dtype) for name, array in arrays.items()}
    if is_device_array(X):
        here = {name: backend_of(X).asarray(array) for name, array in here.items()}
    versions = {"gpulr": __version__, "python": platform.python_version(), "numpy": np.__version__}
    versions |= backend.versions
    return OneVsAll(
        **here,
        classes=classes,
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
        image_shape=image_shape,
        data=data,
        versions=versions,
    )


def _class_weight_record(class_weight: Mapping[Any, float] | str | None) -> Any:
    if isinstance(class_weight, Mapping):
        return {str(label): float(weight) for label, weight in class_weight.items()}
    return class_weight


def _warn_not_converged(model: OneVsAll, tol: float, max_iter: int) -> None:
    """Warn once for all models that did not converge, with what to change."""
    history = model.history
    left = np.flatnonzero(~history.converged)
    names = model.classes[left] if len(model.classes) > 2 else model.classes[1:]
    norms = history.gradient_norm[-1, left]
    shown = ", ".join(f"{c} ({g:.1e})" for c, g in zip(names[:10], norms[:10], strict=True))
    advice = "raise max_iter, scale the features (standardize=True), or lower C"
    if np.isinf(model.settings["C"]).any():
        advice += " (C = ∞ never converges on separable data)"
    if history.stalled.all():
        how = f"{model.settings['dtype']} allows no closer approach"
        advice = 'raise tol, or train with dtype="float64"'
    elif history.stalled.any():
        how = f"in {max_iter} iterations, or as far as {model.settings['dtype']} allows"
        advice += '; dtype="float64" allows more'
    else:
        how = f"in {max_iter} iterations"
    warnings.warn(
        f"{len(left)} of {model.n_models} models did not reach tol={tol:g} ({how}); class (largest "
        f"gradient entry): {shown}{', …' if len(left) > 10 else ''}. The model is usable; for a "
        f"closer optimum {advice}.",
        ConvergenceWarning,
        stacklevel=3,
    )
