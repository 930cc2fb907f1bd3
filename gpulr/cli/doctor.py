"""What `gpulr doctor` reports: this machine, its backends, BLAS, and data sets."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

from gpulr._version import __version__
from gpulr.backend import BackendStatus, backends, select
from gpulr.backend.control_groups import memory_limit, processor_quota
from gpulr.backend.threads import thread_count
from gpulr.errors import GpulrError
from gpulr.kernels.dispatch import trials

__all__ = ["report"]

_HAS_AFFINITY = hasattr(os, "sched_getaffinity")

_LIBRARIES = (*("numpy", "scipy", "scikit-learn", "array-api-compat", "threadpoolctl", "llvmlite"),)
_VARIABLES = (
    "GPULR_COMPILE",
    "GPULR_BACKEND",
    "GPULR_FUSED",
    "GPULR_DEVICE_MEMORY",
    "GPULR_FALLBACK",
    "GPULR_DATA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "MKL_NUM_THREADS",
)


def report() -> dict[str, Any]:
    """Return everything as plain data, by name."""
    from threadpoolctl import threadpool_info

    from gpulr import datasets

    statuses = backends()  # NumPy's loads its BLAS, which threadpool_info then finds
    try:
        automatic = select("auto").name
    except GpulrError as error:  # a setting that this report is there to find
        automatic = f"nothing: {error}"
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
        "memory": {"machine": _memory(), "limit": memory_limit()},
        "versions": {name: _version(name) for name in _LIBRARIES},
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
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
                "usable": status.usable,
                "device": status.device,
                "checks": [list(check) for check in (*status.checks, *_trials(name, status))],
                "reason": status.reason,
                "remedy": status.remedy,
            }
            for name, status in statuses.items()
        },
        "auto": automatic,
        "data": [
            {
                "name": entry.name,
                "available": entry.available,
                "location": entry.location,
                "note": entry.note,
            }
            for entry in datasets.describe()
        ],
    }


def _trials(name: str, status: BackendStatus) -> list[tuple[str, str]]:
    if not status.usable:
        return []
    backend = select(name)
    with backend.activate():
        return trials(backend)


def _owner(path: str) -> str:
    """Return the package that brings a library in its wheel; else the library's path."""
    _, installed, inside = path.replace("\\", "/").rpartition("/site-packages/")
    package = inside.partition("/")[0].partition(".")[0]
    return {"numpy": "NumPy", "scipy": "SciPy"}.get(package, package) if installed else path


def _memory() -> int | None:
    """Return the bytes of memory that this machine has, where that can be asked."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
