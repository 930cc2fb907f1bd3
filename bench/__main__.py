"""``python -m bench TASK``: measure, print the table, write the JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import peers, tasks
from bench.run import circumstances, write
from bench.table import TABLES

COMMANDS = tasks.COMMANDS | peers.COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one task."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    commands = parser.add_subparsers(dest="task", required=True)
    for name, (function, options, patience) in COMMANDS.items():
        words = (function.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=words, description=function.__doc__)
        for option, about in options.items():
            command.add_argument(option, **about)
        where = "the JSON file to write (default: stdout)"
        command.add_argument("--output", type=Path, help=where)
        words = "seconds to wait, in all, until others leave the cores alone (default: %(default)s)"
        command.add_argument("--patience", type=float, default=patience, help=words)
    chosen = parser.parse_args(arguments)
    about = circumstances()  # before measuring: the code that is loaded is this commit's
    found = COMMANDS[chosen.task][0](chosen)
    # Of libraries that were loaded meanwhile, here or in processes of their own.
    about["versions"] |= circumstances()["versions"]
    for result in found["results"]:
        about["versions"] |= result.pop("versions", {})
    kind = f"gpulr-{chosen.task}"
    report = {"kind": kind, "schema": 1, **about, **found}
    print(TABLES[kind][1](report), file=sys.stderr)
    write(report, chosen.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
