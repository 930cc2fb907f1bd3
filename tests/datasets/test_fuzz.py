"""Whatever becomes of a file's bytes, reading gives a data set or a DataFileError."""

from __future__ import annotations

import random
import secrets

import numpy as np
import pytest
import scipy.io

from dataset_files import idx_bytes, saved, spoilt, zipped
from gpulr.datasets import read
from gpulr.datasets.readers.numpy_files import read_npy
from gpulr.errors import DataFileError

# A damaged header may no longer name the label: the table is read all the same, with a warning.
pytestmark = pytest.mark.filterwarnings(
    "ignore::gpulr.errors.LabelColumnWarning", "ignore::gpulr.errors.RowNumberWarning"
)

X = np.random.default_rng(5).integers(0, 256, (6, 16)).astype(np.uint8)
y = np.arange(6) % 2
XY = {"X": X, "y": y}
CSV = b"label,a,b\n" + b"".join(
    b"%d,%d.5,%d\n" % (k, *row[:2]) for k, row in zip(y, X, strict=True)
)
IDX = idx_bytes(X.reshape(6, 4, 4))
OTHER = {"c": np.array(["a", {"x": 1}], object), "s": "text"}
PLAIN = {
    "a.csv": CSV,
    "a-images-idx3-ubyte": IDX,
    "v6.mat": saved(scipy.io.savemat, OTHER | XY),
    "v4.mat": saved(scipy.io.savemat, XY, format="4"),
}
"""Formats without a checksum: a flipped value cannot be told from a right one."""

CHECKED = {
    "a.npz": saved(np.savez, **XY),
    "b.npz": saved(np.savez_compressed, **XY, X_test=X[:2], y_test=y[:2]),
    "a.csv.gz": zipped(CSV),
    "b-images-idx3-ubyte.gz": zipped(IDX),
    "v7.mat": saved(scipy.io.savemat, XY, do_compression=True),
}


@pytest.fixture(params=["same", pytest.param("fresh", marks=pytest.mark.slow)])
def generator(request):
    """The same numbers in every run, or others."""
    seed = request.node.name if request.param == "same" else secrets.randbits(64)
    print(f"random.Random({seed!r})")  # shown where the test fails
    return random.Random(seed)


@pytest.mark.parametrize("name", [*PLAIN, *CHECKED])
def test_data_sets(tmp_path, name, generator):
    path = tmp_path / name
    (tmp_path / f"{name[0]}-labels-idx1-ubyte").write_bytes(idx_bytes(y.astype(np.uint8)))
    content = (PLAIN | CHECKED)[name]
    path.write_bytes(content)
    right = read(path)
    assert len(right.X) == 6
    for _ in range(100):
        path.write_bytes(spoilt(content, generator))
        try:
            got = read(path)
        except DataFileError as error:
            assert error.remedy  # noqa: PT017
            continue
        assert len(got.X) == len(got.y)
        if name in CHECKED:
            np.testing.assert_array_equal(got.X, right.X)
            np.testing.assert_array_equal(got.y, right.y)


def test_rows(tmp_path, generator):
    content, path = saved(np.save, np.ones((4, 3))), tmp_path / "a.npy"
    for _ in range(200):
        path.write_bytes(spoilt(content[:128], generator)[:128].ljust(128) + content[128:])
        try:
            rows = read_npy(path)
        except DataFileError:
            continue
        assert 0 < rows.nbytes <= path.stat().st_size
