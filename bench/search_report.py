"""Reading the comparisons of searches, and the README's table made from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.report import (
    DASH,
    complete,
    machine_words,
    seconds,
    software_words,
    times,
)

KIND = "gpulr-search"
START, END = "<!-- search:start -->", "<!-- search:end -->"
OURS = "gpulr"

Record = dict[str, Any]


def sections(folder: Path) -> dict[tuple[str, str], str]:
    """Return what belongs between the README's markers, by the markers; nothing if unmeasured."""
    reports = read_searches(folder)
    return {(START, END): "\n\n".join(table(report) for report in reports)} if reports else {}


def read_searches(folder: Path) -> list[Record]:
    """Return a folder's comparisons of searches: MNIST's first, then by name.

    Raises
    ------
    ResultFileError
        If one lacks what the table needs.
    """
    return [content for _, content in complete(folder, KIND, "bench.search", table)]


def _rows(report: Record) -> Iterator[tuple[Record, float | None]]:
    """Yield each result, and how many times longer than our search it took."""
    (ours,) = (r["seconds"] for r in report["results"] if r["name"] == OURS)
    for result in report["results"]:
        own = result["name"].startswith("gpulr")
        yield result, None if own else result["seconds"] / ours


def _models(result: Record, report: Record) -> int:
    sampled = result["extrapolated_from_classes"]
    return int(
        result["models"] * report["data"]["n_models"] / sampled if sampled else result["models"]
    )


def lines(report: Record) -> Iterator[str]:
    """Yield every result in a line, for the terminal."""
    for result, ratio in _rows(report):
        sampled = result["extrapolated_from_classes"]
        note = f"  extrapolated from {sampled} of the classes" if sampled else ""
        yield (
            f"{result['label']:56} {result['dtype']:8} {_models(result, report):5} models "
            f"{result['seconds']:8.2f} s  ratio {times(ratio):>6}  "
            f"others {result['others_cpu']:.0%}{note}"
        )
    yield quality(report)


def table(report: Record) -> str:
    """Return one comparison as a Markdown table with a caption."""
    rows = ["| | X | models | time | × |", "|---|---|---:|---:|---:|"]
    for result, ratio in _rows(report):
        sampled = result["extrapolated_from_classes"]
        cells = [
            result["label"],
            result["dtype"],
            f"{_models(result, report):,}",
            ("≈ " if sampled else "") + seconds(result["seconds"]),
            times(ratio),
        ]
        if result["name"].startswith("gpulr"):
            cells = [f"**{cell}**" if cell != DASH else cell for cell in cells]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join([*rows, "", caption(report)])


def quality(report: Record) -> str:
    """Return in words how good the models are beside scikit-learn's."""
    found = report["compared"]
    return (
        f"Float64 objectives on each fold's rows: in {found['at_least_as_good']} of "
        f"{found['models']} models gpulr's is at most {found['equal']:.0e} above scikit-learn's; "
        f"the largest excess is {found['largest_excess']:.1e}, the largest gain "
        f"{found['largest_gain']:.1e}. Held-out {found['score']} differs by at most "
        f"{100 * found['largest_score_difference']:.2f} points in any fold and C."
    )


def caption(report: Record) -> str:
    """Return where a table's figures come from."""
    data, Cs = report["data"], report["Cs"]
    what = (
        f"{data['data']}: {data['n_samples']:,} × {data['n_features']} {data['X_dtype']} "
        f"({data['description']}), {data['n_models']} classes × {len(Cs)} values of C from "
        f"{Cs[0]:g} to {Cs[-1]:g} × {report['n_folds']} stratified folds, the same for both; "
        f"tol={report['tol']:g} for both."
    )
    versions = report["versions"]
    software = [software_words(report), f"scikit-learn {versions['scikit-learn']}"]
    how = "Whole calls, each in its own process, one after the other; the median of up to three."
    sampled = [r for r in report["results"] if r["extrapolated_from_classes"]]
    for result in sampled:
        how += (
            f" ≈: {result['label']} trained {result['extrapolated_from_classes']} of the "
            f"{data['n_models']} classes; its time is scaled up to all."
        )
    others = max(result["others_cpu"] for result in report["results"])
    if others > 0.1:
        how += f" Other processes used up to {others:.0%} of the cores meanwhile."
    where = f"{machine_words(report)}; {', '.join(software)}; {report['date'][:10]}"
    return f"{what} {where}. {how} {quality(report)}"
