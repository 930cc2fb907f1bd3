"""One-vs-all models as a scikit-learn estimator; the only file that imports ``sklearn.base``.

What is scikit-learn's is here: names, checks and their messages, attributes. Training and
predicting are :mod:`gpulr.training`'s and the model's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn import exceptions
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from gpulr import errors, logistic
from gpulr.backend import backend_of, is_device_array, to_host
from gpulr.inputs import read_inputs
from gpulr.model import OneVsAll
from gpulr.searching import search_on
from gpulr.settings import Settings
from gpulr.training import train_on
from gpulr.validation import check_rows

Array = Any

__all__ = ["ConvergenceWarning", "OneVsAllLogisticRegression", "OneVsAllLogisticRegressionCV"]


class ConvergenceWarning(
    errors.ConvergenceWarning,
    exceptions.ConvergenceWarning,  # type: ignore[misc]
):
    """Some models did not reach the tolerance; scikit-learn's warning of that, and gpulr's."""


class _OneVsAllClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What estimators of one-vs-all models share: the checks of X and y, and prediction.

    Subclasses implement ``fit``: it reads its arrays by :meth:`_read` and ends in :meth:`_adopt`.
    """

    model_: OneVsAll

    # How X is taken: as it is, whatever its dtype; blocks of rows are converted as they are used.
    _X_as_is: ClassVar[dict[str, Any]] = {"accept_sparse": "csr", "dtype": "numeric"}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _read(self, X: Any, y: Any) -> tuple[Array, npt.NDArray[Any]]:
        """Check what ``fit`` is passed, as scikit-learn does; labels come back on the host."""
        y = to_host(y) if is_device_array(y) else y
        shape = tuple(getattr(y, "shape", ()))
        if len(shape) == 2 and shape[1] > 1:
            raise errors.DataError(
                f"y has shape {shape}; expected one label per row. For rows with several labels "
                "use gpulr.train or gpulr.search, which take a matrix of zeros and ones."
            )
        if is_device_array(X):
            # scikit-learn would bring X to the host, or refuse it, unless a switch is set.
            X, y = check_rows(X), column_or_1d(y, warn=True)
            self.n_features_in_ = int(X.shape[1])
            self.__dict__.pop("feature_names_in_", None)
        else:
            X, y = validate_data(self, X, y, **self._X_as_is)
        check_classification_targets(y)
        return X, y

    def _rows(self, X: Any) -> Array:
        """Check what a fitted estimator is to predict."""
        check_is_fitted(self, "model_")  # a fit that failed has set n_features_in_
        if is_device_array(X):
            return check_rows(X, n_features=self.n_features_in_)
        return validate_data(self, X, reset=False, **self._X_as_is)

    def _adopt(self, model: OneVsAll) -> None:
        """Set the fitted attributes."""
        self.model_ = model
        self.classes_ = model.classes
        self.coef_ = model.weights.T
        self.intercept_ = model.intercept
        self.n_iter_ = backend_of(model.weights).asarray(model.history.n_iter)

    def decision_function(self, X: Any) -> Array:
        """Return the margins X W + b, where X is.

        Parameters
        ----------
        X : (n_samples, n_features)
            As ``fit`` was given it.

        Returns
        -------
        (n_samples,) with two classes, positive for ``classes_[1]``; otherwise (n_samples,
        n_classes). In the dtype of ``coef_``.
        """
        X = self._rows(X)
        Z = self.model_.decision_function(X)
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def predict(self, X: Any) -> Array:
        """Return each row's class, (n_samples,): the one with the largest margin."""
        X = self._rows(X)
        return self.model_.predict(X)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, (n_samples, n_classes).

        With more than two classes these are the models' own probabilities, divided by their sum, as
        in scikit-learn's ``OneVsRestClassifier``; ``model_.predict_proba`` has them undivided.
        """
        X = self._rows(X)
        return self.model_.predict_proba(X, normalize=True)

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of :meth:`predict_proba`, finite where that rounds to 0."""
        X = self._rows(X)
        return logistic.log_normalized(self.model_.decision_function(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on labelled rows, which ``sample_weight`` (n_samples,) weighs."""
        if not is_device_array(X):
            return float(super().score(X, to_host(y) if is_device_array(y) else y, sample_weight))
        right = to_host(self.predict(X)) == to_host(y)
        weights = None if sample_weight is None else to_host(sample_weight)
        return float(np.average(right, weights=weights))


class OneVsAllLogisticRegression(_OneVsAllClassifier):
    """One-vs-all logistic regression: one model per class, all trained at once.

    Has the optimum of ``OneVsRestClassifier(LogisticRegression(C=C))``, of one shared weight
    matrix: see :func:`gpulr.train`, which has more settings.

    Parameters
    ----------
    C : float or (n_models,) array
        Inverse regularisation strength, > 0; ∞ for none.
    tol : float
        A model has converged when the largest absolute entry of its gradient is ≤ ``tol``.
    max_iter : int
        The most iterations; each is one pass over X.
    solver : "lbfgs", "nesterov" or "gd"
    class_weight : dict or "balanced", optional
        Weight of the rows of each class of y, 1 where the dict has none; for every model the same.
        A dict of every class may have more, which a part of the rows lacks.
    fit_intercept : bool
    scale : float or "auto", optional
        What X is multiplied by, in effect, for ``C`` and ``tol`` to refer to; ``coef_`` applies to
        X as passed. None is 1; "auto" is 1/255 for uint8.
    dtype : "float32" or "float64", optional
        What is computed in. None: float32 where X is float32, float16, bytes or bits, else float64.
    backend : "auto", "numpy" or "cupy"
    warm_start : bool
        Begin at the last fit's weights; features and classes must be the same.
    verbose : int
        Not 0: show a progress bar, on a terminal.

    Attributes
    ----------
    coef_ : (n_models, n_features), intercept_ : (n_models,), n_iter_ : (n_models,) int64
        Of one model with two classes, else of one for each class. In the array library of X.
    classes_ : (n_classes,) NumPy array
    n_features_in_ : int
    feature_names_in_ : (n_features,)
        Where the columns of X have names.
    model_ : OneVsAll
        What predicts; it has the history of training, and can be saved.

    Notes
    -----
    Arrays of an array-API library (CuPy, …) are used where they are, and predictions for such an X
    come back there; scikit-learn's ``array_api_dispatch`` need not be set. X is not copied, except
    to NumPy or CSR where it is something else.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gpulr import OneVsAllLogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> OneVsAllLogisticRegression().fit(X, y).score(X, y) > 0.95
    True
    """

    def __init__(
        self,
        *,
        C: float | npt.ArrayLike = 1.0,
        tol: float = 1e-4,
        max_iter: int = 2000,
        solver: str = "lbfgs",
        class_weight: Mapping[Any, float] | str | None = None,
        fit_intercept: bool = True,
        scale: float | str | None = None,
        dtype: npt.DTypeLike | None = None,
        backend: str = "auto",
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.solver = solver
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.scale = scale
        self.dtype = dtype
        self.backend = backend
        self.warm_start = warm_start
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the models.

        Parameters
        ----------
        X : (n_samples, n_features)
            Any real dtype, in any array library; a DataFrame; or a sparse matrix.
        y : (n_samples,)
            Labels: numbers, booleans or strings.
        sample_weight : (n_samples,), optional
            Weight of each row, ≥ 0; a weight of 2 counts as the row twice.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            X, y or a parameter cannot be used.
        TrainingInterrupted
            Ctrl-C; the estimator is fitted with the model so far.

        Warns
        -----
        ConvergenceWarning
            scikit-learn's, and gpulr's.
        """
        X, y = self._read(X, y)
        settings = Settings.checked(
            solver=self.solver,
            scale=self.scale,
            max_iter=self.max_iter,
            tol=self.tol,
            dtype=_compute_dtype(X) if self.dtype is None else self.dtype,
            fit_intercept=self.fit_intercept,
        )
        inputs = read_inputs(X, y, None)
        try:
            model, advice = train_on(
                inputs,
                settings,
                backend=self.backend,
                C=self.C,
                sample_weight=sample_weight,
                class_weight=_of_these(self.class_weight, inputs.labels.classes.tolist()),
                start=getattr(self, "model_", None) if self.warm_start else None,
                callbacks=_progress_bar() if self.verbose else (),
            )
        except errors.TrainingInterrupted as interruption:
            self._adopt(interruption.model)
            raise
        self._adopt(model)
        if advice is not None and advice.attainable:
            errors.warn(advice.message, ConvergenceWarning)
        return self


class OneVsAllLogisticRegressionCV(_OneVsAllClassifier):
    """One-vs-all logistic regression whose C is chosen by cross-validation.

    Every class, fold and C is a column of one matrix: see :func:`gpulr.search`. One C serves all
    classes, the one of the best mean score.

    Parameters
    ----------
    Cs : int or (n_Cs,) array
        Values of C to try; a number stands for so many from 10⁻⁴ to 10⁴.
    cv : int, scikit-learn splitter, or iterable of (train, test)
    scoring : "accuracy", "balanced_accuracy", "neg_log_loss", or callable
        A callable gets true labels and probabilities: (n_rows, n_classes), or of two classes those
        of the second, (n_rows,).
    refit : True or "1se"
        The C of the model: that of the best mean score, or the smallest within one standard error
        of it.
    tol, max_iter, class_weight, fit_intercept, scale, dtype, backend, verbose
        As for :class:`OneVsAllLogisticRegression`.

    Attributes
    ----------
    C_ : float
        The C of the model.
    Cs_ : (n_Cs,), scores_ : (n_folds, n_Cs)
        The values that were tried, and each fold's score on its held-out rows.
    coef_, intercept_, n_iter_, classes_, n_features_in_, feature_names_in_, model_
        Of the model that was trained on all rows, as of :class:`OneVsAllLogisticRegression`.
    search_ : Search
        Everything that was found; it has a table and a plot.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gpulr import OneVsAllLogisticRegressionCV
    >>> X, y = load_iris(return_X_y=True)
    >>> OneVsAllLogisticRegressionCV(Cs=[0.1, 1, 10]).fit(X, y).scores_.shape
    (5, 3)
    """

    def __init__(
        self,
        *,
        Cs: int | npt.ArrayLike = 10,
        cv: Any = 5,
        scoring: str | Callable[..., float] = "accuracy",
        refit: bool | str = True,
        tol: float = 1e-4,
        max_iter: int = 2000,
        class_weight: Mapping[Any, float] | str | None = None,
        fit_intercept: bool = True,
        scale: float | str | None = None,
        dtype: npt.DTypeLike | None = None,
        backend: str = "auto",
        verbose: int = 0,
    ) -> None:
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.scale = scale
        self.dtype = dtype
        self.backend = backend
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose C, and train the models with it on all rows.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`OneVsAllLogisticRegression.fit`; the weights count in the scores too.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            X, y or a parameter cannot be used; a fold lacks a class.
        SearchInterrupted
            Ctrl-C; its ``search`` has the values of C that were done.

        Warns
        -----
        ConvergenceWarning
            scikit-learn's, and gpulr's.
        """
        X, y = self._read(X, y)
        if self.refit is False:
            raise errors.ParameterError(
                'refit=False leaves no model; use True or "1se", or gpulr.search for scores alone.'
            )
        settings = Settings.checked(
            scale=self.scale,
            max_iter=self.max_iter,
            tol=self.tol,
            dtype=_compute_dtype(X) if self.dtype is None else self.dtype,
            fit_intercept=self.fit_intercept,
        )
        inputs = read_inputs(X, y, None)
        found, advice = search_on(
            inputs,
            settings,
            backend=self.backend,
            Cs=self.Cs,
            cv=self.cv,
            scoring=self.scoring,
            refit=self.refit,
            sample_weight=sample_weight,
            class_weight=_of_these(self.class_weight, inputs.labels.classes.tolist()),
            callbacks=_search_progress_bar() if self.verbose else (),
        )
        assert found.model is not None
        self.search_ = found
        self.C_ = found.model.settings["C"]
        self.Cs_, self.scores_ = found.Cs, found.scores
        self._adopt(found.model)
        if advice is not None and advice.attainable:
            errors.warn(advice.message, ConvergenceWarning)
        return self


def _compute_dtype(X: Array) -> str:
    """Return what to compute in for an X: float32 where that holds all of its numbers."""
    name = str(X.dtype).rpartition(".")[2]  # "torch.float32"
    return "float32" if name in ("bool", "int8", "uint8", "float16", "float32") else "float64"


def _of_these(class_weight: Any, classes: list[Any]) -> Any:
    """Return the weights of these classes, where a dict has all of them: a fold may lack some."""
    if not isinstance(class_weight, Mapping) or any(label not in class_weight for label in classes):
        return class_weight
    return {label: class_weight[label] for label in classes}


def _progress_bar() -> tuple[Any, ...]:
    from gpulr.callbacks import ProgressBar

    return (ProgressBar(),)


def _search_progress_bar() -> tuple[Any, ...]:
    from gpulr.callbacks import SearchProgressBar

    return (SearchProgressBar(),)
