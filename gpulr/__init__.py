"""gpulr: train whole families of one-vs-all logistic models at once, as one weight matrix.

>>> import gpulr
>>> model = gpulr.train()                     # MNIST, on a GPU where that is worth it
>>> model.predict(images)                     # doctest: +SKIP

Names are resolved when first used, so importing gpulr loads no array library.
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
        CheckpointError,
        CheckpointWarning,
        ConvergenceWarning,
        DataError,
        DataFallbackWarning,
        DataFileError,
        DataUnavailableError,
        DeviceLostError,
        DeviceMemoryError,
        DivergenceError,
        FileNotWrittenError,
        FoldWarning,
        FontWarning,
        GpulrError,
        GpulrWarning,
        KernelCacheWarning,
        LabelColumnWarning,
        MissingExtraError,
        ModelFileError,
        ParameterError,
        ParameterWarning,
        RechunkWarning,
        ResumedWarning,
        RowNumberWarning,
        ScaleWarning,
        SearchInterrupted,
        TrainingInterrupted,
        UndefinedScoreWarning,
        VersionWarning,
        WorkersLostError,
    )
    from gpulr.estimators.cross_validated import OneVsAllLogisticRegressionCV
    from gpulr.estimators.logistic_regression import OneVsAllLogisticRegression
    from gpulr.estimators.onnx_pipelines import register_skl2onnx
    from gpulr.families.bootstrap import bootstrap
    from gpulr.families.intervals import Bootstrap
    from gpulr.families.learning_curve import LearningCurve, learning_curve
    from gpulr.families.out_of_fold import cross_val_predict
    from gpulr.families.permutation_test import PermutationTest, permutation_test
    from gpulr.families.search import search
    from gpulr.families.search_result import Search
    from gpulr.families.training import train
    from gpulr.model.comparison import Comparison, compare
    from gpulr.model.from_torch import from_torch
    from gpulr.model.one_vs_all import OneVsAll, load
    from gpulr.model.stacking import stack
    from gpulr.reporting import report
    from gpulr.sources import Blocks

_SUBMODULES = ("callbacks", "datasets", "errors", "logistic", "show", "video")
_HOMES = {  # of the public names; those that are not here are in errors
    "backends": "backend",
    "Blocks": "sources",
    "Bootstrap": "families.intervals",
    "Comparison": "model.comparison",
    "LearningCurve": "families.learning_curve",
    "OneVsAll": "model.one_vs_all",
    "OneVsAllLogisticRegression": "estimators.logistic_regression",
    "OneVsAllLogisticRegressionCV": "estimators.cross_validated",
    "PermutationTest": "families.permutation_test",
    "bootstrap": "families.bootstrap",
    "compare": "model.comparison",
    "cross_val_predict": "families.out_of_fold",
    "from_torch": "model.from_torch",
    "learning_curve": "families.learning_curve",
    "load": "model.one_vs_all",
    "permutation_test": "families.permutation_test",
    "register_skl2onnx": "estimators.onnx_pipelines",
    "report": "reporting",
    "Search": "families.search_result",
    "search": "families.search",
    "stack": "model.stacking",
    "train": "families.training",
}

__all__ = [
    "BackendFallbackWarning",
    "BackendUnavailableError",
    "Blocks",
    "Bootstrap",
    "CheckpointError",
    "CheckpointWarning",
    "Comparison",
    "ConvergenceWarning",
    "DataError",
    "DataFallbackWarning",
    "DataFileError",
    "DataUnavailableError",
    "DeviceLostError",
    "DeviceMemoryError",
    "DivergenceError",
    "FileNotWrittenError",
    "FoldWarning",
    "FontWarning",
    "GpulrError",
    "GpulrWarning",
    "KernelCacheWarning",
    "LabelColumnWarning",
    "LearningCurve",
    "MissingExtraError",
    "ModelFileError",
    "OneVsAll",
    "OneVsAllLogisticRegression",
    "OneVsAllLogisticRegressionCV",
    "ParameterError",
    "ParameterWarning",
    "PermutationTest",
    "RechunkWarning",
    "ResumedWarning",
    "RowNumberWarning",
    "ScaleWarning",
    "Search",
    "SearchInterrupted",
    "TrainingInterrupted",
    "UndefinedScoreWarning",
    "VersionWarning",
    "WorkersLostError",
    "__version__",
    "backends",
    "bootstrap",
    "callbacks",
    "compare",
    "cross_val_predict",
    "datasets",
    "errors",
    "from_torch",
    "learning_curve",
    "load",
    "logistic",
    "permutation_test",
    "register_skl2onnx",
    "report",
    "search",
    "show",
    "stack",
    "train",
    "video",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _SUBMODULES:
        return import_module(f"gpulr.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'gpulr' has no attribute {name!r}")
    value = getattr(import_module(f"gpulr.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
