"""The process of a command: signals that end it, and standard streams that fail."""

from __future__ import annotations

import errno
import os
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
sys.argv = ["gpulr", "data", "digits"]
from gpulr.cli import main
main()
"""


@posix
@pytest.mark.parametrize("name", ["typer", "numpy", "gpulr.cli.data", "gpulr.datasets.mnist"])
def test_ctrl_c_while_importing_ends_without_a_traceback(start, name):
    process = start(source=IMPORTING.format(name=name), code=130)
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
        ("SIGHUP", "default_int_handler"),
    ],
)
def test_what_ends_processes_saves_the_model(start, tmp_path, name, interrupt):
    # Ignored signals stay ignored, so Ctrl-C has its handler before `main` looks.
    process = start(source=ENDED.format(name=name, interrupt=interrupt), code=130)
    assert "saved the model so far as m.safetensors" in process.stderr
    model, digits = gpulr.load(tmp_path / "m.safetensors"), gpulr.datasets.load_digits()
    assert 4 <= model.n_iter < 100000000
    assert model.score(digits.X_test, digits.y_test) > 0.9


# ---- streams -----------------------------------------------------------------------------------


def run_with(environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, close=None):
    return subprocess.run(
        [sys.executable, "-m", "gpulr", "data", "--json"],
        env=environment,
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=60,
        preexec_fn=None if close is None else lambda: os.close(close),
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_results_that_cannot_be_written_are_a_failure(environment):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = run_with(environment, stdout=full)
    assert process.returncode == 1
    assert process.stderr == (
        f"error: standard output cannot be written to: {os.strerror(errno.ENOSPC)}\n"
    )


@posix
def test_a_closed_standard_output_is_a_failure(environment):
    process = run_with(environment, close=1)
    assert process.returncode == 1
    assert process.stderr.startswith("error: standard output cannot be written to")
    assert len(process.stderr.splitlines()) == 1


@posix
def test_a_reader_that_has_gone_is_none(environment):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = run_with(environment, stdout=writing)
    finally:
        os.close(writing)
    assert (process.returncode, process.stderr) == (0, "")


@posix
def test_messages_are_not_missed_where_nobody_can_read_them(environment):
    process = run_with(environment, close=2)
    assert process.returncode == 0
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
