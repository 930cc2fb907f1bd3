"""From what users pass in to rows and labels that problems are built from."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gpulr.backend import Backend, host_memory, is_sparse, to_host
from gpulr.core.rows import Rows, extremes
from gpulr.core.standardized import standardized
from gpulr.errors import DataError, ScaleWarning, warn
from gpulr.model.record import DataRecord
from gpulr.validation.arrays import check_rows, finite_rows, refuse_files
from gpulr.validation.labels import LabelMatrix, Labels, read_labels
from gpulr.validation.parameters import image_shape_of, positive_number, shape_of_images
from gpulr.validation.tables import feature_names_of

if TYPE_CHECKING:
    from gpulr.datasets import Dataset

Array = Any

__all__ = ["Inputs", "read_inputs"]


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
    """

    X: Array
    labels: Labels | LabelMatrix
    record: DataRecord
    image_shape: tuple[int, ...] | None

    def rows(
        self,
        backend: Backend,
        dtype: Any,
        *,
        scale: float | str | None,
        standardize: bool,
        column_bytes: int = 0,
        n_columns: int = 1,
    ) -> Rows:
        """Return the rows on the backend's device, scaled; completes the record.

        Where they do not fit there beside what training takes for its columns, some stay on the
        host, and blocks of them are streamed; see :meth:`Backend.place`.

        Raises
        ------
        DataError
            X holds NaN, infinity, or more than ``dtype`` can.

        Warns
        -----
        ScaleWarning
            Bytes that are not pixels are divided by 255.
        """
        X = backend.place(
            self.X,
            rounds_to=None if standardize else dtype,
            column_bytes=column_bytes,
            n_columns=n_columns,
        )
        finite_rows(X, backend, dtype, self.X)
        xp, known = backend.xp, extremes(X, backend)
        self.record["feature_range"] = [float(xp.min(known[0])), float(xp.max(known[1]))]
        if self.image_shape is not None and len(self.image_shape) == 2 and not is_sparse(X):
            self.record.update(_look(self.X, self.image_shape))
        if standardize:
            return replace(standardized(X, backend, dtype), known=known)
        if isinstance(scale, str):
            _warn_of_small_bytes(self.X, self.record["feature_range"][1])
        return Rows(X, scale_of(scale, self.X), None, backend, dtype, known=known)


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


def scale_of(scale: float | str | None, X: Any) -> float:
    """Return what X is multiplied by."""
    if isinstance(scale, str) and scale == "auto":
        return 1.0 / 255.0 if str(X.dtype).endswith("uint8") else 1.0
    return 1.0 if scale is None else positive_number("scale", scale, other=', "auto" or None')


def _look(X: Any, image_shape: tuple[int, ...]) -> DataRecord:
    """Return how the first thousand images look, for pictures that are to look like them.

    "background" is "dark" or "bright"; "extent" the share of the frame that what is drawn spans, in
    the direction in which it spans more: 20/28 for MNIST; "middle" the mean centre of mass, (row,
    column) from 0, to half a pixel: (14, 14) for MNIST, half a pixel off the frame's own.
    """
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


def _warn_of_small_bytes(X: Any, largest: float) -> None:
    if str(X.dtype).endswith("uint8") and 1 < largest < 64:
        warn(
            f'X is uint8 and goes up to {largest:g} only; scale="auto" divides by 255 all the '
            "same, which makes the penalty strong. If these are not pixels from 0 to 255, pass "
            f"scale=1/{largest:g}, or scale=None.",
            ScaleWarning,
        )
