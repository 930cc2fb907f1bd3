"""What runs on a GPU is rehearsed without one: every part, the script around them, the verdicts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import types
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest

from bench import data, gpu, gpu_parts, gpu_peers, gpu_smoke, on_gpu, predict, run, table
from bench.files import RESULTS, ROOT
from bench.gpu import main
from gpulr import backend
from gpulr.backend import BackendStatus
from helpers import python, strict_json

SCRIPT = ROOT / "bench" / "on_gpu.sh"
PARTS = re.findall(r"^(?:PARTS=')?(\w+) (\d+)'?$", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)
NAMES = [name for name, _ in PARTS]


# The script


def run_script(environment, *arguments, script=SCRIPT, **variables):
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    return subprocess.run(
        ["bash", str(script), *map(str, arguments)],
        env=environment | {"PYTHON": sys.executable, **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.nightly
def test_everything_is_rehearsed(environment, tmp_path):
    process = run_script(environment, "--rehearse", "numpy", tmp_path / "out")
    assert process.returncode == 0, process.stdout + process.stderr
    log = (tmp_path / "out" / "log.txt").read_text(encoding="utf-8")
    assert log == process.stdout
    assert "its figures mean nothing" in log
    found = strict_json((tmp_path / "out" / "on-gpu.json").read_text(encoding="utf-8"))
    assert found["rehearsal"] is True
    assert "rehearsal" in table.obstacle(found)
    parts = found["parts"]
    assert list(parts) == NAMES
    for name, part in parts.items():
        assert (part["exit_code"], part["complete"], part["failed"]) == (0, True, []), name
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


def test_limits_leave_less_than_ten_minutes():
    # Whether it works at all, then the most telling first.
    assert NAMES[:5] == ["smoke", "sanitizer", "tests", "pass", "training"]
    assert set(NAMES) == set(gpu.PARTS)
    deadline = int(re.search(r"^DEADLINE=(\d+)", SCRIPT.read_text(), re.MULTILINE)[1])
    assert sum(int(limit) + 2 for _, limit in PARTS) <= deadline
    assert deadline + 2 + 2 * 5 < 600


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
    return {"PYTHON": str(path), "REAL": sys.executable, "PYTHONPATH": str(ROOT)}


def test_a_part_that_fails_or_hangs_does_not_stop_the_others(environment, tmp_path, stub):
    script = tmp_path / "bench" / "on_gpu.sh"
    script.parent.mkdir()
    text = SCRIPT.read_text(encoding="utf-8")
    for old, new in (("transfer 15", "transfer 1"), ("limit < 3", "limit < 1")):
        assert old in text
        text = text.replace(old, new)
    script.write_text(text, encoding="utf-8")
    process = run_script(environment, tmp_path / "out", script=script, **stub)
    assert process.returncode == 1, process.stdout
    found = json.loads((tmp_path / "out" / "on-gpu.json").read_text(encoding="utf-8"))
    codes = {name: part["exit_code"] for name, part in found["parts"].items()}
    assert codes == dict.fromkeys(NAMES, 0) | {"pass": 1, "transfer": 124}
    assert re.search(r"transfer   out of time after \d s", process.stdout)


@pytest.mark.nightly
def test_without_pytest_there_are_no_tests_and_all_else(tmp_path):
    code = """
import sys
from pathlib import Path

sys.modules["pytest"] = None
from bench import gpu

