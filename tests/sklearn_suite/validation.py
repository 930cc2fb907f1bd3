"""scikit-learn's tests of cross-validation with a LogisticRegression, of several labels too."""

from adapter import adapted

globals().update(adapted("sklearn.model_selection.tests.test_validation"))
