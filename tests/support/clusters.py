"""Clusters of Dask's on this machine, all of them closed again."""

from __future__ import annotations

import contextlib


@contextlib.contextmanager
def cluster(n_workers=2, threads_per_worker=1, processes=False, **settings):
    """A client of a cluster on this machine, whose tasks may end one worker, not two."""
    import dask
    from distributed import Client, LocalCluster

    ours = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.admin.tick.limit": "1h",  # it warns where this machine has other work
    }
    with (
        dask.config.set(ours | settings),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=threads_per_worker,
            processes=processes,
            dashboard_address=":0",
            memory_limit=0,
        ) as local,
        Client(local) as client,
    ):
        yield client
