"""The end of a run: Ctrl-C during it, and callbacks that are closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Ctrl-C; what batch systems send; what a terminal sends that is closed (but not on Windows).
ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@contextmanager
def closing(callbacks: Sequence[Any]) -> Iterator[None]:
    """Close, at the end of a run, those callbacks that can be closed."""
    try:
        yield
    finally:
        for callback in callbacks:
            getattr(callback, "close", lambda: None)()


@contextmanager
def ctrl_c(*, terminated: bool = False) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C finish the iteration: yields a function that tells whether it was pressed.

    A second Ctrl-C interrupts at once. So do other signals that end processes, where the program
    has let them raise KeyboardInterrupt (``signal.signal(SIGTERM, signal.default_int_handler)``);
    and where ``terminated``, so that a run is kept, those too that would end it at once.
    Other threads get no signals, and a handler that the program installed itself is left alone.
    """
    pressed = threading.Event()
    own: dict[int, Any] = {}  # signals, and what else they would do
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            handler = signal.getsignal(number)
            ends = terminated and number != signal.SIGINT and handler == signal.SIG_DFL
            if handler is signal.default_int_handler or ends:
                own[number] = handler

    def press(signum: int, frame: Any) -> None:
        pressed.set()
        restore()

    def restore() -> None:
        for number, handler in own.items():
            signal.signal(number, handler)

    for number in own:
        signal.signal(number, press)
    try:
        yield pressed.is_set
    finally:
        restore()
