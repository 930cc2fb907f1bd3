"""``python -m bench.gpu PART``: measure one part and write its JSON."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.gpu.card import card
from bench.gpu.record import Record
from bench.machine import ROOT
from bench.workload import load_workload, rehearsal
from gpulr.errors import BackendUnavailableError

PARTS = {
    "tests": "suite",
    "pass": "passes",
    "transfer": "transfer",
    "training": "training",
    "search": "searching",
    "peers": "peers",
    "start": "start",
}


def main(command: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--output", type=Path, help="the JSON file to write (default: stdout)")
    options = parser.parse_args(command)
    results = ROOT / "bench" / "results"
    if rehearsal() and options.output and results in options.output.resolve().parents:
        parser.error(f"a rehearsal's figures mean nothing; they do not belong in {results}")
    # `timeout` sends it: workers are ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    measure = import_module(f"bench.gpu.{PARTS[options.part]}").measure
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
        measure(*arguments)
    return record.close()


if __name__ == "__main__":
    sys.exit(main())
