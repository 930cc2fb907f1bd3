"""scikit-learn's tests of LogisticRegression and LogisticRegressionCV."""

from adapter import adapted

globals().update(adapted("sklearn.linear_model.tests.test_logistic"))
