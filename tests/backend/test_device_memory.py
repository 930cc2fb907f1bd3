"""Memory of a device: how much there is, and what happens when it runs out."""

from __future__ import annotations

import gc
import math
import pickle

import numpy as np
import pytest

import gpulr
from fake_device import FakeDevice, OutOfMemoryError
from gpulr.backend import CuPyBackend, memory, to_host
from gpulr.backend.cuda import CudaCopies
from gpulr.backend.memory import Memory
from gpulr.cli.doctor import report
from gpulr.core.rows import Rows
from gpulr.solvers import LBFGS, groups_of, refresh
from gpulr.solvers.curvature import SharedCurvature
from helpers import make_problem

GIB = 2**30


# ---- how much there is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "n_bytes"),
    [
        ("1500000", 1_500_000),
        ("12 B", 12),
        ("2GiB", 2 * GIB),
        ("1.5 gib", 3 * GIB // 2),
        (" 3MB ", 3_000_000),
        ("3 KiB", 3072),
        ("2TB", 2 * 10**12),
        ("", None),
    ],
)
def test_the_environment_may_say_how_much_may_be_used(monkeypatch, value, n_bytes):
    monkeypatch.setenv("GPULR_DEVICE_MEMORY", value)
    assert memory.limit() == n_bytes


@pytest.mark.parametrize("value", ["much", "0", "-3", "2G", "GiB", "1,000", "1e9", "0.1 B"])
def test_or_say_nothing_that_can_be_used(monkeypatch, make_device, blobs, value):
    monkeypatch.setenv("GPULR_DEVICE_MEMORY", value)
    make_device(10**7)
    with pytest.raises(gpulr.ParameterError, match=r"GPULR_DEVICE_MEMORY='.*2GB or 1.5GiB"):
        gpulr.train(*blobs)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, (6000, 8000)),
        ("8000", (6000, 8000)),
        ("5000", (4500, 5000)),
        ("7000", (6000, 7000)),  # others have the rest
        ("400", (0, 400)),
    ],
)
def test_what_is_free_of_what_may_be_used(monkeypatch, limit, expected):
    if limit:
        monkeypatch.setenv("GPULR_DEVICE_MEMORY", limit)
    assert memory.capped(6000, 8000, used=500) == expected


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (79.1 * GIB, "79.1 GiB")],
)
def test_bytes_in_words(n_bytes, words):
    assert memory.in_words(n_bytes) == words


# ---- what does not fit ------------------------------------------------------------------------


def test_blocks_are_halved_until_they_fit(make_device, images):
    X, y = images
    expected = gpulr.train(X, y, backend="numpy", max_iter=10, tol=0)
    device = make_device(200_000, believed=3_000_000)
    passes = []
    row_blocks, device.row_blocks = (
        device.row_blocks,
        lambda *sizes: passes.append(device.pool.failed) or row_blocks(*sizes),
    )
    model = gpulr.train(X, y, max_iter=10, tol=0)
    assert device.block_rows <= 601
    assert device.pool.failed <= 5
    # Remembered: passes do not find out again, each by itself.
    assert passes[-1] == passes[len(passes) // 4] > 0
    np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.history.cost[-1], expected.history.cost[-1], rtol=1e-6)


def test_halving_keeps_order_and_sums(make_device, monkeypatch):
    device = make_device(10**6)
    seen, fail_above, failed, freed = [], 5, [], []
    monkeypatch.setattr(device, "free", lambda: freed.append(len(failed)))

    def function(rows):
        if rows.stop - rows.start > fail_above:
            failed.append(rows)
            raise OutOfMemoryError("Out of memory allocating 1,234 bytes")
        seen.append((rows.start, rows.stop))
        numbers = device.xp.arange(rows.start, rows.stop, device=device.device)
        return device.xp.expand_dims(numbers, axis=1)

    blocks = [slice(0, 3), slice(3, 23), slice(23, 42)]
    whole = device.collect_blocks(function, blocks, 1, device.xp.int64)
    np.testing.assert_array_equal(to_host(whole)[:, 0], np.arange(42))
    assert freed == [1, 2]  # after each failure, of 20 and of 10 rows
    assert seen[0] == (0, 3)  # not again
    assert [b for _, b in seen[:-1]] == [a for a, _ in seen[1:]]
    assert device.block_rows == 5
    assert max(b.stop - b.start for b in device.row_blocks(1000, 1, 1)) == 5


