"""Clusters of Dask's on this machine, all of them closed again."""

from __future__ import annotations

import contextlib
import gc
import json
import operator
import os
import signal
import subprocess
import sys
import time


@contextlib.contextmanager
def cluster(n_workers=2, threads_per_worker=1, processes=False, allowed_failures=1, **options):
    """A client of a cluster on this machine, of which a task may by default end one worker."""
    import dask
    from distributed import Client, LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": allowed_failures,
        "distributed.admin.tick.limit": "1h",  # it warns where this machine has other work
        # After 15 s a LocalCluster gives up a worker that is being started again, or was killed
        # a second time.
        "distributed.deploy.lost-worker-timeout": "1h",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=threads_per_worker,
            processes=processes,
            dashboard_address=":0",
            **{"memory_limit": 0} | options,
        ) as local,
        Client(local) as client,
    ):
        yield client


def loaded(client, loaders):
    """Return an engine of the parts that loaders return."""
    from gpulr.distributed.dask_engine import DaskEngine

    return DaskEngine.make(client, operator.call, loaders)


def pids(client):
    """Return the process ids of the workers that there are."""
    return sorted(client.run(os.getpid).values())


def kill(pid):
    """End a process at once."""
    os.kill(pid, signal.SIGKILL)


def started(what, *arguments, lacking=()):
    """Return a process of one of Dask's commands, which imports what this one does, or lacks."""
    command = f"import sys; sys.modules.update(dict.fromkeys({list(lacking)}))"
    command += f"; from distributed.cli.{what} import main; main()"
    command = [sys.executable, "-c", command, *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def lone_worker(client, threads=1, lacking=()):
    """A worker whom no nanny starts again: its process."""
    arguments = [client.scheduler.address, "--no-nanny", "--no-dashboard", f"--nthreads={threads}"]
    before = len(client.nthreads())
    with started("dask_worker", *arguments, lacking=lacking) as worker:
        try:
            client.wait_for_workers(before + 1, timeout=60)
            yield worker
        finally:
            worker.kill()


@contextlib.contextmanager
def scheduler(file, lacking=()):
    """A scheduler of its own, which writes a file when it answers: its process, and address."""
    arguments = ["--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    with started("dask_scheduler", *arguments, lacking=lacking) as process:
        try:
            until = time.monotonic() + 60
            while not file.exists() and time.monotonic() < until:
                time.sleep(0.05)
            yield process, json.loads(file.read_text())["address"]
        finally:
            process.kill()


def on_scheduler(client):
    """Return the keys of all tasks that the scheduler knows."""
    return set(client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)))


def emptied(client, before=()):
    """Whether nothing that was not there before is left on the scheduler, some time from now."""
    until = time.monotonic() + 5
    while (left := on_scheduler(client) - set(before)) and time.monotonic() < until:
        gc.collect()
        time.sleep(0.02)
    return not left
