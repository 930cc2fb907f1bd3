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
from importlib import import_module
from typing import Any

import numpy as np

from bench.data import Data
from bench.run import Run

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


def arrays(work: Data, rows: str, put: Callable[[Any], Any], *, columns_first: bool) -> Any:
    """Return a library's X, Y, W (k, n) and b, and the scale of X.

    ``put`` makes its arrays; Y is (k, m) if its columns come first, else (m, k).
    """
    X, scale = work.rows(rows)
    Y = work.targets.T if columns_first else work.targets
    W, b = work.theta[:-1].T, work.theta[-1]
    small = (put(np.ascontiguousarray(array, dtype=np.float32)) for array in (Y, W, b))
    return (put(X), *small), scale


def jax_formulas(scale: float, m: int, *, columns_first: bool = True) -> Callable[..., Any]:
    """Return jax's pass over all rows: of X, Y (k, m) or (m, k), W (k, n) and b (k,)."""
    import jax
    import jax.numpy as jnp

    def cost_and_gradient(X: Any, Y: Any, W: Any, b: Any) -> Any:
        X = X.astype(jnp.float32)
        scaled = scale * W
        Z = scaled @ X.T + b[:, None] if columns_first else X @ scaled.T + b
        axis = 1 if columns_first else 0
        cost = jnp.mean(jax.nn.softplus(Z) - Y * Z, axis=axis)
        R = (jax.nn.sigmoid(Z) - Y) / m
        return cost, (scale * ((R if columns_first else R.T) @ X)).T, R.sum(axis=axis)

    return jax.jit(cost_and_gradient)


def jax_block_formulas(scale: float, m: int) -> Callable[..., Any]:
    """Return the same as a scan over blocks; one exponential serves loss and probability."""
    import jax
    import jax.numpy as jnp

    length = block_length("jax", m)

    def cost_and_gradient(X: Any, Y: Any, W: Any, b: Any) -> Any:
        scaled, (k, n) = scale * W, W.shape

        def add(total: Any, block: Any) -> Any:
            x, y = block[0].astype(jnp.float32), block[1].T
            Z = scaled @ x.T + b[:, None]
            e = jnp.exp(-jnp.abs(Z))
            loss = jnp.maximum(Z, 0.0) - y * Z + jnp.log1p(e)
            R = jnp.where(Z >= 0.0, 1.0, e) / (1.0 + e) - y
            parts = loss.sum(axis=1), R @ x, R.sum(axis=1)
            return jax.tree.map(jnp.add, total, parts), None

        start = jnp.zeros(k), jnp.zeros((k, n)), jnp.zeros(k)
        blocks = X.reshape(-1, length, n), Y.reshape(-1, length, k)
        (loss, dW, db), _ = jax.lax.scan(add, start, blocks, unroll=2)
        return loss / m, (scale / m * dW).T, db / m

    return jax.jit(cost_and_gradient)


def jax_pass(work: Data, rows: str, *, blocks: bool = False) -> Run:
    """Return jax's pass on the CPU."""
    import jax

    cpu = jax.devices("cpu")[0]
    found, scale = arrays(work, rows, lambda a: jax.device_put(a, cpu), columns_first=not blocks)
    run = (jax_block_formulas if blocks else jax_formulas)(scale, len(work.X))
    return lambda: [jax.block_until_ready(run(*found))]


def torch_formulas(scale: float, m: int, *, columns_first: bool = False) -> Callable[..., Any]:
    """Return torch's pass over all rows: of X, Y (m, k) or (k, m), W (k, n) and b (k,)."""
    import torch

    functional = torch.nn.functional

    def cost_and_gradient(X: Any, Y: Any, W: Any, b: Any) -> Any:
        x = X.to(torch.float32)
        scaled = scale * W
        Z = scaled @ x.T + b[:, None] if columns_first else functional.linear(x, scaled, b)
        loss = functional.binary_cross_entropy_with_logits(Z, Y, reduction="none")
        R = (torch.sigmoid(Z) - Y) / m
        axis = 1 if columns_first else 0
        dW = scale * ((R if columns_first else R.T) @ x).T
        return loss.mean(dim=axis), dW, R.sum(dim=axis)

    return cost_and_gradient


def torch_block_formulas(scale: float, m: int) -> Callable[..., Any]:
    """Return the same block by block; Y is (k, m)."""
    import torch

    bce, length = torch.nn.functional.binary_cross_entropy_with_logits, block_length("torch", m)

    def cost_and_gradient(X: Any, Y: Any, W: Any, b: Any) -> Any:
        scaled = scale * W
        loss, dW, db = torch.zeros(len(W)), torch.zeros(W.shape), torch.zeros(len(W))
        for x, y in zip(X.split(length), Y.split(length, dim=1), strict=True):
            x = x.to(torch.float32)
            Z = scaled @ x.T + b[:, None]
            loss += bce(Z, y, reduction="none").sum(dim=1)
            R = torch.sigmoid(Z) - y
            dW += R @ x
            db += R.sum(dim=1)
        return loss / m, (scale / m * dW).T, db / m

    return cost_and_gradient


def torch_pass(work: Data, rows: str, *, blocks: bool = False) -> Run:
    """Return torch's pass on the CPU."""
    import torch

    found, scale = arrays(work, rows, torch.tensor, columns_first=blocks)
    run = (torch_block_formulas if blocks else torch_formulas)(scale, len(work.X))
    return without_graph(run, found)


def without_graph(run: Callable[..., Any], found: Any) -> Run:
    """Return torch's call on these arrays in its inference mode."""
    import torch

    def call() -> Any:
        with torch.inference_mode():
            return [run(*found)]

    return call


# By the contestant's backend and way.
PASSES: dict[tuple[str, str], Callable[[Data, str], Run]] = {
    ("jax", "peer"): jax_pass,
    ("jax", "peer-blocks"): lambda work, rows: jax_pass(work, rows, blocks=True),
    ("torch", "peer"): torch_pass,
    ("torch", "peer-blocks"): lambda work, rows: torch_pass(work, rows, blocks=True),
}
