"""Part transfer: rows to the device and margins back, apart from whatever is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.gpu.card import Card, StandIn, host_seconds
from bench.gpu.passes import copy_bandwidth, rounded
from bench.gpu.record import Record
from bench.interleaved import quartiles
from bench.workload import N_MODELS, Workload, rehearsal
from gpulr.backend import to_host

ROUNDS = 10


def measure(card: Card | StandIn, work: Workload, record: Record) -> None:
    """Time uploads of the rows as gpulr makes them, and from pinned memory; and a download."""
    copy_bandwidth(card, record)
    backend = card.backend
    for rows in ("uint8", "float32"):
        array = work.X if rows == "uint8" else work.rows_float32
        with record.attempt(f"upload-{rows}"):
            _add(card, record, f"upload-{rows}", lambda a=array: backend.asarray(a), array.nbytes)
        with record.attempt(f"upload-{rows}-pinned"):
            pinned = card.pinned(array)
            assert np.array_equal(pinned, array)
            name = f"upload-{rows}-pinned"
            _add(card, record, name, lambda a=pinned: backend.asarray(a), array.nbytes)
    with record.attempt("download-margins"):
        margins = np.zeros((len(work.X), N_MODELS), dtype=np.float32)
        there = backend.asarray(margins)
        _add(card, record, "download-margins", lambda: to_host(there), margins.nbytes)


def _add(
    card: Card | StandIn, record: Record, name: str, run: Callable[[], Any], n_bytes: int
) -> None:
    with card.backend.activate():
        first = host_seconds(card, run)  # allocates device memory, which later calls find again
        rounds = 2 if rehearsal() else ROUNDS
        found = quartiles([host_seconds(card, run) for _ in range(rounds)])
    record.add(
        name,
        bytes=n_bytes,
        seconds={"host": found, "first": quartiles([first])},
        bytes_per_second=rounded(n_bytes / found["median"]),
    )
