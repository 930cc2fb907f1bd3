"""The parts of :mod:`bench.gpu` that measure gpulr: pass, transfer, training, search, start.

They measure a card through CuPy, with CUDA events, or for a rehearsal its stand-in.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from typing import Any
from unittest import mock

import numpy as np

import gpulr
from bench.data import Data, Objective, load_workload
from bench.files import RESULTS, rounded
from bench.passes import (
    Contestant,
    check,
    evaluate,
    parts,
    prepare,
)
from bench.run import Run, quartiles, race, rehearsal, setting, worker
from bench.searches import CS, N_FOLDS, TOL
from gpulr.backend import Backend, backend_of, select, to_host
from gpulr.errors import BackendUnavailableError
from gpulr.kernels.dispatch import FusedProblem
from gpulr.solvers.subspace import leading

FLUSH_FACTOR = 4  # of the L2 cache, that nothing of what was there before stays
LONGEST_HOLD = 0.05  # seconds
QUEUED = 20  # calls
TOLS = (1e-4, 5e-5, 2e-5, 1e-5)
# Seconds until a process is ended; what it has found by then counts.
STARTS = {"nothing-compiled": 25.0, "kernels-compiled": 12.0}

# Keeps the stream busy, and neither memory nor the L2 cache.
_HOLD = r"""
extern "C" __global__ void hold(unsigned long long nanoseconds) {
    unsigned long long started, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(started));
    do {
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    } while (now - started < nanoseconds);
}
"""


class Card:
    """A CUDA device, as CuPy sees it."""

    copy_bytes = 2**30
    backend: Backend

    def __init__(self) -> None:
        self.backend = select("cupy")
        if self.backend.name != "cupy":
            raise BackendUnavailableError(f"CuPy cannot be used: {self.backend.fallback_reason}")
        import cupy

        self.cupy = cupy
        self.properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        flushed = FLUSH_FACTOR * max(int(self.properties["l2CacheSize"]), 2**20)
        self._flush = cupy.zeros(flushed, dtype=cupy.uint8)
        self._hold = cupy.RawKernel(_HOLD, "hold")

    def about(self) -> dict[str, Any]:
        """Return what the record says of the device."""
        runtime, found = self.cupy.cuda.runtime, self.properties
        return {
            "name": found["name"].decode(),
            "compute_capability": f"{found['major']}.{found['minor']}",
            "multiprocessors": found["multiProcessorCount"],
            "memory_bytes": found["totalGlobalMem"],
            "l2_bytes": found["l2CacheSize"],
            "cuda_driver": runtime.driverGetVersion(),
            "cuda_runtime": runtime.runtimeGetVersion(),
            "CUPY_TF32": os.environ.get("CUPY_TF32"),
        }

    def device_seconds(self, run: Run, hold: float, *, cold: bool = False) -> float:
        """Return the time between two events around what ``run`` asks of the device.

        ``hold`` is for how many seconds the stream waits before the first event: longer than
        ``run`` takes to queue its work.
        """
        cuda = self.cupy.cuda
        started, ended = cuda.Event(), cuda.Event()
        if cold:
            self._flush += 1
        self._hold((1,), (1,), (np.uint64(1e9 * hold),))
        started.record()
        run()
        ended.record()
        ended.synchronize()
        return 1e-3 * float(cuda.get_elapsed_time(started, ended))

    def copy(self) -> Run:
        """Return a copy from device memory to device memory."""
        source = self.cupy.zeros(self.copy_bytes // 4, dtype=self.cupy.float32)
        target = self.cupy.empty_like(source)
        return lambda: target.data.copy_from_device_async(
            source.data, source.nbytes, self.cupy.cuda.get_current_stream()
        )

    def pinned(self, array: Any) -> Any:
        """Return a copy in host memory that the device can read by itself."""
        import cupyx

        copy = cupyx.empty_pinned(array.shape, array.dtype)
        copy[...] = array
        return copy

    def wait(self, results: Any = None) -> Any:
        """Return the results once the device is idle."""
        self.backend.synchronize()
        return results

    def host_seconds(self, run: Run, calls: int = 1) -> float:
        """Return the time of a call from an idle device to an idle device; of many, their mean."""
        self.wait()
        started = time.perf_counter()
        for _ in range(calls):
            run()
        self.wait()
        return (time.perf_counter() - started) / calls

    def queueing_seconds(self, run: Run) -> float:
        """Return how long to hold the stream, so that ``run`` is queued before its work begins."""
        self.wait()
        started = time.perf_counter()
        run()
        seconds = time.perf_counter() - started
        self.wait()
        return min(2.0 * seconds + 2e-4, LONGEST_HOLD)

    def timed(self, run: Run, rounds: int) -> dict[str, dict[str, float]]:
        """Return the first call's seconds, and the quartiles of others."""
        first = self.host_seconds(run)
        times = [self.host_seconds(run) for _ in range(2 if rehearsal() else rounds)]
        return {"host": quartiles(times), "first": quartiles([first])}


