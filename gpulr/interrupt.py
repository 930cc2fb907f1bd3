"""The end of a run: Ctrl-C during it, and callbacks that are closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["closing", "ctrl_c"]


@contextmanager
def closing(callbacks: Sequence[Any]) -> Iterator[None]:
    """Close, at the end of a run, those callbacks that can be closed."""
    try:
        yield
    finally:
        for callback in callbacks:
            getattr(callback, "close", lambda: None)()


@contextmanager
def ctrl_c() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C finish the iteration: yields a function that tells whether it was pressed.

    A second Ctrl-C interrupts at once. Other threads get no signals, and a handler that the program
    installed itself is left alone.
    """
    pressed = threading.Event()
    own = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )

    def press(signum: int, frame: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if own:
        signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        if own:
            signal.signal(signal.SIGINT, signal.default_int_handler)
