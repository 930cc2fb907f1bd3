"""How a fused pass is laid out on a card: what ``propagate.cu`` is compiled with, and its grid.

The numbers follow from what an SM has (registers, shared memory), so that they can be worked out,
and checked, without one; ``propagate.cu`` says why the kernel has this shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gpulr.backend import Backend, HostRows, is_sparse
from gpulr.backend.compiled_functions import grouping_cost
from gpulr.backend.cuda_kernels import Card
from gpulr.backend.environment import setting
from gpulr.core.problem import Problem
from gpulr.core.targets import ClassTargets

Array = Any

# Bits, by X's dtype.
STORAGE = {"bool": 8, "uint8": 8, "float16": 16, "bfloat16": 16, "float32": 32}
MOST_SAMPLES = 2**31 - 1
FUSED = "GPULR_FUSED", ("auto", "never", "require")  # a setting in the environment, its values

# Weights of four features for each thread of the largest block, and the rows of a tile, fit in the
# shared memory of no card beyond this.
MOST_FEATURES = 4096
# Models in a group: wider groups read X less often, and 40 sums a thread are what registers hold.
# Few widths, so that few kernels are compiled while models converge and leave.
WIDTHS = (10, 5, 2, 1)
MOST_ROWS = 4096  # that are added up in float32, before sums go on in float64
LEAST_ROWS = 16  # for which a segment, with weights to load and sums to write, is worth its while
MOST_PARTS = 32  # of a row, whose sums a thread adds one after the other
RESERVED = 1024  # bytes of shared memory that CUDA keeps for itself in each block


class Grid(NamedTuple):
    """How a pass is launched: blocks of models and of rows."""

    groups: int  # of models
    segments: int  # of rows
    segment_rows: int  # rows of a segment
    tile_rows: int  # how many of them are in shared memory at a time


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``propagate.cu`` is compiled with; the fields are its macros."""

    storage: int  # bits of a stored number: 8, 16 or 32
    features: int
    columns: int  # models in a group
    centered: bool  # a centre is subtracted from every row
    tile: int  # rows that shared memory has room for
    rows: int  # that a thread's loads of weights serve; divides ``tile``
    quads: int  # of features, that a thread owns
    threads: int  # of a block
    blocks: int  # on an SM
    bfloat: bool = False  # numbers of 16 bits are bfloat16

    @property
    def name(self) -> str:
        """In words."""
        return "fused pass"

    @property
    def macros(self) -> dict[str, int]:
        """The -D options."""
        return {name.upper(): int(getattr(self, name)) for name in self.__slots__}

    def shared_bytes(self, *, forward: bool = True, backward: bool = True) -> int:
        """Return the dynamic shared memory of a block, in bytes."""
        row, fixed, each = self._shared(forward, backward)
        return fixed + self.tile * (row + each)

    def _shared(self, forward: bool, backward: bool) -> tuple[int, int, int]:
        """Return bytes of a row, of what does not depend on rows, and of a row's residuals."""
        all_quads = -(-self.features // 4)
        row = (-(-all_quads * self.storage // 2 // 16) | 1) * 16
        shares = self.threads // -(-all_quads // self.quads)
        fixed = 16 * all_quads * self.columns if forward or shares > 1 else 0
        fixed += 16 * all_quads if self.centered else 0
        fixed += 4 * self.threads * self.rows * self.columns if forward else 0
        return row, fixed, 4 * (-(-self.columns // 4) * 4) if backward else 0

    def grid(self, card: Card, n_samples: int, n_models: int) -> Grid:
        """Return the grid of a pass: as many blocks as the card holds, with equal shares."""
        sizes = {"columns": self.columns, "blocks": self.blocks, "tile": self.tile}
        return cut(card, n_samples, n_models, **sizes, rows=self.rows)


def cut(
    card: Card,
    n_samples: int,
    n_models: int,
    *,
    columns: int,
    blocks: int,
    tile: int,
    rows: int,
    starts: int = 1,
) -> Grid:
    """Return a grid whose segments begin at multiples of ``starts`` rows; ``rows`` divide tiles."""
    groups = -(-n_models // columns)
    slots = max(1, card.processors * blocks // groups)
    segments = min(slots, -(-n_samples // LEAST_ROWS))
    segments *= -(-n_samples // (segments * MOST_ROWS))  # whole waves of blocks
    segment_rows = -(-n_samples // (segments * starts)) * starts
    tiles = -(-segment_rows // tile)
    per_group = -(-segment_rows // (tiles * rows))
    return Grid(groups, -(-n_samples // segment_rows), segment_rows, min(tile, per_group * rows))


def in_order(X: Array, backend: Backend, dtype: Any) -> Array:
    """Return rows on a backend as kernels read them, row after row from a multiple of 16 bytes.

    They are X, or an indicator of labels. Other ones, which only a caller's own array has, are
    copied: here, once for all problems that are made of them. Without memory for that they are left
    to the portable pass.
    """
    kernels = backend.kernels
    if kernels is None or isinstance(X, HostRows) or is_sparse(X) or setting(*FUSED) == "never":
        return X
    if dtype != backend.xp.float32 or storage_of(X) is None:
        return X
    try:
        return kernels.contiguous(X, 16)
    except backend.out_of_memory:
        backend.free()
        return X


def storage_of(X: Array) -> int | None:
    """Return how many bits a number of X takes, or None where kernels do not take its dtype."""
    return STORAGE.get(str(X.dtype).rpartition(".")[2])


def is_bfloat(X: Array) -> bool:
    """Whether numbers of X are bfloat16."""
    return str(X.dtype).endswith("bfloat16")


def obstacle(problem: Problem) -> str | None:
    """Say why kernels cannot take a problem, or None where they can."""
    xp, rows, sets = problem.backend.xp, problem.rows, problem.weights.weight_sets
    if rows.streamed:
        return "X is larger than the device's memory"
    if rows.dtype != xp.float32:
        return "kernels compute in float32"
    if is_sparse(rows.X):
        return "X is sparse"
    if storage_of(rows.X) is None:
        return f"kernels take X as {', '.join(STORAGE)}, and it is {rows.X.dtype}"
    if not rows.X.flags.c_contiguous:
        return "X is not in C order, and there was no memory for a copy that is"
    if not isinstance(rows.factor, float):
        return "features of extreme sizes have penalties of their own, and kernels take one for all"
    if rows.n_features > MOST_FEATURES:
        return f"{rows.n_features:,} features; kernels take up to {MOST_FEATURES:,}"
    if rows.n_samples > MOST_SAMPLES:
        return f"{rows.n_samples:,} rows; kernels count them in 32 bits"
    if sets is not None and sets.dtype not in (xp.uint8, xp.bool):
        return f"kernels take the weights of folds as uint8 or bool, and they are {sets.dtype}"
    if not isinstance(problem.targets, ClassTargets):
        indicator = problem.targets.indicator
        if indicator.dtype not in (xp.uint8, xp.bool):
            return f"kernels take y as uint8 or bool, and it is {indicator.dtype}"
    return None


def plan_for(problem: Problem, card: Card) -> Plan | None:
    """Lay out the passes of a problem that has no :func:`obstacle`; None: not on this card."""
    rows, storage = problem.rows, storage_of(problem.rows.X)
    assert storage is not None
    centered = rows.center_in_block is not None
    laid = plan(card, storage, rows.n_features, problem.n_models, centered=centered)
    return None if laid is None else replace(laid, bfloat=is_bfloat(rows.X))


def plan(
    card: Card, storage: int, n_features: int, n_models: int, *, centered: bool = False
) -> Plan | None:
    """Lay a pass out, or return None where the card has too little shared memory for the features.

    Of the widths of a group, the one that wastes fewest columns and reads X least often; then the
    most rows in shared memory that leave room for two blocks on an SM, else for one.
    """
    if n_features > MOST_FEATURES:
        return None
    layouts = (_layout(card, storage, n_features, columns, centered) for columns in WIDTHS)
    return min(
        filter(None, layouts),
        key=lambda layout: grouping_cost(layout.columns, n_models),
        default=None,
    )


def _layout(card: Card, storage: int, n_features: int, columns: int, centered: bool) -> Plan | None:
    all_quads = -(-n_features // 4)
    quads = 1 if all_quads <= 512 else 2
    if quads * columns > 10:
        return None
    owners = -(-all_quads // quads)
    if owners > 112:
        threads = -(-owners // 32) * 32
    else:
        # As many shares of the rows as leave fewest threads without one; then no seven warps: two
        # such blocks are four warps for one of an SM's schedulers, which leave each 128 registers.
        threads = max(range(128, 225, 32), key=lambda n: (n // owners * owners / n, n < 224, n))
    for blocks in (2, 1):
        if threads * blocks > 512:
            continue
        found = None
        # Loads of weights serve more rows where registers allow; float32 waits for memory anyway.
        # Halves of few features are short of some registers.
        allow = storage == 8 or (storage == 16 and (columns < 10 or owners > 112))
        for rows in (4, 2) if allow and card.capability >= 80 else (2,):
            one = Plan(storage, n_features, columns, centered, rows, rows, quads, threads, blocks)
            row, fixed, each = one._shared(forward=True, backward=True)
            room = min(card.shared_block, card.shared_processor // blocks - RESERVED) - fixed
            tile = min(room // (row + each), threads * rows, 256) // rows * rows
            least = max(2 * rows, -(-16 * threads // row))  # sums are added where rows were
            if tile >= least:
                found = replace(one, tile=tile)
                if threads * rows <= MOST_PARTS * tile:
                    break
        if found is not None:
            return found
    return None
