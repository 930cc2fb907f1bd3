"""The table and the charts are made from the result files alone, whichever of them there are."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import gpulr

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "bench" / "plot.py").exists():
    pytest.skip("the bench folder is not beside the tests", allow_module_level=True)

sys.path.append(str(ROOT))  # last, so that an installed gpulr stays the one that is tested
plot = pytest.importorskip("bench.plot")
report = pytest.importorskip("bench.report")


def circumstances(**machine):
    return {
        "date": "2026-11-20T12:00:00+00:00",
        "machine": {"cpu": "A processor", "cores": 2, **machine},
        "versions": {"python": "3.13.1", "gpulr": "0.1.0", "numpy": "2.4.0", "scipy": "1.17.0"},
        "blas": [
            {
                "of": owner,
                "internal_api": "openblas",
                "version": "0.3.30",
                "architecture": "Zen",
                "num_threads": 2,
                "threading_layer": "pthreads",
            }
            for owner in ("numpy", "scipy")
        ],
        "environment": {"CUPY_TF32": None},
    }


def about(task, way, backend, dtype):
    found = {
        "task": task,
        "way": way,
        "label": f"{way} on {backend}",
        "backend": backend,
        "device": "cpu",
        "dtype": dtype,
        "data": "MNIST",
        "n_samples": 56000,
        "n_features": 784,
        "n_models": 10,
        "X_dtype": "uint8",
        "error": 1e-7,
    }
    return found | ({"iterations": 20} if task == "training" else {})


def result(task, way, dtype, seconds, backend="numpy", **speedup):
    return {
        **about(task, way, backend, dtype),
        "rounds": 5,
        "seconds": {"median": seconds, "q1": 0.9 * seconds, "q3": 1.2 * seconds},
        "speedup": {k: {"median": v, "q1": v - 0.1, "q3": v + 0.1} for k, v in speedup.items()},
    }


def interleaved(results, **machine):
    commit = {"id": "0123456789abcdef", "dirty": False}
    head = {"kind": "gpulr-interleaved", "schema": 1, "commit": commit}
    return {**head, **circumstances(**machine), "results": results}


def by_pytest_benchmark(**machine):
    stats = {"median": 0.05, "q1": 0.04, "q3": 0.06, "rounds": 20, "min": 0.03}
    return {
        "machine_info": circumstances(**machine),
        "commit_info": {"id": None, "dirty": True},
        "datetime": "2026-11-20T12:00:00+00:00",
        "benchmarks": [
            {"extra_info": about("pass", "batched", "numpy", "float32"), "stats": stats}
        ],
    }


RESULTS = [
    result("pass", "notebook", "float64", 0.2),
    result("pass", "loop", "float32", 0.1, notebook=2.0),
    result("pass", "batched", "float32", 0.0204, notebook=9.84, loop=4.96),
    result("training", "notebook", "float64", 4.0),
    result("training", "batched", "float32", 0.00031, notebook=12904.2),
]


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "numpy.json").write_text(json.dumps(interleaved(RESULTS)))
    return folder


def test_the_table_says_what_the_file_says(results):
    lines = report.section(report.read_all(results)).splitlines()
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


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(11.44, "11.4 s"), (0.9999, "1,000 ms"), (0.0307, "30.7 ms"), (5.81e-5, "58.1 µs")],
)
def test_times_have_three_digits(seconds, words):
    assert report.seconds(seconds) == words


@pytest.mark.parametrize(("ratio", "words"), [(0.92, "0.9×"), (9.96, "10×"), (None, "–")])
def test_ratios_have_two_digits(ratio, words):
    assert report.times(ratio) == words


def test_ratios_come_from_interleaved_runs_alone(results):
    (results / "numpy-pytest.json").write_text(json.dumps(by_pytest_benchmark()))
    assert [r.name for r in report.read_all(results)] == ["numpy"]

    (results / "numpy.json").unlink()
    (only,) = report.read_all(results)
    table = report.table(only)
    assert "| **batched on numpy** | **float32** | **50.0 ms** | – | – | – | – | – |" in table
    assert "hence no ratios" in table
    assert "no commit with changes" in table


def test_a_table_for_each_machine(results):
    gpu = [result("pass", "batched", "float32", 0.0003, backend="cupy")]
    named = interleaved(gpu, gpu="A GPU (cuda:0)", driver="580")
    (results / "cupy.json").write_text(json.dumps(named))
    text = report.section(report.read_all(results))
    assert text.count("|---|") == 2
    assert "A GPU (cuda:0); A processor, 2 cores" in text


def beside(way, backend, rows, seconds, **speedup):
    found = result("pass", way, "float32", seconds, backend, **speedup)
    label = f"{way} on {backend}" + (f", {rows} rows" if way.startswith("peer") else "")
    return {**found, "rows": rows, "label": label}


def with_peers():
    passes = [
        beside("peer", "jax", "float32", 0.0402),
        beside("peer-blocks", "jax", "uint8", 0.0303),
        beside("uncompiled", "numpy", "uint8", 0.0255),
        beside(
            "batched",
            "numpy",
            "uint8",
            0.0204,
            **{"jax-blocks": 1.49},
            uncompiled=1.25,
            notebook=9.84,
        ),
        beside("batched", "numpy", "float32", 0.0301, jax=1.34),
    ]
    absent = {"task": "pass", "way": "peer", "label": "torch, uint8 rows", "backend": "torch"}
    absent |= {"dtype": "float32", "rows": "uint8", "reason": "not installed"}
    return {**interleaved([RESULTS[0], *passes]), "schema": 2, "absent": [absent]}


def test_other_libraries_get_a_table_beside_gpulr_on_the_same_rows(results):
    (results / "numpy.json").write_text(json.dumps(with_peers()))
    lines = report.section(report.read_all(results)).splitlines()
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


def test_cupy_without_the_fused_kernel_is_beside_cupy(results):
    (results / "numpy.json").unlink()
    passes = [
        beside("batched", "cupy", "uint8", 0.0002, portable=1.5),
        beside("batched", "numpy", "uint8", 0.0204),
        beside("portable", "cupy", "uint8", 0.0003),
    ]
    named = interleaved(passes, gpu="A GPU (cuda:0)", driver="580")
    (results / "cupy.json").write_text(json.dumps(named))
    (read,) = report.read_all(results)
    assert "| portable on cupy, uint8 rows | 300 µs | 200 µs | 1.5× |" in report.table(read)
    names = [entry.label for entry in plot.panels(read)["beside"]]
    assert names == ["batched on cupy", "portable on cupy"]


def test_other_libraries_get_a_panel_of_the_chart(results, tmp_path):
    from PIL import Image

    (results / "numpy.json").write_text(json.dumps(with_peers()))
    (read,) = report.read_all(results)
    panels = plot.panels(read)
    assert [len(entries) for entries in panels.values()] == [2, 5]
    assert [plot._words("beside", entry, read) for entry in panels["beside"]] == [
        ("batched on numpy, float32 rows", "30.1 ms"),
        ("peer on jax, float32 rows", "40.2 ms   (gpulr is 1.3× as fast)"),
        ("batched on numpy, uint8 rows", "20.4 ms"),
        ("uncompiled on numpy, uint8 rows", "25.5 ms   (gpulr is 1.2× as fast)"),
        ("peer-blocks on jax, uint8 rows", "30.3 ms   (gpulr is 1.5× as fast)"),
    ]
    plot.draw(read, tmp_path / "chart.png")
    with Image.open(tmp_path / "chart.png") as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    colour = [int(plot.COLOURS["peer"][i : i + 2], 16) for i in (1, 3, 5)]
    assert (abs(pixels.astype(int) - colour).max(axis=1) <= 3).sum() > 100


def test_charts_are_drawn(results, tmp_path, capsys):
    from PIL import Image

    output = tmp_path / "charts"
    assert plot.main(["--results", str(results), "--output", str(output)]) == 0
    assert capsys.readouterr().out.startswith("| | | one pass |")
    chart = output / "numpy.png"
    assert chart.stat().st_size < 100_000
    with Image.open(chart) as image:
        assert 700 < image.width < 1000
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for way in ("notebook", "loop", "batched"):
        colour = [int(plot.COLOURS[way][i : i + 2], 16) for i in (1, 3, 5)]
        assert (abs(pixels.astype(int) - colour).max(axis=1) <= 3).sum() > 100, way


def test_readme_written_then_checked(results, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"Before\n{report.START}\nan old table\n{report.END}\nAfter\n")
    command = ["--results", str(results)]
    assert plot.main([*command, "--check", str(readme)]) == 1
    assert "--write" in capsys.readouterr().err
    assert plot.main([*command, "--write", str(readme)]) == 0
    assert plot.main([*command, "--check", str(readme)]) == 0
    text = readme.read_text()
    assert text.startswith(f"Before\n{report.START}\n| | |")
    assert text.endswith(f".\n{report.END}\nAfter\n")


@pytest.mark.parametrize("text", ["no markers", f"{report.END}{report.START}", report.START])
def test_readme_without_markers_is_left_alone(results, tmp_path, capsys, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    assert plot.main(["--results", str(results), "--write", str(readme)]) == 1
    assert report.START in capsys.readouterr().err
    assert readme.read_text() == text


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"kind": "gpulr-interleaved"}'])
def test_foreign_files_are_named(results, capsys, content):
    (results / "other.json").write_text(content)
    assert plot.main(["--results", str(results)]) == 1
    assert "other.json is no result of" in capsys.readouterr().err


def test_no_results_at_all(tmp_path, capsys):
    assert plot.main(["--results", str(tmp_path)]) == 1
    assert "Measure first" in capsys.readouterr().err


@pytest.fixture
def contestants():
    return pytest.importorskip("bench.contestants")


@pytest.fixture
def work():
    workload = pytest.importorskip("bench.workload")
    digits = gpulr.datasets.load_digits()
    return workload.Workload("digits", digits.X[:300].astype(np.uint8), digits.y[:300], 1 / 16)


@pytest.mark.parametrize("task", ["pass", "training"])
def test_every_contestant_computes_the_same(contestants, work, task):
    taking_part = [c for c in contestants.contestants(task, "numpy") if not contestants.obstacle(c)]
    assert len(taking_part) >= {"pass": 7, "training": 6}[task]
    for contestant in taking_part:
        run = contestants.prepare(task, contestant, work)
        entry = contestants.entry(task, contestant, run(), work)  # checks the result
        assert json.loads(json.dumps(entry))["n_samples"] == 300
    work.expected_pass[-1, 0] += 0.1
    work.expected_training[-1, 0] += 0.1
    with pytest.raises(ArithmeticError, match="is off by"):
        contestants.check(task, contestant, run(), work)


@pytest.mark.parametrize("peer", ["jax", "torch"])
@pytest.mark.parametrize("way", ["peer", "peer-blocks"])
def test_a_wrong_result_of_another_library_is_caught(contestants, work, peer, way):
    contestant = contestants.Contestant(way, peer, "float32")
    cost, gradient = work.reference_pass(work.theta)
    result = cost.astype(np.float32), gradient[:-1], gradient[-1]
    contestants.check("pass", contestant, [result], work)
    for part in range(3):
        wrong = [array.copy() for array in result]
        wrong[part][..., 3] += 1e-2
        with pytest.raises(ArithmeticError, match=f"{contestant.id}: .* is off by"):
            contestants.check("pass", contestant, [wrong], work)


def test_contestants_are_told_apart(contestants):
    for task in contestants.TASKS:
        every = [c for name in ("numpy", "cupy") for c in contestants.contestants(task, name)]
        assert len({c.id for c in every}) == len(every)
        assert len({(c.label, c.dtype) for c in every}) == len(every)
    extra = {c.way for c in every} ^ {c.way for c in contestants.contestants("pass", "numpy")}
    assert extra == {"peer", "peer-blocks", "uncompiled"}


def test_a_library_that_is_not_installed_is_left_out_and_recorded(
    contestants, work, tmp_path, monkeypatch, capsys
):
    runs = pytest.importorskip("bench.interleaved")
    monkeypatch.setattr(runs, "load_workload", lambda: work)
    monkeypatch.setenv("GPULR_COMPILE", "never")
    # Not None in sys.modules, into which array-api-compat looks.
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('no jax', name='jax')")
    (tmp_path / "torch.py").write_text("raise RuntimeError('/home/someone: broken')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("jax", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    path = tmp_path / "results" / "numpy.json"
    rounds = ["--pass-rounds", "1", "--training-rounds", "1", "--patience", "0"]
    assert runs.main(["--backend", "numpy", *rounds, "--output", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["schema"] == 2
    assert not {"jax", "torch", "llvmlite"} & set(found["versions"])
    assert found["environment"]["GPULR_COMPILE"] == "never"
    assert {r["way"] for r in found["results"]} == {"notebook", "plain", "loop", "batched"}
    assert {r["rows"] for r in found["results"]} == {"uint8", "float32", "float64"}
    reasons = {(r["task"], r["backend"]): r["reason"] for r in found["absent"]}
    assert reasons == {
        ("pass", "jax"): "not installed",
        ("pass", "torch"): "cannot be imported: RuntimeError",
        ("pass", "numpy"): "nothing is compiled",
    }
    assert [r["way"] for r in found["absent"] if r["rows"] == "float32"] == 2 * [
        *("peer", "peer-blocks")
    ]
    assert "| jax.jit, uint8 rows | not installed | " in report.table(report.read(path))
    assert "jax.jit, uint8 rows: not installed" in capsys.readouterr().err


def test_versions_are_of_what_is_loaded(monkeypatch):
    machine = pytest.importorskip("bench.machine")
    for name in ("jax", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("GPULR_COMPILE", "never")
    assert not {"jax", "torch", "llvmlite"} & set(machine.versions())
    monkeypatch.setitem(sys.modules, "jax", types.SimpleNamespace(__version__="0.10"))
    monkeypatch.delenv("GPULR_COMPILE")
    found = machine.versions()
    assert found["jax"] == "0.10"
    assert found.get("llvmlite") == machine.compiler().version


@pytest.mark.parametrize("before", [None, "auto"])
def test_the_compiler_is_left_out_of_one_contestant_alone(contestants, monkeypatch, before):
    if before:
        monkeypatch.setenv("GPULR_COMPILE", before)
    usable = contestants.compiler().usable
    with contestants.setting("uncompiled"):
        assert contestants.compiler().usable is False
    assert os.environ.get("GPULR_COMPILE") == before
    assert contestants.compiler().usable == usable


def test_speedups_over_other_libraries_are_on_the_same_rows(contestants):
    runs = pytest.importorskip("bench.interleaved")
    seconds = {}
    for rows, whole, blocks, own in (("uint8", 6.0, 3.0, 2.0), ("float32", 4.0, 2.0, 1.0)):
        for way, backend, taken in (
            *(("peer", "jax", whole), ("peer-blocks", "jax", blocks)),
            ("batched", "numpy", own),
        ):
            seconds[contestants.Contestant(way, backend, "float32", rows)] = [taken] * 3
    seconds[contestants.Contestant("batched", "numpy", "float64")] = [3.0] * 3
    seconds[contestants.Contestant("uncompiled", "numpy", "float32")] = [2.5] * 3
    medians = {
        c.id: {k: v["median"] for k, v in runs.speedups(c, seconds).items()} for c in seconds
    }
    assert {name: found for name, found in medians.items() if found} == {
        "numpy-float32-batched-on-uint8": {"uncompiled": 1.25, "jax": 3.0, "jax-blocks": 1.5},
        "numpy-float32-batched-on-float32": {"jax": 4.0, "jax-blocks": 2.0},
    }


def test_the_readme_shows_the_committed_results():
    readme = ROOT / "README.md"
    if not readme.exists() or report.START not in readme.read_text(encoding="utf-8"):
        pytest.skip("README.md has no benchmark table yet")
    if not list(plot.RESULTS.glob("*.json")):
        pytest.skip("bench/results holds no results yet")
    assert plot.main(["--check", str(readme)]) == 0


def test_committed_results_name_no_paths_or_hosts():
    for path in (ROOT / "bench" / "results").glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        machine = content.get("machine_info", content)
        assert "node" not in machine
        assert set(machine["machine"]) <= {
            *("cpu", "cores", "architecture", "system", "gpu", "driver")
        }
        assert "filepath" not in path.read_text(encoding="utf-8")
        assert path.stat().st_size < 50_000
