"""One view of predictions, labels and images, for pictures, reports, videos and the command line.

Needs no plotting library.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import backend_of, is_sparse, to_host
from gpulr.core.targets import UNKNOWN
from gpulr.datasets import Dataset
from gpulr.datasets.dataset import test_rows
from gpulr.errors import DataError, ParameterError
from gpulr.logistic import sigmoid
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.predicted import Thresholds, above, predicted, predicted_codes
from gpulr.show.labels import label_texts
from gpulr.validation.label_values import codes_of
from gpulr.validation.labels import check_indicator
from gpulr.validation.parameters import image_shape_of, shape_of_images

Array = Any
Shape = tuple[int, ...]
LONGEST_FEATURE = 22  # and of the name of a feature
WITHIN = 99.5  # per cent of the weights are within the scale: a few pixels would dim the others
CHANNELS = (1, 3, 4)
LEAST_IMAGE = 64  # pixels of a square that nameless features may be


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model predicts of some rows, beside what is true of them.

    Attributes
    ----------
    Z : (n_rows, n_names) float64
        Margins of the model's classes or labels; of two classes with one model, −Z and Z.
    predicted, true : (n_rows, n_names) bool
        Which names were predicted, and which are true: one in each row, or any number of labels.
        Where y says nothing of a label, what is predicted is taken for true.
    known : bool
        Whether the truth is known; otherwise nothing is true, and no row is right.
    multilabel : bool
        Whether a row may have any number of labels.
    above : (n_rows, n_names) float64
        How far each margin lies above the name's threshold: Z, where the model has none.
    """

    Z: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.bool_]
    true: npt.NDArray[np.bool_]
    known: bool
    multilabel: bool
    above: npt.NDArray[np.float64]

    @classmethod
    def of(cls, model: OneVsAll, X: Array, true: npt.NDArray[Any] | None = None) -> Predictions:
        """Predict the rows of X; ``true`` is as of :func:`true_names`, None if it is not known."""
        Z = to_host(model.decision_function(X))
        return cls.of_margins(Z, true, model.thresholds, multilabel=model.multilabel)

    @classmethod
    def of_margins(
        cls,
        Z: npt.NDArray[Any],
        true: npt.NDArray[Any] | None,
        thresholds: Thresholds | None,
        *,
        multilabel: bool,
    ) -> Predictions:
        """Return what margins (n_rows, n_models) predict."""
        Z = Z.astype(np.float64)
        if multilabel:
            said = predicted(Z, thresholds)
        else:
            codes = predicted_codes(Z, thresholds)
            said = codes[:, np.newaxis] == np.arange(max(2, Z.shape[1]))
        far = above(Z, thresholds)
        if Z.shape[1] == 1 and not multilabel:
            Z, far = np.hstack([-Z, Z]), np.hstack([-far, far])
        truth = np.zeros_like(said) if true is None else np.where(true == UNKNOWN, said, true == 1)
        return cls(Z, said, truth, true is not None, multilabel, far)

    def take(self, rows: npt.NDArray[np.intp]) -> Predictions:
        """Return the predictions of some of the rows."""
        names = ("Z", "predicted", "true", "above")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    @property
    def probabilities(self) -> Array:
        """Each model's own, (n_rows, n_names); of two classes with one model, 1 − P and P."""
        return sigmoid(self.Z)

    @property
    def right(self) -> Array:
        """Whether all that is predicted of a row is true, and nothing else is; (n_rows,)."""
        return (self.predicted == self.true).all(axis=1) & self.known

    @property
    def certain(self) -> Array:
        """Whether some name is more probable than not, (n_rows,); of two classes, one always is.

        With thresholds: whether some margin reaches its own.
        """
        return self.above.max(axis=1) >= 0

    @property
    def confidence(self) -> Array:
        """Margin of the predicted class, or the widest of the wrong labels; (n_rows,).

        With thresholds: how far it lies above, or below, its own.
        """
        wrong, far = self.predicted != self.true, self.above
        return (np.where(wrong, np.abs(far), 0.0) if self.multilabel else far).max(axis=1)


def true_names(model: OneVsAll, y: Any, n_rows: int) -> npt.NDArray[Any]:
    """Return which of the model's classes or labels each row has, (n_rows, n_names).

    bool, or of labels uint8 of 0 and 1, and 2 where y does not say.
    Raises DataError as :meth:`OneVsAll.evaluate` does.
    """
    if model.multilabel:
        _, Y = check_indicator(y, n_rows, model.classes)
        return np.asarray(Y.toarray() if is_sparse(Y) else to_host(Y))
    true: npt.NDArray[np.bool_] = codes_of(y, n_rows, model.classes)[:, np.newaxis] == np.arange(
        len(model.classes)
    )
    return true


