"""Which Dask clients to compute with: they can be waited for, and their cluster has our gpulr."""

from __future__ import annotations

import re
import time
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
_LACKS = re.compile("ModuleNotFoundError|ImportError|AttributeError")  # often in words alone
_LOOK = 0.05  # seconds after which it is asked again whether a worker is there

# Who has been asked for versions: workers by their addresses, and SCHEDULER.
_known: WeakKeyDictionary[Client, set[str]] = WeakKeyDictionary()
SCHEDULER = "The scheduler"
NAMED = 3  # who lacks gpulr, at most; others are counted


def check(client: Any) -> None:
    """Refuse a client that cannot be waited for, and a cluster that has another gpulr.

    Raises
    ------
    ParameterError
        It is no client, or asynchronous.
    WorkersLostError
        Within ``GPULR_WORKER_TIMEOUT`` seconds no worker comes, or scheduler or workers do not
        answer.
    BackendUnavailableError
        The scheduler or a worker has no gpulr, or another version.
    """
    if not isinstance(client, Client) or client.asynchronous:
        raise ParameterError(
            f"Expected a distributed.Client that is not asynchronous; got {client!r}."
        )
    limit, what = seconds(*TIMEOUT), "its scheduler has not answered"
    until = time.monotonic() + limit

    def left() -> float:
        return max(1e-3, until - time.monotonic())

    try:
        while not (workers := client.nthreads(callback_timeout=left())):
            what = "no worker came"
            if time.monotonic() > until:
                raise TimeoutError
            time.sleep(_LOOK)
        new = [each for each in (SCHEDULER, *workers) if each not in _known.get(client, ())]
        found: dict[str, Any] = {}
        if SCHEDULER in new:
            what = "its scheduler has not answered"
            found[new.pop(0)] = _of_scheduler(client, left())
        if new:
            what = f"not every one of {counted(len(new), 'worker')} has answered"
            how = {"workers": new, "on_error": "return", "callback_timeout": left()}
            found |= client.run(dask_worker.versions, **how)
    except Exception as error:
        if client.status in ("closing", "closed"):
            what = "the client is closed"
        elif not isinstance(error, TimeoutError):
            what = f"{type(error).__name__}: {error}"
        raise WorkersLostError(
            f"Nothing can be computed on {client!r}: {what}. It was waited for up to {limit:g} s "
            f"({TIMEOUT[0]}). Start workers, or a new cluster."
        ) from error
    _compare(found)
    _known.setdefault(client, set()).update(found)


def _of_scheduler(client: Client, limit: float) -> Any:
    """Return the scheduler's versions, or why it cannot say them."""
    try:
        return client.run_on_scheduler(dask_worker.versions, callback_timeout=limit)
    except OSError:  # a TimeoutError among them: nobody answers
        raise
    except Exception as error:  # it lacks gpulr, or may not be asked to run anything
        return error


def _compare(found: dict[str, Any]) -> None:
    """Refuse those that have another gpulr than the client, and warn of other versions."""
    ours, lacking, other = dask_worker.versions(), {}, {}
    for who, theirs in found.items():
        if isinstance(theirs, Exception) and _LACKS.search(repr(theirs)):
            lacking[who] = f"cannot import it ({theirs})"
        elif isinstance(theirs, dict) and theirs["gpulr"] != ours["gpulr"]:
            lacking[who] = f"has gpulr {theirs['gpulr']}"
        elif isinstance(theirs, dict) and theirs != ours and who != SCHEDULER:
            other[who] = theirs
    if lacking:
        named = [
            f"{who if who == SCHEDULER else f'worker {who}'} {what}"
            for who, what in [*lacking.items()][:NAMED]
        ]
        more = f"; and {len(lacking) - NAMED} others" if len(lacking) > NAMED else ""
        words = "; ".join(named)
        cause = found[next(iter(lacking))]
        raise BackendUnavailableError(
            f"The cluster cannot compute with gpulr {ours['gpulr']}, which the client has: "
            f"{words[0].lower()}{words[1:]}{more}. Install the same version of gpulr, with its "
            "extra dask (gpulr-ova[dask]), where the scheduler and each worker run, and start them "
            "again."
        ) from (cause if isinstance(cause, Exception) else None)
    if other:
        address, theirs = next(iter(other.items()))
        n = sum(who != SCHEDULER for who in found)
        warn(
            f"{counted(len(other), 'worker')} of {n} have other versions than the client, with "
            f"which results may have other bits: {address} has {theirs}, the client {ours}.",
            VersionWarning,
        )
