"""Measurements of one CUDA GPU: what gpulr costs there, apart and beside others.

``bash bench/on_gpu.sh OUTDIR`` runs all of it, the GPU tests first, in less than eight minutes and
without a network; it says which modules are missing. Each part is also run by itself::

    GPULR_FALLBACK=error python -m bench.gpu pass --output pass.json

Times of a pass are of four kinds. ``device``: from CUDA events, while a kernel that only waits
holds the stream until everything has been queued, so that no launch is in it. ``device_cold``: the
same after a buffer that is larger than the L2 cache has been written. ``host``: from the call until
the device is idle, launches and all. ``queued``: many calls and one wait, divided by their number.
``first`` is the first call in its process, in which kernels are compiled or loaded. A pass that
waits for the device by itself shows that in every kind.

``GPULR_BENCH_REHEARSE=numpy`` (or ``strict``, for array-api-strict) runs the same parts on few rows
and without a GPU, to see that they work. Such a result says ``"rehearsal": true``; its figures mean
nothing. What the figures on an H100 should be, and how a result compares: :mod:`bench.predict`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import gpulr
from bench import libraries
from bench.contestants import Contestant, check, parts, passes, prepare
from bench.data import Data, Objective, load_workload
from bench.gpu_card import QUEUED, card, host_seconds, queueing_seconds, take_turn
from bench.peers import CS, N_FOLDS, TOL
from bench.run import (
    RESULTS,
    ROOT,
    Run,
    circumstances,
    quartiles,
    race,
    rehearsal,
    rounded,
    setting,
    worker,
    write,
)
from bench.table import seconds as in_seconds
from gpulr.backend import to_host
from gpulr.errors import BackendUnavailableError

TOLS = (1e-4, 5e-5, 2e-5, 1e-5)
TESTS_SECONDS = 105.0  # after which no new test begins
NAMED = 50  # failed tests; all are counted
REHEARSED = ("tests/test_logistic.py", "tests/core/test_problem.py")
# Seconds until a process is ended; what it has printed by then counts.
LIBRARIES = {"gpulr": 15.0, "jax": 25.0, "torch": 40.0}
STARTS = {"nothing-compiled": 25.0, "kernels-compiled": 12.0}


class Record:
    """What a part has found so far: written after every measurement, that it outlives a kill.

    ``about`` is what the JSON says besides the circumstances: the card, the data.
    """

    def __init__(self, part: str, output: Path | None, **about: Any) -> None:
        self.output = output
        self.content: dict[str, Any] = {
            **{"kind": "gpulr-on-gpu-part", "schema": 1, "part": part, "complete": False},
            **{**circumstances(), **about},
            **{"results": [], "absent": [], "failed": []},
        }
        self.save()

    def add(self, name: str, **found: Any) -> None:
        """Add a result, and print it."""
        self.content["results"].append({"name": name, **found})
        words = [f"{kind} {in_seconds(q['median'])}" for kind, q in found["seconds"].items()]
        if "bytes_per_second" in found:
            words.append(f"{1e-9 * found['bytes_per_second']:,.0f} GB/s")
        words += [f"{k} {found[k]:.3g}" for k in ("gap", "error", "fraction_of_copy") if k in found]
        print(f"  {name:42} {'  '.join(words)}", file=sys.stderr, flush=True)
        self.save()

    def leave_out(self, name: str, reason: str) -> None:
        """Say that something optional was not measured, and why."""
        self.content["absent"].append({"name": name, "reason": reason})
        print(f"  {name:42} not measured: {reason}", file=sys.stderr, flush=True)
        self.save()

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Go on after whatever fails inside, and record it."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.fail(name, f"{type(error).__name__}: {error}")
            print(f"  {name:42} FAILED", file=sys.stderr, flush=True)

    def fail(self, name: str, words: str) -> None:
        """Say what failed, and how; no path of this machine is kept."""
        self.content["failed"].append({"name": name, "error": words.replace(f"{ROOT}/", "")[:500]})
        self.save()

    def close(self) -> int:
        """Write the whole, and return the exit code: 1 if something failed."""
        self.content["complete"] = True
        self.save()
        if self.output is None:
            write(self.content, None)
        return int(bool(self.content["failed"]))

    def save(self) -> None:
        if self.output is not None:
            write(self.content, self.output)


def timed(here: Any, run: Run, rounds: int) -> dict[str, dict[str, float]]:
    """Return the first call's seconds, and the quartiles of others."""
    first = host_seconds(here, run)
    times = [host_seconds(here, run) for _ in range(2 if rehearsal() else rounds)]
    return {"host": quartiles(times), "first": quartiles([first])}


