"""Whatever becomes of a file's bytes, reading gives a data set or a DataFileError."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_files import idx_bytes
from gpulr.datasets import read
from gpulr.errors import DataFileError

# A damaged header may no longer name the label: the table is read all the same, with a warning.
pytestmark = pytest.mark.filterwarnings(
    "ignore::gpulr.errors.LabelColumnWarning", "ignore::gpulr.errors.RowNumberWarning"
)

X = np.random.default_rng(5).integers(0, 256, (6, 16)).astype(np.uint8)
y = np.arange(6) % 2


def saved(save, *args, **options):
    stream = io.BytesIO()
    save(stream, *args, **options)
    return stream.getvalue()


CSV = b"label,a,b\n" + b"".join(
    b"%d,%d.5,%d\n" % (k, *row[:2]) for k, row in zip(y, X, strict=True)
)
OTHER = {"c": np.array(["a", {"x": 1}], object), "s": "text"}
PLAIN = {
    "a.csv": CSV,
    "a-images-idx3-ubyte": idx_bytes(X.reshape(6, 4, 4)),
    "v6.mat": saved(scipy.io.savemat, {**OTHER, "X": X, "y": y}),
    "v4.mat": saved(scipy.io.savemat, {"X": X, "y": y}, format="4"),
}
"""Formats without a checksum: a flipped value cannot be told from a right one."""

CHECKED = {
    "a.npz": saved(np.savez, X=X, y=y),
    "b.npz": saved(np.savez_compressed, X=X, y=y, X_test=X[:2], y_test=y[:2]),
    "a.csv.gz": gzip.compress(CSV, mtime=0),
    "b-images-idx3-ubyte.gz": gzip.compress(PLAIN["a-images-idx3-ubyte"], mtime=0),
    "v7.mat": saved(scipy.io.savemat, {"X": X, "y": y}, do_compression=True),
}

flips = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 7)), min_size=1, max_size=4)
cuts = st.one_of(st.none(), st.integers(0, 10**6))


def spoilt(content, flip, cut):
    content = bytearray(content)
    for position, bit in flip:
        content[position % len(content)] ^= 1 << bit
    return bytes(content if cut is None else content[: cut % len(content)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("a", "b"):
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx_bytes(y.astype(np.uint8)))
    for name, content in (PLAIN | CHECKED).items():
        (folder / name).write_bytes(content)
        assert len(read(folder / name).X) == 6
    return folder


def read_or_refuse(path):
    """The data set, or None after a DataFileError that says what to do."""
    try:
        return read(path)
    except DataFileError as refusal:
        error = refusal
    assert error.remedy
    return None


@pytest.mark.parametrize("name", PLAIN)
@settings(max_examples=120, deadline=None)
@given(flip=flips, cut=cuts)
def test_plain(folder, name, flip, cut):
    path = folder / name
    path.write_bytes(spoilt(PLAIN[name], flip, cut))
    got = read_or_refuse(path)
    if got is not None:
        assert len(got.X) == len(got.y)


@pytest.mark.parametrize("name", CHECKED)
@settings(max_examples=120, deadline=None)
@given(flip=flips, cut=cuts)
def test_checked(folder, name, flip, cut):
    path = folder / name
    path.write_bytes(CHECKED[name])
    right = read(path)
    path.write_bytes(spoilt(CHECKED[name], flip, cut))
    got = read_or_refuse(path)
    if got is not None:
        np.testing.assert_array_equal(got.X, right.X)
        np.testing.assert_array_equal(got.y, right.y)
