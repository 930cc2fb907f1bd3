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
    """Arrays that cannot be used: wrong shape or dtype, NaN, one class only, and so on."""


class DataFileError(GpulrError, ValueError):
    """A file that is missing, damaged, or not what it claims to be.

    Attributes
    ----------
    path : Path
    found, remedy : str
        What was found there, and what to do about it.
    """

    def __init__(self, path: str | Path, found: str, remedy: str) -> None:
        super().__init__(f"{path}: {found}. {remedy}")
        self.path, self.found, self.remedy = Path(path), found, remedy

    def __reduce__(self) -> tuple[type[DataFileError], tuple[Path, str, str]]:
        return type(self), (self.path, self.found, self.remedy)


class ModelFileError(DataFileError):
    """A model file that is damaged, or that gpulr did not write."""


class FileNotWrittenError(ModelFileError):
    """A file (of a model, a report, a picture, …) that could not be written.

    What was there before is untouched.
    """


class CheckpointError(DataFileError):
    """A file that is no checkpoint, or none that this call can go on from."""


class DataUnavailableError(GpulrError, OSError):
    """A named data set is neither on this machine nor downloadable."""


class MissingExtraError(GpulrError, ImportError):
    """What was asked for needs an optional package that is not installed."""


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
    """The device, or the host where that computes, has too little memory.

    On a device, passes are tried with smaller blocks of rows first.

    Attributes
    ----------
    needed, free, total : int or None
        Bytes: what could not be had, and what there was; None where that is not known.
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
    """A kernel, or the device, failed in a way after which the process can no longer use it."""


class WorkersLostError(GpulrError, RuntimeError):
    """Workers of a cluster are gone, and with them what training cannot go on without.

    Attributes
    ----------
    parts : tuple of int
        Numbers of the parts of the rows that are lost.
    model : OneVsAll or None
        The model as it stood after the last finished iteration, where there was one.
    solution : Solution or None
        The same, as a solver has it.
    search : Search or None
        Of a search, what is known of the values of C that were done; without a model.
    """

    def __init__(self, message: str, parts: tuple[int, ...] = (), model: Any = None) -> None:
        super().__init__(message)
        self.parts, self.model = parts, model
        self.solution: Any = None
        self.search: Any = None


class DivergenceError(GpulrError, ArithmeticError):
    """Training left the finite numbers."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was interrupted (Ctrl-C); nothing is lost.

    Attributes
    ----------
    model : OneVsAll or None
        The model as it stood after the last finished iteration; of folds there is none.
    result : Bootstrap, LearningCurve, PermutationTest or None
        Of these what was done.
    """

    def __init__(self, message: str, model: Any = None, result: Any = None) -> None:
        super().__init__(message)
        self.model, self.result = model, result


class SearchInterrupted(KeyboardInterrupt):
    """A search was interrupted.

    Attributes
    ----------
    search : Search or None
        What is known of the values of C that were done; without a model.
    """

    def __init__(self, message: str, search: Any = None) -> None:
        super().__init__(message)
        self.search = search


class GpulrWarning(UserWarning):
    """Base class of gpulr's warnings."""


class BackendFallbackWarning(GpulrWarning):
    """The requested backend cannot be used; NumPy trains instead."""


class KernelCacheWarning(GpulrWarning):
    """Kernels that are compiled for the GPU cannot be kept for later processes."""


class VersionWarning(GpulrWarning):
    """Workers of a cluster have other versions of Python or NumPy than the client."""


class DataFallbackWarning(GpulrWarning):
    """The default data is not available; the bundled digits are used instead."""


class LabelColumnWarning(GpulrWarning):
    """No column of a table is named as the label; the first one is taken for it."""


class RowNumberWarning(GpulrWarning):
    """The first column of a table has no name and numbers the rows; it is left out."""


class ResumedWarning(GpulrWarning):
    """Training goes on from a checkpoint, or is done already: it says which, and from where."""


class CheckpointWarning(GpulrWarning):
    """A checkpoint could not be written, or is damaged and the one before it serves."""


class FoldWarning(GpulrWarning):
    """Some folds train on rows of one kind only, or say nothing of some models."""


class ScaleWarning(GpulrWarning):
    """The automatic scale does not seem to fit the values of X."""


class FontWarning(GpulrWarning):
    """No installed font has some characters of labels; pictures show their code points."""


class RechunkWarning(GpulrWarning):
    """Blocks of a Dask array hold parts of rows; they are joined, which copies the array."""


class ParameterWarning(GpulrWarning):
    """A parameter of scikit-learn's is taken, but what is done differs from what it says."""


class UndefinedScoreWarning(GpulrWarning):
    """Rows leave the score of some models undefined: they have none of the label, or nothing else.

    It is NaN, and left out of averages.
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
