"""A video of the weights while they are trained, with the cost and the accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

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
from gpulr.show.labels import label_text, label_texts
from gpulr.show.predictions import weight_images, weight_limit
from gpulr.solvers import Solver, minimize
from gpulr.solvers.solution import Callback
from gpulr.validation.parameters import callables, positive_number, whole_number
from gpulr.video.film import Film, Picture, Progress, checked, encode, shape_of
from gpulr.video.sheet import BLUE, LONGEST, MUTED, RIGHT, TRACK, Sheet

_METHODS = {"gd": "gradient descent", "nesterov": "accelerated gradient", "lbfgs": "L-BFGS"}
MOST_IMAGES = 30
ALMOST = 0.85  # of the largest side, at which images still are large
LOOSE = 60.0  # between rows of them, at most
AXIS = "iteration, on a square-root scale"
_HOLD = 1.5  # seconds, or a quarter of the video, in which the end stays to be looked at


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

    Raises
    ------
    DivergenceError
        The model's ``learning_rate`` is too large for this solver.
    GpulrError
        Others as :func:`gpulr.video.predictions`.
    """
    path, size, fps = checked(path, size, fps)
    frames = max(2, round(positive_number("seconds", seconds) * fps))
    max_iter = whole_number("max_iter", max_iter, least=1)
    shape_of(model)
    if (X_test is None) != (y_test is None):
        raise DataError("Pass both X_test and y_test, or neither.")
    settings = _settings(model, solver, max_iter)
    inputs = _inputs(model, X, y, sample_weight)
    evaluated, part = ((X, y), "training") if X_test is None else ((X_test, y_test), "test")
    run = Recording(
        *_train(model, inputs, settings, evaluated, callables(callbacks)),
        names=label_texts(model.classes[-model.n_models :], LONGEST),
        subject=f"{_METHODS[solver]} on {label_text(model.data.get('name', 'data'), LONGEST)}",
        measure=f"{part} accuracy" if not model.multilabel else f"all labels right, {part}",
    )
    pictures = pictures_of(run, size, frames, fps)
    encode(path, pictures, size=size, fps=fps, total=frames, progress=progress)
    return Film(path, frames, fps, size, float(run.accuracy[-1]))


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A training, iteration by iteration.

    Weights are (n_iter + 1, n_images, height, width). ``cost`` is the mean of the models' costs,
    ``accuracy`` that of the rows that are looked at, which ``measure`` names; both (n_iter + 1,).
    ``names`` are those of the models, ``subject`` is what is trained.
    """

    weights: npt.NDArray[np.float32]
    cost: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    names: list[str]
    subject: str
    measure: str


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
    images, accuracy, shape = [], [], shape_of(model)
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
            W = arrays["weights"][:, :MOST_IMAGES].astype(np.float32)
            images.append(weight_images(W, shape))

        solver: Any = _Watched(settings.method(), seen)
        solution = minimize(solver, problem, max_iter=n, tol=0.0, callbacks=callbacks)
    if solution.result == "interrupted":
        raise KeyboardInterrupt
    n = len(solution.cost)
    return np.stack(images[:n]), solution.cost.mean(axis=1), np.array(accuracy[:n])


def pictures_of(run: Recording, size: tuple[int, int], frames: int, fps: int) -> Iterator[Picture]:
    """Yield the pictures; between iterations, weights are on the straight line.

    Numbers and curves wait for the next iteration: a cost and an accuracy are only shown of models
    that there were.
    """
    hold = min(round(_HOLD * fps), frames // 4)
    moving = frames - hold
    limit = weight_limit(run.weights[-1])
    # Iterations as the square of the time.
    for t in (len(run.cost) - 1) * np.linspace(0, 1, moving) ** 2:
        yield _picture(run, float(t), limit, size), 1
    if hold:
        yield _picture(run, len(run.cost) - 1.0, limit, size), hold


def _picture(run: Recording, t: float, limit: float, size: tuple[int, int]) -> Image.Image:
    sheet, before, last = Sheet(size), int(t), len(run.cost) - 1
    after = min(before + 1, last)
    W = run.weights[before] + np.float32(t - before) * (run.weights[after] - run.weights[before])
    sheet.text(64, 84, f"Iteration {before}", size=44, bold=True)
    sheet.text(1216, 84, run.subject, size=24, color=MUTED, anchor="rs", width=700)
    _weights(sheet, W, run.names, limit)
    _legend(sheet, len(W), len(run.names))
    top, cost, accuracy = float(run.cost.max()), run.cost[before], 100 * run.accuracy[before]
    values, now = run.cost[: before + 1], f"{cost:.4f}"
    _curve(sheet, 132, "mean cost", now, values, last, top, f"{top:.2g}", BLUE)
    values, now = run.accuracy[: before + 1], f"{accuracy:.1f}%"
    _curve(sheet, 410, run.measure, now, values, last, 1.0, "100%", RIGHT)
    return sheet.image


def _weights(sheet: Sheet, W: npt.NDArray[np.float32], names: list[str], limit: float) -> None:
    """Show the weights of each model as an image under its name, as large as fits."""
    width, height, name, gap = 736.0, 528.0, 26.0, 10.0
    n = len(W)
    sides = {c: min(width / c - gap, height / -(-n // c) - name - gap) for c in range(1, n + 1)}
    fair = [c for c, side in sides.items() if side >= ALMOST * max(sides.values())]
    columns = min(fair, key=lambda c: (-n % c, -sides[c], -c))  # no holes, if that costs little
    side, rows = sides[columns], -(-n // columns)
    cell_w, cell_h = width / columns, min(height / rows, side + name + LOOSE)
    pixels = _diverging(np.clip(W / limit, -1, 1))
    for j in range(n):
        x = 64 + (j % columns) * cell_w
        y = 122 + (height - rows * cell_h) / 2 + (j // columns) * cell_h
        left, top = sheet.picture(x, y + name, side, pixels[j])
        sheet.text(left, top - 6, names[j], size=18, bold=True, width=cell_w - gap)


def _diverging(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return −1…1 as blue over white to red, (…, 3), which the colour-blind tell apart.

    The ends of the map are left out: they are too dark to tell apart.
    """
    from matplotlib import colormaps

    colors: npt.NDArray[np.uint8] = colormaps["RdBu_r"](0.5 + 0.45 * values, bytes=True)[..., :3]
    return colors


