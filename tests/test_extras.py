"""What gpulr does where optional packages are missing: it says which extra brings them.

Each test makes them missing in a process of its own, so that all of these run anywhere.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

EXTRAS = {
    "data": ("filelock", "platformdirs", "pooch", "requests"),
    "cli": ("rich", "typer"),
    "plot": ("jinja2", "matplotlib", "PIL"),
    "video": ("av",),
    "onnx": ("onnx",),
    "sources": ("h5py", "pyarrow", "zarr"),
}
BARE = """
import sys
missing = {missing!r}
sys.modules.update(dict.fromkeys(missing))  # importing them fails
import warnings
import gpulr
"""


@pytest.fixture
def bare(environment, tmp_path):
    """Run code in a process where packages are missing; what it printed, and its messages."""

    def bare(code, extras=EXTRAS):
        missing = [package for extra in extras for package in EXTRAS[extra]]
        process = subprocess.run(
            [sys.executable, "-c", BARE.format(missing=missing) + code],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout.splitlines(), process.stderr.splitlines()

    return bare


def test_the_core_trains_predicts_and_saves(bare):
    code = """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", gpulr.DataFallbackWarning)
    model = gpulr.train(max_iter=20, callbacks=[gpulr.callbacks.ProgressBar()])
print(*(each.category.__name__ for each in caught if "MNIST" in str(each.message)))
digits = gpulr.datasets.load("digits")
assert model.score(digits.X_test, digits.y_test) > 0.9
bar = gpulr.callbacks.SearchProgressBar()
gpulr.search(digits.X[:200], digits.y[:200] > 4, Cs=[1, 2], cv=2, callbacks=[bar])
gpulr.OneVsAllLogisticRegression().fit(digits.X[:200], digits.y[:200])
model.save("m.safetensors")
print((gpulr.load("m.safetensors").predict(digits.X) == model.predict(digits.X)).all())
from gpulr import *
"""
    printed, told = bare(code)
    assert printed == ["DataFallbackWarning", "True"]
    assert "rich" not in "".join(told)


CALLS = {
    "gpulr.datasets.load_mnist()": "data",
    "gpulr.datasets.load('mnist-original')": "data",
    "gpulr.show.weights(model)": "plot",
    "gpulr.report(model, 'page.html')": "plot",
    "gpulr.video.predictions(model, X, y, 'v.mp4')": "video",
    "model.to_onnx('m.onnx')": "onnx",
    "gpulr.Blocks.from_parquet('parts')": "sources",
    "gpulr.Blocks.from_zarr('rows.zarr')": "sources",
}


def test_what_needs_an_extra_names_it(bare, tmp_path):
    code = f"""
X, y = gpulr.datasets.load("digits").X[:50], gpulr.datasets.load("digits").y[:50]
model = gpulr.train(X, y, max_iter=2, tol=0, image_shape=(8, 8))
for call in {list(CALLS)}:
    try:
        eval(call)
    except gpulr.MissingExtraError as error:
        print(str(error).replace("\\n", " "))
"""
    printed, _ = bare(code)
    for words, extra in zip(printed, CALLS.values(), strict=True):
        cure = f'from a checkout of gpulr: python -m pip install ".[{extra}]"'
        assert words.endswith(cure)
    assert list(tmp_path.iterdir()) == []


def test_layers_of_torch_name_their_extra(bare, tmp_path):
    # Not None in sys.modules, into which array-api-compat looks.
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch', name='torch')")
    code = """
import numpy as np
model = gpulr.train(np.eye(4), [0, 1, 0, 1], max_iter=1, tol=0)
for call in (model.to_torch, lambda: gpulr.from_torch(None)):
    try:
        call()
    except gpulr.MissingExtraError as error:
        print(error)
"""
    printed, _ = bare(code)
    assert len(printed) == 2
    assert all(words.endswith('python -m pip install ".[torch]"') for words in printed)


COMMANDS = """
from gpulr.cli import main
for arguments in {commands!r}:
    sys.argv = ["gpulr", *arguments.split()]
    try:
        main()
    except SystemExit as end:
        if end.code != 1:  # the interpreter ends with 1 after printing any words
            print(end.code, file=sys.stderr)
"""


def test_the_command_without_its_extra_is_one_line(bare):
    commands = ["", "--help", "train --data digits"]
    printed, told = bare(COMMANDS.format(commands=commands))
    assert printed == []
    assert len(told) == len(commands)
    for line in told:
        assert line.startswith("error: The command line needs typer and rich, which cannot be")
        assert line.endswith('from a checkout of gpulr: python -m pip install ".[cli]"')


COMMANDS_NEED = {
    "report m.safetensors": "plot",
    "search --data digits --plot path.png": "plot",
    "predict m.safetensors x.png": "plot",
    "video m.safetensors -o v.mp4": "video",
    "export m.safetensors -o m.onnx": "onnx",
    "train --data mnist": "data",
}


@pytest.mark.parametrize("missing", [("plot", "video", "onnx"), ("data",)], ids="-".join)
def test_commands_name_the_extra_that_they_need(bare, tmp_path, missing):
    pytest.importorskip("typer", reason='not installed: python -m pip install ".[cli]"')
    needs = {command: extra for command, extra in COMMANDS_NEED.items() if extra in missing}
    make = """
digits = gpulr.datasets.load("digits")
gpulr.train(digits, max_iter=2, tol=0).save("m.safetensors")
"""
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    printed, told = bare(make + COMMANDS.format(commands=list(needs)), missing)
    assert printed == []
    errors = [line for line in told if not line.startswith("Loading ")]
    for line, extra in zip(errors, needs.values(), strict=True):
        assert line.startswith("error: ")
        assert line.endswith(f'python -m pip install ".[{extra}]"')
    assert {path.name for path in tmp_path.iterdir()} == {"m.safetensors", "x.png"}
