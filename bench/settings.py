"""Ways of gpulr that are settings in the environment, and how they are set for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import gpulr

SETTINGS = {
    "uncompiled": {"GPULR_COMPILE": "never"},
    "portable": {"GPULR_FUSED": "never"},
    "fused": {"GPULR_FUSED": "require"},
}


@contextmanager
def setting(way: str) -> Iterator[None]:
    """Set what a way needs in the environment, if anything, and put back what was there."""
    wanted = SETTINGS.get(way, {})
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@cache
def knows(variable: str) -> bool:
    """Whether gpulr reads an environment variable at all: one that it ignores settles nothing."""
    sources = Path(gpulr.__file__).parent.rglob("*.py")
    return any(variable in source.read_text(encoding="utf-8") for source in sources)
