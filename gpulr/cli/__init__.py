"""The command line: how `gpulr train | search | evaluate | predict | report | video | …` start.

Here are the commands, one file each, whose options are in app.py; only terminal.py prints. All of
gpulr may be imported, and nothing imports this room. Exit codes: 0 ok · 1 failed (what was to be
written could not be, or an extra is not installed) · 2 usage · 3 bad data · 4 backend unavailable ·
130 interrupted (Ctrl-C, SIGTERM, SIGHUP).

Until Ctrl-C is provided for, it shows a traceback: so nothing is imported here that takes time.
"""

from __future__ import annotations

from gpulr.cli.signals import end_at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line, and end the process with its exit code."""
    end_at_once()
    from gpulr.cli.streams import protect_streams
    from gpulr.errors import MissingExtraError, needs_extra

    protect_streams()
    try:
        with needs_extra("cli", "The command line needs typer and rich"):
            from gpulr.cli.app import run_and_exit
    except MissingExtraError as error:
        raise SystemExit(f"error: {error}") from None
    run_and_exit()
