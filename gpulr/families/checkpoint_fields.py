"""Whether objects that were made of a file have in their fields what their classes say.

That is by the types of the fields. Of an array these say shape and dtype too, as in::

    theta: Annotated[Array, "(n_features + 1, n_models) float64"]
    rest: Annotated[Array, "(n_factors, n_others) float"]  # of any number of bits
    active: Annotated[npt.NDArray[np.int64], "(n_models,)"]

n_samples, n_features and n_models are those of the problem that an object is of: its own
``problem``, or that of the object which it is in. Other names stand for any number, the same one
wherever a name but _ occurs in an object. ``Annotated[…, OTHERS]`` is of models of its own, and
``Annotated[Any, A | B]`` of one of these classes, which have nothing that types know in common.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from gpulr.core.problem import Problem
from gpulr.solvers.restoring import OTHERS

SIZES = "n_samples", "n_features", "n_models"
NUMBERS: Mapping[type, tuple[type, ...]] = {
    bool: (bool, np.bool_),
    int: (int, np.integer),
    float: (int, float, np.integer, np.floating),
}


def sizes_of(problem: Any) -> dict[str, int]:
    """Return the sizes of a problem; none of anything else."""
    if not isinstance(problem, Problem):
        return {}
    rows = problem.rows
    return dict(zip(SIZES, (rows.n_samples, rows.n_features, problem.n_models), strict=True))


@dataclass(frozen=True)
class FieldTypes:
    """Checks values of types, and the fields of objects of these classes."""

    classes: tuple[type, ...]

    def check(self, value: Any, hint: Any, sizes: dict[str, int]) -> None:
        """Raise ValueError unless a value is of a type, in which there are these sizes.

        ``sizes`` gets those that it has beside.
        """
        origin, arguments = get_origin(hint), get_args(hint)
        if hasattr(origin, "__value__"):  # from NumPy 2.5 on NDArray is the name of a type
            hint = origin.__value__[arguments]
            origin, arguments = get_origin(hint), get_args(hint)
        if origin in (Union, UnionType):
            self._check_any(value, arguments, sizes)
        elif origin is Annotated and arguments[1] == OTHERS:
            others = {name: size for name, size in sizes.items() if name != "n_models"}
            self.check(value, arguments[0], others)
        elif origin is Annotated and not isinstance(arguments[1], str):
            self.check(value, arguments[1], sizes)
        elif origin is Annotated:
            self.check(value, arguments[0], sizes)
            _check_array(value, arguments[1], sizes)
        elif origin is np.ndarray:
            (dtype,) = get_args(arguments[1]) or (Any,)
            _expect(isinstance(value, np.ndarray), value, "an array")
            _expect(dtype is Any or value.dtype == dtype, value, dtype)
        elif origin is dict:
            _expect(isinstance(value, dict), value, "a dict")
            for item in value.items():
                self._check_items(item, tuple, arguments, sizes)
        elif origin in (tuple, list, Sequence):
            self._check_items(value, origin, arguments, sizes)
        elif isinstance(hint, type) and hint is not Any:
            fits = isinstance(value, NUMBERS.get(hint, hint))
            _expect(fits and (hint is bool or not isinstance(value, bool)), value, hint)
        elif hint is not Any:
            raise TypeError(f"{hint} is not among the types that can be checked")
        if isinstance(value, self.classes):
            self._check_fields(value, sizes)

    def _check_fields(self, made: Any, sizes: Mapping[str, int]) -> None:
        """Raise ValueError unless an object has in its fields what these are to hold."""
        if (problem := getattr(made, "problem", None)) is not None:
            sizes = sizes_of(problem)
        own = {name: size for name, size in sizes.items() if name in SIZES}
        for name, hint in _hints(made.__class__).items():
            try:
                self.check(getattr(made, name), hint, own)
            except ValueError as error:
                raise ValueError(f"{type(made).__name__}.{name}: {error}") from None

    def _check_any(self, value: Any, hints: Sequence[Any], sizes: dict[str, int]) -> None:
        """Raise ValueError unless a value is of one of these types."""
        if value is None and NoneType in hints:
            return
        faults = []
        for hint in hints:
            try:
                return self.check(value, hint, sizes)
            except ValueError as error:
                faults.append(error)
        raise faults[0]

    def _check_items(
        self, value: Any, origin: Any, hints: Sequence[Any], sizes: dict[str, int]
    ) -> None:
        """Raise ValueError unless a tuple or list has items of these types."""
        _expect(isinstance(value, origin) and not isinstance(value, str), value, origin)
        if origin is not tuple or hints[1:] == (...,):
            hints = [hints[0]] * len(value)
        _expect(len(value) == len(hints), value, f"{len(hints)} items")
        for item, hint in zip(value, hints, strict=True):
            self.check(item, hint, sizes)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _check_array(value: Any, told: str, sizes: dict[str, int]) -> None:
    """Raise ValueError unless an array has the shape, and the dtype, that it is to have."""
    inside, dtype = re.fullmatch(r"\((.*?),?\) ?(\w*)", told).groups()  # type: ignore[union-attr]
    parts = inside.split(", ") if inside else []
    shape = tuple(getattr(value, "shape", ("none",)))
    _expect(len(shape) == len(parts) and shape != ("none",), value, told)
    found = str(value.dtype).rpartition(".")[2]  # without its library's name
    _expect(found == dtype or (dtype in ("", "float") and found.startswith(dtype)), value, told)
    for size, part in zip(shape, parts, strict=True):
        name, _, more = part.partition(" + ")
        if name == "_":
            continue
        wanted = int(size) - int(more or 0)
        known = int(name) if name.isdigit() else sizes.setdefault(name, wanted)
        _expect(wanted == known, value, told)


def _expect(fits: Any, value: Any, wanted: Any) -> None:
    if fits:
        return
    found = type(value).__name__
    if hasattr(value, "shape"):
        found = f"{tuple(value.shape)} {value.dtype}"
    raise ValueError(f"{found}, not {getattr(wanted, '__name__', wanted)}")
