"""From what users pass in to rows and labels that problems are built from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory, is_sparse, to_host
from gpulr.errors import DataError
from gpulr.model.record import DataRecord
from gpulr.validation.arrays import check_rows, refuse_files
from gpulr.validation.labels import LabelMatrix, Labels, read_labels
from gpulr.validation.parameters import image_shape_of, shape_of_images
from gpulr.validation.tables import feature_names_of

if TYPE_CHECKING:
    from gpulr.datasets import Dataset

Array = Any


@dataclass(frozen=True, eq=False)
class Inputs:
    """Rows and labels as they were passed in, checked, and a record of where they came from.

    Attributes
    ----------
    X : (n_samples, n_features), in the library and dtype it came in
    labels : Labels or LabelMatrix
    record : DataRecord
        What models remember of the data.
    image_shape : tuple of int, or None
    sample_weight, weight : (n_samples,) float64, or None
        What each row weighs, without and with the weights of classes; None where all weigh 1.
    sample_weighted : bool, and class_weight : dict, "balanced" or None
        What models remember of the weights.
    """

    X: Array
    labels: Labels | LabelMatrix
    record: DataRecord
    image_shape: tuple[int, ...] | None
    sample_weight: npt.NDArray[np.float64] | None = None
    weight: npt.NDArray[np.float64] | None = None
    sample_weighted: bool = False
    class_weight: Any = None

    @host_memory
    def weighted(self, sample_weight: Any, class_weight: Any) -> Inputs:
        """Return the rows with weights of their own, and of their classes.

        Raises
        ------
        DataError, ParameterError
            They cannot be used.
        """
        weight = rows_alone = self.labels.row_weight(sample_weight, class_weight)
        if class_weight is not None:
            rows_alone = self.labels.row_weight(sample_weight, None)
        if isinstance(class_weight, Mapping):
            class_weight = {str(label): float(w) for label, w in class_weight.items()}
        given = sample_weight is not None
        return replace(
            self,
            sample_weight=rows_alone,
            weight=weight,
            sample_weighted=given,
            class_weight=class_weight,
        )


@host_memory
def read_inputs(X: Any, y: Any, image_shape: tuple[int, ...] | None) -> Inputs:
    """Check X and y, an array each, or a Dataset as X, or neither for the default data.

    Raises
    ------
    DataError
        They are no rows and labels, or do not belong together.
    """
    from gpulr import datasets

    dataset: Dataset | None = None
    if X is None and y is None:
        dataset = datasets.load_default()
    elif isinstance(X, datasets.Dataset):
        if y is not None:
            raise DataError("A Dataset brings its own labels; pass y=None, or dataset.X and y.")
        dataset = X
    elif isinstance(X, str | bytes | os.PathLike):
        refuse_files(X)
    elif X is None or y is None:
        raise DataError("Pass both X and y, or neither to train on the default data.")
    if dataset is not None:
        X, y = dataset.X, dataset.y
        image_shape = dataset.image_shape if image_shape is None else image_shape
    elif image_shape is None:
        image_shape = shape_of_images(X)
    names = feature_names_of(X) if dataset is None else dataset.feature_names
    X = check_rows(X)
    record: DataRecord = {
        "name": dataset.name if dataset else "arrays",
        "source": dataset.source if dataset else "passed to train()",
        "n_samples": int(X.shape[0]),
        "dtype": getattr(X.dtype, "name", str(X.dtype)).rpartition(".")[2],
    }
    if dataset is not None and dataset.label_name is not None:
        record["label"] = dataset.label_name
    if names is not None:
        record["feature_names"] = list(names)
    shape = None if image_shape is None else image_shape_of(image_shape, X.shape[1])
    return Inputs(X, read_labels(y, X.shape[0]), record, shape)


def look_of_images(X: Any, image_shape: tuple[int, ...] | None) -> DataRecord:
    """Return how the first thousand images look, for pictures that are to look like them.

    Of rows that are no images, or sparse, or coloured: nothing.

    "background" is "dark" or "bright"; "extent" the share of the frame that what is drawn spans, in
    the direction in which it spans more: 20/28 for MNIST; "middle" the mean centre of mass, (row,
    column) from 0, to half a pixel: (14, 14) for MNIST, half a pixel off the frame's own.
    """
    if image_shape is None or len(image_shape) != 2 or is_sparse(X):
        return {}
    images = to_host(X[: min(1000, X.shape[0]), :]).reshape(-1, *image_shape).astype(np.float32)
    middle = (images.max() + images.min()) / 2
    border = np.concatenate(
        [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1
    )
    bright = bool(border.mean() > middle)
    drawn = images < middle if bright else images > middle
    spans = [drawn.any(axis=3 - axis).sum(axis=1) / image_shape[axis - 1] for axis in (1, 2)]
    extent = float(np.median(np.maximum(*spans)))
    ink = images.max() - images if bright else images - images.min()
    return {
        "background": "bright" if bright else "dark",
        "extent": extent or 1.0,
        "middle": [_middle(ink.sum(axis=3 - axis)) for axis in (1, 2)],
    }


def _middle(mass: Any) -> float:
    """Return the mean centre of profiles of ink (n_images, side), to half a pixel."""
    total = mass.sum(axis=1)
    if not total.any():
        return float((mass.shape[1] - 1) / 2)
    moments = mass[total > 0] @ np.arange(mass.shape[1])
    return float(np.round(2 * np.mean(moments / total[total > 0])) / 2)
