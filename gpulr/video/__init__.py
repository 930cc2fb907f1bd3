"""Videos of a model at work, and of its training. They need the extra ``video``.

In this package: what becomes an MP4 file. It may import show, families and what is below them;
only film.py imports PyAV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpulr.errors import needs_extra

if TYPE_CHECKING:
    from gpulr.video.film import Film
    from gpulr.video.predicting import predictions
    from gpulr.video.retraining import training

__all__ = ["Film", "predictions", "training"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'gpulr.video' has no attribute {name!r}")
    with needs_extra("video", "Videos need PyAV and Pillow"):
        from gpulr.video.film import Film
        from gpulr.video.predicting import predictions
        from gpulr.video.retraining import training

    globals().update(Film=Film, predictions=predictions, training=training)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
