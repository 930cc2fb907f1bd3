"""Rows on their way to a device: what is uploaded, in which type, and how blocks are streamed.

Everything runs on a device that is none (:mod:`fake_device`), where copies are made as late as they
may be, and memory runs out.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.backend import HostRows, arrays, backend_of, host_rows, to_host
from gpulr.backend.arrays import FIRST_ROWS, storage_type
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets
from gpulr.errors import DataError
from gpulr.solvers import LBFGS
from sources import Slices, SparseSlices

PLENTY, LITTLE = 10**8, 70_000  # bytes; in little, columns are trained one by one
STEPS = {"max_iter": 3, "tol": 0}


@pytest.fixture
def make_device(make_device):
    """Return a device of so many bytes that takes small blocks."""
    return partial(make_device, block_bytes=8_000)


@pytest.fixture
def kept_rows(monkeypatch):
    """Keep the rows of every training in this test."""
    from gpulr.families import prepare

    kept, make = [], prepare.scaled_rows
    monkeypatch.setattr(
        prepare, "scaled_rows", lambda *arguments: kept.append(make(*arguments)) or kept[-1]
    )
    return kept


# ---- what is stored ---------------------------------------------------------------------------

F4, F8 = np.dtype("float32"), np.dtype("float64")


@pytest.mark.parametrize(
    ("values", "dtype", "rounds_to", "stored"),
    [
        ([0, 255], "uint8", F4, "uint8"),
        ([-3, 3], "int8", F4, "int8"),
        ([0, 1], "bool", F4, "uint8"),
        ([0, 255], "int64", F4, "uint8"),
        ([0, 255], "float32", F4, "uint8"),
        ([-1, 127], "float64", F4, "float16"),
        ([-1, 2048], "int16", F4, "float16"),
        ([-2049, 0], "int16", F4, "int16"),
        ([-1, 2048], "int32", F4, "float16"),
        ([-1, 2049], "int32", F4, "float32"),
        ([0, 2**24 + 1], "int32", F4, "float32"),
        ([0, 2**24 + 1], "int32", None, "int32"),
        ([0, 2**24], "int64", None, "float32"),
        ([0, 2**24 + 1], "int64", None, "int64"),
        ([0, 2**24 + 1], "int64", F4, "float32"),
        ([0, 2**63], "uint64", None, "uint64"),
        ([-(2**63), 0], "int64", None, "int64"),
        ([0.5, 2.0], "float64", F4, "float16"),
        ([0.5, 2.0], "float16", F4, "float16"),
        ([0.1, 2.0], "float32", F4, "float32"),
        ([0.1, 2.0], "float64", F4, "float32"),
        ([0.1, 2.0], "float64", None, "float64"),
        ([0.1, 2.0], "float64", F8, "float64"),
        ([2**-130, 1 + 2**-23], "float64", None, "float32"),
        ([np.nan, 1.0], "float32", F4, "float32"),
        ([np.inf, 1.0], "float64", None, "float16"),
        ([1e39, 1.0], "float64", None, "float64"),
        ([1, 300], ">i8", F4, "float16"),
        ([0.1, 300], ">f8", None, "float64"),
        *(([0, 255], "bfloat16", r, "uint8") for r in (F4, None)),
        *(([-1, 256], "bfloat16", r, "float16") for r in (F4, None)),
        *(([1e-8, 256], "bfloat16", r, "float32") for r in (F4, None)),
        ([-3, 3], "int4", F4, "float16"),
    ],
)
def test_the_smallest_type_that_holds_all_values(monkeypatch, values, dtype, rounds_to, stored):
    if dtype in ("bfloat16", "int4"):
        pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    monkeypatch.setattr(arrays, "CHUNK_BYTES", 300)
    monkeypatch.setattr(arrays, "LOOK_BYTES", 70)
    for rows in (2, FIRST_ROWS + 3, FIRST_ROWS + 400):  # the second value is in the last piece
        X = np.full((rows, 3), values[0], dtype)
        X[-1, -1] = values[1]
        found = storage_type(X, rounds_to, np)
        assert found == np.dtype(stored)
        assert found.isnative
        if rounds_to is None and not np.isnan(values[0]):
            np.testing.assert_array_equal(X.astype(found).astype(X.dtype), X)


def test_a_type_that_the_library_lacks_is_not_taken():
    class Lacking:
        uint8, int8, float32 = np.uint8, np.int8, np.float32

    assert storage_type(np.full((2, 2), 300), F4, Lacking) == F4


def test_bfloat16_stays_where_the_library_has_it():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")

    class Having:
        uint8, float16, float32, bfloat16 = np.uint8, np.float16, np.float32, object()

    for values, stored in (([1e-8, 256], "bfloat16"), ([-1, 0.5], "float16"), ([0, 9], "uint8")):
        X = np.array([values], ml_dtypes.bfloat16)
        for rounds_to in (F4, F8, None):
            assert storage_type(X, rounds_to, Having) == np.dtype(stored)


def test_fractions_are_found_out_in_the_first_rows(rng):
    class Watched(np.ndarray):
        looked = 0

        def __getitem__(self, key):
            Watched.looked += key.stop - key.start
            return np.asarray(self)[key]

    storage_type(rng.normal(size=(10_000, 3)).view(Watched), None, np)
    assert Watched.looked == FIRST_ROWS


# ---- uploaded once ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "stored", "layout"),
    [
        *(("uint8", 1, "C"), ("bool", 1, "F"), ("int64", 1, "strided"), (">f4", 4, "strided")),
        *(("float64", 4, layout) for layout in ("C", "F", "strided")),
        *(("float32", 4, layout) for layout in ("C", "F")),
    ],
)
def test_what_fits_is_uploaded_once_in_the_smallest_type(
    make_device, images, kept_rows, monkeypatch, dtype, stored, layout
):
    X, y = images
    monkeypatch.setattr(host_rows, "STAGING_BYTES", 10_001)
    monkeypatch.setattr(host_rows, "PIECE_BYTES", 1_000)
    X = (X > 100 if dtype == "bool" else X + (0.1 if stored == 4 else 0)).astype(dtype)
    X = np.repeat(X, 2, axis=1)[::-1, ::2] if layout == "strided" else np.asarray(X, order=layout)
    y = y[::-1] if layout == "strided" else y
    expected = gpulr.train(X, y, max_iter=3, tol=0)
    device = make_device(PLENTY)
    model = gpulr.train(X, y, max_iter=3, tol=0)
    (_, rows) = kept_rows
    assert not rows.streamed
    assert device.uploaded == stored * X.size
    assert device.overlaps == device.in_flight == 0
    np.testing.assert_array_equal(to_host(rows.X), X.astype("float32") if stored == 4 else X)
    assert rows.X._array.flags.c_contiguous
    np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-4, atol=1e-6)
    assert model.scale == expected.scale == (1 / 255 if dtype == "uint8" else 1.0)
    assert {**model.data, "feature_range": 0} == {**expected.data, "feature_range": 0}
    np.testing.assert_allclose(model.data["feature_range"], expected.data["feature_range"])


# ---- streamed ---------------------------------------------------------------------------------


@pytest.mark.covering
@pytest.mark.parametrize("budget", [PLENTY, LITTLE], ids=["fits", "streamed"])
@pytest.mark.parametrize("chunk", [None, 30], ids=["uncut", "chunks"])
@pytest.mark.parametrize("settings", [{}, {"standardize": True}], ids=["plain", "standardized"])
def test_rows_in_a_file_have_the_bits_of_rows_on_the_host(
    make_device, images, kept_rows, monkeypatch, budget, chunk, settings
):
    X, y = images
    monkeypatch.setattr(host_rows, "STAGING_BYTES", 5_001)
    monkeypatch.setattr("gpulr.validation.sources.LEAST_BYTES", 1)
    # Sums of blocks that are cut at chunks are rounded in another order.
    expected, found = [], []
    for of, models in ((X, expected), (Slices(X, chunk), found)):
        device = make_device(budget)
        models.append(gpulr.train(of, y, **STEPS, **settings))
        assert device.in_flight == 0
        assert kept_rows[-1].streamed == (budget == LITTLE)
    rtol = 0 if chunk is None or budget == PLENTY else 1e-3
    np.testing.assert_allclose(found[0].weights, expected[0].weights, rtol=rtol, atol=rtol / 100)


def test_blocks_of_a_file_that_do_not_fit_are_cut(make_device, images):
    X, y = images
    device = make_device(140_000, believed=600_000)
    device.block_bytes = 400_000
    model = gpulr.train(Slices(X), y, **STEPS)
    assert device.block_rows < np.inf
    expected = gpulr.train(X, y, backend="numpy", **STEPS)
    np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-3, atol=1e-5)


def test_reading_fails_in_the_middle_of_a_pass(make_device, images):
    X, y = images
    device = make_device(LITTLE)
    with pytest.raises(
        DataError, match=r"Rows 1,173 to 1,200 of X cannot be read: the disk is gone"
    ):
        gpulr.train(Slices(X, broken_at=len(X) - 3), y, **STEPS)
    assert device.in_flight == 0
    with pytest.raises(DataError, match=r'in a file, .* Use backend="numpy"'):
        gpulr.train(SparseSlices(sparse.csr_array(X)), y, **STEPS)


CASES = {
    "plain": ("uint8", LITTLE, {}),
    "plain, wide": ("float64", 170_000, {}),
    "standardized": ("uint8", LITTLE, {"standardize": True}),
    "standardized, wide": ("float64", 250_000, {"standardize": True}),
    "weights": ("uint8", LITTLE, {"class_weight": "balanced"}),
    "weights, wide": ("float64", 170_000, {"class_weight": "balanced"}),
    "float64": ("float64", 300_000, {"dtype": "float64"}),
    "nesterov": ("uint8", 50_000, {"solver": "nesterov"}),
    "one by one": ("uint8", LITTLE, {"batched": False}),
    "no intercept": ("float64", 170_000, {"fit_intercept": False}),
    "labels": ("uint8", LITTLE, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_streamed_training_finds_what_numpy_finds(make_device, images, kept_rows, rng, case):
    X, y = images
    dtype, budget, settings = CASES[case]
    X, settings = X.astype(dtype), STEPS | settings
    if dtype == "float64":
        X = X + rng.normal(size=X.shape) + 1000 * ("standardize" in settings)
    if "class_weight" in settings:
        settings["sample_weight"] = rng.exponential(size=len(y))
    if case == "labels":
        y = (rng.random((len(X), 4)) < 0.3).astype(np.uint8)
    if "standardize" not in settings:
        settings["scale"] = 1 / 255
    expected = gpulr.train(X, y, backend="numpy", **settings)
    device = make_device(budget)
    model = gpulr.train(X, y, **settings)
    (_, rows) = kept_rows
    assert rows.streamed
    assert device.uploaded > 5 * rows.X.nbytes
    assert device.overlaps > 50
    assert device.in_flight == 0
    assert device.pool.peak <= device.pool.budget
    tight = "dtype" in settings
    for a, b in ((model.weights, expected.weights), (model.intercept, expected.intercept)):
        np.testing.assert_allclose(a, b, rtol=1e-7 if tight else 1e-3, atol=1e-9 if tight else 1e-5)
    np.testing.assert_allclose(
        model.history.cost[-1], expected.history.cost[-1], rtol=1e-12 if tight else 1e-6
    )
    assert model.scale == expected.scale
    np.testing.assert_allclose(model.data["feature_range"], expected.data["feature_range"])


def test_a_memory_map_larger_than_the_device(make_device, images, monkeypatch, tmp_path):
    X, y = images
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    steps = STEPS | {"solver": "gd", "learning_rate": 0.2}
    expected = gpulr.train(X, y, backend="numpy", **steps)
    copied = []
    for budget in (38_000, 60_000, 120_000):
        device = make_device(budget)
        model = gpulr.train(mapped, y, **steps)
        np.testing.assert_allclose(model.weights, expected.weights, atol=1e-6)
        assert device.pool.failed == 0
        copied.append(device.uploaded / X.nbytes)
        monkeypatch.undo()
    assert model.score(mapped, y) == expected.score(X, y)
    assert copied[0] > copied[1] > copied[2] == 1.0


@pytest.mark.parametrize("standardize", [False, True])
def test_a_search_on_streamed_rows(make_device, images, kept_rows, standardize):
    X, y = images[0] / 255, images[1] > 0
    arguments = {"Cs": [0.01], "cv": 2, "tol": 1e-2, "standardize": standardize}
    expected = gpulr.search(X, y, backend="numpy", **arguments)
    device = make_device(300_000 if standardize else 170_000)
    found = gpulr.search(X, y, **arguments)
    assert kept_rows[-1].streamed
    assert device.overlaps
    assert device.in_flight == 0
    np.testing.assert_allclose(found.scores, expected.scores)
    np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-5)
    np.testing.assert_allclose(found.model.weights, expected.model.weights, atol=1e-5)


def test_a_bootstrap_on_streamed_rows(make_device, images):
    X, y = images
    arguments = {"n": 2, "random_state": 0, "tol": 1e-3}
    expected = gpulr.bootstrap(X, y == 1, backend="numpy", **arguments)
    device = make_device(LITTLE)
    found = gpulr.bootstrap(X, y == 1, **arguments)
    assert device.overlaps
    np.testing.assert_allclose(found.coef, expected.coef, atol=1e-4)


def test_the_sample_of_the_rows_is_taken_on_the_host(make_device, images, monkeypatch):
    X, y = images[0], images[1] > 0
    monkeypatch.setattr(
        "gpulr.families.settings.SOLVERS", {"lbfgs": lambda rate: LBFGS(sample=300)}
    )
    expected = gpulr.train(X, y, backend="numpy")
    device = make_device(LITTLE)
    taken, take = [], HostRows.take
    monkeypatch.setattr(HostRows, "take", lambda self, i: taken.append(i) or take(self, i))
    model = gpulr.train(X, y)
    assert taken  # for each group of columns
    for index in taken:
        assert type(index) is np.ndarray
        assert len(np.unique(index)) == 300
    np.testing.assert_allclose(model.weights, expected.weights, atol=1e-4)
    assert device.overlaps


@pytest.mark.parametrize(
    ("value", "standardize", "words"),
    [
        (np.nan, False, "NaN or infinity"),
        (np.inf, True, "NaN or infinity"),
        (1e300, False, "too large"),
        (1e300, True, "too large"),
    ],
)
@pytest.mark.parametrize("budget", [PLENTY, LITTLE])
def test_what_cannot_be_computed_with_is_found(
    make_device, images, value, standardize, words, budget
):
    X, y = images
    X = X + 0.3
    X[907, 31] = value
    make_device(budget)
    with pytest.raises(gpulr.DataError, match=rf"{words}.*first in row 907"):
        gpulr.train(X, y, standardize=standardize)


# ---- blocks -----------------------------------------------------------------------------------


def blocks_of(n, length):
    return [slice(a, min(a + length, n)) for a in range(0, n, length)]


def converted(device, rows):
    """What a pass maps: blocks in the compute dtype, on the host."""

    def convert(block):
        part = rows[block, :]
        assert part._array.flags.c_contiguous
        return to_host(device.as_compute(part, device.xp.float32)).copy()

    return convert


@pytest.mark.parametrize("n", [1, 2, 7, 64, 65])
@pytest.mark.parametrize("index", [None, "some"])
def test_blocks_come_in_order_and_whole(make_device, monkeypatch, rng, n, index):
    monkeypatch.setattr(host_rows, "STAGING_BYTES", 50)
    device = make_device(PLENTY)
    X = rng.integers(0, 255, (90, 9)).astype(np.int32)
    rows = device.host_rows(X, np.dtype("uint8"))
    if index:
        chosen = rng.permutation(90)[:71]
        rows, X = rows.take(chosen), X[chosen]
        chosen = rng.permutation(71)[:65]
        rows, X = rows.take(chosen), X[chosen]
    blocks = blocks_of(len(X), n)
    assert rows.shape == X.shape
    assert rows.dtype == device.xp.uint8
    for number in range(2):
        parts = []
        for i, part in enumerate(device.map_blocks(converted(device, rows), blocks, rows)):
            if number == 0:  # the next block is on its way
                assert bool(device.in_flight) == (i + 1 < len(blocks))
            parts.append(part)
        np.testing.assert_array_equal(np.concatenate(parts), X)
        assert device.in_flight == 0
    assert device.uploaded == (1 if len(blocks) < 3 else 2) * X.size  # two blocks stay


@pytest.mark.parametrize("kept", [0, 1, 500, 750, 1200, 1201])
def test_the_first_rows_are_kept_where_there_is_room(make_device, images, kept):
    X, _ = images
    device = make_device(PLENTY)
    rows = device.host_rows(X, X.dtype)
    rows.keep((kept + 5) * 32 - 1 if kept == 1201 else kept * 32 + 31)
    assert device.uploaded == kept * 32
    blocks = blocks_of(1201, 100)
    streamed = sum(block.stop - block.start for block in blocks if block.stop > kept)
    for number in (1, 2):
        parts = list(device.map_blocks(converted(device, rows), blocks, rows))
        np.testing.assert_array_equal(np.concatenate(parts), X)
        # Of one or two blocks, nothing is copied again.
        passes = number if streamed > 200 else 1
        assert device.uploaded == (kept + passes * streamed) * 32
    for half in (kept // 2, kept // 4):
        rows.drop()
        assert device.pool.live == half * 32
    np.testing.assert_array_equal(to_host(rows[slice(0, 100), slice(None)]), X[:100])


def test_what_is_kept_makes_room_where_memory_runs_out(make_device, images):
    X, _ = images
    device = make_device(40_000)
    rows = device.host_rows(X, X.dtype)
    rows.keep(50_000)
    assert device.pool.failed == 0
    assert device.pool.live == X.nbytes
    parts = list(device.map_blocks(converted(device, rows), blocks_of(200, 100), rows))
    np.testing.assert_array_equal(np.concatenate(parts), X[:200])
    assert device.pool.failed == 1
    assert device.pool.live == 600 * 32
    device.pool.budget = 1000
    rows.keep(20_000)  # which cannot be had
    assert device.pool.failed == 2


def test_a_pass_that_ends_early_leaves_nothing_in_flight(make_device, images):
    device = make_device(PLENTY)
    rows = device.host_rows(images[0], np.dtype("uint8"))
    blocks, use = blocks_of(1201, 401), converted(device, rows)
    started = device.map_blocks(use, blocks, rows)
    next(started)
    assert device.in_flight
    started.close()
    assert device.in_flight == 0

    def fail(block):
        if block.start:
            raise ZeroDivisionError
        return use(block)

    with pytest.raises(ZeroDivisionError):
        list(device.map_blocks(fail, blocks, rows))
    assert device.in_flight == 0


def test_a_pass_over_margins_uploads_nothing(make_device, images):
    X, y = images
    device = make_device(PLENTY)
    xp = device.xp
    rows = Rows(device.host_rows(X, np.dtype("uint8")), 1 / 255, None, device, xp.float32)
    table = device.asarray(np.eye(3, dtype=np.float32))
    targets = ClassTargets(device.asarray(y.astype(np.int32)), table, device)
    problem = Problem.of(rows, targets, device.asarray(np.ones(3)))
    theta = problem.start() + 0.1
    Z = problem.margins(theta)
    before = device.uploaded
    assert before == X.nbytes
    problem.derivatives_along(Z, Z, 1.0)
    Z.along(Z, theta[0, :])
    problem.class_counts()
    assert device.uploaded == before
    one, other = problem.evaluate(theta), problem.evaluate_margins(Z, theta)
    assert device.uploaded == 3 * before
    np.testing.assert_array_equal(to_host(one.gradient), to_host(other.gradient))
    resident = replace(problem, rows=replace(rows, X=device.asarray(X)))
    assert not resident.rows.streamed
    np.testing.assert_array_equal(to_host(one.gradient), to_host(resident.evaluate(theta).gradient))


def test_numpy_streams_nothing(images):
    X, _ = images
    here = backend_of(X)
    assert here.place(X) is X
    assert here.memory() is None
    assert here.available_bytes(5) == 5