def test_models_that_are_too_many_at_once_cut_no_rows(make_device, monkeypatch, rng):
    """Else later passes would take a few rows at a time, as many as there were models."""
    device = make_device(10**7)
    X, y = rng.normal(size=(200, 6)), np.arange(200) % 5
    problem = make_problem(device.asarray, X, y, dtype="float64")
    backend, tried = problem.backend, []
    monkeypatch.setattr(backend, "out_of_memory", (OutOfMemoryError,), raising=False)

    def few(hessians, inverses_of=refresh.inverses_of):
        tried.append(hessians.shape[0])
        if hessians.shape[0] > 2:
            raise OutOfMemoryError("Out of memory allocating 1,234 bytes")
        return inverses_of(hessians)

    monkeypatch.setattr(refresh, "inverses_of", few)
    pool = refresh.Pool.of(problem, None, SharedCurvature.of(problem))
    found = refresh.refreshed(pool, problem, problem.margins(problem.start()))
    assert tried == [5, 3, 2, 1, 1, 1]
    assert found.inverses.shape == (5, 7, 7)
    assert backend.block_rows == math.inf


def test_nothing_is_kept_beside_the_next_block(make_device):
    device = make_device(100_000)
    seen = []

    def function(rows):
        seen.append((rows.stop - rows.start, device.pool.live))
        first = device.xp.zeros(rows.stop - rows.start, device=device.device)
        return device.xp.concat([first + 1.0, first])[:1000]

    parts = device.map_blocks(function, [slice(0, 8000)])
    while next(parts, None) is not None:  # a name for the part would keep it
        pass
    assert seen == [(size, 0) for size in (8000, 4000, 2000, 2000, 2000, 2000)]


def test_rows_that_did_not_fit_after_all_are_streamed(make_device, images, monkeypatch):
    X, y = images
    X = X / 255
    steps = {"max_iter": 5, "tol": 0}
    expected = gpulr.train(X, y, backend="numpy", **steps)
    freed = []
    monkeypatch.setattr(FakeDevice, "free", lambda self: freed.append(self.pool.live))
    device = make_device(140_000, believed=600_000)
    assert X.astype("float32").nbytes > device.pool.budget
    model = gpulr.train(X, y, batched=False, **steps)
    assert device.overlaps
    assert device.pool.failed
    assert freed[0] == 0
    np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("streamed", [False, True])
def test_not_even_one_row_fits(make_device, images, streamed):
    X, _ = images
    device = make_device(10**6)
    rows = device.place(X) if not streamed else device.place(X, column_bytes=10**7)
    rows = Rows(rows, 1.0, None, device, device.xp.float32)
    assert rows.streamed == streamed
    device.pool.budget = device.pool.live + (5000 if streamed else 0)
    before = device.pool.live
    with pytest.raises(gpulr.DeviceMemoryError) as caught:
        rows.sum(lambda block: (device.xp.zeros(900, device=device.device),), [slice(0, 1201)])
    error = caught.value
    assert error.needed == 7200
    assert (error.free, error.total) == (device.pool.budget - before, device.pool.budget)
    for words in ("7,200 bytes more are needed", "allocating 7,200 bytes", "batched=False"):
        assert words in str(error)
    assert device.pool.live == before
    assert isinstance(error, MemoryError)
    assert device.block_rows == 1


def test_memory_that_fails_outside_of_passes_is_typed_too(make_device, images, monkeypatch):
    X, y = images
    device = make_device(70_000)
    monkeypatch.setattr(device, "available_bytes", lambda at_most: at_most)  # all that it wants
    with pytest.raises(gpulr.DeviceMemoryError, match="streamed from the host") as caught:
        gpulr.train(X, y)
    assert caught.value.needed > 0
    # Whoever keeps the exception keeps the rows and labels, but nothing that was made of them.
    assert X.nbytes < device.pool.live < X.nbytes + 10_000
    assert caught.value.free == device.pool.budget - device.pool.live
    del caught
    gc.collect()
    assert device.pool.live == 0
    assert device.in_flight == 0


def test_what_is_missing_survives_a_process_boundary():
    error = gpulr.DeviceMemoryError("It does not suffice.", 1234, 5, 6)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == "It does not suffice."
    assert (copy.needed, copy.free, copy.total) == (1234, 5, 6)


def test_a_library_that_does_not_tell_how_much_it_wanted(make_device, monkeypatch):
    device = make_device(10**6)
    monkeypatch.setattr(device, "memory", lambda: None)
    words = r"more is needed \(No\)"
    with pytest.raises(gpulr.DeviceMemoryError, match=words) as caught, device.activate():
        raise OutOfMemoryError("No.")
    assert (caught.value.needed, caught.value.free, caught.value.total) == (None, None, None)


