"""The part peers of :mod:`bench.gpu`: other libraries on the same GPU, beside gpulr.

Passes by torch, torch.compile and jax.jit; whole trainings by scikit-learn on torch's and CuPy's
arrays, and by cuML. Each library has a process of its own, as they bring their own CUDA libraries;
one that is not installed, or finds no GPU, is left out with the reason.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np

import gpulr
from bench.contestants import ENVIRONMENT
from bench.data import Data, Objective, load_workload
from bench.files import rounded
from bench.gpu_parts import QUEUED, card
from bench.passes import (
    PASSES,
    Contestant,
    Pass,
    check,
    evaluate,
    gpu_device,
    library_obstacle,
    parts,
)
from bench.run import quartiles, rehearsal, worker
from gpulr.backend import to_host

# Seconds until a process is ended; what it has found by then counts.
LIBRARIES = {"gpulr": 15.0, "jax": 20.0, "torch": 40.0}
TRAININGS = {"gpulr": 10.0, "sklearn-cupy": 13.0, "sklearn-torch": 13.0, "cuml": 15.0}
TRAINING_SECONDS = 5.0  # after which no further class is trained
TOL = 1e-4  # everybody's own: what it comes to is the gap


def peers_part(here: Any, work: Data, record: Any) -> None:
    """The same pass and the same training by others, each in its own process; gpulr's too.

    All multiply in float32 proper, without TF32. The passes' formulas are tried with the models on
    either axis, and the faster counts.
    """
    for library, limit in LIBRARIES.items():
        _record(time_passes, library, limit, library, work, record)
    ratios(record)
    for library, limit in TRAININGS.items():
        _record(time_trainings, library, limit, f"training by {library}", work, record)


def _record(
    timed: Callable[..., Any], library: str, limit: float, what: str, work: Data, record: Any
) -> None:
    with record.attempt(what):
        try:
            for found in worker(timed, {"library": library}, limit, what):
                name = found.pop("name")
                if "reason" in found:
                    record.leave_out(name, found["reason"])
                elif "failure" in found:
                    record.fail(name, found["failure"])
                else:
                    record.add(name, **work.sizes, **found)
        except TimeoutError as error:
            if library == "gpulr":
                raise
            record.leave_out(what, str(error))


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
Way = tuple[str, str, str, Callable[[], Pass]]


def time_passes(library: str) -> Iterator[dict[str, Any]]:
    """In a library's own process: yield what was measured in each way, or why it was not."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if library != "gpulr" and (reason := library_obstacle(library)):
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
            yield f"gpulr-on-{rows}", library, rows, partial(own_pass, here, work, rows)
        return
    device = gpu_device(library)
    if device is None and not rehearsal():
        raise LookupError(f"{library} has no GPU here")
    names = {"jax": ("jax.jit",), "torch": ("torch", "torch.compile")}[library]
    for name, rows, first in product(names, ("float32", "uint8"), (True, False)):
        called = f"{name}-on-{rows}-models-{'first' if first else 'last'}"
        options: dict[str, Any] = {"columns_first": first, "device": device or "cpu"}
        if name == "torch.compile":
            options["compiled"] = True
        yield called, name, rows, partial(PASSES[library], work, rows, **options)


def own_pass(here: Any, work: Data, rows: str) -> Pass:
    contestant = Contestant("batched", here.backend.name, "float32", rows)
    return partial(evaluate, parts(contestant, work, here.backend)), here.wait


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


# Whole trainings: ten classes against the rest, float32 rows on the device

Columns = list[np.ndarray]  # (n_features + 1,) of each class: weights and intercept, on the host


def time_trainings(library: str) -> Iterator[dict[str, Any]]:
    """In a library's own process: yield its training of one class after the other, or why not.

    A first class is trained untimed; gpulr trains all at once. ``models`` says how many were
    trained in the time. Each ends by its own tolerance: ``cost`` and ``gradient_norm``, in float64
    on the host, say what that came to.
    """
    name, work = f"training-{library}", load_workload()
    os.environ |= ENVIRONMENT["sklearn-torch"]  # SciPy is asked for it when it is imported
    module = {"cuml": "cuml", "sklearn-torch": "torch"}.get(library)
    if module and (reason := library_obstacle(module)):
        yield {"name": name, "reason": reason}
        return
    try:
        train = trainer(library, work)
        started = time.perf_counter()
        train(range(1))
        first, columns = time.perf_counter() - started, []
        at_once = 10 if library == "gpulr" else 1
        started = time.perf_counter()
        while len(columns) < 10 and time.perf_counter() - started < TRAINING_SECONDS:
            columns += train(range(len(columns), len(columns) + at_once))
        taken = time.perf_counter() - started
    except Exception as error:  # a peer that cannot run here is left out
        words = f"{type(error).__name__}: {error}"[:500]
        yield {"name": name, "failure" if library == "gpulr" else "reason": words}
        return
    theta = np.stack(columns, axis=1).astype(np.float64)
    objective = Objective(work.rows_float64, work.y, range(theta.shape[1]), 1.0)
    yield {
        **{"name": name, "library": library, "rows": "float32", "models": theta.shape[1]},
        **{"tol": TOL, "cost": rounded(float(objective.costs(theta[:-1], theta[-1]).mean()), 9)},
        "gradient_norm": rounded(float(np.abs(objective.gradient(theta)).max()), 2),
        "seconds": {"host": quartiles([taken]), "first": quartiles([first])},
    }


def trainer(library: str, work: Data) -> Callable[[range], Columns]:
    """Return what trains some classes, and waits for the result."""
    warnings.simplefilter("ignore")
    if library == "sklearn-torch":
        import torch

        device = gpu_device("torch")
        if device is None and not rehearsal():
            raise LookupError("torch has no GPU here")
        put: Callable[[Any], Any] = partial(torch.tensor, device=device or "cpu")
    else:
        here = card()
        put = here.backend.asarray
    X, y = put(work.rows_float32), put(work.y.astype(np.int32))

    def column(model: Any) -> Any:
        both = (p.cpu() if hasattr(p, "cpu") else p for p in (model.coef_, model.intercept_))
        return np.concatenate([np.ravel(to_host(part)) for part in both])

    def train(classes: range) -> Columns:
        if library == "gpulr":
            labels = y if len(classes) > 1 else y == classes[0]
            model = gpulr.train(X, labels, scale=1.0, C=1.0, tol=TOL)
            return list(np.vstack([to_host(model.weights), to_host(model.intercept)]).T)
        options = {"C": 1.0, "tol": TOL, "max_iter": 10_000}
        return [column(Regression(**options).fit(X, put(work.y == j))) for j in classes]

    if library == "cuml":
        from cuml.linear_model import LogisticRegression as Regression
    elif library != "gpulr":
        import sklearn
        from sklearn.linear_model import LogisticRegression as Regression

        sklearn.set_config(array_api_dispatch=True)
    return train
