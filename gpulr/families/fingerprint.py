"""What a run is of, in short: by which a checkpoint is told from that of another run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from gpulr._version import __version__
from gpulr.backend import Backend, to_host
from gpulr.families.inputs import Inputs
from gpulr.families.partitioned_inputs import PartitionedInputs
from gpulr.families.row_hashes import HASH, hash_rows, hashes_of, joined
from gpulr.families.settings import Settings

Fingerprint = dict[str, str]

MAY_DIFFER = ("max_iter",)  # of the settings
DATA = ("X", "y", "sample_weight")


def fingerprint_of(
    family: str, inputs: Inputs, settings: Settings, backend: Backend, **more: Any
) -> Fingerprint:
    """Return what a run of a family is of: names that users know, and values as text.

    Rows, labels and weights are hashed, which takes a pass over them; those that are elsewhere, by
    their parts.

    Parameters
    ----------
    more : numbers, text, arrays, and lists and dicts of numbers and text
        What the result depends on beside the settings and the data.
    """
    elsewhere = isinstance(inputs, PartitionedInputs)
    used = {f.name: getattr(settings, f.name) for f in fields(settings)}
    found: dict[str, Any] = {"gpulr": __version__, "function": family} | used | more
    found |= {"class_weight": inputs.class_weight, "pos_weight": inputs.pos_weight}
    found |= {"backend": "numpy on a cluster" if elsewhere else backend.name}
    shape, dtype = tuple(map(int, inputs.X.shape)), getattr(inputs.X.dtype, "name", inputs.X.dtype)
    found |= {"the shape of X": shape, "the dtype of X": str(dtype).rpartition(".")[2]}
    found["the classes of y"] = inputs.labels.classes
    if isinstance(inputs, PartitionedInputs):
        found["the parts of X"] = inputs.common.edges
        parts = zip(*inputs.engine.call("hashes"), strict=True)
        hashes = [joined(each.encode() for each in part) for part in parts]
        if not inputs.sample_weighted:
            hashes[-1] = str(None)
    else:
        weight = inputs.sample_weight if inputs.sample_weighted else None
        hashes = list(hashes_of(inputs.X, inputs.labels, weight))
    found |= dict(zip(DATA, hashes, strict=True))
    return {name: _text(value) for name, value in found.items() if name not in MAY_DIFFER}


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return in words what first differs between two fingerprints; nothing if nothing does."""
    for name in [*now, *(before.keys() - now.keys())]:
        old, new = before.get(name, str(None)), now.get(name, str(None))
        if old != new:
            several = name.partition(" of ")[0].endswith("s")
            was, others, now_is = (
                ("were", "are others", "are") if several else ("was", "is another one", "is")
            )
            hashed = [each.startswith(HASH) for each in (old, new)]
            if any(hashed) and str(None) not in (old, new):
                return f"{name} {others} here"
            old, new = ("given" if each.startswith(HASH) else each for each in (old, new))
            return f"{name} {was} {old}, and {now_is} {new} here"
    return ""


def _text(value: Any) -> str:
    """Return a value as text, or a hash of it where that would be long."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        array = to_host(value)
        if array.dtype.kind in "biufc":
            array = np.atleast_1d(array)
            words = f"{array.dtype.name} {array.shape} "
            return joined([words.encode(), hash_rows(array.reshape(len(array), -1)).encode()])
        value = [array.dtype.str, *map(repr, array.ravel().tolist())]
    value = value.name if isinstance(value, np.dtype) else value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else joined([text.encode()])
