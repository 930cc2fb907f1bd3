"""Reading result files of either kind, and the README's table made from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.words import DASH, machine_words, seconds, software_words, times

START, END = "<!-- bench:start -->", "<!-- bench:end -->"
KIND = "gpulr-interleaved"
RIVALS = ("peer", "peer-blocks", "uncompiled", "portable")  # ways of the second table
PEERS = "gpulr-peers"  # of bench.peers; bench.peer_report reads those


class ResultFileError(ValueError):
    """A result file or a README that cannot be used: what it is, and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One contestant at one task; times in seconds, speedups (median) by baseline."""

    about: dict[str, Any]
    median: float
    q1: float
    q3: float
    rounds: int
    speedup: dict[str, float]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.about[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True, slots=True)
class Report:
    """One result file.

    Attributes
    ----------
    name : str
        The file's stem.
    interleaved : bool
        Whether it is from :mod:`bench.interleaved`; else from pytest-benchmark, without ratios.
    about : dict
        date, commit, machine, versions, blas, environment.
    entries : list of Entry
    """

    name: str
    interleaved: bool
    about: dict[str, Any]
    entries: list[Entry]

    def of(self, task: str) -> list[Entry]:
        """Return the entries of one task, in the order in which they were measured."""
        return [entry for entry in self.entries if entry.task == task]


def read(path: Path) -> Report:
    """Read one result file.

    Raises
    ------
    ResultFileError
        If it is of neither kind.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("kind") == KIND:
            entries = [
                Entry(
                    about={"rows": result["X_dtype"], **result},
                    **result["seconds"],
                    rounds=result["rounds"],
                    speedup={name: s["median"] for name, s in result["speedup"].items()},
                )
                for result in content["results"]
            ]
            return Report(path.stem, True, content, entries)
        entries = [
            Entry(
                about={"rows": found["extra_info"]["X_dtype"], **found["extra_info"]},
                **{name: found["stats"][name] for name in ("median", "q1", "q3", "rounds")},
                speedup={},
            )
            for found in content["benchmarks"]
        ]
        about = {**content["machine_info"], "commit": content["commit_info"]}
        about.setdefault("date", content["datetime"])
        return Report(path.stem, False, about, entries)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultFileError(
            f"{path} is no result of bench.interleaved or of bench under pytest-benchmark "
            f"({type(error).__name__}: {error}). Remove it, or measure again, as bench/__init__.py "
            "says."
        ) from error


def kind_of(path: Path) -> Any:
    """Return what a result file says that it is; None if it says nothing or is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return content.get("kind") if isinstance(content, dict) else None


def complete(
    folder: Path, kind: str, source: str, table: Callable[[dict[str, Any]], str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and content of a folder's results of one kind: MNIST's first, then by name.

    Raises
    ------
    ResultFileError
        If one lacks what its ``table`` needs.
    """
    for path in sorted(folder.glob("*.json"), key=lambda p: ("mnist" not in p.stem, p.stem)):
        if kind_of(path) != kind:
            continue
        content = json.loads(path.read_text(encoding="utf-8"))
        try:
            table(content)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ResultFileError(
                f"{path} is no complete result of {source} ({type(error).__name__}: {error}). "
                "Remove it, or measure again."
            ) from error
        yield path.stem, content


def write(report: dict[str, Any], output: Path | None) -> None:
    """Write a report as JSON, to standard output where no file is named."""
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if output is None:
        print(text, end="")
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")


def read_all(folder: Path) -> list[Report]:
    """Read a folder's result files, by name; of one machine, interleaved ones alone if any."""
    reports = [
        read(path) for path in sorted(folder.glob("*.json")) if kind_of(path) in (None, KIND)
    ]
    raced = [report.about["machine"] for report in reports if report.interleaved]
    return [r for r in reports if r.interleaved or r.about["machine"] not in raced]


def workload(report: Report) -> str:
    """Return what was computed, in words."""
    first = report.entries[0]
    return (
        f"{first.data}: {first.n_samples:,} × {first.n_features} {first.X_dtype}, "
        f"{first.n_models} models"
    )


def machine(report: Report) -> str:
    """Return the machine in words."""
    return machine_words(report.about)


def software(report: Report) -> str:
    """Return versions, BLAS and commit in words."""
    return software_words(report.about)


