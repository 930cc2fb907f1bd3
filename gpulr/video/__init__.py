"""Videos of a model at work, and of its training. They need the extra ``video``."""

from __future__ import annotations

from gpulr.video.film import Film
from gpulr.video.predicting import predictions
from gpulr.video.retraining import training

__all__ = ["Film", "predictions", "training"]


def __dir__() -> list[str]:
    return sorted(__all__)
