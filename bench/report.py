"""Reading result files of either kind, and the README's table made from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START, END = "<!-- bench:start -->", "<!-- bench:end -->"
KIND = "gpulr-interleaved"
PEERS = "gpulr-peers"  # of bench.peers; bench.peer_report reads those
DASH = "–"
BLAS = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS"}


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
                    about=result,
                    **result["seconds"],
                    rounds=result["rounds"],
                    speedup={name: s["median"] for name, s in result["speedup"].items()},
                )
                for result in content["results"]
            ]
            return Report(path.stem, True, content, entries)
        entries = [
            Entry(
                about=found["extra_info"],
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
    reports = [read(path) for path in sorted(folder.glob("*.json")) if kind_of(path) != PEERS]
    raced = [report.about["machine"] for report in reports if report.interleaved]
    return [r for r in reports if r.interleaved or r.about["machine"] not in raced]


def seconds(value: float) -> str:
    """Return a time in words, to three digits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1.0 or unit == "µs":
            return f"{_three_digits(value * factor)} {unit}"
    raise AssertionError


def times(ratio: float | None) -> str:
    """Return a ratio in words, to two digits below ten and whole above; a dash for none."""
    if ratio is None:
        return DASH
    return f"{ratio:.1f}×" if ratio < 9.95 else f"{ratio:,.0f}×"


def _three_digits(value: float) -> str:
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:,.{digits}f}"


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


def machine_words(about: dict[str, Any]) -> str:
    """Return the machine of a result file in words."""
    found = about["machine"]
    words = f"{found['cpu']}, {found['cores']} core{'s' if found['cores'] != 1 else ''}"
    return f"{found['gpu']}; {words}" if "gpu" in found else words


def software(report: Report) -> str:
    """Return versions, BLAS and commit in words."""
    return software_words(report.about)


def software_words(about: dict[str, Any]) -> str:
    """Return versions, BLAS and commit of a result file in words."""
    versions = about["versions"]
    names = {"gpulr": "gpulr", "python": "Python", "numpy": "NumPy", "cupy": "CuPy"}
    words = [f"{names[name]} {versions[name]}" for name in names if name in versions]
    for library in about["blas"]:
        if library["of"] != "scipy":
            name = BLAS.get(library["internal_api"], library["internal_api"])
            words.append(
                f"{name} {library['version']} ({library['architecture']} kernels, "
                f"{library['num_threads']} threads)"
            )
    commit = about["commit"]
    words.append(f"commit {commit['id'][:10]}" if commit["id"] else "no commit")
    if commit["dirty"]:
        words[-1] += " with changes"
    return ", ".join(words)


def table(report: Report) -> str:
    """Return one report as a Markdown table with a caption."""
    ways: dict[tuple[str, str, str], dict[str, Entry]] = {}
    for entry in report.entries:
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
    return "\n".join([*lines, "", caption(report)])


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
