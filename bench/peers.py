"""gpulr's solver beside scikit-learn's and others', at equal distance to the optimum.

Each contestant trains in a process of its own; then gpulr trains in this one, several times, at
the loosest tolerance that brings it as near to the optimum. Whole calls on rows in memory are
timed. The optimum is gpulr's in float64; that it is one, and every gap, is judged by
:class:`bench.data.Objective`, without gpulr's code.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt

import gpulr
from bench.contestants import ENVIRONMENT, PEERS, Job, Part, Setting, fits
from bench.data import DATA, Data, Objective, indicator
from bench.files import rounded
from bench.run import Patience, take_turn, worker
from bench.table import shown

Floats = npt.NDArray[Any]

CERTAIN = 1e-7  # of the optimum's cost: how near to it its cost has to be known
LONG = 4.0  # seconds; our runs above it are made twice, others three times, and again beside peers
GRACE = 25.0  # seconds that a process gets beside its budget, for imports and a last class
# Of gpulr, from loose to tight in each dtype; the second is for contestants that come nearer than
# any of the first does.
OURS: tuple[Setting, ...] = (
    *({"tol": float(f"{m}e-{e}")} for e in range(2, 8) for m in (3, 1.5, 0.7)),
    {"tol": 3e-8},
    *({"tol": float(f"1e-{e}"), "dtype": "float64"} for e in (6, 7, 8)),
)
FLOAT64 = next(i for i, setting in enumerate(OURS) if "dtype" in setting)  # the first of these


# gpulr, and where the optimum is


class Ours:
    """gpulr on a data set: trainings at ever smaller tolerances, made when they are needed."""

    def __init__(self, data: Data, C: float, patience: float) -> None:
        self.data, self.C, self.patience = data, C, Patience(patience)
        self.judged = list(data.judged or data.models)
        self.objective = Objective(data.X, data.y, self.judged, C, data.scale)
        self.optimum, self.certainty, self.gradient = self._optimum()
        self.points: dict[int, dict[str, Any]] = {}  # of those of OURS that were needed

    def train(self, setting: Setting) -> Any:
        data = self.data
        options = {"backend": "numpy", "C": self.C, "scale": data.scale}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", gpulr.errors.ConvergenceWarning)
            return gpulr.train(data.X, data.y, **options, **setting)

    def _optimum(self) -> tuple[Floats, float, float]:
        """Return each judged model's smallest cost, how sure that is, and the largest gradient."""
        data, Y = self.data, indicator(self.data.y, self.judged, np.uint8)
        options = {"backend": "numpy", "C": self.C, "scale": data.scale, "dtype": "float64"}
        start = None
        for tol in (1e-8, 1e-10):
            model = gpulr.train(data.X, Y, tol=tol, max_iter=20_000, start=start, **options)
            start = model
            theta = np.vstack([model.weights / data.scale, model.intercept]).astype(np.float64)
            gradient = self.objective.gradient(theta)
            # The penalty makes the cost strongly convex: nothing is further below.
            certainty = float(np.sum(gradient**2) / (2.0 * self.objective.lam))
            costs = self.objective.costs(theta[:-1], theta[-1])
            if certainty <= CERTAIN * np.sum(costs):
                return costs, certainty, float(np.max(np.abs(gradient)))
        raise ArithmeticError(f"The optimum is not known: its cost is sure to {certainty:.1e} only")

    def gaps(self, W: Any, b: Any, classes: Sequence[int]) -> Floats:
        """Return each model's cost above the optimum's."""
        models = [self.judged.index(c) for c in classes]
        return self.objective.costs(W, b, models) - self.optimum[models]

    def reach(self, gap: float, classes: Sequence[int]) -> dict[str, Any] | None:
        """Return the loosest point that comes as near for these classes; None if none does."""
        models = [self.judged.index(c) for c in classes]
        for low, end in ((0, FLOAT64), (FLOAT64, len(OURS))):
            high = end  # it is one of these, or none; bisected
            while low < high:
                middle = (low + high) // 2
                near = self.point(middle)["gaps"][models].sum() <= gap
                low, high = (low, middle) if near else (middle + 1, high)
            if low < end:
                return self.point(low)
        return None

    def point(self, index: int) -> dict[str, Any]:
        """Return where one of OURS ends, and how long it takes."""
        if index in self.points:
            return self.points[index]
        setting = OURS[index]
        if not self.points:  # not charged for what the first call of a process does
            self.train(setting)
        started = time.perf_counter()
        model = self.train(setting)
        seconds = time.perf_counter() - started
        at = [int(np.flatnonzero(model.classes == c)[0]) for c in self.judged]
        at = [0] if model.n_models == 1 else at
        W = model.weights[:, at].astype(np.float64) / self.data.scale
        gaps = self.gaps(W, model.intercept[at], self.judged)
        n_iter = int(np.max(model.history.n_iter))
        point = {"setting": setting, "iterations": n_iter, "runs": [seconds], "gaps": gaps}
        self.points[index] = point
        return point

    def timed(self, point: dict[str, Any]) -> float:
        """Time a point again, in a quiet moment, and return the median of all its times."""
        while True:
            turn = take_turn(lambda: self.train(point["setting"]), self.patience)
            point["runs"].append(turn.seconds)
            if len(point["runs"]) > 2 or turn.seconds > LONG:
                return float(np.median(point["runs"]))

    def result(self) -> dict[str, Any]:
        """Return what the JSON records, as of any contestant."""
        factor, points = len(self.data.models) / len(self.judged), []
        for _, point in sorted(self.points.items()):
            found = {"setting": point["setting"], "iterations": point["iterations"]}
            found["runs"] = [rounded(seconds) for seconds in point["runs"]]
            found["seconds"] = rounded(float(np.median(point["runs"])))
            points.append({**found, "gap": rounded(factor * float(point["gaps"].sum()))})
        about = {"name": "gpulr-lbfgs", "label": "gpulr, lbfgs", "dtype": str(self.data.X.dtype)}
        return {**about, "points": points}


