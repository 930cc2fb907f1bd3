"""Where checkpoints are written, and how often, from what users pass in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpulr.output_files import check_folder, path_of
from gpulr.validation.parameters import positive_number

EXAMPLE = "run.ckpt"


@dataclass(frozen=True, slots=True)
class Place:
    """Where checkpoints are written, and how often."""

    path: Path
    every: float | None  # seconds; 0: after each iteration; None: only where a run is interrupted


def place_of(checkpoint: Any, checkpoint_every: Any) -> Place | None:
    """Return where and when to write, from arguments; raises ParameterError where it cannot be."""
    every = checkpoint_every
    if every is not None:
        every = positive_number("checkpoint_every", every, zero=True, other=" or None")
    if checkpoint is None:
        return None
    path = path_of("checkpoint", checkpoint)
    check_folder(path, f"checkpoint={str(path)!r}", EXAMPLE)
    return Place(Path(path).resolve(), every)
