"""Tables and charts are made from the result files alone, whichever of them there are."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from bench import table
from bench.files import RESULTS, ROOT
from bench.predict import prediction
from gpulr.show.benchmarks import STYLES, WAYS

BLAS = {"internal_api": "openblas", "version": "0.3.30", "architecture": "Zen", "num_threads": 2}
SIZES = {"data": "MNIST", "n_samples": 60000, "n_features": 784, "X_dtype": "uint8"}


def report(kind, results, *, gpu=None, **content):
    """A result file's content, with the circumstances of a run."""
    return {
        **{"kind": f"gpulr-{kind}", "schema": 1, "date": "2026-11-20T12:00:00+00:00"},
        "commit": {"id": "0123456789abcdef", "dirty": False},
        "machine": {"cpu": "A processor", "cores": 2, **({"gpu": gpu} if gpu else {})},
        "versions": {"python": "3.13.1", "gpulr": "0.1.0", "numpy": "2.4.0", "scipy": "1.17.0"},
        "blas": [{"of": owner, **BLAS} for owner in ("numpy", "scipy")],
        **{"environment": {}, **content, "results": results},
    }


def quartiles(median):
    return {"median": median, "q1": 0.9 * median, "q3": 1.2 * median}


def result(task, way, dtype, seconds, backend="numpy", rows="uint8", label=None, **speedup):
    return {
        **{"task": task, "way": way, "backend": backend, "dtype": dtype, "rows": rows},
        **{**SIZES, "n_samples": 56000, "n_models": 10, "rounds": 5, "error": 1e-7},
        **({"iterations": 20} if task == "training" else {}),
        "label": label or f"{way} on {backend}",
        "seconds": quartiles(seconds),
        "speedup": {name: quartiles(ratio) for name, ratio in speedup.items()},
    }


INTERLEAVED = report(
    "interleaved",
    [
        result("pass", "notebook", "float64", 0.2),
        result("pass", "loop", "float32", 0.1, notebook=2.0),
        result("pass", "batched", "float32", 0.0204, notebook=9.84, loop=4.96),
        result("training", "notebook", "float64", 4.0),
        result("training", "batched", "float32", 0.00031, notebook=12904.2),
    ],
)


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "numpy.json").write_text(json.dumps(INTERLEAVED))
    return folder


def page(folder):
    return table.results_page(table.read_all(folder), folder)


@pytest.mark.parametrize(
    ("function", "value", "words"),
    [
        *((table.seconds, 11.44, "11.4 s"), (table.seconds, 0.9999, "1,000 ms")),
        *((table.seconds, 0.0307, "30.7 ms"), (table.seconds, 5.81e-5, "58.1 µs")),
        *((table.times, 0.92, "0.9×"), (table.times, 9.96, "10×"), (table.times, None, "–")),
    ],
)
def test_times_have_three_digits_and_ratios_two(function, value, words):
    assert function(value) == words


def test_the_table_says_what_the_file_says(results):
    lines = page(results).splitlines()
    image = "![One pass, and gradient descent: numpy](results/numpy.png)"
    assert lines[4:7:2] == ["## One pass, and gradient descent", image]
    lines = lines[8:]
    assert lines[0].startswith("| | | one pass | × loop | × notebook | training, 20 iterations |")
    assert lines[2] == "| notebook on numpy | float64 | 200 ms | – | – | 4.00 s | – | – |"
    assert lines[3] == "| loop on numpy | float32 | 100 ms | – | 2.0× | – | – | – |"
    assert lines[4] == (
        "| **batched on numpy** | **float32** | **20.4 ms** | **5.0×** | **9.8×** | **310 µs** | – "
        "| **12,904×** |"
    )
    assert lines[6].startswith(
        "MNIST: 56,000 × 784 uint8, 10 models. A processor, 2 cores; gpulr 0.1.0, Python 3.13.1, "
        "NumPy 2.4.0, OpenBLAS 0.3.30 (Zen kernels, 2 threads), commit 0123456789; 2026-11-20. "
    )