# Part pass


def copy_bandwidth(here: Any, record: Record) -> float:
    """Measure a copy from device memory to device memory, in bytes per second."""
    run, n_bytes = here.copy(), 2 * here.copy_bytes  # read, and written
    run()
    found = quartiles([here.device_seconds(run, 2e-4) for _ in range(10)])
    rate = rounded(n_bytes / found["median"])
    record.add("copy", bytes=n_bytes, seconds={"device": found}, bytes_per_second=rate)
    return rate


def pass_part(here: Any, work: Data, record: Record) -> None:
    """Cost and gradient of ten models in every way, and bytes per second beside a copy's."""
    copied, name = copy_bandwidth(here, record), here.backend.name
    ways = ("fused", "batched", "portable", "loop")  # those that matter most first
    every = [Contestant(w, name, "float32", rows) for w in ways for rows in ("float32", "uint8")]
    every += [Contestant(way, name, "float64") for way in ("batched", "loop")]
    entrants: dict[Contestant, Any] = {}
    facts: dict[Contestant, dict[str, Any]] = {}

    def called(contestant: Contestant) -> str:
        return f"{contestant.way}-{contestant.dtype}-on-{contestant.rows}"

    for contestant in every:
        if contestant.way == "fused" and rehearsal():
            record.leave_out(called(contestant), "a rehearsal has no fused kernel")
            continue
        with record.attempt(called(contestant)), setting(contestant.way), here.backend.activate():
            problems = parts(contestant, work, here.backend)

            def issue(problems: Any = problems) -> list[Any]:
                return [problem.evaluate(at) for problem, at in problems]

            started = time.perf_counter()
            results = issue()
            here.backend.synchronize()
            first = time.perf_counter() - started  # kernels are compiled in it
            error = check("pass", contestant, results, work)
            # What gpulr chose, where it has a choice, and why.
            chosen = getattr(getattr(problems[0][0], "fused", None), "reason", None)
            facts[contestant] = {"first": first, "error": rounded(error), "chosen": chosen}
            entrants[contestant] = contestant, issue, queueing_seconds(here, issue)

    failed = set()

    def turn(entrant: tuple[Contestant, Run, float]) -> dict[str, float] | None:
        contestant, issue, hold = entrant
        if contestant not in failed:
            failed.add(contestant)
            with record.attempt(called(contestant)), setting(contestant.way):
                with here.backend.activate():
                    found = take_turn(here, issue, hold)
                failed.discard(contestant)
                return found
        return None

    turns = race(entrants, 2 if rehearsal() else 30, turn, seconds=25.0)
    for contestant, (_, issue, _) in entrants.items():
        if contestant in failed:
            continue
        taken, fact = turns[contestant], facts[contestant]
        with record.attempt(called(contestant)):
            with setting(contestant.way), here.backend.activate():
                check("pass", contestant, issue(), work)
            found = {kind: quartiles([turn[kind] for turn in taken]) for kind in taken[0]}
            # What any pass has to read of the rows and labels, once, and nothing else.
            n_bytes = work.X.size * np.dtype(contestant.rows).itemsize + 4 * len(work.y)
            rates = {k: n_bytes / found[k]["median"] for k in ("device_cold", "device")}
            record.add(
                called(contestant),
                **{**contestant.about("pass"), **work.sizes},
                seconds=found | {"first": quartiles([fact.pop("first")])},
                rounds=len(taken),
                **fact,
                bytes=n_bytes,
                bytes_per_second=rounded(rates["device_cold"]),
                fraction_of_copy=rounded(rates["device_cold"] / copied),
                fraction_of_copy_warm=rounded(rates["device"] / copied),
            )


