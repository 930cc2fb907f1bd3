"""All that gpulr does with rows of three classes, so that kinds of rows can be compared."""

from __future__ import annotations

import numpy as np

import gpulr
from gpulr.backend import library_of, to_host
from gpulr.namespaces import device


def everything(rows, labels):
    """Return what everything gives that is trained on rows of three classes."""
    many = np.eye(3)[to_host(labels)]
    many[::7, 1] = np.nan
    weight = 1.0 + np.arange(len(many)) % 2
    model = gpulr.train(rows, labels, sample_weight=weight, class_weight="balanced")
    found = {"exact": model.weights}
    for name, how in {
        "standardised": {"standardize": True, "C": [1.0, 10.0, 0.1]},
        "float64": {"dtype": "float64", "fit_intercept": False},
        "gradient descent": {"solver": "gd", "max_iter": 5, "tol": 0.0},
        "nesterov": {"solver": "nesterov", "max_iter": 5, "tol": 0.0},
        "one by one": {"batched": False, "start": model, "max_iter": 3, "tol": 0.0},
    }.items():
        found[name] = gpulr.train(rows, labels, **how).weights
    several = gpulr.train(rows, many, pos_weight=2.0)
    found["labels"] = several.predict_proba(rows)
    found["proba"] = model.predict_proba(rows, normalize=True)
    found["calibrated"] = model.calibrated(model.decision_function(rows), labels).predict_proba(
        rows
    )
    found["thresholds"] = model.with_thresholds(model.decision_function(rows), labels).predict(rows)
    evaluation = model.evaluate(rows, labels)
    found["scores"] = np.array([evaluation.accuracy, *evaluation.binary_accuracy])
    search = gpulr.search(rows, labels, Cs=[0.1, 1.0], cv=2)
    found["search"], found["searched"] = search.scores, search.model.weights
    intervals = gpulr.bootstrap(rows, labels, n=2, random_state=0)
    found["bootstrap"] = np.stack([to_host(each) for each in intervals.proba_interval(rows)])
    estimator = gpulr.OneVsAllLogisticRegression().fit(rows, labels)
    found["coef_"], found["log"] = estimator.coef_, estimator.predict_log_proba(rows)
    search = gpulr.OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=2).fit(rows, labels)
    found["cross-validated"] = search.decision_function(rows)
    return found


def assert_as_on_numpy(found, expected, rows):
    """Compare with what NumPy gave; arrays are where the rows are, of their library."""
    for name, values in found.items():
        wanted = expected[name]
        if not isinstance(values, np.ndarray):
            assert library_of(values) == library_of(rows), name
            assert device(values) == device(rows), name
        np.testing.assert_allclose(to_host(values), wanted, 2e-3, 2e-3, err_msg=name)