def test_a_table_for_each_machine(results):
    gpu = [result("pass", "batched", "float32", 0.0003, backend="cupy")]
    named = report("interleaved", gpu, gpu="A GPU (cuda:0)")
    named["commit"] = {"id": None, "dirty": True}
    (results / "cupy.json").write_text(json.dumps(named))
    text = page(results)
    assert text.count("|---|") == 2
    assert text.count("\n## ") == 1
    assert "A GPU (cuda:0); A processor, 2 cores" in text
    assert "no commit with changes" in text


def beside(way, backend, rows, seconds, **speedup):
    label = f"{way} on {backend}" + (f", {rows} rows" if way.startswith("peer") else "")
    return result("pass", way, "float32", seconds, backend, rows, label, **speedup)


def test_other_libraries_get_a_table_beside_gpulr_on_the_same_rows(results):
    faster = {"jax-blocks": 1.49, "uncompiled": 1.25, "notebook": 9.84}
    passes = [
        *INTERLEAVED["results"][:1],
        beside("peer", "jax", "float32", 0.0402),
        beside("peer-blocks", "jax", "uint8", 0.0303),
        beside("uncompiled", "numpy", "uint8", 0.0255),
        beside("batched", "numpy", "uint8", 0.0204, **faster),
        beside("batched", "numpy", "float32", 0.0301, jax=1.34),
    ]
    absent = {"task": "pass", "way": "peer", "label": "torch, uint8 rows", "backend": "torch"}
    absent |= {"dtype": "float32", "rows": "uint8", "reason": "not installed"}
    content = report("interleaved", passes, absent=[absent])
    (results / "numpy.json").write_text(json.dumps(content))
    lines = page(results).splitlines()[8:]
    assert lines[3].startswith("| **batched on numpy** | **float32** | **20.4 ms** | – | **9.8×**")
    assert lines[4] == ""
    assert lines[7:14] == [
        "| one pass in float32 | | gpulr on the same rows | × |",
        "|---|---:|---:|---:|",
        "| peer on jax, float32 rows | 40.2 ms | 30.1 ms | 1.3× |",
        "| peer-blocks on jax, uint8 rows | 30.3 ms | 20.4 ms | 1.5× |",
        "| uncompiled on numpy, uint8 rows | 25.5 ms | 20.4 ms | 1.2× |",
        "| torch, uint8 rows | not installed | 20.4 ms | – |",
        "",
    ]
    assert lines[14].endswith("how many times faster gpulr is: the median of the rounds' ratios.")


def test_cupy_without_the_fused_kernel_is_beside_cupy():
    passes = [
        beside("batched", "cupy", "uint8", 0.0002, portable=1.5),
        beside("batched", "numpy", "uint8", 0.0204),
        beside("portable", "cupy", "uint8", 0.0003),
    ]
    text = table.interleaved_table(report("interleaved", passes, gpu="A GPU (cuda:0)"))
    assert "| portable on cupy | " not in text.partition("one pass in float32")[0]
    assert "| portable on cupy, uint8 rows | 300 µs | 200 µs | 1.5× |" in text


def point(seconds, gap, ours=None, classes=10, **setting):
    own = {"setting": {"tol": 1e-4}, "seconds": ours} if ours else None
    found = {"setting": setting, "seconds": seconds, "gap": gap, "classes": classes, "runs": [1.0]}
    return {**found, "ours": own, "ratio": seconds / ours if ours else None}


def solver(name, dtype, *points, **more):
    about = {"label": f"The {name}", "dtype": dtype, "others_cpu": 0.0}
    return {"name": name, **about, "points": list(points), **more}


