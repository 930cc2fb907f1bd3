"""Tables and charts of results; the README's and the site's pictures of models.

::

    python -m bench.table              # charts, bench/RESULTS.md, and the README's small table
    python -m bench.table --check      # exit 1 if RESULTS.md or the README has other tables
    python -m bench.table --pictures   # draw what ten digit models look like

Tables need nothing but Python: they are also made where a machine is only prepared.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.files import RESULTS, ROOT

Record = dict[str, Any]

# Of the README, which has room for a few; RESULTS.md has all.
LEFT_OUT = ("peers-binary-float64", "peers-binary-narrow", "peers-synthetic200")
START, END = "<!-- bench:start -->", "<!-- bench:end -->"
DASH = "–"
OURS = "gpulr-lbfgs"
RIVALS = ("peer", "peer-blocks", "uncompiled", "portable")  # ways of the second table
BLAS = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS"}
NAMES = {"gpulr": "gpulr", "python": "Python", "numpy": "NumPy", "llvmlite": "llvmlite"}
NAMES |= {"cupy": "CuPy"}
PACKAGES = {"scikit-learn": "scikit-learn", "scikit-learn-intelex": "intelex", "jax": "jax"}
PACKAGES |= {
    name: name for name in ("torch", "ml_dtypes", "h5py", "zarr", "cyanure", "snapml", "glum")
}
PACKAGES |= {"libmultilabel": "libmultilabel"}
PACKAGES |= {"liblinear-multicore": "LIBLINEAR"}
NEAR = (1e-2, 1e-3, 1e-4, 1e-6)  # gaps, relative to the optimum, at which solvers are shown
CHARTS = ("gpulr-interleaved", "gpulr-peers", "gpulr-search")  # what gpulr.show.benchmark draws


# Words


def seconds(value: float) -> str:
    """Return a time in words, to three digits."""
    unit, factor = next((u for u in (("s", 1), ("ms", 1e3)) if value * u[1] >= 1), ("µs", 1e6))
    value *= factor
    return f"{value:,.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f} {unit}"


def figure(value: float, found: Record) -> str:
    """Return a ratio in words, or a time where what was found is one, in seconds."""
    return seconds(value) if "unit" in found else f"{value:.2f}"


def times(ratio: float | None) -> str:
    """Return a ratio in words, to two digits below ten and whole above; a dash for none."""
    if ratio is None:
        return DASH
    return f"{ratio:.1f}×" if ratio < 9.95 else f"{ratio:,.0f}×"


def scientific(value: float) -> str:
    """Return a gap with two digits."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def where(report: Record, packages: Sequence[str] = ()) -> str:
    """Return the machine, versions, BLAS, commit and date of a result in words."""
    found, commit, versions = report["machine"], report["commit"], report["versions"]
    gpu = [found["gpu"]] if "gpu" in found else []
    cores = f"{found['cpu']}, {found['cores']} core{'s' if found['cores'] != 1 else ''}"
    words = [f"{NAMES[name]} {versions[name]}" for name in NAMES if name in versions]
    for b in report["blas"]:
        if b["of"] != "scipy":
            name, kernels = BLAS.get(b["internal_api"], b["internal_api"]), b["architecture"]
            words.append(f"{name} {b['version']} ({kernels} kernels, {b['num_threads']} threads)")
    changes = " with changes" if commit["dirty"] else ""
    words.append((f"commit {commit['id'][:10]}" if commit["id"] else "no commit") + changes)
    words += [f"{PACKAGES[name]} {versions[name]}" for name in packages if name in versions]
    return f"{'; '.join([*gpu, cores])}; {', '.join(words)}; {report['date'][:10]}"


def sizes(data: Record) -> str:
    found = f"{data['n_samples']:,} × {data['n_features']}"
    return f"{data['data']}: {found} {data['X_dtype']}" if "data" in data else found


def busy(shares: Iterable[float | None]) -> str:
    """Return a sentence if other processes used much of the cores."""
    share = max((share or 0.0 for share in shares), default=0.0)
    return f" Other processes used up to {share:.0%} of the cores meanwhile." if share > 0.1 else ""


