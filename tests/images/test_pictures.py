"""Image files as they come from phones and scanners: turned, deep, unevenly lit, with an edge."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

import gpulr
from gpulr.images import decoding as image_files
from gpulr.images.loading import load_images
from gpulr.images.strokes import paper_of, rasterize

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


def held(image):
    """Return a picture as a phone stores it that is held upside down, and its EXIF data."""
    exif = Image.Exif()
    exif[0x0112] = 3
    return image.transpose(Image.Transpose.ROTATE_180), {"exif": exif}


def transparent(image):
    ink = 255 - np.asarray(image)
    rgba = np.dstack([np.zeros((*ink.shape, 3), np.uint8), ink])
    return Image.fromarray(rgba), {}


LARGE = {
    "photo.jpg": held,
    "progressive.jpg": lambda image: (image, {"progressive": True}),
    "colour.png": lambda image: (image.convert("RGB"), {}),
    "turned.png": held,
    "transparent.png": transparent,
    "palette.png": lambda image: (image.convert("P"), {}),
    "odd.png": lambda image: (image.resize((1203, 1197)), {}),
    "grey.gif": lambda image: (image, {}),
    "sixteen.png": lambda image: (Image.fromarray(257 * np.asarray(image, np.uint16)), {}),
    "floats.tif": lambda image: (Image.fromarray(np.asarray(image, np.float32) / 255), {}),
    "colour.webp": lambda image: (image.convert("RGB"), {"lossless": True}),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_pictures_are_reduced_while_they_are_read(model, tmp_path, monkeypatch, name):
    monkeypatch.setattr(image_files, "_STRIP", 10_000)
    small = Image.fromarray(to_bytes(page_of(SEVEN)))
    expected = row_of(small, model, tmp_path / "small.png")
    image, options = LARGE[name](small.resize((1200, 1200)))
    image.save(tmp_path / name, **options)
    whole = image_files.read_grey(tmp_path / name)
    monkeypatch.setattr(image_files, "_KEPT", 130_000)
    grey = image_files.read_grey(tmp_path / name)
    height, width = (size // 4 for size in whole.shape)
    assert grey.shape == tuple(-(-size // 4) for size in whole.shape)
    np.testing.assert_allclose(
        grey[:height, :width],
        whole[: 4 * height, : 4 * width].reshape(height, 4, width, 4).mean(axis=(1, 3)),
        atol=0.1 if name.endswith("jpg") else 2.5 / 255,
    )
    np.testing.assert_allclose(load_images([tmp_path / name], model)[0], expected, atol=0.1)


def test_photos_of_more_pixels_than_pillow_opens(model, tmp_path, monkeypatch):
    page = Image.fromarray(to_bytes(page_of(SEVEN)))
    expected = row_of(page, model, tmp_path / "page.jpg")
    page.save(tmp_path / "page.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    np.testing.assert_array_equal(load_images([tmp_path / "page.jpg"], model)[0], expected)
    with pytest.raises(gpulr.errors.DataFileError, match="bomb"):
        load_images([tmp_path / "page.png"], model)


def test_postscript_is_not_run(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(gpulr.errors.DataFileError, match="PostScript"):
        image_files.read_grey(tmp_path / "a.png")


def claiming(width, height, bits=8):
    """Return a PNG file of so many pixels by its header, which holds none."""

    def chunk(kind, data):
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(13_000, 13_500), (100_000, 100_000), (1, 2_000_000)])
def test_files_that_claim_too_much_are_refused(tmp_path, size):
    path = tmp_path / "claims.png"
    path.write_bytes(claiming(*size))
    with pytest.raises(gpulr.errors.DataFileError, match=r"pixels|bomb"):
        image_files.read_grey(path)


def test_whatever_pillow_raises_is_one_error(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("L", (30, 30)).save(path)
    kinds = (SyntaxError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError)
    for kind in (*kinds, KeyError, RecursionError, OverflowError, AssertionError):

        def fail(image, kind=kind):
            raise kind("damaged")

        monkeypatch.setattr(ImageOps, "exif_transpose", fail)
        with pytest.raises(gpulr.errors.DataFileError, match=f"cause was {kind.__name__}"):
            image_files.read_grey(path)


Y, X = np.mgrid[:280, :280] / 280
BLANK = np.ones((280, 280))


def shaded(page, rng, *, by=0.3, noise=0.01):
    """Light falls from one corner, and a little from above."""
    light = 1 - by * (X + Y) / 2 - 0.1 * ((X - 0.5) ** 2 + (Y - 0.5) ** 2)
    return (0.9 * light * (0.15 + 0.85 * page) + rng.normal(0, noise, page.shape)).clip(0, 1)


def around(page, width=12):
    """A dark edge all around."""
    return np.pad(page[width:-width, width:-width], width, constant_values=0.02)


def beside(page, width=30):
    """The table's top on two sides."""
    page = page.copy()
    page[:, :width] = page[-width:] = 0.2
    return page


