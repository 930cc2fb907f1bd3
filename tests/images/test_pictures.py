"""Image files as they come from phones and scanners: turned, deep, unevenly lit, with an edge."""

from __future__ import annotations

import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from gpulr.errors import DataFileError, MissingExtraError
from gpulr.images import decoding
from gpulr.images.loading import load_images
from gpulr.images.strokes import rasterize


def picture_of(page):
    return Image.fromarray((255 * page).round().astype(np.uint8))


def upside_down(image, orientation=3, turn=Image.Transpose.ROTATE_180):
    """Return a picture as a phone stores it that is held so, and its EXIF data."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return image.transpose(turn), {"exif": exif}


def test_a_photo_is_turned_as_it_was_held(page, seven, row_of):
    held, exif = upside_down(picture_of(page), 6, Image.Transpose.ROTATE_90)
    np.testing.assert_array_equal(row_of(held, **exif), seven)


def test_what_a_phone_says_may_be_garbled(page, row_of):
    garbled = row_of(page, "garbled.jpg", exif=b"Exif\0\0garbage of some length")
    np.testing.assert_array_equal(garbled, row_of(page, "plain.jpg"))


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
def test_pictures_of_more_than_eight_bits(page, seven, row_of, name, top, dtype):
    deep = Image.fromarray((top * page).astype(dtype))
    np.testing.assert_allclose(row_of(deep, name), seven, atol=5e-3)


def test_a_picture_of_no_numbers_is_refused(page, row_of):
    page[3, 3] = np.nan
    with pytest.raises(DataFileError, match="finite"):
        row_of(Image.fromarray(page.astype(np.float32)), "nan.tif")


def transparent(image):
    ink = 255 - np.asarray(image)
    rgba = np.dstack([np.zeros((*ink.shape, 3), np.uint8), ink])
    return Image.fromarray(rgba), {}


LARGE = {
    "photo.jpg": upside_down,
    "progressive.jpg": lambda image: (image, {"progressive": True}),
    "colour.png": lambda image: (image.convert("RGB"), {}),
    "turned.png": upside_down,
    "transparent.png": transparent,
    "palette.png": lambda image: (image.convert("P"), {}),
    "odd.png": lambda image: (image.resize((603, 597)), {}),
    "grey.gif": lambda image: (image, {}),
    "sixteen.png": lambda image: (Image.fromarray(257 * np.asarray(image, np.uint16)), {}),
    "floats.tif": lambda image: (Image.fromarray(np.asarray(image, np.float32) / 255), {}),
    "colour.webp": lambda image: (image.convert("RGB"), {"lossless": True}),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_pictures_are_reduced_while_they_are_read(
    page, seven, row_of, tmp_path, monkeypatch, name
):
    monkeypatch.setattr(decoding, "_STRIP", 5_000)
    image, options = LARGE[name](picture_of(page).resize((600, 600)))
    image.save(tmp_path / name, **options)
    whole = decoding.read_grey(tmp_path / name)
    for kept in ("_KEPT", "_KEPT_OF_NARROW"):
        monkeypatch.setattr(decoding, kept, 32_500)
    grey = decoding.read_grey(tmp_path / name)
    height, width = (size // 4 for size in whole.shape)
    assert grey.shape == tuple(-(-size // 4) for size in whole.shape)
    np.testing.assert_allclose(
        grey[:height, :width],
        whole[: 4 * height, : 4 * width].reshape(height, 4, width, 4).mean(axis=(1, 3)),
        atol=0.1 if name.endswith("jpg") else 2.5 / 255,
    )
    np.testing.assert_allclose(row_of(image, name, **options), seven, atol=0.1)


def test_photos_of_more_pixels_than_pillow_opens(page, row_of, monkeypatch):
    expected = row_of(page, "page.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    np.testing.assert_array_equal(row_of(page, "page.jpg"), expected)
    with pytest.raises(DataFileError, match="bomb"):
        row_of(page, "page.png")


def test_postscript_is_not_run(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(DataFileError, match="PostScript"):
        decoding.read_grey(tmp_path / "a.png")


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
    with pytest.raises(DataFileError, match=r"pixels|bomb"):
        decoding.read_grey(path)


def test_whatever_pillow_raises_is_one_error(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("L", (30, 30)).save(path)
    kinds = (SyntaxError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError)
    for kind in (*kinds, KeyError, RecursionError, OverflowError, AssertionError):

        def fail(image, kind=kind):
            raise kind("damaged")

        monkeypatch.setattr(ImageOps, "exif_transpose", fail)
        with pytest.raises(DataFileError, match=f"cause was {kind.__name__}"):
            decoding.read_grey(path)


Y, X = np.mgrid[:280, :280] / 280
BLANK = np.ones((280, 280))
CUTS = np.s_[48:242, 58:222], np.s_[48:, :], np.s_[:, 60:]


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


PHOTOS = {
    "shaded": lambda page, rng: shaded(page, rng, by=0.2),
    "strongly shaded": lambda page, rng: shaded(page, rng, by=0.4),
    "chalk": lambda page, rng: 1 - shaded(page, rng),
    "dim": lambda page, rng: 0.45 * shaded(page, rng),
    "dark edge": lambda page, rng: around(page),
    "dark edge, shaded": lambda page, rng: around(shaded(page, rng)),
    "on a table": lambda page, rng: beside(shaded(page, rng)),
    "dust": lambda page, rng: dusty(page),
    "dust, shaded": lambda page, rng: dusty(shaded(page, rng)),
    "large, grainy": lambda page, rng: grainy(np.kron(shaded(page, rng), np.ones((5, 5))), rng),
}
EMPTY = {
    "white": lambda rng: BLANK,
    "shaded": lambda rng: shaded(BLANK, rng),
    "noisy": lambda rng: shaded(BLANK, rng, by=0.4, noise=0.03),
    "grain": lambda rng: 0.7 * grainy(shaded(BLANK, rng, by=0), rng),
    "dust": lambda rng: dusty(shaded(BLANK, rng)),
    "dark edge": lambda rng: around(BLANK),
    "dark edge, shaded": lambda rng: around(shaded(BLANK, rng)),
}


@pytest.mark.parametrize("change", PHOTOS)
def test_a_photo_is_the_drawing_on_it(model, page, seven, row_of, rng, change):
    row = row_of(PHOTOS[change](page, rng))
    np.testing.assert_allclose(row, seven, atol=0.12)
    assert np.abs(row - seven).mean() < 0.02
    assert model.predict(row[np.newaxis])[0] == 7


@pytest.mark.parametrize("change", EMPTY)
def test_an_empty_sheet_is_refused(row_of, rng, change):
    with pytest.raises(DataFileError, match="nothing is drawn"):
        row_of(EMPTY[change](rng))


@pytest.mark.parametrize("cut", CUTS)
def test_a_drawing_that_is_cut_tightly_is_kept(page, seven, row_of, cut):
    np.testing.assert_allclose(row_of(page[cut]), seven, atol=0.1)


def test_a_tight_cut_is_no_edge_of_a_page(row_of):
    """A ring with a bar in it that it does not touch: the bar is not all there is."""
    angle = np.linspace(0, 2 * np.pi, 60)
    ring = np.stack([140 + 90 * np.cos(angle), 140 + 90 * np.sin(angle)], axis=1)
    page = 1 - rasterize([ring, [(110.0, 140.0), (170.0, 140.0)]], (280, 280))
    np.testing.assert_allclose(row_of(page[40:240, 40:240]), row_of(page), atol=0.1)


def test_strokes_of_a_thin_pen_are_thickened(strokes, row_of, monkeypatch):
    rows = []
    for pen in (9.0, 2.0):
        monkeypatch.setattr("gpulr.images.strokes.PEN", pen)
        rows.append(row_of(1 - rasterize(strokes, (280, 280))))
    thick, thin = rows
    np.testing.assert_allclose(thin, thick, atol=0.15)
    assert thin.sum() == pytest.approx(thick.sum(), rel=0.05)


@pytest.mark.mnist
def test_test_images_of_mnist_are_what_they_were(real_mnist, mnist_model, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(100)]
    for path, row in zip(paths, real_mnist.X_test, strict=False):
        Image.fromarray(row.reshape(28, 28)).save(path)
    np.testing.assert_array_equal(
        load_images(paths, mnist_model).round(3), real_mnist.X_test[:100].astype(np.float32)
    )


def test_without_pillow(row_of, page, tmp_path, monkeypatch):
    row_of(page)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r'pip install "\.\[plot\]"'):
        decoding.read_grey(tmp_path / "a.png")
