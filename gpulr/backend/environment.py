"""Settings in the environment."""

from __future__ import annotations

import os

from gpulr.errors import ParameterError
from gpulr.words import did_you_mean


def setting(variable: str, allowed: tuple[str, ...]) -> str:
    """Return what a variable is set to, in lower case; the first that is allowed if it is not set.

    Raises
    ------
    ParameterError
        It is set to something else.
    """
    value = os.environ.get(variable, "").strip().lower() or allowed[0]
    if value not in allowed:
        near = did_you_mean(value, allowed)
        raise ParameterError(
            f"{variable}={value!r} in the environment{near}; use one of {', '.join(allowed)}."
        )
    return value
