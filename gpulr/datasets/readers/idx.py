"""IDX files, as MNIST, Fashion-MNIST, EMNIST and their relatives are published.

The format: two zero bytes, a dtype code, the number of dimensions, each dimension as a big-endian
uint32, then the values in C order, big-endian. Usually gzipped.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.datasets.readers.checks import (
    Parts,
    Stream,
    UnusableError,
    check_expansion,
    checked,
    decompressed,
    read_exactly,
)
from gpulr.errors import DataFileError

EXPECTED = "an IDX file"
DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 8  # an image file has 3 or 4; what claims more is not one
IDX_NAME = re.compile(r"(idx\d*[-_.]?(ubyte|byte|short|int|float|double)?|[-_.]ubyte)(\.gz)?$")
TEST_NAME = re.compile(r"t10k|(?<![a-z])test")


def looks_like_idx(path: Path) -> bool:
    """Whether the file's name is that of an IDX file: idx3-ubyte, .idx, images.gz."""
    name = path.name.lower()
    is_part = "image" in name or _is_labels(path)
    return bool(IDX_NAME.search(name)) or (is_part and path.suffix.lower() in ("", ".gz"))


def read_idx(path: Path) -> Parts:
    """Read an IDX file of images, and that of labels beside it: train-labels-idx1-ubyte[.gz], say.

    It is called the same with "labels" for "images" and another number of dimensions.
    """
    with checked(path, EXPECTED):
        if _is_labels(path):
            remedy = "Give the file of images or the folder."
            raise UnusableError("is by its name a file of labels", remedy)
        labels = _labels_beside(path)
    return _pair(path, labels)


def read_idx_folder(folder: Path) -> Parts:
    """Read a folder holding IDX files: training images and labels, test part if there is one.

    They are told apart by names: images or labels; t10k or test for the test part. Where a file is
    there with and without ``.gz``, the uncompressed one is read.
    """
    files = [p for p in _files_in(folder) if looks_like_idx(p) and not p.name.startswith(".")]
    found = []
    for is_test, part in enumerate(("train", "test")):
        of_part = [p for p in files if bool(TEST_NAME.search(p.name.lower())) == is_test]
        for is_labels, kind in enumerate(("images", "labels")):
            of_kind = [p for p in of_part if _is_labels(p) == is_labels]
            found.append(_only(folder, of_kind, f"{part} {kind}"))
    there = [path for path in found if path is not None]
    if None in found[:2] or len(there) % 2:
        names = ", ".join(path.name for path in files[:8]) or "none"
        raise DataFileError(
            folder,
            f"is a folder without a pair of IDX files for each part (IDX files found: {names})",
            "Put files named like train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz "
            "(and t10k-… for a test part) in it, or parts in .npy or .parquet files, or give the "
            "path of one file.",
        )
    return sum((_pair(*pair) for pair in zip(there[::2], there[1::2], strict=True)), start=())


def parse_idx(stream: Stream, stored: int, *, is_gzipped: bool) -> npt.NDArray[Any]:
    """Parse one IDX array, believing no size before it is checked.

    The stream decompresses a file of `stored` bytes, or has to hold just so many. The array is
    writable and of native byte order.
    """
    magic = stream.read(4)
    code, n_dimensions = (magic[2], magic[3]) if len(magic) == 4 else (0, 0)
    if magic[:2] != b"\0\0" or code not in DTYPES or not 1 <= n_dimensions <= MAX_DIMENSIONS:
        raise UnusableError(
            f"is not an IDX file: it begins with {magic + stream.read(12)!r} instead of 00 00, a "
            "dtype code and a number of dimensions",
            "Some mirrors answer with a web page or an error text saved under the file's name; get "
            "the file again, from another one.",
        )
    header = stream.read(4 * n_dimensions)
    if len(header) < 4 * n_dimensions:
        raise EOFError(f"it ends inside its header of {n_dimensions} dimensions")
    shape = struct.unpack(f">{n_dimensions}I", header)
    dtype = np.dtype(DTYPES[code])
    size, there = math.prod(shape) * dtype.itemsize, stored - 4 - len(header)
    claim = f"claims {'×'.join(map(str, shape))} values of {dtype.itemsize} bytes ({size:,} bytes)"
    if not is_gzipped and size != there:
        raise ValueError(f"it {claim}, but {there:,} bytes follow")
    check_expansion(stored, size, f"its header {claim} and")
    content = read_exactly(stream, size)
    if len(content) < size:
        raise EOFError(f"it {claim}, but only {len(content):,} bytes follow")
    if stream.read(1):  # this reads to the end, so that gzip compares its checksum
        raise ValueError(f"it {claim}, but more bytes follow")
    array: npt.NDArray[Any] = np.frombuffer(content, dtype=dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _pair(images: Path, labels: Path) -> Parts:
    """Read one part: its images and labels, as many of the one as of the other."""
    X, y = _read_array(images), _read_array(labels)
    if X.ndim < 2:
        raise DataFileError(images, "holds a single dimension", "Give a file of images.")
    if y.ndim != 1 or len(y) != len(X):
        raise DataFileError(
            labels,
            f"holds labels of shape {y.shape} for the {len(X)} images of {images.name}",
            "Get both files from the same source.",
        )
    return X, y


def _read_array(path: Path) -> npt.NDArray[Any]:
    with checked(path, EXPECTED) as stored, decompressed(path) as (stream, is_gzipped):
        return parse_idx(stream, stored, is_gzipped=is_gzipped)


def _is_labels(path: Path) -> bool:
    return "label" in path.name.lower() and "image" not in path.name.lower()


def _files_in(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir()) if path.is_file()]
    except OSError as error:
        found, remedy = f"cannot be listed ({error.strerror})", "Check its permissions."
        raise DataFileError(folder, found, remedy) from error


def _labels_beside(images: Path) -> Path:
    """Path of the labels that belong to a file of images."""

    def key(name: str) -> str:
        return re.sub(r"idx\d", "idx", _stem(name.lower()))

    wanted = key(images.name.lower().replace("image", "label"))
    beside = [p for p in _files_in(images.parent) if _is_labels(p) and key(p.name) == wanted]
    labels = _only(images.parent, beside, "labels")
    if labels is not None:
        return labels
    example = re.sub(r"idx\d", "idx1", images.name.replace("images", "labels"))
    remedy = f"Put one in the same folder, with or without .gz, named {example}"
    if example == images.name:
        remedy = "Name the two files …images… and …labels…."
    raise DataFileError(images, "has no file of labels beside it", remedy)


def _only(folder: Path, paths: Iterable[Path], what: str) -> Path | None:
    """Return the one of the paths, or None; with and without .gz count as one."""
    by_stem = {_stem(path.name): path for path in sorted(paths, reverse=True)}
    if len(by_stem) > 1:
        names = ", ".join(path.name for path in by_stem.values())
        found = f"holds several files for the {what}: {names}"
        raise DataFileError(folder, found, "Leave one of them there.")
    return next(iter(by_stem.values()), None)


def _stem(name: str) -> str:
    return name.removesuffix(".gz")