SOLVERS = report(
    "peers",
    [
        solver("gpulr-lbfgs", "uint8", point(0.5, 1e-3, tol=1e-4), point(0.25, 0.1, tol=1e-2)),
        solver("sklearn-lbfgs", "float32", point(15.0, 4e-3, 0.5, tol=1e-4), point(3, 0.2, tol=1)),
        solver("sklearn-liblinear", "float64", point(30.0, 1e-7, classes=4, eps=1e-4)),
        solver("cyanure", "float32", point(0.4, 1e-5, 0.8, tol=1e-3), point(9, 1e-7, 0.9, tol=1)),
        solver("jax-gd", "float32", error="ModuleNotFoundError: No module named 'jax'"),
    ],
    data={**SIZES, "description": "images", "n_models": 10, "judged": 10},
    C=1.0,
    optimum={"cost": 0.6004018, "gradient": 1e-11, "certainty": 1e-15},
    goals=[
        {"words": "tight", "at_least": 50, "names": ["cya", "jax"], "gap": [0.0, 1e-4]},
        {"words": "loose", "at_least": 30, "names": [""], "gap": [1e-4, 1e-2]},
        {"words": "first", "at_least": 9, "names": ["cya"], "gap": [0.0, 1e-6], "first": True},
        {"words": "sure", "at_least": 1, "names": ["sklearn"], "gap": [0.0, 1e-4]},
        {"words": "none", "at_least": 1, "names": ["jax"], "gap": [0.0, 1.0]},
    ],
)


def test_the_table_of_solvers_says_what_the_file_says():
    rows = table.peers_table(SOLVERS).splitlines()
    own = "| **The gpulr-lbfgs** | **uint8** |"
    assert rows[2] == f"{own} **tol=0.0001** | **500 ms** | **1.0e-3** | – | – |"
    assert rows[3:8] == [
        "| The sklearn-lbfgs | float32 | tol=0.0001 | 15.0 s | 4.0e-3 | 500 ms | 30× |",
        "| The sklearn-liblinear | float64 | eps=0.0001 | ≈ 30.0 s | 1.0e-7 | – | – |",
        "| The cyanure | float32 | tol=0.001 | 400 ms | 1.0e-5 | 800 ms | 0.5× |",
        "| The cyanure | float32 | tol=1 | 9.00 s | 1.0e-7 | 900 ms | 10× |",
        "| The jax-gd | float32 | not installed | – | – | – | – |",
    ]
    assert rows[9].startswith("MNIST: 60,000 × 784 uint8, 10 models, C = 1 (images). A processor")
    assert rows[9].endswith(" Ahead of gpulr: The cyanure.")


def test_settings_in_words():
    words = table.setting_words({"tol": 1e-6, "dtype": "float64", "max_iter": 20})
    assert words == "tol=1e-06, dtype=float64, 20 iterations"
    assert table.setting_words({}) == "defaults"


def test_goals_are_decided_by_the_smallest_ratio_or_the_first_point():
    ratio = {"what": "one pass", "label": "NumPy", "ratio": quartiles(0.1), "rounds": 3}
    ratio |= {"ours_seconds": quartiles(0.01), "base_seconds": quartiles(0.1)}
    shell = {**ratio, "what": "start", "ratio": quartiles(0.9), "at_most": 0.7, "unit": "s"}
    ratios = [{**ratio, "at_most": 0.15}, shell, {**ratio, "at_least": 0.0}]
    reports = [SOLVERS, report("ratios", ratios), {**searches(), "goal": 120.0}]
    assert table.goals_table(reports).splitlines()[2:-2] == [
        "| MNIST: tight | The cyanure | 1.0e-5 | 400 ms | 800 ms | 0.5× | ≥ 50 | no |",
        "| MNIST: loose | The sklearn-lbfgs | 4.0e-3 | 15.0 s | 500 ms | 30× | ≥ 30 | yes |",
        "| MNIST: first | The cyanure | 1.0e-7 | 9.00 s | 900 ms | 10× | ≥ 9 | yes |",
        "| MNIST: sure | The sklearn-liblinear | 1.0e-7 | 30.0 s | – | – | ≥ 1 | no |",
        "| MNIST: none | – | – | – | – | – | ≥ 1 | not measured |",
        "| one pass | NumPy | – | 100 ms | 10.0 ms | 0.10 | ≤ 0.15 | yes |",
        "| start | NumPy | – | 100 ms | 10.0 ms | 900 ms | ≤ 700 ms | no |",
        "| search, MNIST | sklearn-cv | – | 240 s | 4.00 s | 60× | ≥ 120 | no |",
    ]
    assert "0.10 (0.09–0.12) | ≤ 0.15 |" in table.ratios_table(reports[1])
    assert table.goals_table([INTERLEAVED]) is None


