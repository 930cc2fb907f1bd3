"""The fused pass: what :class:`gpulr.problem.Problem` computes, by kernels that read X once.

Kernels are launched through :class:`Kernels`, which a backend has (and tests have another, which
runs the same sources on a CPU), so that nothing here names a library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gpulr.columns import ClassTargets
from gpulr.kernels.plan import MOST_FEATURES, Card, Grid, Plan, plan

if TYPE_CHECKING:
    from gpulr.problem import Problem

Array = Any

__all__ = ["FusedPass", "Kernels", "obstacle", "plan_for", "sources"]

STORAGE = {"bool": 8, "uint8": 8, "float16": 16, "float32": 32}  # bits, by X's dtype
THREADS, LANES = 256, 8  # parameters.cu's own
SCRATCH_BYTES = 256 * 2**20  # for what segments give, at most
MOST_ROWS = 2**31 - 1


class Kernels(Protocol):
    """Compiles and launches CUDA kernels on a backend's device.

    Arguments are arrays on the device (None: a null pointer), and Python numbers: int for C's int,
    float for double.
    """

    @property
    def card(self) -> Card:
        """What plans ask of the device."""

    def launch(
        self,
        source: Path,
        macros: Mapping[str, int],
        name: str,
        grid: tuple[int, int],
        block: int,
        arguments: Sequence[Any],
        shared: int = 0,
    ) -> None:
        """Compile ``source``, once, and put one of its kernels into the queue."""

    def contiguous(self, x: Array, alignment: int = 1) -> Array:
        """Return ``x`` itself if it is C-contiguous from a multiple of ``alignment``, or a copy."""

    def capture(self, function: Callable[[], None]) -> Callable[[], None]:
        """Record what ``function`` launches, without running it, and return what runs it."""

    def seconds(self, function: Callable[[], object]) -> float:
        """Return how long the device takes for what ``function`` asks of it, warmed up."""


def sources() -> list[Path]:
    """Return the files of CUDA source."""
    return sorted(Path(__file__).parent.glob("*.cu"))


PROPAGATE, PARAMETERS = (Path(__file__).with_name(f"{n}.cu") for n in ("propagate", "parameters"))


def storage_of(X: Array) -> int | None:
    """Return how many bits a number of X takes, or None where kernels do not take its dtype."""
    return STORAGE.get(str(X.dtype).rpartition(".")[2])


def obstacle(problem: Problem) -> str | None:
    """Say why kernels cannot take a problem, or None where they can."""
    xp, rows = problem.backend.xp, problem.rows
    sets = problem.weights.sets
    if rows.dtype != xp.float32:
        return "kernels compute in float32"
    if storage_of(rows.X) is None:
        return f"kernels take uint8, bool, float16 and float32, and X is {rows.X.dtype}"
    if rows.n_features > MOST_FEATURES:
        return f"{rows.n_features:,} features; kernels take up to {MOST_FEATURES:,}"
    if rows.n_samples > MOST_ROWS:
        return f"{rows.n_samples:,} rows; kernels count them in 32 bits"
    if sets is not None and sets.dtype not in (xp.uint8, xp.bool):
        return f"kernels take weights of folds as uint8 or bool, and these are {sets.dtype}"
    if not isinstance(problem.targets, ClassTargets):
        indicator = problem.targets.indicator
        if indicator.dtype not in (xp.uint8, xp.bool):
            return f"kernels take y as uint8 or bool, and it is {indicator.dtype}"
    return None


def plan_for(problem: Problem, card: Card) -> Plan | None:
    """Lay out the passes of a problem that has no :func:`obstacle`; None: not on this card."""
    rows = problem.rows
    storage = storage_of(rows.X)
    assert storage is not None
    centered = rows.center_in_block is not None
    return plan(card, storage, rows.n_features, problem.n_models, centered=centered)


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
    _scratch: dict[str, Array] = field(default_factory=dict, init=False)

    # ---- passes ------------------------------------------------------------------------------

    def evaluate(self, theta: Array) -> tuple[Array, Array]:
        """Return cost (n_models,) and gradient (n_features + 1, n_models), both float64."""
        theta = self.kernels.contiguous(theta)
        W, b = self.fold(theta)
        for begins, X, rows in self._chunks():
            self._propagate("propagate", X, rows, [W, b, self.n_models, *self._answers(rows)])
            self._add(rows, begins)
        return self._finished(theta)

    def margins(self, theta: Array) -> Array:
        """Return the margins of all rows, (n_samples, n_models) float32."""
        W, b = self.fold(self.kernels.contiguous(theta))
        Z = self._new((self.problem.rows.n_samples, self.n_models), "float32")
        for _, X, rows in self._chunks():
            self._propagate("propagate_forward", X, rows, [W, b, self.n_models, Z[rows, :]])
        return Z

    def evaluate_margins(self, Z: Array, theta: Array) -> tuple[Array, Array]:
        """Return what :meth:`evaluate` does, from the margins of ``theta``."""
        theta, Z = self.kernels.contiguous(theta), self.kernels.contiguous(Z)
        for begins, X, rows in self._chunks():
            arguments = [Z[rows, :], self.n_models, *self._answers(rows)]
            self._propagate("propagate_back", X, rows, arguments)
            self._add(rows, begins)
        return self._finished(theta)

    def descend(
        self, theta: Array, cost: Array, gradient: Array, rate: Array, measured: Array
    ) -> Callable[[], None]:
        """Return iterations of gradient descent, as many as ``measured`` (n, 2, n_models) has.

        Each call of what is returned runs them, in place, from theta and gradient. Four kernels an
        iteration, of the same arguments every time: what a graph can hold.
        """

        def iterate() -> None:
            for i in range(int(measured.shape[0])):
                W, b = self.fold(theta, gradient, rate)
                for begins, X, rows in self._chunks():
                    arguments = [W, b, self.n_models, *self._answers(rows)]
                    self._propagate("propagate", X, rows, arguments)
                    self._add(rows, begins)
                self.finish(theta, cost, gradient, measured[i, :, :])

        return iterate

    # ---- kernels -----------------------------------------------------------------------------

    @property
    def n_models(self) -> int:
        """Number of columns."""
        return self.problem.n_models

    def fold(
        self, theta: Array, gradient: Array | None = None, rate: Array | None = None
    ) -> tuple[Array, Array]:
        """Return W and b, float32, of ``theta``, after a step down the gradient if given a rate.

        The step is taken in place. Valid until the next call.
        """
        n, k = self.problem.rows.n_features, self.n_models
        W, b = self._kept("W", (n, k), "float32"), self._kept("b", (k,), "float32")
        arguments = [theta, gradient, rate, n, k, *self._scaling, W, b]
        self.kernels.launch(PARAMETERS, {}, "fold_parameters", (k, 1), THREADS, arguments)
        return W, b

    def finish(
        self, theta: Array, cost: Array, gradient: Array, measured: Array | None = None
    ) -> None:
        """Write cost and gradient from what segments have added up to."""
        k, rows = self.n_models, self.problem.rows
        arguments = [
            *(self._total, theta, rows.n_features, k, *self._scaling, self._share, self._penalty),
            *(int(self.problem.intercept), gradient, cost, measured),
        ]
        self.kernels.launch(PARAMETERS, {}, "finish_pass", (k, 1), THREADS, arguments)

    def _finished(self, theta: Array) -> tuple[Array, Array]:
        k = self.n_models
        cost = self._new((k,), "float64")
        gradient = self._new((self.problem.rows.n_features + 1, k), "float64")
        self.finish(theta, cost, gradient)
        return cost, gradient

    def _propagate(self, name: str, X: Array, rows: slice, arguments: list[Any]) -> None:
        grid = self._grid(rows)
        forward, backward = name != "propagate_back", name != "propagate_forward"
        around = [X, self._center, rows.stop - rows.start, grid.segment_rows, grid.tile_rows]
        if backward:
            arguments = [*arguments, *self._partial(rows)]
        self.kernels.launch(
            PROPAGATE,
            self.plan.macros,
            name,
            (grid.groups, grid.segments),
            self.plan.threads,
            [*around, *arguments],
            self.plan.shared_bytes(forward=forward, backward=backward),
        )

    def _add(self, rows: slice, begins: bool) -> None:
        n, k = self.problem.rows.n_features, self.n_models
        blocks = math.ceil((n + 2) * k / (THREADS // LANES))
        arguments = [*self._partial(rows), self._grid(rows).segments, n, k, int(begins)]
        arguments = [*arguments, self._total]
        self.kernels.launch(PARAMETERS, {}, "add_segments", (blocks, 1), THREADS, arguments)

    # ---- what kernels are given --------------------------------------------------------------

    def _chunks(self) -> list[tuple[bool, Array, slice]]:
        """Return the rows in as many launches as scratch memory asks for."""
        return [(rows.start == 0, self._X[rows, :], rows) for rows in self._cuts]

    @cached_property
    def _X(self) -> Array:
        return self.kernels.contiguous(self.problem.rows.X, 16)

    @cached_property
    def _cuts(self) -> list[slice]:
        n, rows = self.problem.rows.n_samples, self.problem.rows
        size = n
        each = 4 * rows.n_features * self.n_models  # bytes of a segment
        while size > 64 and each * self._grid(slice(0, size)).segments > SCRATCH_BYTES:
            size = -(-size // 32) * 16  # a multiple of 16 rows is aligned as X is
        return [slice(i, min(n, i + size)) for i in range(0, n, size)]

    def _grid(self, rows: slice) -> Grid:
        return self.plan.grid(self.kernels.card, rows.stop - rows.start, self.n_models)

    def _partial(self, rows: slice) -> tuple[Array, Array]:
        """Return where segments write: dW and sums, with room for those of the longest chunk."""
        segments = max(self._grid(cut).segments for cut in {*map(_length, self._cuts)})
        n, k = self.problem.rows.n_features, self.n_models
        return (
            self._kept("dW", (segments, n, k), "float32"),
            self._kept("sums", (segments, 2, k), "float64"),
        )

    @cached_property
    def _scaling(self) -> tuple[float, Array | None, Array | None]:
        """The scale, or scales (n_features,), and the centre (n_features,), folded into weights."""
        rows = self.problem.rows
        center = None
        if rows.center is not None and rows.center_in_block is None:
            center = self.kernels.contiguous(rows.center[:, 0])
        if isinstance(rows.scale, float):
            return rows.scale, None, center
        return 1.0, self.kernels.contiguous(rows.scale[:, 0]), center

    @cached_property
    def _center(self) -> Array | None:
        return self.problem.rows.center_in_block

    @cached_property
    def _share(self) -> Array:
        return self.kernels.contiguous(1.0 / self.problem.m)

    @cached_property
    def _penalty(self) -> Array:
        return self.kernels.contiguous(1.0 / (self.problem.C * self.problem.m))

    @cached_property
    def _total(self) -> Array:
        return self._new((self.problem.rows.n_features + 2, self.n_models), "float64")

    def _answers(self, rows: slice) -> list[Any]:
        """Return codes to n_sets, of the rows, as propagate takes them."""
        arguments = list(self._every_answer)
        for i in (0, 2, 5, 6):  # codes, indicator, base, sets
            if arguments[i] is not None:
                arguments[i] = arguments[i][rows, ...]
        return arguments

    @cached_property
    def _every_answer(self) -> tuple[Any, ...]:
        targets, weights = self.problem.targets, self.problem.weights
        codes, table, indicator, label, labels = None, None, None, None, 0
        if isinstance(targets, ClassTargets):
            codes, table = self._as(targets.codes, "int32"), self._as(targets.table, "float32")
        else:
            indicator = self._as(targets.indicator, "uint8")
            label, labels = self._as(targets.label, "int32"), int(indicator.shape[1])
        base = None if weights.base is None else self._as(weights.base[:, 0], "float32")
        sets, set_of, n_sets = None, None, 0
        if weights.sets is not None:
            sets, set_of = self._as(weights.sets, "uint8"), self._as(weights.of, "int32")
            n_sets = int(sets.shape[1])
        return codes, table, indicator, label, labels, base, sets, set_of, n_sets

    def _as(self, x: Array, dtype: str) -> Array:
        xp = self.problem.backend.xp
        return self.kernels.contiguous(xp.astype(x, getattr(xp, dtype), copy=False))

    def _new(self, shape: tuple[int, ...], dtype: str) -> Array:
        backend = self.problem.backend
        return backend.xp.empty(shape, dtype=getattr(backend.xp, dtype), device=backend.device)

    def _kept(self, name: str, shape: tuple[int, ...], dtype: str) -> Array:
        if name not in self._scratch:
            self._scratch[name] = self._new(shape, dtype)
        return self._scratch[name]


def _length(rows: slice) -> slice:
    return slice(0, rows.stop - rows.start)