def markdown(columns: str, rows: Iterable[tuple[bool, Sequence[str]]]) -> list[str]:
    """Return a table's lines, of which some rows are bold; ">" marks what is aligned right."""
    names = [name.strip() for name in columns.split("|")]
    heads = [n.lstrip(">") for n in names]
    lines = ["|" + "|".join(f" {n} " if n else " " for n in heads) + "|"]
    lines.append("|" + "|".join("---:" if n.startswith(">") else "---" for n in names) + "|")
    for bold, cells in rows:
        cells = [f"**{c}**" if bold and c != DASH else c for c in cells]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


# Passes and trainings in turn


def of(report: Record, task: str) -> list[Record]:
    return [result for result in report["results"] if result["task"] == task]


def is_beside(result: Record) -> bool:
    """Whether it is of the second table: another library, or gpulr to be compared with one."""
    own = result["way"] == "batched" and result["rows"] != result["X_dtype"]
    return own or result["way"] in RIVALS


def own_pass(report: Record, result: Record) -> Record | None:
    """Return gpulr's pass from rows that are stored alike: on CuPy beside CuPy, else on NumPy."""
    backend = "cupy" if result["backend"] == "cupy" else "numpy"
    wanted = ("batched", backend, result["rows"], result["dtype"])
    for found in of(report, "pass"):
        if (found["way"], found["backend"], found["rows"], found["dtype"]) == wanted:
            return found
    return None


def interleaved_table(report: Record) -> str:
    """Return gpulr's ways and the notebook's; then, if there are any, other libraries' passes."""
    ways: dict[tuple[str, str, str], dict[str, Record]] = {}
    for found in report["results"]:
        if not is_beside(found):
            key = found["way"], found["backend"], found["dtype"]
            ways.setdefault(key, {})[found["task"]] = found
    rows = []
    for (way, _, dtype), tasks in ways.items():
        cells = [next(iter(tasks.values()))["label"], dtype]
        for found in (tasks.get("pass"), tasks.get("training")):
            faster = found["speedup"] if found else {}
            cells.append(seconds(found["seconds"]["median"]) if found else DASH)
            cells += [times(faster.get(k, {}).get("median")) for k in ("loop", "notebook")]
        rows.append((way == "batched", cells))
    steps = "".join(f", {r['iterations']} iterations" for r in of(report, "training")[:1])
    head = f"||>one pass|>× loop|>× notebook|>training{steps}|>× loop|>× notebook"
    first, taken = report["results"][0], [of(report, task)[:1] for task in ("pass", "training")]
    caption = (
        f"{sizes(first)}, {first['n_models']} models. {where(report)}. Times are medians of "
        f"{'/'.join(str(r['rounds']) for found in taken for r in found)} rounds (pass/training) "
        "in which all ran in turn; × is how many times faster than gpulr's own loop over digits "
        "in the same dtype, and than the notebook: the median of the rounds' ratios."
        f"{busy(r.get('others_cpu') for r in report['results'])}"
    )
    lines = [*markdown(head, rows), "", caption]
    if not (rows := list(beside_rows(report))):
        return "\n".join(lines)
    words = (
        "The same cost and gradient by other means, in the same run. Rows are the library's own "
        "arrays before the clock starts. bench/passes.py says how they were written and tuned. "
        "× is how many times faster gpulr is: the median of the rounds' ratios."
    )
    beside = markdown("one pass in float32|>|>gpulr on the same rows|>×", rows)
    return "\n".join([*lines, "", *beside, "", words])


def beside_rows(report: Record) -> Iterator[tuple[bool, list[str]]]:
    """Yield the rows of the second table: what others took, or why they did not take part."""
    for found in [*of(report, "pass"), *report.get("absent", [])]:
        if "reason" not in found and found["way"] not in RIVALS:
            continue
        own, way, ratio = own_pass(report, found), found["way"], None
        rows = f", {found['rows']} rows"
        label = found["label"].removesuffix(rows) + rows
        if "reason" not in found and own:
            rival = found["backend"] + way.removeprefix("peer") if way.startswith("peer") else way
            ratio = own["speedup"].get(rival, {}).get("median")
        taken = found["reason"] if "reason" in found else seconds(found["seconds"]["median"])
        yield (
            False,
            [label, taken, seconds(own["seconds"]["median"]) if own else DASH, times(ratio)],
        )


