"""scikit-learn's scorer objects, which want a fitted estimator: a thin one, of margins."""

from __future__ import annotations

import inspect
from collections.abc import Container
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer, get_scorer_names

from gpulr.errors import ParameterError
from gpulr.logistic import log_normalized, sigmoid
from gpulr.model.binary import of_each_model
from gpulr.model.measures import Score, all_known, checked_value
from gpulr.model.predicted import Thresholds, predicted, predicted_codes
from gpulr.validation.labels import LabelMatrix, Labels

Floats = npt.NDArray[Any]


def named_or_scorer(scoring: Any, known: Container[str]) -> Any:
    """Return the known name of a scorer of scikit-learn's, or the scorer; None for other names."""
    if not isinstance(scoring, str):
        same = (name for name in get_scorer_names() if repr(get_scorer(name)) == repr(scoring))
        name = next(same, None)
        return name if name is not None and name in known else scoring
    if scoring not in get_scorer_names():
        return None
    found = get_scorer(scoring)
    of_classifiers = ("sklearn.metrics._classification", "sklearn.metrics._ranking")
    return found if found._score_func.__module__ in of_classifiers else None


class FromMargins(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier whose rows are their margins, (n_rows, n_models)."""

    def __init__(self, classes: Any = None, thresholds: Thresholds | None = None) -> None:
        self.classes, self.thresholds = classes, thresholds

    @property
    def classes_(self) -> Any:
        """The classes; of several labels a list of two each, as multi-output classifiers have."""
        return self.classes

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, Z: Any, y: Any) -> Self:
        """Do nothing."""
        return self

    def decision_function(self, Z: Floats) -> Floats:
        """Return the margins; of two classes those of the second, (n_rows,)."""
        return Z[:, 0] if len(self.classes) == 2 and Z.shape[1] == 1 else Z

    def predict_proba(self, Z: Floats) -> Any:
        """Return normalised probabilities; of several labels each one's own."""
        Z = Z.astype(np.float64)
        return sigmoid(Z) if isinstance(self.classes, list) else np.exp(log_normalized(Z))

    def predict(self, Z: Floats) -> Any:
        """Return classes, (n_rows,); of several labels zeros and ones, (n_rows, n_labels)."""
        if isinstance(self.classes, list):
            return predicted(Z, self.thresholds).astype(np.uint8)
        return self.classes[predicted_codes(Z, self.thresholds)]


def of_estimator(
    scoring: Any, labels: Labels | LabelMatrix, name: str = ""
) -> tuple[str, Score[float], Score[Floats]]:
    """Return the name and both scores of what asks scikit-learn's scorer of such an estimator.

    Without a ``name`` it is that of the scorer's function.
    """
    name = name or getattr(scoring._score_func, "__name__", type(scoring).__name__)
    weighs = "sample_weight" in inspect.signature(scoring._score_func).parameters
    two = np.arange(2)
    classes = [two] * labels.n_models if labels.multilabel else labels.classes

    def value(
        classes: Any, Z: Floats, truth: Any, weight: Floats, thresholds: Any, **check: bool
    ) -> float:
        arguments = {"sample_weight": weight} if weighs else {}
        try:
            found = scoring(FromMargins(classes, thresholds), Z, truth, **arguments)
        except (ValueError, TypeError) as error:
            raise ParameterError(f"scoring={name} cannot score these rows: {error}") from error
        return checked_value(found, name, **check)

    def function(Z: Floats, truth: Any, weight: Floats, thresholds: Any = None) -> float:
        truth = all_known(truth, name) if labels.multilabel else labels.classes[truth]
        return value(classes, Z, truth, weight, thresholds)

    def of_one(z: Floats, y: Any, w: Floats, at: Thresholds | None) -> tuple[float]:
        return (value(two, z[:, np.newaxis], y, w, at, undefined=True),)

    def per_model(Z: Floats, truth: Any, weight: Floats, thresholds: Any = None) -> Floats:
        return of_each_model(of_one, Z, truth, weight, thresholds)[0]

    return name, function, per_model
