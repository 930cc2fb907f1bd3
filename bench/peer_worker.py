"""What runs in each contestant's own process: its runs, timed, and the weights they ended with.

Started by :mod:`bench.peers` with a JSON job on stdin. Rows are in memory, in the dtype that the
contestant is given, before any clock starts; a small fit comes first, so that no one is charged
for imports, thread pools or compilation. Results are written after each run, so that what was
finished counts even if the process is ended. What gpulr's first call costs is recorded beside.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from bench.peer_fits import FITS, Fit, Point
from bench.quiet import Patience, Watch, wait

SHORT = 5.0  # seconds; runs below it are made three times, and again when they were disturbed
MEDIUM = 20.0  # seconds; runs below it are made twice
DISTRIBUTIONS = {
    "sklearn": ("scikit-learn",),
    "intelex": ("scikit-learn-intelex", "daal", "scikit-learn"),
    "jax": ("jax", "jaxlib"),
    "gpulr": (),
}


def load(job: dict[str, Any]) -> tuple[Any, Any]:
    """Return rows and labels as the contestant is given them."""
    folder = Path(job["folder"])
    X, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")
    if job["family"] != "gpulr":
        X = (X * job["scale"]).astype(job["dtype"], copy=False)
    return X, y


def warm_up(job: dict[str, Any], X: Any, y: Any) -> None:
    """Fit a few rows with at least one of every class; jax compiles when it is built.

    gpulr compiles as it is needed, which is timed by itself (:func:`first_call`).
    """
    if job["family"] in ("jax", "gpulr"):
        return
    first = np.concatenate([np.flatnonzero(y == c)[:10] for c in range(int(y.max()) + 1)])
    fit = FITS[job["family"]](X[first], y[first], job)
    list(fit({"tol": 0.1}))


def first_call(fit: Fit, setting: dict[str, Any]) -> float:
    """Return how long the first call in this process takes: compiling, and starting threads."""
    started = time.perf_counter()
    list(fit(setting))
    return time.perf_counter() - started


def repeat(fit: Fit, setting: dict[str, Any], patience: Patience) -> Iterator[tuple[Point, float]]:
    """Yield the points of one to three runs, with the share of the cores that others used."""
    spent, runs = 0.0, 0
    while runs < _wanted(spent / max(runs, 1)):
        wait(patience)
        watch = Watch()
        points = list(fit(setting))
        wall, share = watch.wall(), watch.share() or 0.0
        if not points:
            return
        if wall < SHORT and watch.disturbed() and patience.spend(wall):
            continue
        spent, runs = spent + wall, runs + 1
        for point in points:
            yield point, share


def _wanted(seconds: float) -> int:
    """Return how many runs are made that take so long each."""
    return 3 if seconds < SHORT else 2 if seconds < MEDIUM else 1


def main() -> int:
    job = json.load(sys.stdin)
    folder = Path(job["folder"])
    found: dict[str, Any] = {"points": [], "versions": {}}
    warnings.simplefilter("ignore")
    try:
        X, y = load(job)
        found["versions"] = {d: metadata.version(d) for d in DISTRIBUTIONS[job["family"]]}
        warm_up(job, X, y)
        fit = FITS[job["family"]](X, y, job)
        patience = Patience(job["patience"])
        if job["family"] == "gpulr" and job["settings"]:
            found["first_call_seconds"] = first_call(fit, job["settings"][0])
        for setting in job["settings"]:
            for point, share in repeat(fit, setting, patience):
                _add(found["points"], point, share, folder / job["name"])
                _write(folder / f"{job['name']}.json", found)
    except Exception as error:
        words = str(error).splitlines() or [""]
        found["error"] = f"{type(error).__name__}: {words[0]}"
        if not isinstance(error, ImportError):
            import traceback

            traceback.print_exc()
    _write(folder / f"{job['name']}.json", found)
    return 0


def _add(points: list[dict[str, Any]], point: Point, share: float, stem: Path) -> None:
    """Record a run, beside the earlier ones with its setting; the first one's weights count."""
    for known in points:
        if known["setting"] == point.setting:
            known["runs"].append(point.seconds)
            known["others_cpu"] = max(known["others_cpu"], round(share, 3))
            return
    number = len(points)
    np.savez(f"{stem}-{number}.npz", W=point.W, b=point.b)
    record = {"setting": point.setting, "runs": [point.seconds], "others_cpu": round(share, 3)}
    points.append({**record, **point.about})


def _write(path: Path, found: dict[str, Any]) -> None:
    path.with_suffix(".part").write_text(json.dumps(found), encoding="utf-8")
    path.with_suffix(".part").replace(path)


if __name__ == "__main__":
    sys.exit(main())
