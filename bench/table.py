"""Tables and charts of the result files; the README's pictures of models.

::

    python -m bench.table              # charts, bench/RESULTS.md, and the README's small table
    python -m bench.table --check      # exit 1 if RESULTS.md or the README has other tables
    python -m bench.table --pictures   # draw what ten digit models look like, for the README
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.kinds import (
    TABLES,
    Record,
    comparisons,
    is_beside,
    markdown,
    of,
    seconds,
    sizes,
    times,
    where,
)
from bench.run import RESULTS, ROOT

START, END = "<!-- bench:start -->", "<!-- bench:end -->"
CHARTS = ("gpulr-interleaved", "gpulr-peers", "gpulr-search")  # what gpulr.show.benchmark draws


class ResultFileError(ValueError):
    """A result file or a README that cannot be used: what it is, and what to do."""


def obstacle(report: Record) -> str | None:
    """Return why a result does not belong into bench/results; None if it does.

    Whatever CuPy computed has to come from a card, which ``machine`` names, and no rehearsal does.
    """
    about = report.get("machine_info", report)
    if about.get("rehearsal") or about.get("environment", {}).get("GPULR_BENCH_REHEARSE"):
        return "it is a rehearsal, whose figures mean nothing"
    if report.get("kind") == "gpulr-prediction":
        return "it is computed, not measured"
    results = [*report.get("results", []), *(b["extra_info"] for b in report.get("benchmarks", []))]
    by_cupy = report.get("kind") == "gpulr-on-gpu" or any(
        r.get("backend") == "cupy" for r in results
    )
    if by_cupy and not about.get("machine", {}).get("gpu"):
        return "it names no card, and says that CuPy computed it"
    return None


def read(path: Path) -> Record:
    """Read one result file of any kind; pytest-benchmark's becomes like the others.

    Raises
    ------
    ResultFileError
        If it is none, or lacks what its table needs.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if "benchmarks" in report:
            keys = ("median", "q1", "q3")
            results = [
                {**b["extra_info"], "rounds": b["stats"]["rounds"], "speedup": {}}
                | {"seconds": {key: b["stats"][key] for key in keys}}
                for b in report["benchmarks"]
            ]
            about = {"date": report["datetime"], "commit": report["commit_info"]}
            report = {"kind": "pytest-benchmark", **about, **report["machine_info"]}
            report["results"] = results
        if report["kind"] in ("pytest-benchmark", "gpulr-interleaved"):
            report["results"] = [{"rows": r["X_dtype"], **r} for r in report["results"]]
        report["name"] = path.stem
        if report["kind"] in TABLES:
            TABLES[report["kind"]][1](report)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ResultFileError(
            f"{path} is no complete result of bench ({type(error).__name__}: {error}). Remove it, "
            "or measure again, as bench/__init__.py says."
        ) from error
    return report


def read_all(folder: Path) -> list[Record]:
    """Read a folder's result files, by kind, MNIST's first, then by name.

    Of one machine pytest-benchmark's are left out if there are interleaved ones.
    """
    found = [read(path) for path in sorted(folder.glob("*.json"))]
    found = [report for report in found if report["kind"] in TABLES]
    if not found:
        raise ResultFileError("There are no result files. Measure first: see bench/__init__.py.")
    raced = [report["machine"] for report in found if report["kind"] == "gpulr-interleaved"]
    kept = [r for r in found if r["kind"] != "pytest-benchmark" or r["machine"] not in raced]
    kinds = list(TABLES)
    return sorted(kept, key=lambda r: (kinds.index(r["kind"]), "mnist" not in r["name"], r["name"]))


def results_page(reports: Sequence[Record], folder: Path) -> str:
    """Return bench/RESULTS.md."""
    lines = ["# Results", "", "`python -m bench.table` writes this page from bench/results/*.json."]
    title = None
    for report in reports:
        if title != (title := TABLES[report["kind"]][0]):
            lines += ["", f"## {title}"]
        if report["kind"] in CHARTS:
            lines += ["", f"![{title}: {report['name']}]({folder.name}/{report['name']}.png)"]
        lines += ["", TABLES[report["kind"]][1](report)]
    return "\n".join(lines) + "\n"