# Part transfer


def transfer_part(here: Any, work: Data, record: Record) -> None:
    """Rows to the device, as gpulr sends them and from pinned memory; and margins back."""
    copy_bandwidth(here, record)

    def add(name: str, run: Run, n_bytes: int) -> None:
        with here.backend.activate():
            found = timed(here, run, 10)  # the first allocates memory, which later calls find again
        rate = rounded(n_bytes / found["host"]["median"])
        record.add(name, bytes=n_bytes, seconds=found, bytes_per_second=rate)

    for rows in ("uint8", "float32"):
        array, _ = work.rows(rows)
        with record.attempt(f"upload-{rows}"):
            add(f"upload-{rows}", lambda a=array: here.backend.asarray(a), array.nbytes)
        with record.attempt(f"upload-{rows}-pinned"):
            pinned = here.pinned(array)
            assert np.array_equal(pinned, array)
            add(f"upload-{rows}-pinned", lambda a=pinned: here.backend.asarray(a), array.nbytes)
    with record.attempt("download-margins"):
        margins = np.zeros((len(work.X), work.n_classes), dtype=np.float32)
        there = here.backend.asarray(margins)
        add("download-margins", lambda: to_host(there), margins.nbytes)


# Part training


def training_part(here: Any, work: Data, record: Record) -> None:
    """The whole way to the optimum, and gradient descent, batched and one digit at a time.

    Times are of whole calls of :func:`gpulr.train`, from rows on the host (so uploads are in them)
    and from rows on the device. The gap is the float64 objective, computed on the host without
    gpulr's code, above its optimum, summed over the models.
    """
    data, name = load_workload(whole=True), here.backend.name
    there = here.backend.asarray(data.X), here.backend.asarray(data.y)
    places = {"host": (data.X, data.y), "device": there}
    if name not in ("numpy", "cupy"):
        del places["host"]
    settings = {"scale": data.scale, "C": 1.0}
    found: dict[str, tuple[float, Any, Any]] = {}

    def trained(place: str, **more: Any) -> Any:
        backend = name if name in ("numpy", "cupy") else "auto"
        model = gpulr.train(*places[place], backend=backend, **settings, **more)
        assert model.backend == name, model.fallback_reason
        return model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gpulr.errors.ConvergenceWarning)  # the gap tells more
        for place in places:
            for tol in TOLS:
                called = f"lbfgs-from-{place}-tol-{tol:g}"
                with record.attempt(called):
                    kept: list[Any] = []

                    def run(place: str = place, tol: float = tol, kept: list[Any] = kept) -> None:
                        kept[:] = [trained(place, tol=tol)]

                    times = timed(here, run, 5)
                    found[called] = tol, times, kept[0]
        objective = Objective(data.rows_float64, data.y, range(10), 1.0)

        def cost(model: Any) -> float:
            W = to_host(model.weights).astype(np.float64) / data.scale
            return float(objective.costs(W, to_host(model.intercept)).sum())

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
    if name not in ("numpy", "cupy"):
        record.leave_out("gd", f"{name} takes its own arrays alone")
        return
    for way in ("batched", "loop"):
        contestant = Contestant(way, name, "float32")
        with record.attempt(f"gd-{way}"):
            run = prepare("training", contestant, work)
            times = timed(here, run, 5)
            check("training", contestant, run(), work)
            about = {**contestant.about("training"), **work.sizes}
            record.add(f"gd-{way}", **about, seconds=times)


# Part search


