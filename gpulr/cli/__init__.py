"""The command line: how `gpulr train | search | evaluate | predict | report | video | …` start.

The commands' options are in app.py, what they do in the other files; only terminal.py prints. All
of gpulr may be imported, and nothing imports this package. Exit codes: 0 ok · 1 failed (what was to
be written could not be, or an extra is not installed) · 2 usage · 3 bad data · 4 backend
unavailable · 130 interrupted (Ctrl-C; 143 by SIGTERM, 129 by SIGHUP).

Until Ctrl-C is provided for, it shows a traceback: so nothing is imported here that takes time.
"""

from __future__ import annotations

from gpulr.cli.process import end_at_once, exit_quietly, protect_streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line, and end the process with its exit code."""
    end_at_once()
    from gpulr.errors import MissingExtraError, needs_extra

    protect_streams()
    try:
        with needs_extra("cli", "The command line needs typer and rich"):
            from gpulr.cli.app import app
            from gpulr.cli.terminal import run
    except MissingExtraError as error:
        raise SystemExit(f"error: {error}") from None
    exit_quietly(run(app))
