"""What the estimators share: scikit-learn's checks, the fitted attributes, and prediction.

The only file that imports ``sklearn.base``, but for ``model.sklearn_scorers``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn import exceptions
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from gpulr import errors, logistic
from gpulr.backend import backend_of, computing_with, fits_float32, given_back, is_sparse, to_host
from gpulr.estimators.fitted import fingerprint, model_of, sorted_by_class
from gpulr.estimators.inputs import read_rows, read_rows_and_labels, read_truth, take_features
from gpulr.estimators.migration import translated
from gpulr.families.advice import Advice
from gpulr.families.inputs import Inputs
from gpulr.families.reading import read_inputs
from gpulr.families.settings import Settings
from gpulr.model.lazy import dask_rows, in_blocks
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import (
    FACTS,
    History,
    TrainingSettings,
    uncentered_intercept,
    unknown_history,
)
from gpulr.model.scores import scorer
from gpulr.sources import Blocks
from gpulr.sources.dask_arrays import dask_of, is_dask
from gpulr.validation.labels import LabelMatrix, Labels, check_indicator, check_row_weight
from gpulr.validation.parameters import callables, switch

Array = Any
_SETTINGS = ("solver", "scale", "standardize", "learning_rate", "max_iter", "tol", "fit_intercept")


class ConvergenceWarning(
    errors.ConvergenceWarning,
    exceptions.ConvergenceWarning,  # type: ignore[misc]
):
    """Some models did not reach the tolerance; scikit-learn's warning of that, and gpulr's."""


def warn_of(advice: Advice | None) -> None:
    """Warn where models did not converge and would with other parameters."""
    if advice is not None and advice.attainable:
        errors.warn(advice.message, ConvergenceWarning)


def _log_proba(model: OneVsAll, X: Any) -> Array:
    """Return the logarithms of the probabilities that an estimator of a model tells."""
    with computing_with(X) as (here, rows):
        Z = model.decision_function(rows)
        if model.multilabel:
            return given_back(-logistic.log_loss(Z, here.xp.ones_like(Z)), X)
        return given_back(logistic.log_normalized(Z), X)


class OneVsAllClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What the one-vs-all estimators share: the checks of X and y, and prediction.

    Subclasses implement ``fit``: it begins with :meth:`_read` and ends with :meth:`_adopt`.
    Predictions use ``coef_``, ``intercept_`` and ``classes_`` as they are at the time, whoever set
    them.
    """

    coef_: Array
    intercept_: Array
    classes_: npt.NDArray[Any]
    n_iter_: Array
    fit_intercept: bool
    tol: float
    max_iter: int

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        # scikit-learn looks at the signature each time that it clones or fits, which takes as long
        # as some iterations on few rows.
        names: list[str] = super()._get_param_names()
        return names

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")  # a fit that failed has set n_features_in_

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickle, also one from when a model was pickled beside its attributes."""
        parameters = inspect.signature(type(self)).parameters.values()
        state = {p.name: p.default for p in parameters} | state  # those that there were not then
        model = state.pop("model_", None)
        super().__setstate__(state)
        if model is not None:
            self._adopt(model)

    def _read(
        self, X: Any, y: Any, progress_bar: Callable[[], Any]
    ) -> tuple[Inputs, Settings, dict[str, Any]]:
        """Return what to train on, with what settings, and the other parameters in gpulr's terms.

        ``callbacks`` among these end in a progress bar where the estimator is ``verbose``. Warns
        where what is done differs from what a parameter of scikit-learn's says.
        """
        chosen, note = translated(self.get_params(deep=False))
        if note:
            errors.warn(note, errors.ParameterWarning)
        in_parts = dask_of(X) is not None or isinstance(X, Blocks)
        if not in_parts:
            X, y = read_rows_and_labels(self, X, y)
        inputs = read_inputs(X, y, chosen["image_shape"], elsewhere=True)
        if in_parts:
            take_features(self, inputs.X, inputs.record.get("feature_names"))
        dtype = chosen["dtype"]
        if dtype is None:  # float32 where that holds all numbers of X
            here = backend_of(inputs.X)
            wide = not fits_float32(inputs.X) and here.widest == here.xp.float64
            dtype = "float64" if wide else "float32"
        settings = Settings(dtype=dtype, **{name: chosen[name] for name in _SETTINGS})
        chosen["batched"] = switch("batched", chosen["batched"])
        chosen["callbacks"] = callables(chosen["callbacks"])
        if chosen["verbose"]:
            chosen["callbacks"] += (progress_bar(),)
        self._sparse = is_sparse(getattr(inputs.labels, "indicator", None))
        weights, classes = chosen["class_weight"], inputs.labels.classes.tolist()
        if isinstance(weights, Mapping) and all(label in weights for label in classes):
            # It may have more, which a fold lacks.
            chosen["class_weight"] = {label: weights[label] for label in classes}
        return inputs, settings, chosen

    def _adopt(self, model: OneVsAll) -> None:
        """Set the fitted attributes."""
        here = backend_of(model.weights).asarray
        self.coef_ = model.weights.T
        self.intercept_ = model.intercept
        if model.center is not None:
            # float64, since X W + b cancels where means are large; from this the intercept at the
            # centre comes back exactly.
            self.intercept_ = here(uncentered_intercept(model))
        # Of several labels their columns in y, as OneVsRestClassifier has them.
        self.classes_ = np.arange(model.n_models) if model.multilabel else model.classes
        self.n_iter_ = here(np.array([model.n_iter], dtype=np.int32))
        history = {field.name: getattr(model.history, field.name) for field in fields(History)}
        self._record = {name: getattr(model, name) for name in (*FACTS, "center", "feature_std")}
        if model.multilabel:
            self._record["labels"] = model.classes
        same = model if model.center is None else self._given()
        self._record |= {"history": history, "fingerprint": fingerprint(same)}

    def _given(self, labels: Labels | LabelMatrix | None = None) -> OneVsAll:
        """Return the model that the attributes make up, in the order of ``classes_``.

        It is of these ``labels`` where nobody has set any.
        """
        if not hasattr(self, "coef_"):
            check_is_fitted(self)
        intercept = getattr(self, "intercept_", None if self.fit_intercept else 0.0)
        classes, record = getattr(self, "classes_", None), getattr(self, "_record", {})
        if labels is not None and classes is None:
            classes = np.arange(labels.n_models) if labels.multilabel else labels.classes
        if labels is not None and labels.multilabel and not record:
            record = {"multilabel": True, "labels": labels.classes}
        if intercept is None or classes is None:
            missing = "intercept_" if intercept is None else "classes_"
            raise errors.ParameterError(
                f"coef_ is set and {missing} is not. Assign coef_, intercept_ and classes_, or "
                "call fit."
            )
        with backend_of(self.coef_).activate():
            return model_of(self.coef_, intercept, classes, record)

    def _predictor(self) -> OneVsAll:
        """Return the model that the attributes make up, for rows of ``n_features_in_``."""
        model = self._given()
        n_features = getattr(self, "n_features_in_", model.n_features)
        if n_features != model.n_features:
            raise errors.ParameterError(
                f"coef_ has {model.n_features} columns, and n_features_in_ is {n_features}. Assign "
                f"n_features_in_ = {model.n_features} too, or a coef_ of {n_features} columns."
            )
        return model

    def _start(self, inputs: Inputs) -> OneVsAll | None:
        """Return the model that the attributes make up, where training begins; None if unfitted."""
        if not hasattr(self, "coef_"):
            return None
        n_features, labels = inputs.X.shape[1], inputs.labels
        start = sorted_by_class(self._given(labels))
        same = np.array_equal(start.classes, labels.classes)
        same = same and start.multilabel == labels.multilabel
        if not same or start.weights.shape != (n_features, labels.n_models):
            what = [("classes", "labels")[of.multilabel] for of in (start, labels)]
            raise errors.ParameterError(
                f"warm_start=True begins at coef_, which has {start.n_models} rows: a model of "
                f"{start.n_features} features for the {what[0]} {start.classes[:20].tolist()}. For "
                f"X and y it takes {labels.n_models}: {n_features} features, {what[1]} "
                f"{labels.classes[:20].tolist()}. Train on the same features and {what[1]}, or use "
                "warm_start=False."
            )
        return start

    @property
    def multilabel_(self) -> bool:
        """Whether y was a matrix of labels, of which a row may have any number."""
        check_is_fitted(self)
        return bool(getattr(self, "_record", {}).get("multilabel", False))

    @property
    def model_(self) -> OneVsAll:
        """The model that predicts, made of the fitted attributes as they are now."""
        model = sorted_by_class(self._predictor())
        names = getattr(self, "feature_names_in_", ())
        if len(names) == model.n_features:
            data = model.data | {"feature_names": [str(name) for name in names]}
            model = replace(model, data=data)
        if getattr(self, "_record", {}).get("fingerprint") == fingerprint(model):
            return model
        # The weights are not those that training ended with: how they came about is not known.
        C = np.asarray(self._inverse_penalty(), dtype=np.float64)
        settings: TrainingSettings = {
            "C": C.tolist() if C.shape in ((), (model.n_models,)) else 1.0,
            "tol": self.tol,
            "max_iter": self.max_iter,
        }
        shape, data = model.image_shape, model.data.copy()
        data.pop("prior", None)
        return replace(
            model,
            history=unknown_history(model.n_models),
            settings=settings,
            data=data,
            image_shape=shape if shape and np.prod(shape) == model.n_features else None,
        )

    def _model_and_rows(self, X: Any) -> tuple[OneVsAll, Array]:
        model = self._predictor()
        if dask_of(X) is not None:
            return self.model_, X  # which knows the names of features
        return model, read_rows(self, X, model.n_features)

    def decision_function(self, X: Any) -> Array:
        """Return the margins X W + b, where X is.

        Parameters
        ----------
        X : (n_samples, n_features)
            Rows, as they were passed to ``fit``.

        Returns
        -------
        array, in the dtype of ``coef_``
            With two classes (n_samples,), positive for ``classes_[1]``; otherwise (n_samples,
            n_classes), or with a matrix of labels (n_samples, n_labels).
        """
        model, rows = self._model_and_rows(X)
        Z = model.decision_function(rows)
        return Z[:, 0] if Z.shape[1] == 1 and not model.multilabel else Z

    def predict(self, X: Any) -> Array:
        """Return each row's class, (n_samples,): the one with the largest margin.

        With a matrix of labels: (n_samples, n_labels) int of 0 and 1, as CSR if y was sparse.
        """
        model, rows = self._model_and_rows(X)
        found = model.predict(rows)
        if not model.multilabel:
            return found
        if is_dask(found):
            return found.astype(np.int64)
        if getattr(self, "_sparse", False):
            return csr_matrix(to_host(found), dtype=np.int64)
        backend = backend_of(found)
        with backend.activate():  # the library's own int is what arange has
            return backend.xp.astype(found, backend.xp.arange(1).dtype)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, (n_samples, n_classes).

        With more than two classes these are the models' own probabilities divided by their sum, as
        in scikit-learn's ``OneVsRestClassifier``; ``model_.predict_proba`` returns them undivided.
        With a matrix of labels each label has its own probability, (n_samples, n_labels).
        """
        model, rows = self._model_and_rows(X)
        return model.predict_proba(rows, normalize=not model.multilabel)

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of :meth:`predict_proba`, finite even if that rounds to 0."""
        model, X = self._model_and_rows(X)
        if (lazy := dask_rows(model, X)) is not None:
            log_proba = partial(_log_proba, model)
            return in_blocks(lazy, log_proba, (len(model.classes),), model.margin_dtype)
        return _log_proba(model, X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the accuracy on labelled rows, weighted by ``sample_weight`` (n_samples,).

        With a matrix of labels it is the share of rows whose labels are all right.
        """
        if dask_of(X) is not None or isinstance(X, Blocks):  # each row is read once
            return self.model_.score(X, y, sample_weight)
        if self.multilabel_:
            model, rows = self._model_and_rows(X)
            n_rows = int(rows.shape[0])
            labels = LabelMatrix(*check_indicator(y, n_rows, model.classes))
            weight = np.ones(n_rows) if sample_weight is None else sample_weight
            weight = check_row_weight(weight, n_rows)
            Z, truth = to_host(model.decision_function(rows)), labels.truth(np.arange(n_rows))
            return scorer("accuracy", labels).function(Z, truth, weight)
        y, sample_weight = read_truth(y, sample_weight)
        return float(accuracy_score(y, to_host(self.predict(X)), sample_weight=sample_weight))
