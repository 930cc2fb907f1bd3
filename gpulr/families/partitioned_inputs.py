"""Rows and labels that are Dask's blocks, read where they are: what parts have in common."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import is_sparse
from gpulr.core.moments import Moments
from gpulr.distributed import Elsewhere, added
from gpulr.errors import DataError
from gpulr.families.inputs import Inputs, look_of_images
from gpulr.families.loaded_part import LabelsSummary, LoadedPart, RowsSummary
from gpulr.model.record import DataRecord
from gpulr.sources.dask_arrays import blocks_like, blocks_of, check_columns, is_dask, whole_rows
from gpulr.validation.label_values import check_labels
from gpulr.validation.labels import (
    LabelMatrix,
    Labels,
    check_indicator,
    check_row_weight,
    check_several,
    is_label_matrix,
    kind_of,
)
from gpulr.validation.parameters import image_shape_of, positive_weights, shape_of_images
from gpulr.validation.tables import feature_names_of
from gpulr.words import counted

Array = Any
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Common:
    """What is known of all parts.

    Attributes
    ----------
    make : as :meth:`gpulr.distributed.dask_engine.DaskEngine.make`, for where they are
    names : of parts, for messages
    blocks : (n_parts,) int, which of X's blocks they are, of ``n_blocks``
    edges : (n_parts + 1,) int, where parts begin, and the last one ends
    rows : (n_parts, n_kinds) int64, of each class, or of a matrix of labels all rows of each part
    order : (n_kinds,) int64, each class's first row
    """

    make: Callable[..., Any]
    names: Sequence[str]
    blocks: Sequence[int]
    n_blocks: int
    edges: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]

    def blocks_like(self, values: Any, name: str) -> list[Any]:
        """Return the blocks of labels or weights that go with the parts."""
        return blocks_like(values, self.blocks, self.n_blocks, self.edges, name)


@dataclass(frozen=True, eq=False, kw_only=True)
class PartitionedInputs(Inputs):
    """Inputs whose rows are elsewhere: X has a shape and a dtype, the labels have no rows."""

    # An Engine, which has its ``parts``: of LoadedPart, with labels and, if any, weights of rows.
    engine: Any
    common: Common
    # The sum of weights, and those of rows of each kind: see LoadedPart.weights_summary.
    totals: tuple[float, Floats]

    @property
    def total_weight(self) -> float:
        """The sum of the rows' weights."""
        return self.totals[0]

    @property
    def weighed(self) -> bool:
        """Whether rows have weights, of their own or of their classes."""
        return self.sample_weighted or isinstance(self.class_weight, Mapping)

    def weighted(self, sample_weight: Any, class_weight: Any, pos_weight: Any = None) -> Inputs:
        """Return them with weights of rows and of classes; raises DataError or ParameterError."""
        each = self.labels.weight_of_classes(class_weight)
        pos_weight = positive_weights(pos_weight, self.labels.n_models)
        same = replace(self, class_weight=class_weight, pos_weight=pos_weight)
        if sample_weight is None and each is None:
            return same
        n_parts, n = self.engine.n_parts, self.X.shape[0]
        blocks: Sequence[Any] = [None] * n_parts
        if sample_weight is not None:
            if not is_dask(sample_weight):
                sample_weight = check_row_weight(sample_weight, n)
            blocks = self.common.blocks_like(sample_weight, "sample_weight")
        columns = self.engine.parts, blocks, [each] * n_parts
        engine = self.common.make(LoadedPart.weighted, *columns)
        totals = added(engine.call("weights_summary"))
        self.labels.check_weights(totals[1])
        if isinstance(class_weight, Mapping):
            class_weight = {str(label): float(w) for label, w in class_weight.items()}
        return replace(
            same,
            engine=engine,
            totals=(float(totals[0]), totals[1]),
            sample_weighted=sample_weight is not None,
            class_weight=class_weight,
        )

    def positive_share(self) -> Floats:
        """Return the share of rows that each model is to answer with 1, by all weights."""
        rows = self.totals[1]
        if self.labels.multilabel:
            return np.asarray(rows[1] / rows.sum(axis=0))
        return np.asarray(rows[-self.labels.n_models :] / rows.sum())

    def overview(
        self, dtype: np.dtype[Any], moments: bool
    ) -> tuple[tuple[Floats, Floats], Moments | None]:
        """Return the extremes and the moments of features; raises DataError as each part does."""
        known, each = zip(*self.engine.call("overview", dtype, moments), strict=True)
        least, most = zip(*known, strict=True)
        found = reduce(operator.add, each) if moments else None
        return (np.min(least, axis=0), np.max(most, axis=0)), found

    def feature_sums(self, *arguments: Any) -> tuple[Floats, ...]:
        """Return what :func:`gpulr.core.rows.feature_sums` does."""
        return added(self.engine.call("feature_sums", *arguments))

    def look(self) -> DataRecord:
        """Return how the first thousand images look."""
        if self.image_shape is None or is_sparse(self.X):
            return {}
        edges, n = self.common.edges, 1000
        which = range(int(np.searchsorted(edges, min(n, edges[-1]))))
        rows = self.engine.call("first_rows", n, which=which)
        return look_of_images(np.concatenate(rows)[:n], self.image_shape)


