"""cross_val_predict(): what each row is taken for by models that have not seen it."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from gpulr import logistic
from gpulr.backend import given_back, host_array, host_memory
from gpulr.errors import ParameterError, TrainingInterrupted
from gpulr.families.folds import Folds, check_folds, split
from gpulr.families.settings import TrainingArguments
from gpulr.families.several_sets import read_request
from gpulr.model.predicted import predicted, predicted_codes
from gpulr.validation.labels import LabelMatrix, Labels
from gpulr.words import did_you_mean, shown

Array = Any
METHODS = ("predict_proba", "decision_function", "predict")
ROWS = 2**16  # that are answered at once: what is computed of their margins is ten times as large


@host_memory
def cross_val_predict(
    X: Any,
    y: Any = None,
    *,
    C: float | npt.ArrayLike = 1.0,
    cv: Any = 5,
    method: str = "predict_proba",
    groups: npt.ArrayLike | None = None,
    **arguments: Unpack[TrainingArguments],
) -> Array:
    """Predict every row by the models of the fold that holds it out.

    The models of all classes and folds are the columns of one matrix. No row is predicted by a
    model that was trained on it. So use these predictions to calibrate, to choose thresholds, or to
    look for wrong labels.

    Parameters
    ----------
    X, y, C
        As for :func:`gpulr.train`.
    cv, groups
        As for :func:`gpulr.search`; each row must be held out by exactly one fold.
    method : "predict_proba", "decision_function" or "predict"
        What to return, named after the methods of :class:`gpulr.OneVsAll`.
    **arguments
        Further arguments of :func:`gpulr.train`. Scale, mean and standard deviation are those of
        all rows.

    Returns
    -------
    array
        Predictions in the order of X's rows, where X is.

        "predict_proba": (n_samples, n_classes), which sum to 1 in each row, as in other libraries
        and ``model.predict_proba(X, normalize=True)``; two classes have two columns. With a matrix
        of labels, each label's own probability, (n_samples, n_labels).

        "decision_function": margins, (n_samples, n_models); two classes have one column.

        "predict": classes, (n_samples,); with a matrix of labels, zeros and ones, (n_samples,
        n_labels).

    Raises
    ------
    DataError
        X, y or the folds cannot be trained on; a fold trains on no row of some class.
    ParameterError
        A setting cannot be used; the folds do not hold out each row once.
    TrainingInterrupted
        Ctrl-C was pressed, or a callback asked for it; there is no result then.

    Warns
    -----
    ConvergenceWarning, FoldWarning, BackendFallbackWarning, ScaleWarning

    Examples
    --------
    >>> import gpulr
    >>> data = gpulr.datasets.load_digits()
    >>> P = gpulr.cross_val_predict(data)
    >>> P.shape
    (1442, 10)
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ParameterError(
            f"method={shown(method)}{did_you_mean(method, METHODS)}; use one of "
            f"{', '.join(METHODS)}."
        )
    request = read_request("cross_val_predict", X, y, C, arguments)
    inputs, labels = request.inputs, request.inputs.labels
    folds = split(cv, labels.strata, groups)
    _check_partition(folds)
    check_folds(folds, labels, inputs.weight, None)
    with request.prepare(len(folds), cv=folds.counts, method=method) as training:
        data = training.data
        done = training.train(data.problem(request.C, weight_sets=folds.counts))
        if done is None:
            lost = "The models of the folds were interrupted; none is in this exception."
            raise TrainingInterrupted(f"{lost}{training.way_on}")
        Z = host_array((data.rows.n_samples, data.n_models), data.settings.dtype)
        thetas = np.split(done.solution.theta, len(folds), axis=1)
        for theta, test in zip(thetas, folds.tests, strict=True):
            (Z[test],) = data.margins([theta], test)
    training.warn(done.solution)
    return _answers(labels, Z, method, inputs.X)


def _check_partition(folds: Folds) -> None:
    """Raise ParameterError unless each row is held out by one fold."""
    held = np.zeros(len(folds.counts), np.bool_)
    for test in folds.tests:
        held[test] = True
    if not held.all() or sum(map(len, folds.tests)) > len(held):
        times = np.bincount(np.concatenate(folds.tests), minlength=len(held))
        row = int(np.argmax(times != 1))
        raise ParameterError(
            f"The folds of cv hold out row {row} {times[row]} times; to predict every row once, "
            "they have to be a partition of the rows, as those of KFold, StratifiedKFold, "
            "GroupKFold or a number of folds are."
        )


def _answers(labels: Labels | LabelMatrix, Z: npt.NDArray[Any], method: str, X: Any) -> Array:
    """Return what a model with the margins Z answers, where X is."""
    whole = None
    for start in range(0, len(Z), ROWS):
        rows = slice(start, start + ROWS)
        part = _answer(labels, Z[rows], method)
        if whole is None:  # where answers are like margins, they take their place
            same = part.shape[1:] == Z.shape[1:] and part.dtype == Z.dtype
            whole = Z if same else np.empty((len(Z), *part.shape[1:]), part.dtype)
        whole[rows] = part
    assert whole is not None  # there are rows
    return given_back(whole, X) if whole.dtype.kind in "biuf" else whole


def _answer(labels: Labels | LabelMatrix, Z: npt.NDArray[Any], method: str) -> npt.NDArray[Any]:
    """Return what margins of a block of rows say."""
    if method == "predict" and labels.multilabel:
        return np.asarray(predicted(Z), np.uint8)
    if method == "predict":
        return np.asarray(labels.classes[predicted_codes(Z)])
    if method == "predict_proba":
        Z = logistic.sigmoid(Z) if labels.multilabel else np.exp(logistic.log_normalized(Z))
    return Z
