"""`gpulr doctor`: this machine, its backends, BLAS, and data sets."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

from rich.console import RenderableType
from rich.text import Text
from threadpoolctl import threadpool_info

from gpulr import datasets
from gpulr._version import __version__
from gpulr.backend import BackendStatus, backends, select
from gpulr.backend.environment import memory_limit, processor_quota
from gpulr.backend.memory import in_words
from gpulr.backend.threads import thread_count
from gpulr.cli import terminal
from gpulr.datasets.readers.checks import physical_memory
from gpulr.errors import GpulrError
from gpulr.kernels.dispatch import trials
from gpulr.words import counted

_HAS_AFFINITY = hasattr(os, "sched_getaffinity")

_LIBRARIES = ["numpy", "scipy", "scikit-learn", "array-api-compat", "threadpoolctl", "llvmlite"]
_LIBRARIES += ["torch"]
_VARIABLES = (
    "GPULR_CODE_CACHE",
    "GPULR_COMPILE",
    "GPULR_BACKEND",
    "GPULR_FUSED",
    "GPULR_DEVICE_MEMORY",
    "GPULR_FALLBACK",
    "GPULR_WORKER_TIMEOUT",
    "GPULR_DATA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "CUPY_CACHE_DIR",
    "CUPY_CACHE_IN_MEMORY",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "MKL_NUM_THREADS",
)


def doctor(*, json: bool) -> None:
    """Report on this machine."""
    found = report()
    if json:
        terminal.print_json(found)
        return
    versions = {name: version or "not installed" for name, version in found["versions"].items()}
    lines: list[RenderableType] = [
        f"gpulr {found['gpulr']}, Python {found['python']}, {found['system']}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        *(f"{name}={value}" for name, value in found["environment"].items()),
        _processors(found["processors"]),
        _memory(found["memory"]),
    ]
    for blas in found["blas"]:
        lines.append(
            f"BLAS of {blas['of']}: {blas['library']} {blas['version']}, "
            f"{counted(blas['threads'], 'thread')}, kernels for {blas['kernels']}"
        )
    for name, status in found["backends"].items():
        verdict = ("usable", "green") if status["usable"] else ("not usable", "red")
        lines.append(Text.assemble("\n", (name, "bold"), ": ", verdict))
        lines += [f"  {check}: {outcome}" for check, outcome in status["checks"]]
        if not status["usable"]:
            lines += [f"  why: {status['reason']}", f"  what to do: {status['remedy']}"]
    lines.append(f"\nbackend=auto uses {found['auto']} for large work")
    for entry in found["data"]:
        here = "here" if entry["available"] else "not here"
        words = "; ".join(part for part in (here, entry["location"], entry["note"]) if part)
        lines.append(f"data {entry['name']}: {words}")
    terminal.show(*lines)


def _processors(found: dict[str, Any]) -> str:
    allowed, quota, threads = (found[name] for name in ("allowed", "quota", "threads"))
    words = f"processors: {found['machine']}, of which this process may use {allowed}"
    if quota is None:
        return f"{words}; no quota of a container's (control group)"
    words += f"; a container's quota (control group): the time of {quota:g}"
    if threads <= max(1.0, quota):
        return words
    return (
        f"{words}. Passes use {threads} threads, which then wait for each other: set "
        f"OMP_NUM_THREADS={max(1, int(quota))} before Python starts"
    )


def _memory(found: dict[str, Any]) -> str:
    machine = "unknown" if found["machine"] is None else in_words(found["machine"])
    if found["limit"] is None:
        return f"memory: {machine}; no limit of a container's (control group)"
    return f"memory: {machine}; a container's limit (control group): {in_words(found['limit'])}"


def report() -> dict[str, Any]:
    """Return everything as plain data, by name."""
    environment = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    try:
        automatic = select("auto").name  # before PyTorch is loaded, which it would then look at
    except GpulrError as error:  # a setting that this report is there to find
        automatic = f"nothing: {error}"
    statuses = backends()  # NumPy's loads its BLAS, which threadpool_info then finds
    return {
        "gpulr": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "processors": {
            "machine": os.cpu_count(),
            "allowed": len(os.sched_getaffinity(0)) if _HAS_AFFINITY else os.cpu_count(),
            "quota": processor_quota(),
            "threads": thread_count(),
        },
        "memory": {"machine": physical_memory(), "limit": memory_limit()},
        "versions": {name: _version(name) for name in _LIBRARIES},
        "environment": environment,  # as it was: the look at CuPy may change it
        "blas": [
            {
                "of": _owner(library["filepath"]),
                "library": library["internal_api"],
                "version": library["version"],
                "threads": library["num_threads"],
                "kernels": library.get("architecture"),
            }
            for library in threadpool_info()
            if library["user_api"] == "blas"
        ],
        "backends": {
            name: {
                **{key: getattr(status, key) for key in ("usable", "device", "reason", "remedy")},
                "checks": _checks(name, status),
            }
            for name, status in statuses.items()
        },
        "auto": automatic,
        "data": [
            {key: getattr(entry, key) for key in ("name", "available", "location", "note")}
            for entry in datasets.describe()
        ],
    }


def _checks(name: str, status: BackendStatus) -> list[tuple[str, str]]:
    if not status.usable:
        return list(status.checks)
    backend = select(name)
    with backend.activate():
        return [*status.checks, *trials(backend)]


def _owner(path: str) -> str:
    """Return the package that brings a library in its wheel; else the library's path."""
    _, installed, inside = path.replace("\\", "/").rpartition("/site-packages/")
    package = inside.partition("/")[0].partition(".")[0]
    return {"numpy": "NumPy", "scipy": "SciPy"}.get(package, package) if installed else path


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