# The others


def run(job: Job, data: Data, *, limit: float) -> tuple[dict[str, Any], list[list[list[Part]]]]:
    """Run one contestant in its own process; return what it said, and its points.

    A point is a list of runs, a run a list of parts. What a process that was ended, failed or
    crashed had finished by then counts.
    """
    peer, points = job.peer, {}  # type: ignore[var-annotated]
    result: dict[str, Any] = {"name": peer.name, "label": peer.label, "versions": {}}
    result |= {"dtype": peer.dtype or str(data.X.dtype), "others_cpu": 0.0}
    print(f"{peer.label} …", file=sys.stderr, flush=True)
    try:
        with mock.patch.dict(os.environ, ENVIRONMENT.get(peer.name, {})):
            rows = {"X": data.X, "y": data.y, "job": job}
            for found in worker(fits, rows, limit, peer.label):
                if part := found.get("part"):
                    runs = points.setdefault(str(part.setting), {})
                    runs.setdefault(found["run"], []).append(part)
                elif "others_cpu" in found:
                    result["others_cpu"] = max(result["others_cpu"], found["others_cpu"])
                else:
                    result |= found
    except (TimeoutError, RuntimeError) as error:
        result["error"] = str(error)
    if not points:
        result.setdefault("error", f"nothing to judge after {job.budget:.0f} s")
        print(f"  {result['error']}", file=sys.stderr)
    return result, [list(runs.values()) for runs in points.values()]


def judge(points: list[list[list[Part]]], ours: Ours, cost: float) -> list[dict[str, Any]]:
    """Return each point's time and gap, and gpulr's time to one as small, measured now.

    Of a contestant that trained some of the classes, time and gap are scaled up to all. gpulr's
    time is measured for the points that the table shows; ``cost`` is the optimum's.
    """
    found = [judged(runs, ours) for runs in points]
    found = [point for point in found if np.isfinite(point["gap"])]
    for point in shown(found, cost):
        classes = point["classes"]
        if own := ours.reach(point["gap"] * len(classes) / len(ours.data.models), classes):
            seconds = ours.timed(own)
            point["ours"] = {"setting": own["setting"], "seconds": rounded(seconds)}
            point["ratio"] = rounded(point["seconds"] / seconds)
        print(f"  {point}", file=sys.stderr)
    return [{**point, "classes": len(point["classes"])} for point in found]


def judged(runs: list[list[Part]], ours: Ours) -> dict[str, Any]:
    """Return a point's time and gap, of all classes."""
    parts = runs[0]
    classes = [c for part in parts for c in part.classes]
    factor = len(ours.data.models) / len(classes)
    seconds = [factor * sum(part.seconds for part in run) for run in runs if len(run) == len(parts)]
    gap = sum(float(ours.gaps(part.W, part.b, part.classes).sum()) for part in parts)
    iterations = max(part.about["iterations"] for part in parts)
    found = {"setting": parts[0].setting, "iterations": iterations, "classes": classes}
    found |= {"seconds": rounded(float(np.median(seconds))), "gap": rounded(factor * gap)}
    return {**found, "runs": [rounded(each) for each in seconds], "ours": None, "ratio": None}


def solvers(
    *,
    data: str = "mnist",
    only: list[str] | None = None,
    without: dict[str, str] | None = None,
    C: float = 1.0,
    budget: float = 10.0,
    size: float = 1.0,
    patience: float = 10.0,
) -> dict[str, Any]:
    """Time and distance to the optimum: gpulr's lbfgs beside what others use, at equal gaps.

    ``data`` is one of bench.data.DATA; ``only`` are contestants, and ``without`` says why others do
    not take part. Each trains one class after the other until ``budget`` seconds are spent. A
    ``size`` below 1 takes a part of the rows.
    """
    if unknown := set(only or ()) - set(PEERS):
        raise SystemExit(f"no contestant is called {sorted(unknown)}; there are {list(PEERS)}.")
    rows, left_out = DATA[data]().part(size), without or {}
    ours = Ours(rows, C, patience)
    # The typical ones first, since of many classes only some are reached.
    typical = np.argsort(np.abs(ours.optimum - np.median(ours.optimum)), kind="stable")
    classes = [ours.judged[i] for i in typical]
    cost = float(ours.optimum.sum()) * len(rows.models) / len(ours.judged)
    results = []
    for name in only or PEERS:
        if name in left_out:
            about = {"name": name, "label": PEERS[name].label, "dtype": PEERS[name].dtype}
            results.append({**about, "error": left_out[name], "points": []})
            continue
        seconds = budget * PEERS[name].patient
        job = Job(PEERS[name], classes, rows.scale, C, seconds, patience)
        found, points = run(job, rows, limit=2.0 * seconds + GRACE)
        results.append({**found, "points": judge(points, ours, cost)})
    optimum = {"cost": cost, "certainty": ours.certainty, "gradient": ours.gradient}
    about = {"data": rows.about, "C": C, "optimum": optimum}
    return {**about, "results": [ours.result(), *results]}
