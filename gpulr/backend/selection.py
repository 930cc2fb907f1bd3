"""Which backend serves some work: the one asked for, the one where X is, or the one that repays."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from gpulr.backend import probes
from gpulr.backend.arrays import (
    is_device_array,
    is_sparse,
    library_of,
    offers_float64,
    wants_gradient,
)
from gpulr.backend.base import Backend
from gpulr.backend.cpu import NumPyBackend
from gpulr.backend.cuda import CuPyBackend
from gpulr.backend.cuda_probe import probe_cupy
from gpulr.backend.environment import setting
from gpulr.backend.jax import JAXBackend
from gpulr.backend.kernel_cache import tell_if_not_kept
from gpulr.backend.probes import BackendStatus
from gpulr.backend.standard import FACTORS, missing
from gpulr.backend.torch import TorchBackend
from gpulr.backend.torch_probe import probe_torch
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
    "torch": (TorchBackend, probe_torch),
}

# What arrays' own libraries are used by, where they are: also of some that nobody can ask for.
_CLASSES: dict[str, type[Backend]] = {name: cls for name, (cls, _) in BACKENDS.items()}
_CLASSES["jax"] = JAXBackend


@cache
def probe(name: str) -> BackendStatus:
    """Try a backend out, once per process."""
    return BACKENDS[name][1]()


def backends() -> dict[str, BackendStatus]:
    """Try out every backend (once per process) and return what was found, by name."""
    return {name: probe(name) for name in BACKENDS}


def backend_of(x: Any) -> Backend:
    """Return the backend of an array, on the device where it is (NumPy for anything else)."""
    name = library_of(x)
    if name in (None, "numpy"):
        return NumPyBackend("numpy", np)
    array = x.data if is_sparse(x) else x
    return _CLASSES.get(str(name), Backend)(str(name), array_namespace(array), device(array))


@contextmanager
def computing_with(X: Any) -> Iterator[tuple[Backend, Any]]:
    """Activate what predicts for rows; yields it, and the rows as an array of its.

    That is the backend of X, or NumPy's or CuPy's over the same memory, unless what is computed is
    to be differentiated by X. :func:`given_back` makes results arrays of X's library again.
    """
    backend = own = backend_of(X)
    if not wants_gradient(X):
        backend = _sharing(own) or (_new("numpy") if own.fault else own)
    with backend.activate():
        yield backend, X if backend is own else backend.asarray(X)


def given_back(found: Any, X: Any) -> Any:
    """Return an array as results for X are: of the library of X, where X is; else as it is."""
    if not is_device_array(X) or library_of(found) == library_of(X):
        return found
    return backend_of(X).asarray(found)


def _sharing(own: Backend) -> Backend | None:
    """Return NumPy's or CuPy's backend, where it works and computes with the same memory."""
    match own.same_memory:
        case ("numpy", _):
            return _new("numpy")
        case ("cupy", index) if probe("cupy").usable:
            backend = _new("cupy")
            backend.device = import_module("cupy").cuda.Device(index)
            return backend
    return None


def _training(own: Backend, requested: str) -> Backend:
    """Return what trains on arrays of a backend: itself, or what does so better or in its place."""
    if own.name == "cupy":  # which nobody has tried out
        tell_if_not_kept()
    backend = _sharing(own)
    if backend is not None:
        if requested == own.name:
            backend.fallback_reason = (
                f"on this device {backend.name} computes with {own.name}'s arrays as they are"
            )
        return backend
    lack = _lacks(own)
    return _new("numpy", lack) if lack else own.trainer


def _lacks(backend: Backend) -> str:
    """Say what a library lacks that training needs; nothing if it has all of it."""
    if backend.fault or backend.name in _CLASSES:
        return backend.fault  # which know what to do about it
    if not offers_float64(backend.xp, backend.device):
        return f"{backend.name} has no float64 on {backend.device_name}, in which sums are taken"
    lacks = missing(backend.xp, FACTORS)
    return f"{backend.name} cannot factor matrices: it lacks {lacks}" if lacks else ""


def _new(name: str, fallback_reason: str | None = None) -> Backend:
    cls = BACKENDS[name][0]
    return cls(name, import_module(cls.namespace), cls.default_device(), fallback_reason)


def _worth_a_look(name: str) -> bool:
    """Whether a backend may have a GPU for arrays of NumPy's that nobody asked it to take."""
    # PyTorch takes seconds to import, and for its GPU there may be CuPy.
    return probes.installed(name) and (name != "torch" or name in sys.modules)


def select(requested: str = "auto", *, X: Any = None, flops: float = math.inf) -> Backend:
    """Choose the backend for some work, of so many floating-point operations.

    The argument "auto" defers to ``GPULR_BACKEND``, then to where X is, then to a working GPU if
    the work repays it. An array that is already on a device is used where it is: by NumPy or CuPy
    where these take it as it is, else by its own library; or by NumPy on the host where that lacks
    something there that training needs, such as float64.

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
    own = backend_of(X)
    if requested == own.name or (requested == "auto" and own.name != "numpy"):
        return _training(own, requested)
    sharing = _sharing(own)
    if sharing is not None and sharing.name == requested:
        return sharing  # on the device where X is
    if requested == "auto":
        reason = None
        for name in BACKENDS:
            if name == "numpy" or flops < AUTO_MIN_FLOPS or not _worth_a_look(name):
                continue
            status = probe(name)
            if status.usable and status.device != "cpu":
                return _training(_new(name), "auto")
            reason = reason or status.reason
        return _new("numpy", reason)
    status = probe(requested)
    if status.usable:
        return _training(_new(requested), requested)
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
