"""Writes rows and labels to files that may be larger than memory, of each kind that is read."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse

NEEDS = "its tests run in the session arrays"
NAMES = tuple(f"f{j}" for j in range(5))


def save_npy(path, X, y):
    np.save(path / "rows.npy", X)
    np.save(path / "rows_labels.npy", y)
    return path / "rows.npy"


def save_npy_parts(path, X, y):
    for i, part in enumerate((slice(0, 25), slice(25, None))):
        np.save(path / f"X_{i}.npy", X[part])
        np.save(path / f"y_{i}.npy", y[part])
    return path


def save_parquet(path, X, y, **others):
    pa = pytest.importorskip("pyarrow", reason=NEEDS)
    from pyarrow import parquet

    columns = {name: X[:, j] for j, name in enumerate(NAMES)}
    parquet.write_table(
        pa.table({"label": y, **others, **columns}), path / "t.parquet", row_group_size=25
    )
    return path / "t.parquet"


def save_parquet_parts(path, X, y):
    save_parquet(path, X[:25], y[:25]).rename(path / "a.parquet")
    save_parquet(path, X[25:], y[25:])
    return path


def save_zarr(path, X, y):
    zarr = pytest.importorskip("zarr", reason=NEEDS)
    group = zarr.create_group(path / "g.zarr")
    group.create_array("X", data=X, chunks=(7, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # text has no specification yet
        group.create_array("y", data=y)
    return path / "g.zarr"


def save_hdf5(path, X, y):
    h5py = pytest.importorskip("h5py", reason=NEEDS)
    with h5py.File(path / "f.h5", "w") as file:
        file.create_dataset("X", data=X, chunks=(7, 5))
        file.create_dataset("y", data=[str(label) for label in y] if y.dtype.kind == "U" else y)
    return path / "f.h5"


def save_h5ad(path, X, y, name="a.h5ad"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        anndata = pytest.importorskip("anndata", reason=NEEDS)
    pandas = pytest.importorskip("pandas", reason=NEEDS)
    index = [str(i) for i in range(len(y))]
    obs = pandas.DataFrame({"depth": np.arange(len(y)), "label": pandas.Categorical(y)}, index)
    var = pandas.DataFrame(index=list(NAMES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        anndata.settings.allow_write_nullable_strings = True
        data = anndata.AnnData(X, obs=obs, var=var)
        write = data.write_zarr if name.endswith(".zarr") else data.write_h5ad
        write(path / name)
    return path / name


def save_sparse_h5ad(path, X, y):
    return save_h5ad(path, sparse.csr_matrix(X), y)


def save_h5ad_in_zarr(path, X, y):
    pytest.importorskip("zarr", reason=NEEDS)
    return save_h5ad(path, X, y, "a.zarr")


def save_sparse_h5ad_in_zarr(path, X, y):
    return save_h5ad_in_zarr(path, sparse.csr_matrix(X), y)


SAVED = [
    *(save_npy, save_npy_parts, save_parquet, save_parquet_parts),
    *(save_zarr, save_hdf5, save_h5ad, save_sparse_h5ad, save_h5ad_in_zarr),
    save_sparse_h5ad_in_zarr,
]
