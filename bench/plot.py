"""Charts and the README's tables, from the result files.

::

    python -m bench.plot                     # draw the charts, print the tables
    python -m bench.plot --write README.md   # draw, and put the tables between the README's markers
    python -m bench.plot --check README.md   # exit 1 if the README's tables are others
"""

from __future__ import annotations

import argparse
import io
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from bench import peer_report, search_report
from bench.peer_plot import draw_peers
from bench.report import (
    END,
    START,
    Entry,
    Report,
    ResultFileError,
    is_beside,
    machine,
    on_the_same_rows,
    read_all,
    replace_section,
    section,
    software,
    speedup_over,
    with_rows,
    workload,
)
from bench.words import seconds, times
from gpulr.show.benchmarks import WAYS as COLOURS
from gpulr.show.benchmarks import times as draw_times

RESULTS = Path(__file__).resolve().parent / "results"
TITLES = {
    "pass": "One pass: cost and gradient",
    "beside": "One pass in float32, beside other libraries on the same rows",
    "training": "Training: gradient descent",
}
WIDTH = 8.4  # inches; with DPI as wide as a README is shown
DPI = 100


def panels(report: Report) -> dict[str, list[Entry]]:
    """Return what is drawn below each other, by the keys of TITLES."""
    passes = report.of("pass")
    others = [entry for entry in passes if is_beside(entry)]
    backends = sorted({"cupy" if entry.backend == "cupy" else "numpy" for entry in others})
    own = [on_the_same_rows(report, passes[0].X_dtype, "float32", name) for name in backends]
    found = {
        "pass": [entry for entry in passes if not is_beside(entry)],
        "beside": sorted(
            [*others, *filter(None, own)], key=lambda entry: (entry.rows, entry.median)
        ),
        "training": report.of("training"),
    }
    return {name: entries for name, entries in found.items() if entries}


def draw(report: Report, path: Path) -> None:
    """Draw one report's panels below each other as horizontal bars."""
    import matplotlib.pyplot as plt
    from PIL import Image

    found = panels(report)
    counts = [len(entries) for entries in found.values()]
    with plt.rc_context({"font.size": 10, "font.family": "DejaVu Sans", "axes.titlesize": 11}):
        figure, axes = plt.subplots(
            len(found),
            squeeze=False,
            figsize=(WIDTH, 0.47 * sum(counts) + 0.75 * len(found) + 0.6),
            height_ratios=counts,
            layout="constrained",
        )
        for axis, (name, entries) in zip(axes[:, 0], found.items(), strict=True):
            _bars(axis, name, entries, report)
        words = f"{workload(report)}. {machine(report)}; {software(report)}"
        words = f"{words}; {report.about['date'][:10]}."
        figure.supxlabel("\n".join(textwrap.wrap(words, 120)), fontsize=8, x=0.01, ha="left")
        picture = io.BytesIO()
        figure.savefig(picture, dpi=DPI, format="png")
        plt.close(figure)
    # Few colours are used: a palette makes the file a third as large.
    Image.open(picture).convert("RGB").quantize(64).save(path, optimize=True)


def _words(name: str, entry: Entry, report: Report) -> tuple[str, str]:
    """Return what is written before a bar and after it."""
    after = seconds(entry.median)
    if name != "beside":
        if "notebook" in entry.speedup:
            after += f"   ({times(entry.speedup['notebook'])} the notebook's speed)"
        return f"{entry.label}, {entry.dtype}", after
    if (ratio := speedup_over(report, entry)) is not None:
        after += f"   (gpulr is {times(ratio)} as fast)"
    return with_rows(entry), after


def _bars(panel: Axes, name: str, entries: list[Entry], report: Report) -> None:
    labels, remarks = zip(*(_words(name, entry, report) for entry in entries), strict=True)
    draw_times(
        panel,
        labels,
        [entry.median for entry in entries],
        quartiles=[(entry.q1, entry.q3) for entry in entries],
        remarks=remarks,
        colours=[COLOURS[entry.way] for entry in entries],
        bold=[entry.way == "batched" for entry in entries],
    )
    title = TITLES[name]
    if name == "training":
        title += f", {entries[0].iterations} iterations"
    panel.set_title(title, loc="left")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.plot", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of JSON files")
    parser.add_argument("--output", type=Path, help="folder for the charts (default: --results)")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", type=Path, metavar="README", help="compare; draw nothing")
    action.add_argument("--write", type=Path, metavar="README", help="update its tables")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        reports = read_all(options.results)
        compared = peer_report.read_peers(options.results)
        sections = {}
        if reports or not compared:
            sections[START, END] = section(reports)
        if compared:
            markers = peer_report.START, peer_report.END
            sections[markers] = peer_report.peers_section(compared)
        sections |= search_report.sections(options.results)
        readme = options.check or options.write
        if readme is not None:
            old_text = new_text = readme.read_text(encoding="utf-8")
            for (start, end), new in sections.items():
                new_text = replace_section(new_text, new, start, end)
    except (ResultFileError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.check:
        if old_text != new_text:
            print(
                f"{readme}: its tables are not those of {options.results}. "
                f"Run: python -m bench.plot --write {readme}",
                file=sys.stderr,
            )
        return int(old_text != new_text)
    if options.write:
        readme.write_text(new_text, encoding="utf-8")
    else:
        print("\n\n".join(sections.values()))
    import matplotlib

    matplotlib.use("Agg")
    output = options.output or options.results
    output.mkdir(parents=True, exist_ok=True)
    for report in reports:
        path = output / f"{report.name}.png"
        draw(report, path)
        print(f"drew {path}", file=sys.stderr)
    for name, comparison in compared:
        path = output / f"{name}.png"
        draw_peers(comparison, path)
        print(f"drew {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
