"""Paths as users pass them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpulr.errors import ParameterError

__all__ = ["path_of"]


def path_of(value: Any, name: str = "path") -> Path:
    """Return a path, or raise ParameterError for what is none; ``name`` is the parameter's."""
    try:
        path = Path(value)
    except TypeError as error:
        raise ParameterError(
            f"{name} is {value!r:.60}; expected a path, as text or pathlib.Path."
        ) from error
    if "\0" in str(path):
        raise ParameterError(
            f"{name} is {str(path)!r:.60}, which holds a NUL character; no path does. Leave it out."
        )
    return path
