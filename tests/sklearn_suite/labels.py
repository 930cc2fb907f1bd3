"""scikit-learn's tests of OneVsRestClassifier, whatever it wraps, with gpulr's in its place."""

from adapter import InItsPlace, adapted

globals().update(adapted("sklearn.tests.test_multiclass", one_vs_rest=InItsPlace))
