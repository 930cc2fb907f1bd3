"""Time every contestant in turn, in one process: the ratios that the README quotes.

Machines are shared, and their speed drifts over minutes, so times that were taken one after the
other do not make a ratio. Here each round runs every contestant once, in a moment in which other
processes leave the cores alone (:mod:`bench.quiet`), a speedup is computed within each round, and
its median and quartiles over the rounds are recorded::

    python -m bench.interleaved --backend numpy --output bench/results/numpy.json
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.contestants import (
    NOTEBOOK,
    PLAIN,
    TASKS,
    Contestant,
    Run,
    about,
    check,
    contestants,
    entry,
    obstacle,
    prepare,
)
from bench.machine import circumstances
from bench.pass_peers import PASSES
from bench.quiet import Patience, Watch, wait
from bench.report import KIND, rival, write
from bench.settings import SETTINGS
from bench.workload import Workload, load_workload
from gpulr.backend import BACKENDS, backends

ROUNDS = {"pass": 30, "training": 10}
# Calls before the timed one, in every turn: after a pause the third pass is as fast as any later.
UNTIMED = {"pass": 3, "training": 0}


@dataclass(frozen=True, slots=True)
class Turn:
    """The seconds of one timed call, and the share of the cores that others used meanwhile."""

    seconds: float
    others: float | None


def take_turn(run: Run, untimed: int, patience: Patience) -> Turn:
    """Time one call in a quiet moment; again if it was disturbed, while patience lasts."""
    while True:
        wait(patience)
        watch = Watch()
        for _ in range(untimed):
            run()
        started = time.perf_counter()
        run()
        seconds = time.perf_counter() - started
        if watch.disturbed() and patience.spend(watch.wall()):
            continue
        return Turn(seconds, watch.share())


def race(
    runs: dict[Contestant, Run], rounds: int, untimed: int, patience: Patience
) -> dict[Contestant, list[Turn]]:
    """Let the contestants take turns and return each one's, a list of one for each round."""
    turns: dict[Contestant, list[Turn]] = {contestant: [] for contestant in runs}
    for number in range(rounds):
        for contestant, run in runs.items():
            turns[contestant].append(take_turn(run, untimed, patience))
        print(f"\r  round {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return turns


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles, to four digits."""
    cuts = np.quantile(values, [0.5, 0.25, 0.75]).tolist()
    return {
        name: float(f"{cut:.4g}") for name, cut in zip(("median", "q1", "q3"), cuts, strict=True)
    }


def speedups(
    contestant: Contestant, seconds: dict[Contestant, list[float]]
) -> dict[str, dict[str, float]]:
    """Return how many times faster the contestant is than its baselines that took part.

    gpulr's loop, gpulr under a setting, and other libraries are compared with all columns at
    once in the same dtype and from rows that are stored alike.
    """
    baselines = {"notebook": NOTEBOOK}
    if contestant.way in ("loop", "batched", *SETTINGS):
        baselines["plain"] = PLAIN
    if contestant.way == "batched":
        for way in ("loop", *SETTINGS):
            baselines[way] = replace(contestant, way=way)
        for backend, way in PASSES:
            peer = replace(contestant, way=way, backend=backend)
            baselines[rival(way, backend)] = peer
    found = {}
    for name, baseline in baselines.items():
        if baseline in seconds and baseline != contestant:
            pairs = zip(seconds[baseline], seconds[contestant], strict=True)
            found[name] = quartiles([theirs / ours for theirs, ours in pairs])
    return found


def measure(
    task: str, entrants: list[Contestant], work: Workload, rounds: int, patience: Patience
) -> list[Any]:
    """Check and warm up every contestant, race them, check again; one record for each."""
    runs = {contestant: prepare(task, contestant, work) for contestant in entrants}
    records = {contestant: entry(task, contestant, run(), work) for contestant, run in runs.items()}
    gc.collect()
    gc.disable()
    try:
        turns = race(runs, rounds, UNTIMED[task], patience)
    finally:
        gc.enable()
    for contestant, run in runs.items():
        check(task, contestant, run(), work)
    seconds = {contestant: [turn.seconds for turn in taken] for contestant, taken in turns.items()}
    others = [t.others for taken in turns.values() for t in taken if t.others is not None]
    share = round(float(np.mean(others)), 3) if others else None
    return [
        {
            **records[contestant],
            "rounds": rounds,
            "others_cpu": share,
            "seconds": quartiles(seconds[contestant]),
            "speedup": speedups(contestant, seconds),
        }
        for contestant in entrants
    ]


def _rounds(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least one round is needed")
    return int(text)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.interleaved", description=__doc__)
    parser.add_argument("--output", type=Path, help="the JSON file to write (default: stdout)")
    parser.add_argument(
        "--backend",
        action="append",
        choices=tuple(BACKENDS),
        help="may be repeated; the run fails if one cannot be used (default: all that can)",
    )
    for task in TASKS:
        parser.add_argument(f"--{task}-rounds", type=_rounds, default=ROUNDS[task], metavar="N")
    parser.add_argument(
        "--patience",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="how long to wait, in all, until others leave the cores alone (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    found = backends()
    options.backend = options.backend or [name for name in found if found[name].usable]
    for name in options.backend:
        if not found[name].usable:
            parser.error(f"{name} cannot be used: {found[name].reason}. {found[name].remedy}.")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    work = load_workload()
    # The baselines come with NumPy's; a GPU is compared with them too.
    names = dict.fromkeys(["numpy", *options.backend])
    entrants: dict[str, list[Contestant]] = {task: [] for task in TASKS}
    absent = []
    for task in TASKS:
        for contestant in (c for name in names for c in contestants(task, name)):
            if reason := obstacle(contestant):
                absent.append({**about(task, contestant), "reason": reason})
            else:
                entrants[task].append(contestant)
    # Before measuring: the code that is loaded is this commit's; so are the other libraries.
    found = circumstances()
    results, patience = [], Patience(options.patience)
    for task in TASKS:
        rounds = getattr(options, f"{task}_rounds")
        print(f"{task}: {len(entrants[task])} contestants", file=sys.stderr)
        results += measure(task, entrants[task], work, rounds, patience)
    for result in results:
        ratios = "  ".join(f"{k} ×{v['median']:.3g}" for k, v in result["speedup"].items())
        print(
            f"{result['task']:9} {result['dtype']} {result['label']:55} "
            f"{1e3 * result['seconds']['median']:9.2f} ms  {ratios}",
            file=sys.stderr,
        )
    for left_out in absent:
        print(f"{left_out['task']:9} {left_out['label']}: {left_out['reason']}", file=sys.stderr)
    report = {"kind": KIND, "schema": 2, **found, "absent": absent, "results": results}
    write(report, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
