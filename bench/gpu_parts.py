"""The parts of :mod:`bench.gpu` that measure: pass, transfer, training, search, peers, start."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any
from unittest import mock

import numpy as np

import gpulr
from bench import libraries
from bench.contestants import Contestant, check, parts, passes, prepare
from bench.data import Data, Objective, load_workload
from bench.gpu_card import QUEUED, card, host_seconds, queueing_seconds, take_turn
from bench.kinds import rounded
from bench.peers import CS, N_FOLDS, TOL
from bench.run import RESULTS, Run, quartiles, race, rehearsal, setting, worker
from gpulr.backend import to_host
from gpulr.kernels.fused_problem import FusedProblem

TOLS = (1e-4, 5e-5, 2e-5, 1e-5)
# Seconds until a process is ended; what it has printed by then counts.
LIBRARIES = {"gpulr": 15.0, "jax": 25.0, "torch": 40.0}
STARTS = {"nothing-compiled": 25.0, "kernels-compiled": 12.0}


def timed(here: Any, run: Run, rounds: int) -> dict[str, dict[str, float]]:
    """Return the first call's seconds, and the quartiles of others."""
    first = host_seconds(here, run)
    times = [host_seconds(here, run) for _ in range(2 if rehearsal() else rounds)]
    return {"host": quartiles(times), "first": quartiles([first])}


# Part pass


def copy_bandwidth(here: Any, record: Any) -> float:
    """Measure a copy from device memory to device memory, in bytes per second."""
    run, n_bytes = here.copy(), 2 * here.copy_bytes  # read, and written
    run()
    found = quartiles([here.device_seconds(run, 2e-4) for _ in range(10)])
    rate = rounded(n_bytes / found["median"])
    record.add("copy", bytes=n_bytes, seconds={"device": found}, bytes_per_second=rate)
    return rate


def pass_part(here: Any, work: Data, record: Any) -> None:
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
            problem = problems[0][0]
            chosen = problem.dispatch.reason if isinstance(problem, FusedProblem) else None
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


def transfer_part(here: Any, work: Data, record: Any) -> None:
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


def training_part(here: Any, work: Data, record: Any) -> None:
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


def search_part(here: Any, work: Data, record: Any) -> None:
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


def peers_part(here: Any, work: Data, record: Any) -> None:
    """The same pass by torch, torch.compile and jax.jit, each in its own process, gpulr too.

    They bring their own CUDA libraries. All multiply in float32 proper, without TF32. The formulas
    are tried with the models on either axis, and the faster counts.
    """
    for library, limit in LIBRARIES.items():
        with record.attempt(library):
            job = {"library": library}
            for found in worker("bench.gpu_parts:time_passes", job, limit, library):
                name = found.pop("name")
                if "reason" in found:
                    record.leave_out(name, found["reason"])
                elif "failure" in found:
                    with record.attempt(name):
                        raise RuntimeError(found["failure"])
                else:
                    record.add(name, **work.sizes, **found)
    ratios(record)


def ratios(record: Any) -> None:
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


# A way's name, library and rows; and what builds its pass.
Way = tuple[str, str, str, Callable[[], libraries.Pass]]


def time_passes(library: str) -> Iterator[dict[str, Any]]:
    """In a library's own process: yield what was measured in each way, or why it was not."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if library != "gpulr" and (reason := libraries.obstacle(library)):
        yield {"name": library, "reason": reason}
        return
    work = load_workload()
    try:
        for way in ways_of(library, work):
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


def ways_of(library: str, work: Data) -> Iterator[Way]:
    """Yield gpulr's pass as it is by default; another library's with the models on either axis."""
    if library == "gpulr":
        here = card()
        for rows in ("float32", "uint8"):
            contestant = Contestant("batched", here.backend.name, "float32", rows)
            build = partial(passes, contestant, work, here.backend)
            yield f"gpulr-on-{rows}", library, rows, lambda b=build: (b(), here.wait)
        return
    device = libraries.gpu_device(library)
    if device is None and not rehearsal():
        raise LookupError(f"{library} has no GPU here")
    for name, build in libraries.GPU_PASSES[library].items():
        for rows, first in product(("float32", "uint8"), (True, False)):
            called = f"{name}-on-{rows}-models-{'first' if first else 'last'}"
            options = {"columns_first": first, "device": device or "cpu"}
            yield called, name, rows, partial(build, work, rows, **options)


def time_pass(way: Way, work: Data) -> dict[str, Any]:
    """Check a way, and time it."""
    name, library, rows, build = way
    started = time.perf_counter()
    run, wait = build()
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


# Part start


def start_part(here: Any, work: Data, record: Any) -> None:
    """Import, first and second call in a fresh process.

    Twice: with an empty folder of compiled kernels, and with the one that the first process filled.
    """
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, CUPY_CACHE_DIR=cache):
        for state, limit in STARTS.items():
            with record.attempt(state):
                for name, taken in worker("bench.gpu_parts:time_start", {}, limit, state):
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
