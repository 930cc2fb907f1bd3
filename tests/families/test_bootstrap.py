"""Bootstrap replicates: each is a training of its own, and draws are what they are said to be."""

from __future__ import annotations

import array_api_compat
import numpy as np
import pytest
from scipy.sparse import csr_array

import gpulr
from gpulr.backend import backend_of, to_host
from gpulr.core.rows import Rows
from gpulr.solvers import LBFGS

EXACT = {"dtype": "float64", "tol": 1e-8}


def counts_of(random_state, n, size, kind="poisson"):
    """Rows drawn by each replicate, (n, size), for data without small classes."""
    draws = []
    for rng in np.random.default_rng(random_state).spawn(n):
        if kind == "poisson":
            draws.append(rng.poisson(1.0, size))
        else:
            draws.append(np.bincount(rng.integers(0, size, size), minlength=size))
    return np.array(draws)


def coefs(result):
    """Weights with the intercept below them, (n_replicates, n_features + 1, n_models)."""
    return np.concatenate([to_host(result.coef), to_host(result.intercept)[:, np.newaxis]], axis=1)


def parameters(model):
    """Weights with the intercept below them, (n_features + 1, n_models)."""
    return np.vstack([to_host(model.weights), to_host(model.intercept)])


@pytest.mark.covering(2)
@pytest.mark.parametrize("kind", ["poisson", "multinomial"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("settings", [{}, {"standardize": True}, {"C": [0.1, 1.0, 10.0]}], ids=str)
def test_a_replicate_is_training_with_its_counts(put, blobs, rng, kind, weighted, settings):
    X, y = blobs
    s = rng.uniform(0.5, 2.0, len(y)) if weighted else np.ones(len(y))
    how = {"n": 4, "random_state": 3, "sample_weight": s if weighted else None}
    result = gpulr.bootstrap(put(X), y, weights=kind, **how, **EXACT, **settings)
    assert result.n_replicates == 4
    assert result.converged.shape == (4, 3)
    assert result.converged.all()
    found = [*coefs(result), parameters(result.model)]
    for each, counts in zip(found, [*counts_of(3, 4, len(y), kind), 1], strict=True):
        model = gpulr.train(put(X), y, sample_weight=s * counts, **EXACT, **settings)
        np.testing.assert_allclose(each, parameters(model), rtol=1e-4, atol=1e-5)


def test_arrays_are_where_the_data_are(put, blobs):
    X, y = blobs
    there = put(X)
    result = gpulr.bootstrap(there, put(y), n=5, random_state=0)
    found = [
        result.coef,
        result.intercept,
        *result.coef_interval(),
        *result.intercept_interval(),
        *result.proba_interval(there),
    ]
    shapes = [(5, 4, 3), (5, 3), (4, 3), (4, 3), (3,), (3,), (90, 3), (90, 3)]
    assert [tuple(array.shape) for array in found] == shapes
    for array in found:
        assert array_api_compat.device(array) == array_api_compat.device(there)
        assert array.dtype == there.dtype
    assert isinstance(result.converged, np.ndarray)
    assert repr(result) == "<Bootstrap: 5 replicates of 3 models, 5 converged>"


def test_groups_make_no_difference(put, blobs, monkeypatch):
    X, y = blobs
    together = gpulr.bootstrap(put(X), y, n=7, random_state=1, **EXACT)
    apart = []
    # A replicate takes three columns, and a byte for each row.
    backend = backend_of(put(X))
    rows = Rows(put(X), 1.0, None, backend, backend.xp.float64)
    with monkeypatch.context() as patch:
        patch.setattr(
            "gpulr.families.replicates.GROUP_BYTES", 2 * (3 * LBFGS().column_bytes(rows) + len(X))
        )
        result = gpulr.bootstrap(put(X), y, n=7, random_state=1, callbacks=[apart.append], **EXACT)
        np.testing.assert_allclose(coefs(result), coefs(together), rtol=1e-4, atol=1e-5)
        groups = [tuple(p.models) for p in apart if p.iteration == 0]
        assert groups[0] == (0, 1, 2)
        assert [len(group) for group in groups[1:]] == [6, 6, 6, 3]
        assert sum(groups, ()) == tuple(range(24))
        # The tolerance that is chosen depends on the draws alone.
        one = gpulr.bootstrap(put(X), y, n=7, random_state=1)
    other = gpulr.bootstrap(put(X), y, n=7, random_state=1)
    assert one.model.settings["tol"] == other.model.settings["tol"]


def test_the_same_seed_gives_the_same(blobs):
    X, y = blobs
    X.flags.writeable = y.flags.writeable = False  # they are not modified
    first, again, other = (gpulr.bootstrap(X, y, n=5, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(coefs(first), coefs(again))
    assert np.abs(coefs(first) - coefs(other)).max() > 0.01
    rng = np.random.default_rng(0)
    by_generator = [gpulr.bootstrap(X, y, n=5, random_state=rng) for _ in range(2)]
    np.testing.assert_array_equal(coefs(first), coefs(by_generator[0]))
    assert np.abs(coefs(first) - coefs(by_generator[1])).max() > 0.01
    more = gpulr.bootstrap(X, y, n=8, random_state=0, **EXACT)
    fewer = gpulr.bootstrap(X, y, n=5, random_state=0, **EXACT)
    np.testing.assert_allclose(coefs(more)[:5], coefs(fewer), rtol=1e-4, atol=1e-5)
    unseeded = [gpulr.bootstrap(X, y, n=2) for _ in range(2)]
    assert np.abs(coefs(unseeded[0]) - coefs(unseeded[1])).max() > 0


def test_the_tolerance_follows_the_rows(rng):
    """Gradients differ by the less the more rows there are: with train's own 1e-4, some stay."""
    X = rng.normal(size=(30_000, 2))
    y = rng.random(len(X)) < 1 / (1 + np.exp(-X @ [1.0, -1.0]))
    result = gpulr.bootstrap(X, y, n=12, random_state=0)
    exact = gpulr.bootstrap(X, y, n=12, random_state=0, dtype="float64", tol=1e-9)
    assert result.model.settings["tol"] < 2e-5
    spread = coefs(exact).std(axis=0)
    assert np.all(np.abs(coefs(result) - coefs(exact)) < 0.05 * spread)


def test_replicates_without_a_class_are_drawn_again(put, rng):
    X, y = rng.normal(size=(60, 2)), np.repeat([0, 1, 2], [40, 19, 1])
    n = 30
    counts = counts_of(0, n, 60)
    assert 3 < (counts[:, -1] == 0).sum() < 20
    result = gpulr.bootstrap(put(X), y, n=n, random_state=0, **EXACT)
    assert result.converged.all()
    # Without rows the intercept would have gone to −∞; replicates that need no second draw keep.
    assert to_host(result.intercept).min() > -10
    kept = np.flatnonzero(counts[:, -1] > 0)
    some = kept[0]
    model = gpulr.train(X, y, sample_weight=counts[some], **EXACT)
    np.testing.assert_allclose(to_host(result.coef)[some], model.weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["poisson", "multinomial"])
def test_rows_of_weight_zero_are_absent(blobs, kind):
    X, y = blobs
    s = (np.arange(90) % 3 > 0).astype(float)
    settings = {"n": 5, "random_state": 0, "weights": kind, **EXACT}
    weighted = gpulr.bootstrap(X, y, sample_weight=s, **settings)
    without = gpulr.bootstrap(X[s > 0], y[s > 0], **settings)
    np.testing.assert_allclose(coefs(weighted), coefs(without), rtol=1e-4, atol=1e-5)


def test_a_class_without_weight_keeps_its_column(blobs):
    X, y = blobs
    result = gpulr.bootstrap(X, y, class_weight={1: 0.0}, n=5, random_state=0)
    assert result.coef.shape == (5, 4, 3)
    assert result.converged.all()
    assert result.model.settings["class_weight"] == {"1": 0.0}


def test_two_classes_bytes_images_sparse_rows_and_data_sets(digits, rng):
    X, y, *_ = digits
    pixels = (X[:200] * 255).astype(np.uint8)
    two = y[:200] % 2 == 0
    by_bytes = gpulr.bootstrap(pixels, two, n=5, random_state=0, **EXACT)
    scaled = gpulr.bootstrap(pixels / 255.0, two, n=5, random_state=0, **EXACT)
    assert by_bytes.coef.shape == (5, 64, 1)
    np.testing.assert_allclose(by_bytes.coef * 255, scaled.coef, rtol=1e-4, atol=1e-5)
    images = gpulr.bootstrap(pixels.reshape(-1, 8, 8), two, n=5, random_state=0, **EXACT)
    np.testing.assert_array_equal(images.coef, by_bytes.coef)
    assert images.model.image_shape == (8, 8)
    low, _ = images.proba_interval(pixels.reshape(-1, 8, 8)[:9])
    assert low.shape == (9, 1)
    sparse = gpulr.bootstrap(csr_array(pixels), two, n=5, random_state=0, **EXACT)
    np.testing.assert_allclose(sparse.coef, by_bytes.coef, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(
        sparse.proba_interval(csr_array(pixels)), by_bytes.proba_interval(pixels), atol=1e-5
    )
    data = gpulr.datasets.load_digits()
    assert gpulr.bootstrap(data, n=2, random_state=0, max_iter=3, tol=0).coef.shape == (2, 64, 10)


def test_one_warning_for_all(blobs):
    X, y = blobs
    with pytest.warns(gpulr.ConvergenceWarning) as caught:
        result = gpulr.bootstrap(X, y, n=5, random_state=0, max_iter=2)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    left = (~result.converged).sum()
    assert left > 0
    assert str(caught[0].message).startswith(f"{left} of 15 models of replicates, and 3 of 3 of")
    gpulr.bootstrap(X, y, n=2, random_state=0, max_iter=2, tol=0)  # asked for: no warning
    untrained = gpulr.bootstrap(X, y, n=2, random_state=0, max_iter=0, tol=0)
    assert not coefs(untrained).any()


def test_stopping_keeps_the_groups_that_are_done(blobs, monkeypatch):
    X, y = blobs
    monkeypatch.setattr("gpulr.families.replicates.GROUP_BYTES", 1)
    seen = []

    def until(n):
        def callback(progress):
            seen.append(progress)
            if progress.models[0] >= 3 * n:
                raise StopIteration

        return callback

    result = gpulr.bootstrap(X, y, n=5, random_state=0, callbacks=[until(3)])
    assert result.n_replicates == 2
    whole = gpulr.bootstrap(X, y, n=5, random_state=0)
    np.testing.assert_array_equal(coefs(result), coefs(whole)[:2])
    for n in (0, 1):
        none = gpulr.bootstrap(X, y, n=5, random_state=0, callbacks=[until(n)])
        assert none.coef.shape == (0, 4, 3)
        with pytest.raises(gpulr.DataError, match="0 replicates, since training was stopped"):
            none.coef_interval()


@pytest.mark.parametrize(("at", "n"), [(0, 0), (3, 0), (9, 2)])
def test_interruption_keeps_the_model_and_what_is_done(blobs, monkeypatch, at, n):
    X, y = blobs
    monkeypatch.setattr("gpulr.families.replicates.GROUP_BYTES", 2**15)
    closed = []

    class Interrupt:
        def __call__(self, progress):
            if progress.models[0] == at:
                raise KeyboardInterrupt

        def close(self):
            closed.append(True)

    with pytest.raises(gpulr.TrainingInterrupted, match=f"after {n} of 5 replicates") as caught:
        gpulr.bootstrap(X, y, n=5, random_state=0, callbacks=[Interrupt()])
    assert closed == [True]
    assert caught.value.model.converged is bool(at)
    assert caught.value.result.model is caught.value.model
    whole = gpulr.bootstrap(X, y, n=5, random_state=0)
    np.testing.assert_array_equal(caught.value.result.coef, whole.coef[:n])


def test_the_shape_of_images_is_kept(blobs):
    X, y = blobs
    assert gpulr.bootstrap(X, y, n=2, image_shape=(2, 2)).model.image_shape == (2, 2)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n": 1}, "n=1; expected a whole number ≥ 2"),
        ({"n": 2.5}, "n=2.5; expected a whole number"),
        ({"weights": "bayesian"}, "weights='bayesian'; use \"poisson\""),
        ({"weights": np.ones(90)}, "weights=array"),
        ({"random_state": "seed"}, "random_state='seed'; expected a whole number"),
        ({"random_state": -1}, "random_state=-1; expected"),
        ({"random_state": np.random.RandomState(0)}, "expected a whole number"),
        ({"C": 0}, "C=0; expected a number > 0"),
        ({"tol": -1}, "tol=-1; expected a number ≥ 0"),
        ({"dtype": "int8"}, "dtype='int8'"),
        ({"callbacks": 3}, "callbacks=3"),
    ],
    # Not what it is set to: some values tell their address, and the same tests go by other names.
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_settings_that_cannot_be_used(blobs, settings, words):
    with pytest.raises(gpulr.ParameterError) as caught:
        gpulr.bootstrap(*blobs, **settings)
    assert words in str(caught.value)


def test_data_that_cannot_be_used(blobs):
    X, y = blobs
    few = np.minimum(np.arange(60), 40)  # forty classes of one row: all drawn once in 10⁸ times
    for bad, words in (
        ((X, None), "Pass both X and y"),
        ((X, y[:-1]), "labels"),
        ((X, np.zeros(90)), "class"),
        ((np.full_like(X, np.nan), y), "NaN"),
        ((X[:60], few), "100 draws of the rows for replicate"),
    ):
        with pytest.raises(gpulr.DataError, match=words):
            gpulr.bootstrap(*bad, n=2, random_state=0)
    with pytest.raises(gpulr.DataError, match="sample_weight"):
        gpulr.bootstrap(X, y, n=2, sample_weight=-np.ones(90))
