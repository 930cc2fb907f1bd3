"""Videos of a model at work, and of its training. They need the extra ``video``."""

from __future__ import annotations

from gpulr.video.film import Film
from gpulr.video.predictions import predictions
from gpulr.video.training import training

__all__ = ["Film", "predictions", "training"]
