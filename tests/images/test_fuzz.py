"""Whatever becomes of a picture's bytes, reading gives its brightness or a DataFileError."""

from __future__ import annotations

import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dataset_files import spoilt
from gpulr.errors import DataFileError
from gpulr.images.decoding import read_grey

GREY = Image.fromarray(np.pad(np.zeros((30, 10), np.uint8), 15, constant_values=230))
FORMATS = {
    "grey.png": (GREY, {}),
    "transparent.png": (GREY.convert("RGBA"), {}),
    "palette.png": (GREY.convert("P"), {"transparency": 2}),
    "sixteen.png": (Image.fromarray(257 * np.asarray(GREY, np.uint16)), {}),
    "grey.jpg": (GREY, {}),
    "progressive.jpg": (GREY.convert("RGB"), {"progressive": True}),
    "grey.gif": (GREY, {}),
    "lzw.tif": (GREY, {"compression": "tiff_lzw"}),
    "floats.tif": (Image.fromarray(np.asarray(GREY, np.float32)), {}),
    "colour.webp": (GREY.convert("RGB"), {}),
    "grey.bmp": (GREY, {}),
    "grey.pgm": (GREY, {}),
}


def with_checksums(png, generator):
    """Return a PNG file with a part of it spoilt, and right checksums."""
    position, parts = 8, []
    while position < len(png):
        (size,) = struct.unpack_from(">I", png, position)
        parts.append([png[position + 4 : position + 8], png[position + 8 : position + 8 + size]])
        position += 12 + size
    chosen = generator.choice(parts)
    chosen[generator.randrange(2)] = spoilt(chosen[1] or b"\0", generator)[: len(chosen[1])]
    chosen[0] = chosen[0][:4].ljust(4, b"a")
    checked = [(kind, data, zlib.crc32(kind + data)) for kind, data in parts]
    return png[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
        for kind, data, checksum in checked
    )


@pytest.mark.parametrize("name", FORMATS)
def test_pictures(tmp_path, name):
    image, options = FORMATS[name]
    image.save(tmp_path / name, **options)
    content, generator = (tmp_path / name).read_bytes(), random.Random(name)
    read = 0
    for i in range(40):
        if name.endswith("png") and i % 2:
            mutant = with_checksums(content, generator)
        else:
            mutant = spoilt(content, generator)
        (tmp_path / name).write_bytes(mutant)
        try:
            grey = read_grey(tmp_path / name)
        except DataFileError as error:
            assert error.remedy  # noqa: PT017
            continue
        read += 1
        assert grey.ndim == 2
        assert grey.dtype == np.float32
        assert np.isfinite(grey).all()
    assert read < 40
