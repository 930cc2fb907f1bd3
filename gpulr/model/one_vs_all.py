"""The trained model: weights, what they were trained on, and what they predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gpulr import logistic
from gpulr.backend import (
    Backend,
    computing_with,
    given_back,
    host_memory,
    is_device_array,
    is_sparse,
    to_host,
)
from gpulr.core.rows import row_blocks
from gpulr.errors import DataError, ParameterError
from gpulr.model import calibration, evaluation, export, measures, selection, storage, torch_layers
from gpulr.model import thresholds as choosing
from gpulr.model.evaluation_sums import evaluate_blocks
from gpulr.model.in_parts import part_by_part, truth_of_parts
from gpulr.model.labelled_blocks import sums_of_blocks
from gpulr.model.lazy import dask_rows, in_blocks
from gpulr.model.predicted import check_thresholds, predicted, predicted_codes
from gpulr.model.record import Trained
from gpulr.namespaces import array_namespace
from gpulr.sources import Blocks
from gpulr.sources.dask_arrays import as_blocks, computed, current_client
from gpulr.validation.arrays import check_rows, finite_rows
from gpulr.validation.blocks import read_blocks
from gpulr.validation.label_values import codes_of
from gpulr.validation.labels import check_indicator, check_row_weight
from gpulr.validation.tables import feature_names_of, order_of
from gpulr.words import counted

Array = Any
_of_blocks = part_by_part(lambda model, X: rows_for(model, X))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OneVsAll(Trained):
    """One-vs-all logistic models, the columns of one weight matrix.

    With two classes there is one model, whose positive class is ``classes[1]``. With more, model j
    tells ``classes[j]`` from all others. A multi-label model has one model for each label, and
    predicts any number of labels. The weights include the scaling: they apply to X as it was passed
    to training.

    Attributes
    ----------
    weights : (n_features, n_models)
        The weights, a column for each model, in the compute dtype and the array library of the
        training X.
    intercept : (n_models,)
        The intercept of each model, likewise.
    classes : (n_classes,) NumPy array
        Sorted labels, in the dtype of y. For a multi-label model, the names of the labels in the
        order of y's columns; for a model that was selected or stacked, the order asked for.
    history : History
        How training went.
    backend, device : str
        What trained the model.
    fallback_reason : str or None
        Why another backend trained it than the one asked for.
    settings : dict
        The arguments of training, as used.
    scale : float
        Factor that X was multiplied by. C, tol and learning_rate in ``settings`` refer to the
        scaled X.
    image_shape : tuple of int, or None
        The shape of a row as an image.
    data : dict
        What the model was trained on: name, source, n_samples, and the smallest and largest feature
        value; for a table, the names of its label and features; for images, how they look; from the
        command line, the split, and the search that chose C. It also has each model's share of
        positive rows, by their weights ("prior"); how the model was calibrated and its thresholds
        chosen; and the ``origin`` of a model that was selected or stacked.
    versions : dict
        Versions of gpulr, Python and the libraries used, and the system that they ran on. For a
        device, it also has what was chosen there, such as how many eigenvectors "lbfgs" used.
    center : (n_features,) or None
        After standardised training, the means of the features.
    intercept_at_center : (n_models,) or None
        After standardised training, the margins at ``center``. Margins of X wider than a byte are
        computed as (X − center) weights + intercept_at_center. This equals X weights + intercept,
        but does not cancel if means are large.
    multilabel : bool
        Whether the model was trained on a matrix of labels.
    thresholds : (n_models,) float64 NumPy array, or None
        The least margin at which each label is predicted; an infinite one is never reached. With
        several classes, the predicted one is that whose margin lies furthest above its threshold.
        None: labels whose margin is positive, or the class with the largest margin.
        :meth:`with_thresholds` chooses thresholds; ``dataclasses.replace(model, thresholds=…)``
        assigns others, and one number there is for all models.
    feature_std : (n_features,) float64 NumPy array, or None
        The standard deviation of each feature over the training rows, by their weights. A weight
        times this is how far the margin moves for one standard deviation. None for images, and for
        files of earlier versions.
    """

    def __post_init__(self) -> None:
        thresholds = self.thresholds
        if thresholds is not None:
            thresholds = check_thresholds(thresholds, self.n_models)
            object.__setattr__(self, "thresholds", thresholds)

    @property
    def converged(self) -> bool:
        """Whether every model met the tolerance; ``history.converged`` has it per model."""
        return bool(self.history.converged.all())

    @property
    def n_iter(self) -> int:
        """The most iterations that any model took; ``history.n_iter`` has them per model."""
        return int(self.history.n_iter.max())

    @property
    def margin_dtype(self) -> np.dtype[Any]:
        """The dtype of margins and probabilities: the compute dtype, as NumPy has it."""
        return np.dtype(str(self.weights.dtype).rpartition(".")[2])

    @property
    def trained_on(self) -> str:
        """What a row is, as far as that is known, such as "mnist, images of 28×28"; else empty."""
        name = str(self.data.get("name", "arrays"))
        sides = "×".join(map(str, self.image_shape or ()))
        named = [] if name == "arrays" else [name]
        return ", ".join([*named, *([f"images of {sides}"] if sides else [])])

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        what = ("label", "labels") if self.multilabel else ("class", "classes")
        done = " and ".join(words.partition(" ")[0] for words in self.refinements)
        how = f"{state} after {counted(self.n_iter, 'iteration')} on {self.backend} ({self.device})"
        if not self.history.known:
            how = f"made of {self.data.get('origin', 'assigned weights')}"
        return (
            f"<OneVsAll: {counted(self.n_models, 'model')} of "
            f"{counted(self.n_features, 'feature')} for {counted(len(self.classes), *what)}, "
            f"{how}{', with ' if done else ''}{done}>"
        )

    @host_memory
    @_of_blocks
    def decision_function(self, X: Any) -> Array:
        """Return the margins Z = X W + b, (n_samples, n_models), where X is.

        Parameters
        ----------
        X : (n_samples, n_features) or images (n_samples, height, width, …)
            Rows, as they were passed to training; margins are computed in the dtype of the weights,
            block by block. The columns of a DataFrame may be in any order if training knew their
            names.

            For a Dask array or DataFrame, all methods that predict return a Dask array, of which
            nothing is computed yet. For a tensor that requires a gradient, the result of this
            method and of :meth:`predict_proba` can be differentiated with respect to it; the
            weights are constants.

        Raises
        ------
        DataError
            X has the wrong number of features, or columns with other names; or it holds NaN or
            infinity, or no real numbers.
        """
        if (lazy := dask_rows(self, X)) is not None:
            return in_blocks(lazy, self.decision_function, (self.n_models,), self.margin_dtype)
        X = rows_for(self, X)
        with computing_with(X) as (backend, rows):
            return given_back(_margins(self, rows, backend), X)

    @host_memory
    @_of_blocks
    def predict_proba(self, X: Any, *, normalize: bool = False) -> Array:
        """Return the probabilities P = σ(Z), where X is.

        Parameters
        ----------
        X : as for :meth:`decision_function`
        normalize : bool
            Whether the probabilities of a row sum to 1. False returns each model's own probability
            that the row is of its class, (n_samples, n_models). True divides these by their sum,
            (n_samples, n_classes), in log space, so that it works even if all of them underflow.
            With two classes the columns are 1 − P and P.

        Raises
        ------
        DataError
            As :meth:`decision_function`.
        ParameterError
            ``normalize`` was asked of a multi-label model, whose labels do not exclude each other.
        """
        if normalize and self.multilabel:
            raise ParameterError(
                "normalize=True of a multi-label model: its labels do not exclude each other, so "
                "their probabilities do not sum to 1. Leave normalize out."
            )
        if (lazy := dask_rows(self, X)) is not None:
            width, proba = self.n_models, partial(self.predict_proba, normalize=normalize)
            width = len(self.classes) if normalize else width
            return in_blocks(lazy, proba, (width,), self.margin_dtype)
        X = rows_for(self, X)
        with computing_with(X) as (backend, rows):
            Z = _margins(self, rows, backend)
            if not normalize:
                return given_back(_by_blocks(logistic.sigmoid, Z, backend, self.n_models), X)

            def normalized(Z: Array) -> Array:
                return backend.xp.exp(logistic.log_normalized(Z))

            return given_back(_by_blocks(normalized, Z, backend, len(self.classes)), X)

    @host_memory
    @_of_blocks
    def predict(self, X: Any) -> Array:
        """Return each row's class, (n_samples,): the one with the largest margin.

        Classes that are numbers are returned where X is, if its library has them; others as a NumPy
        array. A multi-label model returns (n_samples, n_labels) uint8 where X is: 1 for each label
        that the row has, by P > 1/2. If the model has ``thresholds``, margins are compared with
        these.
        """
        if (lazy := dask_rows(self, X)) is not None:
            if self.multilabel:
                return in_blocks(lazy, self.predict, (self.n_models,), np.uint8)
            return in_blocks(lazy, self.predict, (), self.classes.dtype)
        X = rows_for(self, X)
        with computing_with(X) as (backend, rows):
            Z = _margins(self, rows, backend)
            if self.multilabel:
                found = predicted(Z, self.thresholds)
                return given_back(backend.xp.astype(found, backend.xp.uint8), X)
            return self._named(predicted_codes(Z, self.thresholds), X)

    def _named(self, index: Array, X: Array) -> Array:
        """Return the classes by their indices, where X is."""
        if is_device_array(X) and self.classes.dtype.kind in "biuf":
            with suppress(RuntimeError, TypeError, OverflowError):  # a dtype that it lacks
                classes = given_back(self.classes, X)
                same = str(classes.dtype).endswith(self.classes.dtype.name)
                if same or np.array_equal(to_host(classes), self.classes):
                    with suppress(RuntimeError):  # or that it stores only
                        if is_device_array(index):
                            return array_namespace(classes).take(classes, given_back(index, X))
                    return given_back(self.classes[to_host(index)], X)
        return self.classes[to_host(index)]

    # Any: which of the two it is, no type tells, and the second would hide the first's attributes.
    # y has a default so that a Dataset alone, which has labels, is told how to pass them.
    @host_memory
    def evaluate(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Return how good the predictions on labelled rows are.

        Parameters
        ----------
        X, y
            Rows as for :meth:`decision_function`, and their labels as for training. Unknown entries
            of a matrix of labels do not count.

            Blocks of a Dask array are computed on the workers of the current
            ``distributed.Client``, if there is one, and only sums come here. For AUROC and average
            precision, workers keep the margins meanwhile, and send all those of a model to one of
            them, which ranks them in 40 bytes a row.
        sample_weight : (n_samples,), optional
            How much each row counts.

        Returns
        -------
        evaluation.Evaluation
            A table of scores with a row for each class, binary accuracies, multiclass accuracy and
            the confusion matrix.
        evaluation.MultilabelEvaluation
            For a multi-label model, with y (n_samples, n_labels): a table of scores with a row for
            each label, and accuracies and F1 of the labels.

        Raises
        ------
        DataError
            As :meth:`decision_function`; or the labels have the wrong length, or the model does not
            know them.
        """
        return evaluated(self, X, y, sample_weight=sample_weight)[0]

    @host_memory
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the accuracy: the share of rows that are right, with several labels right in all.

        scikit-learn calls both accuracy. The arguments are those of :meth:`evaluate`.
        """
        sums = partial(measures.share_right.sums, thresholds=self.thresholds)
        return measures.share_right.finish(*summed(self, X, y, sums, sample_weight))

    def _elsewhere(self, X: Any, y: Any) -> Any:
        """Return a Dask array or DataFrame whose rows the workers of a current client score."""
        if (lazy := dask_rows(self, X)) is not None:
            self._check_labelled(y)
        return None if current_client() is None else lazy

    def _read_truth(self, X: Any, y: Any, sample_weight: Any) -> tuple[Array, Array, Array | None]:
        """Return margins, the truth as scores take it, and weights if any, on the host."""
        if (lazy := dask_rows(self, X)) is not None:
            X, y, sample_weight = as_blocks(lazy), computed(y), computed(sample_weight)
        if isinstance(X, Blocks):
            convert = partial(rows_for, self)
            found = truth_of_parts(X, y, sample_weight, self._truth_of_rows, convert)
        else:
            found = self._truth_of_rows(X, y, sample_weight)
        if found[2] is not None and not found[2].any():
            raise DataError("There is no row to be scored: all have weight 0.")
        return found

    def _check_labelled(self, y: Any) -> None:
        if y is None:
            shape = f"(n_samples, {self.n_models})" if self.multilabel else "(n_samples,)"
            raise DataError(f"There is no y to compare predictions with. Pass the labels, {shape}.")

    def _truth_of_rows(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[Array, Array, Array | None]:
        X = rows_for(self, X)
        n_samples = int(X.shape[0])
        self._check_labelled(y)
        if self.multilabel:
            _, Y = check_indicator(y, n_samples, self.classes)
            truth = Y.toarray() if is_sparse(Y) else to_host(Y)
        else:
            truth = codes_of(y, n_samples, self.classes)
        weight = None if sample_weight is None else check_row_weight(sample_weight, n_samples)
        return to_host(self.decision_function(X)), truth, weight

    calibrated = calibration.calibrated
    with_thresholds = choosing.with_thresholds
    with_prior = calibration.with_prior
    save = storage.save
    to_onnx = export.save_onnx
    to_sklearn = export.to_sklearn
    to_torch = torch_layers.to_torch
    select = selection.select


def evaluated(
    model: OneVsAll,
    X: Any,
    y: Any,
    also: Sequence[Callable[..., Any]] = (),
    sample_weight: Any = None,
) -> tuple[Any, list[Any]]:
    """Return :meth:`OneVsAll.evaluate`, and in the same pass what else is asked of the rows.

    Each of ``also`` makes of margins, truth and weights something that adds up over rows.
    """
    if (lazy := model._elsewhere(X, y)) is not None:
        how = model._truth_of_rows, model.classes, model.thresholds
        return evaluate_blocks(lazy, y, sample_weight, *how, also)
    Z, truth, weight = model._read_truth(X, y, sample_weight)
    judge: Any = evaluation.evaluate_labels if model.multilabel else evaluation.evaluate_margins
    result = judge(Z, truth, model.classes, model.thresholds, weight)
    w = np.ones(len(Z)) if weight is None else weight
    return result, [each(Z, truth, w) for each in also]


def summed(
    model: OneVsAll,
    X: Any,
    y: Any,
    sums: Callable[..., tuple[Any, ...]],
    sample_weight: Any = None,
) -> tuple[Any, ...]:
    """Return what ``sums`` makes of margins, truth and weights, added up over all labelled rows.

    They are as for :meth:`OneVsAll.evaluate`; its errors are those of this.
    """
    if (lazy := model._elsewhere(X, y)) is not None:
        return sums_of_blocks(lazy, y, sample_weight, model._truth_of_rows, sums)[0]
    return sums(*labelled_margins(model, X, y, sample_weight))


def labelled_margins(
    model: OneVsAll, X: Any, y: Any, sample_weight: Any = None
) -> tuple[Array, Array, Array]:
    """Return margins, the truth as scores take it, and weights of labelled rows, on the host.

    Arguments and errors are those of :meth:`OneVsAll.evaluate`.
    """
    Z, truth, weight = model._read_truth(X, y, sample_weight)
    return Z, truth, np.ones(len(Z)) if weight is None else weight


def load(path: str | Path) -> OneVsAll:
    """Read a model that :meth:`OneVsAll.save` wrote; its arrays are NumPy's.

    From a file that :meth:`gpulr.Bootstrap.save` wrote, it reads the model of all rows.

    Parameters
    ----------
    path : path
        A .safetensors file; reading it executes nothing.

    Returns
    -------
    OneVsAll

    Raises
    ------
    ModelFileError
        There is no such file, or it is no model of gpulr's, was written by a newer gpulr, or is
        damaged.
    ParameterError
        ``path`` is no path.

    Examples
    --------
    >>> import gpulr
    >>> gpulr.load("digits.safetensors").classes  # doctest: +SKIP
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    return OneVsAll(**storage.read(path)[0])


