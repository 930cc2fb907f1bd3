"""Who computes one pass or one training: the notebook, plain NumPy, gpulr's ways, jax and torch.

Every contestant becomes a function without arguments that leaves nothing to be done when it
returns: devices are synchronised inside. Its result is compared with the float64 reference.

jax and torch compute the same cost and gradient of ten models in float32. On the CPU both ways of
writing it are the fastest of those tried on 56,000 × 784 rows and two cores (2026-11), with each
library's default threads and rows that are its own arrays:

* whole: the formulas over all rows at once. With jax.jit ``value_and_grad`` of the loss is as fast;
  with the columns' axis last, either takes as long on float32 rows and up to 1.25 times on uint8.
  torch's autograd and torch.compile make no difference.
* blocks: the same over blocks of rows that stay in cache, tuned: lengths of 500 to 28,000,
  ``value_and_grad``, one exponential or two, loops unrolled or not; torch.compile is slower.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

import gpulr
from bench.data import ITERATIONS, LEARNING_RATE, N_MODELS, Data
from bench.run import Run, setting
from gpulr.backend import Backend, select, to_host
from gpulr.backend.compiler import compiler
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets
from gpulr.kernels import problem_class

Floats = npt.NDArray[Any]
# What starts a pass, and what waits for its results.
Pass = tuple[Run, Callable[[Any], Any]]

TASKS = ("pass", "training")
# Of the largest entry. float32 is good to about 1e-5 here; TF32 is not, and is to be noticed.
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}
LIBRARIES = {"numpy": "NumPy", "cupy": "CuPy", "jax": "jax.jit", "torch": "torch"}
BASELINES = {
    "notebook": "the notebook: plain NumPy, one digit at a time",
    "plain": "plain NumPy, ten columns, gradient without cost",
}
WAYS = {
    "loop": "one digit at a time",
    "batched": "ten columns",
    "uncompiled": "ten columns, without the compiler",
    "portable": "ten columns, without the fused kernel",
    "fused": "ten columns, with the fused kernel",
}
PEERS = {"peer": "", "peer-blocks": ", tuned, in blocks"}
BLOCKS = {"jax": 1000, "torch": 2000}  # rows


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way of doing a task.

    ``way`` is one of BASELINES, of WAYS (gpulr one column at a time, all columns, or all columns
    under a setting in the environment), or of PEERS; ``rows`` says how X is stored before the
    clock starts: as "uint8", or as "float32" or "float64", scaled already.
    """

    way: str
    backend: str  # the array library that computes
    dtype: str  # in which it computes
    rows: str = "uint8"

    @property
    def is_peer(self) -> bool:
        return self.way in PEERS

    @property
    def id(self) -> str:
        return f"{self.backend}-{self.dtype}-{self.way}-on-{self.rows}"

    @property
    def label(self) -> str:
        """The way in words, for charts and tables."""
        if self.way in BASELINES:
            return BASELINES[self.way]
        library = LIBRARIES.get(self.backend, self.backend)
        if self.is_peer:
            version = getattr(sys.modules.get(self.backend), "__version__", None)
            library = f"{library} {version}" if version else library
            return f"{library}{PEERS[self.way]}, {self.rows} rows"
        words = f"gpulr on {library}, {WAYS[self.way]}"
        return words if self.rows == "uint8" else f"{words}, {self.rows} rows"

    def about(self, task: str) -> dict[str, Any]:
        """Return what the JSON records of it whether it took part or not."""
        found = {"task": task, "way": self.way, "label": self.label, "backend": self.backend}
        return {**found, "dtype": self.dtype, "rows": self.rows}


NOTEBOOK = Contestant("notebook", "numpy", "float64", "float64")
PLAIN = Contestant("plain", "numpy", "float32", "float32")


def contestants(task: str, backend: str) -> list[Contestant]:
    """Return the contestants of one backend, the baselines first.

    One pass has more than training: with NumPy's come other libraries, on bytes and on rows that
    are float32 already, and what they are to be compared with.
    """
    own = [Contestant(w, backend, d) for d in ("float64", "float32") for w in ("loop", "batched")]
    if task == "pass":
        wide = Contestant("batched", backend, "float32", "float32")
        if backend == "numpy":
            own += [Contestant("uncompiled", "numpy", "float32"), wide]
        else:
            own.append(wide)
            own += [Contestant("portable", backend, "float32", r) for r in ("float32", "uint8")]
    if backend != "numpy":
        return own
    rows = ("float32", "uint8") if task == "pass" else ()
    peers = [Contestant(w, b, "float32", r) for r in rows for b in BLOCKS for w in PEERS]
    return [NOTEBOOK, PLAIN, *peers, *own]


