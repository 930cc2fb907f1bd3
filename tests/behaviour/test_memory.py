"""Peak memory of a whole training, as the operating system counts it, in a process of its own."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

import gpulr
from covering import some_nightly
from helpers import python

PEAK = """
import re
from pathlib import Path
import gpulr

def peak():  # in KiB; of this process alone, unlike ru_maxrss
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
CODE = """
data = gpulr.datasets.load_mnist()
few = data.X[:2000], data.y[:2000]
gpulr.train(*few, max_iter=3, tol=0)  # imports are not counted
{more}
before = peak()
gpulr.{call}
print((peak() - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("call", "more", "mebibytes"),
    [
        pytest.param("train(data.X, data.y)", "", 96, marks=pytest.mark.nightly),
        ("train(data.X, data.y, tol=1e-5)", "", 96),  # with curvatures of the models' own
        pytest.param("train(data.X, data.y, standardize=True)", "", 96, marks=pytest.mark.nightly),
        ("search(data.X, data.y, Cs=[0.01, 1])", "gpulr.search(*few, Cs=[1])", 160),
    ],
    ids=["train", "for long", "standardized", "search"],
)
def test_bytes_are_never_copied_whole_to_floats(real_mnist, call, more, mebibytes):
    # The rows as float32 would be 179 MiB. tests/families/test_training.py does so with fewer.
    used = int(python(PEAK + CODE.format(call=call, more=more), timeout=120))
    assert 0 < used <= mebibytes


HALVES = """
import numpy as np
if "{dtype}" == "bfloat16":
    import ml_dtypes
rng = np.random.default_rng(0)
X, y = np.empty((40_000, 768), "{dtype}"), np.arange(40_000) % 10
for rows in range(0, len(X), 1_000):
    X[rows : rows + 1_000] = rng.standard_normal((1_000, 768)) + y[rows : rows + 1_000, None] / 9