# Solvers


def shown(points: Sequence[Record], cost: float) -> list[Record]:
    """Return the soonest of a contestant's points within each of NEAR; else its nearest."""
    found = []
    for gap in NEAR:
        within = [point for point in points if point["gap"] <= gap * cost]
        if within and (soonest := min(within, key=lambda p: p["seconds"])) not in found:
            found.append(soonest)
    return found or sorted(points, key=lambda p: p["gap"])[:1]


def setting_words(setting: Record) -> str:
    names = {"max_iter": "iterations", "evaluations": "evaluations"}
    words = []
    for name, value in setting.items():
        value = value if isinstance(value, str) else f"{value:g}"
        words.append(f"{value} {names[name]}" if name in names else f"{name}={value}")
    return ", ".join(words) or "defaults"


def reason(result: Record) -> str:
    """Return why a contestant has no points."""
    absent = ("ModuleNotFoundError", "PackageNotFoundError")
    return "not installed" if result["error"].startswith(absent) else result["error"]


def peers_words(report: Record) -> str:
    plural = " models" if report["data"]["n_models"] > 1 else " model"
    return f"{sizes(report['data'])}, {report['data']['n_models']}{plural}, C = {report['C']:g}"


def peers_table(report: Record) -> str:
    """Return what each contestant took, and gpulr to the same gap."""
    rows, data, ahead, cost = [], report["data"], [], report["optimum"]["cost"]
    for result in report["results"]:
        own = result["name"] == OURS
        for point in shown(result["points"], cost):
            part = point.get("classes", data["n_models"]) < data["n_models"]
            taken = ("≈ " if part else "") + seconds(point["seconds"])
            there = seconds(point["ours"]["seconds"]) if point.get("ours") else DASH
            cells = [result["label"], result["dtype"], setting_words(point["setting"]), taken]
            cells += [scientific(point["gap"]), there, times(point.get("ratio"))]
            rows.append((own, cells))
            if (point.get("ratio") or 1.0) < 1.0:
                ahead.append(result["label"])
        if not result["points"]:
            rows.append((False, [result["label"], result["dtype"], reason(result), *[DASH] * 4]))
    how = (
        f"Gap: the float64 objective, summed over the models, above the optimum, {cost:.7f}. × is "
        "how many times longer it took than gpulr's lbfgs to a gap as small (whole calls of train, "
        "measured right after it; medians). Each ran in its own process; of runs that are looked "
        "at on their way, the soonest within a hundredth, a thousandth, … of the optimum. ≈: it "
        "trained a part of the classes; time and gap are scaled up to all."
    )
    if ahead:
        how += f" Ahead of gpulr: {', '.join(dict.fromkeys(ahead))}."
    how += busy(result.get("others_cpu") for result in report["results"])
    place = where(report, [name for name in report["versions"] if name in PACKAGES])
    caption = f"{peers_words(report)} ({data['description']}). {place}. {how}"
    table = markdown("|X|setting|>time|>gap|>gpulr lbfgs there|>×", rows)
    return "\n".join([*table, "", caption])


# Searches


def search_table(report: Record) -> str:
    rows, how, data, Cs, found = [], "", report["data"], report["Cs"], report["compared"]
    (ours,) = (r["seconds"] for r in report["results"] if r["name"] == "gpulr")
    for result in report["results"]:
        own, models = result["name"].startswith("gpulr"), result["models"]
        sampled = result["extrapolated_from_classes"]
        if sampled:
            models = models * data["n_models"] // sampled
            how += (
                f" ≈: {result['label']} trained {sampled} of the {data['n_models']} classes; its "
                "time is scaled up to all."
            )
        taken = ("≈ " if sampled else "") + seconds(result["seconds"])
        ratio = times(None if own else result["seconds"] / ours)
        rows.append((own, [result["label"], result["dtype"], f"{models:,}", taken, ratio]))
    how += busy(result["others_cpu"] for result in report["results"])
    caption = (
        f"{sizes(data)} ({data['description']}), {data['n_models']} classes × {len(Cs)} values of "
        f"C from {Cs[0]:g} to {Cs[-1]:g} × {report['n_folds']} stratified folds, the same for "
        f"both; tol={report['tol']:g} for both. {where(report, ['scikit-learn'])}. Whole calls, "
        f"each in its own process, one after the other; the median of up to three.{how} Float64 "
        f"objectives on each fold's rows: in {found['at_least_as_good']} of {found['models']} "
        f"models gpulr's is at most {found['equal']:.0e} above scikit-learn's; the largest excess "
        f"is {found['largest_excess']:.1e}, the largest gain {found['largest_gain']:.1e}. Held-out "
        f"{found['score']} differs by at most {100 * found['largest_score_difference']:.2f} points "
        "in any fold and C."
    )
    return "\n".join([*markdown("|X|>models|>time|>×", rows), "", caption])


