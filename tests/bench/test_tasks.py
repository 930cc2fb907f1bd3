"""What is measured is checked: each contestant's result, each comparison, each record."""

from __future__ import annotations

import json
import os
import sys
import types

import numpy as np
import pytest

from bench import optimum, passes, run, table, tasks
from bench.__main__ import app
from bench.passes import Contestant


def main(*arguments, **options):
    options = {f"--{name.replace('_', '-')}": str(value) for name, value in options.items()}
    pairs = [part for option in options.items() for part in option]
    return app([*arguments, *pairs], standalone_mode=False) or 0


@pytest.mark.parametrize("task", passes.TASKS)
def test_every_contestant_computes_the_same(data, task):
    taking_part = [c for c in passes.contestants(task, "numpy") if not passes.obstacle(c)]
    assert len(taking_part) >= {"pass": 7, "training": 6}[task]
    for contestant in taking_part:
        timed = passes.prepare(task, contestant, data)
        entry = passes.entry(task, contestant, timed(), data)  # checks the result
        assert json.loads(json.dumps(entry))["n_samples"] == 400
    data.expected_pass[-1, 0] += 0.1
    data.expected_training[-1, 0] += 0.1
    with pytest.raises(ArithmeticError, match="is off by"):
        passes.check(task, contestant, timed(), data)


def test_pytest_benchmark(monkeypatch, data):
    from bench import bench_training

    names = [parameter.id for parameter in bench_training.BENCHED]
    assert {
        f"{task}-numpy-float32-{way}-on-uint8"
        for task in passes.TASKS
        for way in ("loop", "batched")
    } <= set(names)
    monkeypatch.setattr(bench_training, "load_workload", lambda: data)
    timed = types.SimpleNamespace(extra_info={}, pedantic=lambda run, **_: run())
    for parameter in bench_training.BENCHED:
        task, contestant = parameter.values
        if contestant.backend == "numpy":
            bench_training.test_task(timed, task, contestant)
            assert (timed.group, timed.extra_info["way"]) == (task, contestant.way)
    monkeypatch.setenv("GPULR_REQUIRE_GPU", "1")
    if contestant.backend == "cupy" and not bench_training.probe("cupy").usable:
        with pytest.raises(pytest.fail.Exception, match="cannot be used"):
            bench_training.test_task(timed, task, contestant)


@pytest.mark.parametrize("peer", ["jax", "torch"])
@pytest.mark.parametrize("way", ["peer", "peer-blocks"])
def test_a_wrong_result_of_another_library_is_caught(data, peer, way):
    contestant = Contestant(way, peer, "float32")
    expected = data.expected_pass
    result = expected[0].astype(np.float32), expected[1:-1], expected[-1]
    passes.check("pass", contestant, [result], data)
    for part in range(3):
        wrong = [array.copy() for array in result]
        wrong[part][..., 3] += 1e-2
        with pytest.raises(ArithmeticError, match=f"{contestant.id}: .* is off by"):
            passes.check("pass", contestant, [wrong], data)


def test_contestants_are_told_apart():
    ways = []
    for task in passes.TASKS:
        every = [c for name in ("numpy", "cupy") for c in passes.contestants(task, name)]
        assert len({c.id for c in every}) == len(every)
        assert len({(c.label, c.dtype) for c in every}) == len(every)
        ways.append({c.way for c in every})
    assert ways[0] - ways[1] == {"peer", "peer-blocks", "uncompiled", "portable"}