def read_partitioned(
    X: Any, y: Any, image_shape: tuple[int, ...] | None, make: Callable[..., Any]
) -> PartitionedInputs:
    """Have the blocks of X and y loaded, and return what is common to them.

    ``make`` returns an engine of what a function makes of each row of some columns.

    Raises DataError, which names the part, if they are no rows and labels, or do not belong
    together.
    """
    if y is None:
        raise DataError("Pass both X and y: X is a Dask array, which has no labels.")
    names, shape = feature_names_of(X), image_shape or shape_of_images(X)
    check_columns(X)
    whole = whole_rows(X)
    blocks, n_blocks = blocks_of(whole)
    way = "blocks" if hasattr(X, "chunks") else "partitions"
    named = [f"Part {i} (X.{way}[{i}])" for i in blocks]
    engine = make(LoadedPart.load, named, list(blocks.values()))
    found: list[RowsSummary | None] = engine.call("rows_summary")
    if hasattr(whole, "chunks"):
        _check_lengths(found, named, [whole.chunks[0][i] for i in blocks])
    some = [i for i, rows in enumerate(found) if rows is not None]
    summaries = [rows for rows in found if rows is not None]
    if not summaries:
        raise DataError("X is empty: none of its blocks has rows. Pass at least one row.")
    named = [named[i] for i in some]
    _check_alike(summaries, named)
    edges = np.cumsum([0, *(rows.n_samples for rows in summaries)])
    nothing = np.zeros((len(some), 0), np.int64)
    common = Common(
        make, named, [list(blocks)[i] for i in some], n_blocks, edges, nothing, nothing[0]
    )
    parts = [engine.parts[i] for i in some]
    matrix, known = is_label_matrix(y), None
    if not is_dask(y):
        n = int(edges[-1])
        known, y = check_indicator(y, n) if matrix else (None, check_labels(y, n))
    columns = common.blocks_like(y, "y"), [matrix] * len(parts), [known] * len(parts)
    engine = make(LoadedPart.with_labels, parts, *columns)
    labels, n_unknown, common = _labels(engine.call("labels_summary"), common)
    if not matrix:
        engine = engine.map("in_classes", labels.classes)
    first = summaries[0]
    nnz = None if first.nnz is None else sum(rows.nnz or 0 for rows in summaries)
    record: DataRecord = {"name": "arrays", "source": "passed to train()"}
    record["n_samples"], record["dtype"] = int(edges[-1]), first.dtype.name
    if names is not None:
        record["feature_names"] = list(names)
    if n_unknown:
        record["n_unknown"] = n_unknown
    totals = added(engine.call("weights_summary"))
    return PartitionedInputs(
        X=Elsewhere((int(edges[-1]), first.n_features), first.dtype, nnz=nnz),
        labels=labels,
        record=record,
        image_shape=None if shape is None else image_shape_of(shape, first.n_features),
        engine=engine,
        common=common,
        totals=(float(totals[0]), totals[1]),
    )