def labelled_rows(X: Any, y: Any) -> tuple[Any, Any]:
    """Return X and y; of a Dataset as X its test part, or all rows where it has none."""
    if not isinstance(X, Dataset):
        return X, y
    if y is not None:
        raise DataError("A Dataset brings its own labels; pass y=None, or dataset.X and y.")
    return test_rows(X)[1:]


def take_rows(X: Array, rows: npt.NDArray[np.intp]) -> Array:
    """Return some rows of a checked X, where X is; sparse ones as a dense array."""
    backend = backend_of(X)
    taken = backend.take_rows(X, backend.asarray(rows))
    return taken.toarray() if is_sparse(taken) else taken


def most_probable(P: npt.NDArray[Any], n: int) -> npt.NDArray[np.intp]:
    """Return the places of the n largest along the last axis, largest first; margins do as well."""
    return np.argsort(-P, axis=-1, kind="stable")[..., :n]


def feature_names(model: OneVsAll, longest: int = LONGEST_FEATURE) -> list[str]:
    """Return what the features of a model are called, by their numbers where they have no names."""
    names = model.data.get("feature_names")
    if names is None:
        return [f"feature {place}" for place in range(model.n_features)]
    return label_texts(names, longest)


def largest_weights(W: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.intp]:
    """Return the places of each column's n largest weights, the most positive first, (n, k)."""
    largest = np.argsort(-np.abs(W), axis=0, kind="stable")[:n]
    order = np.argsort(-np.take_along_axis(W, largest, axis=0), axis=0, kind="stable")
    return np.take_along_axis(largest, order, axis=0)


def odds_ratio(weight: float) -> str:
    """Return the factor of the odds that a weight stands for, in words: ×1.65."""
    return f"×{math.exp(min(max(weight, -99.0), 99.0)):.3g}"


def is_image(shape: Shape | None) -> bool:
    """Whether this is (height, width), or has 1, 3 or 4 channels as its last or first axis."""
    if shape is None or len(shape) != 3:
        return shape is not None and len(shape) == 2
    return shape[2] in CHANNELS or shape[0] in CHANNELS


def square_of(model: OneVsAll) -> Shape | None:
    """Return the square that nameless bytes are, if their number is that of one, else None."""
    return square_perhaps(model) if model.data.get("dtype") == "uint8" else None


def square_perhaps(model: OneVsAll) -> Shape | None:
    """Return the square that nameless features of any type may be, if their number is that."""
    side = math.isqrt(model.n_features)
    nameless = model.data.get("feature_names") is None
    return (side, side) if nameless and model.n_features == side**2 >= LEAST_IMAGE else None


def image_shape_to_draw(model: OneVsAll, image_shape: Shape | None, X: Any = None) -> Shape | None:
    """Return the shape of an image: as stated, or of X, or of the model; None for no images.

    Where nothing is stated, see :func:`square_of`. Raises ParameterError if it does not fit the
    features, or is no shape of an image.
    """
    if image_shape is None:
        image_shape = X.image_shape if isinstance(X, Dataset) else shape_of_images(X)
        image_shape = image_shape or model.image_shape
        if image_shape is None:
            return square_of(model)
        if len(image_shape) < 2:
            return None
    shape = image_shape_of(image_shape, model.n_features)
    if is_image(shape):
        return shape
    raise ParameterError(
        f"image_shape={shape}; expected (height, width), or with 1, 3 or 4 channels "
        "(height, width, channels) or (channels, height, width), to draw an image."
    )


def as_images(rows: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """Return rows as images, (n, height, width) or (n, height, width, channels)."""
    images = rows.reshape(len(rows), *shape)
    if len(shape) == 3 and shape[2] not in CHANNELS:
        images = np.moveaxis(images, 1, -1)
    return images[..., 0] if images.shape[3:] == (1,) else images


def grey_images(model: OneVsAll, rows: npt.NDArray[Any], shape: Shape) -> npt.NDArray[np.float64]:
    """Return rows as images from 0, the smallest value of training, to 1, the largest.

    Where these are not known, they are those of the rows.
    """
    low, high = model.data.get("feature_range") or (float(rows.min()), float(rows.max()))
    shade = (rows.astype(np.float64) - low) / ((high - low) or 1.0)
    return as_images(np.clip(shade, 0.0, 1.0), shape)


def as_bytes(images: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return images from 0 to 1 as images from 0 to 255."""
    return np.rint(255 * images).astype(np.uint8)


def weight_images(weights: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """Return weights (n_features, n_models) as (n_models, height, width), their channels summed."""
    images = as_images(np.ascontiguousarray(weights.T), shape)
    return images if images.ndim == 3 else images.sum(axis=-1)


def weight_limit(weights: npt.NDArray[Any]) -> float:
    """Return the weight that has full colour, on a scale of all these weights."""
    sizes = np.abs(weights)
    return float(np.percentile(sizes, WITHIN)) or float(sizes.max()) or 1.0