def _legend(sheet: Sheet, shown: int, of: int) -> None:
    """Draw what the colours mean, and say how many of the models are shown."""
    ramp = _diverging(np.linspace(-1, 1, 200, dtype=np.float32)[np.newaxis])
    y = 684.0
    x = 64 + sheet.text(64, y, "against the class", size=17, color=MUTED, anchor="lm") + 12
    for i, color in enumerate(ramp[0].tolist()):
        sheet.box(x + i, y - 8, 1, 16, "#{:02x}{:02x}{:02x}".format(*color))
    x += 212 + sheet.text(x + 212, y, "for the class", size=17, color=MUTED, anchor="lm")
    which = "all" if shown == of else f"the first {shown} of {of:,} classes"
    sheet.text(x + 40, y, f"one scale for {which}", size=17, color=MUTED, anchor="lm")


def _curve(
    sheet: Sheet,
    y: float,
    title: str,
    now: str,
    values: npt.NDArray[np.float64],
    last: int,
    top: float,
    top_label: str,
    color: str,
) -> None:
    """Draw a curve so far, of ``last`` iterations in the end, in a panel of its own."""
    x, width, height = 876.0, 340.0, 180.0
    sheet.text(x, y + 16, title, size=18, color=MUTED)
    sheet.text(x + width, y + 16, now, size=26, bold=True, color=color, anchor="rs")
    base = y + 36 + height
    for share in (0.0, 0.5, 1.0):
        sheet.box(x, base - share * height, width, 1.5, TRACK)
    # As time goes, so that early iterations have space.
    across = x + width * np.sqrt(np.arange(len(values)) / last)
    points = np.stack([across, base - height * values / top], axis=1)
    sheet.curve(points, color, width=3, dot=5)
    sheet.text(x - 8, base - height, top_label, size=14, color=MUTED, anchor="rm")
    sheet.text(x - 8, base, "0", size=14, color=MUTED, anchor="rm")
    for i in _ticks(last):
        place = x + width * float(np.sqrt(i / last))
        sheet.box(place - 0.5, base, 1.5, 5, MUTED)
        sheet.text(place, base + 20, str(i), size=14, color=MUTED, anchor="ms")
    sheet.text(x + width / 2, base + 38, AXIS, size=14, color=MUTED, anchor="ms")


def _ticks(last: int) -> list[int]:
    """Return the iterations to name on an axis of their square roots, some four."""
    ticks: list[int] = []
    for share in (0.0, 0.3, 0.6):
        i = share**2 * last
        unit = 10 ** max(0, int(np.log10(max(i, 1))))
        ticks.append(int(i / unit + 0.5) * unit)
    return [*dict.fromkeys(ticks), last]
