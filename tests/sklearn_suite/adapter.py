"""scikit-learn's own tests of LogisticRegression, run against gpulr's estimators.

scikit-learn's wheel brings its tests. Here one of their modules is imported as if scikit-learn's
classes were gpulr's, which is what a user's search and replace does: ``LogisticRegression(…)`` and
``OneVsRestClassifier(LogisticRegression(…))`` become ``OneVsAllLogisticRegression(…)``.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import ExitStack
from typing import Any
from unittest import mock

import pytest
import sklearn.linear_model
import sklearn.multiclass

from gpulr import OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV

OURS = (OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV)
REPLACED = dict(zip(("LogisticRegression", "LogisticRegressionCV"), OURS, strict=True))


class Unwrapped(sklearn.multiclass.OneVsRestClassifier):
    """scikit-learn's one-vs-rest of other estimators; one of gpulr's needs no wrapper."""

    def __new__(cls, estimator: Any = None, **settings: Any) -> Any:
        return estimator if isinstance(estimator, OURS) else super().__new__(cls)


class InItsPlace(sklearn.multiclass.OneVsRestClassifier):
    """gpulr's estimator, whatever scikit-learn's one-vs-rest was to be of."""

    def __new__(cls, estimator: Any = None, **settings: Any) -> Any:
        return estimator if isinstance(estimator, OURS) else OneVsAllLogisticRegression()


def adapted(module: str, *, one_vs_rest: Any = Unwrapped) -> dict[str, Any]:
    """Return what a module of scikit-learn's tests defines, with gpulr's estimators in it.

    ``one_vs_rest`` is what ``OneVsRestClassifier`` is there; None: it stays, and wraps them.
    """
    pytest.register_assert_rewrite(module)
    sys.modules.pop(module, None)
    with ExitStack() as replaced:
        for source in (sklearn.linear_model, sklearn.linear_model._logistic):
            replaced.enter_context(mock.patch.multiple(source, **REPLACED))
        if one_vs_rest is not None:
            replaced.enter_context(
                mock.patch.object(sklearn.multiclass, "OneVsRestClassifier", one_vs_rest)
            )
        found = vars(importlib.import_module(module))
    del sys.modules[module]
    return {name: value for name, value in found.items() if not name.startswith("__")}
