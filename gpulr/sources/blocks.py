"""Rows as parts that loaders return: what users say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from inspect import signature
from types import FunctionType
from typing import Any, Self

from gpulr.errors import ParameterError
from gpulr.sources.npy_parts import npy_parts
from gpulr.sources.parquet_parts import check_numbers, row_groups
from gpulr.sources.part_files import Paths
from gpulr.sources.zarr_parts import zarr_parts
from gpulr.words import counted, shown


@dataclass(frozen=True, eq=False, repr=False)
class Blocks:
    """Rows in parts, each of which a loader returns: more rows than memory holds.

    Pass it as X: to :func:`gpulr.train`, :func:`gpulr.search` and the other families, to
    estimators, and to a model's ``predict`` and ``evaluate``. Each pass loads all parts, one after
    the other, in a separate thread. At any time, memory holds the part in use, the next one and
    what ``memory`` allows. An iteration takes two passes, one for margins and one for gradients; a
    prediction takes one.

    Parameters
    ----------
    loaders : sequence of callables
        Functions that load one part each. A loader returns X, (X, y) or (X, y, sample_weight), the
        same at every call. Rows are as for :func:`gpulr.train` (NumPy, SciPy's sparse matrices,
        tables, tensors), with the same features and dtype in all parts. If loaders return no y,
        pass it separately, in the order of the parts: ``gpulr.train(blocks, y)``.

        Loaders are called without arguments, so for one function of many parts pass
        ``functools.partial(load, i)``, or ``lambda i=i: load(i)``.
    memory : int, default 0
        Bytes for parts that stay in memory once loaded: as many of the last parts as fit.
    n_samples : int or sequence of int, optional
        Number of rows: of each part, or of all together. All together are spread evenly, and the
        last part has fewer if they do not divide evenly. With ``n_features`` as well, and y passed
        separately, no pass is needed to find them out.
    n_features : int, optional
        Number of features.
    classes : array, optional
        All labels that y may have; None takes those that it has.

    Examples
    --------
    >>> import numpy as np
    >>> import gpulr
    >>> def load(seed):
    ...     X = np.random.default_rng(seed).normal(size=(1_000, 5)).astype(np.float32)
    ...     return X, X[:, 0] > X[:, 1]
    >>> blocks = gpulr.Blocks([lambda seed=seed: load(seed) for seed in range(4)])
    >>> model = gpulr.train(blocks)
    >>> model.evaluate(blocks).accuracy > 0.97
    True
    """

    loaders: Sequence[Callable[[], Any]]
    _: KW_ONLY
    memory: int = 0
    n_samples: int | Sequence[int] | None = None
    n_features: int | None = None
    classes: Any = None

    def __post_init__(self) -> None:
        try:
            loaders = tuple(self.loaders)
        except TypeError as error:
            raise ParameterError(
                f"loaders={shown(self.loaders)}; expected a list of functions, each of which "
                "returns a part."
            ) from error
        others = [loader for loader in loaders if not callable(loader)]
        if not loaders or others:
            found = f"an object of type {type(others[0]).__name__}" if others else "none"
            raise ParameterError(
                f"loaders holds {found}; expected functions, each of which returns a part: X, "
                "(X, y) or (X, y, sample_weight). Pass arrays that are in memory as "
                "[lambda: (X, y)]."
            )
        _check_functions(loaders)
        object.__setattr__(self, "loaders", loaders)
        _check_whole("memory", self.memory, 0, " of bytes, e.g. 2**30")
        if self.n_features is not None:
            _check_whole("n_features", self.n_features, 1)
        if self.n_samples is not None:
            object.__setattr__(self, "n_samples", _lengths(self.n_samples, len(loaders)))

    @classmethod
    def from_parquet(
        cls,
        paths: Paths,
        *,
        label: str | Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        memory: int = 0,
        classes: Any = None,
    ) -> Self:
        """Return the row groups of Parquet files, each as a part; it needs ``gpulr-ova[sources]``.

        Parameters
        ----------
        paths : path or sequence of paths
            A folder (its .parquet files and those below it, by name), a file, or files.
        label : str or sequence of str, optional
            The column of labels, or the columns of a matrix of labels (0, 1, and null or NaN for
            unknown). None: pass y separately.
        features : sequence of str, optional
            The columns to use as features, in this order. None takes all of the first file except
            the labels.
        memory, classes
            As for :class:`Blocks`.

        Raises
        ------
        DataFileError
            A file is missing, damaged or lacks a column.

        Examples
        --------
        >>> blocks = gpulr.Blocks.from_parquet("clicks/", label="clicked")  # doctest: +SKIP
        >>> model = gpulr.train(blocks)  # doctest: +SKIP
        """
        loaders, lengths = row_groups(paths, label, features)
        check_numbers(loaders[0])
        return cls(loaders, memory=memory, n_samples=lengths, classes=classes)

    @classmethod
    def from_npy(
        cls,
        files: Paths,
        *,
        labels: Paths | None = None,
        memory: int = 0,
        classes: Any = None,
    ) -> Self:
        """Return the rows of .npy files, in parts of about 32 MiB.

        Parameters
        ----------
        files : path or sequence of paths
            Files of rows, a single file, or a folder. Beside a single file, or in a folder, there
            may also be files of labels: ``y_1.npy`` beside ``X_1.npy``, or ``part1_labels.npy``
            beside ``part1.npy``.
        labels : path or sequence of paths, optional
            Files of labels, one for each file of rows. None: pass y separately, unless there are
            such files.
        memory, classes
            As for :class:`Blocks`.

        Raises
        ------
        DataFileError
            A file is missing, damaged or holds pickled objects, or there are not as many labels as
            rows.

        Examples
        --------
        >>> blocks = gpulr.Blocks.from_npy(["a.npy", "b.npy"])  # doctest: +SKIP
        >>> model = gpulr.train(blocks, y)  # doctest: +SKIP
        """
        loaders, lengths = npy_parts(files, labels)
        return cls(loaders, memory=memory, n_samples=lengths, classes=classes)

    @classmethod
    def from_zarr(
        cls,
        store: Any,
        *,
        label: str | None = None,
        features: str | None = None,
        memory: int = 0,
        classes: Any = None,
    ) -> Self:
        """Return the rows of a Zarr array, in runs of chunks; it needs ``gpulr-ova[sources]``.

        Parameters
        ----------
        store : path, zarr.Array or zarr.Group
            An array of rows, or a group that holds one.
        label : str, optional
            The group's array of labels. None is ``y`` if the group has one; otherwise, pass y
            separately.
        features : str, optional
            The group's array of rows. None is ``X``.
        memory, classes
            As for :class:`Blocks`.

        Raises
        ------
        DataFileError
            The store is missing or damaged, holds pickled objects or lacks an array.

        Examples
        --------
        >>> blocks = gpulr.Blocks.from_zarr("cells.zarr", label="kind")  # doctest: +SKIP
        >>> found = gpulr.search(blocks, Cs=[0.1, 1])  # doctest: +SKIP
        """
        loaders, lengths = zarr_parts(store, label, features)
        return cls(loaders, memory=memory, n_samples=lengths, classes=classes)

    @property
    def n_parts(self) -> int:
        """Number of parts."""
        return len(self.loaders)

    def __repr__(self) -> str:
        return f"<Blocks: {counted(self.n_parts, 'part')}>"

    def name(self, i: int) -> str:
        """Return the number of a part, and what else is known of it, for messages."""
        loader = self.loaders[i]
        known = f", {loader}" if type(loader).__module__.startswith("gpulr.") else ""
        return f"{i} (of {self.n_parts}, counted from 0{known})"


def _check_functions(loaders: Sequence[Callable[[], Any]]) -> None:
    """Raise ParameterError for a function that needs arguments, or one made again for each part."""
    first: dict[Any, int] = {}
    for i, loader in enumerate(loaders):
        try:
            expects = signature(loader)
        except (TypeError, ValueError):  # of C: it does not say
            continue
        try:
            expects.bind()
        except TypeError as error:
            raise ParameterError(
                f"loaders[{i}] cannot be called without arguments ({error}): {shown(loader)}. "
                "Pass functools.partial(load, 'part1.npy'), or lambda: load('part1.npy')."
            ) from error
        if isinstance(loader, FunctionType) and not expects.parameters:
            same = id(loader.__code__), *map(id, loader.__closure__ or ())
            other = first.setdefault(same, i)
            if loaders[other] is not loader:
                raise ParameterError(
                    f"loaders[{other}] and loaders[{i}] are the same function of the same "
                    "variables, and return the same part: in [lambda: load(i) for i in …] all see "
                    "the last i. Write lambda i=i: load(i), or functools.partial(load, i)."
                )


def _lengths(n_samples: Any, n_parts: int) -> tuple[int, ...]:
    if hasattr(n_samples, "__len__"):
        lengths = tuple(_check_whole("n_samples", n, 1) for n in n_samples)
    else:
        n = _check_whole("n_samples", n_samples, n_parts)
        each = -(-n // n_parts)
        lengths = (each,) * (n_parts - 1) + (n - each * (n_parts - 1),)
    if len(lengths) != n_parts or min(lengths) < 1:
        raise ParameterError(
            f"n_samples={shown(n_samples)}; expected the rows of {counted(n_parts, 'part')}: all "
            "of them, where parts have the same number, or a number for each."
        )
    return lengths


def _check_whole(name: str, value: Any, least: int, unit: str = "") -> int:
    whole = getattr(type(value), "__index__", None)
    if whole is None or isinstance(value, bool) or int(value) < least:
        raise ParameterError(f"{name}={shown(value)}; expected a whole number ≥ {least}{unit}.")
    return int(value)
