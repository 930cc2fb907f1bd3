"""From what users pass in, arrays, a data set, loaders of parts, Dask's blocks, to inputs."""

from __future__ import annotations

from functools import partial
from typing import Any

from gpulr.backend import detached, host_memory
from gpulr.errors import DataError, ParameterError
from gpulr.families.inputs import Inputs
from gpulr.families.partitioned_inputs import read_partitioned
from gpulr.model.record import DataRecord
from gpulr.sources import Blocks
from gpulr.sources.dask_arrays import as_blocks, computed, current_client, dask_of
from gpulr.validation.arrays import check_rows, is_dataset, refuse_files
from gpulr.validation.blocks import read_blocks
from gpulr.validation.conversion import refuse_batches
from gpulr.validation.labels import LabelMatrix, Labels, read_labels
from gpulr.validation.parameters import image_shape_of, shape_of_images
from gpulr.validation.tables import feature_names_of


@host_memory
def read_inputs(
    X: Any, y: Any, image_shape: tuple[int, ...] | None, *, elsewhere: bool = False
) -> Inputs:
    """Check X and y, an array each, or a Dataset as X, or neither for the default data.

    Where X is Dask's and a client is current, they stay on its workers: ``elsewhere`` says whether
    whoever asks can do with that.

    Raises DataError if they are no rows and labels, or do not belong together.
    """
    if (lazy := dask_of(X)) is not None and (client := current_client()) is not None:
        if not elsewhere:
            raise ParameterError(
                "X is a Dask array, and a distributed.Client is current: train, search, bootstrap "
                "and evaluate compute where the rows are, this does not. Close the client, and "
                "rows are read block by block in this process; or pass X.compute()."
            )
        from gpulr.distributed.dask_engine import DaskEngine  # which imports distributed

        return read_partitioned(lazy, y, image_shape, partial(DaskEngine.make, client))
    record: DataRecord = {"name": "arrays", "source": "passed to train()"}
    if X is None and y is None:
        from gpulr.datasets import load_default  # which imports the readers of all files

        X = load_default()
    if is_dataset(X):
        if y is not None:
            raise DataError("A Dataset brings its own labels; pass y=None, or dataset.X and y.")
        dataset, names = X, X.feature_names
        X, y = dataset.X, dataset.y
        record = {"name": dataset.name, "source": dataset.source}
        if dataset.label_name is not None:
            record["label"] = dataset.label_name
        image_shape = dataset.image_shape if image_shape is None else image_shape
    else:
        refuse_files(X)
        refuse_batches(X, "X")
        if X is None or (y is None and not isinstance(X, Blocks)):
            raise DataError("Pass both X and y, or neither to train on the default data.")
        image_shape = shape_of_images(X) if image_shape is None else image_shape
        names = feature_names_of(X)
    weight, y = None, computed(y)
    if lazy is not None:
        read = read_blocks(as_blocks(lazy), y)
        X, names = read.X, read.feature_names or names
    elif isinstance(X, Blocks):
        read = read_blocks(X, y, labelled=True)
        X, y, weight, names = read.X, read.y, read.sample_weight, read.feature_names
        image_shape = read.image_shape if image_shape is None else image_shape
        record["source"] = "parts that loaders returned"
    else:
        X = detached(check_rows(X))
    record["n_samples"] = int(X.shape[0])
    record["dtype"] = getattr(X.dtype, "name", str(X.dtype)).rpartition(".")[2]
    if names is not None:
        record["feature_names"] = list(names)
    shape = None if image_shape is None else image_shape_of(image_shape, X.shape[1])
    is_read = isinstance(y, Labels | LabelMatrix)
    labels: Labels | LabelMatrix = y if is_read else read_labels(y, X.shape[0])
    if labels.n_unknown:
        record["n_unknown"] = labels.n_unknown
    return Inputs(X, labels, record, shape, loaded_weight=weight)
