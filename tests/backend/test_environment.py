"""Limits of containers, as version 1 and 2 of control groups write them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gpulr.backend.environment import memory_limit, processor_quota

GROUPS, MOUNT = "proc/self/cgroup", "sys/fs/cgroup"
MACHINES = {  # files by their paths, and what is found
    "without control groups": ({}, None, None),
    "version 2, the narrowest of nested groups": (
        {
            GROUPS: "0::/batch/job",
            f"{MOUNT}/batch/job/cpu.max": "max 100000",
            f"{MOUNT}/batch/cpu.max": "150000 100000",
            f"{MOUNT}/batch/job/memory.max": "max",
            f"{MOUNT}/batch/memory.max": str(2**31),
            f"{MOUNT}/memory.max": str(2**32),
        },
        1.5,
        2**31,
    ),
    "in a container the group is what is mounted": (
        {GROUPS: "0::/unseen/here", f"{MOUNT}/cpu.max": "50000 100000"},
        0.5,
        None,
    ),
    "version 1": (
        {
            GROUPS: "4:memory:/a\n1:cpu,cpuacct:/a\n0::/",
            f"{MOUNT}/cpu,cpuacct/a/cpu.cfs_quota_us": "200000",
            f"{MOUNT}/cpu,cpuacct/a/cpu.cfs_period_us": "100000",
            f"{MOUNT}/memory/a/memory.limit_in_bytes": str(2**30),
        },
        2.0,
        2**30,
    ),
    "version 1 without limits": (
        {
            GROUPS: "4:memory:/\n1:cpu:/",
            f"{MOUNT}/cpu/cpu.cfs_quota_us": "-1",
            f"{MOUNT}/cpu/cpu.cfs_period_us": "100000",
            f"{MOUNT}/memory/memory.limit_in_bytes": "9223372036854771712",
        },
        None,
        None,
    ),
}


@pytest.mark.parametrize(("files", "quota", "limit"), MACHINES.values(), ids=MACHINES.keys())
def test_limits(tmp_path, files, quota, limit):
    for path, text in files.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert (processor_quota(tmp_path), memory_limit(tmp_path)) == (quota, limit)


ARENAS = """
import re, resource, threading
import gpulr
limit = {limit}
if limit:
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from gpulr.backend import host_memory
@host_memory
def entered(): pass
entered()
def size(): return int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1])
before, wait, ready = size(), threading.Event(), threading.Barrier(7)
def work():
    some = [bytes(600) for _ in range(100)]  # beyond what Python itself keeps for small objects
    ready.wait()
    wait.wait()
threads = [threading.Thread(target=work, daemon=True) for _ in range(6)]
threading.stack_size(2**18)
for thread in threads:
    thread.start()
ready.wait()
print((size() - before) // 1024)
wait.set()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc's malloc")
def test_threads_share_an_arena_where_addresses_are_limited(monkeypatch):
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    taken = []
    for limit in (0, 2**33):
        command = [sys.executable, "-c", ARENAS.format(limit=limit)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        taken.append(int(done.stdout))
    if taken[0] < 6 * 64:
        pytest.skip("a malloc without arenas")
    assert taken[1] < 3 * 64
