"""Predictions of :class:`gpulr.Blocks`: those of its parts, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

import numpy as np

from gpulr.backend import to_host
from gpulr.errors import DataError
from gpulr.sources import Blocks, PartData
from gpulr.validation.blocks import each_part
from gpulr.validation.conversion import shape_of
from gpulr.words import counted

Array = Any
Method = TypeVar("Method", bound=Callable[..., Any])


def part_by_part(rows_for: Callable[[Any, Any], Array]) -> Callable[[Method], Method]:
    """Return a decorator of methods that predict rows: they take Blocks too, and load them once.

    ``rows_for`` makes of what a loader returns the rows that a model takes.
    """

    def decorated(method: Method) -> Method:
        @wraps(method)
        def predicted(model: Any, X: Any, *arguments: Any, **named: Any) -> Any:
            if not isinstance(X, Blocks):
                return method(model, X, *arguments, **named)
            return np.concatenate(
                each_part(
                    X,
                    lambda _, part: to_host(method(model, part.X, *arguments, **named)),
                    partial(rows_for, model),
                )
            )

        return predicted  # type: ignore[return-value]

    return decorated


def truth_of_parts(
    blocks: Blocks,
    y: Any,
    sample_weight: Any,
    read: Callable[[Any, Any, Any], tuple[Array, Array, Array | None]],
    convert: Callable[[Any], Array],
) -> tuple[Array, Array, Array | None]:
    """Return what ``read`` does, margins, truth and weights, of all parts; each is loaded once.

    y and weights are the loaders', or are passed beside in the order of the parts.
    """

    def of_part(rows: slice, part: PartData) -> tuple[Array, Array, Array | None]:
        if y is not None and part.y is not None:
            raise DataError("its loader returns y, which was passed beside the parts too.")
        weight = part.sample_weight if sample_weight is None else sample_weight[rows]
        return read(part.X, part.y if y is None else y[rows], weight)

    found = each_part(blocks, of_part, convert)
    Z, truth, weight = zip(*found, strict=True)
    n = sum(map(len, Z))
    for name, passed in (("y", y), ("sample_weight", sample_weight)):
        if passed is not None and shape_of(passed)[0] != n:
            rows = counted(shape_of(passed)[0], "row")
            raise DataError(f"{name} has {rows}; the parts have {n:,}. Pass one for each.")
    weights = None if weight[0] is None else np.concatenate(weight)
    return np.concatenate(Z), np.concatenate(truth), weights
