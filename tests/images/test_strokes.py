"""Drawings as rows: the raster of strokes, and the frame that pictures and strokes end in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import gpulr
from gpulr.errors import DataError
from gpulr.images.framing import Frame
from gpulr.images.strokes import PEN, SPAN, draw, enlarged, paper_of, rasterize

STROKES = Path(__file__).parents[1] / "strokes"
MNIST = Frame((28, 28), 20 / 28, (14.0, 14.0), 0.0, 255.0, bright=False)


def recorded(digit):
    return json.loads((STROKES / f"{digit}.json").read_text())["strokes"]


def test_raster_is_a_round_pen():
    ink = rasterize([[(100.0, 80.0)]], (280, 280))
    y, x = np.mgrid[:280, :280] + 0.5
    distance = np.hypot(x - 100, y - 80)
    np.testing.assert_allclose(ink, np.clip(PEN + 0.5 - distance, 0, 1), atol=1e-12)
    assert ink.sum() == pytest.approx(np.pi * PEN**2, rel=0.01)


def test_raster_of_a_line_is_as_long_and_thick_as_the_pen():
    ink = rasterize([[(60.0, 140.0), (220.0, 140.0)]], (280, 280))
    assert ink[:, 140].sum() == pytest.approx(2 * PEN)
    assert ink[140].sum() == pytest.approx(160 + 2 * PEN, abs=0.5)


def test_a_line_in_parts_is_the_line(rng):
    ends = rng.uniform(0, 280, size=(2, 2))
    parts = ends[0] + np.linspace(0, 1, 9)[:, np.newaxis] * (ends[1] - ends[0])
    whole, split = rasterize([ends], (280, 280)), rasterize([parts], (280, 280))
    np.testing.assert_allclose(split, whole, atol=1e-9)


def test_strokes_off_the_paper_are_cut():
    ink = rasterize([[(-500.0, 140.0), (140.0, 140.0)], [(900.0, 900.0)]], (280, 280))
    assert ink[140, 0] == 1
    assert ink.shape == (280, 280)


@pytest.mark.parametrize(
    "strokes",
    [
        *([], [[]], [[(1, 2, 3)]], [[(np.nan, 1)]], [[(-99.0, 5.0)]], [[1, 2]]),
        *(5, None, "no", [["a", "b"]], [[(1, 2), (3,)]], [[(10**999, 1)]]),  # as JSON may have it
        *([[(1e308, -1e308), (5, 5)]], [[(np.inf, 1)]]),  # whose squares are no numbers
    ],
    ids=repr,
)
def test_no_drawing(strokes, model):
    with pytest.raises(DataError):
        draw(strokes, model)


def test_frame_of_a_rectangle_by_hand():
    ink = np.zeros((100, 80))
    ink[30:70, 20:30] = 1  # 40 × 10, so 20 × 5 in the frame, its centre at (14, 14)
    expected = np.zeros((28, 28))
    expected[5:25, 12:17] = 1
    np.testing.assert_allclose(MNIST.framed(ink), expected, atol=1e-12)


def test_frame_takes_means_over_areas(rng):
    ink = rng.uniform(0.3, 1, size=(60, 30))
    blocks = ink.reshape(20, 3, 10, 3).mean(axis=(1, 3))
    framed = MNIST.framed(ink)
    rows, columns = np.flatnonzero(framed.any(axis=1)), np.flatnonzero(framed.any(axis=0))
    cut = framed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    np.testing.assert_allclose(cut, blocks, atol=1e-12)
    y, x = np.mgrid[:28, :28]
    assert abs(np.average(y, weights=framed) - 14) <= 0.5
    assert abs(np.average(x, weights=framed) - 14) <= 0.5


def test_frame_enlarges_and_takes_other_shapes(rng):
    for shape in ((8, 8), (10, 30), (30, 10)):
        frame = Frame(shape, 1.0, ((shape[0] - 1) / 2, (shape[1] - 1) / 2), 0, 1, bright=False)
        framed = frame.framed(rng.uniform(0.5, 1, size=(3, 2)))
        assert framed.shape == shape
        assert framed.max() <= 1
        height, width = framed.any(axis=1).sum(), framed.any(axis=0).sum()
        assert height == shape[0] or width == shape[1]
        assert width / height == pytest.approx(2 / 3, abs=0.1)


def test_halves_are_rounded_up_whatever_the_order_of_sums():
    """A symmetric drawing's centre lies between two pixels, but for the last bit."""
    for thickness in (0.7, 0.1 + 0.2, 1 / 3):
        ink = np.zeros((200, 200))
        ink[20:180, 60:104] = thickness
        ink[20, 60] = ink[20, 103] = 1
        left = np.flatnonzero(MNIST.framed(ink).any(axis=0))[0]
        mirrored = np.flatnonzero(MNIST.framed(ink[:, ::-1]).any(axis=0))[0]
        assert left == mirrored


