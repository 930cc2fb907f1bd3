"""One part's record: written after every measurement, so that what was measured outlives a kill."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.machine import ROOT, circumstances
from bench.report import write
from bench.words import seconds

PART = "gpulr-on-gpu-part"


class Record:
    """What a part has found so far.

    Parameters
    ----------
    part : str
    output : Path or None
        The JSON file; None writes to standard output, once, at the end.
    about : dict
        What the JSON says besides the circumstances: the card, the data.
    """

    def __init__(self, part: str, output: Path | None, **about: Any) -> None:
        self.output = output
        self.content: dict[str, Any] = {
            **{"kind": PART, "schema": 1, "part": part, "complete": False},
            **{**circumstances(), **about},
            **{"results": [], "absent": [], "failed": []},
        }
        self.save()

    def add(self, name: str, **found: Any) -> dict[str, Any]:
        """Add a result, and print it."""
        result = {"name": name, **found}
        self.content["results"].append(result)
        print(f"  {name:42} {in_words(result)}", file=sys.stderr, flush=True)
        self.save()
        return result

    def leave_out(self, name: str, reason: str) -> None:
        """Say that something optional was not measured, and why."""
        self.content["absent"].append({"name": name, "reason": reason})
        print(f"  {name:42} not measured: {reason}", file=sys.stderr, flush=True)
        self.save()

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Go on after whatever fails inside, and record it."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.fail(name, f"{type(error).__name__}: {error}")
            print(f"  {name:42} FAILED", file=sys.stderr, flush=True)

    def fail(self, name: str, words: str) -> None:
        """Say what failed, and how; no path of this machine is kept."""
        self.content["failed"].append({"name": name, "error": words.replace(f"{ROOT}/", "")[:500]})
        self.save()

    def close(self) -> int:
        """Write the whole, and return the exit code: 1 if something failed."""
        self.content["complete"] = True
        self.save()
        if self.output is None:
            write(self.content, None)
        return int(bool(self.content["failed"]))

    def save(self) -> None:
        """Write what is known so far."""
        if self.output is not None:
            write(self.content, self.output)


def in_words(result: dict[str, Any]) -> str:
    """Return a result's times, and what is known of its bytes, on one line."""
    words = [f"{kind} {seconds(q['median'])}" for kind, q in result.get("seconds", {}).items()]
    if "bytes_per_second" in result:
        words.append(f"{1e-9 * result['bytes_per_second']:,.0f} GB/s")
    if result.get("fraction_of_copy") is not None:
        words.append(f"{result['fraction_of_copy']:.0%} of a copy")
    words += [f"{k} {result[k]:.3g}" for k in ("gap", "error", "fraction") if k in result]
    return "  ".join(words)
