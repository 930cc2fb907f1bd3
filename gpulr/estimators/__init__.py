"""scikit-learn's side: estimators, their inputs, and its spellings of parameters."""
