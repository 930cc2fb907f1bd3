"""Compiled functions: each is compiled once in a process, where it is needed first.

Those that rows multiply by are checked where they are used, in :mod:`gpulr.backend.compiled_rows`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gpulr.backend.forks import computing

if TYPE_CHECKING:
    from gpulr.backend.compiled_extremes import Extremes
    from gpulr.backend.compiled_gram import ByteGram
    from gpulr.backend.compiled_margins import MarginFunctions
    from gpulr.backend.compiled_products import Products
    from gpulr.backend.compiled_sparse import SparseProducts
    from gpulr.backend.compiled_vectors import VectorFunctions
    from gpulr.backend.compiled_widening import Widening

WASTE = 1.4  # a compilation takes as long as some ten passes of half the columns
SINGLE = np.dtype(np.float32)
T = TypeVar("T")


def hold_at_forks(lock: threading.Lock) -> None:
    """Let forks wait for a lock, however long; the one that was made last is to be taken first.

    LLVM's own locks, and those of modules that are being imported, would be taken in the child.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )


_compiled: dict[tuple[str, ...], dict[int, Products]] = {}
_lock = threading.Lock()
hold_at_forks(_lock)


@contextmanager
def compiling() -> Iterator[None]:
    """Return a context in which LLVM may be used: one thread at a time, which forks wait for."""
    with computing.paused(), _lock:
        yield


def products_for(
    n_columns: int, storage: str, compute: str, *, centred: bool = False, wide: bool = False
) -> Products:
    """Return compiled functions for ``n_columns``: existing ones, unless they waste too much.

    All give the same bits.
    """
    from gpulr.backend import compiled_products

    copied = wide and n_columns > 2 * compiled_products.most_columns()
    flags = ("centred", centred), ("wide", wide), ("copied", copied)
    kind = [name for name, is_so in flags if is_so]
    exact = compiled_products.Tile.of(n_columns, np.dtype(compute).itemsize).columns
    key = storage, compute, *kind
    if (found := _compiled.get(key, {}).get(exact)) is not None:
        return found  # without the lock: this is asked for each block
    with compiling():
        at_hand = _compiled.setdefault(key, {})
        cost = partial(grouping_cost, n_columns=n_columns)
        best = min(at_hand, key=cost, default=None)
        if best is None or cost(best) > WASTE * cost(exact):
            how, best = dict.fromkeys(kind, True), exact
            at_hand[best] = compiled_products.compile_products(best, storage, compute, **how)
        return at_hand[best]


def or_none(function: Callable[..., T | None]) -> Callable[..., T | None]:
    """Return None where a function fails: another LLVM may not know what it asks for."""

    @wraps(function)
    def attempt(*args: Any) -> T | None:
        try:
            return function(*args)
        except Exception:  # LLVM's failures have no common base
            return None

    return attempt


@cache
@or_none
def margin_functions(dtype: np.dtype[Any], signed: bool = False) -> MarginFunctions | None:
    """Return compiled functions of margins of a dtype; None where there are none, or not right.

    They take targets of 0 and 1, or signed ones.
    """
    from gpulr.backend import compiled_margins

    if dtype.name not in compiled_margins.FORMATS or not dtype.isnative:
        return None
    with compiling():
        return compiled_margins.compile_functions(dtype, signed=signed)


@cache
@or_none
def vector_functions() -> VectorFunctions | None:
    """Return compiled functions of vectors, or None where they are not right."""
    from gpulr.backend.compiled_vectors import compile_functions

    with compiling():
        return compile_functions()


@cache
@or_none
def sparse_products(stored: str, compute: str, index: str) -> SparseProducts | None:
    """Return compiled products of sparse rows, by dtypes' names; None where they are not right."""
    from gpulr.backend.compiled_sparse import compile_functions

    with compiling():
        return compile_functions(stored, compute, index)


@cache
@or_none
def gram_of_bytes() -> ByteGram | None:
    """Return the compiled XᵀX of bytes; None where the processor has none, or not right."""
    from gpulr.backend import compiled_bytes, compiled_gram

    if not compiled_bytes.usable():
        return None
    with compiling():
        return compiled_gram.compile_function()


@cache
@or_none
def extremes_of(storage: str) -> Extremes | None:
    """Return what finds extremes of rows of that dtype's name; None where it is not right."""
    with compiling():
        from gpulr.backend.compiled_extremes import Extremes

        extremes = Extremes(storage)
    X = np.sin(np.arange(3.0 * 85)).reshape(3, 85)  # of which whole numbers are −1, 0 and 1
    whole = np.dtype(storage).kind in "biu"
    X = (np.rint(X) if whole else X).astype(storage)
    if not whole:
        X[1, 7], X[2, 8] = np.nan, np.inf
    with np.errstate(invalid="ignore"):  # ml_dtypes complains of NaN
        least_and_most = X.min(axis=0), X.max(axis=0)
    right = all(
        np.array_equal(found[0], expected, equal_nan=True)
        for found, expected in zip(extremes(X), least_and_most, strict=True)
    )
    return extremes if right else None


@cache
@or_none
def widening_of(stored: np.dtype[Any], compute: np.dtype[Any]) -> Widening | None:
    """Return what converts numbers of 16 bits; None where there is nothing, or it is not right."""
    from gpulr.backend import compiled_products, compiled_widening

    names = stored.name, compute.name
    halves = compiled_products.HALVES & compiled_products.storage_types()
    if names[0] not in halves or names[1] not in ("float32", "float64"):
        return None
    with compiling():
        return compiled_widening.compile_function(*names)


def grouping_cost(width: int, n_columns: int) -> int:
    """Estimate how long products of so many columns take in groups; reading X counts as three."""
    return (width + 3) * -(-n_columns // width)