def search_part(here: Any, work: Data, record: Record) -> None:
    """C by cross-validation, 10 classes × 10 values of C × 5 folds: 500 models; one is checked."""
    data, name = load_workload(whole=True), here.backend.name
    X, y, backend = data.X, data.y, name
    if name not in ("numpy", "cupy"):
        X, y, backend = here.backend.asarray(X), here.backend.asarray(y), "auto"
    Cs = CS[3:6] if rehearsal() else CS
    settings: dict[str, Any] = {"Cs": Cs, "cv": N_FOLDS, "tol": TOL, "scale": data.scale}
    settings["backend"] = backend
    found: list[Any] = []

    def run() -> None:
        found[:] = [gpulr.search(X, y, refit=False, **settings)]

    with record.attempt("search"), warnings.catch_warnings():
        warnings.simplefilter("error", gpulr.errors.ConvergenceWarning)
        times = timed(here, run, 3)
        (result,) = found
        model = gpulr.search(X, y, **settings).model
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


# Part peers


def peers_part(here: Any, work: Data, record: Record) -> None:
    """The same pass by torch, torch.compile and jax.jit, each in its own process, gpulr too.

    They bring their own CUDA libraries. All multiply in float32 proper, without TF32. The formulas
    are tried with the models on either axis, and the faster counts.
    """
    for library, limit in LIBRARIES.items():
        with record.attempt(library):
            job = {"library": library}
            for found in worker("bench.gpu:time_passes", job, limit, library):
                name = found.pop("name")
                if "reason" in found:
                    record.leave_out(name, found["reason"])
                elif "failure" in found:
                    with record.attempt(name):
                        raise RuntimeError(found["failure"])
                else:
                    record.add(name, **work.sizes, **found)
    ratios(record)


def ratios(record: Record) -> None:
    """Record how many times faster gpulr is than the faster writing of each library."""
    best: dict[tuple[str, str], dict[str, float]] = {}
    for result in record.content["results"]:
        times = best.setdefault((result["library"], result["rows"]), {})
        for kind in ("host", "queued"):
            times[kind] = min(result["seconds"][kind]["median"], times.get(kind, float("inf")))
    record.content["speedup"] = {
        f"{library}-on-{rows}": {k: rounded(times[k] / own[k]) for k in own}
        for (library, rows), times in best.items()
        if library != "gpulr" and (own := best.get(("gpulr", rows)))
    }
    for name, found in record.content["speedup"].items():
        words = ", ".join(f"{ratio:.3g} ({kind})" for kind, ratio in found.items())
        print(f"  gpulr is as fast as {name} times {words}", file=sys.stderr)


# Name, library, rows; what makes its pass, and what waits for its results.
Way = tuple[str, str, str, Callable[[], Run], Callable[[Any], Any]]


def time_passes(library: str) -> Iterator[dict[str, Any]]:
    """In a library's own process: yield what was measured in each way, or why it was not."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if library != "gpulr" and (reason := libraries.obstacle(library)):
        yield {"name": library, "reason": reason}
        return
    work = load_workload()
    try:
        for way in WAYS[library](work):
            try:
                yield time_pass(way, work)
            except Exception as error:  # the others are still to be measured
                # A peer that cannot run here is left out; one that computes something else is not.
                fault = library == "gpulr" or isinstance(error, ArithmeticError)
                words = f"{type(error).__name__}: {error}"[:500]
                yield {"name": way[0], "failure" if fault else "reason": words}
    except (LookupError, RuntimeError) as error:  # no GPU for it, or none that it can start
        if library == "gpulr":
            raise
        yield {"name": library, "reason": f"{error}"[:500]}


def time_pass(way: Way, work: Data) -> dict[str, Any]:
    """Check a way, and time it."""
    name, library, rows, build, wait = way
    started = time.perf_counter()
    run = build()
    results = wait(run())
    first = time.perf_counter() - started
    if library != "gpulr":  # torch's are not NumPy's to read while on a GPU
        results = [[np.asarray(p.cpu() if hasattr(p, "cpu") else p) for p in r] for r in results]
    error = check("pass", Contestant("batched", library, "float32", rows), results, work)
    times: dict[str, list[float]] = {"host": [], "queued": []}
    for _ in range(3):
        wait(run())
    for _ in range(2 if rehearsal() else 30):
        for kind, calls in (("host", 1), ("queued", QUEUED)):
            started = time.perf_counter()
            for _ in range(calls):
                last = run()
            wait(last)
            times[kind].append((time.perf_counter() - started) / calls)
    found = {kind: quartiles(taken) for kind, taken in times.items()}
    version = getattr(sys.modules.get(library.partition(".")[0]), "__version__", None)
    about = {"name": name, "library": library, "rows": rows, "error": rounded(error, 2)}
    return {**about, "version": version, "seconds": found | {"first": quartiles([first])}}


def gpulr_ways(work: Data) -> Iterator[Way]:
    """Gpulr's pass as it is by default."""
    here = card()

    def wait(results: Any) -> Any:
        here.backend.synchronize()
        return results

    for rows in ("float32", "uint8"):
        contestant = Contestant("batched", here.backend.name, "float32", rows)
        build = lambda c=contestant: passes(c, work, here.backend)  # noqa: E731
        yield f"gpulr-on-{rows}", "gpulr", rows, build, wait