def obstacle(contestant: Contestant) -> str | None:
    """Return why a contestant that is optional cannot take part here; None if it can."""
    if contestant.is_peer:
        return library_obstacle(contestant.backend)
    if contestant.way == "uncompiled" and not compiler().usable:
        return "nothing is compiled"
    return None


def library_obstacle(name: str) -> str | None:
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


def check(task: str, contestant: Contestant, result: Any, work: Data) -> float:
    """Return a result's largest deviation, relative to the largest entry of the reference.

    Raises ArithmeticError if it is not what was to be computed.
    """
    columns = [np.vstack([to_host(part) for part in parts]) for parts in result]
    found = np.hstack(columns).astype(np.float64)
    expected = work.expected_pass if task == "pass" else work.expected_training
    if task == "pass" and contestant.way == "plain":
        expected = expected[1:]  # it has no cost
    assert found.shape == expected.shape, (found.shape, expected.shape)
    error = float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))
    if not error <= TOLERANCE[contestant.dtype]:
        raise ArithmeticError(
            f"{contestant.id}: the result of the {task} is off by {error:.1e} of its largest "
            f"entry; at most {TOLERANCE[contestant.dtype]:.0e} is allowed. Nothing was timed."
        )
    return error


def entry(task: str, contestant: Contestant, result: Any, work: Data) -> dict[str, Any]:
    """Check a result, and return what the JSON records of the contestant besides its times."""
    error = float(f"{check(task, contestant, result, work):.2g}")
    device = "cpu" if contestant.is_peer else select(contestant.backend).device_name
    found = {**contestant.about(task), "device": device, **work.sizes, "error": error}
    if task == "training":
        found |= {"solver": "gd", "learning_rate": LEARNING_RATE, "iterations": ITERATIONS}
    return found


def prepare(task: str, contestant: Contestant, work: Data) -> Run:
    """Put the contestant's data in place and return what is to be timed."""
    if contestant.way in BASELINES:
        return _baseline(task, contestant.way, work)
    if task == "training":
        return _training(contestant, work)
    if contestant.is_peer:
        build, blocks = PASSES[contestant.backend], contestant.way == "peer-blocks"
        # The faster axis for the models, of either library and way.
        first = blocks == (contestant.backend == "torch")
        start, wait = build(work, contestant.rows, columns_first=first, blocks=blocks)
        return lambda: wait(start())
    backend = select(contestant.backend)
    assert backend.name == contestant.backend, backend.fallback_reason
    problems = parts(contestant, work, backend)

    def run() -> Any:
        with setting(contestant.way), backend.activate():
            results = evaluate(problems)
            backend.synchronize()
        return results

    return run


def evaluate(problems: list[tuple[Problem, Any]]) -> list[Any]:
    """Make gpulr's pass, which may leave a device at work when it returns.

    It is to be called under the way's setting, with the backend activated.
    """
    return [problem.evaluate(at) for problem, at in problems]


def parts(contestant: Contestant, work: Data, backend: Backend) -> list[tuple[Problem, Any]]:
    """Return the problems that gpulr's pass evaluates, and each one's parameters."""
    with setting(contestant.way), backend.activate():
        X, scale = work.rows(contestant.rows)
        dtype = getattr(backend.xp, contestant.dtype)
        k = work.n_classes
        codes, table = work.y.astype(np.int32), np.eye(k, dtype=contestant.dtype)
        whole = problem_class(backend).of(
            Rows(backend.asarray(X), scale, None, backend, dtype),
            ClassTargets(backend.asarray(codes), backend.asarray(table), backend),
            backend.asarray(np.full(k, np.inf)),
        )
        theta = backend.asarray(work.theta)
        if contestant.way != "loop":
            return [(whole, theta)]
        index = [backend.asarray(np.array([j], dtype=np.int32)) for j in range(k)]
        return [(whole.select(j), backend.xp.take(theta, j, axis=1)) for j in index]


def _training(contestant: Contestant, work: Data) -> Run:
    """Gradient descent at a fixed step for a fixed number of iterations, from the host's rows."""
    settings = {"backend": contestant.backend, "dtype": contestant.dtype, "scale": work.scale}
    settings |= {"solver": "gd", "learning_rate": LEARNING_RATE, "max_iter": ITERATIONS}
    settings |= {"C": np.inf, "tol": 0.0, "batched": contestant.way == "batched"}

    def run() -> Any:
        model = gpulr.train(work.X, work.y, **settings)
        assert model.backend == contestant.backend, model.fallback_reason
        assert np.all(model.history.n_iter == ITERATIONS)
        return [(model.weights / work.scale, model.intercept)]  # on the host: all is done

    return run