# What else is measured


def ratios_table(report: Record) -> str:
    rows = []
    for r in report["results"]:
        ours, base = (seconds(r[key]["median"]) for key in ("ours_seconds", "base_seconds"))
        median, q1, q3 = (figure(r["ratio"][name], r) for name in ("median", "q1", "q3"))
        ratio = f"{median} ({q1}–{q3})"
        rows.append((False, [r["what"], ours, r["label"], base, ratio, goal_words(r)]))
    columns = "|>gpulr|beside|>|>ratio (quartiles)|>goal"
    place = where(report, [name for name in report["versions"] if name in PACKAGES])
    return "\n".join([*markdown(columns, rows), "", f"{place}. Medians of runs in turn."])


def threads_table(report: Record) -> str:
    rows = []
    for r in report["results"]:
        size = f"{r['data']}, {r['n_samples']:,} × {r['n_features']} {r['X_dtype']}"
        ratio = "{median:.2f} ({q1:.2f}–{q3:.2f})".format(**r["ratio"])
        taken = [seconds(r[k]["median"]) for k in ("base_seconds", "seconds")]
        bits = "yes" if r["same_bits"] else "no"
        rows.append((False, [size, r["name"], *taken, ratio, f"{r['goal']:.2f}", bits]))
    columns = "rows||>alone, or in turn|>|>ratio (quartiles)|>goal|same bits"
    return "\n".join([*markdown(columns, rows), "", f"{where(report)}."])


def scores_table(report: Record) -> str:
    rows = []
    for r in report["results"]:
        size = f"{r['n_labels']:,} labels of {r['n_samples']:,} rows"
        name = r["score"] + (", weighted" if r["weights"] else "")
        taken = [seconds(r["seconds"][who]["median"]) for who in ("sklearn", "gpulr", "floor")]
        ratio = "{median:.1f} ({q1:.1f}–{q3:.1f})".format(**r["ratio"])
        rows.append((False, [size, name, *taken, ratio, goal_words({"at_least": r["goal"]})]))
    columns = "rows|score|>scikit-learn|>gpulr|>sorts alone, one thread|>ratio (quartiles)|>goal"
    return "\n".join([*markdown(columns, rows), "", f"{where(report)}."])


def coverage_table(report: Record) -> str:
    shares = [(r["rows"], r["draws"], r["shares"]) for r in report["results"]]
    rows = [(False, [str(n), draws, *(f"{s:.1%}" for s in found)]) for n, draws, found in shares]
    error = (report["level"] * (1.0 - report["level"]) / report["sets"]) ** 0.5
    caption = (
        f"{report['sets']} data sets, {report['n']} replicates, {report['level']:.0%} intervals; "
        f"the standard error of a share is {error:.1%}."
    )
    table = markdown(">rows|draws|>w₁|>w₂|>w₃|>b|>probabilities", rows)
    return "\n".join([*table, "", caption])


def passes_table(report: Record) -> str:
    rows = []
    for result in report["results"]:
        found = ["–" if n is None else f"{n:.1f}" for n in result["passes"]]
        size = f"{result['n_samples']:,} × {result['n_features']}"
        goals = [f"{found[i]} (≤ {goal})" for i, goal in enumerate(result["goals"], start=1)]
        rows.append((False, [result["data"], size, f"{result['C']:g}", found[0], *goals]))
    columns = "|".join(f">{gap:g}" for gap in report["results"][0]["gaps"])
    caption = (
        "Rows read ÷ n until the cost of all models together is so near its optimum (in brackets: "
        "the goal); the sample's Gram matrix, its iterations and its coordinates are counted."
    )
    return "\n".join([*markdown(f"data|rows|>C|{columns}", rows), "", caption])


