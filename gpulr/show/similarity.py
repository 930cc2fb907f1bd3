"""An order of classes that has those beside each other that are taken for each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

AS_THEY_ARE = 20  # classes; more are sorted unless told otherwise


def by_similarity(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Return an order of classes that has those beside each other that are often confused.

    It is that of the leaves of an average-linkage tree, with the smallest distances of neighbours
    that the tree allows (Bar-Joseph, Gifford & Jaakkola 2001).
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    alike = shares + shares.T
    np.fill_diagonal(alike, 0.0)
    if not alike.any():
        return np.arange(len(counts))
    apart = 1.0 - alike / alike.max()
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform(apart, checks=False), "average", optimal_ordering=True)
    return np.asarray(leaves_list(tree), dtype=np.intp)
