"""skops stores estimators, and who loads them has one type of gpulr's to trust."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gpulr import OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV

io = pytest.importorskip("skops.io", reason='not installed: python -m pip install ".[test]"')


@pytest.mark.parametrize(
    "estimator",
    [
        OneVsAllLogisticRegression(),
        OneVsAllLogisticRegression(standardize=True),
        OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=3),
        OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=3, refit=False),
    ],
    ids=["one", "standardised", "cv", "cv-no-refit"],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_estimator_is_all_there_is_to_trust(blobs, estimator, n_classes):
    X, y = blobs
    X, y = X[y < n_classes], np.array(["a", "b", "c"])[y[y < n_classes]]
    pipeline = make_pipeline(StandardScaler(), estimator).fit(X, y)
    content = io.dumps(pipeline)
    name = f"{type(estimator).__module__}.{type(estimator).__name__}"
    assert io.get_untrusted_types(data=content) == [name]
    loaded = io.loads(content, trusted=[name])
    np.testing.assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), pipeline.predict(X))
    assert loaded[-1].model_.history.n_iter.tolist() == estimator.model_.history.n_iter.tolist()


def test_unfitted(blobs):
    estimator = OneVsAllLogisticRegression(C=0.5, class_weight={0: 2.0}, dtype="float64")
    loaded = io.loads(
        io.dumps(estimator),
        trusted=["gpulr.estimators.logistic_regression.OneVsAllLogisticRegression"],
    )
    assert loaded.get_params() == estimator.get_params()
    assert loaded.fit(*blobs).score(*blobs) == estimator.fit(*blobs).score(*blobs)