def searches(*, sampled=None):
    compared = {"models": 500, "at_least_as_good": 498, "equal": 1e-9, "score": "accuracy"}
    compared |= {"largest_excess": 2e-8, "largest_gain": 3e-3, "largest_score_difference": 0.0012}
    names = {"gpulr": 4.0, "sklearn-cv": 240.0}
    found = {"dtype": "float64", "others_cpu": 0.0, "models": 500, "runs": [1.0]}
    found["extrapolated_from_classes"] = None
    results = [{**found, "name": n, "label": n, "seconds": taken} for n, taken in names.items()]
    results[1] |= {"extrapolated_from_classes": sampled, "models": 50 if sampled else 500}
    about = {"Cs": [1e-4, 1e4], "n_folds": 5, "tol": 1e-4, "compared": compared}
    data = {**SIZES, "description": "digits", "n_models": 10}
    return report("search", results, data=data, **about)


def test_the_table_of_searches_says_how_good_the_models_are():
    text = table.search_table(searches())
    assert "| **gpulr** | **float64** | **500** | **4.00 s** | – |" in text
    assert "| 500 | 240 s | 60× |" in text
    assert "498 of 500" in text
    assert "at most 0.12 points" in text
    assert "≈" not in text
    text = table.search_table(searches(sampled=1))
    assert "| 500 | ≈ 240 s | 60× |" in text
    assert "trained 1 of the 10 classes; its time is scaled up to all" in text


def test_the_table_of_threads_has_times_ratio_and_goal():
    found = {**SIZES, "data": "rows", "name": "8 trainings at once", "goal": 1.0}
    found |= {"base_seconds": quartiles(2.0), "seconds": quartiles(1.0), "same_bits": False}
    text = table.threads_table(report("threads", [{**found, "ratio": quartiles(0.5)}]))
    cells = ["rows, 60,000 × 784 uint8", "8 trainings at once", "2.00 s", "1.00 s"]
    cells += ["0.50 (0.45–0.60)", "1.00", "no"]
    assert text.splitlines()[2] == f"| {' | '.join(cells)} |"


@pytest.fixture
def command(results, tmp_path):
    """A call on a folder of all kinds of results, with a README and a page."""
    (results / "peers-mnist.json").write_text(json.dumps(SOLVERS))
    (results / "search-mnist.json").write_text(json.dumps(searches()))
    (results / "on-gpu.json").write_text('{"kind": "gpulr-on-gpu"}')  # of which there is no table
    readme, page = tmp_path / "README.md", tmp_path / "RESULTS.md"
    readme.write_text(f"Before\n{table.START}\nan old table\n{table.END}\nAfter\n")
    return [f"--results={results}", f"--readme={readme}", f"--page={page}"]