def grainy(page, rng):
    return (page + rng.normal(0, 0.15, page.shape)).clip(0, 1)


def dusty(page):
    page = page.copy()
    page[20:23, 20:23] = page[260:264, 30:34] = page[40, 250] = 0
    return page


@pytest.mark.parametrize(
    "change",
    [
        lambda page, rng: shaded(page, rng, by=0.2),
        lambda page, rng: shaded(page, rng, by=0.4),
        lambda page, rng: 1 - shaded(page, rng),
        lambda page, rng: 0.45 * shaded(page, rng),
        lambda page, rng: around(page),
        lambda page, rng: around(shaded(page, rng)),
        lambda page, rng: beside(shaded(page, rng)),
        lambda page, rng: dusty(page),
        lambda page, rng: dusty(shaded(page, rng)),
        lambda page, rng: grainy(np.kron(shaded(page, rng), np.ones((5, 5))), rng),
    ],
    ids=[
        "shaded",
        "strongly shaded",
        "chalk",
        "dim",
        "dark edge",
        "dark edge, shaded",
        "on a table",
        "dust",
        "dust, shaded",
        "large, grainy",
    ],
)
def test_a_photo_is_the_drawing_on_it(model, tmp_path, rng, change):
    page = page_of(SEVEN)
    expected = row_of(Image.fromarray(to_bytes(page)), model, tmp_path / "even.png")
    photo = Image.fromarray(to_bytes(change(page, rng)))
    row = row_of(photo, model, tmp_path / "photo.png")
    np.testing.assert_allclose(row, expected, atol=0.12)
    assert np.abs(row - expected).mean() < 0.02
    assert model.predict(row[np.newaxis])[0] == 7


@pytest.mark.parametrize(
    "change",
    [
        lambda rng: BLANK,
        lambda rng: shaded(BLANK, rng),
        lambda rng: shaded(BLANK, rng, by=0.4, noise=0.03),
        lambda rng: 0.7 * grainy(shaded(BLANK, rng, by=0), rng),
        lambda rng: dusty(shaded(BLANK, rng)),
        lambda rng: around(BLANK),
        lambda rng: around(shaded(BLANK, rng)),
    ],
    ids=["white", "shaded", "noisy", "grain", "dust", "dark edge", "dark edge, shaded"],
)
def test_an_empty_sheet_is_refused(model, tmp_path, rng, change):
    with pytest.raises(gpulr.errors.DataFileError, match="nothing is drawn"):
        row_of(Image.fromarray(to_bytes(change(rng))), model, tmp_path / "empty.png")


@pytest.mark.parametrize("cut", [np.s_[48:242, 58:222], np.s_[48:, :], np.s_[:, 60:]])
def test_a_drawing_that_is_cut_tightly_is_kept(model, tmp_path, cut):
    page = page_of(SEVEN)
    expected = row_of(Image.fromarray(to_bytes(page)), model, tmp_path / "page.png")
    row = row_of(Image.fromarray(to_bytes(page[cut])), model, tmp_path / "cut.png")
    np.testing.assert_allclose(row, expected, atol=0.1)


def test_a_tight_cut_is_no_edge_of_a_page(model, tmp_path):
    """A ring with a bar in it that it does not touch: the bar is not all there is."""
    angle = np.linspace(0, 2 * np.pi, 60)
    ring = np.stack([140 + 90 * np.cos(angle), 140 + 90 * np.sin(angle)], axis=1)
    page = page_of([ring, [(110.0, 140.0), (170.0, 140.0)]])
    expected = row_of(Image.fromarray(to_bytes(page)), model, tmp_path / "page.png")
    cut = Image.fromarray(to_bytes(page[40:240, 40:240]))
    np.testing.assert_allclose(row_of(cut, model, tmp_path / "cut.png"), expected, atol=0.1)


def test_strokes_of_a_thin_pen_are_thickened(model, tmp_path, monkeypatch):
    monkeypatch.setattr("gpulr.images.strokes.PEN", 9.0)
    thick = row_of(Image.fromarray(to_bytes(page_of(SEVEN))), model, tmp_path / "thick.png")
    monkeypatch.setattr("gpulr.images.strokes.PEN", 2.0)
    row = row_of(Image.fromarray(to_bytes(page_of(SEVEN))), model, tmp_path / "thin.png")
    np.testing.assert_allclose(row, thick, atol=0.15)
    assert row.sum() == pytest.approx(thick.sum(), rel=0.05)


@pytest.mark.mnist
def test_test_images_of_mnist_are_what_they_were(real_mnist, tmp_path):
    model = gpulr.train(real_mnist.X[:2000], real_mnist.y[:2000], image_shape=(28, 28), tol=1e-2)
    paths = [tmp_path / f"{i}.png" for i in range(100)]
    for path, row in zip(paths, real_mnist.X_test, strict=False):
        Image.fromarray(row.reshape(28, 28)).save(path)
    np.testing.assert_array_equal(
        load_images(paths, model).round(3), real_mnist.X_test[:100].astype(np.float32)
    )
