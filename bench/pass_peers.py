"""The same pass by other libraries: cost and gradient of ten models, float32, on this CPU.

Each goes by its default threads through rows that are its own arrays: float32 and scaled, or uint8
to be converted inside. Both ways of writing it are the fastest of those tried on 56,000 × 784 rows
and two cores (2026-11):

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

from bench.workload import Workload

Run = Callable[[], Any]

BLOCKS = {"jax": 1000, "torch": 2000}  # rows


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


def version(name: str) -> str | None:
    """Return the version of a library that has been imported; None if it has not."""
    return getattr(sys.modules.get(name), "__version__", None)


def stored(work: Workload, rows: str) -> tuple[Any, float]:
    """Return the rows as they are stored, and what they are still to be multiplied by."""
    return (work.X, work.scale) if rows == "uint8" else (work.rows_float32, 1.0)


def block_length(name: str, n_samples: int) -> int:
    """Return the largest length up to BLOCKS' that cuts the rows into equal blocks."""
    return max(n for n in range(1, BLOCKS[name] + 1) if n_samples % n == 0)


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

    return cost_and_gradient


def jax_whole(work: Workload, rows: str) -> Run:
    """Return jax's pass over all rows at once."""
    import jax

    X, scale, put = _on_cpu(work, rows)
    Y, W, b = put(work.targets.T), put(work.theta[:-1].T), put(work.theta[-1])
    run = jax.jit(jax_formulas(scale, len(X)))
    return lambda: [jax.block_until_ready(run(X, Y, W, b))]


def jax_blocks(work: Workload, rows: str) -> Run:
    """Return jax's pass as a scan over blocks; one exponential serves loss and probability."""
    import jax
    import jax.numpy as jnp

    X, scale, put = _on_cpu(work, rows)
    (m, n), k = X.shape, work.targets.shape[1]
    length = block_length("jax", m)
    Y, W, b = put(work.targets), put(work.theta[:-1].T), put(work.theta[-1])

    @jax.jit
    def cost_and_gradient(X: Any, Y: Any, W: Any, b: Any) -> Any:
        scaled = scale * W

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

    return lambda: [jax.block_until_ready(cost_and_gradient(X, Y, W, b))]


def _on_cpu(work: Workload, rows: str) -> tuple[Any, float, Callable[[Any], Any]]:
    """Return jax's rows, their scale, and what makes float32 arrays of jax."""
    import jax

    cpu = jax.devices("cpu")[0]
    X, scale = stored(work, rows)

    def put(array: Any) -> Any:
        return jax.device_put(np.ascontiguousarray(array, dtype=np.float32), cpu)

    return jax.device_put(X, cpu), scale, put


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


def torch_whole(work: Workload, rows: str) -> Run:
    """Return torch's pass over all rows at once."""
    import torch

    X, scale = stored(work, rows)
    X, run = torch.tensor(X), torch_formulas(scale, len(X))
    Y, W, b = _tensors(work.targets, work.theta[:-1].T, work.theta[-1])

    def without_graph() -> Any:
        with torch.inference_mode():
            return [run(X, Y, W, b)]

    return without_graph


def torch_blocks(work: Workload, rows: str) -> Run:
    """Return torch's pass block by block."""
    import torch

    bce = torch.nn.functional.binary_cross_entropy_with_logits
    X, scale = stored(work, rows)
    (m, n), k = X.shape, work.targets.shape[1]
    X, length = torch.tensor(X), block_length("torch", m)
    Y, W, b = _tensors(work.targets.T, work.theta[:-1].T, work.theta[-1])

    def run() -> Any:
        with torch.inference_mode():
            scaled = scale * W
            loss, dW, db = torch.zeros(k), torch.zeros(k, n), torch.zeros(k)
            for x, y in zip(X.split(length), Y.split(length, dim=1), strict=True):
                x = x.to(torch.float32)
                Z = scaled @ x.T + b[:, None]
                loss += bce(Z, y, reduction="none").sum(dim=1)
                R = torch.sigmoid(Z) - y
                dW += R @ x
                db += R.sum(dim=1)
            return [(loss / m, (scale / m * dW).T, db / m)]

    return run


def _tensors(*arrays: Any) -> list[Any]:
    """Return torch's float32 arrays."""
    import torch

    return [torch.tensor(np.ascontiguousarray(a, dtype=np.float32)) for a in arrays]


# By the contestant's backend and way.
PASSES = {
    ("jax", "peer"): jax_whole,
    ("jax", "peer-blocks"): jax_blocks,
    ("torch", "peer"): torch_whole,
    ("torch", "peer-blocks"): torch_blocks,
}
NAMES = {"jax": "jax.jit", "torch": "torch"}
