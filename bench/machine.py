"""What every result records of the machine, the versions and the commit; no names, no paths."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from bench.pass_peers import NAMES, version
from bench.workload import rehearsal
from gpulr import __version__
from gpulr.backend import backends, select
from gpulr.backend.compiled_rows import compiler

ROOT = Path(__file__).resolve().parent.parent
# What can change a figure: whether products are compiled or fused, BLAS's threads, the kernels and
# block sizes OpenBLAS picks, TF32.
VARIABLES = (
    "GPULR_COMPILE",
    "GPULR_FUSED",
    "CUPY_TF32",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
)


def machine() -> dict[str, Any]:
    """Return the processor, its cores, and the GPU where one is usable."""
    found: dict[str, Any] = {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
    }
    cupy = backends()["cupy"]
    if cupy.usable:
        found["gpu"] = cupy.device
        found["driver"] = dict(cupy.checks)["NVIDIA driver"]
    return found


def cpu_model() -> str:
    """Return the processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def versions() -> dict[str, str]:
    """Return the versions of whatever computes."""
    found = {
        "python": platform.python_version(),
        "gpulr": __version__,
        "numpy": np.__version__,
        "scipy": metadata.version("scipy"),
    }
    if (llvmlite := compiler().version) is not None:
        found["llvmlite"] = llvmlite
    if backends()["cupy"].usable:
        found["cupy"] = select("cupy").version
    for peer in NAMES:
        if (loaded := version(peer)) is not None:
            found[peer] = loaded
    return found


def blas() -> list[dict[str, Any]]:
    """Return the BLAS libraries that are loaded: whose, version, kernels, threads."""
    np.ones((2, 2)) @ np.ones((2, 2))
    found = []
    for library in threadpool_info():
        if library["user_api"] == "blas":
            folder = Path(library["filepath"]).parent.name
            keep = ("internal_api", "version", "architecture", "num_threads", "threading_layer")
            owner = folder.removesuffix(".libs") if folder.endswith(".libs") else "the system"
            found.append({"of": owner, **{key: library.get(key) for key in keep}})
    return sorted(found, key=lambda library: str(library["of"]))


def commit() -> dict[str, Any]:
    """Return the commit's hash, and whether what is measured differs from it; None if unknown."""

    def git(*arguments: str) -> str | None:
        try:
            run = subprocess.run(
                ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return run.stdout.strip() if run.returncode == 0 else None

    changes = git("status", "--porcelain", "--", "gpulr", "bench/*.py", "pyproject.toml")
    return {
        "id": git("rev-parse", "--verify", "HEAD"),
        "dirty": None if changes is None else bool(changes),
    }


def circumstances() -> dict[str, Any]:
    """Return everything about a run but its results."""
    now = datetime.datetime.now(datetime.UTC)
    found = {"rehearsal": True} if rehearsal() else {}
    return {
        **found,
        "date": now.isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "blas": blas(),
        "environment": {name: os.environ.get(name) for name in VARIABLES},
    }
