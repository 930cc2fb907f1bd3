"""Tensors on a CUDA GPU, handed to CuPy and back: by DLPack, without a copy, on their own device.

No GPU is needed: tensors say that they are on one, and a stand-in for CuPy takes them.
"""

from __future__ import annotations

import types
from contextlib import contextmanager

import numpy as np
import pytest

import gpulr
from fake_gpu import FakeArray
from gpulr import backend
from gpulr.backend import (
    TorchBackend,
    backend_of,
    computing_with,
    given_back,
    select,
    to_host,
    torch_devices,
)
from gpulr.estimators.logistic_regression import OneVsAllLogisticRegression

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


class Cuda0(torch.Tensor):
    """A tensor that says that it is on the first CUDA GPU. It counts how often it leaves that."""

    index, exported, to_host = 0, [], []

    @property
    def device(self):
        return torch.device("cuda", self.index)

    def __dlpack_device__(self):
        return 2, self.index

    def __dlpack__(self, *, stream):
        assert not self.requires_grad, "PyTorch exports none that require a gradient"
        Cuda0.exported.append(stream)
        return self.as_subclass(torch.Tensor)

    def __array__(self, dtype=None, copy=None):
        Cuda0.to_host.append(tuple(self.shape))
        return self.detach().as_subclass(torch.Tensor).numpy()


class Cuda1(Cuda0):
    """A tensor on the second one."""

    index = 1


CLASSES = (Cuda0, Cuda1)


@pytest.fixture
def cards(install, monkeypatch):
    """Two GPUs that PyTorch and CuPy share; yields what happened there."""
    install()
    import cupy

    for each in (Cuda0.exported, Cuda0.to_host):
        each.clear()
    seen = types.SimpleNamespace(imported=[], current=[0], cupy=cupy)
    plain_to = torch.Tensor.to

    def to(self, *arguments, device=None, **options):
        where = torch.device(device) if device is not None else None
        if where is None or where.type != "cuda":
            if where is not None:
                self = self.as_subclass(torch.Tensor)
            return plain_to(self, *arguments, **options)
        return plain_to(self, *arguments, **options).as_subclass(CLASSES[where.index])

    def into_cupy(x):
        _, index = x.__dlpack_device__()
        if x.dtype == torch.bfloat16:
            raise BufferError("bfloat16 is not supported")
        memory = x.__dlpack__(stream=cupy.cuda.get_current_stream())
        with cupy.cuda.Device(index):
            found = FakeArray.__new__(FakeArray)
            found.a, found.on = memory.numpy(), index
        return found

    def into_torch(x):
        assert isinstance(x, FakeArray)
        seen.imported.append(x.a.ctypes.data)
        return torch.from_numpy(x.a).as_subclass(CLASSES[x.on])

    @contextmanager
    def device(which):
        seen.current.append(which.index)
        try:
            yield
        finally:
            seen.current.pop()

    module = types.SimpleNamespace(device=device, get_device_name=lambda which: "A card")
    # Which PyTorch would do on a GPU.
    monkeypatch.setattr(backend.Backend, "try_out", lambda self, x: None)
    monkeypatch.setattr(torch_devices, "try_out", lambda device: torch_devices.Trial("", ""))
    monkeypatch.setattr(torch_devices, "has_float64", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr("array_api_compat.torch.from_dlpack", into_torch)
    monkeypatch.setattr(TorchBackend, "_module", module)
    monkeypatch.setattr(cupy, "from_dlpack", into_cupy, raising=False)
    monkeypatch.setattr(FakeArray, "__dlpack_device__", lambda self: (2, self.on), raising=False)
    yield seen
    assert seen.current == [0]
    assert cupy.machine.current == 0


def on_card(array, index=0):
    return torch.from_numpy(np.array(array)).as_subclass(CLASSES[index])


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("requested", ["auto", "torch", "cupy"])
def test_cupy_trains_on_a_tensor_where_it_is(cards, blobs, monkeypatch, requested, index):
    X, y = on_card(blobs[0], index), blobs[1]
    placed = []
    place = backend.CuPyBackend.place
    monkeypatch.setattr(
        backend.CuPyBackend, "place", lambda *a, **b: placed.append(place(*a, **b)) or placed[-1]
    )
    counts = cards.cupy.machine.counts
    model = gpulr.train(X, y, backend=requested)
    assert (model.backend, model.device) == ("cupy", f"Fake GPU (cuda:{index})")
    assert (model.fallback_reason is not None) == (requested == "torch")
    assert placed[0].a.ctypes.data == X.data_ptr()
    assert placed[0].on == index
    assert Cuda0.exported == [cards.cupy.current]  # once, for the stream that computes
    assert X.shape not in Cuda0.to_host
    assert type(model.weights) is CLASSES[index]
    expected = gpulr.train(*blobs, backend="numpy")
    np.testing.assert_allclose(to_host(model.weights), expected.weights, atol=1e-5)
    assert counts["synchronise"] < 50


def test_predictions_go_back_without_a_copy(cards, blobs):
    X = on_card(blobs[0], 1)
    model = gpulr.train(*blobs)
    stream = cards.cupy.current = cards.cupy.cuda.Stream()
    for name, options in (
        ("decision_function", {}),
        ("predict_proba", {}),
        ("predict_proba", {"normalize": True}),
        ("predict", {}),
    ):
        Cuda0.exported.clear()
        found = getattr(model, name)(X, **options)
        assert type(found) is Cuda1
        assert Cuda0.exported[0] is stream
        assert X.shape not in Cuda0.to_host
        if name != "predict":
            assert cards.imported[-1] == found.data_ptr()
        wanted = getattr(model, name)(blobs[0], **options)
        np.testing.assert_allclose(to_host(found), wanted, atol=1e-5)


def test_families_and_estimators(cards, blobs):
    X, y = on_card(blobs[0], 1), on_card(blobs[1], 1)
    search = gpulr.search(X, y, Cs=[0.1, 1.0], cv=3)
    assert type(search.model.weights) is Cuda1
    bootstrap = gpulr.bootstrap(X, y, n=3, random_state=0)
    assert type(bootstrap.proba_interval(X)[0]) is Cuda1
    estimator = OneVsAllLogisticRegression().fit(X, y)
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert type(getattr(estimator, name)(X)) is Cuda1
    Y = on_card((np.arange(3) == blobs[1][:, None]).astype(np.int64), 1)
    assert type(gpulr.train(X, Y).predict(X)) is Cuda1
    assert X.shape not in Cuda0.to_host


def test_memory_that_torch_keeps_is_given_back(cards, monkeypatch):
    given_back = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(1))
    select("cupy").free()
    assert given_back == []  # PyTorch has not been on a GPU
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    select("cupy").free()
    assert given_back == [1]


