"""What of the array API standard an array library has to have for gpulr to compute with it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from operator import attrgetter
from typing import Any

API_VERSION = "2024.12"  # what gpulr's functions are written in: the first where scalars may be one
# Of the standard itself; and of its extension for linear algebra, which only training needs.
FUNCTIONS = (
    *("__array_namespace_info__", "abs", "add", "all", "any", "arange", "argmax", "asarray"),
    *("astype", "broadcast_to", "concat", "cumulative_sum", "empty", "exp", "expand_dims", "eye"),
    *("finfo", "floor", "full", "iinfo", "isdtype", "isfinite", "log", "log1p", "logical_and"),
    *("logical_not", "logical_or", "matrix_transpose", "max", "maximum", "min", "minimum", "ones"),
    *("ones_like", "permute_dims", "reshape", "searchsorted", "sort", "sqrt", "stack", "sum"),
    *("take", "where", "zeros", "zeros_like"),
)
FACTORS = tuple(f"linalg.{each}" for each in ("cholesky", "diagonal", "eigh", "inv", "qr", "solve"))


def missing(xp: Any, names: Iterable[str]) -> str:
    """Return which of these functions a namespace lacks, with commas between; "" if none."""
    return ", ".join(name for name in names if not _has(xp, name))


def _has(xp: Any, name: str) -> bool:
    try:
        return callable(attrgetter(name)(xp))
    except AttributeError:
        return False


@cache
def _missing_functions(xp: Any) -> str:
    return missing(xp, FUNCTIONS)


def shortcoming(xp: Any) -> str:
    """Say what a library lacks without which nothing can be computed on its arrays; "" if nothing.

    A library that does not say which version of the standard it has is judged by its functions.
    """
    version = str(getattr(xp, "__array_api_version__", API_VERSION))
    if version < API_VERSION:
        return f"has version {version} of the array API standard; expected {API_VERSION} or later"
    names = _missing_functions(xp)
    return names and f"lacks {names} of the array API standard, version {API_VERSION}"
