"""One-vs-all models whose C is chosen by cross-validation, as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter, MethodMapping

from gpulr.backend import backend_of, to_host
from gpulr.callbacks import SearchProgressBar
from gpulr.estimators.base import OneVsAllClassifier, warn_of
from gpulr.families.cross_validation import SearchProgress
from gpulr.families.search import search_on
from gpulr.families.search_result import Search


class OneVsAllLogisticRegressionCV(OneVsAllClassifier):
    """One-vs-all logistic regression whose C is chosen by cross-validation.

    Every class, fold and C is a column of one matrix: see :func:`gpulr.search`. All classes share
    the C of the best mean score, or each has its own.

    It takes all parameters of scikit-learn's ``LogisticRegressionCV`` by their names.

    Parameters
    ----------
    Cs : int or (n_Cs,) array
        Values of C to try; a number stands for that many values from 10⁻⁴ to 10⁴.
    cv : int, scikit-learn splitter, or iterable of (train, test)
        How rows are divided into folds. None is 5.
    scoring : str, scorer of scikit-learn's, or callable
        The score by which C is chosen; None is "accuracy". A name, such as "neg_log_loss",
        "roc_auc" or "f1_macro", is as for :func:`gpulr.search`; with a matrix of labels, "accuracy"
        is the share of rows whose labels are all right. A callable gets true labels and
        probabilities: (n_rows, n_classes), or with two classes those of the second, (n_rows,).
    refit : True, "1se" or False
        Which C the model has: True is the one of the best mean score, "1se" the smallest within one
        standard error of it. With False, the model is the mean of the folds' models, each with the
        best C of its fold.
    per_model : bool
        Whether each model has the C that is best by its own scores.
    keep_paths : bool
        Whether to keep ``coefs_paths_``, which may take much memory.
    standardize, callbacks, image_shape
        As for :func:`gpulr.search`.
    solver, learning_rate
        A search trains with "lbfgs", which has no learning rate.
    batched : bool
        False trains the models of one class after the other.
    tol, max_iter, class_weight, pos_weight, fit_intercept, scale, dtype, backend, verbose
        As for :class:`OneVsAllLogisticRegression`.
    penalty, l1_ratios, dual, multi_class
        Values that ask for other models than one-vs-all ones with an L2 penalty are refused.
    intercept_scaling, n_jobs, random_state, use_legacy_attributes
        These change nothing.

    Attributes
    ----------
    C_ : float, or with ``per_model`` (n_models,)
        The C of the model; with ``refit=False``, the mean of the folds' best.
    l1_ratio_ : float
        0, which is scikit-learn's value for an L2 penalty.
    Cs_ : (n_Cs,)
        The values of C that were tried, in the array library of X.
    scores_ : (n_folds, n_Cs)
        Each fold's score on its held-out rows, likewise.
    coefs_paths_ : (n_folds, n_Cs, n_models, n_features + 1)
        The coefficients of each fold's models, in the compute dtype. The intercept is last, if one
        is fitted.
    coef_, intercept_, n_iter_, classes_, multilabel_, n_features_in_, feature_names_in_, model_
        As of :class:`OneVsAllLogisticRegression`, for the model that was trained on all rows.
    search_ : Search
        Everything that was found, with a table and a plot.

    Notes
    -----
    To skops this is ``gpulr.estimators.cross_validated.OneVsAllLogisticRegressionCV``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from gpulr import OneVsAllLogisticRegressionCV
    >>> X, y = load_iris(return_X_y=True)
    >>> OneVsAllLogisticRegressionCV(Cs=[0.1, 1, 10]).fit(X, y).scores_.shape
    (5, 3)
    """

    C_: Any

    # groups are the splitter's: they are passed on where it asks for them.
    __metadata_request__fit: ClassVar[dict[str, str]] = {"groups": UNUSED}

    def __init__(
        self,
        *,
        Cs: int | npt.ArrayLike = 10,
        cv: Any = 5,
        scoring: str | Callable[..., float] | None = "accuracy",
        refit: bool | str = True,
        per_model: bool = False,
        keep_paths: bool = True,
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
        self.Cs, self.cv, self.scoring, self.refit = Cs, cv, scoring, refit
        self.per_model, self.keep_paths = per_model, keep_paths
        self.tol, self.max_iter, self.solver = tol, max_iter, solver
        self.class_weight, self.pos_weight = class_weight, pos_weight
        self.fit_intercept = fit_intercept
        self.scale, self.standardize, self.learning_rate = scale, standardize, learning_rate
        self.dtype, self.backend, self.batched = dtype, backend, batched
        self.callbacks, self.image_shape, self.verbose = callbacks, image_shape, verbose
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
        C = getattr(self, "C_", 1.0)
        return to_host(C) if np.ndim(C) else C

    @property
    def search_(self) -> Search:
        """Everything that was found, with the model as the attributes are now."""
        return Search(model=self.model_, paths=getattr(self, "coefs_paths_", None), **self._found)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which metadata ``fit`` asks for: it passes ``groups`` to ``cv``."""
        of_fit = MethodMapping().add(caller="fit", callee="split")
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        return router.add(splitter=self.cv, method_mapping=of_fit)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """Choose C, and train the models with it on all rows.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`OneVsAllLogisticRegression.fit`; the scores use the weights too.
        groups : (n_samples,), optional
            Group of each row, for a ``cv`` that keeps groups in one fold.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            X, y or a parameter cannot be used; a fold lacks a class.
        SearchInterrupted
            Ctrl-C was pressed; the error's ``search`` has the values of C that were done.

        Warns as :meth:`OneVsAllLogisticRegression.fit` does.
        """
        inputs, settings, chosen = self._read(X, y, SearchProgressBar)
        names = ("Cs", "cv", "scoring", "refit", "per_model", "keep_paths", "callbacks")
        found, advice = search_on(
            inputs.weighted(sample_weight, chosen["class_weight"], chosen["pos_weight"]),
            settings,
            chosen["backend"],
            groups=groups,
            memory=None if chosen["batched"] else 1,
            **{name: chosen[name] for name in names},
        )
        assert found.model is not None
        self._found = _found(found)
        self._adopt(found.model)
        here, C = backend_of(self.coef_).asarray, found.model.settings["C"]
        self.C_ = here(np.array(C)) if isinstance(C, list) else C
        self.l1_ratio_ = 0.0
        self.Cs_, self.scores_ = here(found.Cs), here(found.scores)
        if found.paths is not None:
            self.coefs_paths_ = here(found.paths)
        if chosen["refit"] == "mean":
            self.n_iter_ = here(np.array([found.n_iter.max()], dtype=np.int32))
        warn_of(advice)
        return self


def _found(search: Search) -> dict[str, Any]:
    """Return what a search found beside its model and what ``coefs_paths_`` has."""
    kept = {f.name for f in fields(search)} - {"model", "paths"}
    return {name: getattr(search, name, None) for name in kept}
