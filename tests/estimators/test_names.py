"""Names of columns in estimators: what pipelines hand over, and scikit-learn's errors."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gpulr

y = np.arange(60) % 3
X = np.random.default_rng(3).normal(size=(60, 3)) + np.eye(3)[y]
NAMES = ["a", "b", "c"]
pandas = pytest.importorskip("pandas", reason="pandas is not installed")
ESTIMATORS = {
    "one C": gpulr.OneVsAllLogisticRegression(),
    "cross-validated": gpulr.OneVsAllLogisticRegressionCV(Cs=2, cv=2),
}


@pytest.fixture
def frame(container):
    """X with names."""
    if container == "pandas":
        return pandas.DataFrame(X, columns=NAMES)
    polars = pytest.importorskip("polars", reason="polars is not installed")
    return polars.DataFrame(X, schema=NAMES)


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_pipeline_hands_over_names(frame, container, kind):
    scaler = StandardScaler().set_output(transform=container)
    pipeline = make_pipeline(scaler, clone(ESTIMATORS[kind])).fit(frame, y)
    assert pipeline[-1].feature_names_in_.tolist() == NAMES
    rows = StandardScaler().fit_transform(X)
    plain = ESTIMATORS[kind].fit(rows, y).predict_proba(rows)
    np.testing.assert_allclose(pipeline.predict_proba(frame), plain, rtol=1e-5)
    assert pipeline.score(frame, y) > 0.5


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_columns_that_a_transformer_has_renamed(frame, container):
    parts = make_column_transformer((StandardScaler(), ["c", "a"]), remainder="passthrough")
    pipeline = make_pipeline(parts.set_output(transform=container), ESTIMATORS["one C"])
    names = ["standardscaler__c", "standardscaler__a", "remainder__b"]
    assert pipeline.fit(frame, y)[-1].feature_names_in_.tolist() == names
    assert pipeline.predict(frame).shape == (60,)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_other_names_are_refused_as_scikit_learn_refuses_them(frame, container):
    ours, theirs = ESTIMATORS["one C"].fit(frame, y), LogisticRegression().fit(frame, y)
    other = [["c", "a", "b"], ["a", "b"]]
    for names in other:
        errors = []
        for estimator in (ours, theirs):
            with pytest.raises(ValueError, match="feature names should match") as caught:
                estimator.predict(frame[names])
            errors.append(str(caught.value))
        assert errors[0] == errors[1]
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        ours.predict(X)
