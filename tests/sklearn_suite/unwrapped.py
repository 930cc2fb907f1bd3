"""scikit-learn's tests of OneVsRestClassifier(LogisticRegression()), replaced as a whole."""

from adapter import adapted

globals().update(adapted("sklearn.tests.test_multiclass"))
