"""`gpulr doctor`."""

from __future__ import annotations

from functools import partial
from typing import Any

from gpulr.backend.memory import in_words
from gpulr.cli import terminal
from gpulr.cli.doctor import report
from gpulr.words import counted

__all__ = ["doctor"]


def doctor(*, as_json: bool) -> None:
    """Report on this machine."""
    found = report()
    if as_json:
        terminal.print_json(found)
        return
    say = partial(terminal.out().print, soft_wrap=True)
    say(f"gpulr {found['gpulr']}, Python {found['python']}, {found['system']}")
    versions = {name: version or "not installed" for name, version in found["versions"].items()}
    say(", ".join(f"{name} {version}" for name, version in versions.items()))
    for name, value in found["environment"].items():
        say(f"{name}={value}")
    for line in (_processors(found["processors"]), _memory(found["memory"])):
        say(line)
    for blas in found["blas"]:
        say(
            f"BLAS of {blas['of']}: {blas['library']} {blas['version']}, "
            f"{counted(blas['threads'], 'thread')}, kernels for {blas['kernels']}"
        )
    for name, status in found["backends"].items():
        usable = status["usable"]
        verdict = ("usable", "green") if usable else ("not usable", "red")
        say(terminal.text("\n", (name, "bold"), ": ", verdict))
        for check, outcome in status["checks"]:
            say(f"  {check}: {outcome}")
        if not usable:
            say(f"  why: {status['reason']}")
            say(f"  what to do: {status['remedy']}")
    say(f"\nbackend=auto uses {found['auto']} for large work")
    for entry in found["data"]:
        here = "here" if entry["available"] else "not here"
        words = "; ".join(part for part in (here, entry["location"], entry["note"]) if part)
        say(f"data {entry['name']}: {words}")


def _processors(found: dict[str, Any]) -> str:
    allowed, quota, threads = (found[name] for name in ("allowed", "quota", "threads"))
    words = f"processors: {found['machine']}, of which this process may use {allowed}"
    if quota is None:
        return f"{words}; no quota of a container's (control group)"
    words += f"; a container's quota (control group): the time of {quota:g}"
    if threads <= max(1.0, quota):
        return words
    return (
        f"{words}. Passes use {threads} threads, which then wait for each other: set "
        f"OMP_NUM_THREADS={max(1, int(quota))} before Python starts"
    )


def _memory(found: dict[str, Any]) -> str:
    machine = "unknown" if found["machine"] is None else in_words(found["machine"])
    if found["limit"] is None:
        return f"memory: {machine}; no limit of a container's (control group)"
    return f"memory: {machine}; a container's limit (control group): {in_words(found['limit'])}"
