"""scikit-learn's tests of its scorers with a LogisticRegression."""

from adapter import adapted

globals().update(adapted("sklearn.metrics.tests.test_score_objects"))
