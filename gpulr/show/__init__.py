"""Pictures of models, of what they get right and wrong, of searches and of benchmarks.

>>> import gpulr
>>> data = gpulr.datasets.load_digits()
>>> model = gpulr.train(data)
>>> gpulr.show.weights(model).figure.savefig("weights.png")     # doctest: +SKIP

Every function draws on the matplotlib Axes ``ax``, or on those of a new figure, and returns the
Axes. Pictures of several panels put them inside those Axes (``ax.child_axes``), so that each
picture can be a part of a larger figure. New figures are not pyplot's: there is nothing to close,
and no display is needed. A notebook shows the Axes that a cell ends in. What cannot be drawn, or
drawn on, raises ``ParameterError``.

Labels are shown as they are, never taken for mathematics, and long ones are shortened. Lines and
bars are in Okabe & Ito's colours, which can be told apart with any colour vision; what is right or
wrong has a mark too.

In this package: pictures of what a function is handed, and predictions.py, the view of predictions
that reports, videos and the command line share. It may import images, datasets and what is below.
Matplotlib is the extra ``plot``, and loaded with the first picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpulr.errors import needs_extra

if TYPE_CHECKING:
    from gpulr.show.benchmarks import benchmark
    from gpulr.show.costs import cost
    from gpulr.show.curves import calibration, precision_recall, roc
    from gpulr.show.examples import mistakes, samples
    from gpulr.show.intervals import bootstrap
    from gpulr.show.matrix import confusion
    from gpulr.show.models import weights
    from gpulr.show.paths import c_path, path
    from gpulr.show.scores import accuracy
    from gpulr.show.sizes import learning_curve

__all__ = [
    "accuracy",
    "benchmark",
    "bootstrap",
    "c_path",
    "calibration",
    "confusion",
    "cost",
    "learning_curve",
    "mistakes",
    "path",
    "precision_recall",
    "roc",
    "samples",
    "weights",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'gpulr.show' has no attribute {name!r}")
    with needs_extra("plot", "Drawing needs matplotlib"):
        from gpulr.show import (
            benchmarks,
            costs,
            curves,
            examples,
            intervals,
            matrix,
            models,
            paths,
            scores,
            sizes,
        )
    of_models = benchmarks, costs, curves, examples, intervals, matrix, models, paths, scores, sizes
    for module in of_models:
        globals().update({each: vars(module)[each] for each in __all__ if each in vars(module)})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