def small_table(reports: Sequence[Record]) -> str:
    """Return the README's table: what gpulr takes, beside the one whom readers know."""
    rows = []

    def add(what: str, ours: float, label: str, theirs: float, ratio: float) -> None:
        rows.append((False, [what, seconds(ours), f"{label}: {seconds(theirs)}", times(ratio)]))

    for report in reports:
        if report["kind"] == "gpulr-interleaved":
            for task, words in (("pass", "one pass"), ("training", "gradient descent")):
                found = {(r["way"], r["dtype"]): r for r in of(report, task) if not is_beside(r)}
                own = found.get(("batched", "float32"), {"speedup": {}})
                for way, label in (("notebook", "the notebook"), ("loop", "one digit at a time")):
                    other = found.get((way, "float64" if way == "notebook" else "float32"))
                    if other and way in own["speedup"]:
                        steps = f", {own['iterations']} iterations" if task == "training" else ""
                        what = f"{words}{steps}, {own['n_models']} models, {own['data']}"
                        taken = [r["seconds"]["median"] for r in (own, other)]
                        add(what, taken[0], label, taken[1], own["speedup"][way]["median"])
        elif report["kind"] == "gpulr-peers":
            for result, point, needed, ratio in comparisons(report):
                if result["name"] == "sklearn-lbfgs" and ratio and point is result["points"][0]:
                    what = f"to the gap of scikit-learn's lbfgs, {report['data']['data']}"
                    add(what, needed, result["label"], point["seconds"], ratio)
        elif report["kind"] == "gpulr-search":
            by_name = {r["name"]: r for r in report["results"]}
            ours, theirs = by_name["gpulr"], by_name["sklearn-cv"]
            taken = ours["seconds"], theirs["seconds"]
            what = f"search of {ours['models']} models, {report['data']['data']}"
            add(what, taken[0], "LogisticRegressionCV", taken[1], taken[1] / taken[0])
        elif report["kind"] == "gpulr-many-classes":
            ours, theirs = (r["seconds_for_all"] for r in report["results"])
            what = f"{report['data']['n_classes']:,} classes, {sizes(report['data'])} float32"
            add(what, ours, "OneVsRestClassifier", theirs, theirs / ours)
    return "\n".join(markdown("|>gpulr|beside|>× faster", rows))


def replace_section(readme: str, new: str) -> str:
    """Return the README with what is between its markers replaced.

    Raises
    ------
    ResultFileError
        If it has not exactly one pair of markers, in order.
    """
    before, first, rest = readme.partition(START)
    _, last, after = rest.partition(END)
    if not first or not last or START in rest or END in after:
        raise ResultFileError(
            f"The README needs one line {START} and below it one line {END}, once each."
        )
    return f"{before}{START}\n{new}\n{END}{after}"


# Charts


def save(figure: Any, path: Path, dpi: int = 100) -> None:
    """Write a figure as a PNG file, with a palette that makes it a third as large."""
    from PIL import Image

    picture = io.BytesIO()
    figure.savefig(picture, dpi=dpi, format="png")
    Image.open(picture).convert("RGB").quantize(256).save(path, optimize=True)
    print(f"drew {path}", file=sys.stderr)


def draw(report: Record, path: Path) -> None:
    """Draw one report as gpulr.show does, each of its tasks below the other."""
    import matplotlib.pyplot as plt

    from gpulr.show import benchmark

    tasks = list(dict.fromkeys(found.get("task", "training") for found in report["results"]))
    bars = [len(of(report, task)) if "task" in report["results"][0] else 9 for task in tasks]
    with plt.rc_context({"font.size": 10, "font.family": "DejaVu Sans", "axes.titlesize": 11}):
        size = 8.4, 0.47 * sum(bars) + 1.4 * len(tasks)
        options = {"squeeze": False, "height_ratios": bars, "layout": "constrained"}
        figure, axes = plt.subplots(len(tasks), figsize=size, **options)
        for ax, task in zip(axes[:, 0], tasks, strict=True):
            benchmark(report, task=task, ax=ax)
        words = textwrap.fill(f"{where(report)}.", 120)
        figure.supxlabel(words, fontsize=8, x=0.01, ha="left")
        save(figure, path)
        plt.close(figure)


def pictures(data: Any, output: Path) -> None:
    """Draw what ten digit models look like, and what they get right and wrong."""
    from matplotlib import rc_context

    import gpulr

    model = gpulr.train(data)
    with rc_context({"font.size": 10, "font.family": "DejaVu Sans"}):
        for name, ax in (
            ("weights", gpulr.show.weights(model)),
            ("mistakes", gpulr.show.mistakes(model, data.X_test, data.y_test, n=8)),
            ("accuracy", gpulr.show.accuracy(model.evaluate(data.X_test, data.y_test))),
        ):
            save(ax.figure, output / f"show-{name}.png", 125)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what was asked for, or compare."""
    parser = argparse.ArgumentParser(prog="python -m bench.table", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of JSON files")
    parser.add_argument("--page", type=Path, default=ROOT / "bench" / "RESULTS.md")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--output", type=Path, help="folder for the charts (default: --results)")
    parser.add_argument("--check", action="store_true", help="compare; write and draw nothing")
    parser.add_argument("--pictures", action="store_true", help="draw the README's pictures alone")
    parser.add_argument("--data", help="of the pictures (default: MNIST)")
    options = parser.parse_args(arguments)
    output = options.output or options.results
    if options.pictures:
        from gpulr import datasets

        output.mkdir(parents=True, exist_ok=True)
        pictures(datasets.load(options.data) if options.data else datasets.load_default(), output)
        return 0
    try:
        reports = read_all(options.results)
        readme = options.readme.read_text(encoding="utf-8")
        wanted = {options.readme: replace_section(readme, small_table(reports))}
        wanted[options.page] = results_page(reports, options.results)
        if options.check:
            found = {p: p.read_text(encoding="utf-8") if p.exists() else "" for p in wanted}
            for path in (path for path in wanted if found[path] != wanted[path]):
                print(
                    f"{path}: its tables are not those of {options.results}. "
                    "Run: python -m bench.table",
                    file=sys.stderr,
                )
            return int(found != wanted)
    except (ResultFileError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    import matplotlib

    matplotlib.use("Agg")
    output.mkdir(parents=True, exist_ok=True)
    for report in reports:
        if report["kind"] in CHARTS:
            draw(report, output / f"{report['name']}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
