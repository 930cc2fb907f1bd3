"""What a trained model records, and what training warns of."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr

FEW = {"max_iter": 20, "tol": 0}


def test_the_model_records_what_it_was_trained_with(blobs):
    X, y = blobs
    model = gpulr.train(X, y, solver="gd", C=2, learning_rate=0.5, **FEW)
    assert model.settings == {
        "solver": "gd",
        "C": 2.0,
        "scale": 1.0,
        "standardize": False,
        "sample_weight": False,
        "class_weight": None,
        "learning_rate": 0.5,
        "max_iter": 20,
        "tol": 0.0,
        "dtype": "float32",
        "fit_intercept": True,
        "batched": True,
    }
    assert (model.backend, model.device, model.fallback_reason) == ("numpy", "cpu", None)
    assert model.versions["gpulr"] == gpulr.__version__
    assert model.versions["numpy"] == np.__version__
    assert model.data["n_samples"] == 90
    assert model.data["name"] == "arrays"
    np.testing.assert_allclose(model.data["feature_range"], [X.min(), X.max()])


def test_not_converging_warns_once_with_names_and_norms(blobs):
    X, y = blobs
    names = np.array(["ant", "bee", "cat"])
    norms = gpulr.train(X, y, solver="gd", max_iter=15, tol=0).history.gradient_norm[-1]
    tol = float(np.sort(norms)[:2].mean())  # one of them reaches it
    with pytest.warns(gpulr.ConvergenceWarning) as caught:
        model = gpulr.train(X, names[y], solver="gd", max_iter=15, tol=tol)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert caught[0].filename == __file__
    assert model.history.converged.tolist() == (norms == norms.min()).tolist()
    assert "2 of 3 models" in message
    assert f"tol={tol:g} (in 15 iterations)" in message
    for name, norm, converged in zip(names, norms, model.history.converged, strict=True):
        assert (f"{name} ({norm:.1e})" in message) != converged
    assert "raise max_iter" in message


@pytest.mark.parametrize("batched", [True, False])
def test_two_classes_are_named_by_the_second(blobs, batched):
    X, y = blobs
    with pytest.warns(gpulr.ConvergenceWarning, match=r"1 of 1 models.*: True \("):
        gpulr.train(X, y > 0, max_iter=1, batched=batched)


def test_many_models_are_not_all_named(rng):
    y = np.arange(60) % 20
    with pytest.warns(gpulr.ConvergenceWarning, match=r"20 of 20 .*9 \([^)]*\), …") as caught:
        gpulr.train(rng.normal(size=(60, 3)), y, max_iter=1)
    assert "19 (" not in str(caught[0].message)


def test_tol_zero_and_convergence_do_not_warn(blobs):
    assert not gpulr.train(*blobs, **FEW).converged
    assert gpulr.train(*blobs, tol=0.01).converged
