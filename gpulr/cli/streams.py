"""The standard streams of a command's process."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO


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


def protect_streams() -> None:
    """Let standard output and standard error never fail, not even where they were closed."""
    for number in range(3):  # 0, 1 and 2 stand for something: else the next file would be one
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    sys.stdout, sys.stderr = Stream(sys.stdout), Stream(sys.stderr)
