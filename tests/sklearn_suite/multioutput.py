"""scikit-learn's tests of estimators of several outputs around a LogisticRegression."""

from adapter import adapted

globals().update(adapted("sklearn.tests.test_multioutput"))
