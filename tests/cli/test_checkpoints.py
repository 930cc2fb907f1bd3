"""`--checkpoint`: interrupted commands say how to go on, and do; `gpulr checkpoint`."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import gpulr
from gpulr.cli import bootstrap, search, train
from helpers import strict_json

SEARCH = ("search", "--data", "digits", "--Cs", "0.1,1,10", "--folds", 2, "--tol", 1e-3)
BOOTSTRAP = ("bootstrap", "--data", "digits", "--n", 4, "--tol", 1e-3)
TRAIN = ("train", "--data", "digits", "--max-iter", 8, "--tol", 0)
HALFWAY = {
    "search": (search, lambda progress: progress.done >= 35),
    "bootstrap": (bootstrap, lambda progress: progress.models[0] > 0 and progress.iteration == 1),
    "train": (train, lambda progress: progress.iteration == 4),
}
UNTIMED = ("seconds", "output", "checkpoint")


def without_times(record):
    return {name: value for name, value in record.items() if name not in UNTIMED}


@pytest.mark.parametrize("named", [False, True], ids=["a new file", "named"])
@pytest.mark.parametrize("arguments", [SEARCH, BOOTSTRAP, TRAIN], ids=lambda each: each[0])
def test_the_last_line_goes_on_with_what_was_interrupted(
    monkeypatch, ctrl_c, run, tmp_path, arguments, named
):
    name, plain = arguments[0], arguments
    if named:
        arguments = (*arguments, "--checkpoint", "my run.ckpt", "--checkpoint-every", 1000)
    elif name == "train":
        pytest.skip("its model is saved, which tells all that there is")
    expected = strict_json(run(*plain, "-o", "whole.safetensors", "--json").stdout)
    with monkeypatch.context() as patch:
        patch.setattr(*_bar(*HALFWAY[name]))
        result = run(*arguments, "-o", "m.safetensors", "--json", code=130)
    record = strict_json(result.stdout)
    assert record["interrupted"] is True
    path = record["checkpoint"]
    assert Path(path).is_file()
    assert path == "my run.ckpt" if named else path.startswith("interrupted-")
    typed = shlex.split(result.stderr.splitlines()[-1].removeprefix("To go on: "))
    again = ["--checkpoint", path] if not named else []
    assert typed == ["gpulr", *map(str, arguments), "-o", "m.safetensors", "--json", *again]
    result = run(*typed[1:])
    assert f"Training goes on from {tmp_path / path}: " in result.stderr
    assert "warning" not in result.stderr
    assert without_times(strict_json(result.stdout)) == without_times(expected)
    one, other = (gpulr.load(f"{each}.safetensors") for each in ("m", "whole"))
    np.testing.assert_array_equal(one.weights, other.weights)
    if name == "bootstrap":
        one, other = (gpulr.Bootstrap.load(f"{each}.safetensors") for each in ("m", "whole"))
        np.testing.assert_array_equal(one.coef, other.coef)
    result = run(*typed[1:])
    assert "holds the result of this call: nothing is trained" in result.stderr
    assert without_times(strict_json(result.stdout)) == without_times(expected)


def _bar(module, when):
    """Return module, name and value of a progress bar that presses Ctrl-C."""

    def bar(progress):
        if when(progress):
            signal.raise_signal(signal.SIGINT)

    name = "ProgressBar" if hasattr(module, "ProgressBar") else "SearchProgressBar"
    return module, name, lambda: bar


@pytest.mark.parametrize("arguments", [SEARCH, BOOTSTRAP], ids=lambda each: each[0])
def test_what_ends_by_itself_leaves_no_checkpoint(run, tmp_path, arguments):
    run(*arguments)
    assert [*tmp_path.iterdir()] == []


def test_a_folder_that_takes_no_file_is_no_hindrance(monkeypatch, ctrl_c, run, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.setattr("gpulr.cli.checkpoints.folders", lambda: (lambda: there,))
    real = "gpulr.cli.checkpoints.check_folder"

    def check(path, *words):
        if path.parent != there:
            raise gpulr.ParameterError("no file can be written there")

    monkeypatch.setattr(real, check)
    ctrl_c(*HALFWAY["search"])
    result = run(*SEARCH, code=130)
    (path,) = there.glob("*.ckpt")
    assert result.stderr.endswith(f"--checkpoint {path}\n")
    monkeypatch.setattr("gpulr.cli.checkpoints.folders", lambda: ())
    assert "To go on" not in run(*SEARCH, code=130).stderr


def test_faults_that_would_come_again_are_not_gone_on_with(run, told):
    run(*SEARCH, "--checkpoint", "s.ckpt")
    result = run(*SEARCH[:4], 7, *SEARCH[5:], "--checkpoint", "s.ckpt", code=3)
    assert "s.ckpt: it is the checkpoint of another run: Cs are others here" in result.stderr
    assert "Delete it to begin anew" in result.stderr
    assert "To go on" not in result.stderr
    for arguments in (SEARCH, TRAIN, BOOTSTRAP):
        result = run(*arguments[:2], "missing.npz", "--checkpoint", "no/x.ckpt", code=2)
        assert "--checkpoint no/x.ckpt: expected a file name in a folder that exists" in (
            result.stderr
        )
    result = run(*TRAIN, "--checkpoint", "t.ckpt", "--thresholds", "f1")
    assert "thresholds" in result.stderr


def test_a_checkpoint_is_described(ctrl_c, run, told):
    ctrl_c(*HALFWAY["search"])
    run(*SEARCH, "--checkpoint", "s.ckpt", code=130)
    record = told("checkpoint", "s.ckpt")
    assert record["function"] == "search"
    assert record["finished"] is False
    assert record["where"].startswith("1 of 3 values of C, ")
    assert record["progress"]["models"] == 60
    assert 35 <= record["progress"]["models_done"] < 60
    assert record["settings"]["tol"] == "0.001"
    assert record["settings"]["scoring"] == "accuracy"
    assert record["data"]["X"].startswith("sha256 ")
    assert record["data"]["the shape of X"] == "(1442, 64)"
    assert record["bytes"] == Path("s.ckpt").stat().st_size
    assert abs(time.time() - Path("s.ckpt").stat().st_mtime) < 300
    assert record["written"].startswith(time.strftime("%Y-"))
    shown = run("checkpoint", "s.ckpt").stdout
    for words in ("search", "1 of 3 values of C", "sample weight", "finished", "(1442, 64)"):
        assert words in shown
    run("bootstrap", *BOOTSTRAP[1:3], "--n", 2, "--tol", 1e-2, "--checkpoint", "b.ckpt")
    record = told("checkpoint", "b.ckpt")
    assert (record["function"], record["where"]) == ("bootstrap", "2 of 2 replicates")
    assert record["finished"] is True
    shown = run("checkpoint", "b.ckpt", COLUMNS="80").stdout
    assert max(map(len, shown.splitlines())) <= 80


def test_what_is_no_checkpoint(run, model_file):
    assert "there is no such file" in run("checkpoint", "no.ckpt", code=3).stderr
    assert "it is no checkpoint" in run("checkpoint", model_file, code=3).stderr
    Path("x.ckpt").write_text("text")
    assert "it is no checkpoint" in run("checkpoint", "x.ckpt", code=3).stderr
    assert "is not overwritten" in run(*TRAIN, "--checkpoint", "x.ckpt", code=3).stderr
    assert Path("x.ckpt").read_text() == "text"


# ---- processes that are ended -------------------------------------------------------------------

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


def begun(arguments, environment, folder, after):
    """Start a command, and return its process once its checkpoint has been written so often."""
    command = [sys.executable, "-m", "gpulr", *map(str, arguments)]
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    path, seen, last = folder / "run.ckpt", 0, None
    if path.exists():
        last = path.stat().st_ino
    until = time.monotonic() + 120
    while seen < after and process.poll() is None and time.monotonic() < until:
        now = path.stat().st_ino if path.exists() else None
        if now not in (None, last):
            seen, last = seen + 1, now
        time.sleep(0.002)
    return process


TERMINATED = 128 + signal.SIGTERM


@pytest.mark.covering
@posix
@pytest.mark.slow
@pytest.mark.parametrize("arguments", [SEARCH, BOOTSTRAP], ids=lambda each: each[0])
@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_ended_again_and_again_the_bits_are_the_same(
    start, environment, tmp_path, arguments, number
):
    arguments = (*arguments[:-1], 1e-6, "--dtype", "float64", "-o", "m.safetensors")
    start(*arguments[:-1], "whole.safetensors")
    keeping = (*arguments, "--checkpoint", "run.ckpt", "--checkpoint-every", 0)
    ended, starts = 0, 0
    while not (tmp_path / "m.safetensors").exists() and starts < 4:
        process = begun(keeping, environment, tmp_path, after=5)
        starts += 1
        process.send_signal(getattr(signal, number))
        said = process.communicate(timeout=60)[1].decode()
        if process.returncode == TERMINATED:
            assert said.splitlines()[-1] == f"To go on: gpulr {shlex.join(map(str, keeping))}"
        ended += process.returncode in (TERMINATED, -signal.SIGKILL)
        if starts > 1:
            assert "Training goes on from" in said
        if process.returncode == TERMINATED:  # the model so far
            (tmp_path / "m.safetensors").unlink(missing_ok=True)
    assert ended >= 1
    start(*keeping)
    one, other = (gpulr.load(tmp_path / f"{name}.safetensors") for name in ("m", "whole"))
    np.testing.assert_array_equal(one.weights, other.weights)
    assert one.history.n_iter.tolist() == other.history.n_iter.tolist()
    if arguments[0] == "bootstrap":
        one, other = (
            gpulr.Bootstrap.load(tmp_path / f"{name}.safetensors") for name in ("m", "whole")
        )
        np.testing.assert_array_equal(one.coef, other.coef)
    else:
        assert one.data["search"]["scores"] == other.data["search"]["scores"]