def test_copies_ahead_that_do_not_fit_are_made_when_asked_for(make_device, images):
    X, _ = images
    device = make_device(10**6)
    rows = device.place(X, column_bytes=10**7)
    device.pool.budget = device.pool.live + 25_000  # for one buffer of 19 kB, not for two
    blocks, read = [slice(0, 600), slice(600, 1201)], []

    def use(block):
        read.append(to_host(device.xp.sum(rows[block, :], axis=0)))
        return block

    parts = list(device.map_blocks(use, blocks, rows))
    assert device.pool.failed > 0
    np.testing.assert_array_equal(sum(read), X.sum(axis=0))
    assert parts[0].start == 0
    assert parts[-1].stop == 1201


# ---- columns ----------------------------------------------------------------------------------


def test_groups_of_columns_fit_into_what_is_free(make_device, images):
    X, _ = images

    class Many:
        n_models = 100

    device = make_device(10**6)
    problem = Many()
    problem.rows = Rows(device.place(X), 1.0, None, device, device.xp.float32)
    column = LBFGS().column_bytes(problem.rows)
    groups = groups_of(LBFGS(), problem)
    most = max(map(len, groups))
    assert most * column <= device.available_bytes(10**9) < 2 * most * column
    assert 0 < device.available_bytes(10**9) < device.memory().free
    assert device.available_bytes(5) == 5
    device.believed = 10**9
    assert len(groups_of(LBFGS(), problem)) == 1
    device.believed = 10
    assert max(map(len, groups_of(LBFGS(), problem))) == 1


def test_a_search_groups_columns_likewise(make_device, images, made):
    X, y = images
    make_device(10**8)
    gpulr.search(X, y, Cs=[1], cv=2, refit=False, tol=1e-2)
    make_device(500_000)
    gpulr.search(X, y, Cs=[1], cv=2, refit=False, tol=1e-2)
    assert [len(path.groups) for path in made] == [1, 2]


# ---- CuPy -------------------------------------------------------------------------------------


def test_cupys_memory(install, monkeypatch):
    install()
    import cupy

    backend = CuPyBackend("cupy", None)
    assert backend.memory() == Memory(6 * GIB + 2**20, 8 * GIB)
    monkeypatch.setenv("GPULR_DEVICE_MEMORY", "3MiB")
    assert backend.memory() == Memory(2**20, 3 * 2**20)
    assert backend.out_of_memory == (cupy.cuda.memory.OutOfMemoryError,)
    backend.free()
    assert cupy.get_default_memory_pool().freed == 1
    words = "Out of memory allocating 1,234,567 bytes (allocated so far: 20 bytes)."
    assert backend.bytes_wanted(OutOfMemoryError(words)) == 1_234_567
    assert backend.bytes_wanted(OutOfMemoryError("something else")) is None


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (None, "8.0 GiB, 6.0 GiB free"),
        ("3MiB", "3.0 MiB, 1.0 MiB free of what GPULR_DEVICE_MEMORY allows"),
        ("much", "GPULR_DEVICE_MEMORY='much' in the environment; expected"),
    ],
)
def test_doctor_tells_the_memory(install, monkeypatch, limit, words):
    if limit:
        monkeypatch.setenv("GPULR_DEVICE_MEMORY", limit)
    install()
    found = report()
    assert dict(found["backends"]["cupy"]["checks"])["device memory"].startswith(words)
    assert found["backends"]["cupy"]["usable"]
    assert found["environment"].get("GPULR_DEVICE_MEMORY") == limit


@pytest.mark.parametrize("broken", [None, "pinned memory"])
def test_streaming_through_cupys_calls(install, monkeypatch, images, broken):
    X, y = images
    expected = gpulr.train(X, y, backend="numpy")
    install(broken)
    monkeypatch.setenv("GPULR_DEVICE_MEMORY", str(2**21 + 100_000))  # 2 MiB are in use
    calls = []
    for name in ("upload", "computed", "compute_waits", "host_waits", "staging"):
        made = getattr(CudaCopies, name)

        def call(self, *args, name=name, made=made):
            calls.append(name)
            return made(self, *args)

        monkeypatch.setattr(CudaCopies, name, call)
    model = gpulr.train(X, y, backend="cupy")
    assert calls.count("staging") == 2
    assert calls.count("upload") > 100
    assert min(map(calls.count, ("computed", "compute_waits", "host_waits"))) > 50
    np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-4, atol=1e-6)
    assert (model.backend, model.device) == ("cupy", "Fake GPU (cuda:0)")


def test_cupy_running_out_of_memory_is_typed(install, blobs, monkeypatch):
    install()
    import cupy

    def fail(self, *args, **kwargs):
        raise cupy.cuda.memory.OutOfMemoryError("Out of memory allocating 5 bytes.")

    monkeypatch.setattr(CuPyBackend, "as_compute", fail)
    with pytest.raises(gpulr.DeviceMemoryError, match="Fake GPU") as caught:
        gpulr.train(*blobs, backend="cupy")
    assert caught.value.needed == 5
