"""How a pass by tensor cores is laid out on a card: what ``tensor.cu`` is compiled with, its grid.

As in :mod:`gpulr.kernels.plan`, from what an SM has; ``tensor.cu`` says why the kernel has this
shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gpulr.backend.compiled_functions import grouping_cost
from gpulr.backend.cuda_kernels import Card
from gpulr.core.problem import Problem
from gpulr.kernels.plan import RESERVED, Grid, Plan, cut, is_bfloat, plan_for, storage_of

WIDTHS = (12, 8, 4)  # models in a group: four in each eight columns of a product
LEAST_CAPABILITY = 80
ROWS = 16  # of a product
MOST_TILE = 128
MOST_WARPS = 16  # of an SM; 128 registers each
# What a thread holds beside weights and sums: with 85 some layouts spill four bytes, by NVRTC 12.
OTHER_REGISTERS = 89
# From so many weights and sums of a thread on, tiles of one block on an SM have 16 rows: with more
# NVRTC 12 spills four bytes.
MOST_HELD = 150


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """What ``tensor.cu`` is compiled with; the fields are its macros."""

    storage: int  # bits of a stored number: 8 or 16
    features: int
    columns: int  # models in a group
    tile: int  # rows that shared memory has room for
    own: int  # steps of 16 features that a warp owns
    threads: int  # of a block
    blocks: int  # on an SM

    @property
    def macros(self) -> dict[str, int]:
        """The -D options."""
        return {name.upper(): int(getattr(self, name)) for name in self.__slots__}

    @property
    def name(self) -> str:
        """In words."""
        return "pass by tensor cores"

    @property
    def centered(self) -> bool:
        """A centre is subtracted from every row: never, since that is not exact in halves."""
        return False

    @property
    def steps(self) -> int:
        """Of 16 features, that a row has."""
        return math.ceil(self.features / ROWS)

    @property
    def owners(self) -> int:
        """Warps that own all features."""
        return math.ceil(self.steps / self.own)

    @property
    def registers(self) -> int:
        """An estimate of a thread's: its warp's weights and sums, two numbers each, and others."""
        return self.own * self.columns + OTHER_REGISTERS

    @property
    def registers_there(self) -> int:
        """Registers that a thread may have: of an SM quarter's 16,384, and less than 256."""
        warps = math.ceil(self.threads // 32 * self.blocks / 4)
        return min(248, 16_384 // (32 * warps) // 8 * 8)

    @property
    def busy(self) -> float:
        """The share of a block's warps that multiply, of the time that the slowest takes."""
        warps = self.threads // 32
        return self.steps * (warps // self.owners) / (self.own * warps)

    def shared_bytes(self, *, forward: bool = True, backward: bool = True) -> int:
        """Return the dynamic shared memory of a block, in bytes."""
        row = self._row
        row += 4 * self.owners * self.columns if forward else 0
        each = 64 * self.columns + 4 * self.columns if backward else 0  # of 16 rows
        return 16 + self.tile * row + self.tile // ROWS * each

    @property
    def _row(self) -> int:
        """Bytes of a row, as halves and as it comes."""
        return self._halves + self.features * self.storage // 8

    @property
    def _halves(self) -> int:
        return 32 * self.steps + 16

    @property
    def least_tile(self) -> int:
        """Rows of a tile in whose place all sums are added up."""
        shares = self.threads // 32 // self.owners
        sums = 64 * self.owners * self.own * self.columns if shares > 1 else 0
        rows = math.ceil(max(16 * self.threads, sums) / self._halves)
        return math.ceil(rows / ROWS) * ROWS

    def grid(self, card: Card, n_samples: int, n_models: int) -> Grid:
        """Return the grid of a pass; segments begin a multiple of 16 bytes from the first row."""
        starts = 16 // math.gcd(16, self.features * self.storage // 8)
        sizes = {"columns": self.columns, "blocks": self.blocks, "tile": self.tile, "rows": ROWS}
        return cut(card, n_samples, n_models, **sizes, starts=starts)


Layout = Plan | TensorPlan


def layouts_for(problem: Problem, card: Card) -> list[Layout]:
    """Return the layouts of each kernel that can take a problem without :func:`obstacle`.

    The one that should be quicker comes first.
    """
    rows, storage = problem.rows, storage_of(problem.rows.X)
    assert storage is not None
    tensor = None
    if rows.center_in_block is None and not is_bfloat(rows.X):  # W and R would be three of those
        tensor = tensor_plan(card, storage, rows.n_features, problem.n_models)
    return [layout for layout in (tensor, plan_for(problem, card)) if layout is not None]


def tensor_plan(card: Card, storage: int, n_features: int, n_models: int) -> TensorPlan | None:
    """Lay a pass out, or return None where the card or the rows are not for tensor cores.

    Of the widths of a group, the one that wastes fewest columns and reads X least often.
    """
    if card.capability < LEAST_CAPABILITY or storage not in (8, 16):
        return None
    layouts = (_layout(card, storage, n_features, columns) for columns in WIDTHS)
    return min(
        filter(None, layouts),
        key=lambda layout: grouping_cost(layout.columns, n_models),
        default=None,
    )


def _layout(card: Card, storage: int, n_features: int, columns: int) -> TensorPlan | None:
    """Two blocks on an SM if they fit, else one; of those, the busiest, to a tenth; most warps."""
    for blocks in (2, 1):
        found = list(_layouts(card, storage, n_features, columns, blocks))
        if found:
            return max(found, key=lambda layout: (round(layout.busy, 1), layout.threads))
    return None


def _layouts(
    card: Card, storage: int, n_features: int, columns: int, blocks: int
) -> Iterator[TensorPlan]:
    """Yield what fits, of so many blocks on an SM, for each number of warps."""
    room = min(card.shared_block, card.shared_processor // blocks - RESERVED)
    for warps in range(4, MOST_WARPS // blocks + 1):
        own = math.ceil(math.ceil(n_features / ROWS) / warps)
        one = TensorPlan(storage, n_features, columns, ROWS, own, 32 * warps, blocks)
        spare = 16 if card.capability >= 100 else 0  # for which compilers take more of them
        if one.registers + spare > one.registers_there:
            continue
        tile = (room - 16) * ROWS // (one.shared_bytes() - 16) // ROWS * ROWS
        low = blocks == 1 and own * columns >= MOST_HELD
        tile = min(tile, ROWS if low else MOST_TILE, one.threads)
        if tile >= one.least_tile:
            yield replace(one, tile=tile)
