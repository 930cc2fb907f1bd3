"""``python -m bench TASK``: measure, print the table, write the JSON."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from bench import goals, optimum, scores, tasks
from bench.files import write
from bench.run import circumstances
from bench.table import TABLES

TASKS = {"interleaved": tasks.interleaved, "threads": tasks.threads, "coverage": tasks.coverage}
TASKS |= {"passes-to-optimum": optimum.passes_to_optimum, "scores": scores.scores}
OUTPUT = inspect.Parameter(
    "output", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Path | None
)

app = typer.Typer(help=__doc__, add_completion=False, pretty_exceptions_enable=False)


def recorded(name: str, task: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    """Return the command of a task: its options, and the JSON file (default: standard output)."""
    signature = inspect.signature(task, eval_str=True)
    parameters = {**signature.parameters, "output": OUTPUT}

    @functools.wraps(task)
    def command(output: Path | None, **options: Any) -> None:
        about = circumstances()  # before measuring: the code that is loaded is this commit's
        if "output" in signature.parameters:
            options["output"] = output
        found = task(**options)
        # Of libraries that were loaded meanwhile, here or in processes of their own.
        about["versions"] |= circumstances()["versions"]
        for result in found["results"]:
            about["versions"] |= result.pop("versions", {})
        report = {"kind": f"gpulr-{name}", "schema": 1, **about, **found}
        print(TABLES[report["kind"]][1](report), file=sys.stderr)
        write(report, output)

    command.__signature__ = signature.replace(parameters=list(parameters.values()))
    return command


for name, task in TASKS.items():
    app.command(name)(recorded(name, task))


app.command("goals")(goals.goals)


if __name__ == "__main__":
    app(prog_name="python -m bench")