train = gpulr.OneVsAllLogisticRegression({more}).fit
train(X[:2_000], y[:2_000]).predict(X[:2_000])
before = peak()
train(X, y).predict(X)
print((peak() - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.covering
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("more", ["", "standardize=True"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_are_never_copied_whole_to_floats(dtype, more):
    # The rows as float32 would be 117 MiB.
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    used = int(python(PEAK + HALVES.format(dtype=dtype, more=more), timeout=120))
    assert 0 < used <= 96


READ = """
import resource, warnings
import numpy as np

warnings.simplefilter("ignore", gpulr.GpulrWarning)
N, P = 250_000, 1_000
rng = np.random.default_rng(0)
base, w = rng.integers(0, 256, (2_500, P)).astype(np.uint8), rng.normal(size=P)

class Made:  # never stored
    dtype = base.dtype
    def __init__(self, n):
        self.shape = n, P
    def __getitem__(self, rows):
        index = np.arange(rows.start, rows.stop)
        return base[index % len(base)] ^ (index // len(base) % 251).astype(np.uint8)[:, None]

made = Made(N)
y = np.concatenate([made[a : a + 2_500] @ w > 0 for a in range(0, N, 2_500)])
y ^= rng.random(N) < 0.1
{file}

def all_of(X, y):
    model = gpulr.train(X, y, tol=1e-2)
    assert model.evaluate(X, y).accuracy > 0.8
    assert len(model.predict(X)) == len(y)
    for settings in {{"standardize": True}}, {{"dtype": "float64"}}:
        gpulr.train(X, y, tol=1e-2, **settings)
    gpulr.search(X, y, Cs=[0.1, 1.0], cv=3, tol=1e-2)
    gpulr.bootstrap(X, y, n=3, tol=1e-2, random_state=0)
    gpulr.cross_val_predict(X, y, cv=3, tol=1e-2)
    gpulr.OneVsAllLogisticRegression(tol=1e-2).fit(X, y).score(X, y)

all_of(Made(5_000), y[:5_000])  # imports, and pools of threads, are not counted
size = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + 200 * 2**20,) * 2)
all_of(X, y)
print("done")
"""
IN_FILES = {
    "made": "X = made",
    "h5py": """
import h5py
X = h5py.File("{folder}/X.h5", "w").create_dataset("X", made.shape, np.uint8, chunks=(1_000, P))
for a in range(0, N, 5_000):
    X[a : a + 5_000] = made[a : a + 5_000]
""",
}


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", IN_FILES)
def test_rows_in_a_file_may_be_more_than_all_memory_there_is(kind, tmp_path):
    # 238 MiB of bytes, with 200 MiB of addresses for all that is done with them.
    if kind != "made":
        pytest.importorskip(kind, reason=f"{kind} is not installed")
    code = PEAK + READ.format(file=IN_FILES[kind].format(folder=tmp_path))
    assert python(code, timeout=300).split() == ["done"]


def test_a_host_without_memory_is_a_typed_error(monkeypatch, blobs):
    X, y = blobs
    model = gpulr.train(X, y)
    replicates = gpulr.bootstrap(X, y, n=2, random_state=0)

    def too_much(self, *arguments):
        return np.empty((2**50, 8))

    monkeypatch.setattr(gpulr.backend.NumPyBackend, "operand", too_much)
    with pytest.raises(gpulr.DeviceMemoryError, match="memory of the host") as caught:
        gpulr.search(X, y, Cs=[1, 10], cv=2)
    assert caught.value.needed == 2**56
    assert pickle.loads(pickle.dumps(caught.value)).needed == 2**56
    for call in (
        lambda: gpulr.train(X, y),
        lambda: gpulr.bootstrap(X, y, n=2),
        lambda: gpulr.OneVsAllLogisticRegression().fit(X, y),
        lambda: model.decision_function(X),
        lambda: model.evaluate(X, y),
        lambda: replicates.proba_interval(X),
    ):
        with pytest.raises(MemoryError, match="memory of the host") as caught:
            call()
        assert isinstance(caught.value, gpulr.GpulrError)


def test_rows_too_many_to_be_made_an_array(blobs):
    class Many:
        def __array__(self, *arguments, **settings):
            return np.empty((2**50, 8))

    with pytest.raises(gpulr.DeviceMemoryError, match="memory of the host"):
        gpulr.train(Many(), blobs[1])
    with pytest.raises(gpulr.DeviceMemoryError, match="memory of the host"):
        gpulr.train(*blobs).predict(Many())


LIMITED = """
import re, resource, warnings
from pathlib import Path
import numpy as np
import gpulr
from scipy import sparse

warnings.simplefilter("ignore")
some = np.random.default_rng(0).standard_normal((1_000, 200), dtype=np.float32)
y = np.tile((some[:, :3] + np.eye(3)[np.arange(1_000) % 3]).argmax(axis=1), 400)
if "{kind}" == "memory map":
    X = np.memmap("{path}", np.float32, "w+", shape=(400_000, 200))
    X.reshape(-1, *some.shape)[:] = some
    X = np.memmap("{path}", np.float32, "r", shape=X.shape)  # it alone
elif "{kind}" == "parts":
    X = gpulr.Blocks(20 * [lambda: np.tile(some, (20, 1))])
else:
    some = sparse.csr_array(np.where(np.abs(some) < 0.75, some, 0.0))
    starts = (np.arange(400, dtype=np.int32)[:, None] * some.nnz + some.indptr[:-1]).ravel()
    starts = np.append(starts, 400 * some.nnz).astype(np.int32)
    X = sparse.csr_array((np.tile(some.data, 400), np.tile(some.indices, 400), starts))
def call(X, y):
    gpulr.{call}
call(np.tile(some, (6, 1)) if "{kind}" == "parts" else X[:6_000], y[:6_000])
address_space = re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
resource.setrlimit(resource.RLIMIT_AS, (1024 * int(address_space) + {mebibytes} * 2**20,) * 2)
call(X, y)
print("done")
"""
CALLS = {
    "train": "train(X, y, max_iter=3, tol=0)",
    "search": "search(X, y, Cs=[0.01, 1], cv=2, max_iter=2)",
    "bootstrap": "bootstrap(X, y, n=3, max_iter=2, tol=1e-4, random_state=0)",
    "cross_val_predict": "cross_val_predict(X, y, cv=2, max_iter=2)",
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "kind", ["memory map", *(pytest.param(k, marks=pytest.mark.nightly) for k in ("CSR", "parts"))]
)
@pytest.mark.parametrize("call", some_nightly(CALLS, {"bootstrap", "cross_val_predict"}))
def test_no_copy_of_rows_is_made(tmp_path, kind, call):
    # 320 MB of rows, of which a fold of two would be 160; an array of margins takes 5 to 20, two
    # parts 32, and the threads that read and load reserve some.
    limit = 224 if kind == "parts" else 128
    code = LIMITED.format(kind=kind, call=CALLS[call], mebibytes=limit, path=tmp_path / "X")
    assert python(code, timeout=120).split() == ["done"]
