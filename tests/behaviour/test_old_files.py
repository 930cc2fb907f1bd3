"""Models that earlier versions saved load for ever, and predict what they did."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import gpulr

FILES = Path(__file__).parents[1] / "files"
NAMES = sorted(path.stem for path in FILES.glob("*.safetensors"))


def test_there_are_files_of_every_kind():
    assert len(NAMES) == 9


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_an_earlier_version_predicts_what_it_did(name):
    model = gpulr.load(FILES / f"{name}.safetensors")
    with np.load(FILES / "predictions.npz") as expected:
        X, probabilities = expected["X"], expected[name]
    if name == "images":
        X = np.clip(40 * X[:, :4] + 100, 0, 255).astype(np.uint8)
    assert model.predict_proba(X).dtype == probabilities.dtype
    # Other processors add up in another order.
    np.testing.assert_allclose(model.predict_proba(X), probabilities, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_file_of_an_earlier_version_holds_is_saved_again(name, tmp_path):
    before = gpulr.load(FILES / f"{name}.safetensors")
    before.save(tmp_path / "again.safetensors")
    after = gpulr.load(tmp_path / "again.safetensors")
    for field in dataclasses.fields(before):
        if field.name != "history":
            np.testing.assert_array_equal(getattr(after, field.name), getattr(before, field.name))
    assert before.history.refreshes is None  # not known then
    for field in dataclasses.fields(before.history):
        np.testing.assert_array_equal(
            getattr(after.history, field.name), getattr(before.history, field.name)
        )
