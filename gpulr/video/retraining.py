"""The weights of every class while they are trained, with the cost and the accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.errors import DataError, ParameterError
from gpulr.families.inputs import read_inputs
from gpulr.families.interrupt import closing
from gpulr.families.prepare import prepare
from gpulr.families.settings import Settings
from gpulr.model.export import class_weight_of
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.show.predictions import label_text, label_texts, weight_images
from gpulr.solvers import Solver, minimize
from gpulr.solvers.solution import Callback
from gpulr.validation.parameters import callables, positive_number, whole_number
from gpulr.video.draw_training import MOST_IMAGES, About, Recording, pictures_of
from gpulr.video.encoder import check_output, check_size, encode, require_pyav
from gpulr.video.film import Film, Progress, shape_of
from gpulr.video.sheet import LONGEST

_METHODS = {"gd": "gradient descent", "nesterov": "accelerated gradient", "lbfgs": "L-BFGS"}


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

    There is an image of each class's weights (of the first 30 classes; the channels of a coloured
    image are added up), red where a bright pixel speaks for the class and blue where it speaks
    against it, all on one scale that is that of the end. Beside them stand the mean of the models'
    costs and the accuracy. Early iterations, which change most, are shown for longer. Needs the
    extra ``video``.

    Parameters
    ----------
    model : OneVsAll
        Trained on images; its settings are those of the training shown, but for the ones below.
    X, y : rows and labels
        As training was given them.
    path : path-like
        Ends in .mp4; replaced when the video is complete.
    X_test, y_test : rows and labels, optional
        Whose accuracy is shown; without, that of X and y.
    sample_weight : (n_samples,), optional
        What the model was trained with, if with any.
    solver : "gd", "nesterov" or "lbfgs"
        How to train; "gd" is the slowest, and the one whose steps can be watched.
    max_iter : int
        Iterations; exactly so many are run.
    seconds : float
        Length of the video.
    size, fps, progress : as for :func:`gpulr.video.predictions`
    callbacks : sequence of callables
        Called with a :class:`gpulr.callbacks.Progress` after each iteration, as by ``train``.

    Returns
    -------
    Film
        What was written.

    Raises
    ------
    DataError
        The model was not trained on images; X or y do not belong to it.
    DataFileError
        The video could not be written.
    DivergenceError
        The model's ``learning_rate`` is too large for this solver.
    MissingExtraError
        PyAV is not installed.
    ParameterError
        A setting cannot be used.
    """
    require_pyav()
    path = check_output(path)
    size, fps = check_size(size, fps)
    frames = max(2, round(positive_number("seconds", seconds) * fps))
    max_iter = whole_number("max_iter", max_iter, least=1)
    shape = shape_of(model)
    if (X_test is None) != (y_test is None):
        raise DataError("Pass both X_test and y_test, or neither.")
    evaluated = (X, y) if X_test is None else (X_test, y_test)
    run = _train(
        model, X, y, evaluated, shape, _settings(model, solver, max_iter), sample_weight, callbacks
    )
    part = "training" if X_test is None else "test"
    about = About(
        names=label_texts(model.classes[-model.n_models :], LONGEST),
        subject=f"{_METHODS[solver]} on {label_text(model.data.get('name', 'data'), LONGEST)}",
        accuracy=f"{part} accuracy" if not model.multilabel else f"all labels right, {part}",
    )
    pictures = pictures_of(run, about, size, frames, fps)
    encode(path, pictures, size=size, fps=fps, total=frames, progress=progress)
    return Film(path, frames, fps, size, float(run.accuracy[-1]))


@dataclass(frozen=True, slots=True)
class _Watched:
    """A solver that shows each of its states' parameters to ``seen``."""

    solver: Solver
    seen: Callable[[Any], None]

    def prepare(self, problem: Problem) -> Any:
        return self.solver.prepare(problem)

    def init(self, problem: Problem, theta: Any = None, prepared: Any = None) -> Any:
        state = self.solver.init(problem, theta, prepared)
        self.seen(state.theta)
        return state

    def step(self, problem: Problem, state: Any) -> Any:
        state = self.solver.step(problem, state)
        self.seen(state.theta)
        return state

    def advance(self, problem: Problem, state: Any, n: int) -> tuple[Any, Any, Sequence[Any]]:
        state, measured, thetas = self.solver.advance(problem, state, n)
        for i in range(n):
            self.seen(thetas[i])
        return state, measured, thetas

    def column_bytes(self, rows: Rows) -> int:
        return self.solver.column_bytes(rows)


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


def _train(
    model: OneVsAll,
    X: Any,
    y: Any,
    evaluated: tuple[Any, Any],
    shape: tuple[int, ...],
    settings: Settings,
    sample_weight: npt.ArrayLike | None,
    callbacks: Sequence[Callback],
) -> Recording:
    if model.settings.get("sample_weight") and sample_weight is None:
        raise ParameterError(
            "This model was trained with sample_weight, which it does not keep. Pass the same "
            "sample_weight= to gpulr.video.training."
        )
    callbacks = callables(callbacks)
    inputs = read_inputs(rows_for(model, X), y, shape)
    labels = inputs.labels
    same = labels.multilabel == model.multilabel and labels.n_models == model.n_models
    # The columns of a matrix may have names in the model, and none here.
    if not same or not (model.multilabel or np.array_equal(labels.classes, model.classes)):
        raise DataError(
            f"y has the classes {labels.classes[:20].tolist()}; this model was trained on "
            f"{model.classes[:20].tolist()}. Pass the data it was trained on."
        )
    inputs = inputs.weighted(sample_weight, class_weight_of(model))
    images: list[npt.NDArray[np.float32]] = []
    accuracy: list[float] = []
    with (
        prepare(inputs, settings, requested="auto", n_passes=settings.max_iter) as data,
        closing(callbacks),
    ):
        problem = data.problem(model.settings.get("C", 1.0))

        def seen(theta: Any) -> None:
            arrays = {name: to_host(a) for name, a in data.parameters(to_host(theta)).items()}
            now: Any = replace(model, **arrays)  # type: ignore[arg-type]
            accuracy.append(now.score(*evaluated))
            W = arrays["weights"][:, :MOST_IMAGES].astype(np.float32)
            images.append(weight_images(W, shape))

        solution = minimize(
            _Watched(settings.method(), seen),
            problem,
            max_iter=settings.max_iter,
            tol=0.0,
            callbacks=callbacks,
        )
    if solution.result == "interrupted":
        raise KeyboardInterrupt
    n = len(solution.cost)
    return Recording(np.stack(images[:n]), solution.cost.mean(axis=1), np.array(accuracy[:n]))
