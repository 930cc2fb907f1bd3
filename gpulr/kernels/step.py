"""L-BFGS's step along a direction by kernels, on problems whose passes go through them in halves.

:class:`gpulr.solvers.stepping.Stepping` says in array functions what these compute.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpulr.backend.cuda_kernels import Launch
from gpulr.core.problem import Margins
from gpulr.kernels.fused import FusedPass

Array = Any

SOURCE = Path(__file__).with_name("step.cu")
THREADS = 256  # those of step.cu


class Step:
    """The step of all models, between the direction and the next pair; nothing waits.

    Arrays are float64 and C-contiguous, as kernels return them. An iteration of L-BFGS is 14
    launches and is not replayed as a CUDA graph: it goes into the coordinates of the curvature and
    back by cuBLAS, which CuPy refuses to capture, and each pair is in an array of its own.
    """

    def __init__(self, one: FusedPass) -> None:
        self.one = one
        self._launchers: dict[str, Launch] = {}

    def choose(
        self, theta: Array, margins: Margins, D: Array, dZ: Margins, factor: Array
    ) -> tuple[Array, Array, Array, Margins]:
        """Return t, the mean slope at 1, θ + t D, and its margins."""
        one, put = self.one, self.one.kernels.contiguous
        n, k, rows = self._sizes
        Z, Z_along = put(margins.Z), put(dZ.Z)
        segments = [chunk.grid.segments for chunk in one._chunks]
        sums, first = one._new((sum(segments), 3, k), "float64"), 0
        for chunk, count in zip(one._chunks, segments, strict=True):
            part, (_, _, n_rows, segment_rows, _) = chunk.rows, chunk.around
            given = [Z[part, :], Z_along[part, :], n_rows, segment_rows, k, *chunk.targets]
            launch = self._kernel("look_along")
            launch(chunk.grid[:2], one.plan.threads, [*given, sums[first : first + count, ...]])
            first += count
        theta, D = put(theta), put(D)
        t, kappa, moved = one._new((k,), "float64"), one._new((k,), "float64"), self._like(theta)
        given = [sums, first, theta, D, *one._means, put(factor), n, k]
        self._kernel("choose_step")((k, 1), THREADS, [*given, t, kappa, moved])
        stepped = one._new((rows, k), "float32")
        self._kernel("step_margins")(self._blocks, THREADS, [Z, Z_along, t, rows, k, stepped])
        return t, kappa, moved, Margins(stepped, margins.backend)

    def judge(
        self,
        before: Sequence[Array],
        after: Sequence[Array],
        slope: Array,
        t: Array,
        known: Sequence[Array],
        margins: tuple[Margins, Margins],
        limits: tuple[float, ...],
    ) -> tuple[Sequence[Array], Margins, list[Array], Array, Array]:
        """Keep steps that are good enough; what was before is written over what came of others.

        Returns also the figures (3, n_models).
        """
        one, put = self.one, self.one.kernels.contiguous
        n, k, rows = self._sizes
        new = [one._new((k,), "float64") for _ in known]
        enough, stalled = one._new((k,), "uint8"), one._new((k,), "uint8")
        measured = one._new((3, k), "float64")
        given = [*map(put, (*before, slope, t, *known)), *limits, n, k]
        made = [*after, *new, enough, stalled, measured]
        self._kernel("judge_step")((k, 1), THREADS, [*given, *made])
        Z, stepped = put(margins[0].Z), margins[1].Z
        self._kernel("keep_margins")(self._blocks, THREADS, [Z, enough, rows, k, stepped])
        return after, margins[1], new, stalled, measured

    @property
    def _sizes(self) -> tuple[int, int, int]:
        problem = self.one.problem
        return problem.rows.n_features, problem.n_models, problem.rows.n_samples

    @property
    def _blocks(self) -> tuple[int, int]:
        _, k, rows = self._sizes
        return math.ceil(rows * k / THREADS), 1

    def _like(self, x: Array) -> Array:
        return self.one._new(tuple(x.shape), "float64")

    def _kernel(self, name: str) -> Launch:
        if name not in self._launchers:
            kernels, plan = self.one.kernels, self.one.plan
            layout = (self.one.source, plan.macros) if name == "look_along" else (SOURCE, {})
            self._launchers[name] = kernels.kernel(*layout, name, 0)
        return self._launchers[name]
