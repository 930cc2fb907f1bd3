"""A small model of digits, and the rows that it gets of pictures."""

from __future__ import annotations

import pytest
from PIL import Image

import gpulr
from gpulr.images.loading import load_images
from gpulr.images.strokes import paper_of, rasterize


@pytest.fixture(scope="session")
def model():
    return gpulr.train(gpulr.datasets.load_digits(), max_iter=60, tol=0)


@pytest.fixture(scope="session")
def mnist_model(real_mnist):
    X, y = real_mnist.X[:2000], real_mnist.y[:2000]
    return gpulr.train(X, y, image_shape=(28, 28), tol=1e-2)


@pytest.fixture
def row_of(model, tmp_path):
    """The row of a picture, or of ink on paper from 0 to 1, that is saved in a file first."""

    def row(picture, name="a.png", **options):
        if not hasattr(picture, "save"):
            picture = Image.fromarray((255 * picture).round().astype("uint8"))
        picture.save(tmp_path / name, **options)
        return load_images([tmp_path / name], model)[0]

    return row


@pytest.fixture
def strokes():
    """A seven."""
    return [[(70.0, 60.0), (210.0, 60.0), (120.0, 230.0)]]


@pytest.fixture
def page(strokes):
    """It as ink on white paper, (height, width), 0 to 1."""
    return 1 - rasterize(strokes, paper_of((8, 8)))


@pytest.fixture
def seven(page, row_of):
    """Its row."""
    return row_of(page, "seven.png")
