"""CUDA kernels compiled for sm_60 to sm_120, where NVRTC is at hand.

Proven: every kernel compiles for each of them, by itself and as it is laid out for cards, without a
warning; nothing spills into memory nor lies there, registers and shared memory suffice for the
threads and blocks of ``__launch_bounds__``. All that with the options which the installed CuPy
passes to NVRTC, as its own code says (where they cannot be read, these tests fail), by NVRTC 13,
and by NVRTC 12, which alone knows the cards before sm_75. Not proven: that a kernel is right
(test_fused.py, test_recursion.py), that it is fast, or that another NVRTC says the same.

There are some 400 kinds of layouts for each card. The quick and the slow tests compile a
few, the nightly ones those that are shortest of registers (five minutes of a processor) and one of
each kind (an hour).
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from itertools import product

import pytest

import cuda_compile
from cuda_compile import ARCHITECTURES, EVERY, NEWEST, complaints, cupy_options, usages
from cuda_host import require
from cuda_layouts import CARDS, H100, RTX_4090, scarce, some
from gpulr.kernels.fused import PARAMETERS, PROPAGATE, TENSOR
from gpulr.kernels.plan import plan
from gpulr.kernels.recursion import SOURCE as RECURSION
from gpulr.kernels.step import SOURCE as STEP
from gpulr.kernels.tensor_plan import tensor_plan

SOURCES = pytest.mark.parametrize(
    "path", [PARAMETERS, PROPAGATE, RECURSION, STEP], ids=lambda path: path.stem
)
EVERY_CARD = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
# The others' layouts are much like those of the card that users most often have.
ONE_CARD = [
    pytest.param(card, marks=() if card is RTX_4090 else pytest.mark.nightly, id=card.name)
    for card in CARDS
]


def wrong(source, laid, card, version):
    """Say what is wrong with the kernels of a source, as they are laid out for a card."""
    found = usages(source, laid.macros, [f"sm_{card.capability}"], version)
    assert found
    words = []
    for usage in found:
        halves = {"forward": usage.kernel != "propagate_back"}
        halves["backward"] = usage.kernel != "propagate_forward"
        dynamic = laid.shared_bytes(**halves) if usage.kernel.startswith("propagate") else 0
        words += complaints(usage, dynamic)
        assert usage.shared + dynamic <= card.shared_block
        assert usage.min_blocks in (None, laid.blocks)
    return [f"{laid}: {each}" for each in words]


def version_for(card):
    """Return the newest NVRTC for a card, or skip."""
    version = NEWEST if card.capability >= 75 else 12
    require(cuda_compile.why_not(version))
    return version


@pytest.fixture(autouse=True)
def _compiler():
    """NVRTC, which works."""
    require(cuda_compile.why_not())


@pytest.mark.skipif(sys.platform != "linux", reason="the tests bring CuPy on Linux alone")
@pytest.mark.parametrize("version", [None, (12, 9)], ids=["NVRTC as CuPy finds it", "NVRTC 12.9"])
def test_cupys_own_options_are_those_that_the_shim_models(version):
    """Fails where they cannot be read: then nothing here says what a card would run."""
    for capability, options in cupy_options(("75", "90"), version).items():
        assert f"-arch=sm_{capability}" in options
        assert "--std=c++17" in options  # gpulr's own
        assert "-ftz=true" in options  # so tests/support/cuda/host/runtime.cpp flushes subnormals


@SOURCES
def test_kernels_fit(path):
    """On one card, quickly."""
    assert [words for usage in usages(path, None, ["sm_90"]) for words in complaints(usage)] == []


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("version", [NEWEST, 12])
@SOURCES
def test_kernels_fit_everywhere(path, version):
    require(cuda_compile.why_not(version))
    architectures = EVERY if version == 12 else ARCHITECTURES
    found = usages(path, None, architectures, version)
    names = {usage.kernel for usage in found}
    assert names
    assert {(u.kernel, u.arch) for u in found} == {*product(names, architectures)}
    assert [words for usage in found for words in complaints(usage)] == []


LAYOUTS = {
    "bytes": (8, 784, 10, False),
    "bytes of one feature": (8, 1, 10, False),
    "floats": (32, 784, 10, False),
    "halves, few": (16, 100, 10, True),
    "halves, fewer": (16, 64, 10, False),
    "halves, fewer, centred": (16, 64, 10, True),
    "two quads a thread": (32, 2051, 5, True),
}


@pytest.mark.parametrize("name", ["bytes", "floats"])
def test_a_layout_compiles(name):
    storage, features, models, centered = LAYOUTS[name]
    laid = plan(H100, storage, features, models, centered=centered)
    assert wrong(PROPAGATE, laid, H100, NEWEST) == []


@pytest.mark.slow
@pytest.mark.parametrize("card", ONE_CARD)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_layout_compiles_for_its_card(card, layout):
    storage, features, models, centered = layout
    laid = plan(card, storage, features, models, centered=centered)
    assert laid is not None or card.shared_block < 65_536
    if laid is not None:
        assert wrong(PROPAGATE, laid, card, version_for(card)) == []


@pytest.mark.slow
@pytest.mark.parametrize(("features", "centered"), [(784, False), (100, True)])
def test_a_layout_of_bfloat16_compiles(features, centered):
    laid = plan(H100, 16, features, 10, centered=centered)
    assert wrong(PROPAGATE, replace(laid, bfloat=True), H100, NEWEST) == []


@pytest.mark.nightly
@EVERY_CARD
def test_layouts_that_are_short_of_registers(card):
    version, found = version_for(card), list(filter(scarce, some(card)))
    assert len(found) >= 5
    assert [words for laid in found for words in wrong(PROPAGATE, laid, card, version)] == []


@pytest.mark.nightly
@EVERY_CARD
def test_layouts_of_every_kind(card):
    version, found = version_for(card), list(some(card))
    assert len(found) > 200
    assert [words for laid in found for words in wrong(PROPAGATE, laid, card, version)] == []


@pytest.mark.nightly
@pytest.mark.parametrize("card", CARDS[2:], ids=lambda card: card.name)
def test_layouts_that_are_short_of_registers_with_cuda_12(card):
    require(cuda_compile.why_not(12))
    found = filter(scarce, some(card))
    assert [words for laid in found for words in wrong(PROPAGATE, laid, card, 12)] == []


# For tensor cores: as MNIST's, and those that leave fewest registers to spare.
TENSOR_LAYOUTS = [
    pytest.param((8, 784, 10), id="bytes", marks=pytest.mark.slow),
    pytest.param((16, 784, 10), id="halves", marks=pytest.mark.nightly),
    pytest.param((8, 784, 1), id="one model", marks=pytest.mark.nightly),
    pytest.param((16, 30, 7), id="narrow", marks=pytest.mark.nightly),
    pytest.param((8, 672, 12), id="672 features", marks=pytest.mark.nightly),
    pytest.param((16, 1408, 8), id="8 models", marks=pytest.mark.nightly),
    pytest.param((8, 1500, 4), id="wide", marks=pytest.mark.nightly),
]


@pytest.mark.parametrize("card", ONE_CARD[3:])  # from sm_80 on
@pytest.mark.parametrize("layout", TENSOR_LAYOUTS)
def test_a_layout_for_tensor_cores_compiles_for_its_card(card, layout):
    assert wrong(TENSOR, tensor_plan(card, *layout), card, version_for(card)) == []


@pytest.mark.nightly
@pytest.mark.parametrize("version", [NEWEST, 12])
@pytest.mark.parametrize("card", [c for c in CARDS if c.capability >= 80], ids=lambda c: c.name)
def test_layouts_for_tensor_cores_of_every_kind(card, version):
    def lay(card, storage, features, models, *, centered):
        return None if centered else tensor_plan(card, storage, features, models)

    require(cuda_compile.why_not(version))
    found = list(some(card, lay=lay))
    assert len(found) > 100
    if version == 12:  # which spilled where nothing was left
        found = [laid for laid in found if laid.registers_there - laid.registers < 8]
    assert [words for laid in found for words in wrong(TENSOR, laid, card, version)] == []


@pytest.mark.slow
def test_products_are_those_of_tensor_cores():
    """Every step's, of each eight columns, forward and back."""
    laid = tensor_plan(H100, 8, 784, 10)
    _, _, whole = cuda_compile.ptx(TENSOR, laid.macros).partition(".entry propagate(")
    whole = whole.partition(".entry")[0]
    products = laid.own * laid.columns // 4
    assert whole.count("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32") == 2 * products
    assert whole.count("ldmatrix.sync.aligned.m8n8.x4.shared") == laid.own
    assert whole.count("ldmatrix.sync.aligned.m8n8.x4.trans.shared") == laid.own


@pytest.mark.slow
@SOURCES
def test_quotients_and_roots_are_rounded_as_ieee_says_under_cupys_options(path):
    """-ftz=true is the only option of CuPy's that changes arithmetic: no quick division or root."""
    assert not re.search(r"\b(?:div|sqrt|rcp|rsqrt)\.(?:approx|full)", cuda_compile.ptx(path))


@pytest.mark.slow
@pytest.mark.parametrize("storage", [8, 16, 32])
def test_products_of_rows_are_ieee_multiply_adds_under_cupys_options(storage):
    """Bytes are subnormal numbers, which others take for zero."""
    laid = plan(H100, storage, 784, 10)
    _, _, whole = cuda_compile.ptx(PROPAGATE, laid.macros).partition(".entry propagate(")
    whole = whole.partition(".entry")[0]
    assert whole.count("fma.rn.f32") >= 4 * laid.columns * (laid.rows + 1)
    # What is left are exp, log and quotients.
    assert whole.count("fma.rn.ftz.f32") < 4 * laid.columns
