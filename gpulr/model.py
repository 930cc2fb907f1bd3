"""The trained model: weights, what they were trained on, and what they predict."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

from gpulr import logistic, metrics
from gpulr.backend import backend_of, is_device_array, to_host
from gpulr.errors import DataError
from gpulr.validation import check_labels, check_rows, finite_rows

Array = Any

__all__ = ["History", "OneVsAll"]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """How training went, per model; NumPy arrays.

    Attributes
    ----------
    cost, gradient_norm : (n_iter + 1, n_models) float64
        From the start (iteration 0); a model that has converged keeps its last values. The norm is
        the largest absolute entry of the gradient with respect to the weights of the scaled X and
        the intercept.
    seconds : (n_iter + 1,) float64
        When each iteration was done (in the per-model loop: the sum of the models' times).
    n_iter : (n_models,) int64
    converged : (n_models,) bool
    stalled : (n_models,) bool
        Ended short of the tolerance, since the dtype allowed no better.
    """

    cost: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    n_iter: npt.NDArray[np.int64]
    converged: npt.NDArray[np.bool_]
    stalled: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class OneVsAll:
    """One-vs-all logistic models, the columns of one weight matrix.

    With two classes there is one model, whose positive class is ``classes[1]``; otherwise model j
    tells ``classes[j]`` from all others. Weights apply to X exactly as it was passed to training:
    scaling is folded in.

    Attributes
    ----------
    weights : (n_features, n_models), intercept : (n_models,)
        In the compute dtype and the array library of the X that training was given.
    classes : (n_classes,) NumPy array
        Sorted labels, in the dtype of y.
    history : History
    backend, device : str
        What trained it.
    fallback_reason : str or None
        Why another backend trained it than the one asked for.
    settings : dict
        The arguments of training, as used.
    scale : float
        X was multiplied by this; ``settings``' C, tol and learning_rate refer to the scaled X.
    image_shape : tuple of int, or None
    data : dict
        name, source, n_samples, and the smallest and largest feature value.
    versions : dict
        Of gpulr, Python and the libraries used.
    center : (n_features,) or None, intercept_at_center : (n_models,) or None
        After standardised training: margins of X wider than a byte are computed as (X − center)
        weights + intercept_at_center, which equals X weights + intercept but does not cancel where
        means are large.
    """

    weights: Array
    intercept: Array
    classes: npt.NDArray[Any]
    history: History
    backend: str
    device: str
    fallback_reason: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    scale: float = 1.0
    image_shape: tuple[int, ...] | None = None
    data: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    center: Array | None = None
    intercept_at_center: Array | None = None

    @property
    def n_features(self) -> int:
        """Number of features, 784 for MNIST."""
        return int(self.weights.shape[0])

    @property
    def n_models(self) -> int:
        """Number of columns of the weight matrix."""
        return int(self.weights.shape[1])

    @property
    def converged(self) -> bool:
        """Whether every model reached the tolerance; ``history.converged`` has it per model."""
        return bool(self.history.converged.all())

    @property
    def n_iter(self) -> int:
        """Iterations of the model that took the most; ``history.n_iter`` has them per model."""
        return int(self.history.n_iter.max())

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        return (
            f"<OneVsAll: {self.n_models} model(s) of {self.n_features} features for "
            f"{len(self.classes)} classes, {state} after {self.n_iter} iterations "
            f"on {self.backend} ({self.device})>"
        )

    def decision_function(self, X: Any) -> Array:
        """Return the margins Z = X W + b, (n_samples, n_models), where X is.

        Parameters
        ----------
        X : (n_samples, n_features) or images (n_samples, height, width, …)
            As training was given it; computed in the dtype of the weights, block by block.

        Raises
        ------
        DataError
            Wrong number of features, NaN or infinity, not real numbers.
        """
        X = check_rows(X, n_features=self.n_features)
        backend = backend_of(X)
        with backend.activate():
            W, b = backend.asarray(self.weights), backend.asarray(self.intercept)
            center = None
            if self.center is not None and backend.centers_in_block(X):
                center, b = backend.asarray(self.center), backend.asarray(self.intercept_at_center)
            finite_rows(X, backend, W.dtype)
            return backend.collect_blocks(
                lambda rows: backend.operand(X[rows, :], W.dtype, center) @ W + b,
                backend.row_blocks(
                    X.shape[0], backend.operand_width(X, W.dtype, center), self.n_models
                ),
            )

    def predict_proba(self, X: Any, *, normalize: bool = False) -> Array:
        """Return P = σ(Z), where X is.

        Parameters
        ----------
        X : as for :meth:`decision_function`
        normalize : bool
            False: (n_samples, n_models), each model's own probability that the row is of its class;
            rows do not sum to 1. True: (n_samples, n_classes), scaled so that rows do, in log
            space, so that it works even where all of them underflow. With two classes the columns
            are 1 − P and P.
        """
        Z = self.decision_function(X)
        if not normalize:
            return logistic.sigmoid(Z)
        return array_api_compat.array_namespace(Z).exp(logistic.log_normalized(Z))

    def predict(self, X: Any) -> Array:
        """Return each row's class, (n_samples,): the one with the largest margin.

        Numbers come back where X is; other labels as a NumPy array.
        """
        Z = self.decision_function(X)
        xp = array_api_compat.array_namespace(Z)
        index = xp.astype(Z[:, 0] > 0, xp.int64) if self.n_models == 1 else xp.argmax(Z, axis=1)
        if is_device_array(Z) and self.classes.dtype.kind in "biuf":
            return xp.take(backend_of(Z).asarray(self.classes), index)
        return self.classes[to_host(index)]

    def evaluate(self, X: Any, y: Any) -> metrics.Evaluation:
        """Return binary accuracies, multiclass accuracy and confusion matrix on labelled rows.

        Raises
        ------
        DataError
            As :meth:`decision_function`; labels of the wrong length, or that the model does not
            know.
        """
        X = check_rows(X, n_features=self.n_features)
        y = check_labels(y, X.shape[0])
        same_kind = (y.dtype.kind == "U") == (self.classes.dtype.kind == "U")
        known = np.isin(y, self.classes) if same_kind else np.zeros(len(y), dtype=np.bool_)
        if not known.all():
            raise DataError(
                "y holds labels that this model was not trained on: "
                f"{np.unique(y[~known])[:10].tolist()}; it knows {self.classes[:20].tolist()}. "
                "Check that model and data belong together."
            )
        codes = np.searchsorted(self.classes, y)
        return metrics.evaluate_margins(to_host(self.decision_function(X)), codes, self.classes)

    def score(self, X: Any, y: Any) -> float:
        """Return the multiclass accuracy on labelled rows."""
        return self.evaluate(X, y).accuracy

    def save(self, path: str | Path) -> None:
        """Write the model to one file, which :func:`gpulr.load` reads; see :mod:`gpulr.storage`."""
        from gpulr.storage import save

        save(self, path)
