"""The fused pass: what :class:`gpulr.core.problem.Problem` computes, by kernels that read X once.

Kernels are launched through what a backend offers (and tests have another, which runs the same
sources on a CPU), so that nothing here names a library.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gpulr.backend.cuda_kernels import Kernels, Launch
from gpulr.core.problem import Problem
from gpulr.core.targets import ClassTargets
from gpulr.kernels.plan import Grid
from gpulr.kernels.tensor_plan import Layout, TensorPlan

Array = Any

PROPAGATE, TENSOR, PARAMETERS = (
    Path(__file__).with_name(f"{name}.cu") for name in ("propagate", "tensor", "parameters")
)
THREADS, LANES = 256, 8  # those of parameters.cu
CHUNK_ROWS = 2**27  # of a launch: at most 65,535 segments
SCRATCH_BYTES = 256 * 2**20  # for what segments give, at most


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one launch, and its arguments for them, as propagate takes them."""

    rows: slice
    grid: Grid
    around: tuple[Any, ...]  # X, center, n_rows, segment_rows, tile_rows
    targets: tuple[Any, ...]  # codes, …, positives


class FusedPass:
    """Cost and gradient of a problem that has no :func:`obstacle`, by kernels as they are planned.

    All methods return new arrays, and wait for nothing.
    """

    def __init__(self, problem: Problem, plan: Layout, kernels: Kernels) -> None:
        self.problem, self.plan, self.kernels = problem, plan, kernels
        self._launchers: dict[str, Launch] = {}
        rows, n, k = problem.rows, problem.rows.n_features, problem.n_models
        center = None
        if rows.center is not None and rows.center_in_block is None:
            center = kernels.contiguous(rows.center[:, 0])
        # The scale, or scales (n_features,), and the centre (n_features,) of rows as stored.
        self._scaling: tuple[float, Array | None, Array | None] = (rows.scale, None, center)
        if not isinstance(rows.scale, float):
            self._scaling = (1.0, kernels.contiguous(rows.scale[:, 0]), center)
        self._means = 1.0 / problem.m, problem.penalty
        self._chunks = self._cut()
        # What each pass writes anew: W and b; dW and sums of all segments; what these add up to.
        self._parameters = self._new((n, k), "float32"), self._new((k,), "float32")
        segments = max(chunk.grid.segments for chunk in self._chunks)
        sums = self._new((segments, 2, k), "float64")
        self._partial = self._new((segments, n, k), "float32"), sums
        self._total = self._new((n + 2, k), "float64")

    def evaluate(self, theta: Array) -> tuple[Array, Array]:
        """Return cost (n_models,) and gradient (n_features + 1, n_models), both float64."""
        theta = self.kernels.contiguous(theta)
        self._pass(theta)
        return self._finished(theta)

    def margins(self, theta: Array) -> Array:
        """Return the margins of all rows, (n_samples, n_models) float32."""
        k = self.problem.n_models
        self._absorb(self.kernels.contiguous(theta))
        Z = self._new((self.problem.rows.n_samples, k), "float32")
        for chunk in self._chunks:
            arguments = [*chunk.around, *self._parameters, k, Z[chunk.rows, :]]
            self._propagate("propagate_forward", chunk.grid, arguments)
        return Z

    def evaluate_margins(self, Z: Array, theta: Array) -> tuple[Array, Array]:
        """Return what :meth:`evaluate` does, from the margins Z of ``theta``."""
        theta, Z = self.kernels.contiguous(theta), self.kernels.contiguous(Z)
        for chunk in self._chunks:
            self._back("propagate_back", chunk, [Z[chunk.rows, :]])
        return self._finished(theta)

    def descend(
        self, theta: Array, gradient: Array, rate: Array, n: int
    ) -> tuple[Array, Array, Array, Array]:
        """Take ``n`` steps of gradient descent, of size ``rate`` (n_models,).

        An iteration is four kernels, recorded in a graph the first time.

        Returns
        -------
        thetas : (n, n_features + 1, n_models)
            The parameters after each step.
        measured : (n, 2, n_models)
            Cost and largest |gradient| there.
        cost : (n_models,)
        gradient : (n_features + 1, n_models)
            After the last step.
        """
        xp = self.problem.backend.xp
        iteration, (there, cost, down, size, measured) = self._recorded
        there[...], down[...], size[...] = theta, gradient, rate
        every_theta = self._new((n, *there.shape), "float64")
        every_measure = self._new((n, *measured.shape), "float64")
        for i in range(n):
            iteration()
            every_theta[i, ...], every_measure[i, ...] = there, measured
        return every_theta, every_measure, xp.asarray(cost, copy=True), xp.asarray(down, copy=True)

    @cached_property
    def _recorded(self) -> tuple[Callable[[], None], list[Array]]:
        """An iteration, and where it has theta, cost, gradient, rate, and what it measures."""
        n, k = self.problem.rows.n_features, self.problem.n_models
        xp, device = self.problem.backend.xp, self.problem.backend.device
        shapes = (n + 1, k), (k,), (n + 1, k), (k,), (2, k)
        arrays = [xp.zeros(shape, dtype=xp.float64, device=device) for shape in shapes]
        theta, cost, gradient, rate, measured = arrays

        def iterate() -> None:
            self._pass(theta, gradient, rate)
            self._finish(theta, cost, gradient, measured)

        iterate()  # what is compiled, and allocated, at first use cannot be recorded
        return self.kernels.capture(iterate), arrays

    @property
    def source(self) -> Path:
        """The source of the passes, and of ``look_along``, to compile with the plan's macros."""
        return TENSOR if isinstance(self.plan, TensorPlan) else PROPAGATE

    # ---- kernels -----------------------------------------------------------------------------

    def _pass(self, theta: Array, gradient: Array | None = None, rate: Array | None = None) -> None:
        """Absorb the scaling, after a step if there is a rate, and add up what the rows give."""
        self._absorb(theta, gradient, rate)
        for chunk in self._chunks:
            self._back("propagate", chunk, self._parameters)

    def _absorb(
        self, theta: Array, gradient: Array | None = None, rate: Array | None = None
    ) -> None:
        """Write W and b, after a step down the gradient, in place, if there is a rate."""
        n, k = self.problem.rows.n_features, self.problem.n_models
        arguments = [theta, gradient, rate, n, k, *self._scaling, *self._parameters]
        self._run("absorb_scaling", k, arguments)

    def _back(self, name: str, chunk: Chunk, given: Any) -> None:
        """Add what some rows give to the total, which the first of them begin."""
        n, k = self.problem.rows.n_features, self.problem.n_models
        arguments = [*chunk.around, *given, k, *chunk.targets, *self._partial]
        self._propagate(name, chunk.grid, arguments)
        blocks, begins = math.ceil((n + 2) * k / (THREADS // LANES)), int(chunk.rows.start == 0)
        arguments = [*self._partial, chunk.grid.segments, n, k, begins, self._total]
        self._run("add_segments", blocks, arguments)

    def _finish(
        self, theta: Array, cost: Array, gradient: Array, measured: Array | None = None
    ) -> None:
        """Write cost and gradient from what segments have added up to."""
        n, k = self.problem.rows.n_features, self.problem.n_models
        arguments = [self._total, theta, n, k, *self._scaling, *self._means]
        arguments += [int(self.problem.intercept), gradient, cost, measured]
        self._run("finish_pass", k, arguments)

    def _finished(self, theta: Array) -> tuple[Array, Array]:
        cost = self._new((self.problem.n_models,), "float64")
        gradient = self._new(theta.shape, "float64")
        self._finish(theta, cost, gradient)
        return cost, gradient

    def _propagate(self, name: str, grid: Grid, arguments: list[Any]) -> None:
        if name not in self._launchers:
            forward, backward = name != "propagate_back", name != "propagate_forward"
            shared = self.plan.shared_bytes(forward=forward, backward=backward)
            self._launchers[name] = self.kernels.kernel(self.source, self.plan.macros, name, shared)
        self._launchers[name](grid[:2], self.plan.threads, arguments)

    def _run(self, name: str, blocks: int, arguments: list[Any]) -> None:
        if name not in self._launchers:
            self._launchers[name] = self.kernels.kernel(PARAMETERS, {}, name, 0)
        self._launchers[name]((blocks, 1), THREADS, arguments)

    # ---- what they are given -----------------------------------------------------------------

    def _cut(self) -> list[Chunk]:
        """Cut the rows into as many launches as scratch memory asks for: one, as a rule."""
        rows, card = self.problem.rows, self.kernels.card
        n, k = rows.n_samples, self.problem.n_models
        each = 4 * rows.n_features * k  # bytes that a segment writes
        size = min(n, CHUNK_ROWS)
        while size > 64 and each * self.plan.grid(card, size, k).segments > SCRATCH_BYTES:
            size = math.ceil(size / 32) * 16  # rows that are a multiple of 16 bytes from the first
        X, chunks = self.kernels.contiguous(rows.X, 16), []
        for start in range(0, n, size):
            part = slice(start, min(n, start + size))
            grid = self.plan.grid(card, part.stop - start, k)
            around = X[part, :], rows.center_in_block, part.stop - start, *grid[2:]
            chunks.append(Chunk(part, grid, around, self._targets_of(part)))
        return chunks

    def _targets_of(self, rows: slice) -> tuple[Any, ...]:
        targets, weights = self.problem.targets, self.problem.weights
        codes, table, indicator, label, n_labels = None, None, None, None, 0
        if isinstance(targets, ClassTargets):
            codes, table = (
                self._as(targets.codes[rows], "int32"),
                self._as(targets.table, "float32"),
            )
        else:
            indicator = self._as(targets.indicator[rows, :], "uint8")
            label, n_labels = self._as(targets.label, "int32"), int(indicator.shape[1])
        base = None if weights.base is None else self._as(weights.base[rows, 0], "float32")
        sets, set_index, n_sets = None, None, 0
        if weights.weight_sets is not None:
            sets = self._as(weights.weight_sets[rows, :], "uint8")
            set_index, n_sets = self._as(weights.set_index, "int32"), int(sets.shape[1])
        positives = targets.positive
        positives = None if positives is None else self._as(positives, "float32")
        classes = codes, table, indicator, label, n_labels
        return *classes, base, sets, set_index, n_sets, positives

    def _as(self, x: Array, dtype: str) -> Array:
        xp = self.problem.backend.xp
        return self.kernels.contiguous(xp.astype(x, getattr(xp, dtype), copy=False))

    def _new(self, shape: tuple[int, ...], dtype: str) -> Array:
        backend = self.problem.backend
        return backend.xp.empty(shape, dtype=getattr(backend.xp, dtype), device=backend.device)
