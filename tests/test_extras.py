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
}
BARE = """
import sys
missing = {missing!r}
sys.modules.update(dict.fromkeys(missing))  # importing them fails
import warnings
import gpulr
"""
ALL = [package for packages in EXTRAS.values() for package in packages]


def bare(environment, folder, code, missing=ALL, ending=0):
    """Run code in a process where packages are missing; what it printed, and its messages."""
    process = subprocess.run(
        [sys.executable, "-c", BARE.format(missing=missing) + code],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == ending, process.stderr
    return process


def test_the_core_trains_predicts_and_saves(environment, tmp_path):
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
    process = bare(environment, tmp_path, code)
    assert process.stdout.split() == ["DataFallbackWarning", "True"]
    assert "rich" not in process.stderr


@pytest.mark.parametrize(
    ("extra", "call"),
    [
        ("data", "gpulr.datasets.load_mnist()"),
        ("data", "gpulr.datasets.load('mnist-original')"),
        ("plot", "gpulr.show.weights(model)"),
        ("plot", "gpulr.report(model, 'page.html')"),
        ("video", "gpulr.video.predictions(model, X, y, 'v.mp4')"),
        ("onnx", "model.to_onnx('m.onnx')"),
    ],
)
def test_what_needs_an_extra_names_it(environment, tmp_path, extra, call):
    code = f"""
X, y = gpulr.datasets.load("digits").X[:50], gpulr.datasets.load("digits").y[:50]
model = gpulr.train(X, y, max_iter=2, tol=0, image_shape=(8, 8))
try:
    {call}
except gpulr.MissingExtraError as error:
    print(error)
"""
    words = bare(environment, tmp_path, code).stdout
    assert words.rstrip().endswith(f'from a checkout of gpulr: python -m pip install ".[{extra}]"')
    assert all(package.replace("PIL", "pillow") in words for package in EXTRAS[extra])
    assert list(tmp_path.iterdir()) == []


COMMAND = """
sys.argv = ["gpulr", *{arguments!r}]
from gpulr.cli import main
main()
"""


@pytest.mark.parametrize("arguments", [(), ("--help",), ("train", "--data", "digits")])
def test_the_command_without_its_extra_is_one_line(environment, tmp_path, arguments):
    process = bare(environment, tmp_path, COMMAND.format(arguments=arguments), ending=1)
    assert process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: The command line needs typer and rich, which cannot be imported")
    assert line.endswith('from a checkout of gpulr: python -m pip install ".[cli]"')


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("plot", ("report", "m.safetensors")),
        ("plot", ("search", "--data", "digits", "--plot", "path.png")),
        ("plot", ("predict", "m.safetensors", "x.png")),
        ("video", ("video", "m.safetensors", "-o", "v.mp4")),
        ("onnx", ("export", "m.safetensors", "-o", "m.onnx")),
        ("data", ("train", "--data", "mnist")),
    ],
)
def test_commands_name_the_extra_that_they_need(environment, tmp_path, extra, arguments):
    pytest.importorskip("typer", reason='not installed: python -m pip install ".[cli]"')
    make = """
digits = gpulr.datasets.load("digits")
gpulr.train(digits, max_iter=2, tol=0).save("m.safetensors")
"""
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    missing = [*EXTRAS[extra], *(EXTRAS["plot"] if extra == "video" else ())]
    code = make + COMMAND.format(arguments=arguments)
    process = bare(environment, tmp_path, code, missing, ending=1)
    assert process.stdout == ""
    assert process.stderr.startswith("error: ")
    assert process.stderr.endswith(f'python -m pip install ".[{extra}]"\n')
    assert {path.name for path in tmp_path.iterdir()} == {"m.safetensors", "x.png"}
