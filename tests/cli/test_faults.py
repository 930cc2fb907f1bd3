"""The command line where disks are full, folders read-only, readers gone and keys pressed."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
import warnings
from contextlib import contextmanager

import pytest
from PIL import Image

import gpulr
from gpulr import output_files
from gpulr.cli import bootstrap, search, train
from gpulr.errors import DataError
from gpulr.model.one_vs_all import OneVsAll
from helpers import strict_json


@pytest.fixture
def here(monkeypatch, tmp_path):
    """The working folder; the user's folders are elsewhere, and so is the temporary one."""
    for name in ("here", "there", "state", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    state = tmp_path / "state"
    monkeypatch.setattr("platformdirs.user_state_path", lambda *names, **how: state)
    return tmp_path / "here"


@pytest.fixture
def break_folders(monkeypatch):
    """Make folders full: files can be begun in them but not finished; or read-only."""

    def put(*folders, read_only=False):
        real = output_files.replaced

        @contextmanager
        def replaced(path):
            broken = path.parent in folders
            if broken and read_only:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            with real(path) as temporary:
                yield temporary
                if broken:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(output_files, "replaced", replaced)

    return put


TRAIN = ("train", "--data", "digits", "--max-iter", 5, "--tol", 0)
SEARCH = ("search", "--data", "digits", "--Cs", "0.1,1", "--folds", 2, "--tol", 1e-2)


@pytest.mark.parametrize("json", [(), ("--json",)])
@pytest.mark.parametrize(
    ("full", "expected"),
    [
        (["there"], "rescue/deep"),
        (["there", "rescue/deep"], "here"),
        (["there", "rescue/deep", "here"], "state"),
        (["there", "rescue/deep", "here", "state"], "temporary"),
        (["there"], "here"),  # without a folder for rescued models
    ],
)
def test_a_model_that_cannot_be_written_goes_elsewhere(
    invoke, here, tmp_path, monkeypatch, break_folders, full, expected, json
):
    if expected != "here" or len(full) > 1:
        monkeypatch.setenv("GPULR_RESCUE", str(tmp_path / "rescue" / "deep"))
    break_folders(*(tmp_path / name for name in full))
    result = invoke(*TRAIN, "-o", tmp_path / "there" / "m.safetensors", *json, code=1)
    (rescued,) = (tmp_path / expected).iterdir()
    assert result.stderr.splitlines()[-1] == str(rescued)
    assert os.strerror(errno.ENOSPC) in result.stderr
    assert "in memory" not in result.stderr
    if json:
        assert strict_json(result.stdout)["output"] == str(rescued)
    else:
        assert "multiclass accuracy (test)" in result.stdout
    assert gpulr.load(rescued).n_iter == 5
    assert [*(tmp_path / "there").iterdir()] == []


def test_no_file_is_replaced_by_a_rescued_model(here, tmp_path, monkeypatch, break_folders, invoke):
    monkeypatch.setattr("gpulr.cli.saving.secrets.token_hex", lambda n: "ff")
    (here / "rescued-ff.safetensors").write_text("precious")
    break_folders(tmp_path / "there")
    result = invoke(*TRAIN, "-o", tmp_path / "there" / "m.safetensors", code=1)
    assert (here / "rescued-ff.safetensors").read_text() == "precious"
    assert result.stderr.splitlines()[-1] == str(tmp_path / "state" / "rescued-ff.safetensors")


def test_a_model_that_goes_nowhere_is_told_of(here, tmp_path, break_folders, invoke):
    folders = [tmp_path / name for name in ("here", "there", "state", "temporary")]
    break_folders(*folders)
    result = invoke(*TRAIN, "-o", tmp_path / "there" / "m.safetensors", code=1)
    assert "is lost" in result.stderr.splitlines()[-1]
    assert not [*here.iterdir(), *(tmp_path / "temporary").iterdir()]


def test_a_refitted_model_goes_elsewhere_too(here, tmp_path, break_folders, invoke):
    break_folders(tmp_path / "there")
    result = invoke(*SEARCH, "-o", tmp_path / "there" / "m.safetensors", code=1)
    assert gpulr.load(result.stderr.splitlines()[-1]).data["search"]["Cs"] == [0.1, 1]
    assert "refitted on all rows" in result.stdout


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_ctrl_c_in_a_read_only_folder_loses_no_model(
    here, tmp_path, break_folders, json, invoke, ctrl_c
):
    ctrl_c(train, lambda progress: progress.iteration == 4)
    break_folders(here, read_only=True)
    result = invoke(*TRAIN, *json, code=130)
    (rescued,) = (tmp_path / "state").iterdir()
    assert result.stderr.splitlines()[-1] == str(rescued)
    assert gpulr.load(rescued).n_iter == 4
    if json:
        record = strict_json(result.stdout)
        assert (record["interrupted"], record["output"]) == (True, str(rescued))


@pytest.mark.skipif(os.name == "nt", reason="a folder in use cannot be removed there")
@pytest.mark.parametrize("output", [(), ("-o", "m.safetensors")])
def test_a_working_folder_that_is_gone_loses_no_model(
    here, tmp_path, monkeypatch, output, invoke, ctrl_c
):
    ctrl_c(train, lambda progress: progress.iteration == 4 and here.rmdir() is None)
    result = invoke(*TRAIN, *output, code=130)
    (rescued,) = (tmp_path / "state").iterdir()
    assert result.stderr.splitlines()[-1] == str(rescued)
    monkeypatch.chdir(tmp_path)
    assert gpulr.load(rescued).n_iter == 4


@pytest.mark.parametrize(
    ("arguments", "target", "example"),
    [
        (("train", "--data", "missing.npz", "-o"), "m.safetensors", "model.safetensors"),
        (("search", "--data", "missing.npz", "-o"), "m.safetensors", "model.safetensors"),
        (("search", "--data", "missing.npz", "--plot"), "path.png", "path.png"),
        (("bootstrap", "--data", "missing.npz", "-o"), "m.safetensors", "model.safetensors"),
        (("bootstrap", "--data", "missing.npz", "--plot"), "path.png", "path.png"),
        (("report", "missing.safetensors", "-o"), "page.html", "report.html"),
        (("export", "missing.safetensors", "-o"), "m.onnx", "model.onnx"),
        (("video", "missing.safetensors", "-o"), "m.mp4", "video.mp4"),
        (("predict", "{model}", "missing.png", "--framed"), ".", ""),
    ],
)
def test_targets_are_tried_before_anything_else(
    here, model_file, break_folders, arguments, target, example, invoke
):
    if arguments[0] == "video":
        pytest.importorskip("av", reason="PyAV is not installed")
    arguments = [each.format(model=model_file) for each in arguments]
    invoke(*arguments, target, code=3)  # it can be written, and what is missing is told
    assert [*here.iterdir()] == []
    if example:
        result = invoke(*arguments, here, code=2)
        assert f"{here}: that is a folder" in result.stderr
        assert str(here / example) in result.stderr
    break_folders(here, read_only=True)
    result = invoke(*arguments, here / target, code=2)
    assert f"no file can be written there ({os.strerror(errno.EROFS)})" in result.stderr
    assert result.stdout == ""


def test_a_target_whose_name_is_too_long_is_refused_first(here, invoke):
    result = invoke("train", "--data", "missing.npz", "-o", "a" * 300 + ".safetensors", code=2)
    assert os.strerror(errno.ENAMETOOLONG) in result.stderr


@pytest.mark.parametrize(
    ("arguments", "name", "what", "shown"),
    [
        ((*SEARCH, "--plot", "{path}"), "path.png", "chart", "within one standard error"),
        (
            ("predict", "{model}", "x.png", "--framed", "{there}"),
            "x-framed.png",
            "picture",
            "x.png",
        ),
    ],
)
def test_a_full_disk_keeps_the_old_picture_and_prints_results(
    invoke, here, tmp_path, model_file, break_folders, arguments, name, what, shown
):
    there = tmp_path / "there"
    (there / name).write_text("old")
    Image.radial_gradient("L").save(here / "x.png")
    break_folders(there)
    names = {"path": there / name, "model": model_file, "there": there}
    result = invoke(*(str(each).format(**names) for each in arguments), code=1)
    assert shown in result.stdout
    assert f"the {what} could not be written" in result.stderr
    assert [each.name for each in there.iterdir()] == [name]
    assert (there / name).read_text() == "old"


def test_a_model_is_saved_before_it_is_evaluated(here, monkeypatch, invoke):
    def fail(self, X, y):
        raise DataError("The test part has other labels.")

    monkeypatch.setattr(OneVsAll, "evaluate", fail)
    assert "other labels" in invoke(*TRAIN, "-o", "m.safetensors", code=3).stderr
    assert gpulr.load("m.safetensors").n_iter == 5


def test_ctrl_c_waits_for_a_file_that_is_being_written(here, monkeypatch, invoke, ctrl_c):
    real = output_files.replaced

    @contextmanager
    def replaced(path):
        with real(path) as temporary:
            yield temporary
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(output_files, "replaced", replaced)
    record = strict_json(invoke(*TRAIN, "-o", "m.safetensors", "--json", code=130).stdout)
    assert (record["output"], record["interrupted"]) == ("m.safetensors", True)
    assert gpulr.load("m.safetensors").n_iter == 5


def test_ctrl_c_while_the_backend_is_told_loses_no_model(here, monkeypatch, no_cupy, invoke):
    def say(words):
        if "Trained on" in words:
            raise KeyboardInterrupt

    monkeypatch.setattr("gpulr.cli.terminal.say", say)
    invoke(*TRAIN, "--backend", "cupy", "-o", "m.safetensors", code=130)
    assert gpulr.load("m.safetensors").n_iter == 5


def test_ctrl_c_in_the_evaluation_loses_no_model(here, monkeypatch, invoke):
    def interrupt(self, X, y):
        raise KeyboardInterrupt

    monkeypatch.setattr(OneVsAll, "evaluate", interrupt)
    record = strict_json(invoke(*TRAIN, "-o", "m.safetensors", "--json", code=130).stdout)
    assert record == {"output": "m.safetensors", "interrupted": True}
    assert gpulr.load("m.safetensors").n_iter == 5


def test_warnings_that_are_errors_lose_no_model(here, invoke):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # as PYTHONWARNINGS may say
        invoke(*TRAIN[:4], 1, "-o", "m.safetensors")
    assert (here / "m.safetensors").exists()


@pytest.mark.parametrize(
    ("command", "module"), [("train", train), ("search", search), ("bootstrap", bootstrap)]
)
def test_ctrl_c_before_anything_is_known_is_json_too(monkeypatch, command, module, invoke):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "read_data", interrupt)
    result = invoke(command, "--json", code=130)
    assert strict_json(result.stdout) == {"interrupted": True}
