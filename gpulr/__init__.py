"""gpulr: train whole families of one-vs-all logistic models at once, as one weight matrix.

>>> import gpulr
>>> model = gpulr.train()                     # MNIST, on the GPU if there is one
>>> model.predict(images)                     # doctest: +SKIP

Names are resolved when first used, so importing gpulr loads no array library but NumPy's own.
"""

from __future__ import annotations

from gpulr._version import __version__

TYPE_CHECKING = False  # as typing has it, which would take longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

    from gpulr import callbacks, datasets, errors, logistic, show, video
    from gpulr.backend import backends
    from gpulr.errors import (
        BackendFallbackWarning,
        BackendUnavailableError,
        ConvergenceWarning,
        DataError,
        DataFallbackWarning,
        DataFileError,
        DataUnavailableError,
        DeviceMemoryError,
        DivergenceError,
        FileNotWrittenError,
        GpulrError,
        GpulrWarning,
        LabelColumnWarning,
        MissingExtraError,
        ModelFileError,
        ParameterError,
        ParameterWarning,
        RowNumberWarning,
        ScaleWarning,
        SearchInterrupted,
        TrainingInterrupted,
    )
    from gpulr.estimator import OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV
    from gpulr.intervals import Bootstrap
    from gpulr.model import OneVsAll
    from gpulr.onnx_pipelines import register_skl2onnx
    from gpulr.reporting import report
    from gpulr.resampling import bootstrap
    from gpulr.search_result import Search
    from gpulr.searching import search
    from gpulr.storage import load
    from gpulr.training import train

_SUBMODULES = ("callbacks", "datasets", "errors", "logistic", "show", "video")
_HOMES = {
    "backends": "backend",
    "Bootstrap": "intervals",
    "OneVsAll": "model",
    "OneVsAllLogisticRegression": "estimator",
    "OneVsAllLogisticRegressionCV": "estimator",
    "bootstrap": "resampling",
    "load": "storage",
    "register_skl2onnx": "onnx_pipelines",
    "report": "reporting",
    "Search": "search_result",
    "search": "searching",
    "train": "training",
    **dict.fromkeys(
        (
            "BackendFallbackWarning",
            "BackendUnavailableError",
            "ConvergenceWarning",
            "DataError",
            "DataFallbackWarning",
            "DataFileError",
            "DataUnavailableError",
            "DeviceMemoryError",
            "DivergenceError",
            "FileNotWrittenError",
            "GpulrError",
            "GpulrWarning",
            "LabelColumnWarning",
            "MissingExtraError",
            "ModelFileError",
            "ParameterError",
            "ParameterWarning",
            "RowNumberWarning",
            "ScaleWarning",
            "SearchInterrupted",
            "TrainingInterrupted",
        ),
        "errors",
    ),
}

__all__ = [
    "BackendFallbackWarning",
    "BackendUnavailableError",
    "Bootstrap",
    "ConvergenceWarning",
    "DataError",
    "DataFallbackWarning",
    "DataFileError",
    "DataUnavailableError",
    "DeviceMemoryError",
    "DivergenceError",
    "FileNotWrittenError",
    "GpulrError",
    "GpulrWarning",
    "LabelColumnWarning",
    "MissingExtraError",
    "ModelFileError",
    "OneVsAll",
    "OneVsAllLogisticRegression",
    "OneVsAllLogisticRegressionCV",
    "ParameterError",
    "ParameterWarning",
    "RowNumberWarning",
    "ScaleWarning",
    "Search",
    "SearchInterrupted",
    "TrainingInterrupted",
    "__version__",
    "backends",
    "bootstrap",
    "callbacks",
    "datasets",
    "errors",
    "load",
    "logistic",
    "register_skl2onnx",
    "report",
    "search",
    "show",
    "train",
    "video",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _SUBMODULES:
        return import_module(f"gpulr.{name}")
    if name in _HOMES:
        value = getattr(import_module(f"gpulr.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'gpulr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
