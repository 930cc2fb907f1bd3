"""The process of a command: signals that end it, and standard streams that never fail.

Signals end it at once until a command's modules are imported, and then interrupt it. Imported first
of all, so it imports nothing that takes time.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TextIO

INTERRUPTED = 130
"""The exit code; of a process that a signal interrupted, 128 and its number."""

_received: int | None = None  # the reading end of a pipe that has the numbers of signals


def end_at_once() -> None:
    """Let Ctrl-C end the process, without a traceback."""
    try:  # what CPython's signal is made of, without its enumerations
        import _signal as signal  # type: ignore[import-not-found]
    except ImportError:
        import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(signum: int, frame: Any) -> NoReturn:
    """End; an exception within imports would be taken for a broken module, or lost."""
    try:
        os.write(2, b"error: interrupted\n")
    finally:
        os._exit(INTERRUPTED)


def interrupt_from_here() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, as what ends a process otherwise does too.

    Signals that are ignored (those of ``nohup``, and Ctrl-C in the background) stay ignored.
    """
    import signal

    from gpulr.families.interrupt import ENDING

    for number in ENDING:
        if signal.getsignal(number) in (_leave, signal.SIG_DFL):
            signal.signal(number, signal.default_int_handler)
    if os.name == "posix":
        global _received
        _received, written = os.pipe()
        for end in (_received, written):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)


def exit_quietly(code: int) -> NoReturn:
    """End the process with this code, and let Ctrl-C meanwhile show no traceback either.

    Where it was interrupted, the code is that of the first signal, as shells have it: 143 of
    SIGTERM.
    """
    import signal

    if code == INTERRUPTED and _received is not None:
        with contextlib.suppress(BlockingIOError):  # none: a callback's wish
            code = 128 + os.read(_received, 1)[0]

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Python ends by SIGINT if that left a string that was being executed, as dataclasses do, even
    # if it was caught since; executing another one makes it forget.
    exec("")
    sys.exit(code)


def protect_streams() -> None:
    """Let standard output and standard error never fail, not even where they were closed."""
    for number in range(3):  # 0, 1 and 2 stand for something: else the next file would be one
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    sys.stdout, sys.stderr = Stream(sys.stdout), Stream(sys.stderr)


class Stream(io.TextIOBase):
    """A standard stream that drops what cannot be written; ``fault`` is then the OSError.

    So a full disk, a reader that has gone (``| head``) or a closed terminal keeps no model from
    being saved. ``stream`` is None where it was closed when the process began.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.fault: OSError | None = None
        if stream is not None:
            self.encoding = stream.encoding
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=self.errors)

    def write(self, text: str) -> int:
        """Write, or drop."""
        if self._stream is None:
            self.fault = self.fault or OSError(errno.EBADF, os.strerror(errno.EBADF))
        elif self.fault is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._fail(error, self._stream)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it. Python 3.13 flushes closed ones too."""
        if self._stream is not None and self.fault is None and not self._stream.closed:
            try:
                self._stream.flush()
            except OSError as error:
                self._fail(error, self._stream)

    def _fail(self, error: OSError, stream: TextIO) -> None:
        self.fault = error  # and Python writes what is buffered again when it ends:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, stream.fileno())
        os.close(devnull)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the number that the operating system knows it by."""
        return super().fileno() if self._stream is None else self._stream.fileno()
