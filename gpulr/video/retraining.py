"""A video of the weights while they are trained, with the cost and the accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.core.problem import Problem
from gpulr.errors import DataError, ParameterError
from gpulr.families.inputs import Inputs
from gpulr.families.interrupt import closing
from gpulr.families.prepare import prepare
from gpulr.families.reading import read_inputs
from gpulr.families.settings import Settings
from gpulr.model.export import class_weight_of
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.model.record import weight_steps
from gpulr.show.labels import label_text, label_texts
from gpulr.show.predictions import feature_names, weight_images
from gpulr.solvers import Solver, minimize
from gpulr.solvers.solution import Callback
from gpulr.validation.parameters import callables, positive_number, whole_number
from gpulr.video.feature_bars import MOST, features_of
from gpulr.video.film import Film, Progress, checked, encode, shape_of
from gpulr.video.recording import Recording, pictures_of
from gpulr.video.sheet import LONGEST

_METHODS = {"gd": "gradient descent", "nesterov": "accelerated gradient", "lbfgs": "L-BFGS"}
MOST_IMAGES = 30


def training(
    model: OneVsAll,
    X: Any,
    y: Any,
    path: str | Path,
    *,
    X_test: Any = None,
    y_test: Any = None,
    sample_weight: npt.ArrayLike | None = None,
    solver: str = "gd",
    max_iter: int = 300,
    seconds: float = 12.0,
    size: tuple[int, int] = (1280, 720),
    fps: int = 30,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
) -> Film:
    """Train a model again, and write a video of its weights as they grow.

    For images, each class (of the first 30) has an image of its weights: red if a bright pixel
    speaks for the class, blue if it speaks against it. All have one scale, which is that of the
    end. Channels of colour images are added up. For a table, each class (of the first nine) has
    bars of the features whose weights are largest in the end, each for one standard deviation of
    its feature.

    Beside them stand the mean of the models' costs and the accuracy. Early iterations, which change
    most, are shown for longer. Needs the extra ``video``.

    Parameters
    ----------
    model : OneVsAll
        A model that was trained on images or on a table. The training shown has its settings,
        except for those below.
    X, y : rows and labels
        Training data, as they were passed to training.
    path : path-like
        The file to write, whose name ends in .mp4; a file that is there is replaced when the video
        is complete.
    X_test, y_test : rows and labels, optional
        Rows whose accuracy is shown; None is X and y.
    sample_weight : (n_samples,), optional
        The weights that the model was trained with, if any.
    solver : "gd", "nesterov" or "lbfgs"
        How to train; "gd" is the slowest, and its steps can be watched.
    max_iter : int
        Number of iterations; exactly so many are run.
    seconds : float
        Length of the video.
    size, fps, progress : as for :func:`gpulr.video.predictions`
    callbacks : sequence of callables
        Called with a :class:`gpulr.callbacks.Progress` after each iteration, as by ``train``.

    Returns
    -------
    Film

    Raises
    ------
    DivergenceError
        The model's ``learning_rate`` is too large for this solver.
    GpulrError
        Others, as :func:`gpulr.video.predictions`.
    """
    path, size, fps = checked(path, size, fps)
    frames = max(2, round(positive_number("seconds", seconds) * fps))
    max_iter = whole_number("max_iter", max_iter, least=1)
    if model.image_shape is not None:
        shape_of(model)
    if (X_test is None) != (y_test is None):
        raise DataError("Pass both X_test and y_test, or neither.")
    settings = _settings(model, solver, max_iter)
    inputs = _inputs(model, X, y, sample_weight)
    evaluated, part = ((X, y), "training") if X_test is None else ((X_test, y_test), "test")
    weights, cost, accuracy = _train(model, inputs, settings, evaluated, callables(callbacks))
    features, unit = None, ""
    if model.image_shape is None:
        weights, features, unit = _of_features(model, weights)
    run = Recording(
        weights=weights,
        cost=cost,
        accuracy=accuracy,
        features=features,
        unit=unit,
        names=label_texts(model.classes[-model.n_models :], LONGEST),
        subject=f"{_METHODS[solver]} on {label_text(model.data.get('name', 'data'), LONGEST)}",
        measure=f"{part} accuracy" if not model.multilabel else f"all labels right, {part}",
    )
    pictures = pictures_of(run, size, frames, fps)
    encode(path, pictures, size=size, fps=fps, total=frames, progress=progress)
    return Film(path, frames, fps, size, float(run.accuracy[-1]))


class _Watched:
    """A solver that shows all parameters on its way to ``seen``."""

    def __init__(self, solver: Solver, seen: Callable[[Any], None]) -> None:
        self._solver, self._seen = solver, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._solver, name)

    def aiming(self, tol: float) -> _Watched:
        return _Watched(self._solver.aiming(tol), self._seen)

    def init(self, *arguments: Any) -> Any:
        state = self._solver.init(*arguments)
        self._seen(state.theta)
        return state

    def advance(self, problem: Problem, state: Any, n: int) -> tuple[Any, Any, Sequence[Any]]:
        state, measured, thetas = self._solver.advance(problem, state, n)
        for i in range(n):
            self._seen(thetas[i])
        return state, measured, thetas


def _settings(model: OneVsAll, solver: str, max_iter: int) -> Settings:
    """Return the model's settings, with another solver; no model is done before ``max_iter``."""
    its = model.settings
    same = its.get("solver") == solver
    return Settings(
        solver=solver,
        scale=None if its.get("standardize") else model.scale,
        standardize=bool(its.get("standardize", False)),
        learning_rate=its.get("learning_rate") if same else None,
        max_iter=max_iter,
        tol=0.0,
        dtype=its.get("dtype", "float32"),
        fit_intercept=its.get("fit_intercept", True),
    )


