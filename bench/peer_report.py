"""Reading the comparisons with peers, and the README's tables made from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.report import PEERS as KIND
from bench.report import complete
from bench.words import DASH, machine_words, seconds, software_words, times

START, END = "<!-- peers:start -->", "<!-- peers:end -->"
OURS = "gpulr-lbfgs"
PACKAGES = {"scikit-learn": "scikit-learn", "scikit-learn-intelex": "intelex", "jax": "jax"}

Record = dict[str, Any]


def read_peers(folder: Path) -> list[tuple[str, Record]]:
    """Return name and content of each of a folder's comparisons: MNIST's first, then by name.

    Raises
    ------
    ResultFileError
        If one lacks what the table needs.
    """
    return list(complete(folder, KIND, "bench.peers", table))


def time_to(gap: float, points: Sequence[Record]) -> float | None:
    """Return the shortest time in which any of the points came as close; None if none did."""
    reached = [point["seconds"] for point in points if point["gap"] <= gap]
    return min(reached, default=None)


def ours(report: Record) -> list[Record]:
    """Return the points of gpulr's lbfgs."""
    return next((r["points"] for r in report["results"] if r["name"] == OURS), [])


def comparisons(report: Record) -> Iterator[tuple[Record, Record, float | None, float | None]]:
    """Yield (result, point, our seconds to its gap, ratio) for every point, in order."""
    mine = ours(report)
    for result in report["results"]:
        for point in result["points"]:
            needed = None if result["name"] == OURS else time_to(point["gap"], mine)
            yield result, point, needed, None if needed is None else point["seconds"] / needed


def setting_words(setting: Record) -> str:
    """Return a setting in words."""
    names = {"max_iter": "iterations"}
    words = [f"{v:g} {names[k]}" if k in names else f"{k}={v:g}" for k, v in setting.items()]
    return ", ".join(words)


def lines(report: Record) -> Iterator[str]:
    """Yield every point in a line, for the terminal."""
    yield f"optimum {report['optimum']['cost']:.9f}"
    for result, point, needed, ratio in comparisons(report):
        yield (
            f"{result['label']:36} {result['dtype']:8} {setting_words(point['setting']):16} "
            f"{point['seconds']:9.3f} s  gap {point['gap']:9.2e}  "
            f"lbfgs there {DASH if needed is None else seconds(needed):>8}  ratio {times(ratio):>6}"
            f"  others {point['others_cpu']:.0%}"
        )
    for result in report["results"]:
        if "error" in result or "cut_short" in result:
            yield f"{result['label']:36} {result.get('error') or result['cut_short']}"


def table(report: Record) -> str:
    """Return one comparison as a Markdown table with a caption: each contestant's first setting."""
    rows = [
        "| | X | setting | time | gap | gpulr lbfgs there | × |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    seen = set()
    for result, point, needed, ratio in comparisons(report):
        own = result["name"] == OURS
        shown = result["name"] not in seen or (own and point is result["points"][-1])
        seen.add(result["name"])
        if not shown:
            continue
        there = DASH if needed is None else seconds(needed)
        setting = setting_words(point["setting"])
        cells = [result["label"], result["dtype"], setting, seconds(point["seconds"])]
        cells += [scientific(point["gap"]), there, times(ratio)]
        rows.append(_row(cells, bold=own))
    for result in report["results"]:
        if not result["points"]:
            rows.append(_row([result["label"], result["dtype"], reason(result), *[DASH] * 4]))
    return "\n".join([*rows, "", caption(report)])


def reason(result: Record) -> str:
    """Return why a contestant has no points."""
    absent = ("ModuleNotFoundError", "PackageNotFoundError")
    return "not installed" if result["error"].startswith(absent) else result["error"]


def _row(cells: Sequence[str], *, bold: bool = False) -> str:
    cells = [f"**{cell}**" if bold and cell != DASH else cell for cell in cells]
    return "| " + " | ".join(cells) + " |"


def scientific(value: float) -> str:
    """Return a gap with two digits."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def data_words(report: Record) -> str:
    """Return the data in words."""
    data = report["data"]
    return (
        f"{data['data']}: {data['n_samples']:,} × {data['n_features']} {data['X_dtype']}, "
        f"{data['n_models']} models, C = {report['C']:g}"
    )


def caption(report: Record) -> str:
    """Return where a table's figures come from."""
    data = report["data"]
    packages = [f"{PACKAGES[p]} {v}" for p, v in report["versions"].items() if p in PACKAGES]
    how = (
        f"Gap: the float64 objective, summed over the models, above the optimum, "
        f"{report['optimum']['cost']:.7f}. × is how many times longer it took than gpulr's lbfgs "
        "to a gap as small (whole calls of train; the shortest of those measured, each the median "
        "of up to three). Each ran in its own process, one after the other."
    )
    ratios = [
        (ratio, result["label"], setting_words(point["setting"]))
        for result, point, _, ratio in comparisons(report)
        if ratio is not None and not result["name"].startswith("gpulr")
    ]
    first = [r["first_call_seconds"] for r in report["results"] if "first_call_seconds" in r]
    if first:
        how += (
            f" The first call of gpulr's lbfgs in its process, which compiles, took "
            f"{seconds(first[0])} at its first tolerance."
        )
    if ratios:
        ratio, label, setting = min(ratios)
        how += f" The smallest × of all points in the chart: {times(ratio)} ({label}, {setting})."
    if data["sampled_classes"] < data["n_models"]:
        how += (
            f" scikit-learn and intelex trained {data['sampled_classes']} of the "
            f"{data['n_models']} classes; their time and gap are scaled up to all."
        )
    others = max((p["others_cpu"] for _, p, _, _ in comparisons(report)), default=0.0)
    if others > 0.1:
        how += f" Other processes used up to {others:.0%} of the cores meanwhile."
    where = f"{machine_words(report)}; {', '.join([software_words(report), *packages])}"
    return f"{data_words(report)} ({data['description']}). {where}; {report['date'][:10]}. {how}"


def peers_section(reports: Sequence[tuple[str, Record]]) -> str:
    """Return what belongs between the README's markers."""
    return "\n\n".join(table(report) for _, report in reports)