def test_training_images_are_framed_as_they_were(digits):
    """Enlarged and put elsewhere on a larger page, they come back."""
    X = digits[0].reshape(-1, 8, 8)[:100]
    padded = np.zeros((100, 28, 28))
    padded[:, 10:18, 10:18] = X  # mean centre of mass at (13.5, 13.5)
    model = gpulr.train(padded, digits[1][:100], max_iter=2, tol=0)
    frame = Frame.of(model)
    assert frame.middle == (13.5, 13.5)
    assert frame.extent == 8 / 28
    tall = [image for image in padded if (image[[10, 17]] > 0.5).any(axis=1).all()]
    assert len(tall) > 30
    for image in tall[:20]:
        page = np.pad(np.kron(image, np.ones((5, 5))), ((3, 40), (60, 1)))
        framed = frame.framed(page)
        error = min(
            np.abs(np.roll(framed, (dy, dx), (0, 1)) - image).max()
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        )
        assert error < 0.26  # of what is fainter than DRAWN, and cut off


@pytest.mark.mnist
def test_mnist_is_framed_as_it_was(real_mnist, mnist_model):
    images = real_mnist.X_test[:200].reshape(-1, 28, 28) / 255
    frame = Frame.of(mnist_model)
    assert (frame.middle, frame.extent) == ((14.0, 14.0), 20 / 28)
    pages = (np.pad(np.kron(image, np.ones((7, 7))), ((3, 60), (40, 9))) for image in images)
    error = [
        np.abs(frame.framed(page) - image).mean() for page, image in zip(pages, images, strict=True)
    ]
    assert np.median(error) < 1e-3


@pytest.mark.parametrize("digit", [3, 7])
def test_recorded_digits(model, digit):
    row = draw(recorded(digit), model)
    assert row.shape == (64,)
    assert row.dtype == np.float64
    assert 0 <= row.min() <= row.max() <= 1
    assert model.predict(row[np.newaxis])[0] == digit


@pytest.mark.parametrize("size", [0.13, 0.2, 0.5])
@pytest.mark.parametrize("digit", [3, 7])
def test_small_drawings_are_read_like_large_ones(model, digit, size):
    """In a corner too: the pen is as thick for all of them."""
    small = [np.multiply(stroke, size) + 3 for stroke in recorded(digit)]
    assert model.predict(draw(small, model)[np.newaxis])[0] == digit
    points = np.concatenate(enlarged(small, (280, 280)))
    assert np.ptp(points, axis=0).max() == pytest.approx(SPAN * 280 - 2 * PEN)


def test_what_is_enlarged():
    paper = (140, 280)
    large = [[(40.0, 70.0), (220.0, 71.0)], [(50.0, 20.0)]]
    assert [stroke.tolist() for stroke in enlarged(large, paper)] == [
        [list(point) for point in stroke] for stroke in large
    ]
    (dot,) = enlarged([[(5.0, 9.0)]], paper)
    assert dot.tolist() == [[140.0, 70.0]]
    (dash,) = enlarged([[(5.0, 9.0), (6.0, 9.0)]], paper)
    assert dash.tolist() == [[136.0, 70.0], [144.0, 70.0]]  # at most eight times
    (cut,) = enlarged([[(-50.0, 70.0), (80.0, 70.0)]], paper)  # 80 of it are on the paper
    assert np.ptp(cut[:, 0]) / 130 == pytest.approx((SPAN * 280 - 2 * PEN) / 80)
    (outside,) = enlarged([[(-50.0, 70.0), (-40.0, 70.0)]], paper)
    assert outside.tolist() == [[-50.0, 70.0], [-40.0, 70.0]]


@pytest.mark.parametrize("digit", [3, 7])
def test_a_picture_of_strokes_is_the_strokes(model, row_of, digit):
    """Rounded to bytes in between; and so of white paper."""
    strokes = recorded(digit)
    ink = rasterize(strokes, paper_of((8, 8)))
    rows = row_of(ink), row_of(1 - ink)
    np.testing.assert_allclose(rows, [draw(strokes, model)] * 2, atol=2e-3)


def test_dark_on_bright(digits):
    X = 2 - digits[0][:300]
    model = gpulr.train(X, digits[1][:300], image_shape=(8, 8), max_iter=2, tol=0)
    row = draw(recorded(3), model)
    bright = gpulr.train(digits[0][:300], digits[1][:300], image_shape=(8, 8), max_iter=2, tol=0)
    np.testing.assert_allclose(row, 2 - draw(recorded(3), bright), atol=1e-12)


def test_paper_has_the_ratio_of_the_images():
    papers = [paper_of(shape) for shape in ((28, 28), (8, 8), (14, 28), (1, 100))]
    assert papers == [(280, 280), (280, 280), (140, 280), (70, 280)]