# By kind: the title in RESULTS.md, and what makes the table.
TABLES: dict[str, tuple[str, Callable[[Record], str]]] = {
    "gpulr-interleaved": ("One pass, and gradient descent", interleaved_table),
    "gpulr-peers": ("To the optimum, beside other solvers", peers_table),
    "gpulr-search": ("Choosing C by cross-validation", search_table),
    "gpulr-ratios": (
        "Passes, predictions, families, kinds of rows, small fits, first calls",
        ratios_table,
    ),
    "gpulr-threads": ("Training in threads", threads_table),
    "gpulr-passes-to-optimum": ("Passes to the optimum", passes_table),
    "gpulr-scores": ("Scores of many labels", scores_table),
    "gpulr-coverage": ("How often intervals hold the truth", coverage_table),
}


# Goals


def goal_words(found: Record) -> str:
    """Return a goal in words, a dash for none; ratios are to be at least or at most so large."""
    if found.get("at_least"):
        return f"≥ {found['at_least']:g}"
    if "at_most" not in found:
        return DASH
    return f"≤ {seconds(found['at_most']) if 'unit' in found else format(found['at_most'], 'g')}"


def met(found: Record, value: float | None) -> str:
    if value is None:
        return "not measured"
    met = value >= found["at_least"] if found.get("at_least") else value <= found["at_most"]
    return "yes" if met else "no"


def decisive(report: Record, goal: Record) -> tuple[Record, Record] | None:
    """Return the contestant and its point that decide whether a goal is met; None without any.

    The one with the smallest ratio, or of a goal on the first to a gap, that one.
    """
    low, high = (gap * report["optimum"]["cost"] for gap in goal["gap"])
    found = [
        (result, point)
        for result in report["results"]
        if result["name"] != OURS and result["name"].startswith(tuple(goal["names"]))
        for point in shown(result["points"], report["optimum"]["cost"])
        if (low or -1.0) < point["gap"] <= high
    ]
    key = "seconds" if goal.get("first") else "ratio"
    return min(found, key=lambda each: each[1][key] or 0.0, default=None)


def goals_table(reports: Sequence[Record]) -> str | None:
    """Return the goals of all reports, and whether they are met; None where there are none."""
    rows: list[list[str]] = []
    for report in reports:
        for goal in report.get("goals", []):
            cells = [f"{report['data']['data']}: {goal['words']}"]
            found = decisive(report, goal)
            if found is None:
                rows.append([*cells, *[DASH] * 5, goal_words(goal), met(goal, None)])
                continue
            result, point = found
            ours = seconds(point["ours"]["seconds"]) if point["ours"] else DASH
            cells += [result["label"], scientific(point["gap"]), seconds(point["seconds"]), ours]
            ratio = point["ratio"] or 0.0
            rows.append([*cells, times(point["ratio"]), goal_words(goal), met(goal, ratio)])
        if report["kind"] == "gpulr-search" and "goal" in report:
            ours, theirs = (r["seconds"] for r in report["results"][:2])
            goal = {"at_least": report["goal"]}
            cells = [f"search, {report['data']['data']}", report["results"][1]["label"], DASH]
            cells += [seconds(theirs), seconds(ours), times(theirs / ours)]
            rows.append([*cells, goal_words(goal), met(goal, theirs / ours)])
        for r in report["results"] if report["kind"] == "gpulr-ratios" else ():
            if goal_words(r) != DASH:
                base, ours = (seconds(r[k]["median"]) for k in ("base_seconds", "ours_seconds"))
                ratio = r["ratio"]["median"]
                cells = [r["what"], r["label"], DASH, base, ours, figure(ratio, r)]
                rows.append([*cells, goal_words(r), met(r, ratio)])
    if not rows:
        return None
    caption = (
        "For each goal the contestant that decides it: of several the one with the smallest ratio. "
        "Goals of at least (≥) are on what others take ÷ what gpulr takes, to a gap as small, and "
        "goals of at most (≤) on what gpulr takes ÷ what it is compared with."
    )
    columns = "goal|beside|>its gap|>its time|>gpulr|>ratio|>goal|met"
    return "\n".join([*markdown(columns, ((False, row) for row in rows)), "", caption])