def writings(work: Data, library: str, put: Any, formulas: Any, call: Any) -> Iterator[Any]:
    """Yield name, library, rows and builder of a library's pass, the models on either axis."""
    for rows in ("float32", "uint8"):
        for first in (True, False):

            def build(rows: str = rows, first: bool = first) -> Run:
                found, scale = libraries.arrays(work, rows, put, columns_first=first)
                return call(formulas(scale, len(work.X), columns_first=first), found)

            name = f"{library}-on-{rows}-models-{'first' if first else 'last'}"
            yield name, library, rows, build


def jax_ways(work: Data) -> Iterator[Way]:
    """jax.jit's pass, on its default device."""
    import jax

    jax.config.update("jax_default_matmul_precision", "highest")
    device = jax.devices()[0]
    if device.platform == "cpu" and not rehearsal():
        raise LookupError("jax has no GPU here")

    def put(array: Any) -> Any:
        return jax.device_put(array, device)

    def call(run: Any, found: Any) -> Run:
        return lambda: [run(*found)]

    for way in writings(work, "jax.jit", put, libraries.jax_formulas, call):
        yield *way, jax.block_until_ready


def torch_ways(work: Data) -> Iterator[Way]:
    """Torch's pass on the GPU, as it is written and by torch.compile."""
    import torch

    torch.set_float32_matmul_precision("highest")
    there = torch.cuda.is_available()
    if not there and not rehearsal():
        raise LookupError("torch has no GPU here")

    def put(array: Any) -> Any:
        return torch.tensor(array, device="cuda" if there else "cpu")

    def wait(results: Any) -> Any:
        if there:
            torch.cuda.synchronize()
        return results

    def compiled(*arguments: Any, **options: Any) -> Any:
        return torch.compile(libraries.torch_formulas(*arguments, **options))

    for name, formulas in (("torch", libraries.torch_formulas), ("torch.compile", compiled)):
        for way in writings(work, name, put, formulas, libraries.without_graph):
            yield *way, wait


WAYS = {"gpulr": gpulr_ways, "jax": jax_ways, "torch": torch_ways}


# Part start


def start_part(here: Any, work: Data, record: Record) -> None:
    """Import, first and second call in a fresh process.

    Twice: with an empty folder of compiled kernels, and with the one that the first process filled.
    """
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, CUPY_CACHE_DIR=cache):
        for state, limit in STARTS.items():
            with record.attempt(state):
                for name, taken in worker("bench.gpu:time_start", {}, limit, state):
                    times = {"host": quartiles([taken])}
                    record.add(f"{state}-{name}", **work.sizes, seconds=times)


