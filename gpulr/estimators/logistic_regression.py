"""One-vs-all models as scikit-learn estimators.

What is scikit-learn's is in this package: names, checks and their messages, attributes. Training
and predicting are those of :mod:`gpulr.families` and of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter, MethodMapping

from gpulr import errors
from gpulr.backend import backend_of, fits_float32, offers_float64
from gpulr.estimators.base import ConvergenceWarning, OneVsAllClassifier, SparseCoefficients
from gpulr.estimators.migration import translated
from gpulr.families.cross_validation import SearchProgress
from gpulr.families.inputs import read_inputs
from gpulr.families.search import search_on
from gpulr.families.search_result import Search
from gpulr.families.settings import Settings
from gpulr.families.training import train_on
from gpulr.solvers.driver import Callback
from gpulr.validation.parameters import callables, switch

Array = Any

__all__ = ["ConvergenceWarning", "OneVsAllLogisticRegression", "OneVsAllLogisticRegressionCV"]


class OneVsAllLogisticRegression(SparseCoefficients):
    """One-vs-all logistic regression: one model per class, all trained at once.

    Has the optimum of ``OneVsRestClassifier(LogisticRegression(C=C))``, of one shared weight
    matrix: see :func:`gpulr.train`.

    All parameters of scikit-learn's ``LogisticRegression`` are taken by their names, so that it, or
    ``OneVsRestClassifier`` of it, can be replaced by this name, and ``estimator__C`` in a grid by
    ``C``. Defaults are scikit-learn's, but for ``max_iter``.

    Parameters
    ----------
    C : float or (n_models,) array
        Inverse regularisation strength, > 0; ∞ for none.
    tol : float
        A model has converged when the largest absolute entry of its gradient is ≤ ``tol``.
    max_iter : int
        The most iterations; each is one pass over X.
    solver : "lbfgs", "nesterov" or "gd"
        Another name of scikit-learn's trains with "lbfgs", after a warning.
    class_weight : dict or "balanced", optional
        Weight of the rows of each class of y, 1 where the dict has none; for every model the same.
        A dict of every class may have more, which a part of the rows lacks.
    fit_intercept : bool
    scale : float or "auto", optional
        What X is multiplied by, in effect, for ``C`` and ``tol`` to refer to; ``coef_`` applies to
        X as passed. None is 1; "auto" is 1/255 for uint8.
    dtype : "float32" or "float64", optional
        What is computed in. None: float32 where X is float32, float16, bytes or bits, else float64.
    standardize, learning_rate, backend, batched, callbacks, image_shape
        As for :func:`gpulr.train`. (``clone`` copies callbacks, as it does every parameter.)
    warm_start : bool
        Begin at ``coef_`` and ``intercept_``, of the last fit or as they have been set since;
        features and classes must be the same.
    verbose : int
        Not 0: show a progress bar, on a terminal.
    penalty : "l2" or None
        None is ``C=np.inf``.
    l1_ratio, dual, multi_class
        What asks for other models than one-vs-all ones with an L2 penalty is refused.
    intercept_scaling, n_jobs, random_state
        Change nothing.

    Attributes
    ----------
    coef_ : (n_models, n_features), intercept_ : (n_models,)
        Of one model with two classes, else of one for each class. In the array library of X, and in
        the dtype that is computed in; after standardised training the intercept is float64.
    classes_ : (n_classes,) NumPy array
    n_iter_ : (1,) int32
        The most iterations of any model; ``model_.history.n_iter`` has them per model.
    n_features_in_ : int
    feature_names_in_ : (n_features,)
        Where the columns of X have names.
    model_ : OneVsAll
        The attributes as a model, which can be saved. It has the history of training, unless they
        have been set to something else since.

    Notes
    -----
    ``coef_``, ``intercept_``, ``classes_`` and ``n_features_in_`` may be set, or written into, also
    before any ``fit``: what is predicted, and where a warm start begins, is what they say then.

    Arrays of an array-API library (CuPy, …) are used where they are, and predictions for such an X
    come back there; scikit-learn's ``array_api_dispatch`` need not be set. X is not copied, except
    to NumPy or CSR where it is something else.

    As ONNX files: ``model_.to_onnx()``, or skl2onnx for whole pipelines, once
    :func:`gpulr.register_skl2onnx` has been called. skops stores fitted estimators; who loads them
    has this class to trust::

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
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.solver = solver
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.scale = scale
        self.standardize = standardize
        self.learning_rate = learning_rate
        self.dtype = dtype
        self.backend = backend
        self.batched = batched
        self.callbacks = callbacks
        self.image_shape = image_shape
        self.warm_start = warm_start
        self.verbose = verbose
        self.penalty, self.l1_ratio, self.dual = penalty, l1_ratio, dual
        self.intercept_scaling, self.multi_class = intercept_scaling, multi_class
        self.n_jobs, self.random_state = n_jobs, random_state

    def _inverse_penalty(self) -> Any:
        return self.C if self.penalty is not None else np.inf

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
            scikit-learn's, and gpulr's; not where nothing is left of the gradients but rounding.
        ParameterWarning
            What is done differs from what a parameter of scikit-learn's says.
        """
        chosen, note = translated(self.get_params(deep=False))
        if note:
            errors.warn(note, errors.ParameterWarning)
        X, y = self._read(X, y)
        settings = _settings(chosen, X)
        batched = switch("batched", chosen["batched"])
        callbacks = callables(chosen["callbacks"])
        inputs = read_inputs(X, y, chosen["image_shape"])
        try:
            model, advice = train_on(
                inputs,
                settings,
                backend=chosen["backend"],
                C=chosen["C"],
                sample_weight=sample_weight,
                class_weight=_of_these(chosen["class_weight"], inputs.labels.classes.tolist()),
                batched=batched,
                start=self._start(X, inputs.labels) if chosen["warm_start"] else None,
                callbacks=(*callbacks, *(_progress_bar() if chosen["verbose"] else ())),
            )
        except errors.TrainingInterrupted as interruption:
            self._adopt(interruption.model)
            raise
        self._adopt(model)
        if advice is not None and advice.attainable:
            errors.warn(advice.message, ConvergenceWarning)
        return self


class OneVsAllLogisticRegressionCV(OneVsAllClassifier):
    """One-vs-all logistic regression whose C is chosen by cross-validation.

    Every class, fold and C is a column of one matrix: see :func:`gpulr.search`. One C serves all
    classes, the one of the best mean score.

    All parameters of scikit-learn's ``LogisticRegressionCV`` are taken by their names.

    Parameters
    ----------
    Cs : int or (n_Cs,) array
        Values of C to try; a number stands for so many from 10⁻⁴ to 10⁴.
    cv : int, scikit-learn splitter, or iterable of (train, test)
        None is 5.
    scoring : "accuracy", "balanced_accuracy", "neg_log_loss", or callable
        A callable gets true labels and probabilities: (n_rows, n_classes), or of two classes those
        of the second, (n_rows,). None is "accuracy".
    refit : True, "1se" or False
        The C of the model: that of the best mean score, or the smallest within one standard error
        of it. False: the model is the mean of the folds' models, each with the best C of its fold.
    standardize, callbacks, image_shape
        As for :func:`gpulr.search`.
    solver, learning_rate
        A search trains with "lbfgs", which has no learning rate.
    batched : bool
        False trains the models of one class after the other.
    tol, max_iter, class_weight, fit_intercept, scale, dtype, backend, verbose
        As for :class:`OneVsAllLogisticRegression`.
    penalty, l1_ratios, dual, multi_class
        What asks for other models than one-vs-all ones with an L2 penalty is refused.
    intercept_scaling, n_jobs, random_state, use_legacy_attributes
        Change nothing.

    Attributes
    ----------
    C_ : float
        The C of the model; with ``refit=False`` the mean of those of the folds.
    l1_ratio_ : float
        0, as scikit-learn calls an L2 penalty.
    Cs_ : (n_Cs,), scores_ : (n_folds, n_Cs)
        The values that were tried, and each fold's score on its held-out rows. In the array library
        of X.
    coefs_paths_ : (n_folds, n_Cs, n_models, n_features + 1)
        The coefficients of each fold's models, the intercept last (where one is fitted).
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

    C_: float

    # groups are the splitter's: they are passed on where it asks for them.
    __metadata_request__fit: ClassVar[dict[str, str]] = {"groups": UNUSED}

    def __init__(
        self,
        *,
        Cs: int | npt.ArrayLike = 10,
        cv: Any = 5,
        scoring: str | Callable[..., float] | None = "accuracy",
        refit: bool | str = True,
        tol: float = 1e-4,
        max_iter: int = 2000,
        solver: str = "lbfgs",
        class_weight: Mapping[Any, float] | str | None = None,
        fit_intercept: bool = True,
        scale: float | str | None = None,
        standardize: bool = False,
        learning_rate: float | None = None,
        dtype: npt.DTypeLike | None = None,
        backend: str = "auto",
        batched: bool = True,
        callbacks: Sequence[Callable[[SearchProgress], object]] = (),
        image_shape: tuple[int, ...] | None = None,
        verbose: int = 0,
        penalty: str = "l2",
        l1_ratios: Any = (0.0,),
        dual: bool = False,
        intercept_scaling: float = 1.0,
        multi_class: str = "ovr",
        n_jobs: int | None = None,
        random_state: Any = None,
        use_legacy_attributes: bool | str = False,
    ) -> None:
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.tol = tol
        self.max_iter = max_iter
        self.solver = solver
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.scale = scale
        self.standardize = standardize
        self.learning_rate = learning_rate
        self.dtype = dtype
        self.backend = backend
        self.batched = batched
        self.callbacks = callbacks
        self.image_shape = image_shape
        self.verbose = verbose
        self.penalty, self.l1_ratios, self.dual = penalty, l1_ratios, dual
        self.intercept_scaling, self.multi_class = intercept_scaling, multi_class
        self.n_jobs, self.random_state = n_jobs, random_state
        self.use_legacy_attributes = use_legacy_attributes

    def __setstate__(self, state: dict[str, Any]) -> None:
        found = state.get("search_")  # of a pickle from when it was no property
        super().__setstate__({k: v for k, v in state.items() if k != "search_"})
        if found is not None:
            self._found = _found(found)

    def _inverse_penalty(self) -> Any:
        return getattr(self, "C_", 1.0)

    @property
    def search_(self) -> Search:
        """Everything that was found, with the model that the attributes are now."""
        return Search(model=self.model_, **self._found)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return what is asked for of the metadata that ``fit`` gets: ``groups`` are for ``cv``."""
        of_fit = MethodMapping().add(caller="fit", callee="split")
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        return router.add(splitter=self.cv, method_mapping=of_fit)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Choose C, and train the models with it on all rows.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`OneVsAllLogisticRegression.fit`; the weights count in the scores too.
        groups : (n_samples,), optional
            For a ``cv`` that keeps groups of rows together.

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
            scikit-learn's, and gpulr's; not where nothing is left of the gradients but rounding.
        ParameterWarning
            What is done differs from what a parameter of scikit-learn's says.
        """
        chosen, note = translated(self.get_params(deep=False))
        if chosen["solver"] != "lbfgs":
            raise errors.ParameterError(
                f'solver={chosen["solver"]!r}; a search trains with "lbfgs". Leave it out.'
            )
        if note:
            errors.warn(note, errors.ParameterWarning)
        X, y = self._read(X, y)
        settings = _settings(chosen, X)
        batched = switch("batched", chosen["batched"])
        callbacks = callables(chosen["callbacks"])
        inputs = read_inputs(X, y, chosen["image_shape"])
        found, advice, models = search_on(
            inputs,
            settings,
            backend=chosen["backend"],
            Cs=chosen["Cs"],
            cv=chosen["cv"],
            groups=groups,
            scoring=chosen["scoring"],
            refit=chosen["refit"],
            sample_weight=sample_weight,
            class_weight=_of_these(chosen["class_weight"], inputs.labels.classes.tolist()),
            callbacks=(*callbacks, *(_search_progress_bar() if chosen["verbose"] else ())),
            memory=None if batched else 1,
        )
        assert found.model is not None
        self._found = _found(found)
        self._adopt(found.model)
        self.C_ = found.model.settings["C"]  # type: ignore[assignment]
        self.l1_ratio_ = 0.0
        here = backend_of(self.coef_).asarray
        self.Cs_, self.scores_ = here(found.Cs), here(found.scores)
        self.coefs_paths_ = here(models.coefficients())
        if chosen["refit"] == "mean":
            self.n_iter_ = here(np.array([found.n_iter.max()], dtype=np.int32))
        if advice is not None and advice.attainable:
            errors.warn(advice.message, ConvergenceWarning)
        return self


def _found(search: Search) -> dict[str, Any]:
    """Return what a search found beside its model."""
    return {f.name: getattr(search, f.name) for f in fields(search) if f.name != "model"}


def _settings(chosen: Mapping[str, Any], X: Array) -> Settings:
    """Check an estimator's parameters that any training has."""
    names = ("solver", "scale", "standardize", "learning_rate", "max_iter", "tol", "fit_intercept")
    dtype = _compute_dtype(X) if chosen["dtype"] is None else chosen["dtype"]
    return Settings.checked(dtype=dtype, **{name: chosen[name] for name in names})


def _compute_dtype(X: Array) -> str:
    """Return what to compute in for an X: float32 where that holds all of its numbers."""
    if fits_float32(X):
        return "float32"
    xb = backend_of(X)
    return "float64" if offers_float64(xb.xp, xb.device) else "float32"


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
