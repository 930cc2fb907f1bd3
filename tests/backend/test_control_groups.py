"""Limits of containers, as version 1 and 2 of control groups write them."""

from __future__ import annotations

import pytest

from gpulr.backend.control_groups import memory_limit, processor_quota


@pytest.fixture
def machine(tmp_path):
    """Write the files of a machine, by their paths; returns its root."""

    def put(**files):
        for path, text in files.items():
            file = tmp_path / path.replace("__", "/").replace("_dot_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")
        return tmp_path

    return put


GROUPS = "proc__self__cgroup"
MOUNT = "sys__fs__cgroup"


def test_a_machine_without_control_groups(tmp_path):
    assert processor_quota(tmp_path) is memory_limit(tmp_path) is None


def test_version_2_and_the_narrowest_of_nested_groups(machine):
    root = machine(
        **{
            GROUPS: "0::/batch/job",
            f"{MOUNT}__batch__job__cpu_dot_max": "max 100000",
            f"{MOUNT}__batch__cpu_dot_max": "150000 100000",
            f"{MOUNT}__batch__job__memory_dot_max": "max",
            f"{MOUNT}__batch__memory_dot_max": str(2**31),
            f"{MOUNT}__memory_dot_max": str(2**32),
        }
    )
    assert processor_quota(root) == 1.5
    assert memory_limit(root) == 2**31


def test_in_a_container_the_group_is_what_is_mounted(machine):
    root = machine(**{GROUPS: "0::/unseen/here", f"{MOUNT}__cpu_dot_max": "50000 100000"})
    assert processor_quota(root) == 0.5
    assert memory_limit(root) is None


def test_version_1(machine):
    root = machine(
        **{
            GROUPS: "4:memory:/a\n1:cpu,cpuacct:/a\n0::/",
            f"{MOUNT}__cpu,cpuacct__a__cpu_dot_cfs_quota_us": "200000",
            f"{MOUNT}__cpu,cpuacct__a__cpu_dot_cfs_period_us": "100000",
            f"{MOUNT}__memory__a__memory_dot_limit_in_bytes": str(2**30),
        }
    )
    assert processor_quota(root) == 2.0
    assert memory_limit(root) == 2**30


def test_version_1_without_limits(machine):
    root = machine(
        **{
            GROUPS: "4:memory:/\n1:cpu:/",
            f"{MOUNT}__cpu__cpu_dot_cfs_quota_us": "-1",
            f"{MOUNT}__cpu__cpu_dot_cfs_period_us": "100000",
            f"{MOUNT}__memory__memory_dot_limit_in_bytes": "9223372036854771712",
        }
    )
    assert processor_quota(root) is memory_limit(root) is None