def test_written_then_checked_and_charts_are_drawn(command, results, tmp_path, capsys):
    assert table.main([*command, "--check"]) == 1
    error = capsys.readouterr().err
    assert "README.md: its tables are not those of" in error
    assert "RESULTS.md: its tables are not those of" in error
    assert table.main([*command, f"--output={tmp_path / 'charts'}"]) == 0
    assert table.main([*command, "--check"]) == 0
    text = (tmp_path / "README.md").read_text()
    assert text.startswith(f"Before\n{table.START}\n| | gpulr | scikit-learn | × faster |")
    assert text.endswith(f" |\n{table.END}\nAfter\n")
    for row in (
        "| MNIST: 60,000 × 784 uint8, 10 models | 500 ms | 15.0 s | 30× | The cyanure | 0.5× |",
        "| search, MNIST: 500 models | 4.00 s | 240 s | 60× | – | – |",
    ):
        assert row in text
    colours = {
        "numpy": [WAYS[way] for way in ("notebook", "loop", "batched")],
        "peers-mnist": [STYLES[found["name"]][0] for found in SOLVERS["results"][:4]],
        "search-mnist": [WAYS["batched"]],
    }
    assert {p.stem for p in (tmp_path / "charts").iterdir()} == set(colours)
    for name, expected in colours.items():
        chart = tmp_path / "charts" / f"{name}.png"
        assert chart.stat().st_size < 100_000
        with Image.open(chart) as image:
            assert 700 < image.width < 1000
            pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
        for code in expected:
            colour = [int(code[i : i + 2], 16) for i in (1, 3, 5)]
            assert (abs(pixels - colour).max(axis=1) <= 3).sum() > 10, (name, code)


@pytest.mark.parametrize("text", ["no markers", f"{table.END}{table.START}", table.START])
def test_a_readme_without_markers_is_left_alone(command, tmp_path, capsys, text):
    (tmp_path / "README.md").write_text(text)
    assert table.main(command) == 1
    assert table.START in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == text


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", *(f'{{"kind": "{k}", "results": []}}' for k in table.TABLES)]
)
def test_foreign_and_incomplete_files_are_named(command, results, capsys, content):
    (results / "other.json").write_text(content)
    assert table.main(command) == 1
    error = capsys.readouterr().err
    assert re.search(r"other.json is no complete result of .* measure again", error)


def test_no_results_at_all(tmp_path, capsys):
    assert table.main(["--results", str(tmp_path)]) == 1
    assert "Measure first" in capsys.readouterr().err


def shown():
    """Paths of the pictures that the README shows."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [ROOT / path for path in re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)]


def test_the_readme_and_the_page_show_the_committed_results_and_small_pictures():
    assert table.main(["--check"]) == 0
    assert len(shown()) == 1
    assert sum(path.stat().st_size for path in shown()) < 200_000


@pytest.mark.slow
def test_the_script_draws_all_that_the_readme_shows(tmp_path):
    assert table.main(["--pictures", "--data", "digits", "--output", str(tmp_path)]) == 0
    drawn = sorted(tmp_path.iterdir())
    assert {path.name for path in shown()} <= {path.name for path in drawn}
    for path in drawn:
        with Image.open(path) as image:
            assert 800 < image.width < 1200
            assert len(image.convert("RGB").getcolors(2**24)) > 20  # it is not blank
    assert not pyplot.get_fignums()


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_committed_results_are_from_real_machines_and_name_no_paths_or_hosts(path):
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    assert table.obstacle(content) is None
    assert "node" not in content
    known = {"cpu", "cores", "architecture", "system", "gpu", "driver"}
    assert set(content["machine"]) <= known
    assert "filepath" not in text
    assert len(text.encode()) < 50_000


def test_results_without_a_card_do_not_belong_to_the_results():
    by_cupy = report("interleaved", [{"backend": "cupy"}])
    named = report("interleaved", [{"backend": "cupy"}], gpu="NVIDIA H100 80GB HBM3 (cuda:0)")
    assert "names no card" in table.obstacle(by_cupy)
    assert "names no card" in table.obstacle(report("on-gpu", [], parts={}))
    assert "rehearsal" in table.obstacle({**named, "rehearsal": True})
    assert "computed" in table.obstacle(prediction())
    assert table.obstacle(named) is None
    assert table.obstacle(report("interleaved", [{"backend": "numpy"}])) is None
