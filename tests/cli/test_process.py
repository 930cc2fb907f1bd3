"""The process of a command: signals that end it, and standard streams that fail."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

import gpulr
from gpulr.cli.process import Stream
from helpers import strict_json

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")

IMPORTING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Presser:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Presser())
sys.argv = ["gpulr", *{arguments}]
from gpulr.cli import main
main()
"""

VIDEO = ["video", "m.safetensors", "-o", "d.mp4", "--json"]  # which is otherwise an object


@posix
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *((name, ["data", "digits"]) for name in ("typer", "numpy", "gpulr.cli.data")),
        ("gpulr.datasets.mnist", ["data", "digits"]),
        *((name, VIDEO) for name in ("gpulr.video", "gpulr.video.retraining", "PIL.Image", "av")),
    ],
)
def test_ctrl_c_while_importing_ends_at_once(start, name, arguments):
    if name == "av":
        pytest.importorskip("av", reason="PyAV is not installed")
    process = start(source=IMPORTING.format(name=name, arguments=arguments), code=130)
    assert (process.stdout, process.stderr) == ("", "error: interrupted\n")


ENDED = """
import signal, sys
signal.signal(signal.{name}, signal.SIG_DFL)  # the tests may run where it is ignored, as by nohup
signal.signal(signal.SIGINT, signal.{interrupt})
import gpulr.callbacks, gpulr.cli
class Bar(gpulr.callbacks.ProgressBar):
    def __call__(self, progress):
        if progress.iteration == 4:
            signal.raise_signal(signal.{name})
gpulr.callbacks.ProgressBar = Bar
sys.argv = ["gpulr", "train", "--data", "digits", "--tol", "0", "-o", "m.safetensors"]
sys.argv += ["--max-iter", "100000000"]
gpulr.cli.main()
"""


@posix
@pytest.mark.parametrize(
    ("name", "interrupt"),
    [  # SIG_IGN: in the background
        *(("SIGINT", "default_int_handler"), ("SIGTERM", "SIG_IGN")),
        pytest.param("SIGHUP", "default_int_handler", marks=pytest.mark.slow),
    ],
)
def test_what_ends_processes_saves_the_model(start, tmp_path, name, interrupt):
    # Ignored signals stay ignored, so Ctrl-C has its handler before `main` looks.
    code = 128 + getattr(signal, name)
    process = start(source=ENDED.format(name=name, interrupt=interrupt), code=code)
    assert "saved the model so far as m.safetensors" in process.stderr
    model, digits = gpulr.load(tmp_path / "m.safetensors"), gpulr.datasets.load_digits()
    assert 4 <= model.n_iter < 100000000
    assert model.score(digits.X_test, digits.y_test) > 0.9


@posix
@pytest.mark.parametrize(
    ("closed", "target", "code", "error"),
    [
        (
            None,
            "/dev/full",
            1,
            f"standard output cannot be written to: {os.strerror(errno.ENOSPC)}",
        ),
        (1, None, 1, f"standard output cannot be written to: {os.strerror(errno.EBADF)}"),
        (None, "pipe", 0, None),  # a reader that has gone is none
        (2, None, 0, None),  # messages are not missed where nobody can read them
    ],
)
def test_streams_that_take_nothing(environment, closed, target, code, error):
    stdout = subprocess.PIPE
    if target == "pipe":
        reading, stdout = os.pipe()
        os.close(reading)
    elif target is not None:
        if not os.path.exists(target):  # noqa: PTH110
            pytest.skip(f"needs {target}")
        stdout = os.open(target, os.O_WRONLY)
    process = subprocess.run(
        [sys.executable, "-m", "gpulr", "data", "--json"],
        **{"env": environment, "stdout": stdout, "stderr": subprocess.PIPE},
        **{"text": True, "timeout": 60},
        preexec_fn=None if closed is None else lambda: os.close(closed),
    )
    if target is not None:
        os.close(stdout)
    assert (process.returncode, process.stderr) == (code, f"error: {error}\n" if error else "")
    if closed == 2:
        assert "digits" in strict_json(process.stdout)


class Broken:
    """A stream that fails."""

    encoding = "utf-8"

    def __init__(self, file):
        self._file = file

    def write(self, text):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    flush = write

    def fileno(self):
        return self._file.fileno()


def test_a_stream_drops_what_cannot_be_written(tmp_path):
    with (tmp_path / "file").open("w") as file:
        stream = Stream(Broken(file))
        assert stream.write("a") == 1
        stream.flush()
        assert stream.write("b") == 1
        assert stream.fault.errno == errno.EIO
        file.write("goes nowhere")
    assert (tmp_path / "file").read_text() == ""


def test_a_stream_writes_what_its_encoding_lacks(tmp_path):
    with (tmp_path / "file").open("w", encoding="ascii") as file:
        stream = Stream(file)
        stream.write("a×\udcff")
        stream.flush()
        assert stream.fault is None
        assert stream.encoding == "ascii"
    assert (tmp_path / "file").read_text() == "a\\xd7\\udcff"
