"""Settings in the environment, and what a container or a batch system allows of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from gpulr.errors import ParameterError
from gpulr.words import did_you_mean

_NO_LIMIT = 2**60  # version 1 of control groups writes a number of this size where there is none


def setting(variable: str, allowed: tuple[str, ...]) -> str:
    """Return what a variable is set to, in lower case; the first that is allowed if it is not set.

    Raises
    ------
    ParameterError
        It is set to something else.
    """
    value = os.environ.get(variable, "").strip().lower() or allowed[0]
    if value not in allowed:
        near = did_you_mean(value, allowed)
        raise ParameterError(
            f"{variable}={value!r} in the environment{near}; use one of {', '.join(allowed)}."
        )
    return value


def seconds(variable: str, default: float) -> float:
    """Return the time that a variable is set to, in seconds.

    Raises
    ------
    ParameterError
        It is set to something else than a number > 0.
    """
    value = os.environ.get(variable, "").strip()
    try:
        time = float(value or default)
    except ValueError:
        time = 0.0
    if not time > 0.0:
        raise ParameterError(f"{variable}={value!r} in the environment; expected seconds > 0.")
    return time


def processor_quota(root: Path = Path("/")) -> float | None:
    """Return how many processors' time this process may take, such as 1.5; None: all of it.

    No library of threads asks for this: they count processors, and then wait for each other.
    """
    quotas = []
    for group in _control_groups(root, "cpu"):
        words = _words(group / "cpu.max") or [
            *_words(group / "cpu.cfs_quota_us"),
            *_words(group / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and all(map(str.isdigit, words)) and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))  # neither "max" nor -1
    return min(quotas, default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return how many bytes of memory this process may take; None: there is no limit."""
    limits = [
        int(word)
        for group in _control_groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        for word in _words(group / name)
        if word.isdigit()
    ]
    return min(filter(_NO_LIMIT.__gt__, limits), default=None)


def address_limit() -> int | None:
    """Return how many bytes of addresses this process may have; None: there is no limit."""
    if resource is None:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else int(limit)


def memory_left(root: Path = Path("/")) -> int | None:
    """Return how many bytes of memory this process may take beside what it has; None: not known.

    By the machine, by control groups (where what is kept of files gives way), and by its own limits
    of address space and of data.
    """
    left = []
    for group in _control_groups(root, "memory"):
        for most, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            words = [*_words(group / most), *_words(group / used)]
            if len(words) == 2 and all(map(str.isdigit, words)) and int(words[0]) < _NO_LIMIT:
                of_kind = _words(group / "memory.stat")
                kinds = dict(zip(of_kind[::2], of_kind[1::2], strict=False))
                files = sum(int(kinds.get(f"{kind}_file", 0)) for kind in ("active", "inactive"))
                left.append(int(words[0]) - int(words[1]) + files)
    machine = _words(root / "proc/meminfo")
    if "MemAvailable:" in machine:
        left.append(1024 * int(machine[machine.index("MemAvailable:") + 1]))
    pages = _words(root / "proc/self/statm")
    if resource is not None and pages:
        for limit, has in ((resource.RLIMIT_AS, pages[0]), (resource.RLIMIT_DATA, pages[5])):
            most_bytes = resource.getrlimit(limit)[0]
            if most_bytes != resource.RLIM_INFINITY:
                left.append(most_bytes - int(has) * resource.getpagesize())
    return max(0, min(left)) if left else None


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
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


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
