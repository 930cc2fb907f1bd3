"""Parts that users' loaders return, converted and checked; and what a first pass finds out.

A part is converted as an array of its kind would be, and compared with the first. Each error names
the part, and has what a loader raised as its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gpulr.backend import backend_of, is_sparse, to_host
from gpulr.core.moments import Moments
from gpulr.core.rows import overview
from gpulr.errors import DataError, GpulrError
from gpulr.sources import Blocks, PartData, PartReader, Source
from gpulr.sources.source import raise_for_threads
from gpulr.validation.arrays import check_rows, finite_rows
from gpulr.validation.labels import PartLabels, check_row_weight
from gpulr.validation.parameters import shape_of_images
from gpulr.validation.tables import feature_names_of
from gpulr.words import counted

Array = Any
T = TypeVar("T")


@dataclass(eq=False)
class Loader:
    """Loads parts, as :class:`gpulr.sources.PartReader` wants it.

    The first part that is loaded says what all others have to be, and the first time that a part is
    loaded what it has to be from then on.
    """

    blocks: Blocks
    convert: Callable[[Any], Array]  # from rows of any kind
    known: dict[str, Any] | None = None  # what the first part was
    image_shape: tuple[int, ...] | None = None  # of the first part, where it holds images
    seen: dict[int, tuple[int, int]] = field(default_factory=dict)  # each part's rows, and a hash

    def __call__(self, i: int) -> PartData:
        """Return part i; raises DataError, which names it."""
        with naming(self.blocks, i):
            part = self._converted(self.blocks.loaders[i]())
            n = int(part.X.shape[0])
            expected = self.blocks.n_samples[i] if self.blocks.n_samples else n  # type: ignore[index]
            if n != expected:
                raise DataError(
                    f"it has {counted(n, 'row')}; expected {expected:,} by n_samples. Pass the "
                    "rows of each part, or leave n_samples out."
                )
            now = n, _hash_of_some(part.X)
            before = self.seen.setdefault(i, now)
            if before != now:
                what = "other rows" if before[0] == n else f"{before[0]:,} rows"
                raise DataError(
                    f"its loader returned {what} before, and now {counted(n, 'row')}. Let it "
                    "return the same at every call: what is random needs a seed for each part."
                )
            return part

    def _converted(self, loaded: Any) -> PartData:
        """Return what a loader returned as a part, compared with the first one."""
        loaded = loaded if isinstance(loaded, tuple) else (loaded,)
        if not 1 <= len(loaded) <= 3:
            raise DataError(
                f"its loader returned {counted(len(loaded), 'thing')}; expected X, (X, y) or (X, "
                "y, sample_weight)."
            )
        X, y, weight = (*loaded, None, None)[:3]
        if X is None:
            raise DataError(
                "its loader returned None; expected X, (X, y) or (X, y, sample_weight)."
            )
        names = feature_names_of(X)
        X = self.convert(X)
        X = X if is_sparse(X) else to_host(X)
        if not X.dtype.isnative:
            X = X.astype(X.dtype.newbyteorder("="))
        if self.blocks.n_features not in (None, X.shape[1]):
            raise DataError(
                f"it has {counted(X.shape[1], 'feature')}; expected {self.blocks.n_features}, "
                "which is n_features."
            )
        found = {
            "features": int(X.shape[1]),
            "dtype": X.dtype,
            "sparse rows": is_sparse(X),
            "names of columns": names,
            "labels": y is not None,
            "weights": weight is not None,
        }
        if self.known is None:
            self.known = found
            self.image_shape = shape_of_images(loaded[0])
        for what, value in found.items():
            if value != self.known[what]:
                here, there = _in_words(what, value, self.known[what])
                raise DataError(
                    f"it has {here}; the first part that was loaded has {there}. Convert it in the "
                    "loader, so that all parts are alike."
                )
        finite_rows(X, backend_of(X), np.float64)
        return PartData(X, y, weight)


def _in_words(what: str, value: Any, known: Any) -> tuple[str, str]:
    """Return what a part has, and what the first has instead."""
    if what == "names of columns" and value and known:
        i = next(i for i in range(len(known)) if value[i] != known[i])
        return f"the column {value[i]!r} in place {i}", f"{known[i]!r} there"
    if what == "features":
        return counted(value, "feature"), f"{known:,}"
    if what == "dtype":
        return f"the dtype {value}", str(known)
    return (what, "none") if value else (f"no {what}", "them")


@contextmanager
def naming(blocks: Blocks, i: int) -> Iterator[None]:
    """Make of any error within a DataError that names a part, with that as its cause."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # whatever a loader raises
        raise_for_threads(error)
        said = f"{error}" if isinstance(error, GpulrError) else f"{type(error).__name__}: {error}"
        raise DataError(f"Part {blocks.name(i)} cannot be used: {said}") from error


