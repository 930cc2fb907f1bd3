"""Parameters that users pass, checked: numbers, switches, callbacks, shapes, penalties, dtypes."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError, ParameterError
from gpulr.validation.conversion import as_numpy, is_masked, shape_of
from gpulr.words import counted, did_you_mean, shown


def positive_number(
    name: str, value: Any, *, zero: bool = False, infinite: bool = False, other: str = ""
) -> float:
    """Return ``value`` as a float > 0 (or ≥ 0, or ∞), or raise ParameterError.

    ``other`` tells what else is allowed, for the error.
    """
    expected = f"a number {'≥' if zero else '>'} 0{' (∞ is allowed)' if infinite else ''}{other}"
    try:
        # What float() would take for a number, with a warning or without.
        if isinstance(value, str | bytes | bool | np.bool_ | np.timedelta64 | np.complexfloating):
            raise TypeError
        if np.ndim(value) or is_masked(value):
            raise TypeError
        number = float(value)
    except OverflowError:  # a whole number beyond all floats
        raise ParameterError(
            f"{name}={shown(value)} is beyond all floats; expected {expected}."
        ) from None
    except (TypeError, ValueError):
        raise ParameterError(f"{name}={shown(value)}; expected {expected}.") from None
    if not (number > 0 or (zero and number == 0)) or (math.isinf(number) and not infinite):
        raise ParameterError(f"{name}={shown(value)}; expected {expected}.")
    return number


def whole_number(name: str, value: Any, *, least: int, most: int | None = sys.maxsize) -> int:
    """Return ``value`` as an int from ``least`` to ``most``, or raise ParameterError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ParameterError(f"{name}={shown(value)}; expected a whole number ≥ {least}.")
    if most is not None and value > most:  # which lengths of arrays are, at the most
        raise ParameterError(f"{name}={shown(value)}; expected a whole number ≤ {most}.")
    return int(value)


def shape_of_images(X: Any) -> tuple[int, ...] | None:
    """Return the shape of one image where X holds images, else None."""
    shape = shape_of(X)
    return shape[1:] if len(shape) > 2 else None


def callables(callbacks: Any) -> tuple[Any, ...]:
    """Return the callbacks as a tuple."""
    try:
        checked = tuple(callbacks)
    except TypeError:
        checked = (None,)
    if not all(callable(callback) for callback in checked):
        raise ParameterError(f"callbacks={shown(callbacks)}; expected a list of callables.")
    if classes := [callback.__name__ for callback in checked if isinstance(callback, type)]:
        raise ParameterError(
            f"callbacks has the class {classes[0]}; expected an object of it: {classes[0]}()."
        )
    return checked


def one_of(name: str, value: Any, known: Iterable[Any]) -> None:
    """Raise ParameterError for a value that is none of those that are known."""
    known = list(known)
    if value not in known:
        near = did_you_mean(value, map(str, known))
        raise ParameterError(
            f"{name}={shown(value)}{near}; use one of {', '.join(map(repr, known))}."
        )


def switch(name: str, value: Any) -> bool:
    """Return ``value`` as a bool, or raise ParameterError: "no" would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise ParameterError(f"{name}={shown(value)}; expected True or False.")
    return bool(value)


def image_shape_of(image_shape: Any, n_features: int) -> tuple[int, ...]:
    """Return an image shape that fits the features, as a tuple of int."""
    try:
        shape = tuple(whole_number("image_shape", side, least=1) for side in image_shape)
    except TypeError:  # a single number
        shape = ()
    if math.prod(shape) != n_features or not shape:
        raise ParameterError(
            f"image_shape={shown(image_shape)} does not fit {counted(n_features, 'feature')}."
        )
    return shape


def inverse_penalty(C: Any, n_models: int) -> float | list[float]:
    """Return C as a number, or one for each model."""
    expected = f"expected a number or ({n_models},)"
    each = _as_numpy(C, "C", expected)
    if each.ndim == 0:
        return positive_number("C", C, infinite=True)
    values = [positive_number("C", c, infinite=True) for c in each.ravel()]
    if each.shape != (n_models,):
        raise ParameterError(f"C has shape {each.shape}; {expected}.")
    return values


def positive_weights(pos_weight: Any, n_models: int) -> float | list[float] | None:
    """Return what positives weigh as a number, or one for each model; None stays None."""
    if pos_weight is None:
        return None
    expected = f"expected a number > 0 or ({n_models},) of them"
    each = _as_numpy(pos_weight, "pos_weight", expected)
    if each.ndim == 0:
        return positive_number("pos_weight", pos_weight)
    if each.shape != (n_models,):
        raise ParameterError(f"pos_weight has shape {each.shape}; {expected}.")
    return [positive_number("pos_weight", weight) for weight in each.tolist()]


def inverse_penalties(Cs: Any) -> npt.NDArray[np.float64]:
    """Return the values of C that a search tries, (n_Cs,), from an array or their number."""
    expected = "expected a whole number ≥ 2 of values from 1e-4 to 1e4, or an array of them"
    single = "; for a single value pass [C]"
    if isinstance(Cs, int | np.integer) and not isinstance(Cs, bool):
        if Cs < 2:
            raise ParameterError(f"Cs={shown(Cs)}; {expected}{single}.")
        try:
            return np.logspace(-4, 4, int(Cs))
        except (ValueError, MemoryError) as error:
            raise ParameterError(
                f"Cs={shown(Cs)} are more than memory holds; {expected}."
            ) from error
    values = _as_numpy(Cs, "Cs", expected)
    if values.ndim != 1 or not len(values):
        raise ParameterError(
            f"Cs={shown(Cs)} has shape {values.shape}; {expected}{'' if values.ndim else single}."
        )
    each = np.array([positive_number("Cs", C, infinite=True) for C in values.tolist()])
    unique, counts = np.unique(each, return_counts=True)
    if len(unique) < len(each):
        raise ParameterError(
            f"Cs holds {unique[counts > 1][:10].tolist()} more than once; expected each value once."
        )
    return each


def _as_numpy(values: Any, name: str, expected: str) -> npt.NDArray[Any]:
    if not (hasattr(values, "__len__") or hasattr(values, "__array__")):
        return np.asarray(values)  # a single one, which is checked as such
    try:
        return as_numpy(values, name, advice="")
    except DataError as error:
        raise ParameterError(f"{str(error).rstrip('. ')}; {expected}.") from error


def compute_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64."""
    try:
        result = np.dtype(np.void if dtype is None else dtype)  # NumPy takes None for float64
    except TypeError:
        result = np.dtype(np.void)
    if result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ParameterError(f'dtype={shown(dtype)}; use "float32" or "float64".')
    return result
