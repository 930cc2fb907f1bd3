"""The record that every loader and reader returns."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError, ParameterError
from gpulr.sources import Source, selected
from gpulr.validation.parameters import positive_number, whole_number
from gpulr.words import counted


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dataset:
    """Samples, their labels, and where they come from.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), integer, boolean or floating
        The samples. From a file that may be larger than memory it is a source, which is read block
        by block. Pixels stay uint8; training absorbs the scaling in the weights.
    y : ndarray of shape (n_samples,), integer, boolean, floating or str
        One label per sample. For several labels it is (n_samples, n_labels) of 0 and 1, with a
        column for each label, and NaN for unknown.
    X_test : ndarray of shape (n_test, n_features), optional
        Held-out samples, with the features in the same order.
    y_test : ndarray of shape (n_test,), optional
        Their labels. Given exactly when `X_test` is.
    image_shape : tuple of int, optional
        Shape of one sample as an image, in C order: ``X[i].reshape(image_shape)``.
    name : str
        Short name, for tables and file names.
    source : str
        Path, URL or description of the origin, for people and for records.
    label_name : str, optional
        Name of the table column that the labels are from.
    feature_names : tuple of str, optional
        Names of the features, if the table has a different name for each.

    Raises
    ------
    DataError
        The arrays do not fit together.
    """

    X: npt.NDArray[Any] | Source
    y: npt.NDArray[Any]
    X_test: npt.NDArray[Any] | Source | None = None
    y_test: npt.NDArray[Any] | None = None
    image_shape: tuple[int, ...] | None = None
    name: str = "unnamed"
    source: str = "memory"
    label_name: str | None = field(default=None, kw_only=True)
    feature_names: tuple[str, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_part(self.X, self.y, "")
        if (self.X_test is None) != (self.y_test is None):
            given, absent = ("y_test", "X_test") if self.X_test is None else ("X_test", "y_test")
            raise DataError(f"{given} was given without {absent}. Pass both or neither.")
        features = counted(self.n_features, "feature")
        if self.X_test is not None and self.y_test is not None:
            _check_part(self.X_test, self.y_test, "_test")
            if self.X_test.shape[1] != self.n_features:
                raise DataError(
                    f"X_test has {counted(self.X_test.shape[1], 'feature')}, but X has {features}. "
                    "Pass both with the same features in the same order."
                )
            if (self.y.dtype.kind == "U") != (self.y_test.dtype.kind == "U"):
                raise DataError(
                    f"y has dtype {self.y.dtype}, but y_test has dtype {self.y_test.dtype}. "
                    "Pass both as text or both as numbers."
                )
            if self.y.shape[1:] != self.y_test.shape[1:]:
                raise DataError(
                    f"y has shape {self.y.shape}, but y_test has shape {self.y_test.shape}. Pass "
                    "both with the same labels."
                )
        shape, names = self.image_shape, self.feature_names
        if shape is not None and (min(shape, default=0) < 1 or math.prod(shape) != self.n_features):
            raise DataError(
                f"image_shape {shape} does not hold {features}. "
                "Pass a shape whose product is n_features, or None."
            )
        if names is not None and len(names) != self.n_features:
            raise DataError(
                f"feature_names has {counted(len(names), 'name')}, but X has {features}. "
                "Pass one for each, or None."
            )

    @property
    def n_samples(self) -> int:
        """Number of training samples."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Number of features (pixels) of each sample."""
        return int(self.X.shape[1])

    def __repr__(self) -> str:
        arrays = {"X": self.X, "y": self.y, "X_test": self.X_test, "y_test": self.y_test}
        parts = [
            f"{name} {'×'.join(map(str, array.shape))} {array.dtype}"
            for name, array in arrays.items()
            if array is not None
        ]
        if self.label_name is not None:
            parts.append(f"label {self.label_name!r}")
        if self.image_shape is not None:
            parts.append("images " + "×".join(map(str, self.image_shape)))
        return f"<Dataset {self.name!r}: {', '.join(parts)}; from {self.source}>"

    def split(self, test_size: float = 0.2, seed: int = 0) -> Dataset:
        """Hold out a shuffled test part.

        The test part is the last ``round(test_size * n_samples)`` rows of
        ``np.random.default_rng(seed).permutation(n_samples)``.

        Parameters
        ----------
        test_size : float, default 0.2
            Share of the samples to hold out, between 0 and 1, exclusive.
        seed : int, default 0
            Seed of the permutation, 0 or more.

        Returns
        -------
        Dataset
            `X` has shape (n_samples − n_test, n_features) and `X_test` (n_test, n_features). Both
            are copies; of a source, both are read from where it is, with their rows in the order
            that they have there.

        Raises
        ------
        ParameterError
            A value cannot be used, a part would be empty, or there is a test part already.
        """
        if self.X_test is not None:
            raise ParameterError(
                f"data set {self.name!r} has a test part of its own ({len(self.X_test)} samples). "
                "Use it, or split a Dataset made of X and y only."
            )
        test_size = positive_number("test_size", test_size, other=" and below 1, such as 0.2")
        seed = whole_number("seed", seed, least=0)
        if test_size >= 1:
            raise ParameterError(f"test_size={test_size:g}; expected a share below 1, such as 0.2.")
        n_test = round(test_size * self.n_samples)
        n_train = self.n_samples - n_test
        if n_test < 1 or n_train < 1:
            raise ParameterError(
                f"test_size {test_size} of {self.n_samples} samples leaves {n_train} to train on "
                f"and {n_test} to test on; each part needs at least one. Pass another test_size."
            )
        order = np.random.default_rng(seed).permutation(self.n_samples)
        train, test = order[:n_train], order[n_train:]
        if isinstance(X := self.X, Source):
            train, test = np.sort(train), np.sort(test)
        rows: Any = partial(selected, X) if isinstance(X, Source) else X.__getitem__
        return replace(self, X=rows(train), y=self.y[train], X_test=rows(test), y_test=self.y[test])


