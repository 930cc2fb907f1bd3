"""The command line: ``gpulr train | search | evaluate | predict | report | video | …``.

Results go to standard output, everything else to standard error. Exit codes: 0 ok · 1 failed (what
was to be written could not be) · 2 usage · 3 bad data · 4 backend unavailable · 130 interrupted
(Ctrl-C, SIGTERM, SIGHUP).

Until Ctrl-C is provided for, it shows a traceback: so nothing is imported here that takes time.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["INTERRUPTED", "leave", "main"]

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line, and end the process with its exit code."""
    try:  # what CPython's signal is made of, without its enumerations
        import _signal as signal  # type: ignore[import-not-found]
    except ImportError:
        import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)
    from gpulr.cli.process import run_and_exit

    run_and_exit()


def leave(signum: int, frame: Any) -> NoReturn:
    """End at once, on Ctrl-C.

    An exception would not do: raised within imports, it is taken for a broken module, or lost.
    """
    try:
        os.write(2, b"error: interrupted\n")
    finally:
        os._exit(INTERRUPTED)