def each_part(
    blocks: Blocks,
    function: Callable[[slice, PartData], T],
    convert: Callable[[Any], Array] = check_rows,
    parts: PartReader | None = None,
) -> list[T]:
    """Return what a function makes of each part and its rows, numbered through all parts."""
    parts = PartReader(Loader(blocks, convert), blocks.n_parts, 0) if parts is None else parts
    found, start = [], 0
    for i in range(blocks.n_parts):
        part = parts.part(i)
        rows = slice(start, start + int(part.X.shape[0]))
        with naming(blocks, i):
            found.append(function(rows, part))
        start = rows.stop
    return found


@dataclass(frozen=True, eq=False)
class ReadBlocks:
    """Blocks as the rest of the house knows rows and labels."""

    X: Source
    y: Any  # Labels or LabelMatrix of the loaders', or what was passed beside
    sample_weight: npt.NDArray[np.float64] | None
    feature_names: tuple[str, ...] | None
    image_shape: tuple[int, ...] | None = None


def read_blocks(
    blocks: Blocks,
    y: Any = None,
    *,
    labelled: bool = False,
    convert: Callable[[Any], Array] = check_rows,
) -> ReadBlocks:
    """Find out what parts are together: by loading each once, or the first where that is enough.

    It is where shapes are known, and labels are passed beside or are not wanted. Raises DataError,
    which names the part.
    """
    loader = Loader(blocks, convert)
    parts = PartReader(loader, blocks.n_parts, blocks.memory)
    first = parts.part(0).X
    known = loader.known or {}
    if labelled and known["labels"] != (y is None):
        raise DataError(
            "Loaders return labels, and y was passed too. Leave one of them out."
            if known["labels"]
            else "Loaders return no labels, and no y was passed. Return (X, y), name "
            "the files' labels (label=, labels=), or pass y in the order of the parts."
        )
    found = _FirstPass(PartLabels(blocks.classes) if labelled and known["labels"] else None)
    nnz = None
    if blocks.n_samples is None or found.labels is not None or (labelled and known["weights"]):
        each_part(blocks, found.look, parts=parts)
        lengths, y = found.lengths, y if found.labels is None else found.labels.together()
        nnz = found.nnz
    else:
        lengths = list(blocks.n_samples)  # type: ignore[arg-type]
        if is_sparse(first):  # about
            nnz = first.nnz * sum(lengths) // lengths[0]
    parts.edges = np.cumsum([0, *lengths]).tolist()
    shape = parts.edges[-1], int(first.shape[1])
    X = Source(parts, shape, first.dtype, nnz=nnz if is_sparse(first) else None, edges=parts.edges)
    X.extremes, X.moments = found.extremes, found.moments
    return ReadBlocks(X, y, found.sample_weight, known["names of columns"], loader.image_shape)


class _FirstPass:
    """What a pass over the parts finds out."""

    def __init__(self, labels: PartLabels | None) -> None:
        self.labels = labels
        self.lengths: list[int] = []
        self.nnz = 0
        self.extremes: tuple[Array, Array] | None = None
        self.moments: Moments | None = None
        self._weights: list[npt.NDArray[np.float64]] = []

    @property
    def sample_weight(self) -> npt.NDArray[np.float64] | None:
        """The weights of all rows, if loaders return them."""
        return np.concatenate(self._weights) if self._weights else None

    def look(self, rows: slice, part: PartData) -> None:
        """Look at the next part."""
        X, n, weight = part.X, rows.stop - rows.start, None
        self.lengths.append(n)
        if part.sample_weight is not None:
            weight = check_row_weight(part.sample_weight, n)
            self._weights.append(weight)
        backend = backend_of(X)
        with backend.activate():
            (least, most), moments = overview(X, backend, weight)
        assert moments is not None  # it was asked for
        self.moments = moments if self.moments is None else self.moments + moments
        if self.extremes is not None:
            least, most = np.minimum(least, self.extremes[0]), np.maximum(most, self.extremes[1])
        self.extremes = least, most
        if is_sparse(X):
            self.nnz += X.nnz
        if self.labels is not None:
            self.labels.add(part.y, n)


def _hash_of_some(X: Array) -> int:
    """Return a number that tells rows from others, by a few of them."""
    some = X[np.linspace(0, X.shape[0] - 1, 8).astype(np.int64)]
    arrays = (some.data, some.indices) if is_sparse(some) else (some,)
    return hash(tuple(array.tobytes() for array in arrays))
