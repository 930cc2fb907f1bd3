"""Evaluations of rows that lie in parts, of what adds up over these.

What ranks margins, AUROC and average precision, is no sum over rows, and not part of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.distributed import added
from gpulr.errors import DataError, named
from gpulr.model.binary import counts, losses, of_each_model, together
from gpulr.model.evaluation import (
    Evaluation,
    MultilabelEvaluation,
    confused,
    of_classes,
    of_labels,
)
from gpulr.model.measures import SCORES, Counts, Each, mean, minus_mean, share_right
from gpulr.model.predicted import Thresholds
from gpulr.sources.dask_arrays import (
    blocks_like,
    blocks_of,
    current_client,
    edges_of,
    n_blocks_of,
    n_rows,
    whole_rows,
)

Array = Any


def sums_of(
    Z: npt.NDArray[np.floating],
    truth: npt.NDArray[Any],
    w: Each,
    n_classes: int,
    thresholds: Thresholds | None = None,
) -> tuple[Any, ...]:
    """Return the sums over rows, of a part of all rows, that an evaluation is made of.

    They add up; :func:`evaluate_sums` makes an evaluation of them.
    """
    measure = together(counts, losses)
    sums: tuple[Any, ...] = tuple(of_each_model(measure, Z, truth, w, thresholds))
    if truth.ndim > 1:
        return *sums, *share_right.sums(Z, truth, w, thresholds)
    names = ("accuracy", "neg_log_loss", "neg_brier_score")
    for name in names:
        score: Any = SCORES[name][0]
        sums += score.sums(Z, truth, w, thresholds)
    return *sums, confused(Z, truth, w, thresholds, n_classes)


def evaluate_sums(
    sums: Sequence[Any],
    classes: npt.NDArray[np.generic],
    thresholds: Thresholds | None = None,
    *,
    counted: bool,
) -> Evaluation | MultilabelEvaluation:
    """Return the evaluation of rows of which :func:`sums_of` says the sums.

    ``counted`` says whether every row weighs 1.
    """
    *cells, log_loss, squares, mass = sums[:7]
    of_margins = {
        "neg_log_loss": minus_mean(log_loss, mass),
        "neg_brier_score": minus_mean(squares, mass),
    }
    means = [float(a / b) for a, b in zip(sums[7:13:2], sums[8:13:2], strict=True)]
    if len(means) == 1:
        return of_labels(cells, of_margins, means[0], classes, thresholds, counted)
    right, true = np.diag(sums[-1]), sums[-1].sum(axis=1)
    balanced = mean(Counts(right, true, true).recall()[true > 0])
    first = dict(zip(("accuracy", "neg_log_loss", "neg_brier_score"), means, strict=True))
    first = {"accuracy": first["accuracy"], "balanced_accuracy": balanced, **first}
    how = (classes, thresholds, counted)
    return of_classes(sums[-1], cells, of_margins, first, float(sums[8]), *how)


def sums_of_blocks(
    X: Any,
    y: Any,
    sample_weight: Any,
    read: Callable[[Any, Any, Any], tuple[Array, Array, Array | None]],
    sums: Callable[..., tuple[Any, ...]],
) -> tuple[Any, ...]:
    """Return sums over all rows of Dask blocks, each computed where its rows are.

    ``read`` makes of X, y and weights of a block margins, truth and weights, of which ``sums``
    makes what adds up. Raises DataError for labels or weights that do not go with the rows, or a
    block that cannot be computed, and WorkersLostError where no worker is left.
    """
    import dask

    from gpulr.distributed.dask_engine import DaskEngine  # which imports distributed

    X = whole_rows(X)
    blocks, n_blocks = blocks_of(X)
    edges, columns = None, [list(blocks.values())]
    if hasattr(X, "chunks") and not np.isnan(X.shape[0]):
        edges = np.cumsum([0, *(X.chunks[0][i] for i in blocks)])
    elif not all(
        values is None or n_blocks_of(values) == n_blocks for values in (y, sample_weight)
    ):
        edges = edges_of(list(blocks.values()))
    for name, values in (("y", y), ("sample_weight", sample_weight)):
        each = [None] * len(blocks)
        if values is not None:
            each = blocks_like(values, list(blocks), n_blocks, edges, name)
        columns.append(each)
    shared = dask.delayed((read, sums), traverse=False)  # sent to each worker once
    rows = [shared] * len(blocks), list(blocks), *columns
    engine = DaskEngine.make(current_client(), BlockSums.of, *rows)
    found = [each for each in engine.call("sums_of_rows") if each is not None]
    if not any(weight for weight, _ in found):
        raise DataError("There is no row to be scored, or all have weight 0.")
    return added([sums for _, sums in found])


@dataclass(frozen=True, eq=False)
class BlockSums:
    """The weight of a block's rows and their sums, where they were made; None: it has no rows."""

    sums: tuple[float, tuple[Any, ...]] | None

    @classmethod
    def of(
        cls,
        functions: tuple[Callable[..., Any], Callable[..., Any]],
        number: int,
        X: Any,
        y: Any,
        weight: Any,
    ) -> BlockSums:
        """Return the sums of a block; raises DataError that names it."""
        read, sums = functions
        if not n_rows(X):
            return cls(None)
        with named(f"Block {number} of X"):
            Z, truth, w = read(X, y, weight)
        w = np.ones(len(Z)) if w is None else w
        return cls((float(w.sum()), sums(Z, truth, w)))

    def sums_of_rows(self) -> tuple[float, tuple[Any, ...]] | None:
        """Return them, for the client."""
        return self.sums
