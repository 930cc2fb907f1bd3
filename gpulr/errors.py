"""Every exception and warning that gpulr raises.

Each message says what was got, what was expected, what was done about it and what to do next.
All exceptions derive from :class:`GpulrError`, except :class:`TrainingInterrupted` and
:class:`SearchInterrupted`, which are ``KeyboardInterrupt`` so that loops around them end too.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any


class GpulrError(Exception):
    """Base class of gpulr's exceptions."""


class ParameterError(GpulrError, ValueError):
    """A setting has a value that cannot be used."""


class DataError(GpulrError, ValueError):
    """Arrays cannot be used: they have the wrong shape or dtype, NaN, one class only, and so on."""


class DataFileError(GpulrError, ValueError):
    """A file is missing, damaged, or not what it claims to be.

    Attributes
    ----------
    path : Path
        The file.
    found, remedy : str
        What was found there, and what to do about it.
    """

    def __init__(self, path: str | Path, found: str, remedy: str) -> None:
        super().__init__(f"{path}: {found}. {remedy}")
        self.path, self.found, self.remedy = Path(path), found, remedy

    def __reduce__(self) -> tuple[type[DataFileError], tuple[Path, str, str]]:
        return type(self), (self.path, self.found, self.remedy)


class ModelFileError(DataFileError):
    """A model file is damaged, or gpulr did not write it; or it could not be written."""


class FileNotWrittenError(ModelFileError):
    """A file (of a model, a report, a picture, …) could not be written.

    What was there before is untouched.
    """


class CheckpointError(DataFileError):
    """A file is no checkpoint, or none from which this call can continue."""


class DataUnavailableError(GpulrError, OSError):
    """A named data set is neither on this machine nor downloadable."""


class MissingExtraError(GpulrError, ImportError):
    """An optional package is needed for what was asked, and is not installed."""


_DATA, _PLOT = ("filelock", "platformdirs", "pooch", "requests"), ("jinja2", "matplotlib", "PIL")
_PACKAGES = {
    "data": _DATA,
    "cli": ("rich", "typer", *_DATA),
    "plot": _PLOT,
    "video": ("av", *_PLOT),
    "onnx": ("onnx",),
    "torch": ("torch",),
    "sources": ("h5py", "pyarrow", "zarr"),
    "dask": ("dask", "distributed"),
}


@contextlib.contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Turn a failed import in this block into a MissingExtraError.

    It names the extra and which of its packages are missing.

    >>> with needs_extra("plot", "Drawing needs matplotlib"):
    ...     from matplotlib.figure import Figure
    """
    try:
        yield
    except MissingExtraError:
        raise
    except ImportError as error:
        missing = [name for name in _PACKAGES[extra] if find_spec(name) is None]
        names = ", ".join(missing).replace("PIL", "pillow") or "what is missing"
        raise MissingExtraError(
            f"{what}, which cannot be imported ({error}). Install {names}, from a checkout "
            f'of gpulr: python -m pip install ".[{extra}]"'
        ) from error


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Let a DataError in this block say of which part of the rows it is."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


class BackendUnavailableError(GpulrError, RuntimeError):
    """The requested backend cannot be used on this machine, and no fallback is allowed."""


class DeviceMemoryError(MemoryError, GpulrError):  # first the one that makes its objects itself
    """The device, or the host if that computes, has too little memory.

    On a device, smaller blocks of rows are tried first.

    Attributes
    ----------
    needed, free, total : int or None
        Bytes: what was needed, what was free and what there was at all; None if not known.
    """

    def __init__(
        self,
        message: str,
        needed: int | None = None,
        free: int | None = None,
        total: int | None = None,
    ) -> None:
        super().__init__(message)
        self.needed, self.free, self.total = needed, free, total


class DeviceLostError(GpulrError, RuntimeError):
    """A kernel or the device failed, and the process can no longer use the device."""


class WorkersLostError(GpulrError, RuntimeError):
    """Workers of a cluster are gone, and with them rows that training needs.

    Attributes
    ----------
    parts : tuple of int
        Numbers of the parts of the rows that are lost.
    model : OneVsAll or None
        The model as it was after the last finished iteration, if there was one.
    solution : Solution or None
        The same, as a solver has it.
    search : Search or None
        From a search, what is known of the values of C that were done; it has no model.
    """

    def __init__(self, message: str, parts: tuple[int, ...] = (), model: Any = None) -> None:
        super().__init__(message)
        self.parts, self.model = parts, model
        self.solution: Any = None
        self.search: Any = None


class DivergenceError(GpulrError, ArithmeticError):
    """The cost or the weights became infinite or NaN in training."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was interrupted (Ctrl-C); nothing is lost.

    Attributes
    ----------
    model : OneVsAll or None
        The model as it was after the last finished iteration; None for models of folds.
    result : Bootstrap, LearningCurve, PermutationTest or None
        From these, what was done.
    """

    def __init__(self, message: str, model: Any = None, result: Any = None) -> None:
        super().__init__(message)
        self.model, self.result = model, result


class SearchInterrupted(KeyboardInterrupt):
    """A search was interrupted.

    Attributes
    ----------
    search : Search or None
        What is known of the values of C that were done; it has no model.
    """

    def __init__(self, message: str, search: Any = None) -> None:
        super().__init__(message)
        self.search = search


class GpulrWarning(UserWarning):
    """Base class of gpulr's warnings."""


class BackendFallbackWarning(GpulrWarning):
    """The requested backend cannot be used; NumPy trains instead."""


class KernelCacheWarning(GpulrWarning):
    """Kernels that were compiled for the GPU cannot be kept for later processes."""


class VersionWarning(GpulrWarning):
    """Workers of a cluster have other versions of Python or NumPy than the client."""


class DataFallbackWarning(GpulrWarning):
    """The default data is not available; the bundled digits are used instead."""


class LabelColumnWarning(GpulrWarning):
    """No column of a table is named as the label; the first one is used as the label."""


class RowNumberWarning(GpulrWarning):
    """The first column of a table has no name and numbers the rows; it is left out."""


class ResumedWarning(GpulrWarning):
    """Training continues from a checkpoint, or was done already; the warning says which.

    It also says from where training continues.
    """


class CheckpointWarning(GpulrWarning):
    """A checkpoint could not be written; or it is damaged, and the one before it is used."""


class FoldWarning(GpulrWarning):
    """Some folds train on rows that all have or all lack a label, or are scored without a class."""


class ScaleWarning(GpulrWarning):
    """The automatic scale does not seem to fit the values of X."""


class FontWarning(GpulrWarning):
    """No installed font has some of the characters in labels; pictures show their code points."""


class RechunkWarning(GpulrWarning):
    """Blocks of a Dask array hold parts of rows; they are joined, which copies the array."""


class ParameterWarning(GpulrWarning):
    """A parameter is accepted, but what is done differs from what it says."""


class UndefinedScoreWarning(GpulrWarning):
    """Rows leave the score of some models undefined: none has the label, or all have it.

    The score is NaN, and left out of averages.
    """


class ConvergenceWarning(GpulrWarning):
    """Some models did not reach the tolerance."""


__all__ = sorted(  # the classes above
    name
    for name, value in vars().items()
    if isinstance(value, type) and value.__module__ == __name__
)


def warn(message: str, category: type[GpulrWarning]) -> None:
    """Warn, at the line of the caller's that called into gpulr, however deep this is."""
    # In contextlib are those who call what gpulr does at the begin and end of `with`.
    inside, level, frame = (str(Path(__file__).parent), contextlib.__file__), 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