def time_start() -> Iterator[tuple[str, float]]:
    """In a fresh process: time the steps of a training."""
    work, started = load_workload(), time.perf_counter()
    here = card()
    yield "cupy-and-probe", time.perf_counter() - started
    started = time.perf_counter()
    X = here.backend.asarray(work.X)
    here.backend.synchronize()
    yield "first-upload", time.perf_counter() - started
    y = here.backend.asarray(work.y)
    backend = "auto" if rehearsal() else here.backend.name
    for name in ("first-training", "second-training", "third-training"):
        started = time.perf_counter()
        model = gpulr.train(X, y, backend=backend, scale=work.scale, tol=1e-3)
        here.backend.synchronize()
        yield name, time.perf_counter() - started
        assert model.backend == here.backend.name, model.fallback_reason


# Part tests


class Outcomes:
    """A pytest plugin that counts, keeps the names of what failed, and stops in time.

    The outcome is written after every test, so that one that hangs or ends the process is named.
    """

    def __init__(self, record: Record, seconds: float) -> None:
        self.record, self.deadline = record, time.monotonic() + seconds
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.session: Any = None

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        # What only a card can tell comes first: time may not suffice for all.
        items.sort(key=lambda item: not item.path.name.startswith("test_gpu"))

    def pytest_collection_finish(self, session: Any) -> None:
        self.session = session

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._failed(report)

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self.write(running=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self._failed(report)
        elif report.skipped or report.when == "call":
            self.counts[report.outcome] += 1

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        if time.monotonic() > self.deadline:
            self.session.shouldstop = "the time for tests is up"

    def _failed(self, report: Any) -> None:
        self.counts["failed"] += 1
        if self.counts["failed"] <= NAMED:
            crash = getattr(report.longrepr, "reprcrash", None)
            words = (crash.message if crash else str(report.longrepr)).strip()
            self.record.fail(report.nodeid, words.partition("\n")[0])

    def write(self, running: str | None) -> None:
        collected = len(self.session.items) if self.session else 0
        left = {"not_run": max(0, collected - sum(self.counts.values())), "running": running}
        self.record.content["tests"] = {"collected": collected, **self.counts, **left}
        self.record.save()


def tests_part(record: Record) -> None:
    """The tests of CuPy, as far as time allows; in a rehearsal a few of the stand-in's."""
    library = rehearsal()
    os.environ |= {"GPULR_TEST_BACKENDS": library or "cupy", "COLUMNS": "100"}
    outcomes = Outcomes(record, TESTS_SECONDS)
    options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--durations=10"]
    paths = [str(ROOT / path) for path in (REHEARSED if library else ("tests",))]
    code = pytest.main([*options, *paths], plugins=[outcomes])
    outcomes.write(running=None)
    found = record.content["tests"]
    print(f"  tests: {found}", file=sys.stderr, flush=True)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        record.fail("pytest", f"it ended with {code!r}")
    if not found["passed"]:
        record.fail("tests", "none has passed")


PARTS: dict[str, Callable[..., None]] = {
    **{"tests": tests_part, "pass": pass_part, "transfer": transfer_part},
    **{"training": training_part, "search": search_part, "peers": peers_part, "start": start_part},
}


def main(command: Sequence[str] | None = None) -> int:
    """Measure one part and write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--output", type=Path, help="the JSON file to write (default: stdout)")
    options = parser.parse_args(command)
    if rehearsal() and options.output and RESULTS in options.output.resolve().parents:
        parser.error(f"a rehearsal's figures mean nothing; they do not belong in {RESULTS}")
    # `timeout` sends it: workers are ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.part == "tests":  # which find out for themselves what the card cannot do
        record = Record(options.part, options.output)
        arguments: tuple[Any, ...] = (record,)
    else:
        try:
            here = card()
        except BackendUnavailableError as error:
            parser.exit(1, f"{error}\n")
        work = load_workload()
        record = Record(options.part, options.output, card=here.about(), data=work.sizes)
        arguments = (here, work, record)
    with record.attempt(options.part):
        PARTS[options.part](*arguments)
    return record.close()


if __name__ == "__main__":
    sys.exit(main())
