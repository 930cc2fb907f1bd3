"""scikit-learn's side: the estimators, their inputs, and scikit-learn's spellings of parameters.

Imports families, model, validation and what stands beneath, and scikit-learn; ``sklearn.base`` is
imported by :mod:`gpulr.estimators.base` alone.
"""