record = gpu.Record("tests", Path(sys.argv[1]))
gpu.tests_part(record)
sys.exit(record.close())
"""
    path = tmp_path / "tests.json"
    ran = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()
    (absent,) = json.loads(path.read_text(encoding="utf-8"))["absent"]
    assert absent["name"] == "tests"
    assert "pytest" in absent["reason"]


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


def test_rehearsals_and_measurements_are_not_written_to_the_results(
    environment, monkeypatch, capsys
):
    place = RESULTS / "x"
    process = run_script(environment, "--rehearse", "numpy", place)
    place.rmdir()
    assert process.returncode == 2
    assert "measure elsewhere" in process.stderr
    monkeypatch.setenv("GPULR_BENCH_REHEARSE", "numpy")
    with pytest.raises(SystemExit):
        main(["pass", "--output", str(place)])
    assert not place.exists()
    assert "mean nothing" in capsys.readouterr().err


def test_missing_packages_are_told_with_the_cure(monkeypatch, capsys):
    def needs(code):
        assert on_gpu.main(["needs"]) == code
        return capsys.readouterr().out

    monkeypatch.setenv("GPULR_BENCH_REHEARSE", "numpy")
    monkeypatch.setattr(on_gpu.metadata, "distributions", lambda: [])
    monkeypatch.setattr(on_gpu, "find_spec", lambda name: None)
    text = needs(3)
    assert "nothing can run" in text
    command = text.split("pip download")[1].splitlines()[0].split()
    assert {"array-api-compat", "safetensors", "pytest", "hypothesis"} <= set(command)
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in command
    assert "left out of the comparison: torch, jax, cuml" in text

    here = [n for n in on_gpu.needed() if n != "hypothesis"]
    assert not any(name.startswith("cupy") for name in here)  # a card's own CuPy is there
    found = [types.SimpleNamespace(metadata={"Name": n}) for n in here]
    monkeypatch.setattr(on_gpu.metadata, "distributions", lambda: found)
    assert "Missing packages: hypothesis.\nWithout them some tests" in needs(1)
    monkeypatch.delenv("GPULR_BENCH_REHEARSE")
    assert "CuPy is missing" in needs(3)
    monkeypatch.setattr(on_gpu, "find_spec", lambda name: "found")
    status = BackendStatus("cupy", False, (), None, "there is no GPU", "buy one")
    monkeypatch.setattr(backend, "probe", lambda name: status)
    assert "there is no GPU. To use it: buy one." in needs(3)
    status = BackendStatus("cupy", True, (), "A GPU")
    assert "CuPy works, on A GPU." in needs(1)


def test_wheels_of_what_is_installed_are_left_alone(tmp_path):
    for name in ("numpy-9.9-py3-none-any", "Not_There-1.0-py3-none-any"):
        (tmp_path / f"{name}.whl").touch()
    assert on_gpu.to_install(tmp_path) == ["not-there"]


# The parts


@pytest.fixture
def rehearsed(monkeypatch, tmp_path):
    """A function that rehearses a part, and returns its exit code and what it wrote."""

    def rehearsed(part, library="numpy"):
        monkeypatch.setenv("GPULR_BENCH_REHEARSE", library)
        monkeypatch.setattr(gpu_parts, "QUEUED", 2)
        code = main([part, "--output", str(tmp_path / "part.json")])
        return code, strict_json((tmp_path / "part.json").read_text(encoding="utf-8"))

    return rehearsed


@pytest.mark.parametrize(
    "part",
    ["transfer", *(pytest.param(part, marks=pytest.mark.slow) for part in ("pass", "training"))],
)
def test_parts_run_on_arrays_of_another_device(part, rehearsed, capsys):
    pytest.importorskip("array_api_strict")
    code, found = rehearsed(part, "strict")
    assert code == 0, capsys.readouterr().err
    assert found["complete"]
    assert found["rehearsal"] is True
    assert found["card"]["name"] == "none: a rehearsal on array_api_strict"
    assert found["results"]


def test_a_wrong_pass_is_not_timed(rehearsed, monkeypatch, capsys):
    right = gpu_parts.parts

    def wrong(contestant, work, backend):
        off = 1e-3 if contestant.way == "portable" else 0.0
        return [(problem, theta + off) for problem, theta in right(contestant, work, backend)]

    monkeypatch.setattr(gpu_parts, "parts", wrong)
    code, found = rehearsed("pass")
    assert code == 1
    assert [f["name"] for f in found["failed"]] == [
        *("portable-float32-on-float32", "portable-float32-on-uint8")
    ]
    assert not any(r["name"].startswith("portable") for r in found["results"])
    assert any(r["name"].startswith("loop") for r in found["results"])
    assert "is off by" in capsys.readouterr().err


def test_a_kind_of_rows_that_fails_does_not_stop_the_others(rehearsed, monkeypatch):
    def worker(target, job, limit, what):
        assert (target, job) == (gpu_smoke.smoke, {"kind": what, "n_rows": gpu_smoke.ROWS})
        assert limit == (gpu_smoke.FIRST if what == "uint8" else gpu_smoke.LATER)
        yield "lbfgs", {"seconds": {"first": {"median": 1.0}}, "error": 0.0}
        if what == "float32":
            raise RuntimeError("float32 ended with exit code -6")

    monkeypatch.setattr(gpu_smoke, "worker", worker)
    code, found = rehearsed("smoke")
    assert code == 1
    (failed,) = found["failed"]
    assert failed == {"name": "float32", "error": "RuntimeError: float32 ended with exit code -6"}
    assert [result["rows"] for result in found["results"]] == list(gpu_smoke.KINDS)


@pytest.mark.parametrize("kind", gpu_smoke.KINDS)
def test_a_smoke_run_is_compared_with_numpy(monkeypatch, kind):
    monkeypatch.setenv("GPULR_BENCH_REHEARSE", "numpy")
    assert [solver for solver, _ in gpu_smoke.smoke(kind, 200)] == list(gpu_smoke.SOLVERS)
    train = gpu_smoke.gpulr.train

    def wrong(X, y, backend="auto", C=1.0, **options):
        return train(X, y, C=C if backend == "numpy" else 2 * C, **options)

    monkeypatch.setattr(gpu_smoke.gpulr, "train", wrong)
    with pytest.raises(ArithmeticError, match=f"lbfgs on {kind} rows: the cost is off by"):
        list(gpu_smoke.smoke(kind, 200))


TOOL = """#!/bin/sh
# Stands for compute-sanitizer: --tool NAME --error-exitcode CODE COMMAND
case $2 in
racecheck) echo "========= COMPUTE-SANITIZER"; echo "========= Error: Race in propagate"; exit $4 ;;
synccheck) exec sleep 30 ;;
esac
case "$*" in *"-m bench.gpu_smoke"*) exit 0 ;; esac
exit 9
"""


def test_what_a_sanitizer_finds_is_kept(rehearsed, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpu_smoke, "PLACES", "")
    code, found = rehearsed("sanitizer")
    assert code == 0
    assert found["absent"] == [{"name": "compute-sanitizer", "reason": "it is not installed"}]
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(TOOL)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(gpu_smoke, "TOOL_SECONDS", 1.0)
    code, found = rehearsed("sanitizer")
    assert code == 1
    assert [f["name"] for f in found["failed"]] == ["racecheck-uint8", "racecheck-float32"]
    assert "exit code 66: Error: Race in propagate" in found["failed"][0]["error"]
    assert [a["name"] for a in found["absent"]] == ["synccheck-uint8", "synccheck-float32"]
    assert [result["name"] for result in found["results"]] == [
        *("memcheck-uint8", "initcheck-uint8", "memcheck-float32", "initcheck-float32")
    ]


def test_peers_that_are_missing_or_slow_are_left_out_with_the_reason(rehearsed, monkeypatch):
    def worker(target, job, limit, what):
        library = job["library"]
        if target is gpu_peers.time_trainings:
            yield from target(library) if library == "cuml" else ()
        elif library == "torch":
            raise TimeoutError("torch did not end in 40 s")

    monkeypatch.setitem(sys.modules, "cuml", None)
    monkeypatch.setattr(gpu_peers, "worker", worker)
    code, found = rehearsed("peers")
    assert code == 0
    assert {a["name"]: a["reason"] for a in found["absent"]} == {
        "torch": "torch did not end in 40 s",
        "training-cuml": "not installed",
    }


@pytest.mark.parametrize("library", ["gpulr", "sklearn-cupy"])
def test_trainings_of_peers_are_judged_in_float64(monkeypatch, library):
    monkeypatch.setenv("GPULR_BENCH_REHEARSE", "numpy")
    monkeypatch.setattr(gpu_peers.os, "environ", dict(gpu_peers.os.environ))
    (found,) = gpu_peers.time_trainings(library)
    assert (found["name"], found["models"]) == (f"training-{library}", 10)
    assert found["gradient_norm"] < 1e-3
    assert 0.0 < found["cost"] < np.log(2.0)


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
    monkeypatch.setattr(gpu_parts, "select", lambda name: backend)
    return done


def test_a_pass_is_timed_between_events_while_the_stream_is_held(done):
    here = gpu_parts.card()
    assert done == [f"zeros {4 * 50 * 2**20}"]
    done.clear()
    assert here.device_seconds(lambda: done.append("pass"), 1e-3) == pytest.approx(2.5e-3)
    assert done == ["hold 1000000 ns", "event", "pass", "event", "wait"]
    done.clear()
    here.device_seconds(lambda: done.append("pass"), 1e-3, cold=True)
    assert done == ["flush", "hold 1000000 ns", "event", "pass", "event", "wait"]
    done.clear()
    here.host_seconds(lambda: done.append("pass"), 3)
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
    found = strict_json(path.read_text())
    assert (found["results"][0]["name"], found["complete"]) == ("one", False)
    with kept.attempt("two"):
        raise ValueError(f"{ROOT}/bench is wrong")
    assert kept.close() == 1
    found = strict_json(path.read_text())
    assert found["failed"] == [{"name": "two", "error": "ValueError: bench is wrong"}]
    assert found["complete"] is True
    assert "two" in capsys.readouterr().err


def test_a_worker_that_hangs_is_ended_and_what_it_found_counts(tmp_path, monkeypatch, capfd):
    (tmp_path / "trial.py").write_text(
        "import time\n"
        "def hanging(who):\n    print('noise')\n    yield ['a line', who]\n    time.sleep(60)\n"
        "def failing():\n    yield 1\n    raise SystemExit(5)\n"
        "def wrong():\n    yield 1\n    raise ValueError('why\\nand where')\n"
        "def lacking():\n    yield 1\n    raise ImportError('no peer')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import trial

    started = time.monotonic()
    lines = run.worker(trial.hanging, {"who": "here"}, 20.0, "here")
    assert next(lines) == ["a line", "here"]
    lines.close()
    with pytest.raises(TimeoutError, match="here did not end in 0 s"):
        list(run.worker(trial.hanging, {"who": "here"}, 0.01, "here"))
    for target, words, traced in (
        (trial.failing, "exit code 5", False),
        (trial.wrong, "^ValueError: why$", True),
        (trial.lacking, "^ImportError: no peer$", False),
    ):
        with pytest.raises(RuntimeError, match=words):
            list(run.worker(target, {}, 30.0, "here"))
        assert ("Traceback" in capfd.readouterr().err) == traced
    assert time.monotonic() - started < 50.0  # none of them slept


def test_ratios_are_to_the_faster_writing_of_a_library(monkeypatch):
    monkeypatch.setenv("GPULR_BENCH_REHEARSE", "numpy")
    kept = gpu.Record("peers", None)
    for library, rows, taken in (
        *(("gpulr", "uint8", 1.0), ("jax.jit", "uint8", 3.0), ("jax.jit", "uint8", 2.0)),
        ("torch", "float32", 1.0),
    ):
        seconds = {k: {"median": taken, "q1": taken, "q3": taken} for k in ("host", "queued")}
        kept.add(f"{library} {taken}", library=library, rows=rows, seconds=seconds)
    gpu_peers.ratios(kept)
    assert kept.content["speedup"] == {"jax.jit-on-uint8": {"host": 2.0, "queued": 2.0}}


@pytest.mark.slow
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


def test_tests_of_the_card_come_first(tmp_path):
    names = ["test_bursts.py", "test_gpu.py", "test_margins.py", "test_gpu_memory.py"]
    items = [types.SimpleNamespace(path=tmp_path / name) for name in names]
    gpu.Outcomes(None, 1.0).pytest_collection_modifyitems(items)
    assert [item.path.name for item in items] == [names[i] for i in (1, 3, 0, 2)]


def test_made_up_rows_are_like_images_and_stand_for_what_is_not_local(monkeypatch, tmp_path):
    for name in ("GPULR_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("GPULR_BENCH_DATA", "local")
    monkeypatch.setattr(data, "N_SAMPLES", 500)
    monkeypatch.setattr(data.datasets, "load_mnist_original", lambda: pytest.fail("loaded"))
    work = data.load_workload()
    assert work.sizes["data"] == "made-up rows (MNIST was not available)"
    assert (work.X.shape, work.X.dtype) == ((500, 784), np.uint8)
    assert 0.6 < np.mean(work.X == 0) < 0.9
    assert np.bincount(work.y).tolist() == [50] * 10
    np.testing.assert_array_equal(work.X, data.made_up(500)[0])


# Predictions


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


def test_the_kernel_for_tensor_cores_waits_for_memory_on_paper():
    found = predict.tensor_bounds(predict.UINT8)
    products = 2 * 3500 * 49 * 3  # 16 rows, 16 features and four models each, forward and back
    assert found["tensor_cores"] == pytest.approx(products / (132 * 1.7e9 * 0.6))
    assert max(found, key=found.get) == "memory"
    assert predict.quicker(predict.UINT8) == found
    assert predict.quicker(predict.FLOAT32) == predict.bounds(predict.FLOAT32)
    more = predict.tensor_bounds(replace(predict.UINT8, n_models=13))  # another group
    assert {name: more[name] / found[name] for name in found} == pytest.approx(
        {"memory": 1, "shared_memory": 2, "issue": 2, "tensor_cores": 2}
    )


def made_up_result():
    """A result in which one target is met, one refuted, and the rest not measured."""

    def timed(name, seconds, **more):
        kinds = ("device", "device_cold", "host", "queued")
        return {"name": name, "seconds": {k: {"median": seconds} for k in kinds}, **more}

    passes = [
        timed("fused-float32-on-float32", 80e-6, fraction_of_copy=0.75),
        timed("batched-float32-on-float32", 80e-6),
        timed("loop-float32-on-float32", 400e-6),
        timed("fused-float32-on-uint8", 50e-6),
    ]
    trainings = [
        timed("lbfgs-from-host-tol-0.0001", 0.05, gap=1e-3),
        timed("lbfgs-from-host-tol-2e-05", 0.09, gap=6e-5),
        timed("lbfgs-from-device-tol-2e-05", 0.01, gap=6e-5),
    ]
    peers = {"speedup": {"jax.jit-on-uint8": {"queued": 3.2, "host": 1.0}}}
    return {
        **{"kind": "gpulr-on-gpu", "data": {"data": "MNIST"}},
        "card": {"name": "NVIDIA H100 80GB HBM3"},
        "parts": {"pass": {"results": passes}, "training": {"results": trainings}, "peers": peers},
    }


def test_a_result_is_compared(tmp_path, capsys):
    path = tmp_path / "on-gpu.json"
    path.write_text(json.dumps(made_up_result()))
    assert predict.main(["--compare", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line[:52].strip(): line[76:].split() for line in lines[1:]}
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
    text = "\n".join(predict.compared({**content, "rehearsal": True}))
    assert "mean nothing" in text
    assert " met" not in text
    for wrong in ("{", "[]", '{"kind": "other", "parts": {}}'):
        (tmp_path / "x.json").write_text(wrong)
        with pytest.raises(SystemExit):
            predict.main(["--compare", str(tmp_path / "x.json")])
        assert "x.json" in capsys.readouterr().err
