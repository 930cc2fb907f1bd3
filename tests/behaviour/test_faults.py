"""What goes wrong with data, files, disks, processes and GPUs, a test for each kind of fault.

Each shows what a user sees of it; what is beneath is tested where it stands: readers' answers in
`tests/datasets`, model files in `tests/model/test_storage.py`, checkpoints in `tests/families`,
memory of devices in `tests/backend`, the command line in `tests/cli/test_faults.py`.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
import signal
import tracemalloc
import zipfile

import numpy as np
import pytest
import scipy.io

import gpulr
from dataset_files import mirror, npy, npy_claiming, saved, serving, tiny_mnist
from gpulr.backend import to_host
from gpulr.datasets import download, load, load_mnist, mnist
from gpulr.errors import DataError, DataFileError, DataUnavailableError, ModelFileError
from helpers import start_python

X = np.random.default_rng(5).integers(0, 256, (12, 16)).astype(np.uint8)
y = np.arange(12) % 3
KINDS = {
    "NaN in X": (np.where(X[3, 3] == X, np.nan, X), y),
    "infinity in X": (np.where(X[3, 3] == X, np.inf, X), y),
    "NaN in y": (X, np.where(y == 1, np.nan, y)),
    "infinity in y": (X, np.where(y == 1, np.inf, y)),
    "empty": (X[:0], y[:0]),
    "wrong lengths": (X, y[1:]),
    "one class": (X, 0 * y),
    "complex": (X + 1j, y),
    "objects": (np.array([[{}] * 16] * 12), y),
}


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_that_cannot_be_trained_on(kind):
    with pytest.raises(DataError, match=r"\. [A-Z]|expected|at least") as caught:
        gpulr.train(*KINDS[kind])
    assert isinstance(caught.value, ValueError)


FILES = {
    "a.mat": saved(scipy.io.savemat, {"X": X, "y": y}, do_compression=True),
    "a.npz": saved(np.savez_compressed, X=X, y=y),
    "a.csv.gz": gzip.compress(b"label,a\n" + b"".join(b"%d,%d\n" % (i, i % 3) for i in range(12))),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fault", ["truncated", "flipped", "empty"])
def test_truncated_or_flipped_files(tmp_path, name, fault):
    content = bytearray(FILES[name])
    if fault == "flipped":
        content[-6 if name == "a.csv.gz" else len(content) // 3] ^= 4
    else:
        del content[len(content) // 2 if fault == "truncated" else 0 :]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataFileError) as caught:
        load(tmp_path / name)
    said = str(caught.value)
    assert str(tmp_path / name) in said
    assert caught.value.remedy in said
    assert f"{len(content)} bytes" in said
    assert "sha256" in said or fault == "empty"


@pytest.mark.parametrize("kind", ["npy header", "npz member", "zip bomb"])
def test_headers_that_claim_terabytes_and_zip_bombs(tmp_path, kind):
    claim = npy_claiming("<f4", (10**6, 2_500_000), bytes(64))  # 10 TB
    path = tmp_path / ("X.npy" if kind == "npy header" else "a.npz")
    if kind == "npy header":
        path.write_bytes(claim)
        (tmp_path / "y.npy").write_bytes(npy(y))
    else:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            bomb = npy(np.zeros((2**10, 2**17), np.uint8))  # 128 MiB in 128 KiB
            archive.writestr("X.npy", claim if kind == "npz member" else bomb)
            archive.writestr("y.npy", npy(y))
        path.write_bytes(stream.getvalue())
    tracemalloc.start()
    try:
        with pytest.raises(DataFileError, match=r"claims|over 200 times"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


class Runs:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["a.npz", "X.npy", "a.mat", "m.safetensors"])
def test_objects_and_pickles(tmp_path, name):
    ran, path = tmp_path / "ran", tmp_path / name
    objects = np.array([Runs(ran)] * 12)
    content = {
        "a.npz": lambda: saved(np.savez, X=X, y=objects),
        "X.npy": lambda: saved(np.save, objects),
        "a.mat": lambda: saved(scipy.io.savemat, {"X": X, "y": np.array(list("abc") * 4, object)}),
        "m.safetensors": lambda: saved(np.save, objects),
    }[name]()
    path.write_bytes(content)
    with pytest.raises(DataFileError):
        gpulr.load(path) if name == "m.safetensors" else load(path)
    assert not ran.exists()


def test_a_flipped_bit_in_a_model_file(tmp_path):
    path = tmp_path / "m.safetensors"
    model = gpulr.train(X, y, max_iter=3, tol=0)
    model.save(path)
    content = bytearray(path.read_bytes())
    content[content.rindex(np.asarray(model.weights).tobytes()[:64]) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"does not match its sha256.*restore it from a copy"):
        gpulr.load(path)


def test_an_interrupted_download(tmp_path, monkeypatch):
    """Of a mirror that ends in the middle nothing is left; what is kept is verified once more."""
    pytest.importorskip("pooch", reason="the extra data")
    files, contents = tiny_mnist()
    half = {name: content[: len(content) // 2] for name, content in contents.items()}
    monkeypatch.setattr(mnist, "FILES", files)
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("GPULR_DATA_HOME", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def load_from(served):
        with mirror(serving(served)) as (url, _):
            monkeypatch.setattr(mnist, "MIRRORS", (url,))
            return load_mnist()

    with pytest.raises(DataUnavailableError, match="sha256"):
        load_from(half)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {".download.lock"}
    assert load_from(contents).X.shape == (12, 784)
    kept = next(tmp_path.rglob(files[0].name))
    right = kept.read_bytes()
    kept.write_bytes(right[:-9] + bytes(9))
    assert load_from(contents).X.shape == (12, 784)
    assert kept.read_bytes() == right


def test_a_full_disk_while_saving(small_disk):
    path = small_disk / "m.safetensors"
    model = gpulr.train(X, y, max_iter=3, tol=0)
    model.save(path)
    before = path.read_bytes()
    large = gpulr.train(np.repeat(X, 2_000, axis=1), y, max_iter=1, tol=0)
    with pytest.raises(ModelFileError, match="No space left"):
        large.save(path)
    assert path.read_bytes() == before
    assert [*small_disk.iterdir()] == [path]


KILLED = """
import os, signal, warnings
import numpy as np, gpulr
warnings.simplefilter("ignore")
left = int(os.environ["AFTER"])