# All of them


class ResultFileError(ValueError):
    """A result file or a README that cannot be used: what it is, and what to do."""


def obstacle(report: Record) -> str | None:
    """Return why a result does not belong into bench/results; None if it does.

    Whatever CuPy computed has to come from a card, which ``machine`` names, and no rehearsal does.
    """
    if report.get("rehearsal"):
        return "it is a rehearsal, whose figures mean nothing"
    if report.get("kind") == "gpulr-prediction":
        return "it is computed, not measured"
    by_cupy = any(result.get("backend") == "cupy" for result in report.get("results", []))
    by_cupy = by_cupy or report.get("kind") == "gpulr-on-gpu"
    if by_cupy and not report.get("machine", {}).get("gpu"):
        return "it names no card, and says that CuPy computed it"
    return None


def read(path: Path) -> Record:
    """Read one result file of any kind; ResultFileError if it lacks what its table needs."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["kind"] == "gpulr-interleaved":
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
    """Read a folder's result files, by kind, MNIST's first, then by name."""
    found = [read(path) for path in sorted(folder.glob("*.json"))]
    found = [report for report in found if report["kind"] in TABLES]
    if not found:
        raise ResultFileError("There are no result files. Measure first: see bench/__init__.py.")
    order = {kind: i for i, kind in enumerate(TABLES)}
    return sorted(found, key=lambda r: (order[r["kind"]], "mnist" not in r["name"], r["name"]))


def results_page(reports: Sequence[Record], folder: Path) -> str:
    """Return bench/RESULTS.md."""
    lines = ["# Results", "", "`python -m bench.table` writes this page from bench/results/*.json."]
    if goals := goals_table(reports):
        lines += ["", "## Goals", "", goals]
    title = None
    for report in reports:
        if title != (title := TABLES[report["kind"]][0]):
            lines += ["", f"## {title}"]
        if report["kind"] in CHARTS:
            lines += ["", f"![{title}: {report['name']}]({folder.name}/{report['name']}.png)"]
        lines += ["", TABLES[report["kind"]][1](report)]
    return "\n".join(lines) + "\n"


def small_table(reports: Sequence[Record]) -> str:
    """Return the README's table: trainings beside whom readers know and who is nearest; a search.

    The nearest is the one with the smallest ratio, of what others reach within a twentieth of the
    optimum.
    """
    rows = []
    for report in reports:
        if report["kind"] == "gpulr-peers" and report["name"] not in LEFT_OUT:
            known = [r for r in report["results"] if r["name"] == "sklearn-lbfgs" and r["points"]]
            if not known or not known[0]["points"][0].get("ours"):
                continue
            point, cost = known[0]["points"][0], report["optimum"]["cost"]
            others = [
                (p["ratio"], r["label"])
                for r in report["results"]
                for p in shown(r["points"], cost)
                if p.get("ratio") and (p is point or p["gap"] <= 0.05 * cost)
            ]
            ratio, label = min(others)
            what, ours = peers_words(report).partition(", C = ")[0], point["ours"]["seconds"]
            nearest = label, times(ratio)
            rows.append((what, ours, point["seconds"], point["ratio"], *nearest))
        elif report["kind"] == "gpulr-search":
            by_name = {r["name"]: r for r in report["results"]}
            ours, theirs = by_name["gpulr"], by_name["sklearn-cv"]
            what, taken = (
                f"search, {report['data']['data']}: {ours['models']} models",
                ours["seconds"],
            )
            rows.append((what, taken, theirs["seconds"], theirs["seconds"] / taken, DASH, DASH))
    head = "|>gpulr|>scikit-learn|>× faster|nearest of all|>× faster"
    cells = ([w, seconds(o), seconds(t), times(r), *rest] for w, o, t, r, *rest in rows)
    return "\n".join(markdown(head, ((False, row) for row in cells)))


def replace_section(readme: str, new: str) -> str:
    """Return the README with what is between its one pair of markers replaced."""
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
    parser.add_argument("--pictures", action="store_true", help="draw the pictures of models alone")
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
