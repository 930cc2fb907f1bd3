"""Pictures of models, of what they get right and wrong, of searches and of benchmarks.

>>> import gpulr
>>> data = gpulr.datasets.load_digits()
>>> model = gpulr.train(data)
>>> gpulr.show.weights(model).figure.savefig("weights.png")     # doctest: +SKIP

Every function draws on the matplotlib Axes that ``ax`` names, else on those of a new figure, and
returns the Axes. Pictures of several panels put them inside those Axes (``ax.child_axes``), so that
each picture can be a part of a larger figure. New figures are not pyplot's: there is nothing to
close, and no display is needed. A notebook shows the Axes that a cell ends in.

Labels are shown as they are, never taken for mathematics, and shortened where they are long.
Lines and bars are in Okabe & Ito's colours, told apart with any colour vision; what is right or
wrong has a mark too.
"""

from __future__ import annotations

from gpulr.show.benchmarks import benchmark
from gpulr.show.curves import c_path, cost
from gpulr.show.examples import mistakes, samples
from gpulr.show.scores import accuracy, confusion
from gpulr.show.weights import weights

__all__ = [
    "accuracy",
    "benchmark",
    "c_path",
    "confusion",
    "cost",
    "mistakes",
    "samples",
    "weights",
]


def __dir__() -> list[str]:
    return sorted(__all__)
