"""Two models on the same rows: counts by hand, intervals and tests by SciPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

import gpulr
from gpulr.errors import DataError, ParameterError
from gpulr.model.comparison import MOST_KINDS, _kinds, mcnemar
from gpulr.model.measures import LABEL_SCORES, SCORES
from helpers import multiples


@pytest.fixture(scope="module")
def data():
    return gpulr.datasets.load_digits()


@pytest.fixture(scope="module")
def models(data):
    return [gpulr.train(data, max_iter=n, tol=0) for n in (1, 20)]


def test_it_is_what_the_models_answer(models, data):
    a, b = models
    X, y = data.X_test, data.y_test
    found = gpulr.compare(a, b, X, y)
    right_a, right_b = (model.predict(X) == y for model in models)
    np.testing.assert_array_equal(found.rows_a, np.flatnonzero(right_a & ~right_b))
    np.testing.assert_array_equal(found.rows_b, np.flatnonzero(~right_a & right_b))
    assert len(found.rows_b) > 0
    of_a, of_b = a.evaluate(X, y), b.evaluate(X, y)
    total, mean, f1, area, loss = found.scores
    assert (total["name"], mean["name"]) == ("accuracy", "mean binary accuracy")
    assert (total["a"], total["b"]) == (of_a.accuracy, of_b.accuracy)
    np.testing.assert_allclose(
        [mean["a"], mean["b"]], [of_a.mean_binary_accuracy, of_b.mean_binary_accuracy]
    )
    names = ("f1_macro", "roc_auc", "neg_log_loss")
    expected = [[gpulr_scores(model, X, y, name) for name in names] for model in models]
    given = [[each[side] for each in (f1, area, loss)] for side in "ab"]
    np.testing.assert_allclose(given, np.multiply(expected, [1, 1, -1]), rtol=1e-6)
    np.testing.assert_allclose(found.table["a"], of_a.binary_accuracy)
    np.testing.assert_allclose(
        found.table["difference"], of_b.binary_accuracy - of_a.binary_accuracy
    )
    np.testing.assert_allclose(
        found.table["only_b"] - found.table["only_a"], found.table["difference"] * len(y)
    )
    expected = binomtest(len(found.rows_a), len(found.rows_a) + len(found.rows_b)).pvalue
    assert found.p_value == pytest.approx(expected)
    assert "Comparison(n_rows=355" in repr(found)
    head, first, *_, last = str(found).splitlines()
    assert head.split() == ["a", "b", "b", "−", "a", "95", "%", "interval"]
    score = found.scores[0]
    figures = f"{score['a']:.4f}", f"{score['b']:.4f}", f"{score['difference']:+.4f}"
    ends = f"{score['low']:+.4f}", "to", f"{score['high']:+.4f}"
    assert first.split()[-6:] == [*figures, *ends]
    alone = f"a alone is right in {len(found.rows_a)}, b alone in {len(found.rows_b)} (McNemar's"
    assert f"Of 355 rows {alone}" in last


def test_intervals_are_those_of_resampled_rows_and_of_the_seed(models, data):
    a, b = models
    X, y = data.X_test, data.y_test
    found = gpulr.compare(a, b, X, y, n=4000)
    own = [(m.decision_function(X) > 0) == (y[:, None] == m.classes) for m in models]
    each = [
        (b.predict(X) == y).astype(float) - (a.predict(X) == y),
        own[1].mean(axis=1) - own[0].mean(axis=1),
    ]
    truth = np.arange(len(y)), y
    losses = [-np.log(model.predict_proba(X, normalize=True)[truth]) for model in models]
    each.append(losses[1].astype(float) - losses[0])
    for record, difference in zip(found.scores[[0, 1, 4]], each, strict=True):
        expected = bootstrap(
            (difference,), np.mean, n_resamples=4000, method="percentile", random_state=1
        ).confidence_interval
        np.testing.assert_allclose([record["low"], record["high"]], expected, atol=2e-3, rtol=0.02)
    again = gpulr.compare(a, b, X, y, n=4000)
    np.testing.assert_array_equal(found.scores, again.scores)
    one, other = (gpulr.compare(a, b, X, y, n=50, random_state=s).scores for s in (0, 1))
    assert (one["low"] != other["low"]).any()
    narrow = gpulr.compare(a, b, X, y, n=4000, level=0.5).scores
    assert (narrow["high"] - narrow["low"] < found.scores["high"] - found.scores["low"]).all()
    turned = gpulr.compare(b, a, X, y)
    np.testing.assert_allclose(turned.scores["difference"], -found.scores["difference"])


def gpulr_scores(model, X, y, name):
    Z, truth, _ = model._read_truth(X, y, None)
    return SCORES[name][0](Z, truth, np.ones(len(Z)), model.thresholds)


@pytest.mark.parametrize("kind", ["classes", "two", "labels"])
def test_f1_and_auroc_have_the_intervals_of_resampled_rows(data, kind):
    of = {"classes": lambda y: y, "two": lambda y: y % 2, "labels": multiples}[kind]
    X, y = data.X_test, of(data.y_test)
    a, b = (gpulr.train(data.X, of(data.y), max_iter=n, tol=0) for n in (1, 5))
    if kind == "labels":  # some of which are unknown
        y = np.where(np.random.default_rng(0).random(y.shape) < 0.1, np.nan, y)
    found = gpulr.compare(a, b, X, y, n=4000).scores
    (Z, truth, _), (Z_b, *_) = (model._read_truth(X, y, None) for model in (a, b))
    rng, draws = np.random.default_rng(1), []
    scores = SCORES | (LABEL_SCORES if kind == "labels" else {})
    names = ("f1" if kind == "two" else "f1_macro", "roc_auc", "neg_log_loss")
    for _ in range(400):
        w = np.bincount(rng.integers(len(X), size=len(X)), minlength=len(X)).astype(float)
        score = [[scores[name][0](of, truth, w, None) for name in names] for of in (Z, Z_b)]
        draws.append(np.subtract(*score[::-1]) * [1, 1, -1])
    ends = np.quantile(draws, [0.025, 0.975], axis=0)
    for record, low, high in zip(found[-3:], *ends, strict=True):
        width = high - low
        np.testing.assert_allclose([record["low"], record["high"]], [low, high], atol=0.12 * width)


def test_scores_that_rows_do_not_have(models, data):
    some = data.y_test == 3
    found = gpulr.compare(*models, data.X_test[some], data.y_test[some])
    assert np.isnan(found.scores["a"][list(found.scores["name"]).index("mean AUROC")])
    assert np.isfinite(found.scores["a"]).sum() == 4


def test_many_kinds_of_rows_are_put_together(rng):
    x = rng.normal(size=100_000) ** 3
    values, counts = _kinds(x)
    assert len(values) == MOST_KINDS
    assert counts.sum() == len(x)
    np.testing.assert_allclose(counts @ values / len(x), x.mean(), atol=1e-12)
    np.testing.assert_allclose(counts @ values**2, x @ x, rtol=0.02)
    values, counts = _kinds(np.array([1.0, -1, 0, 1]))
    assert (values.tolist(), counts.tolist()) == ([-1, 0, 1], [1, 1, 2])


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 7), (3, 5), (5, 3), (12, 12), (400, 470)])
def test_mcnemars_test_is_the_binomial(b, c):
    expected = binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected)


def test_labels_each_by_those_that_are_known(rng):
    X = rng.normal(size=(80, 4)).astype(np.float32)
    Y = (X[:, :3] + rng.normal(size=(80, 3)) > 0).astype(float)
    a, b = (gpulr.train(X[:, :], Y, max_iter=n, tol=0, C=C) for n, C in ((1, 1e-3), (20, 1.0)))
    b = replace(b, thresholds=np.full(3, 0.2))
    some = Y.copy()
    some[:10, 0] = np.nan
    found = gpulr.compare(a, b, X, some)
    assert found.multilabel
    assert found.table["rows"].tolist() == [70, 80, 80]
    right = [np.isnan(some) | (m.predict(X) == some) for m in (a, b)]
    expected = [each[10:, 0].mean() for each in right]
    np.testing.assert_allclose(found.table[0][["a", "b"]].tolist(), expected)
    total, mean = found.scores[:2]
    np.testing.assert_allclose(
        [total["a"], total["b"]], [each.all(axis=1).mean() for each in right]
    )
    evaluated = b.evaluate(X, some)
    assert mean["b"] == pytest.approx(np.mean((b.predict(X) == some)[~np.isnan(some)]))
    np.testing.assert_allclose(found.table["b"], evaluated.label_accuracy)
    assert mean["low"] <= mean["difference"] <= mean["high"]
    both = right[0].all(axis=1), right[1].all(axis=1)
    np.testing.assert_array_equal(found.rows_b, np.flatnonzero(both[1] & ~both[0]))
    some[:, 2] = np.nan
    nothing = gpulr.compare(a, b, X, some).table[2]
    assert (nothing["rows"], nothing["p_value"]) == (0, 1.0)
    assert np.isnan(nothing["a"])


def test_rows_in_parts_are_compared_as_one(models, data):
    X, y = data.X_test, data.y_test
    parts = [lambda s=s: (X[s], y[s]) for s in (slice(0, 100), slice(100, None))]
    found = gpulr.compare(*models, gpulr.Blocks(parts), None)
    whole = gpulr.compare(*models, X, y)
    np.testing.assert_array_equal(found.table, whole.table)
    np.testing.assert_array_equal(found.rows_b, whole.rows_b)


def test_two_classes_have_one_score(data):
    y = data.y_test > 4
    a, b = (gpulr.train(data.X_test, y, max_iter=n, tol=0) for n in (1, 9))
    found = gpulr.compare(a, b, data.X_test, y)
    assert found.scores["name"].tolist() == ["accuracy", "F1", "AUROC", "log-loss"]
    assert len(found.table) == 1
    assert found.table["only_b"][0] == len(found.rows_b)
    assert found.table["name"][0]


def test_what_cannot_be_compared(models, data, rng):
    a, X, y = models[0], data.X_test, data.y_test
    fewer = gpulr.train(X[y < 9], y[y < 9], max_iter=1, tol=0)
    narrow = gpulr.train(X[:, :9], y, max_iter=1, tol=0)
    labels = gpulr.train(X, y[:, None] == np.arange(10), max_iter=1, tol=0)
    named = [
        replace(a, data={**a.data, "feature_names": [*map(str, range(n, n + 64))]}) for n in (0, 1)
    ]
    for other, words in (
        (fewer, "other classes: only the first has 9. model.select"),
        (replace(a, classes=a.classes + 50), "59. Compare models of the same classes"),
        (narrow, "the first 64, the second 9"),
        (labels, "the second says any number of labels of a row, the first its class"),
        (replace(a, classes=a.classes[::-1]), "other classes: the same ones in another order"),
    ):
        with pytest.raises(DataError, match=words):
            gpulr.compare(a, other, X, y)
    with pytest.raises(DataError, match="only the first has 0; only the second has 64"):
        gpulr.compare(*named, X, y)
    with pytest.raises(ParameterError, match="b is of type str; expected a trained model"):
        gpulr.compare(a, "b", X, y)
    for how in ({"level": 1.0}, {"n": 1}, {"random_state": -1}):
        with pytest.raises(ParameterError, match=next(iter(how))):
            gpulr.compare(a, a, X, y, **how)
    with pytest.raises(DataError, match="not trained on"):
        gpulr.compare(a, a, X, y + 100)
    with pytest.raises(DataError, match="Pass the labels"):
        gpulr.compare(a, a, X, None)
