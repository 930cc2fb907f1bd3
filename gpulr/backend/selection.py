"""Which backend serves some work: the one asked for, the one where X is, or the one that repays."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from gpulr.backend import probes
from gpulr.backend.arrays import is_device_array, library_of, offers_float64
from gpulr.backend.base import Backend
from gpulr.backend.cpu import NumPyBackend
from gpulr.backend.cuda import CuPyBackend
from gpulr.backend.cuda_probe import probe_cupy
from gpulr.backend.environment import setting
from gpulr.backend.kernel_cache import tell_if_not_kept
from gpulr.backend.probes import BackendStatus
from gpulr.backend.standard import FACTORS, missing
from gpulr.errors import BackendFallbackWarning, BackendUnavailableError, ParameterError, warn
from gpulr.namespaces import array_namespace, device
from gpulr.words import did_you_mean

# Below this many floating-point operations a CPU is done in about ten seconds (at 100 GFLOP/s, an
# estimate). A first training on a GPU takes as long before its first pass: NVRTC compiles some
# forty of CuPy's array functions in 0.14 s each, and three sources of gpulr's in 3.4 s (processor
# time of NVRTC 13.5 for sm_90, at 2.8 GHz). Later processes find these compiled.
AUTO_MIN_FLOPS = 1e12

BACKENDS: dict[str, tuple[type[Backend], Callable[[], BackendStatus]]] = {
    "numpy": (NumPyBackend, probes.probe_numpy),
    "cupy": (CuPyBackend, probe_cupy),
}


@cache
def probe(name: str) -> BackendStatus:
    """Try a backend out, once per process."""
    return BACKENDS[name][1]()


def backends() -> dict[str, BackendStatus]:
    """Try every backend out (once per process) and return what was found, by name."""
    return {name: probe(name) for name in BACKENDS}


def backend_of(x: Any) -> Backend:
    """Return the backend of an array, on the device where it is (NumPy for anything else)."""
    name = library_of(x)
    if name in (None, "numpy"):
        return NumPyBackend("numpy", np)
    cls = BACKENDS[name][0] if name in BACKENDS else Backend
    return cls(str(name), array_namespace(x), device(x))


def _lacks(backend: Backend) -> str:
    """Say what a library lacks that training needs; nothing if it has all of it."""
    if backend.name in BACKENDS:
        return ""  # which has been tried out
    if not offers_float64(backend.xp, backend.device):
        return f"{backend.name} has no float64 on {backend.device_name}, in which sums are taken"
    lacks = missing(backend.xp, FACTORS)
    return f"{backend.name} cannot factor matrices: it lacks {lacks}" if lacks else ""


def _new(name: str, fallback_reason: str | None = None) -> Backend:
    xp = np if name == "numpy" else import_module(f"array_api_compat.{name}")
    return BACKENDS[name][0](name, xp, None, fallback_reason)


def select(requested: str = "auto", *, X: Any = None, flops: float = math.inf) -> Backend:
    """Choose the backend for some work, of so many floating-point operations.

    The argument "auto" defers to ``GPULR_BACKEND``, then to where X is, then to a working GPU if
    the work repays it. An array that is already on a device is used where it is, unless its library
    lacks something there that training needs, such as float64 in JAX as it comes: then on the host.

    Raises
    ------
    ParameterError
        Unknown name, in the argument or in the environment.
    BackendUnavailableError
        The backend cannot be used and ``GPULR_FALLBACK=error``; as it comes, "warn", NumPy serves
        instead, after a BackendFallbackWarning.
    """
    allowed = ("auto", *BACKENDS)
    if not isinstance(requested, str) or requested not in allowed:
        near = did_you_mean(requested, allowed)
        raise ParameterError(f"backend={requested!r}{near}; use one of {', '.join(allowed)}.")
    fallback = setting("GPULR_FALLBACK", ("warn", "error"))
    if requested == "auto":
        requested = setting("GPULR_BACKEND", allowed)
    if requested == library_of(X) or (requested == "auto" and is_device_array(X)):
        backend = backend_of(X)
        lack = _lacks(backend)
        if backend.name == "cupy":  # which nobody has tried out
            tell_if_not_kept()
        return _new("numpy", lack) if lack else backend
    if requested == "auto":
        reason = None
        for name in BACKENDS:
            if name == "numpy" or flops < AUTO_MIN_FLOPS or not probes.installed(name):
                continue
            status = probe(name)
            if status.usable:
                return _new(name)
            reason = reason or status.reason
        return _new("numpy", reason)
    status = probe(requested)
    if status.usable:
        return _new(requested)
    message = f"backend={requested!r} cannot be used: {status.reason}. To use it: {status.remedy}."
    if fallback == "error":
        raise BackendUnavailableError(
            f"{message} (GPULR_FALLBACK=error forbids training on NumPy instead.)"
        )
    warn(
        f"{message} Training on NumPy instead; `gpulr doctor` shows every check.",
        BackendFallbackWarning,
    )
    return _new("numpy", status.reason)
