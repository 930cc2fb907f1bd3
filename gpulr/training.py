"""train(): from data to a model."""

from __future__ import annotations

import math
import platform
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpulr._version import __version__
from gpulr.backend import Backend, backend_of, is_device_array, select, to_host
from gpulr.errors import ConvergenceWarning, DataError, ParameterError, TrainingInterrupted
from gpulr.model import History, OneVsAll
from gpulr.problem import Problem
from gpulr.solvers import SOLVERS, Solution, Solver, minimize
from gpulr.solvers.driver import Callback
from gpulr.validation import check_rows, check_y, finite_rows, positive_number, whole_number

if TYPE_CHECKING:
    from gpulr.datasets import Dataset

__all__ = ["train"]


def train(
    X: Any = None,
    y: Any = None,
    *,
    backend: str = "auto",
    solver: str = "nesterov",
    C: float | npt.ArrayLike = 1.0,
    scale: float | str | None = "auto",
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
    solver : "nesterov" or "gd"
        Accelerated gradient descent, or the textbook's at a fixed step.
    C : float or (n_models,) array
        Inverse regularisation strength as in scikit-learn, > 0; ∞ for none.
    scale : float, "auto" or None
        What X is multiplied by, in effect; "auto" is 1/255 for uint8 and 1 otherwise, None is 1.
        ``C``, ``tol`` and ``learning_rate`` refer to the scaled X, the model's weights to X as
        passed.
    learning_rate : float, optional
        Fixed step size; None chooses one from a bound on the curvature.
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
    dtype = _compute_dtype(dtype)
    max_iter = whole_number("max_iter", max_iter, least=0)
    tol = positive_number("tol", tol, zero=True)
    callbacks = _callables(callbacks)
    if learning_rate is not None:
        learning_rate = positive_number("learning_rate", learning_rate)

    X, y, source, image_shape = _data(X, y, image_shape)
    n_samples, n_features = X.shape
    classes, codes = check_y(y, n_samples)
    positive = np.arange(len(classes)) if len(classes) > 2 else np.array([1])
    factor = _scale(scale, X)
    passes = min(max_iter, 300)
    xb = select(backend, X=X, flops=4.0 * n_samples * n_features * len(positive) * passes)
    settings = {
        "solver": solver,
        "C": _inverse_penalty(C, len(positive)),
        "scale": factor,
        "learning_rate": learning_rate,
        "max_iter": max_iter,
        "tol": tol,
        "dtype": dtype.name,
        "batched": bool(batched),
    }
    with xb.activate():
        X_here, compute_dtype = xb.asarray(X), getattr(xb.xp, dtype.name)
        finite_rows(X_here, xb, compute_dtype)
        source["feature_range"] = _feature_range(xb.xp, X_here)
        problem = Problem(
            X=X_here,
            codes=xb.asarray(codes),
            positive=xb.asarray(positive.astype(np.int32)),
            C=xb.asarray(
                np.broadcast_to(np.asarray(settings["C"], dtype=np.float64), positive.shape).copy()
            ),
            scale=factor,
            backend=xb,
            dtype=compute_dtype,
        )
        method: Solver = SOLVERS[solver](learning_rate)
        with _ctrl_c() as interrupted:
            try:
                run = _all_at_once if batched else _one_by_one
                solution = run(method, problem, max_iter, tol, callbacks, interrupted)
            finally:
                for callback in callbacks:
                    getattr(callback, "close", lambda: None)()

    model = _model(solution, X, classes, xb, settings, dtype, image_shape, source)
    if solution.result == "interrupted":
        raise TrainingInterrupted(
            f"Training was interrupted after {model.n_iter} iterations; the model so far is in "
            "`.model` of this exception.",
            model,
        )
    if solution.result == "max_iter" and tol > 0:
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
    elif X is None or y is None:
        raise DataError("Pass both X and y, or neither to train on the default data.")
    if dataset is not None:
        X, y = dataset.X, dataset.y
        image_shape = dataset.image_shape if image_shape is None else image_shape
    elif image_shape is None:
        image_shape = _shape_of_images(X)
    X = check_rows(X)
    record = {
        "name": dataset.name if dataset else "arrays",
        "source": dataset.source if dataset else "passed to train()",
        "n_samples": int(X.shape[0]),
        "dtype": str(X.dtype).rpartition(".")[2],
    }
    return X, y, record, None if image_shape is None else _image_shape(image_shape, X.shape[1])


def _shape_of_images(X: Any) -> tuple[int, ...] | None:
    try:
        shape = X.shape if hasattr(X, "shape") else np.shape(X)
    except ValueError:  # lists of different lengths, which the check of X reports
        return None
    return tuple(shape[1:]) if len(shape) > 2 else None


def _callables(callbacks: Any) -> tuple[Callback, ...]:
    try:
        checked = tuple(callbacks)
    except TypeError:
        checked = (None,)
    if not all(callable(callback) for callback in checked):
        raise ParameterError(f"callbacks={callbacks!r}; expected a list of callables.")
    return checked


def _image_shape(image_shape: Any, n_features: int) -> tuple[int, ...]:
    try:
        shape = tuple(whole_number("image_shape", side, least=1) for side in image_shape)
    except TypeError:  # a single number
        shape = ()
    if math.prod(shape) != n_features or not shape:
        raise ParameterError(f"image_shape={image_shape} does not fit {n_features} features.")
    return shape


def _feature_range(xp: Any, X: Any) -> list[float]:
    if xp.isdtype(X.dtype, "bool"):  # which has no minimum in the array API standard
        return [float(xp.all(X)), float(xp.any(X))]
    return [float(xp.min(X)), float(xp.max(X))]


def _scale(scale: float | str | None, X: Any) -> float:
    if isinstance(scale, str) and scale == "auto":
        return 1.0 / 255.0 if str(X.dtype).endswith("uint8") else 1.0
    return 1.0 if scale is None else positive_number("scale", scale)


def _inverse_penalty(C: Any, n_models: int) -> float | list[float]:
    expected = f"expected a number or ({n_models},)"
    try:
        each = to_host(C)
    except ValueError as error:
        raise ParameterError(f"C cannot be made into an array: {error}; {expected}.") from error
    if each.ndim == 0:
        return positive_number("C", C, infinite=True)
    values = [positive_number("C", c, infinite=True) for c in each.ravel()]
    if each.shape != (n_models,):
        raise ParameterError(f"C has shape {each.shape}; {expected}.")
    return values


def _compute_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    try:
        result = np.dtype(np.void if dtype is None else dtype)  # NumPy takes None for float64
    except TypeError:
        result = np.dtype(np.void)
    if result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ParameterError(f'dtype={dtype!r}; use "float32" or "float64".')
    return result


def _all_at_once(
    solver: Solver,
    problem: Problem,
    max_iter: int,
    tol: float,
    callbacks: Sequence[Callback],
    interrupted: Callable[[], bool],
) -> Solution:
    return minimize(
        solver, problem, max_iter=max_iter, tol=tol, callbacks=callbacks, interrupted=interrupted
    )


def _one_by_one(
    solver: Solver,
    problem: Problem,
    max_iter: int,
    tol: float,
    callbacks: Sequence[Callback],
    interrupted: Callable[[], bool],
) -> Solution:
    """Train one model after the other, each a problem of one column, and put them side by side."""
    parts: list[Solution] = []
    for j in range(problem.n_models):
        column = problem.select(problem.backend.asarray(np.array([j], dtype=np.int32)))
        parts.append(
            minimize(
                solver,
                column,
                max_iter=max_iter,
                tol=tol,
                callbacks=callbacks,
                models=np.array([j]),
                interrupted=interrupted,
            )
        )
        if parts[-1].result in ("interrupted", "stopped"):
            break
    result = parts[-1].result
    if result not in ("interrupted", "stopped"):
        result = "converged" if all(p.converged.all() for p in parts) else "max_iter"
    untrained = problem.n_models - len(parts)
    length = max(len(part.seconds) for part in parts)

    def side_by_side(name: str, fill: float) -> npt.NDArray[Any]:
        columns = [getattr(part, name) for part in parts]
        padded = [np.pad(c, ((0, length - len(c)), (0, 0)), mode="edge") for c in columns]
        return np.hstack([*padded, np.full((length, untrained), fill)])

    seconds = [np.pad(p.seconds, (0, length - len(p.seconds)), mode="edge") for p in parts]
    zeros = np.zeros(untrained)
    return Solution(
        theta=np.hstack([p.theta for p in parts] + [np.zeros((problem.n_features + 1, untrained))]),
        n_iter=np.concatenate([*(p.n_iter for p in parts), zeros.astype(np.int64)]),
        converged=np.concatenate([*(p.converged for p in parts), zeros.astype(np.bool_)]),
        cost=side_by_side("cost", np.nan),
        gradient_norm=side_by_side("gradient_norm", np.nan),
        seconds=np.sum(seconds, axis=0),
        result=result,
    )


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C finish the iteration: yields a function that tells whether it was pressed.

    A second Ctrl-C interrupts at once. Other threads get no signals, and a handler that the program
    installed itself is left alone.
    """
    pressed = threading.Event()
    own = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )

    def press(signum: int, frame: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if own:
        signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        if own:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _model(
    solution: Solution,
    X: Any,
    classes: npt.NDArray[Any],
    backend: Backend,
    settings: dict[str, Any],
    dtype: np.dtype[Any],
    image_shape: tuple[int, ...] | None,
    data: dict[str, Any],
) -> OneVsAll:
    weights: Any = (settings["scale"] * solution.theta[:-1]).astype(dtype)
    intercept: Any = solution.theta[-1].astype(dtype)
    if is_device_array(X):
        caller = backend_of(X)
        weights, intercept = caller.asarray(weights), caller.asarray(intercept)
    versions = {"gpulr": __version__, "python": platform.python_version(), "numpy": np.__version__}
    versions[backend.name] = backend.version
    return OneVsAll(
        weights=weights,
        intercept=intercept,
        classes=classes,
        history=History(
            solution.cost,
            solution.gradient_norm,
            solution.seconds,
            solution.n_iter,
            solution.converged,
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


def _warn_not_converged(model: OneVsAll, tol: float, max_iter: int) -> None:
    left = np.flatnonzero(~model.history.converged)
    names = model.classes[left] if len(model.classes) > 2 else model.classes[1:]
    norms = model.history.gradient_norm[-1, left]
    shown = ", ".join(f"{c} ({g:.1e})" for c, g in zip(names[:10], norms[:10], strict=True))
    warnings.warn(
        f"{len(left)} of {model.n_models} models did not reach tol={tol:g} in {max_iter} "
        f"iterations; class (largest gradient entry): {shown}{', …' if len(left) > 10 else ''}. "
        "The model is usable; for a closer optimum raise max_iter, scale the features to 0…1, or "
        "lower C (C = ∞ never converges on separable data).",
        ConvergenceWarning,
        stacklevel=3,
    )