def test_rows(dataset: Dataset) -> tuple[str, Any, Any]:
    """Return "test" and the rows of the test part; where there is none, "all" and all rows."""
    if dataset.X_test is not None:
        return "test", dataset.X_test, dataset.y_test
    return "all", dataset.X, dataset.y


def is_indicator(y: npt.NDArray[Any]) -> bool:
    """Whether y is a matrix of zeros and ones, with a column for each of several labels.

    An entry may be NaN, which says nothing of the label.
    """
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "biuf":
        return False
    return bool(np.all((y == 0) | (y == 1) | np.isnan(y)))


def _check_part(X: Any, y: Any, part: str) -> None:
    """Raise DataError unless X is a numeric table and y has one label for each of its rows."""
    X_name, y_name = f"X{part}", f"y{part}"
    for name, array in ((X_name, X), (y_name, y)):
        if not isinstance(array, np.ndarray) and not (array is X and isinstance(X, Source)):
            kind = type(array).__name__
            raise DataError(
                f"{name} is of type {kind}; expected a NumPy array. Pass np.asarray({name})."
            )
    if X.ndim != 2:
        advice = f"Pass {X_name}.reshape(-1, 1) if it is a single feature."
        if X.ndim > 2:
            advice = f"Flatten images with {X_name}.reshape(len({X_name}), -1)."
        raise DataError(f"{X_name} has shape {X.shape}; expected (n_samples, n_features). {advice}")
    if X.dtype.kind not in "biuf":
        raise DataError(
            f"{X_name} has dtype {X.dtype}; expected integers, booleans or real floats. "
            "Convert it, for example with .astype('float32')."
        )
    if y.ndim != 1 and not is_indicator(y):
        raise DataError(
            f"{y_name} has shape {y.shape}; expected (n_samples,), or for several labels per "
            f"sample (n_samples, n_labels) of 0, 1 and NaN. Pass {y_name}.ravel() if it is one "
            "column."
        )
    if y.dtype.kind not in "biufU":
        raise DataError(
            f"{y_name} has dtype {y.dtype}; expected integers, booleans, floats or text. "
            "Convert it, for example with .astype(str)."
        )
    if len(X) != len(y):
        raise DataError(
            f"{X_name} has {counted(len(X), 'sample')}, but {y_name} has "
            f"{counted(len(y), 'label')}. Pass one label for each sample."
        )
    if 0 in X.shape:
        raise DataError(
            f"{X_name} has shape {X.shape}; expected at least one sample and one feature."
        )