# The notebook, and plain NumPy


def _baseline(task: str, way: str, work: Data) -> Run:
    """Return the notebook's way, one digit after the other, or plain NumPy in a batch."""
    W, b = work.theta[:-1], work.theta[-1]
    if way == "plain":
        X, Y, W, b = (a.astype(np.float32) for a in (work.rows_float32, work.targets, W, b))
        if task == "pass":
            return lambda: [batched_gradient(X, Y, W, b)]
        return lambda: [batched_optimize(X, Y)]
    X = work.rows_float64
    digits = [(work.targets[:, [j]].copy(), W[:, [j]].copy(), b[j]) for j in range(N_MODELS)]
    if task == "pass":
        return lambda: [propagate(X, *digit) for digit in digits]
    return lambda: [optimize(X, y) for y, _, _ in digits]


def propagate(X: Floats, y: Floats, w: Floats, b: float) -> tuple[float, Floats, float]:
    """One digit: cost, and its gradient with respect to w and b, as the notebook writes them.

    X (m, n) float64 has been divided by 255; y and w are columns, (m, 1) and (n, 1). The notebook's
    slip in db is mended, so that results can be compared.
    """
    m = X.shape[0]
    y_hat = 1 / (1 + np.exp(-(np.dot(X, w) + b)))
    cost = -1 / m * np.sum(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat))
    dw = 1 / m * np.dot(X.T, y_hat - y)
    db = 1 / m * np.sum(y_hat - y)
    return cost, dw, db


def optimize(X: Floats, y: Floats) -> tuple[Floats, float]:
    """One digit: gradient descent from zero, keeping the cost of every iteration."""
    w, b, costs = np.zeros((X.shape[1], 1)), 0.0, []
    for _ in range(ITERATIONS):
        cost, dw, db = propagate(X, y, w, b)
        w, b = w - LEARNING_RATE * dw, b - LEARNING_RATE * db
        costs.append(cost)
    return w, b


def batched_gradient(X: Floats, Y: Floats, W: Floats, b: Floats) -> tuple[Floats, Floats]:
    """All columns at once in whatever dtype comes in: the gradient alone, no cost."""
    R = expit(X @ W + b) - Y
    return X.T @ R / len(X), R.mean(axis=0)


def batched_optimize(X: Floats, Y: Floats) -> tuple[Floats, Floats]:
    """All columns at once: gradient descent from zero, without looking at the cost."""
    W, b = np.zeros((X.shape[1], Y.shape[1]), X.dtype), np.zeros(Y.shape[1], X.dtype)
    for _ in range(ITERATIONS):
        dW, db = batched_gradient(X, Y, W, b)
        W, b = W - LEARNING_RATE * dW, b - LEARNING_RATE * db
    return W, b


# jax and torch, on a CPU or a GPU


def arrays(work: Data, rows: str, put: Callable[[Any], Any], columns_first: bool) -> Any:
    """Return a library's X, Y, W (k, n) and b as ``put`` makes them, and the scale of X.

    Y is (k, m) if its columns come first, else (m, k).
    """
    X, scale = work.rows(rows)
    Y = work.targets.T if columns_first else work.targets
    small = (np.ascontiguousarray(a, np.float32) for a in (Y, work.theta[:-1].T, work.theta[-1]))
    return [put(X), *map(put, small)], scale


def block_length(name: str, n_samples: int) -> int:
    """Return the largest length up to BLOCKS' that cuts the rows into equal blocks."""
    return max(n for n in range(1, BLOCKS[name] + 1) if n_samples % n == 0)


def jax_pass(
    work: Data, rows: str, *, columns_first: bool, blocks: bool = False, device: str = "cpu"
) -> Pass:
    """Return jax's pass, and what waits for its results.

    In blocks it is a scan, and one exponential serves loss and probability.
    """
    import jax
    import jax.numpy as jnp

    put = partial(jax.device_put, device=jax.devices(device)[0])
    found, scale = arrays(work, rows, put, columns_first)
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
    columns_first: bool,
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


PASSES: dict[str, Callable[..., Pass]] = {"jax": jax_pass, "torch": torch_pass}


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
