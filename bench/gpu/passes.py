"""Part pass: cost and gradient of ten models in every way, and bytes per second beside a copy's."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from bench.contestants import Contestant, about, check, obstacle, parts
from bench.gpu.card import Card, StandIn, queueing_seconds, summarized, take_turn
from bench.gpu.record import Record
from bench.interleaved import quartiles
from bench.settings import setting
from bench.workload import Workload, rehearsal
from gpulr.core.problem import Problem

ROUNDS = 30
SECONDS = 25.0  # after which no new round begins
COPIES = 10


def entrants(backend: str) -> list[Contestant]:
    """Return every way of gpulr's pass that is measured, those that matter most first."""
    return [
        *(
            Contestant(way, backend, "float32", rows)
            for way in ("fused", "batched", "portable", "loop")
            for rows in ("float32", "uint8")
        ),
        *(Contestant(way, backend, "float64") for way in ("batched", "loop")),
    ]


def name_of(contestant: Contestant) -> str:
    """Return the name of a way in the records."""
    return f"{contestant.way}-{contestant.dtype}-on-{contestant.rows}"


def copy_bandwidth(card: Card | StandIn, record: Record) -> float:
    """Measure a copy from device memory to device memory, in bytes per second."""
    run, n_bytes = card.copy()
    run()
    found = quartiles([card.device_seconds(run, 2e-4) for _ in range(COPIES)])
    rate = n_bytes / found["median"]
    record.add("copy", bytes=n_bytes, seconds={"device": found}, bytes_per_second=rounded(rate))
    return rate


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def least_bytes(contestant: Contestant, work: Workload) -> int:
    """Return what any pass has to read of the rows and labels, once, and nothing else."""
    item = {"uint8": 1, "float32": 4}[contestant.rows]
    return int(work.X.size * item + 4 * len(work.y))


def evaluate(problems: list[tuple[Problem, Any]]) -> list[Any]:
    """Ask for a pass of every problem; a device may be at work still when this returns."""
    return [problem.evaluate(at) for problem, at in problems]


def measure(card: Card | StandIn, work: Workload, record: Record) -> None:
    """Check every way, then let all that passed take turns."""
    copied = copy_bandwidth(card, record)
    runs: dict[Contestant, Any] = {}
    errors, holds, firsts, chosen = {}, {}, {}, {}
    for contestant in entrants(card.backend.name):
        reason = obstacle(contestant)
        if contestant.way == "fused" and rehearsal():
            reason = "a rehearsal has no fused kernel"
        if reason:
            record.leave_out(name_of(contestant), reason)
            continue
        with (
            record.attempt(name_of(contestant)),
            setting(contestant.way),
            card.backend.activate(),
        ):
            problems = parts(contestant, work, card.backend)
            issue = partial(evaluate, problems)
            started = time.perf_counter()
            results = issue()
            card.synchronize()
            firsts[contestant] = time.perf_counter() - started  # kernels are compiled in it
            errors[contestant] = check("pass", contestant, results, work)
            # What gpulr chose, where it has a choice, and why.
            chosen[contestant] = getattr(getattr(problems[0][0], "fused", None), "reason", None)
            holds[contestant] = queueing_seconds(card, issue)
            runs[contestant] = issue
    turns: dict[Contestant, list[dict[str, float]]] = {contestant: [] for contestant in runs}
    deadline = time.monotonic() + SECONDS
    for _ in range(2 if rehearsal() else ROUNDS):
        for contestant, issue in list(runs.items()):
            with (
                record.attempt(name_of(contestant)),
                setting(contestant.way),
                card.backend.activate(),
            ):
                turns[contestant].append(take_turn(card, issue, holds[contestant]))
                continue
            del runs[contestant]  # it failed
        if time.monotonic() > deadline:
            break
    for contestant, issue in runs.items():
        with record.attempt(name_of(contestant)):
            with setting(contestant.way), card.backend.activate():
                check("pass", contestant, issue(), work)
            found = summarized(turns[contestant])
            n_bytes = least_bytes(contestant, work)
            rate = n_bytes / found["device_cold"]["median"]
            record.add(
                name_of(contestant),
                **about("pass", contestant),
                **work.sizes,
                seconds=found | {"first": quartiles([firsts[contestant]])},
                rounds=len(turns[contestant]),
                error=rounded(errors[contestant]),
                chosen=chosen[contestant],
                bytes=n_bytes,
                bytes_per_second=rounded(rate),
                fraction_of_copy=rounded(rate / copied),
                fraction_of_copy_warm=rounded(n_bytes / found["device"]["median"] / copied),
            )
