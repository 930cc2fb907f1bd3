"""scikit-learn's tests of what its scorers ask of a LogisticRegression."""

from adapter import adapted

globals().update(adapted("sklearn.utils.tests.test_response"))