def _check_lengths(
    parts: Sequence[RowsSummary | None], names: Sequence[str], lengths: Sequence[float]
) -> None:
    """Raise DataError for a part of other rows than its array says; NaN: it does not say."""
    for name, rows, length in zip(names, parts, lengths, strict=True):
        n = 0 if rows is None else rows.n_samples
        if n != length and not math.isnan(length):
            raise DataError(
                f"{name} has {counted(n, 'row')}, and X.chunks says that it has {length:,}. Make X "
                "of the lengths that its blocks have, or of unknown ones (NaN), which are found "
                "out."
            )


def _check_alike(parts: Sequence[RowsSummary], names: Sequence[str]) -> None:
    """Raise DataError unless rows of all parts have the features and the dtype of the first."""
    first = parts[0]
    for name, rows in zip(names, parts, strict=True):
        for what, own, others in (
            ("features", rows.n_features, first.n_features),
            ("dtype", rows.dtype, first.dtype),
            ("form", *("dense" if p.nnz is None else "sparse" for p in (rows, first))),
        ):
            if own != others:
                raise DataError(
                    f"{name} has {what} {own}, and {names[0]} has {others}; expected the same in "
                    "all parts. Convert X, e.g. with X.astype, or leave the part out."
                )


def _labels(
    parts: Sequence[LabelsSummary], common: Common
) -> tuple[Labels | LabelMatrix, int, Common]:
    """Return the labels of all parts, how many entries are unknown, and what is common.

    Raises DataError where labels are not alike, or fewer than two classes.
    """
    edges, first = common.edges, parts[0]
    if first.first is None:
        for name, part in zip(common.names, parts, strict=True):
            if part.classes.tolist() != first.classes.tolist():
                raise DataError(
                    f"{name} has the labels {part.classes[:10].tolist()}, and {common.names[0]} "
                    f"has {first.classes[:10].tolist()}; expected the same columns of y in all."
                )
        matrix = LabelMatrix(first.classes, np.zeros((0, len(first.classes)), np.uint8))
        n_unknown = sum(part.n_unknown for part in parts)
        vars(matrix)["n_unknown"] = n_unknown  # which it would look for among its rows
        rows = np.sum([part.rows for part in parts], axis=0)
        matrix.check_some(np.any(rows, axis=0), "these columns are missing values throughout")
        n_rows = np.diff(edges)[:, np.newaxis]
        return matrix, n_unknown, replace(common, rows=n_rows, order=np.zeros(1, np.int64))
    kinds = [kind_of(part.classes) for part in parts]
    other = next((i for i, kind in enumerate(kinds) if kind != kinds[0]), 0)
    if other:
        raise DataError(
            f"y holds {first.classes[:3].tolist()} in {common.names[0]} and "
            f"{parts[other].classes[:3].tolist()} in {common.names[other]}; expected labels all of "
            "one kind. Convert them."
        )
    classes = np.unique(np.concatenate([part.classes for part in parts]))
    check_several(classes)
    rows = np.zeros((len(parts), len(classes)), np.int64)
    order = np.full(len(classes), edges[-1])
    for i, part in enumerate(parts):
        at = np.searchsorted(classes, part.classes)
        rows[i, at] = part.rows
        order[at] = np.minimum(order[at], edges[i] + part.first)
    labels = Labels(classes, np.zeros(0, np.int32))
    return labels, 0, replace(common, rows=rows, order=order)
