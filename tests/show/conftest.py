"""What tests of pictures share: models to draw, and that pyplot is left as it was."""

from __future__ import annotations

import string

import numpy as np
import pytest
from matplotlib import pyplot

import gpulr


@pytest.fixture(scope="session")
def ten():
    """Ten digit models, with images of 8×8."""
    return gpulr.train(gpulr.datasets.load_digits())


@pytest.fixture(scope="session")
def letters():
    """26 classes of 2×3 images, which overlap: model, X, y."""
    rng = np.random.default_rng(3)
    codes = np.arange(260) % 26
    X = (rng.normal(size=(26, 6))[codes] + rng.normal(size=(260, 6))).astype(np.float32)
    y = np.array(list(string.ascii_lowercase))[codes]
    return gpulr.train(X, y, image_shape=(2, 3)), X, y


@pytest.fixture(autouse=True)
def _nothing_is_left_in_pyplot():
    before = pyplot.get_fignums()
    yield
    assert pyplot.get_fignums() == before
