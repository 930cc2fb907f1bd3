"""Whether PyTorch works on this machine, and which of its devices compute rightly."""

from __future__ import annotations

from gpulr.backend import probes
from gpulr.backend.probes import BackendStatus
from gpulr.backend.torch import TorchBackend
from gpulr.backend.torch_devices import best_device, devices

_INSTALL = (
    "install it as pytorch.org says for this machine, or, from a checkout of gpulr: "
    'python -m pip install ".[torch]"'
)


def probe_torch() -> BackendStatus:
    """Import PyTorch, and compare products on each of its devices with the host's."""
    if not probes.installed("torch"):
        checks = (("PyTorch", "not installed"),)
        return BackendStatus("torch", False, checks, None, "PyTorch is not installed", _INSTALL)
    try:
        import array_api_compat.torch as xp
        import torch
    except Exception as error:  # a library that it links to is missing, say
        words = f"failed: {type(error).__name__}: {error}"
        checks = (("import torch", words),)
        return BackendStatus("torch", False, checks, None, f"import torch {words}", _INSTALL)
    found = [("import torch", str(torch.__version__))]
    for name in devices():
        here = TorchBackend("torch", xp, torch.device(name))
        found.append((name if name == "cpu" else f"{name}, {here.device_name}", _outcome(here)))
    best = TorchBackend("torch", xp, best_device())
    return BackendStatus("torch", True, tuple(found), device=best.device_name)


def _outcome(backend: TorchBackend) -> str:
    """Say what is computed on a device, and by whom."""
    if fault := backend.trial.fault:
        return f"not used: {fault}; update PyTorch"
    if backend.same_memory is not None and backend.same_memory[0] == "numpy":
        return "NumPy computes, over the same memory"
    if lack := backend.trial.lack:
        return f"multiplies; the host does the rest, as it lacks {lack}"
    return "ok" if backend.same_memory is None else "ok; CuPy computes where that works"
