"""What runs on a GPU is rehearsed without one: every part, the script around them, the verdicts."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import time
import types
from unittest import mock

import numpy as np
import pytest

from bench import data, gpu, gpu_card, gpu_parts, on_gpu, predict, run, table
from bench.gpu import main
from helpers import python, strict_json

ROOT = run.ROOT
SCRIPT = ROOT / "bench" / "on_gpu.sh"
PARTS = re.findall(r"^(?:PARTS=')?(\w+) (\d+)'?$", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)
NAMES = [name for name, _ in PARTS]


def run_script(environment, *arguments, **variables):
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    return subprocess.run(
        ["bash", str(SCRIPT), *map(str, arguments)],
        env=environment | {"PYTHON": sys.executable, **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


@pytest.mark.slow
def test_everything_is_rehearsed(environment, tmp_path):
    process = run_script(environment, "--rehearse", "numpy", tmp_path / "out")
    assert process.returncode == 0, process.stdout + process.stderr
    log = (tmp_path / "out" / "log.txt").read_text(encoding="utf-8")
    assert log == process.stdout
    assert "its figures mean nothing" in log
    found = strict_json((tmp_path / "out" / "on-gpu.json").read_text(encoding="utf-8"))
    assert found["rehearsal"] is True
    assert list(found["parts"]) == NAMES
    for name, part in found["parts"].items():
        assert part["exit_code"] == 0, name
        assert name == "benchmark" or (part["complete"] and not part["failed"]), name
    parts = found["parts"]
    assert parts["tests"]["tests"]["passed"] > 50
    ways = {result["name"] for result in parts["pass"]["results"]}
    assert ways >= {"copy", *(f"{w}-float32-on-uint8" for w in ("batched", "portable", "loop"))}
    assert [result["name"] for result in parts["pass"]["absent"]] == [
        *("fused-float32-on-float32", "fused-float32-on-uint8")
    ]
    timed = next(r for r in parts["pass"]["results"] if r["name"] == "batched-float32-on-uint8")
    assert set(timed["seconds"]) == {"device", "device_cold", "host", "queued", "first"}
    assert timed["bytes"] == 400 * (64 + 4)
    gaps = [r["gap"] for r in parts["training"]["results"] if "gap" in r]
    assert len(gaps) == 8
    assert all(-1e-9 < gap < 1e-3 for gap in gaps)
    (searched,) = parts["search"]["results"]
    assert searched["models"] == searched["converged"] == 150
    measured = strict_json((tmp_path / "out" / "cupy-pytest.json").read_text(encoding="utf-8"))
    assert measured["machine_info"]["rehearsal"] is True
    tasks = {b["extra_info"]["task"] for b in measured["benchmarks"]}
    assert tasks == {"pass", "training"}
    for content in (found, measured):
        assert "rehearsal" in table.obstacle(content)


@pytest.mark.parametrize("part", ["pass", "transfer", "training"])
def test_parts_run_on_arrays_of_another_device(part, tmp_path, monkeypatch, capsys):
    pytest.importorskip("array_api_strict")
    monkeypatch.setenv("GPULR_BENCH_REHEARSE", "strict")
    path = tmp_path / "part.json"
    assert main([part, "--output", str(path)]) == 0, capsys.readouterr().err
    found = strict_json(path.read_text(encoding="utf-8"))
    assert found["complete"]
    assert found["rehearsal"] is True
    assert found["card"]["name"] == "none: a rehearsal on array_api_strict"
    assert found["results"]


def test_a_wrong_pass_is_not_timed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GPULR_BENCH_REHEARSE", "numpy")
    right = gpu_parts.parts

    def wrong(contestant, work, backend):
        found = right(contestant, work, backend)
        if contestant.way != "portable":
            return found
        return [(problem, theta + 1e-3) for problem, theta in found]

    monkeypatch.setattr(gpu_parts, "parts", wrong)
    path = tmp_path / "pass.json"
    assert main(["pass", "--output", str(path)]) == 1
    found = strict_json(path.read_text(encoding="utf-8"))
    assert [f["name"] for f in found["failed"]] == [
        *("portable-float32-on-float32", "portable-float32-on-uint8")
    ]
    assert not any(r["name"].startswith("portable") for r in found["results"])
    assert any(r["name"].startswith("loop") for r in found["results"])
    assert "is off by" in capsys.readouterr().err


def test_limits_leave_less_than_eight_minutes():
    assert NAMES[:2] == ["tests", "pass"]  # the most important first
    deadline = int(re.search(r"^DEADLINE=(\d+)", SCRIPT.read_text(), re.MULTILINE)[1])
    assert sum(int(limit) + 2 for _, limit in PARTS) <= deadline
    assert deadline + 2 + 2 * 5 < 480


STUB = """#!/usr/bin/env bash
# Stands for Python: says what it was asked for, fails or hangs where it is told to.
echo "asked: $*"
case "$*" in
*"bench.on_gpu to-install") echo first-package; echo second-package; exit 0 ;;
*"bench.on_gpu needs") exit "${NEEDS:-1}" ;;
*"bench.gpu pass "*) exit 1 ;;
*"bench.gpu transfer "*) exec sleep 30 ;;
*"bench.on_gpu summary "* | *bench.predict*) exec "$REAL" "$@" ;;
esac
"""


@pytest.fixture
def stub(tmp_path):
    path = tmp_path / "stub"
    path.write_text(STUB)
    path.chmod(0o755)
    return {"PYTHON": str(path), "REAL": sys.executable}


def test_a_part_that_fails_or_hangs_does_not_stop_the_others(environment, tmp_path, stub):
    script = tmp_path / "bench" / "on_gpu.sh"
    script.parent.mkdir()
    text = SCRIPT.read_text(encoding="utf-8")
    assert "transfer 20" in text
    script.write_text(text.replace("transfer 20", "transfer 3"), encoding="utf-8")
    path = {"PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        ["bash", str(script), str(tmp_path / "out")],
        env=environment | stub | path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 1, process.stdout
    found = json.loads((tmp_path / "out" / "on-gpu.json").read_text(encoding="utf-8"))
    codes = {name: part["exit_code"] for name, part in found["parts"].items()}
    assert codes == dict.fromkeys(NAMES, 0) | {"pass": 1, "transfer": 124}
    assert "transfer   out of time after 3 s" in process.stdout
    assert "-k cupy --benchmark-enable" in process.stdout


def test_wheels_are_installed_beside_what_is_there(environment, tmp_path, stub):
    process = run_script(environment, tmp_path / "out", **stub, NEEDS="3")
    assert process.returncode == 3
    asked = re.search(r"asked: -m pip install (.*)", process.stdout)[1]
    assert "--no-index --no-deps --find-links" in asked
    assert asked.endswith("first-package second-package")
    assert f"--target {tmp_path / 'out' / 'site'}" in asked
    assert "bench.gpu pass" not in process.stdout  # nothing can run


@pytest.mark.parametrize(
    "arguments", [[], ["--rehearse"], ["--rehearse", "torch", "out"], ["a", "b"], ["--help"]]
)
def test_usage(environment, arguments):
    process = run_script(environment, *arguments)
    assert process.returncode == 2
    assert "usage:" in process.stderr


def test_results_are_not_measured_into_place(environment):
    process = run_script(environment, "--rehearse", "numpy", ROOT / "bench" / "results" / "x")
    (ROOT / "bench" / "results" / "x").rmdir()
    assert process.returncode == 2
    assert "measure elsewhere" in process.stderr


def test_missing_packages_are_told_with_the_cure(monkeypatch, capsys):
    monkeypatch.setenv("GPULR_BENCH_REHEARSE", "numpy")
    monkeypatch.setattr(on_gpu.metadata, "distributions", lambda: [])
    monkeypatch.setattr(on_gpu, "find_spec", lambda name: None)
    assert on_gpu.main(["needs"]) == 3
    text = capsys.readouterr().out
    assert "nothing can run" in text
    command = text.split("pip download")[1].splitlines()[0].split()
    assert {"array-api-compat", "safetensors", "pytest-benchmark", "hypothesis"} <= set(command)
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in command
    assert "left out of the comparison: torch, jax" in text

    here = [n for n in on_gpu.needed() if n != "hypothesis"]
    assert not any(name.startswith("cupy") for name in here)  # a card's own CuPy is there
    found = [types.SimpleNamespace(metadata={"Name": n}) for n in here]
    monkeypatch.setattr(on_gpu.metadata, "distributions", lambda: found)
    assert on_gpu.main(["needs"]) == 1
    assert "Missing packages: hypothesis.\nWithout them some tests" in capsys.readouterr().out
    monkeypatch.delenv("GPULR_BENCH_REHEARSE")
    assert on_gpu.main(["needs"]) == 3
    assert "CuPy is missing" in capsys.readouterr().out
    monkeypatch.setattr(on_gpu, "find_spec", lambda name: "found")
    from gpulr import backend

    status = backend.BackendStatus("cupy", False, (), None, "there is no GPU", "buy one")
    monkeypatch.setattr(backend, "probe", lambda name: status)
    assert on_gpu.main(["needs"]) == 3
    assert "there is no GPU. To use it: buy one." in capsys.readouterr().out
    status = backend.BackendStatus("cupy", True, (), "A GPU")
    assert on_gpu.main(["needs"]) == 1
    assert "CuPy works, on A GPU." in capsys.readouterr().out


def test_wheels_of_what_is_installed_are_left_alone(tmp_path):
    for name in ("numpy-9.9-py3-none-any", "Not_There-1.0-py3-none-any"):
        (tmp_path / f"{name}.whl").touch()
    assert on_gpu.to_install(tmp_path) == ["not-there"]


@pytest.fixture
def done(monkeypatch):
    """What a card asks of CuPy and of its backend, in order."""
    done, cupy, flush = [], mock.MagicMock(), mock.MagicMock()

    def tell(words, result=None):
        done.append(words)
        return result

    def kernel(source, name):
        assert f"void {name}(" in source
        return lambda grid, block, arguments: tell(f"hold {int(arguments[0])} ns")

    found = {"l2CacheSize": 50 * 2**20, "name": b"A GPU", "major": 9, "minor": 0}
    found |= {"multiProcessorCount": 132, "totalGlobalMem": 2**36}
    cupy.cuda.runtime.getDeviceProperties.return_value = found
    cupy.cuda.get_elapsed_time.return_value = 2.5  # ms
    cupy.cuda.Event.return_value.record = lambda: tell("event")
    cupy.cuda.Event.return_value.synchronize = lambda: tell("wait")
    cupy.zeros = lambda n, dtype: tell(f"zeros {n}", flush)
    flush.__iadd__.side_effect = lambda other: tell("flush", flush)
    cupy.RawKernel = kernel
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    backend = types.SimpleNamespace(name="cupy", synchronize=lambda: tell("idle"))
    monkeypatch.setattr(gpu_card, "select", lambda name: backend)
    return done


def test_a_pass_is_timed_between_events_while_the_stream_is_held(done):
    here = gpu_card.card()
    assert done == [f"zeros {4 * 50 * 2**20}"]
    done.clear()
    assert here.device_seconds(lambda: done.append("pass"), 1e-3) == pytest.approx(2.5e-3)
    assert done == ["hold 1000000 ns", "event", "pass", "event", "wait"]
    done.clear()
    here.device_seconds(lambda: done.append("pass"), 1e-3, cold=True)
    assert done == ["flush", "hold 1000000 ns", "event", "pass", "event", "wait"]
    done.clear()
    gpu_card.host_seconds(here, lambda: done.append("pass"), 3)
    assert done == ["idle", "pass", "pass", "pass", "idle"]
    assert here.about()["name"] == "A GPU"


def test_without_a_gpu_nothing_is_timed_in_its_place(monkeypatch, no_cupy, capsys):
    monkeypatch.setenv("GPULR_FALLBACK", "error")
    with pytest.raises(SystemExit):
        main(["pass"])
    assert "cannot be used" in capsys.readouterr().err


def test_a_record_outlives_what_comes_after(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GPULR_BENCH_REHEARSE", "numpy")
    path = tmp_path / "part.json"
    kept = gpu.Record("pass", path, card={"name": "none"})
    kept.add("one", seconds={"host": {"median": 0.5, "q1": 0.5, "q3": 0.5}})
    assert strict_json(path.read_text())["results"][0]["name"] == "one"
    assert strict_json(path.read_text())["complete"] is False
    with kept.attempt("two"):
        raise ValueError(f"{ROOT}/bench is wrong")
    assert kept.close() == 1
    found = strict_json(path.read_text())
    assert found["failed"] == [{"name": "two", "error": "ValueError: bench is wrong"}]
    assert found["complete"] is True
    assert "two" in capsys.readouterr().err


def test_a_worker_that_hangs_is_ended_and_its_lines_count(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    (tmp_path / "trial.py").write_text(
        "import time\n"
        "def hanging(who):\n    print('noise')\n    yield ['a line', who]\n    time.sleep(60)\n"
        "def failing():\n    yield 1\n    raise SystemExit(5)\n"
        "def wrong():\n    yield 1\n    raise ValueError('why\\nand where')\n"
    )
    lines = run.worker("trial:hanging", {"who": "here"}, 5.0, "here")
    assert next(lines) == ["a line", "here"]
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="here did not end in 5 s"):
        next(lines)
    assert time.monotonic() - started < 30.0
    for name, words in (("failing", "exit code 5"), ("wrong", "^ValueError: why$")):
        with pytest.raises(RuntimeError, match=words):
            list(run.worker(f"trial:{name}", {}, 30.0, name))


def test_ratios_are_to_the_faster_writing_of_a_library(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GPULR_BENCH_REHEARSE", "numpy")
    kept = gpu.Record("peers", None)
    for library, rows, taken in (
        *(("gpulr", "uint8", 1.0), ("jax.jit", "uint8", 3.0), ("jax.jit", "uint8", 2.0)),
        ("torch", "float32", 1.0),
    ):
        seconds = {k: {"median": taken, "q1": taken, "q3": taken} for k in ("host", "queued")}
        kept.add(f"{library} {taken}", library=library, rows=rows, seconds=seconds)
    gpu_parts.ratios(kept)
    assert kept.content["speedup"] == {"jax.jit-on-uint8": {"host": 2.0, "queued": 2.0}}


def test_tests_stop_in_time_and_what_failed_is_named(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 0, 'why'\n"
        "def test_slow(): sys.outcomes.deadline = 0.0\n"
        "def test_late(): pass\n"
    )
    python(
        "import pytest, sys\n"
        "from pathlib import Path\n"
        "from bench.gpu import Outcomes, Record\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "sys.outcomes = Outcomes(Record('tests', folder / 'out.json'), 60.0)\n"
        "options = ['-q', '-p', 'no:cacheprovider', str(folder / 'test_it.py')]\n"
        "pytest.main(options, plugins=[sys.outcomes])\n"
        "sys.outcomes.write(running=None)\n",
        GPULR_BENCH_REHEARSE="numpy",
        PYTHONPATH=str(ROOT),
    )
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    counts = {"collected": 4, "passed": 2, "failed": 1, "skipped": 0, "not_run": 1}
    assert found["tests"] == {**counts, "running": None}
    (failed,) = found["failed"]
    assert failed["name"].endswith("::test_bad")
    assert failed["error"].startswith("AssertionError: why")


def test_made_up_rows_are_like_images():
    X, y = data.made_up(2000)
    assert X.shape == (2000, 784)
    assert X.dtype == np.uint8
    assert 0.6 < np.mean(X == 0) < 0.9
    assert np.bincount(y).tolist() == [200] * 10
    again, _ = data.made_up(2000)
    np.testing.assert_array_equal(X, again)


def test_nothing_is_downloaded_where_data_are_to_be_local(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("GPULR_BENCH_DATA", "local")
    monkeypatch.setenv("GPULR_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(data, "N_SAMPLES", 500)
    monkeypatch.setattr(data.datasets, "load_mnist_original", lambda: pytest.fail("loaded"))
    work = data.load_workload()
    assert work.sizes["data"] == "made-up rows (MNIST was not available)"
    assert work.X.shape == (500, 784)


def test_tests_of_the_card_come_first(tmp_path):
    names = ["test_bursts.py", "test_gpu.py", "test_margins.py", "test_gpu_memory.py"]
    items = [types.SimpleNamespace(path=tmp_path / name) for name in names]
    gpu.Outcomes(None, 1.0).pytest_collection_modifyitems(items)
    assert [item.path.name for item in items] == [names[i] for i in (1, 3, 0, 2)]


def test_the_prediction_is_what_the_script_writes(tmp_path, monkeypatch):
    assert predict.main(["--check"]) == 0
    monkeypatch.setitem(predict.ASSUMED["device"]["copy_bytes_per_second"], "value", 1e12)
    assert predict.main(["--check"]) == 1
    monkeypatch.setattr(predict, "PREDICTION", tmp_path / "h100.json")
    assert predict.main([]) == 0
    assert predict.main(["--check"]) == 0


def test_the_floor_of_a_pass_is_what_paper_gives():
    bounds = predict.bounds(predict.FLOAT32)
    assert bounds["memory"] == pytest.approx(56_000 * (784 * 4 + 4) / (2.9e12 * 0.95))
    warps = 56_000 * 7  # of 32 threads, four features each: seven for a row of 784
    assert bounds["issue"] == pytest.approx(warps * (80 + 15) / (132 * 4 * 1.7e9))
    assert predict.bounds(predict.UINT8)["issue"] > bounds["issue"]
    assert "results" not in predict.PREDICTION.parts


def made_up_result():
    """A result in which one target is met, one refuted, and the rest not measured."""

    def timed(name, seconds, **more):
        kinds = ("device", "device_cold", "host", "queued")
        return {"name": name, "seconds": {k: {"median": seconds} for k in kinds}, **more}

    return {
        "kind": "gpulr-on-gpu",
        "card": {"name": "NVIDIA H100 80GB HBM3"},
        "data": {"data": "MNIST"},
        "parts": {
            "pass": {
                "results": [
                    timed("fused-float32-on-float32", 80e-6, fraction_of_copy=0.75),
                    timed("batched-float32-on-float32", 80e-6),
                    timed("loop-float32-on-float32", 400e-6),
                    timed("fused-float32-on-uint8", 50e-6),
                ]
            },
            "training": {
                "results": [
                    timed("lbfgs-from-host-tol-0.0001", 0.05, gap=1e-3),
                    timed("lbfgs-from-host-tol-2e-05", 0.09, gap=6e-5),
                    timed("lbfgs-from-device-tol-2e-05", 0.01, gap=6e-5),
                ]
            },
            "peers": {"speedup": {"jax.jit-on-uint8": {"queued": 3.2, "host": 1.0}}},
        },
    }


def verdicts(lines):
    return {line[:52].strip(): line[76:].split() for line in lines[1:]}


def test_a_result_is_compared(tmp_path, capsys):
    path = tmp_path / "on-gpu.json"
    path.write_text(json.dumps(made_up_result()))
    assert predict.main(["--compare", str(path)]) == 0
    found = verdicts(capsys.readouterr().out.splitlines())
    assert found["fused pass, float32 rows, L2 cold"] == ["80.0", "µs", "met"]
    assert found["its bytes per second, as a share of a copy's"] == ["0.75", "met"]
    assert found["fused pass, uint8 rows, L2 cold"] == ["50.0", "µs", "refuted"]
    assert found["times as fast as the loop over digits, float32 rows"] == ["5.00", "refuted"]
    assert found["times as fast as jax.jit, uint8 rows"] == ["3.20", "met"]
    assert found["times as fast as jax.jit, float32 rows"] == ["–", "not", "measured"]
    # The shorter one is not close enough, or did not upload.
    assert found["MNIST to a gap of 1e-4, with the upload"] == ["90.0", "ms", "met"]
    assert found["search of 500 models"] == ["–", "not", "measured"]
    assert len(found) == len(predict.ASSUMED["targets"])


def test_a_comparison_says_what_it_is_not(tmp_path, capsys):
    content = made_up_result()
    content["card"]["name"], content["data"]["data"] = "NVIDIA T4", "made-up rows"
    text = "\n".join(predict.compared(content))
    assert "this is NVIDIA T4" in text
    assert "Of made-up rows, not of MNIST" in text
    content["rehearsal"] = True
    text = "\n".join(predict.compared(content))
    assert "mean nothing" in text
    assert " met" not in text
    for wrong in ("{", "[]", '{"kind": "other", "parts": {}}'):
        (tmp_path / "x.json").write_text(wrong)
        with pytest.raises(SystemExit):
            predict.main(["--compare", str(tmp_path / "x.json")])
        assert "x.json" in capsys.readouterr().err


def committed():
    return sorted((ROOT / "bench" / "results").glob("*.json"))


@pytest.mark.parametrize("path", committed(), ids=lambda path: path.stem)
def test_committed_results_are_from_real_machines(path):
    assert table.obstacle(json.loads(path.read_text(encoding="utf-8"))) is None


def test_results_without_a_card_do_not_belong_to_the_results():
    about = {"machine": {"cpu": "A CPU"}, "environment": {}}
    by_cupy = {"results": [{"backend": "cupy"}], **about}
    assert "names no card" in table.obstacle(by_cupy)
    named = copy.deepcopy(by_cupy)
    named["machine"]["gpu"] = "NVIDIA H100 80GB HBM3 (cuda:0)"
    assert table.obstacle(named) is None
    assert "rehearsal" in table.obstacle({**named, "rehearsal": True})
    assert table.obstacle({"results": [{"backend": "numpy"}], **about}) is None
    assert "names no card" in table.obstacle({"kind": "gpulr-on-gpu", "parts": {}, **about})
    assert "computed" in table.obstacle(predict.prediction())
    benchmarks = [{"extra_info": {"backend": "cupy"}}]
    by_pytest = {"machine_info": about, "benchmarks": benchmarks}
    assert "names no card" in table.obstacle(by_pytest)
    assert "rehearsal" in table.obstacle(
        {"machine_info": {**named, "rehearsal": True}, "benchmarks": benchmarks}
    )


def test_a_rehearsal_is_not_written_to_the_results(monkeypatch, capsys):
    monkeypatch.setenv("GPULR_BENCH_REHEARSE", "numpy")
    path = ROOT / "bench" / "results" / "cupy.json"
    with pytest.raises(SystemExit):
        main(["pass", "--output", str(path)])
    assert not path.exists()
    assert "mean nothing" in capsys.readouterr().err
