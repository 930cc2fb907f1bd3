"""Layouts of the fused pass fit the cards they are made for, and cover all rows and models."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuda_host import KernelFault
from fused_kernels import CARDS, H100, RTX_4090, module, zeros_for
from gpulr.kernels.fused import CHUNK_ROWS, PROPAGATE
from gpulr.kernels.plan import LEAST_ROWS, MOST_FEATURES, MOST_ROWS, RESERVED, WIDTHS, plan

SIZES = {
    "card": st.sampled_from(CARDS),
    "storage": st.sampled_from([8, 16, 32]),
    "features": st.integers(1, MOST_FEATURES) | st.sampled_from([784, 2048, 2049, MOST_FEATURES]),
    "models": st.integers(1, 2000),
    "centered": st.booleans(),
    "rows": st.integers(1, CHUNK_ROWS),
}


@settings(max_examples=200, deadline=None)
@given(**SIZES)
def test_a_plan_fits_and_covers_everything(card, storage, features, models, centered, rows):
    laid = plan(card, storage, features, models, centered=centered)
    if laid is None:
        assert features > 1000  # and with fewer, every card has room
        return
    assert laid.columns in WIDTHS
    assert laid.shared_bytes() <= card.shared_block
    assert laid.blocks * (laid.shared_bytes() + RESERVED) <= card.shared_processor
    for half in ({"forward": False}, {"backward": False}):
        assert laid.shared_bytes(**half) <= laid.shared_bytes()
    assert laid.tile % laid.rows == 0
    owners = ceil(ceil(features / 4) / laid.quads)
    assert max(owners, laid.tile // laid.rows, laid.columns) <= laid.threads <= 1024
    assert laid.threads * laid.blocks <= 512  # 128 registers each
    assert laid.quads * laid.columns <= 10

    grid = laid.grid(card, rows, models)
    assert (grid.groups - 1) * laid.columns < models <= grid.groups * laid.columns
    assert (grid.segments - 1) * grid.segment_rows < rows <= grid.segments * grid.segment_rows
    assert grid.segments <= 65_535  # what a grid may have along y
    assert grid.segment_rows <= MOST_ROWS
    assert grid.tile_rows % laid.rows == 0
    assert 0 < grid.tile_rows <= laid.tile
    if grid.groups == 1 and LEAST_ROWS * 2 * card.processors < rows < 10**6:
        slots = card.processors * laid.blocks
        waves = -(-grid.segments // slots)
        assert 0.9 * slots * waves <= grid.segments  # the whole card is busy, to the end


def test_a_plan_is_none_beyond_the_bound():
    assert plan(H100, 8, MOST_FEATURES, 10) is not None
    assert plan(H100, 8, MOST_FEATURES + 1, 10) is None


@pytest.mark.parametrize(
    ("models", "columns"), [(1, 1), (2, 2), (3, 5), (5, 5), (9, 10), (11, 5), (33, 10), (500, 10)]
)
def test_groups_waste_few_columns(models, columns):
    assert plan(H100, 8, 784, models).columns == columns


@pytest.mark.slow
@pytest.mark.parametrize(("backward", "forward"), [(True, True), (True, False), (False, True)])
def test_shared_memory_is_counted_to_the_byte(backward, forward):
    """A byte less than the plan says, and the address sanitizer finds the last one used."""
    n, k, features = 64, 10, 30
    laid = plan(RTX_4090, 32, features, k)
    size = laid.shared_bytes(forward=forward, backward=backward)
    ways = {"backward": backward, "forward": forward}
    name, arguments = zeros_for(laid, n, features, k, np.float32, **ways)
    compiled = module(PROPAGATE, laid.macros, "address")
    compiled.launch(name, 1, laid.threads, arguments, size)
    # Rows at the end of the tile, and their residuals, are the last that are used.
    used = size - 4 * (laid.tile - n) * 12 if backward else size
    with pytest.raises(KernelFault, match="overflow"):
        compiled.launch(name, 1, laid.threads, arguments, used - 16)