def dying(real):
    def call(*args, **how):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **how)
    return call

for name in ("fsync", "replace", "rename", "link", "unlink"):
    setattr(os, name, dying(getattr(os, name)))
rng = np.random.default_rng(0)
X, y = rng.normal(size=(60, 4)), np.arange(60) % 3
how = dict(tol=0, max_iter=8, C=1e3)
if left:
    gpulr.train(X, y, checkpoint=os.environ["CHECKPOINT"], checkpoint_every=0, **how)
else:
    one = gpulr.train(X, y, checkpoint=os.environ["CHECKPOINT"], **how)
    print(np.array_equal(one.weights, gpulr.train(X, y, **how).weights))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals of POSIX")
def test_kill_9_while_checkpointing(tmp_path):
    """At whichever step of writing one: the same call goes on to the same bits."""
    how = {"CHECKPOINT": str(tmp_path / "run.ckpt"), "OPENBLAS_NUM_THREADS": "1"}
    for after in (3, 5):
        with start_python(KILLED, AFTER=str(after), **how) as process:
            output = process.communicate(timeout=60)[0]
        assert process.returncode == -signal.SIGKILL, output
    with start_python(KILLED, AFTER="0", **how) as process:
        assert process.communicate(timeout=60)[0].strip() == "True"


def test_a_gpu_out_of_memory(monkeypatch, images):
    """Blocks are halved until they fit; where not even one row does, the error says what lacks."""
    from fake_device import FakeDevice  # which skips without array-api-strict

    rows, labels = images
    device = FakeDevice(140_000, monkeypatch)
    device.believed = 600_000
    monkeypatch.setattr("gpulr.solvers.refresh.MARGIN", float("inf"))  # nor does NumPy refresh
    monkeypatch.setattr("gpulr.families.prepare.select", lambda *args, **how: device)
    steps = {"max_iter": 2, "tol": 0, "batched": False}
    model = gpulr.train(rows / 255, labels, **steps)
    assert device.pool.failed
    expected = gpulr.train(rows / 255, labels, backend="numpy", **steps)
    np.testing.assert_allclose(to_host(model.weights), expected.weights, rtol=1e-4, atol=1e-5)
    device.pool.budget = 20_000
    with pytest.raises(gpulr.DeviceMemoryError, match=r"[\d,]+ bytes more are needed") as caught:
        gpulr.train(rows / 255, labels, **steps)
    assert caught.value.needed > 0


def test_all_ten_scores_zero():
    """Sure negatives of every class: decided by margins, and rows sum to 1."""
    model = gpulr.train(X, np.arange(12) % 10, max_iter=0, tol=0)
    margins = np.linspace(-1000, -991, 10)
    model = dataclasses.replace(model, intercept=margins.astype(model.intercept.dtype))
    assert not model.predict_proba(X).any()
    P = model.predict_proba(X, normalize=True)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(P.argmax(axis=1), 9)
    np.testing.assert_array_equal(model.predict(X), 9)
