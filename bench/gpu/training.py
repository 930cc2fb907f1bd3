"""Part training: to the optimum, and gradient descent batched and one digit at a time.

Times are of whole calls of :func:`gpulr.train`, from rows on the host (so uploads are in them) and
from rows that are on the device already. The gap is that of :mod:`bench.peers`: the float64
objective, computed on the host without gpulr's code, above its optimum, summed over the models.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from typing import Any

import numpy as np

import gpulr
from bench.contestants import Contestant, about, check, prepare
from bench.gpu.card import Card, StandIn, host_seconds
from bench.gpu.passes import rounded
from bench.gpu.record import Record
from bench.interleaved import quartiles
from bench.machine import ROOT
from bench.objectives import Objective
from bench.peer_data import PeerData, mnist
from bench.workload import MADE_UP, Workload, made_up, may_load, rehearsal
from gpulr.backend import to_host

GOAL = 1e-4  # the gap that is called the optimum
TOLS = (1e-4, 5e-5, 2e-5, 1e-5)
ROUNDS = 5


@cache
def whole_data() -> PeerData:
    """Return MNIST's 60,000 training rows; made-up ones where it cannot be had."""
    if rehearsal():
        X, y = made_up(400, 64)
    elif may_load("mnist"):
        return mnist()
    else:
        X, y = made_up(60_000)
    return PeerData("made-up", MADE_UP, X, y, 1 / 255, tuple(range(10)))


def known_optimum(data: PeerData) -> float | None:
    """Return the optimum that :mod:`bench.peers` has found of the same data by Newton's method."""
    path = ROOT / "bench" / "results" / "peers-mnist.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["C"] == 1.0 and found["data"]["sha256"] == data.fingerprint():
        return float(found["optimum"]["cost"])
    return None


def gap_of(model: Any, objective: Objective, data: PeerData) -> float:
    """Return the summed cost of a model's columns."""
    W = to_host(model.weights).astype(np.float64) / data.scale
    return float(objective.costs(W, to_host(model.intercept)).sum())


def measure(card: Card | StandIn, work: Workload, record: Record) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gpulr.errors.ConvergenceWarning)  # the gap tells more
        _to_the_optimum(card, record)
    _descent(card, work, record)


def _to_the_optimum(card: Card | StandIn, record: Record) -> None:
    data, name = whole_data(), card.backend.name
    here = {
        "host": (data.X, data.y),
        "device": (card.backend.asarray(data.X), card.backend.asarray(data.y)),
    }
    settings = {"scale": data.scale, "C": 1.0}

    def trained(place: str, **setting: Any) -> Any:
        X, y = here[place]
        backend = name if name in ("numpy", "cupy") else "auto"
        model = gpulr.train(X, y, backend=backend, **settings, **setting)
        assert model.backend == name, model.fallback_reason
        return model

    places = ["host", "device"] if name in ("numpy", "cupy") else ["device"]
    models: dict[tuple[str, float], Any] = {}
    times: dict[tuple[str, float], dict[str, Any]] = {}
    for place in places:
        for tol in TOLS:
            with record.attempt(f"lbfgs-from-{place}-tol-{tol:g}"):

                def run(place: str = place, tol: float = tol) -> None:
                    models[place, tol] = trained(place, tol=tol)

                first = host_seconds(card, run)
                rounds = 1 if rehearsal() else ROUNDS
                taken = [host_seconds(card, run) for _ in range(rounds)]
                times[place, tol] = {"host": quartiles(taken), "first": quartiles([first])}
    objective = Objective(data.X * data.scale, data.y, range(10), 1.0)
    optimum, source = known_optimum(data), "bench.peers"
    if optimum is None:
        best = trained(places[-1], tol=1e-8, dtype="float64")
        optimum, source = gap_of(best, objective, data), "gpulr in float64, tol=1e-8"
    for (place, tol), seconds in times.items():
        model = models[place, tol]
        record.add(
            f"lbfgs-from-{place}-tol-{tol:g}",
            **data.sizes,
            setting={"tol": tol, **settings},
            seconds=seconds,
            gap=rounded(gap_of(model, objective, data) - optimum),
            optimum=optimum,
            optimum_by=source,
            iterations=[int(np.min(model.history.n_iter)), int(np.max(model.history.n_iter))],
        )


def _descent(card: Card | StandIn, work: Workload, record: Record) -> None:
    """Time twenty steps of gradient descent, as :mod:`bench.bench_training` does."""
    if card.backend.name not in ("numpy", "cupy"):
        record.leave_out("gd", f"{card.backend.name} takes its own arrays alone")
        return
    for way in ("batched", "loop"):
        contestant = Contestant(way, card.backend.name, "float32")
        with record.attempt(f"gd-{way}"):
            run = prepare("training", contestant, work)
            first = host_seconds(card, run)
            check("training", contestant, run(), work)
            rounds = 1 if rehearsal() else ROUNDS
            found = quartiles([host_seconds(card, run) for _ in range(rounds)])
            times = {"host": found, "first": quartiles([first])}
            record.add(f"gd-{way}", **about("training", contestant), **work.sizes, seconds=times)
