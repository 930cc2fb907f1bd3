"""scikit-learn's tests of OneVsRestClassifier and its like around a LogisticRegression."""

from adapter import adapted

globals().update(adapted("sklearn.tests.test_multiclass", one_vs_rest=None))
