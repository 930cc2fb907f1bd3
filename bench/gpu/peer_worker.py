"""What runs in the own process of each library of :mod:`bench.gpu.peers`: its pass, timed.

Prints one line of JSON for each way that was measured, or why it was not.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench import pass_peers
from bench.interleaved import quartiles
from bench.workload import Workload, load_workload, rehearsal

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

ROUNDS = 30
QUEUED = 20
Run = Callable[[], Any]
# A way's name, library, storage of the rows; what makes its pass, and what waits for its results.
Way = tuple[str, str, str, Callable[[], Run], Callable[[Any], Any]]


def gpulr_ways(work: Workload) -> Iterator[Way]:
    """Return gpulr's pass as it is by default."""
    from bench.contestants import Contestant, passes
    from bench.gpu.card import card

    here = card()
    for rows in ("float32", "uint8"):
        contestant = Contestant("batched", here.backend.name, "float32", rows)

        def build(contestant: Contestant = contestant) -> Run:
            return passes(contestant, work, here.backend)

        def wait(results: Any) -> Any:
            here.synchronize()
            return results

        yield f"gpulr-on-{rows}", "gpulr", rows, build, wait


def jax_ways(work: Workload) -> Iterator[Way]:
    """Return jax.jit's pass, on its default device."""
    import jax

    jax.config.update("jax_default_matmul_precision", "highest")
    device = jax.devices()[0]
    if device.platform == "cpu" and not rehearsal():
        raise LookupError("jax has no GPU here")

    def put(array: Any, dtype: Any = np.float32) -> Any:
        return jax.device_put(np.ascontiguousarray(array, dtype=dtype), device)

    for rows in ("float32", "uint8"):
        for first in (True, False):

            def build(rows: str = rows, first: bool = first) -> Run:
                X, scale = pass_peers.stored(work, rows)
                Y = work.targets.T if first else work.targets
                arrays = put(X, X.dtype), put(Y), put(work.theta[:-1].T), put(work.theta[-1])
                run = jax.jit(pass_peers.jax_formulas(scale, len(X), columns_first=first))
                return lambda: [run(*arrays)]

            yield name_of("jax.jit", rows, first), "jax.jit", rows, build, jax.block_until_ready


def torch_ways(work: Workload) -> Iterator[Way]:
    """Return torch's pass on the GPU, as it is written and by torch.compile."""
    import torch

    torch.set_float32_matmul_precision("highest")
    if not torch.cuda.is_available() and not rehearsal():
        raise LookupError("torch has no GPU here")
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def put(array: Any) -> Any:
        return torch.tensor(np.ascontiguousarray(array, dtype=np.float32), device=device)

    def wait(results: Any) -> Any:
        if device == "cuda":
            torch.cuda.synchronize()
        return results

    for library in ("torch", "torch.compile"):
        for rows in ("float32", "uint8"):
            for first in (False, True):

                def build(library: str = library, rows: str = rows, first: bool = first) -> Run:
                    X, scale = pass_peers.stored(work, rows)
                    run = pass_peers.torch_formulas(scale, len(X), columns_first=first)
                    if library == "torch.compile":
                        run = torch.compile(run)
                    Y = work.targets.T if first else work.targets
                    arrays = torch.tensor(X, device=device), put(Y)
                    arrays += put(work.theta[:-1].T), put(work.theta[-1])

                    def without_graph() -> Any:
                        with torch.inference_mode():
                            return [run(*arrays)]

                    return without_graph

                yield name_of(library, rows, first), library, rows, build, wait


def name_of(library: str, rows: str, columns_first: bool) -> str:
    return f"{library}-on-{rows}-models-{'first' if columns_first else 'last'}"


def on_host(results: Any) -> Any:
    """Return results as NumPy arrays; torch's are not NumPy's to read while on a GPU."""
    return [
        [np.asarray(part.cpu() if hasattr(part, "cpu") else part) for part in parts]
        for parts in results
    ]


def measured(way: Way, work: Workload) -> dict[str, Any]:
    """Check a way, and time it."""
    from bench.contestants import Contestant, check
    from gpulr.backend import to_host

    name, library, rows, build, wait = way
    started = time.perf_counter()
    run = build()
    results = wait(run())
    first = time.perf_counter() - started
    found = [[to_host(p) for p in r] for r in results] if library == "gpulr" else on_host(results)
    error = check("pass", Contestant("batched", library, "float32", rows), found, work)
    for _ in range(3):
        wait(run())
    host, queued = [], []
    for _ in range(2 if rehearsal() else ROUNDS):
        started = time.perf_counter()
        wait(run())
        host.append(time.perf_counter() - started)
        started = time.perf_counter()
        for _ in range(QUEUED):
            last = run()
        wait(last)
        queued.append((time.perf_counter() - started) / QUEUED)
    return {
        **{"name": name, "library": library, "rows": rows, "error": float(f"{error:.2g}")},
        "version": pass_peers.version(library.partition(".")[0]),
        "seconds": {
            **{"host": quartiles(host), "queued": quartiles(queued)},
            "first": quartiles([first]),
        },
    }


WAYS = {"gpulr": gpulr_ways, "jax": jax_ways, "torch": torch_ways}


def main() -> int:
    library = sys.argv[1]

    def tell(found: dict[str, Any]) -> None:
        print(json.dumps(found), flush=True)

    if library != "gpulr" and (reason := pass_peers.obstacle(library)):
        tell({"name": library, "reason": reason})
        return 0
    work = load_workload()
    try:
        for way in WAYS[library](work):
            try:
                tell(measured(way, work))
            except Exception as error:  # the others are still to be measured
                # A peer that cannot run here is left out; one that computes something else is not.
                fault = library == "gpulr" or isinstance(error, ArithmeticError)
                words = f"{type(error).__name__}: {error}"[:500]
                tell({"name": way[0], "failure" if fault else "reason": words})
    except (LookupError, RuntimeError) as error:  # no GPU for it, or none that it can start
        if library == "gpulr":
            raise
        tell({"name": library, "reason": f"{error}"[:500]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