def test_a_dtype_that_cupy_lacks_is_converted_on_the_device(cards, blobs):
    X = on_card(blobs[0]).bfloat16()
    with computing_with(X) as (here, rows):
        assert here.name == "cupy"
        assert rows.dtype == np.float32
    assert Cuda0.to_host == []


def test_a_gradient_is_left_behind_by_training(cards, blobs):
    X = on_card(blobs[0]).requires_grad_()
    assert gpulr.train(X, blobs[1]).backend == "cupy"
    with torch.no_grad(), computing_with(X) as (here, _):
        assert here.name == "cupy"
    with computing_with(X) as (here, rows):
        assert here.name == "torch"
        assert rows is X


@pytest.mark.parametrize("why", ["CuPy fails", "ROCm"])
def test_without_a_cupy_that_works_torch_computes_itself(cards, install, blobs, monkeypatch, why):
    if why == "ROCm":
        monkeypatch.setattr(torch.version, "hip", "6.4")
    else:
        install("matrix product")
    X = on_card(blobs[0], 1)
    chosen = select(X=X)
    assert (chosen.name, chosen.device) == ("torch", torch.device("cuda:1"))
    words = "A card (ROCm, cuda:1)" if why == "ROCm" else "A card (cuda:1)"
    assert chosen.device_name == words
    assert select("torch", X=X).fallback_reason is None


def test_sparse_rows_of_cupys_are_no_tensors(cards):
    from cupyx.scipy.sparse import csr_matrix

    parts = np.ones(1), np.zeros(1, np.int32), np.array([0, 1], np.int32)
    rows = csr_matrix(tuple(map(FakeArray, parts)), shape=(1, 1))
    with pytest.raises(gpulr.DataError, match="X is sparse, which torch cannot take here"):
        backend_of(on_card(np.ones((1, 1)))).place(rows)


def test_arrays_of_cupys_come_to_torch_by_dlpack(cards):
    X = on_card(np.ones((2, 3), np.float32), 1)
    with backend_of(X).activate():
        assert cards.current == [0, 1]
        with cards.cupy.cuda.Device(1):
            there = FakeArray(np.arange(3.0))
        found = given_back(there, X)
    assert type(found) is Cuda1
    assert found.data_ptr() == there.a.ctypes.data
