"""From what users pass in to rows and labels that problems are built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory, is_sparse, to_host
from gpulr.errors import DataError
from gpulr.model.record import DataRecord
from gpulr.validation.labels import LabelMatrix, Labels
from gpulr.validation.parameters import positive_weights

Array = Any


@dataclass(frozen=True, eq=False)
class Inputs:
    """Rows and labels as they were passed in, checked, and a record of where they came from."""

    X: Array  # (n_samples, n_features), in the library and dtype it came in
    labels: Labels | LabelMatrix
    record: DataRecord  # what models remember of the data
    image_shape: tuple[int, ...] | None
    # What each row weighs, (n_samples,), without and with the weights of classes; None: 1.
    sample_weight: npt.NDArray[np.float64] | None = None
    weight: npt.NDArray[np.float64] | None = None
    # What models remember of the weights; of classes a dict, "balanced" or None.
    sample_weighted: bool = False
    class_weight: Any = None
    # Weights that came with X, of loaders that return them.
    loaded_weight: npt.NDArray[np.float64] | None = None
    # What rows weigh more that a model is to answer with 1: a number, or one for each model.
    pos_weight: float | list[float] | None = None

    @host_memory
    def weighted(self, sample_weight: Any, class_weight: Any, pos_weight: Any = None) -> Inputs:
        """Return them with weights of rows and of classes; raises DataError or ParameterError."""
        if self.loaded_weight is not None:
            if sample_weight is not None:
                raise DataError(
                    "Loaders return weights of rows, and sample_weight was passed too. Leave one "
                    "of them out, or multiply them in the loaders."
                )
            sample_weight = self.loaded_weight
        weight = rows_alone = self.labels.row_weight(sample_weight, class_weight)
        if class_weight is not None:
            rows_alone = self.labels.row_weight(sample_weight, None)
        if isinstance(class_weight, Mapping):
            class_weight = {str(label): float(w) for label, w in class_weight.items()}
        return replace(
            self,
            sample_weight=rows_alone,
            weight=weight,
            sample_weighted=sample_weight is not None,
            class_weight=class_weight,
            pos_weight=positive_weights(pos_weight, self.labels.n_models),
        )

    @property
    def is_table(self) -> bool:
        """Whether rows are no images, as far as is known."""
        return self.image_shape is None or len(self.image_shape) < 2

    @property
    def total_weight(self) -> float:
        """The sum of the rows' weights."""
        return float(self.X.shape[0] if self.weight is None else self.weight.sum())

    def positive_share(self) -> npt.NDArray[np.float64]:
        """Return the share of rows that each model is to answer with 1, by their weight."""
        return self.labels.positive_share(self.weight)

    def look(self) -> DataRecord:
        """Return how the first thousand rows look, where they are images."""
        return look_of_images(self.X, self.image_shape)

    def prior(self) -> list[float]:
        """Return the share of positives that each model is trained on, by all weights there are."""
        share = self.positive_share()
        if self.class_weight == "balanced":
            share = np.where((share > 0.0) & (share < 1.0), 0.5, share)
        factor = 1.0 if self.pos_weight is None else np.asarray(self.pos_weight)
        return (factor * share / (factor * share + 1.0 - share)).tolist()  # type: ignore[no-any-return]


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
    # As np.median does, which would import numpy.ma, for as long as a pass over MNIST takes.
    each = np.sort(np.maximum(*spans))
    extent = float(each[len(each) // 2] + each[(len(each) - 1) // 2]) / 2
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
