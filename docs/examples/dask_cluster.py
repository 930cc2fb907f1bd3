"""Rows on a cluster
=================

More rows than one machine holds: training, search and predictions on the workers of a cluster.

Here the rows are generated block by block, where they are needed; your own blocks would be read
from storage that all workers see (da.from_zarr, dd.read_parquet, …). No row comes to this process:
the workers compute with their own blocks, and the size of messages grows with features × models.

To run it on a cluster of two workers on this machine, which takes some seconds to start (this needs
Dask: pip install ".[dask]")::

    python docs/examples/dask_cluster.py

To run it on a cluster whose address ``dask scheduler`` prints, with gpulr installed and ``dask
worker`` started with the same address on each machine::

    python docs/examples/dask_cluster.py tcp://10.0.0.5:8786
"""

import sys

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import gpulr

ROWS, BLOCK, FEATURES, CLASSES = 200_000, 25_000, 40, 4


def rows_of(block: np.ndarray, block_info: dict | None = None) -> np.ndarray:
    """Make the rows of a block: always the same, since a worker may be lost, and they with it."""
    number = block_info[0]["chunk-location"][0]
    return np.random.default_rng(number).normal(size=(len(block), FEATURES)).astype(np.float32)


def labels_of(X: np.ndarray) -> np.ndarray:
    """Label rows by the largest of some features, of which noise hides part."""
    noise = np.random.default_rng(int(abs(X[0, 0]) * 1e6)).normal(size=(len(X), CLASSES))
    return (X[:, :CLASSES] + 0.5 * noise).argmax(axis=1)


def data(n_rows: int = ROWS, block: int = BLOCK) -> tuple[da.Array, da.Array]:
    """Return rows and labels as Dask arrays, of which nothing is made yet."""
    empty = da.zeros((n_rows, FEATURES), chunks=(block, FEATURES), dtype=np.float32)
    X = empty.map_blocks(rows_of, dtype=np.float32, meta=np.empty((0, FEATURES), np.float32))
    return X, X.map_blocks(labels_of, dtype=np.int64, drop_axis=1, meta=np.empty(0, np.int64))


def main(X: da.Array, y: da.Array) -> dict:
    """Train and search on rows where they are; any current client is the cluster."""
    model = gpulr.train(X, y, callbacks=[gpulr.callbacks.ProgressBar()])
    print(model)
    found = gpulr.search(X, y, Cs=[0.001, 0.1, 10], cv=3, scoring="neg_log_loss")
    print(f"C = {found.best_C:g} has the least log-loss of held-out rows")
    scores = found.model.evaluate(X, y)
    print(f"accuracy: {scores.accuracy:.3f}")
    predicted = found.model.predict(X)  # a Dask array: computed where the rows are, when asked for
    print(f"{predicted}: {predicted[:10].compute()}")
    return {"model": model, "found": found, "scores": scores, "predicted": predicted}


if __name__ == "__main__":
    where = sys.argv[1] if len(sys.argv) > 1 else LocalCluster(n_workers=2)
    with Client(where):
        main(*data())