def test_a_library_that_is_not_installed_is_left_out_and_recorded(
    data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tasks, "load_workload", lambda: data)
    monkeypatch.setattr(run, "PAUSE", 0.0)
    monkeypatch.setenv("GPULR_COMPILE", "never")
    # Not None in sys.modules, into which array-api-compat looks.
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('no jax', name='jax')")
    (tmp_path / "torch.py").write_text("raise RuntimeError('/home/someone: broken')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("jax", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    path = tmp_path / "results" / "numpy.json"
    # The limit ends each race after a round.
    few = {"backend": "numpy", "pass_rounds": 9, "training_rounds": 1, "limit": 0, "patience": 0}
    assert main("interleaved", **few, output=path) == 0
    found = json.loads(path.read_text())
    assert (found["kind"], found["schema"]) == ("gpulr-interleaved", 2)
    assert not {"jax", "torch", "llvmlite"} & set(found["versions"])
    assert found["environment"]["GPULR_COMPILE"] == "never"
    assert {r["way"] for r in found["results"]} == {"notebook", "plain", "loop", "batched"}
    assert {r["rows"] for r in found["results"]} == {"uint8", "float32", "float64"}
    assert {r["rounds"] for r in found["results"]} == {1}
    reasons = {(r["task"], r["backend"]): r["reason"] for r in found["absent"]}
    assert reasons == {
        ("pass", "jax"): "not installed",
        ("pass", "torch"): "cannot be imported: RuntimeError",
        ("pass", "numpy"): "nothing is compiled",
    }
    left_out = [r["way"] for r in found["absent"] if r["rows"] == "float32"]
    assert left_out == 2 * ["peer", "peer-blocks"]
    text = table.interleaved_table(table.read(path))
    assert "| jax.jit, uint8 rows | not installed | " in text
    error = capsys.readouterr().err
    assert text in error
    assert "jax.jit, uint8 rows: not installed" in error


def test_versions_are_of_what_is_loaded(monkeypatch):
    for name in ("jax", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("GPULR_COMPILE", "never")
    assert not {"jax", "torch", "llvmlite"} & set(run.versions())
    monkeypatch.setitem(sys.modules, "jax", types.SimpleNamespace(__version__="0.10"))
    monkeypatch.delenv("GPULR_COMPILE")
    found = run.versions()
    assert found["jax"] == "0.10"
    assert found.get("llvmlite") == run.compiler().version


@pytest.mark.parametrize("before", [None, "auto"])
def test_the_compiler_is_left_out_of_one_contestant_alone(monkeypatch, before):
    if before:
        monkeypatch.setenv("GPULR_COMPILE", before)
    usable = run.compiler().usable
    with run.setting("uncompiled"):
        assert run.compiler().usable is False
    assert os.environ.get("GPULR_COMPILE") == before
    assert run.compiler().usable == usable


def test_speedups_over_other_libraries_are_on_the_same_rows():
    seconds = {}
    for rows, whole, blocks, own in (("uint8", 6.0, 3.0, 2.0), ("float32", 4.0, 2.0, 1.0)):
        seconds[Contestant("peer", "jax", "float32", rows)] = [whole] * 3
        seconds[Contestant("peer-blocks", "jax", "float32", rows)] = [blocks] * 3
        seconds[Contestant("batched", "numpy", "float32", rows)] = [own] * 3
    seconds[Contestant("batched", "numpy", "float64")] = [3.0] * 3
    seconds[Contestant("uncompiled", "numpy", "float32")] = [2.5] * 3
    found = {c: tasks.speedups(c, seconds) for c in seconds}
    assert {c.id: {k: v["median"] for k, v in f.items()} for c, f in found.items() if f} == {
        "numpy-float32-batched-on-uint8": {"uncompiled": 1.25, "jax": 3.0, "jax-blocks": 1.5},
        "numpy-float32-batched-on-float32": {"jax": 4.0, "jax-blocks": 2.0},
    }


def test_what_threads_print_is_what_they_write(tmp_path, capsys, monkeypatch):
    for name, few in (("AT_ONCE", 2), ("GRID", {"C": [1.0]}), ("FOLDS", 2)):
        monkeypatch.setattr(tasks, name, few)
    path = tmp_path / "results" / "threads.json"
    # Not loky's: its processes would outlive the test.
    ways = ["worker", "at-once", "grid-2-threading"]
    only = [part for way in ways for part in ("--only", way)]
    few = {"data": "digits", "n_samples": 200, "rounds": 1, "patience": 0}
    assert main("threads", *only, **few, output=path) == 0
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["kind"] == "gpulr-threads"
    assert found["commit"].keys() == {"id", "dirty"}
    assert [r["other"] for r in found["results"]] == ways
    for result in found["results"]:
        expected = result["seconds"]["median"] / result["base_seconds"]["median"]
        assert result["ratio"]["median"] == pytest.approx(expected, rel=1e-2)
        assert (result["n_samples"], result["n_features"], result["rounds"]) == (200, 64, 1)
    assert table.threads_table(found) in capsys.readouterr().err


def test_ways_that_find_other_numbers_are_no_comparison():
    one = [np.array([1.0, 2.0])]
    assert tasks.agree(one, [np.array([1.0, 2.0])])
    assert not tasks.agree(one, [np.nextafter(one[0], 3.0)])
    with pytest.raises(AssertionError, match="Mismatched elements"):
        tasks.agree(one, [np.array([1.0, 2.1])])


@pytest.mark.nightly
def test_scores_of_labels_are_timed_beside_scikit_learn(capsys):
    assert main("scores", n_samples=200, n_labels=20, rounds=1, patience=0.0) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert [(r["score"], r["weights"]) for r in found["results"]] == [
        *(("roc_auc", False), ("average_precision", False)),
        *(("roc_auc", True), ("average_precision", True)),
    ]
    assert all(r["ratio"]["median"] > 0 for r in found["results"])
    assert "| 20 labels of 200 rows | roc_auc, weighted |" in printed.err


def test_coverage(capsys):
    assert main("coverage", sets=2, n=30, rows=60) == 0
    found = json.loads(capsys.readouterr().out)["results"]
    assert [(r["rows"], r["draws"], len(r["shares"])) for r in found] == [
        *((60, "poisson", 5), (60, "multinomial", 5))
    ]


def test_passes_to_the_optimum(capsys, monkeypatch):
    monkeypatch.setattr(optimum, "CASES", (("digits", tasks.digits, 1.0, (30, 40)),))
    assert main("passes-to-optimum", most=30) == 0
    printed = capsys.readouterr()
    (found,) = json.loads(printed.out)["results"]
    assert 2.0 < found["passes"][0] < found["passes"][1] < 30.0
    assert f"{found['passes'][1]:.1f} (≤ 30)" in printed.err