def _inputs(model: OneVsAll, X: Any, y: Any, sample_weight: npt.ArrayLike | None) -> Inputs:
    """Return the rows and labels, which must be those that the model was trained on."""
    if model.settings.get("sample_weight") and sample_weight is None:
        raise ParameterError(
            "This model was trained with sample_weight, which it does not keep. Pass the same "
            "sample_weight= to gpulr.video.training."
        )
    inputs = read_inputs(rows_for(model, X), y, model.image_shape)
    labels = inputs.labels
    same = labels.multilabel == model.multilabel and labels.n_models == model.n_models
    # The columns of a matrix may have names in the model, and none here.
    if not same or not (model.multilabel or np.array_equal(labels.classes, model.classes)):
        raise DataError(
            f"y has the classes {labels.classes[:20].tolist()}; this model was trained on "
            f"{model.classes[:20].tolist()}. Pass the data it was trained on."
        )
    weights = class_weight_of(model), model.settings.get("pos_weight")
    return inputs.weighted(sample_weight, *weights)


def _train(
    model: OneVsAll,
    inputs: Inputs,
    settings: Settings,
    evaluated: tuple[Any, Any],
    callbacks: Sequence[Callback],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return weights, cost and accuracy as a :class:`Recording` holds them."""
    images, accuracy = [], []
    shape = None if model.image_shape is None else shape_of(model)
    C, n = model.settings.get("C", 1.0), settings.max_iter
    with (
        prepare(inputs, settings, requested="auto", n_passes=n, C=C) as data,
        closing(callbacks),
    ):
        problem = data.problem(C)

        def seen(theta: Any) -> None:
            arrays = {name: to_host(a) for name, a in data.parameters(to_host(theta)).items()}
            now: Any = replace(model, **arrays)  # type: ignore[arg-type]
            accuracy.append(now.score(*evaluated))
            W = arrays["weights"][:, : MOST_IMAGES if shape else MOST].astype(np.float32)
            images.append(W.T if shape is None else weight_images(W, shape))

        solver: Any = _Watched(settings.method(), seen)
        solution = minimize(solver, problem, max_iter=n, tol=0.0, callbacks=callbacks)
    if solution.result == "interrupted":
        raise KeyboardInterrupt
    n = len(solution.cost)
    return np.stack(images[:n]), solution.cost.mean(axis=1), np.array(accuracy[:n])


def _of_features(
    model: OneVsAll, W: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], list[list[str]], str]:
    """Return weights (n_iter + 1, n_models, n) of the features that matter; their names, and unit.

    ``W`` are (n_iter + 1, n_models, n_features), of X as it was passed.
    """
    step, unit = weight_steps(model)
    W = W * step.astype(np.float32)
    which, names = features_of(W[-1].T.astype(np.float64)), feature_names(model, LONGEST)
    chosen = np.take_along_axis(W, which.T[np.newaxis], axis=2)
    return chosen, [[names[f] for f in of_one] for of_one in which.T], unit
