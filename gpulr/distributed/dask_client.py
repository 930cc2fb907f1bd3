"""Which Dask clients to compute with: they can be waited for, and workers have our gpulr."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from distributed import Client

from gpulr.backend.environment import seconds
from gpulr.distributed import dask_worker
from gpulr.errors import (
    BackendUnavailableError,
    ParameterError,
    VersionWarning,
    WorkersLostError,
    warn,
)
from gpulr.words import counted

TIMEOUT = "GPULR_WORKER_TIMEOUT", 300.0  # seconds in which no worker has anything to do

# Workers whose versions have been looked at.
_known: WeakKeyDictionary[Client, set[str]] = WeakKeyDictionary()


def check(client: Any) -> None:
    """Refuse a client that cannot be waited for, and workers that have another gpulr."""
    if not isinstance(client, Client) or client.asynchronous:
        raise ParameterError(
            f"Expected a distributed.Client that is not asynchronous; got {client!r}."
        )
    limit = seconds(*TIMEOUT)
    try:
        client.wait_for_workers(1, timeout=limit)
        known = _known.setdefault(client, set())
        new = [address for address in client.nthreads() if address not in known]
        found = client.run(dask_worker.versions, workers=new, on_error="return") if new else {}
    except Exception as error:
        raise WorkersLostError(
            f"No worker of {client!r} came within {limit:g} s ({TIMEOUT[0]}), or the client is "
            f"closed: {error}"
        ) from error
    ours, other = dask_worker.versions(), {}
    for address, theirs in found.items():
        if isinstance(theirs, ImportError | AttributeError) or (
            isinstance(theirs, dict) and theirs["gpulr"] != ours["gpulr"]
        ):
            raise BackendUnavailableError(
                f"Worker {address} cannot compute with gpulr {ours['gpulr']}: it has {theirs}. "
                "Install the same version of gpulr everywhere."
            ) from (theirs if isinstance(theirs, Exception) else None)
        if isinstance(theirs, dict) and theirs != ours:
            other[address] = theirs
    known.update(found)
    if other:
        address, theirs = next(iter(other.items()))
        warn(
            f"{counted(len(other), 'worker')} of {len(found)} have other versions than the client, "
            f"with which results may have other bits: {address} has {theirs}, the client {ours}.",
            VersionWarning,
        )