class StandIn(Card):
    """NumPy or array-api-strict in a card's place: every step, and no meaning."""

    copy_bytes = 2**20

    def __init__(self) -> None:
        if (library := rehearsal()) == "strict":
            import array_api_strict

            device = array_api_strict.Device("device1")
            self.backend = backend_of(array_api_strict.zeros(1, device=device))
        elif library == "numpy":
            self.backend = backend_of(np.zeros(1))
        else:
            raise SystemExit(f"GPULR_BENCH_REHEARSE={library!r}; expected numpy or strict.")

    def about(self) -> dict[str, Any]:
        return {"name": f"none: a rehearsal on {self.backend.name}"}

    def device_seconds(self, run: Run, hold: float, *, cold: bool = False) -> float:
        return self.host_seconds(run)

    def copy(self) -> Run:
        xp, device = self.backend.xp, self.backend.device
        source = xp.zeros(self.copy_bytes // 4, dtype=xp.float32, device=device)
        return lambda: source + 0.0

    def pinned(self, array: Any) -> Any:
        return array.copy()


def card() -> Card:
    """Return the GPU, or under ``GPULR_BENCH_REHEARSE`` its stand-in."""
    return StandIn() if rehearsal() else Card()


# Part pass


def copy_bandwidth(here: Card, record: Any) -> float:
    """Measure a copy from device memory to device memory, in bytes per second."""
    run, n_bytes = here.copy(), 2 * here.copy_bytes  # read, and written
    run()
    found = quartiles([here.device_seconds(run, 2e-4) for _ in range(10)])
    rate = rounded(n_bytes / found["median"])
    record.add("copy", bytes=n_bytes, seconds={"device": found}, bytes_per_second=rate)
    return rate


def pass_part(here: Card, work: Data, record: Any) -> None:
    """Cost and gradient of ten models in every way, and bytes per second beside a copy's."""
    copied, name = copy_bandwidth(here, record), here.backend.name
    ways = ("fused", "batched", "portable", "loop")  # those that matter most first
    every = [Contestant(w, name, "float32", rows) for w in ways for rows in ("float32", "uint8")]
    every += [Contestant(way, name, "float64") for way in ("batched", "loop")]
    issues: dict[Contestant, Run] = {}
    facts: dict[Contestant, dict[str, Any]] = {}

    def called(one: Contestant) -> str:
        return f"{one.way}-{one.dtype}-on-{one.rows}"

    @contextmanager
    def attempt(one: Contestant) -> Iterator[None]:
        """Under the way's setting; what fails is recorded, and takes no part any more."""
        with record.attempt(called(one)), ExitStack() as failed:
            failed.callback(issues.pop, one, None)
            with setting(one.way), here.backend.activate():
                yield
            failed.pop_all()

    for one in every:
        if one.way == "fused" and rehearsal():
            record.leave_out(called(one), "a rehearsal has no fused kernel")
            continue
        with attempt(one):
            problems = parts(one, work, here.backend)
            started = time.perf_counter()
            results = here.wait(evaluate(problems))
            first = time.perf_counter() - started  # kernels are compiled in it
            error = rounded(check("pass", one, results, work))
            # What gpulr chose, where it has a choice, and why.
            problem = problems[0][0]
            chosen = problem.dispatch.reason if isinstance(problem, FusedProblem) else None
            issues[one] = partial(evaluate, problems)
            facts[one] = {"first": first, "error": error, "chosen": chosen}
            facts[one]["hold"] = here.queueing_seconds(issues[one])

    def turn(one: Contestant) -> dict[str, float]:
        found: dict[str, float] = {}
        if run := issues.get(one):
            with attempt(one):
                run()
                found["device"] = here.device_seconds(run, facts[one]["hold"])
                found["device_cold"] = here.device_seconds(run, facts[one]["hold"], cold=True)
                found["host"] = here.host_seconds(run)
                found["queued"] = here.host_seconds(run, QUEUED)
        return found

    turns = race({one: one for one in issues}, 2 if rehearsal() else 30, turn, seconds=25.0)
    for one, issue in list(issues.items()):
        fact = facts[one]
        with attempt(one):
            check("pass", one, issue(), work)
            found = {kind: quartiles([turn[kind] for turn in turns[one]]) for kind in turns[one][0]}
            # What any pass has to read of the rows and labels, once, and nothing else.
            n_bytes = work.X.size * np.dtype(one.rows).itemsize + 4 * len(work.y)
            rates = {k: n_bytes / found[k]["median"] for k in ("device_cold", "device")}
            record.add(
                called(one),
                **{**one.about("pass"), **work.sizes},
                seconds=found | {"first": quartiles([fact["first"]])},
                **{"rounds": len(turns[one]), "error": fact["error"], "chosen": fact["chosen"]},
                bytes=n_bytes,
                bytes_per_second=rounded(rates["device_cold"]),
                fraction_of_copy=rounded(rates["device_cold"] / copied),
                fraction_of_copy_warm=rounded(rates["device"] / copied),
            )


# Part transfer


def transfer_part(here: Card, work: Data, record: Any) -> None:
    """Rows to the device, as gpulr sends them and from pinned memory; and margins back."""
    copy_bandwidth(here, record)

    def add(name: str, run: Run, n_bytes: int) -> None:
        with here.backend.activate():
            found = here.timed(run, 10)  # the first allocates memory, which later calls find again
        rate = rounded(n_bytes / found["host"]["median"])
        record.add(name, bytes=n_bytes, seconds=found, bytes_per_second=rate)

    for rows in ("uint8", "float32"):
        array, _ = work.rows(rows)
        with record.attempt(f"upload-{rows}"):
            add(f"upload-{rows}", partial(here.backend.asarray, array), array.nbytes)
        with record.attempt(f"upload-{rows}-pinned"):
            pinned = here.pinned(array)
            assert np.array_equal(pinned, array)
            add(f"upload-{rows}-pinned", partial(here.backend.asarray, pinned), array.nbytes)
    with record.attempt("download-margins"):
        margins = np.zeros((len(work.X), work.n_classes), dtype=np.float32)
        there = here.backend.asarray(margins)
        add("download-margins", lambda: to_host(there), margins.nbytes)


# Part training


class Kept:
    """A call that keeps what it returned last."""

    result: Any = None

    def __init__(self, run: Run) -> None:
        self.run = run

    def __call__(self) -> None:
        self.result = self.run()


def training_part(here: Card, work: Data, record: Any) -> None:
    """The whole way to the optimum, and gradient descent, batched and one digit at a time.

    Times are of whole calls of :func:`gpulr.train`, from rows on the host (so uploads are in them)
    and from rows on the device. The gap is the float64 objective, computed on the host without
    gpulr's code, above its optimum, summed over the models.
    """
    data, name = load_workload(whole=True), here.backend.name
    places = {"host": (data.X, data.y)} if name in ("numpy", "cupy") else {}
    places["device"] = here.backend.asarray(data.X), here.backend.asarray(data.y)
    settings = {"scale": data.scale, "C": 1.0}
    backend = name if "host" in places else "auto"
    objective = Objective(data.rows_float64, data.y, range(10), 1.0)

    def trained(place: str, **more: Any) -> Any:
        model = gpulr.train(*places[place], backend=backend, **settings, **more)
        assert model.backend == name, model.fallback_reason
        return model

    def cost(model: Any) -> float:
        W = to_host(model.weights).astype(np.float64) / data.scale
        return float(objective.costs(W, to_host(model.intercept)).sum())

    found: dict[str, tuple[float, Any, Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gpulr.errors.ConvergenceWarning)  # the gap tells more
        for place, tol in product(places, TOLS):
            called = f"lbfgs-from-{place}-tol-{tol:g}"
            with record.attempt(called):
                run = Kept(partial(trained, place, tol=tol))
                found[called] = tol, here.timed(run, 5), run.result
        known = json.loads((RESULTS / "peers-mnist.json").read_text(encoding="utf-8"))
        optimum, source = known["optimum"]["cost"], "bench.peers"
        if known["C"] != 1.0 or known["data"]["sha256"] != data.about["sha256"]:
            optimum = cost(trained("device", tol=1e-8, dtype="float64"))
            source = "gpulr in float64, tol=1e-8"
    for called, (tol, times, model) in found.items():
        steps = model.history.n_iter
        record.add(
            called,
            **{**data.sizes, "setting": {"tol": tol, **settings}, "seconds": times},
            gap=rounded(cost(model) - optimum),
            **{"optimum": optimum, "optimum_by": source},
            iterations=[int(np.min(steps)), int(np.max(steps))],
        )
    if "host" not in places:
        record.leave_out("gd", f"{name} takes its own arrays alone")
        return
    for way in ("batched", "loop"):
        contestant = Contestant(way, name, "float32")
        with record.attempt(f"gd-{way}"):
            run = Kept(prepare("training", contestant, work))
            times = here.timed(run, 5)
            check("training", contestant, run.result, work)
            about = {**contestant.about("training"), **work.sizes}
            record.add(f"gd-{way}", **about, seconds=times)


# Part search


def search_part(here: Card, work: Data, record: Any) -> None:
    """C by cross-validation, 10 classes × 10 values of C × 5 folds: 500 models; one is checked."""
    data, name = load_workload(whole=True), here.backend.name
    X, y, backend = data.X, data.y, name
    if name not in ("numpy", "cupy"):
        X, y, backend = here.backend.asarray(X), here.backend.asarray(y), "auto"
    Cs = CS[3:6] if rehearsal() else CS
    settings: dict[str, Any] = {"Cs": Cs, "cv": N_FOLDS, "tol": TOL, "scale": data.scale}
    search = partial(gpulr.search, X, y, backend=backend, **settings)
    with record.attempt("search"), warnings.catch_warnings():
        warnings.simplefilter("error", gpulr.errors.ConvergenceWarning)
        times = here.timed(partial(search, refit=False), 3)
        result = search()
        model = result.model
        theta = np.vstack([to_host(model.weights) / data.scale, to_host(model.intercept)])
        objective = Objective(data.rows_float64, data.y, range(10), model.settings["C"])
        error = float(np.abs(objective.gradient(theta.astype(np.float64))).max())
        if not error <= 2.0 * TOL:
            raise ArithmeticError(f"the model's gradient is {error:.1e}, with tol={TOL:g}")
        assert model.backend == name, model.fallback_reason
        record.add(
            "search",
            **{**data.sizes, "seconds": times},
            **{"Cs": [rounded(C, 6) for C in Cs], "n_folds": N_FOLDS, "tol": TOL},
            models=int(result.converged.size),
            converged=int(result.converged.sum()),
            iterations=result.n_iter.max(axis=(0, 2)).tolist(),
            best_C=float(result.best_C),
            scores=[rounded(score) for score in result.mean_scores],
            gradient_norm=rounded(error),
        )


# Part eigenvectors


def eigenvectors_part(here: Card, work: Data, record: Any) -> None:
    """All eigenvectors of a covariance, and the leading ones: what rank_for weighs."""
    some = work.X[:12_000].astype(np.float64) * work.scale
    some -= some.mean(axis=0)
    xp, n = here.backend.xp, some.shape[1]
    matrix = here.backend.asarray(some.T @ some / len(some))
    runs: dict[str, Run] = {f"all-{n}": lambda: xp.linalg.eigh(matrix)}
    for rank in (64 * n // 784, 128 * n // 784, 256 * n // 784):  # in a rehearsal fewer
        runs[f"leading-{rank}-of-{n}"] = partial(leading, matrix, rank, here.backend)
    for name, run in runs.items():
        with record.attempt(name), here.backend.activate():
            record.add(name, seconds=here.timed(run, 5))


# Part start


def start_part(here: Card, work: Data, record: Any) -> None:
    """Import, first and second call in a fresh process.

    Twice: with an empty folder of compiled kernels, and with the one that the first process filled.
    """
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, CUPY_CACHE_DIR=cache):
        for state, limit in STARTS.items():
            with record.attempt(state):
                for name, taken in worker(time_start, {}, limit, state):
                    times = {"host": quartiles([taken])}
                    record.add(f"{state}-{name}", **work.sizes, seconds=times)


def time_start() -> Iterator[tuple[str, float]]:
    """In a fresh process: time the steps of a training."""
    work, started = load_workload(), time.perf_counter()
    here = card()
    yield "cupy-and-probe", time.perf_counter() - started
    started = time.perf_counter()
    X = here.wait(here.backend.asarray(work.X))
    yield "first-upload", time.perf_counter() - started
    y = here.backend.asarray(work.y)
    backend = "auto" if rehearsal() else here.backend.name
    for name in ("first-training", "second-training", "third-training"):
        started = time.perf_counter()
        model = here.wait(gpulr.train(X, y, backend=backend, scale=work.scale, tol=1e-3))
        yield name, time.perf_counter() - started
        assert model.backend == here.backend.name, model.fallback_reason
