"""Some of the rows of a source, as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.sources.source import Source


def selected(X: Source, index: npt.NDArray[Any]) -> Source:
    """Return the rows of X that ``index`` (n_rows,) names, ascending, read with those between."""
    index = index.astype(np.min_scalar_type(X.shape[0]))
    nnz = None if X.nnz is None else X.nnz * len(index) // X.shape[0]  # about
    return Source(
        lambda start, stop: X.gathered(index[start:stop]),
        (len(index), X.shape[1]),
        X.dtype,
        nnz=nnz,
        edges=np.searchsorted(index, X.edges).tolist(),
    )
