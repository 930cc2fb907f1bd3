"""Rows that are read, of a library that nobody knows, or in files of those that are known."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array


class Slices:
    """What has a shape, a dtype and slicing, and is no array."""

    def __init__(self, X, chunk=None, broken_at=None):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype
        self.chunks = None if chunk is None else (chunk, *X.shape[1:])
        self.broken_at, self.n_read = broken_at, 0

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        if self.broken_at is not None and rows.stop > self.broken_at:
            raise OSError("the disk is gone")
        block = self.X[rows]
        self.n_read += block.shape[0]
        return block


class SparseSlices(Slices):
    """As AnnData's backed matrix, which says how many numbers it holds."""

    @property
    def nnz(self):
        return self.X.nnz

    def __getitem__(self, rows):
        """Return rows as a file has them: SciPy leaves entries out that lie beside the matrix."""
        n, S = len(range(*rows.indices(self.shape[0]))), self.X
        starts = S.indptr[rows.start : rows.start + n + 1]
        some = slice(starts[0], starts[-1])
        self.n_read += n
        parts = S.data[some], S.indices[some], starts - starts[0]
        return csr_array(parts, shape=(n, self.shape[1]))


def in_file(kind, X, folder):
    """Return X in a file of some kind, of the first one of whose libraries there is no other."""
    import pytest

    pytest.importorskip(kind.split()[0], reason=f"{kind} is not installed")
    if kind.startswith("h5py"):
        import h5py

        chunks = (64, *X.shape[1:]) if "chunks" in kind else None
        return h5py.File(folder / "X.h5", "w").create_dataset("X", data=X, chunks=chunks)
    if kind == "zarr":
        import zarr

        return zarr.create_array(str(folder / "X.zarr"), data=X, chunks=(64, *X.shape[1:]))
    if kind == "xarray":
        xarray = pytest.importorskip("xarray", reason="xarray is not installed")
        pytest.importorskip("zarr", reason="zarr is not installed")
        names = ["rows", "features", *(f"more{i}" for i in range(X.ndim - 2))]
        table = xarray.Dataset({"X": (names, X)})
        table.to_zarr(folder / "X.zarr", consolidated=False)
        return xarray.open_zarr(folder / "X.zarr", chunks=None, consolidated=False)["X"]
    assert kind == "anndata"
    import anndata
    import h5py
    from anndata.io import write_elem

    with h5py.File(folder / "X.h5ad", "w") as file:
        write_elem(file, "X", X)
    return anndata.io.sparse_dataset(h5py.File(folder / "X.h5ad")["X"])


KINDS = ("h5py", "h5py chunks", "zarr", "xarray")


def data(rng, n=3000, p=12, k=3):
    """Return rows with some shift and scale, and labels of k classes."""
    X = (rng.normal(size=(n, p)) + np.arange(p) / 4).astype(np.float32)
    y = (X @ rng.normal(size=(p, k)) + rng.normal(size=(n, k))).argmax(axis=1)
    return X, y
