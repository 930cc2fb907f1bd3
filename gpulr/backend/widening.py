"""How rows are converted where they are not computed with as they are."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend.buffers import buffer
from gpulr.backend.compiled_functions import widening_of
from gpulr.backend.compiler import compiler


@cache
def is_half(dtype: np.dtype[Any]) -> bool:
    """Whether it is float16 or ml_dtypes's bfloat16, in the order of bytes that is this CPU's."""
    return dtype.itemsize == 2 and dtype.isnative and dtype.name in ("float16", "bfloat16")


def convert(X: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
    """Write rows X to ``out`` (n_rows, n_features), C-contiguous, in its dtype.

    Halves are converted by a compiled function: NumPy and ml_dtypes take them one by one.
    """
    halves = is_half(X.dtype) and out.dtype.isnative and compiler().usable
    widen = widening_of(X.dtype, out.dtype) if halves else None
    if widen is None or X.size < widen.lanes:
        np.copyto(out, X, casting="unsafe")
        return
    if not X.flags.c_contiguous:
        rows = buffer("halves", X.size, np.uint16).reshape(X.shape)
        np.copyto(rows, X.view(np.uint16))
        X = rows
    widen(X, out)
