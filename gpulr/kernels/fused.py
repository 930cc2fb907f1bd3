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
from gpulr.kernels.plan import Grid, Plan

Array = Any

PROPAGATE, PARAMETERS = (Path(__file__).with_name(f"{n}.cu") for n in ("propagate", "parameters"))
THREADS, LANES = 256, 8  # those of parameters.cu
CHUNK_ROWS = 2**27  # of a launch: at most 65,535 segments
SCRATCH_BYTES = 256 * 2**20  # for what segments give, at most


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one launch, and its arguments for them."""

    rows: slice
    X: Array
    grid: Grid
    sizes: tuple[int, int, int]  # n_rows, segment_rows, tile_rows
    targets: tuple[Any, ...]  # codes, …, n_sets, as propagate takes them


@dataclass(frozen=True, eq=False)
class FusedPass:
    """Cost and gradient of a problem, by kernels.

    All methods return new arrays, and wait for nothing.

    Attributes
    ----------
    problem : Problem
        One that has no :func:`obstacle`.
    plan : Plan
        As :func:`plan_for` made it.
    kernels : Kernels
    """

    problem: Problem
    plan: Plan
    kernels: Kernels

    def evaluate(self, theta: Array) -> tuple[Array, Array]:
        """Return cost (n_models,) and gradient (n_features + 1, n_models), both float64."""
        theta = self.kernels.contiguous(theta)
        self._pass(theta)
        return self._finished(theta)

    def margins(self, theta: Array) -> Array:
        """Return the margins of all rows, (n_samples, n_models) float32."""
        k = self.problem.n_models
        W, b = self._parameters
        self._absorb(self.kernels.contiguous(theta))
        Z = self._new((self.problem.rows.n_samples, k), "float32")
        for chunk in self._chunks:
            arguments = [chunk.X, self._center, *chunk.sizes, W, b, k, Z[chunk.rows, :]]
            self._propagate("propagate_forward", chunk.grid, arguments)
        return Z

    def evaluate_margins(self, Z: Array, theta: Array) -> tuple[Array, Array]:
        """Return what :meth:`evaluate` does, from the margins Z of ``theta``."""
        theta, Z = self.kernels.contiguous(theta), self.kernels.contiguous(Z)
        for i, chunk in enumerate(self._chunks):
            arguments = [chunk.X, self._center, *chunk.sizes, Z[chunk.rows, :]]
            arguments += [self.problem.n_models, *chunk.targets, *self._partial]
            self._propagate("propagate_back", chunk.grid, arguments)
            self._add_segments(chunk.grid, begins=i == 0)
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
        cost : (n_models,), gradient : (n_features + 1, n_models)
            After the last step.
        """
        xp, iteration = self.problem.backend.xp, self._iteration
        there, cost, down, size, measured = self._descent
        there[...], down[...], size[...] = theta, gradient, rate
        every_theta = self._new((n, *there.shape), "float64")
        every_measure = self._new((n, *measured.shape), "float64")
        for i in range(n):
            iteration()
            every_theta[i, ...], every_measure[i, ...] = there, measured
        return every_theta, every_measure, xp.asarray(cost, copy=True), xp.asarray(down, copy=True)

    @cached_property
    def _descent(self) -> tuple[Array, Array, Array, Array, Array]:
        """Where the recorded iteration has theta, cost, gradient, rate, and what it measures."""
        n, k = self.problem.rows.n_features, self.problem.n_models
        shapes = (n + 1, k), (k,), (n + 1, k), (k,), (2, k)
        xp, device = self.problem.backend.xp, self.problem.backend.device
        theta, cost, gradient, rate, measured = (
            xp.zeros(shape, dtype=xp.float64, device=device) for shape in shapes
        )
        return theta, cost, gradient, rate, measured

    @cached_property
    def _iteration(self) -> Callable[[], None]:
        theta, cost, gradient, rate, measured = self._descent

        def iterate() -> None:
            self._pass(theta, gradient, rate)
            self._finish(theta, cost, gradient, measured)

        iterate()  # what is compiled, and allocated, at first use cannot be recorded
        return self.kernels.capture(iterate)

    # ---- kernels -----------------------------------------------------------------------------

    def _pass(self, theta: Array, gradient: Array | None = None, rate: Array | None = None) -> None:
        """Absorb the scaling, after a step if there is a rate, and add up what the rows give."""
        self._absorb(theta, gradient, rate)
        W, b = self._parameters
        for i, chunk in enumerate(self._chunks):
            arguments = [chunk.X, self._center, *chunk.sizes, W, b, self.problem.n_models]
            arguments += [*chunk.targets, *self._partial]
            self._propagate("propagate", chunk.grid, arguments)
            self._add_segments(chunk.grid, begins=i == 0)

    def _absorb(
        self, theta: Array, gradient: Array | None = None, rate: Array | None = None
    ) -> None:
        """Write W and b, after a step down the gradient, in place, if there is a rate."""
        n, k = self.problem.rows.n_features, self.problem.n_models
        arguments = [theta, gradient, rate, n, k, *self._scaling, *self._parameters]
        self._run("absorb_scaling", k, arguments)

    def _add_segments(self, grid: Grid, *, begins: bool) -> None:
        n, k = self.problem.rows.n_features, self.problem.n_models
        blocks = math.ceil((n + 2) * k / (THREADS // LANES))
        arguments = [*self._partial, grid.segments, n, k, int(begins), self._total]
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
        k = self.problem.n_models
        cost = self._new((k,), "float64")
        gradient = self._new((self.problem.rows.n_features + 1, k), "float64")
        self._finish(theta, cost, gradient)
        return cost, gradient

    def _propagate(self, name: str, grid: Grid, arguments: list[Any]) -> None:
        if name not in self._launchers:
            forward, backward = name != "propagate_back", name != "propagate_forward"
            shared = self.plan.shared_bytes(forward=forward, backward=backward)
            self._launchers[name] = self.kernels.kernel(PROPAGATE, self.plan.macros, name, shared)
        self._launchers[name](grid[:2], self.plan.threads, arguments)

    def _run(self, name: str, blocks: int, arguments: list[Any]) -> None:
        if name not in self._launchers:
            self._launchers[name] = self.kernels.kernel(PARAMETERS, {}, name, 0)
        self._launchers[name]((blocks, 1), THREADS, arguments)

    @cached_property
    def _launchers(self) -> dict[str, Launch]:
        return {}

    # ---- what they are given -----------------------------------------------------------------

    @cached_property
    def _chunks(self) -> list[Chunk]:
        """The rows, in as many launches as scratch memory asks for: one, as a rule."""
        problem, card = self.problem, self.kernels.card
        n, k = problem.rows.n_samples, problem.n_models
        each = 4 * problem.rows.n_features * k  # bytes that a segment writes
        size = min(n, CHUNK_ROWS)
        while size > 64 and each * self.plan.grid(card, size, k).segments > SCRATCH_BYTES:
            size = math.ceil(size / 32) * 16  # rows that are a multiple of 16 bytes from the first
        chunks = []
        for start in range(0, n, size):
            rows = slice(start, min(n, start + size))
            grid = self.plan.grid(card, rows.stop - start, k)
            sizes = rows.stop - start, grid.segment_rows, grid.tile_rows
            chunks.append(Chunk(rows, self._stored[rows, :], grid, sizes, self._targets_of(rows)))
        return chunks

    @cached_property
    def _stored(self) -> Array:
        return self.kernels.contiguous(self.problem.rows.X, 16)

    @cached_property
    def _center(self) -> Array | None:
        return self.problem.rows.center_in_block

    @cached_property
    def _scaling(self) -> tuple[float, Array | None, Array | None]:
        """The scale, or scales (n_features,), and the centre (n_features,) of rows as stored."""
        rows, center = self.problem.rows, None
        if rows.center is not None and rows.center_in_block is None:
            center = self.kernels.contiguous(rows.center[:, 0])
        if isinstance(rows.scale, float):
            return rows.scale, None, center
        return 1.0, self.kernels.contiguous(rows.scale[:, 0]), center

    @cached_property
    def _means(self) -> tuple[Array, Array]:
        """1 / m and 1 / (C m)."""
        return 1.0 / self.problem.m, self.problem.penalty

    @cached_property
    def _parameters(self) -> tuple[Array, Array]:
        """W and b, which each pass writes anew."""
        n, k = self.problem.rows.n_features, self.problem.n_models
        return self._new((n, k), "float32"), self._new((k,), "float32")

    @cached_property
    def _partial(self) -> tuple[Array, Array]:
        """DW and sums of all segments, which each launch writes anew."""
        n, k = self.problem.rows.n_features, self.problem.n_models
        segments = max(chunk.grid.segments for chunk in self._chunks)
        return self._new((segments, n, k), "float32"), self._new((segments, 2, k), "float64")

    @cached_property
    def _total(self) -> Array:
        return self._new((self.problem.rows.n_features + 2, self.problem.n_models), "float64")

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
        return codes, table, indicator, label, n_labels, base, sets, set_index, n_sets

    def _as(self, x: Array, dtype: str) -> Array:
        xp = self.problem.backend.xp
        return self.kernels.contiguous(xp.astype(x, getattr(xp, dtype), copy=False))

    def _new(self, shape: tuple[int, ...], dtype: str) -> Array:
        backend = self.problem.backend
        return backend.xp.empty(shape, dtype=getattr(backend.xp, dtype), device=backend.device)
