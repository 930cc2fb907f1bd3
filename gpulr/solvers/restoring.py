"""What classes say and check of their parts that are read from a file, beside the fields' types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host

Array = Any

# Of the type of a field whose objects are of other models than the object itself is:
# ``Annotated[…, OTHERS]``; see gpulr.families.checkpoint_fields.
OTHERS = "of other models"


def check_places(index: npt.NDArray[Any], n: int, what: str) -> None:
    """Raise ValueError unless an array has whole numbers from 0 to ``n`` - 1."""
    whole = index.dtype == np.int64
    if not whole or (index.size and not (index.min() >= 0 and index.max() < n)):
        raise ValueError(f"{what} that are not there")


def check_parameters(theta: Array) -> None:
    """Raise ValueError where parameters, which are of scaled rows, are beyond float32."""
    with np.errstate(over="ignore"):
        if not np.isfinite(np.asarray(to_host(theta), np.float32)).all():
            raise ValueError("parameters without bounds")


def record_of(
    named: Mapping[str, npt.NDArray[Any]], shape: Sequence[int], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Return an array of records from one array for each field, or raise ValueError."""
    records = np.zeros(tuple(shape), dtype)
    for name in dtype.names or ():
        if named[name].shape != records.shape or named[name].dtype != dtype[name]:
            raise ValueError(f"{name}: {named[name].shape} {named[name].dtype}, not {tuple(shape)}")
        records[name] = named[name]
    return records
