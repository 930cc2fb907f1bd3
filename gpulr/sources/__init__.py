"""Rows that are read block by block, and never all at once.

A :class:`Source` is what everybody above knows of them; the other files say how a library's arrays,
or parts that are loaded, are read as one. Arrays and memory maps of NumPy's are no sources: they
are cut as they are.
"""

from __future__ import annotations

from gpulr.sources.blocks import Blocks
from gpulr.sources.part_reader import PartData, PartReader
from gpulr.sources.selected import selected
from gpulr.sources.source import Source

__all__ = ["Blocks", "PartData", "PartReader", "Source", "selected"]