def _margins(model: OneVsAll, X: Array, backend: Backend) -> Array:
    """Return the margins of rows that are where ``backend`` computes, which is active."""
    W, b = backend.asarray(model.weights), backend.asarray(model.intercept)
    center = None
    if model.center is not None and backend.centers_in_block(X):
        center, b = backend.asarray(model.center), backend.asarray(model.intercept_at_center)
    width = backend.operand_width(X, W.dtype, center)
    blocks = row_blocks(X, backend, width, model.n_models)

    def margins(rows: slice, out: Array | None = None) -> Array:
        return backend.affine(backend.operand(X[rows, :], W.dtype, center), W, b, out)

    # NaN and infinity make a row's margins such, whatever the weights: 0 · NaN is NaN. So the rows
    # are looked through only where that has happened.
    with np.errstate(over="ignore", invalid="ignore"):
        Z = backend.collect_blocks(margins, blocks, model.n_models, W.dtype, X)
    if not bool(to_host(backend.xp.all(backend.xp.isfinite(Z)))):
        finite_rows(X, backend, W.dtype)
    return Z


def _by_blocks(
    function: Callable[[Array], Array], Z: Array, backend: Backend, n_columns: int
) -> Array:
    """Return a function of margins, (n_samples, n_columns), made a block of rows at a time."""
    blocks = backend.row_blocks(Z.shape[0], 0, Z.shape[1])
    if len(blocks) == 1:
        return function(Z)

    def part(rows: slice, out: Array | None = None) -> Array:
        return function(Z[rows, :])

    whole = Z if n_columns == Z.shape[1] else None  # margins that nobody needs any more
    return backend.collect_blocks(part, blocks, n_columns, Z.dtype, whole=whole)


def rows_for(model: OneVsAll, X: Any) -> Array:
    """Check X as rows that a model is to predict, a table's columns put in the model's order.

    Raises
    ------
    DataError
        It is no array of as many features, or its columns have other names than in training.
    """
    if isinstance(X, Blocks):
        return read_blocks(X, convert=partial(rows_for, model)).X
    expected, names, order = model.data.get("feature_names"), feature_names_of(X), None
    if expected is not None and names is not None:
        order = order_of(names, expected, "X")
    rows = check_rows(X, n_features=model.n_features, trained_on=model.trained_on)
    return rows if order is None else rows[:, order]
