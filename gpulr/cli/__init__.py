"""The command line: ``gpulr train | search | evaluate | predict | report | export | …``.

Results go to standard output, everything else to standard error. Exit codes: 0 ok · 1 failed ·
2 usage · 3 bad data · 4 backend unavailable · 130 interrupted.
"""

from gpulr.cli.app import main

__all__ = ["main"]
