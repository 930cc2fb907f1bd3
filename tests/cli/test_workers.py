"""`--dask`: training on workers, with what is known of the data set all the same."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr.cli import workers
from gpulr.cli.workers import check_workers, on_workers
from gpulr.datasets import Dataset

LOCAL = "local:2"


@pytest.fixture
def quick_cluster(monkeypatch):
    """Workers that are threads, and begin at once."""
    distributed = pytest.importorskip("distributed", reason="of Dask's clusters")

    class Quick(distributed.LocalCluster):
        def __init__(self, **options):
            super().__init__(processes=False, threads_per_worker=1, **options)

    monkeypatch.setattr(distributed, "LocalCluster", Quick)


def test_train_and_search_as_without(run, told, quick_cluster, tmp_path):
    digits = ("--data", "digits", "--tol", 1e-5, "--dtype", "float64")
    record = told("train", *digits, "--dask", LOCAL, "--output", tmp_path / "m.safetensors")
    plain = told("train", *digits, "--output", tmp_path / "one.safetensors")
    assert record["converged"]
    assert record["test_accuracy"] == pytest.approx(plain["test_accuracy"], abs=0.003)
    many, one = (gpulr.load(tmp_path / name) for name in ("m.safetensors", "one.safetensors"))
    np.testing.assert_allclose(many.weights, one.weights, atol=2e-2)
    assert {**many.data, "prior": 0} == {**one.data, "prior": 0}
    assert many.image_shape == (8, 8)
    search = ("search", "--data", "digits", "--Cs", "0.1,1", "--folds", 3)
    found, here = told(*search, "--dask", LOCAL), told(*search)
    np.testing.assert_allclose(found["scores"], here["scores"], atol=0.005)


def test_workers_read_files_themselves(quick_cluster, tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(900, 5)).astype(np.float32), rng.integers(0, 3, 900)
    np.save(tmp_path / "rows.npy", X)
    np.save(tmp_path / "rows_labels.npy", y)
    split = {"test_size": 0.2, "seed": 0}
    path = str(tmp_path / "rows.npy")
    dataset = gpulr.datasets.load(path).split(**split)
    with on_workers(LOCAL, dataset, path, None, split) as rows:
        assert rows["X"].numblocks == (workers.LEAST_PARTS, 1)
        np.testing.assert_array_equal(rows["X"].compute(), dataset.X[:, :])
        np.testing.assert_array_equal(rows["y"], dataset.y)


def test_what_is_neither_a_number_of_workers_nor_an_address(run):
    for where in ("local:0", "local:x", "local:²", "local", "4"):
        with pytest.raises(gpulr.ParameterError, match="expected local:4"):
            check_workers(where)
    check_workers("tcp://10.0.0.5:8786")
    result = run("search", "--data", "digits", "--dask", "local:many", code=2)
    assert "expected local:4" in result.stderr


def test_without_it_the_data_set_is_passed_as_it_is():
    dataset = Dataset(np.eye(3), np.arange(3))
    with on_workers(None, dataset, None, None, None) as rows:
        assert rows == {"X": dataset, "y": None}


def test_an_address_where_nobody_answers(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="of Dask's clusters")

    def client(address, **_):
        raise OSError(f"Timed out trying to connect to {address}")

    monkeypatch.setattr(distributed, "Client", client)
    rows = on_workers("tcp://nobody:1", Dataset(np.eye(3), np.arange(3)), None, None, None)
    with pytest.raises(gpulr.BackendUnavailableError, match=r"tcp://nobody:1.*dask scheduler"):
        rows.__enter__()