def table(report: Report) -> str:
    """Return one report as Markdown tables with captions."""
    ways: dict[tuple[str, str, str], dict[str, Entry]] = {}
    for entry in report.entries:
        if not is_beside(entry):
            ways.setdefault((entry.way, entry.backend, entry.dtype), {})[entry.task] = entry
    iterations = next((e.iterations for e in report.of("training")), None)
    training = "training" if iterations is None else f"training, {iterations} iterations"
    lines = [
        f"| | | one pass | × loop | × notebook | {training} | × loop | × notebook |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (way, _, dtype), tasks in ways.items():
        cells = [next(iter(tasks.values())).label, dtype]
        for task in ("pass", "training"):
            timed = tasks.get(task)
            speedup = timed.speedup if timed else {}
            cells.append(seconds(timed.median) if timed else DASH)
            cells += [times(speedup.get("loop")), times(speedup.get("notebook"))]
        if way == "batched":
            cells = [f"**{cell}**" if cell != DASH else cell for cell in cells]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", caption(report), *beside_lines(report)])


def is_beside(entry: Entry) -> bool:
    """Whether it is of the second table: another library, or gpulr to be compared with one."""
    own = entry.way == "batched" and entry.rows != entry.X_dtype
    return own or entry.way in RIVALS


def rival(way: str, backend: str) -> str:
    """Return the name that a contestant has among the speedups of gpulr's on the same rows."""
    return backend + way.removeprefix("peer") if way.startswith("peer") else way


def speedup_over(report: Report, entry: Entry) -> float | None:
    """Return how many times faster gpulr is on the same rows."""
    own = on_the_same_rows(report, entry.rows, entry.dtype, entry.backend)
    return None if own is None else own.speedup.get(rival(entry.way, entry.backend))


def with_rows(entry: Entry) -> str:
    """Return its label, with how its rows are stored."""
    rows = f", {entry.rows} rows"
    return str(entry.label).removesuffix(rows) + rows


def on_the_same_rows(report: Report, rows: str, dtype: str, backend: str) -> Entry | None:
    """Return gpulr's own pass from rows that are stored so: on CuPy beside CuPy, else on NumPy."""
    own = "cupy" if backend == "cupy" else "numpy"
    for entry in report.of("pass"):
        if (entry.way, entry.backend, entry.rows, entry.dtype) == ("batched", own, rows, dtype):
            return entry
    return None


def beside_lines(report: Report) -> list[str]:
    """Return the lines of the second table, which begin with an empty one; none if it has none."""
    rows = []
    for entry in report.of("pass"):
        if entry.way in RIVALS:
            own = on_the_same_rows(report, entry.rows, entry.dtype, entry.backend)
            ratio = times(speedup_over(report, entry))
            rows.append((with_rows(entry), seconds(entry.median), own, ratio))
    for left_out in report.about.get("absent", []):
        own = on_the_same_rows(report, left_out["rows"], left_out["dtype"], "numpy")
        rows.append((left_out["label"], left_out["reason"], own, DASH))
    if not rows:
        return []
    lines = ["", "| one pass in float32 | | gpulr on the same rows | × |", "|---|---:|---:|---:|"]
    for label, found, own, ratio in rows:
        lines.append(f"| {label} | {found} | {seconds(own.median) if own else DASH} | {ratio} |")
    words = (
        "The same cost and gradient by other means, in the same run. Rows are the library's own "
        "arrays before the clock starts. bench/pass_peers.py says how they were written and tuned."
    )
    if report.interleaved:
        words += " × is how many times faster gpulr is: the median of the rounds' ratios."
    return [*lines, "", words]


def caption(report: Report) -> str:
    """Return where a table's figures come from."""
    rounds = "/".join(str(r.rounds) for t in ("pass", "training") for r in report.of(t)[:1])
    how = f"Times are medians of {rounds} rounds (pass/training)"
    if report.interleaved:
        how += (
            " in which all ran in turn; × is how many times faster than gpulr's own loop over "
            "digits in the same dtype, and than the notebook: the median of the rounds' ratios."
        )
    else:
        how += ", one contestant after the other, hence no ratios."
    others = max((entry.about.get("others_cpu") or 0.0 for entry in report.entries), default=0.0)
    if others > 0.1:
        how += f" Other processes used {others:.0%} of the cores meanwhile."
    date = report.about["date"][:10]
    return f"{workload(report)}. {machine(report)}; {software(report)}; {date}. {how}"


def section(reports: Sequence[Report]) -> str:
    """Return what belongs between the README's markers."""
    if not reports:
        raise ResultFileError("There are no result files. Measure first: see bench/__init__.py.")
    return "\n\n".join(table(report) for report in reports)


def replace_section(readme: str, new: str, start: str = START, end: str = END) -> str:
    """Return the README with what is between two markers replaced.

    Raises
    ------
    ResultFileError
        If it has not exactly one pair of markers, in order.
    """
    before, first, rest = readme.partition(start)
    _, last, after = rest.partition(end)
    if not first or not last or start in rest or end in after:
        raise ResultFileError(
            f"The README needs one line {start} and below it one line {end}, once each."
        )
    return f"{before}{start}\n{new}\n{end}{after}"
