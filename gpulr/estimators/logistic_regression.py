"""One-vs-all models as a scikit-learn estimator.

What is scikit-learn's is in this package: names, checks and their messages, attributes. Training
and predicting are those of :mod:`gpulr.families` and of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from gpulr.backend import is_device_array, is_sparse
from gpulr.callbacks import ProgressBar
from gpulr.errors import ParameterError, TrainingInterrupted
from gpulr.estimators.base import OneVsAllClassifier, warn_of
from gpulr.families.training import train_on
from gpulr.solvers.solution import Callback


class OneVsAllLogisticRegression(OneVsAllClassifier):
    """One-vs-all logistic regression: one model per class, all trained at once.

    It finds the optimum of ``OneVsRestClassifier(LogisticRegression(C=C))``, as one shared weight
    matrix: see :func:`gpulr.train`.

    It takes all parameters of scikit-learn's ``LogisticRegression`` by their names. So it can
    replace that, or ``OneVsRestClassifier`` of it; in a grid, ``estimator__C`` becomes ``C``.
    Defaults are scikit-learn's, except for ``max_iter``. Like ``OneVsRestClassifier``, it takes a
    matrix of labels for rows that have any number of them.

    Parameters
    ----------
    C : float or (n_models,) array
        Inverse regularisation strength, > 0; ∞ for none.
    tol : float
        Tolerance: a model has converged when the largest absolute entry of its gradient is ≤
        ``tol``.
    max_iter : int
        The most iterations; each is one pass over X.
    solver : "lbfgs", "nesterov" or "gd"
        The method of minimisation. Other names of scikit-learn's train with "lbfgs", after a
        warning.
    class_weight : dict or "balanced", optional
        Weights of rows by their class. A dict maps classes of y to weights (1 for those it lacks),
        which are the same for every model. One that has every class of y may have more, so that it
        also serves a part of the rows that lacks some. "balanced" weighs each model's rows
        separately, as in ``OneVsRestClassifier``.
    pos_weight : float or (n_models,) array, optional
        Factor on the weights of the rows that a model should answer with 1, the same as in
        ``OneVsRestClassifier(LogisticRegression(class_weight={1: pos_weight}))``.
    fit_intercept : bool
        Whether models have an intercept.
    scale : float or "auto", optional
        Factor that X is multiplied by, in effect. ``C`` and ``tol`` refer to the scaled X,
        ``coef_`` to X as passed. None is 1; "auto" is 1/255 for uint8.
    dtype : "float32" or "float64", optional
        What is computed in. None: float32 if X is float32, float16, bytes or bits, else float64.
    standardize, learning_rate, backend, batched, callbacks, image_shape
        As for :func:`gpulr.train`. (``clone`` copies callbacks, as it does every parameter.)
    warm_start : bool
        Whether to begin at ``coef_`` and ``intercept_``, from the last fit or as set since then.
        Features and classes must be the same.
    verbose : int
        Anything but 0 shows a progress bar, on a terminal.
    penalty : "l2" or None
        None is ``C=np.inf``.
    l1_ratio, dual, multi_class
        Values that ask for other models than one-vs-all ones with an L2 penalty are refused.
    intercept_scaling, n_jobs, random_state
        These change nothing.

    Attributes
    ----------
    coef_ : (n_models, n_features)
        Weights: of one model with two classes, otherwise of one for each class. They are in the
        array library of X and the dtype that is computed in.
    intercept_ : (n_models,)
        Intercepts, likewise; after standardised training they are float64.
    classes_ : (n_classes,) NumPy array
        The classes. For a matrix of labels they are its columns, 0, 1, …, as in
        ``OneVsRestClassifier``; the names that a DataFrame gives them are in ``model_.classes``.
    multilabel_ : bool
        Whether y was a matrix of labels.
    n_iter_ : (1,) int32
        The most iterations of any model; ``model_.history.n_iter`` has them per model.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : (n_features,)
        Names of the columns of X, if they have names.
    model_ : OneVsAll
        The attributes as a model, which can be saved. It has the history of training, unless the
        attributes have been changed since. The estimator itself has no thresholds;
        ``model_.with_thresholds`` returns a model that has.

    Notes
    -----
    ``coef_``, ``intercept_``, ``classes_`` and ``n_features_in_`` may be set, or written into, even
    before any ``fit``. Predictions and warm starts use them as they are at the time.

    Arrays of an array-API library (CuPy, …) are used where they are, and predictions for such an X
    come back there; scikit-learn's ``array_api_dispatch`` need not be set. X is not copied, except
    to NumPy or CSR if it is something else.

    An ONNX file is made by ``model_.to_onnx()``, or for whole pipelines by skl2onnx, after a call
    of :func:`gpulr.register_skl2onnx`. skops stores fitted estimators; to load one, trust this
    class::

        trusted=["gpulr.estimators.logistic_regression.OneVsAllLogisticRegression"]

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
        penalty: str | None = "l2",
        *,
        C: float | npt.ArrayLike = 1.0,
        tol: float = 1e-4,
        max_iter: int = 2000,
        solver: str = "lbfgs",
        class_weight: Mapping[Any, float] | str | None = None,
        pos_weight: float | npt.ArrayLike | None = None,
        fit_intercept: bool = True,
        scale: float | str | None = None,
        standardize: bool = False,
        learning_rate: float | None = None,
        dtype: npt.DTypeLike | None = None,
        backend: str = "auto",
        batched: bool = True,
        callbacks: Sequence[Callback] = (),
        image_shape: tuple[int, ...] | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        l1_ratio: float | None = 0.0,
        dual: bool = False,
        intercept_scaling: float = 1.0,
        multi_class: str = "ovr",
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.penalty, self.C, self.tol, self.max_iter = penalty, C, tol, max_iter
        self.solver, self.class_weight, self.fit_intercept = solver, class_weight, fit_intercept
        self.scale, self.standardize, self.learning_rate = scale, standardize, learning_rate
        self.pos_weight = pos_weight
        self.dtype, self.backend, self.batched = dtype, backend, batched
        self.callbacks, self.image_shape = callbacks, image_shape
        self.warm_start, self.verbose = warm_start, verbose
        self.l1_ratio, self.dual, self.intercept_scaling = l1_ratio, dual, intercept_scaling
        self.multi_class, self.n_jobs, self.random_state = multi_class, n_jobs, random_state

    def _inverse_penalty(self) -> Any:
        return self.C if self.penalty is not None else np.inf

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train the models.

        Parameters
        ----------
        X : (n_samples, n_features)
            The rows: of any real dtype, in any array library or in an open file, which is read
            block by block; a DataFrame; a sparse matrix; or :class:`gpulr.Blocks`, whose loaders
            may return y too.
        y : (n_samples,), or (n_samples, n_labels) of 0 and 1
            The labels: numbers, booleans or strings. For rows that have any number of labels, y is
            a matrix: dense, sparse, or a DataFrame, whose columns name the labels. A column that is
            all 0 or all 1 is learnt as that constant.

            An entry that is NaN, None or pandas' NA is unknown: it counts neither in training nor
            in :meth:`score`. scikit-learn's tools refuse such a matrix themselves, unless ``cv`` is
            a splitter, such as ``KFold(5)``, rather than a number, and ``scoring`` is left out.
            ``gpulr.search``, ``gpulr.cross_val_predict`` and :class:`OneVsAllLogisticRegressionCV`
            take it. ``CalibratedClassifierCV`` takes no matrix; see ``model_.calibrated``.
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
            Ctrl-C was pressed; the estimator is fitted with the model so far.

        Warns
        -----
        ConvergenceWarning
            Some models did not converge; scikit-learn's warning, and gpulr's. There is none if only
            rounding is left of the gradients.
        ParameterWarning
            What is done differs from what a parameter of scikit-learn's says.
        """
        inputs, settings, chosen = self._read(X, y, ProgressBar)
        try:
            model, advice = train_on(
                inputs.weighted(sample_weight, chosen["class_weight"], chosen["pos_weight"]),
                settings,
                chosen["backend"],
                start=self._start(inputs) if chosen["warm_start"] else None,
                **{name: chosen[name] for name in ("C", "batched", "callbacks")},
            )
        except TrainingInterrupted as interruption:
            self._adopt(interruption.model)
            raise
        self._adopt(model)
        warn_of(advice)
        return self

    # The estimator that chooses C lacks these: scikit-learn's check of them has three rows of each
    # class, too few for its five folds.
    def sparsify(self) -> Self:
        """Make ``coef_`` a SciPy CSR matrix, which is smaller if most of it is zero.

        Training leaves no weight at exactly zero, so set small ones to zero first. Predictions stay
        the same but take longer, since they are computed from all weights. Returns self.

        Raises
        ------
        ParameterError
            ``coef_`` is not a NumPy array.
        """
        self._given()
        if is_device_array(self.coef_):
            raise ParameterError(
                f"coef_ is a {type(self.coef_).__name__}, and sparse matrices are SciPy's, of "
                "NumPy arrays. Leave it as it is."
            )
        self.coef_ = csr_matrix(self.coef_)
        return self

    def densify(self) -> Self:
        """Make ``coef_`` a dense array again, after :meth:`sparsify`; returns self."""
        self._given()
        if is_sparse(self.coef_):
            self.coef_ = self.coef_.toarray()
        return self
