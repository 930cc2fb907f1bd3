"""The process that a command runs in: its signals, its standard streams, and how it ends.

Until the modules of a command are imported, Ctrl-C ends it at once (:func:`gpulr.cli.leave`).
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from typing import NoReturn, TextIO

from gpulr.cli import leave

__all__ = ["Stream", "ready", "run_and_exit"]


class Stream(io.TextIOBase):
    """A standard stream that never fails: what cannot be written is dropped.

    So a full disk, a reader that has gone (``| head``) or a closed terminal keeps no model from
    being saved.

    Parameters
    ----------
    stream : text file, or None
        None: it was closed when the process began.

    Attributes
    ----------
    fault : OSError or None
        Why something could not be written.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.fault: OSError | None = None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write, or drop."""
        if self._stream is None:
            self._fail(OSError(errno.EBADF, os.strerror(errno.EBADF)))
        elif self.fault is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        if self._stream is not None and self.fault is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        if self.fault is None:
            self.fault = error
            if self._stream is not None:  # Python writes what is buffered again when it ends
                devnull = os.open(os.devnull, os.O_WRONLY)
                os.dup2(devnull, self._stream.fileno())
                os.close(devnull)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the number that the operating system knows it by."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As of the stream."""
        return "utf-8" if self._stream is None else self._stream.encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What becomes of characters that the encoding lacks."""
        return "backslashreplace"


def run_and_exit() -> NoReturn:
    """Do what :func:`gpulr.cli.main` does, once it has provided for Ctrl-C."""
    _open_standard_files()
    sys.stdout, sys.stderr = Stream(sys.stdout), Stream(sys.stderr)
    from gpulr.cli.app import run

    code = run()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while Python ends: no traceback either
    # Python ends by SIGINT if that left a string that was being executed, as dataclasses do, even
    # if it was caught since; executing another one makes it forget.
    exec("")
    sys.exit(code)


def ready() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from here on, as what ends a process otherwise does too.

    Signals that are ignored (those of ``nohup``, and Ctrl-C in the background) stay ignored.
    """
    from gpulr.families.interrupt import ENDING

    if isinstance(sys.stdout, Stream):  # in a process of its own
        for number in ENDING:
            if signal.getsignal(number) in (leave, signal.SIG_DFL):
                signal.signal(number, signal.default_int_handler)


def _open_standard_files() -> None:
    """Have 0, 1 and 2 stand for something: else the next file that is opened would be one."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
