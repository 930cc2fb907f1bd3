"""Paths as a page that is passed on may show them: without the folders of who made it."""

from __future__ import annotations

import ntpath
import re

_BUILT_FROM = "built from "
_FOLDERS = re.compile(r"(?<![^\s'\"(])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"]+[/\\])*(?=[\w.])")


def file_name(source: str) -> str:
    """Return a source of data without its folders: the name of a file, whatever system's it is."""
    begin = _BUILT_FROM if source.startswith(_BUILT_FROM) else ""
    path = source.removeprefix(begin)
    return begin + (ntpath.basename(path.rstrip("/\\")) or path)


def without_folders(text: str, source: str = "") -> str:
    """Return a text in which the absolute paths, and ``source``, have lost their folders."""
    if source:
        text = text.replace(source, file_name(source))
    return _FOLDERS.sub("", text)
