"""What `gpulr doctor` reports: this machine, its backends, BLAS, and data sets."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

from gpulr._version import __version__
from gpulr.backend import BackendStatus, backends, select
from gpulr.errors import GpulrError

__all__ = ["report"]

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
    """Return everything as plain data: versions, blas, environment, backends, auto, data."""
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
        "versions": {name: _version(name) for name in _LIBRARIES},
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "blas": [
            {
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
        return backend.trials()


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
