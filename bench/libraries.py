"""The same pass by jax and torch: cost and gradient of ten models in float32, on a CPU or a GPU.

On the CPU both ways of writing it are the fastest of those tried on 56,000 × 784 rows and two cores
(2026-11), with each library's default threads and rows that are its own arrays:

* whole: the formulas over all rows at once. With jax.jit ``value_and_grad`` of the loss is as fast;
  with the columns' axis last, either takes as long on float32 rows and up to 1.25 times on uint8.
  torch's autograd and torch.compile make no difference.
* blocks: the same over blocks of rows that stay in cache, tuned: lengths of 500 to 28,000,
  ``value_and_grad``, one exponential or two, loops unrolled or not; torch.compile is slower.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from bench.data import Data
from bench.run import Run

# What starts a pass, and what waits for its results.
Pass = tuple[Run, Callable[[Any], Any]]
BLOCKS = {"jax": 1000, "torch": 2000}  # rows
NAMES = {"jax": "jax.jit", "torch": "torch"}


def obstacle(name: str) -> str | None:
    """Return why a library cannot take part; None if it can. It is imported."""
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return "not installed"
        return f"cannot be imported: {error.name} is not installed"
    except Exception as error:  # whatever a broken installation raises; its words may hold paths
        return f"cannot be imported: {type(error).__name__}"
    return None


def label(name: str) -> str:
    """Return a library's name, and its version once it has been imported."""
    version = getattr(sys.modules.get(name), "__version__", None)
    return f"{NAMES[name]} {version}" if version else NAMES[name]


def block_length(name: str, n_samples: int) -> int:
    """Return the largest length up to BLOCKS' that cuts the rows into equal blocks."""
    return max(n for n in range(1, BLOCKS[name] + 1) if n_samples % n == 0)


def arrays(work: Data, rows: str, put: Callable[[Any], Any], columns_first: bool) -> Any:
    """Return a library's X, Y, W (k, n) and b as ``put`` makes them, and the scale of X.

    Y is (k, m) if its columns come first, else (m, k).
    """
    X, scale = work.rows(rows)
    Y = work.targets.T if columns_first else work.targets
    small = (np.ascontiguousarray(a, np.float32) for a in (Y, work.theta[:-1].T, work.theta[-1]))
    return [put(X), *map(put, small)], scale


def jax_pass(
    work: Data, rows: str, *, columns_first: bool = True, blocks: bool = False, device: str = "cpu"
) -> Pass:
    """Return jax's pass, and what waits for its results.

    In blocks it is a scan, and one exponential serves loss and probability.
    """
    import jax
    import jax.numpy as jnp

    found, scale = arrays(
        work, rows, partial(jax.device_put, device=jax.devices(device)[0]), columns_first
    )
    m, axis = len(work.X), 1 if columns_first else 0

    def whole(X: Any, Y: Any, W: Any, b: Any) -> Any:
        X, scaled = X.astype(jnp.float32), scale * W
        Z = scaled @ X.T + b[:, None] if columns_first else X @ scaled.T + b
        cost = jnp.mean(jax.nn.softplus(Z) - Y * Z, axis=axis)
        R = (jax.nn.sigmoid(Z) - Y) / m
        return cost, (scale * ((R if columns_first else R.T) @ X)).T, R.sum(axis=axis)

    def in_blocks(X: Any, Y: Any, W: Any, b: Any) -> Any:
        scaled, (k, n) = scale * W, W.shape

        def add(total: Any, block: Any) -> Any:
            x, y = block[0].astype(jnp.float32), block[1].T
            Z = scaled @ x.T + b[:, None]
            e = jnp.exp(-jnp.abs(Z))
            loss = jnp.maximum(Z, 0.0) - y * Z + jnp.log1p(e)
            R = jnp.where(Z >= 0.0, 1.0, e) / (1.0 + e) - y
            parts = loss.sum(axis=1), R @ x, R.sum(axis=1)
            return jax.tree.map(jnp.add, total, parts), None

        start, length = (jnp.zeros(k), jnp.zeros((k, n)), jnp.zeros(k)), block_length("jax", m)
        cut = X.reshape(-1, length, n), Y.reshape(-1, length, k)
        (loss, dW, db), _ = jax.lax.scan(add, start, cut, unroll=2)
        return loss / m, (scale / m * dW).T, db / m

    run = jax.jit(in_blocks if blocks else whole)
    return lambda: [run(*found)], jax.block_until_ready


def torch_pass(
    work: Data,
    rows: str,
    *,
    columns_first: bool = False,
    blocks: bool = False,
    device: str = "cpu",
    compiled: bool = False,
) -> Pass:
    """Return torch's pass, and what waits for its results."""
    import torch

    found, scale = arrays(work, rows, partial(torch.tensor, device=device), columns_first)
    m, axis = len(work.X), 1 if columns_first else 0
    bce = partial(torch.nn.functional.binary_cross_entropy_with_logits, reduction="none")

    def whole(X: Any, Y: Any, W: Any, b: Any) -> Any:
        x, scaled = X.to(torch.float32), scale * W
        Z = scaled @ x.T + b[:, None] if columns_first else torch.nn.functional.linear(x, scaled, b)
        R = (torch.sigmoid(Z) - Y) / m
        dW = scale * ((R if columns_first else R.T) @ x).T
        return bce(Z, Y).mean(dim=axis), dW, R.sum(dim=axis)

    def in_blocks(X: Any, Y: Any, W: Any, b: Any) -> Any:
        scaled, length = scale * W, block_length("torch", m)
        loss, dW, db = torch.zeros(len(W)), torch.zeros(W.shape), torch.zeros(len(W))
        for x, y in zip(X.split(length), Y.split(length, dim=1), strict=True):
            x = x.to(torch.float32)
            Z = scaled @ x.T + b[:, None]
            loss += bce(Z, y).sum(dim=1)
            R = torch.sigmoid(Z) - y
            dW += R @ x
            db += R.sum(dim=1)
        return loss / m, (scale / m * dW).T, db / m

    run = torch.compile(whole) if compiled else in_blocks if blocks else whole

    def without_graph() -> Any:
        with torch.inference_mode():
            return [run(*found)]

    def wait(results: Any) -> Any:
        if device == "cuda":
            torch.cuda.synchronize()
        return results

    return without_graph, wait


# By the contestant's backend and way.
PASSES: dict[tuple[str, str], Callable[[Data, str], Pass]] = {
    ("jax", "peer"): jax_pass,
    ("jax", "peer-blocks"): partial(jax_pass, columns_first=False, blocks=True),
    ("torch", "peer"): torch_pass,
    ("torch", "peer-blocks"): partial(torch_pass, columns_first=True, blocks=True),
}
# Those that take part on a GPU, by name.
GPU_PASSES = {
    "jax": {"jax.jit": jax_pass},
    "torch": {"torch": torch_pass, "torch.compile": partial(torch_pass, compiled=True)},
}


def gpu_device(name: str) -> str | None:
    """Return what a library calls its GPU, None without one; its products are float32 proper."""
    if name == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest")
        platform = jax.devices()[0].platform
        return None if platform == "cpu" else platform
    import torch

    torch.set_float32_matmul_precision("highest")
    return "cuda" if torch.cuda.is_available() else None
