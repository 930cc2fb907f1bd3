"""What a container or a batch system allows of this machine, as Linux's control groups say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_NO_LIMIT = 2**60  # version 1 writes a number of this size where there is none


def processor_quota(root: Path = Path("/")) -> float | None:
    """Return how many processors' time this process may take, such as 1.5; None: all of it.

    No library of threads asks for this: they count processors, and then wait for each other.
    """
    quotas = []
    for group in _groups(root, "cpu"):
        quota, period = _words(group / "cpu.max", 2)
        if not quota:
            (quota,), (period,) = (
                _words(group / f"cpu.cfs_{it}_us", 1) for it in ("quota", "period")
            )
        if quota.isdigit() and period.isdigit() and int(period):  # neither "max" nor -1
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return how many bytes of memory this process may take; None: there is no limit."""
    limits = []
    for group in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            (limit,) = _words(group / name, 1)
            if limit.isdigit() and int(limit) < _NO_LIMIT:
                limits.append(int(limit))
    return min(limits, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's group and those around it, of versions 1 and 2."""
    mounts = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for mount in [mounts / controllers, mounts / controller] if controllers else [mounts]:
            group = mount / path.lstrip("/")
            # In a container the group itself may not be seen, but what is mounted is its own then.
            yield from (each for each in (group, *group.parents) if each.is_relative_to(mount))


def _words(file: Path, n: int) -> list[str]:
    """Return the first words of a file, empty ones where it has fewer or cannot be read."""
    try:
        found = file.read_text().split()
    except OSError:
        found = []
    return (found + [""] * n)[:n]
