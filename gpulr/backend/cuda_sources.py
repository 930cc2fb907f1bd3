"""The text of a kernel's source, as it is compiled: with headers where it includes them.

NVRTC would look for them in folders, and CuPy tells sources apart by their text alone.
"""

from __future__ import annotations

import re
from pathlib import Path

_INCLUDE = re.compile(r'^#include "([\w.]+)"$', re.MULTILINE)


def text_of(source: Path) -> str:
    """Return a source, or header, with the headers that are beside it where it includes them."""

    def header(found: re.Match[str]) -> str:
        return text_of(source.with_name(found[1]))

    return _INCLUDE.sub(header, source.read_text(encoding="utf-8"))
