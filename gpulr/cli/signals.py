"""Signals: until a command's modules are imported they end the process; then they interrupt it.

Imported first of all, so it imports nothing that takes time.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

INTERRUPTED = 130
"""The exit code."""


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


def exit_quietly(code: int) -> NoReturn:
    """End the process with this code, and let Ctrl-C meanwhile show no traceback either."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Python ends by SIGINT if that left a string that was being executed, as dataclasses do, even
    # if it was caught since; executing another one makes it forget.
    exec("")
    sys.exit(code)
