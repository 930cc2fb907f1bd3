"""Image files as they come from phones and scanners: turned, deep, unevenly lit, with an edge."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import gpulr
from gpulr.images import load_images
from gpulr.strokes import paper_of, rasterize

SEVEN = [[(70.0, 60.0), (210.0, 60.0), (120.0, 230.0)]]


@pytest.fixture(scope="module")
def model():
    return gpulr.train(gpulr.datasets.load_digits(), max_iter=60, tol=0)


def page_of(strokes):
    """Return strokes as ink on white paper, (height, width), 0 to 1."""
    return 1 - rasterize(strokes, paper_of((8, 8)))


def to_bytes(page):
    return (255 * page).round().astype(np.uint8)


def row_of(image, model, path):
    image.save(path)
    return load_images([path], model)[0]


def test_a_photo_is_turned_as_it_was_held(model, tmp_path):
    upright = Image.fromarray(to_bytes(page_of(SEVEN)))
    expected = row_of(upright, model, tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90°
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "held.png", exif=exif)
    np.testing.assert_array_equal(load_images([tmp_path / "held.png"], model)[0], expected)


def test_what_a_phone_says_may_be_garbled(model, tmp_path):
    image = Image.fromarray(to_bytes(page_of(SEVEN)))
    image.save(tmp_path / "garbled.jpg", exif=b"Exif\0\0garbage of some length")
    image.save(tmp_path / "plain.jpg")
    garbled, plain = load_images([tmp_path / "garbled.jpg", tmp_path / "plain.jpg"], model)
    np.testing.assert_array_equal(garbled, plain)


@pytest.mark.parametrize(
    ("name", "top", "dtype"),
    [
        ("sixteen.png", 65535, np.uint16),
        ("integers.tif", 65535, np.int32),
        ("bytes.tif", 255, np.int32),
        ("large.tif", 10_000_000, np.int32),
        ("share.tif", 1.0, np.float32),
        ("floats.tif", 255.0, np.float32),
    ],
)
def test_pictures_of_more_than_eight_bits(model, tmp_path, name, top, dtype):
    page = page_of(SEVEN)
    expected = row_of(Image.fromarray(to_bytes(page)), model, tmp_path / "eight.png")
    deep = Image.fromarray((top * page).astype(dtype))
    np.testing.assert_allclose(row_of(deep, model, tmp_path / name), expected, atol=5e-3)


def test_a_picture_of_no_numbers_is_refused(model, tmp_path):
    page = page_of(SEVEN).astype(np.float32)
    page[3, 3] = np.nan
    with pytest.raises(gpulr.errors.DataFileError, match="finite"):
        row_of(Image.fromarray(page), model, tmp_path / "nan.tif")
