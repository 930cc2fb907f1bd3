"""What PyTorch's devices are, and what each can do: found out by trying, once per process."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gpulr.backend.arrays import to_host

# How far a product may be from float64's, of the sum of its terms' magnitudes: float32 comes to
# 1e-7 or so, TF32 and bfloat16 to 3e-5 and more.
_LARGEST_ERROR = 5e-6


class Trial(NamedTuple):
    """What a device was found to do."""

    fault: str  # why it is not computed with; empty: it computes rightly
    lack: str  # what training needs beside products, and the device has not; empty: nothing


@cache
def has_float64(device: str) -> bool:
    """Whether a device computes in float64: Apple's do not, and Intel's smaller ones."""
    import torch

    try:
        return bool((torch.ones(2, dtype=torch.float64, device=device) + 0.5).sum() == 3.0)
    except Exception:  # of many classes
        return False


@cache
def try_out(device: str) -> Trial:
    """Compare products on a device with the host's, and factor a matrix; once per process."""
    import torch

    try:
        if fault := _wrong_product(device):
            return Trial(fault, "")
    except Exception as error:
        return Trial(f"matrix products on {device} fail: {_words(error)}", "")
    if not has_float64(device):
        return Trial("", "float64")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as that it is done on the host, unasked
            matrix = torch.eye(8, dtype=torch.float64, device=device) + 1.0
            for factor in (torch.linalg.eigh, torch.linalg.qr, torch.linalg.cholesky):
                factor(matrix)
            torch.linalg.solve(matrix, torch.linalg.inv(matrix))
    except Exception as error:
        return Trial("", f"factorisations ({_words(error)})")
    return Trial("", "")


def _wrong_product(device: str) -> str:
    """Say which product of a pass comes out wrong, if one does.

    Of rows one after the other, column by column, and of some of them: Apple's were wrong by layout
    and size in several releases.
    """
    import torch

    rng = np.random.default_rng(0)
    for n_rows, n_features, n_models in ((517, 130, 7), (4099, 300, 1)):
        X, W, R = (
            rng.standard_normal(shape).astype(np.float32)
            for shape in ((n_rows, n_features), (n_features, n_models), (n_rows, n_models))
        )
        rows, weights, residuals = (torch.from_numpy(array).to(device) for array in (X, W, R))
        for words, there, first in (
            ("", rows, 0),
            (", column by column", rows.T.contiguous().T, 0),
            (", from the sixth on", rows[5:, :], 5),
        ):
            for found, left, right in (
                (there @ weights, X[first:], W),
                (residuals[first:].T @ there, R[first:].T, X[first:]),
            ):
                expected = left.astype(np.float64) @ right.astype(np.float64)
                off = np.abs(to_host(found) - expected)
                if not np.all(off <= _LARGEST_ERROR * (np.abs(left) @ np.abs(right))):
                    return (
                        f"matrix products on {device} are wrong, of {n_rows}×{n_features} rows"
                        f"{words}, by {off.max():.1e}"
                    )
    return ""


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"


def devices() -> list[str]:
    """Return PyTorch's devices by name: GPUs, the current one of them first, then the CPU."""
    import torch

    found = []
    for kind in ("cuda", "xpu"):  # ROCm's are called cuda
        module = getattr(torch, kind)
        if module.is_available():
            current = module.current_device()
            order = [current, *(i for i in range(module.device_count()) if i != current)]
            found += [f"{kind}:{i}" for i in order]
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def best_device() -> Any:
    """Return the first of PyTorch's devices that computes rightly."""
    import torch

    best = next((name for name in devices() if not try_out(name).fault), "cpu")
    return torch.device(best)
