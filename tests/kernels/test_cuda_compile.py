"""CUDA kernels compiled for sm_75 to sm_120, where NVRTC is at hand.

Proven: every kernel compiles for each of them, by itself and as it is laid out for cards, without a
warning; nothing spills into memory nor lies there, registers and static shared memory suffice for
the threads and blocks of ``__launch_bounds__``. All that with the options which the installed CuPy
passes to NVRTC, as its own code says (where they cannot be read, these tests fail), and with the
headers that CuPy has. Not proven: that a kernel is right (test_fused.py, test_recursion.py), that
it is fast, or that another NVRTC says the same.
"""

from __future__ import annotations

import re
import sys
from itertools import product

import pytest

import cuda_compile
from cuda_compile import ARCHITECTURES, complaints, cupy_options, usages
from cuda_host import require
from fused_kernels import CARDS, H100
from gpulr.backend.cuda_kernels import Card
from gpulr.kernels.fused import PARAMETERS, PROPAGATE
from gpulr.kernels.plan import plan
from gpulr.kernels.recursion import SOURCE as RECURSION
from gpulr.kernels.step import SOURCE as STEP

A10 = Card("A10", 86, 72, 101_376, 102_400)
B200 = Card("B200", 100, 148, 232_448, 233_472)
RTX_5090 = Card("RTX 5090", 120, 170, 101_376, 102_400)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _compiler():
    """NVRTC, which works."""
    require(cuda_compile.why_not())


@pytest.mark.skipif(sys.platform != "linux", reason="the tests bring CuPy on Linux alone")
def test_cupys_own_options_are_those_that_the_shim_models():
    """Fails where they cannot be read: then nothing here says what a card would run."""
    for capability, options in cupy_options(("75", "90")).items():
        assert f"-arch=sm_{capability}" in options
        assert "--std=c++17" in options  # gpulr's own
        assert "-ftz=true" in options  # so tests/support/cuda/host/runtime.cpp flushes subnormals


@pytest.mark.parametrize(
    "path", [PARAMETERS, PROPAGATE, RECURSION, STEP], ids=lambda path: path.stem
)
def test_kernels_fit(path):
    found = usages(path)
    names = {usage.kernel for usage in found}
    assert names
    assert {(u.kernel, u.arch) for u in found} == {*product(names, ARCHITECTURES)}
    assert [words for usage in found for words in complaints(usage)] == []


LAYOUTS = {
    "bytes": (8, 784, 10, False),
    "floats": (32, 784, 10, False),
    "halves, few": (16, 100, 10, True),
    "halves, fewer": (16, 64, 10, False),
    "halves, fewer, centred": (16, 64, 10, True),
    "two quads a thread": (32, 2051, 5, True),
}


@pytest.mark.parametrize("card", [*CARDS, A10, B200, RTX_5090], ids=lambda card: card.name)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_layout_compiles_for_its_card(card, layout):
    storage, features, models, centered = layout
    laid = plan(card, storage, features, models, centered=centered)
    found = usages(PROPAGATE, laid.macros, [f"sm_{card.capability}"])
    assert len(found) == 4
    for usage in found:
        assert complaints(usage) == []
        assert usage.registers * laid.threads * laid.blocks <= 65_536
        assert usage.min_blocks in (None, laid.blocks)


@pytest.mark.parametrize(
    "path", [PARAMETERS, PROPAGATE, RECURSION, STEP], ids=lambda path: path.stem
)
def test_quotients_and_roots_are_rounded_as_ieee_says_under_cupys_options(path):
    """-ftz=true is the only option of CuPy's that changes arithmetic: no quick division or root."""
    assert not re.search(r"\b(?:div|sqrt|rcp|rsqrt)\.(?:approx|full)", cuda_compile.ptx(path))


@pytest.mark.parametrize("storage", [8, 16, 32])
def test_products_of_rows_are_ieee_multiply_adds_under_cupys_options(storage):
    """Bytes are subnormal numbers, which others take for zero."""
    laid = plan(H100, storage, 784, 10)
    _, _, whole = cuda_compile.ptx(PROPAGATE, laid.macros).partition(".entry propagate(")
    whole = whole.partition(".entry")[0]
    assert whole.count("fma.rn.f32") >= 4 * laid.columns * (laid.rows + 1)
    # What is left are exp, log and quotients.
    assert whole.count("fma.rn.ftz.f32") < 4 * laid.columns
