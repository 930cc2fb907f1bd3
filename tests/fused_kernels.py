"""The fused pass without a GPU: its kernels by g++ on NumPy arrays, and cards of several kinds."""

from __future__ import annotations

import time

import numpy as np
import pytest
from cuda_host import HostModule, why_not

from gpulr.kernels.fused import FusedPass, obstacle, plan_for
from gpulr.kernels.plan import Card

H100 = Card("H100", 90, 132, 232_448, 233_472)
A100 = Card("A100", 80, 108, 166_912, 167_936)
RTX_4090 = Card("RTX 4090", 89, 128, 101_376, 102_400)
T4 = Card("T4", 75, 40, 65_536, 65_536)
CARDS = (H100, A100, RTX_4090, T4)

_modules = {}


def module(source, macros, sanitize=None):
    """Compile a source for this CPU, once in a session for each set of macros."""
    key = source, tuple(sorted(macros.items())), sanitize
    if key not in _modules:
        _modules[key] = HostModule(source, defines=dict(macros), sanitize=sanitize)
    return _modules[key]


class HostKernels:
    """Launches kernels at once, on this CPU; what is captured is recorded, and not run.

    Attributes
    ----------
    launched : list of str
        Names, in order.
    """

    def __init__(self, card=H100, *, sanitize=None, seed=0):
        if reason := why_not():
            pytest.skip(reason)
        self.card, self.sanitize, self.seed = card, sanitize, seed
        self.launched = []
        self.recording = None

    def kernel(self, source, macros, name, shared):
        assert shared <= self.card.shared_block
        compiled = module(source, macros, self.sanitize)

        def launch(grid, block, arguments):
            def run():
                compiled.seed = self.seed
                compiled.launch(name, grid, block, arguments, shared)
                self.launched.append(name)

            run() if self.recording is None else self.recording.append(run)

        return launch

    def contiguous(self, x, alignment=1):
        if x.flags.c_contiguous and x.ctypes.data % alignment == 0:
            return x
        assert self.recording is None, "a graph cannot hold an allocation"
        return x.copy()

    def capture(self, function):
        self.recording = recorded = []
        function()
        self.recording = None
        return lambda: [run() for run in recorded]

    def seconds(self, function):
        started = time.perf_counter()
        function()
        return time.perf_counter() - started


def fused(problem, card=H100, **options):
    """Return the fused pass of a problem, by kernels on this CPU."""
    assert obstacle(problem) is None
    return FusedPass(problem, plan_for(problem, card), HostKernels(card, **options))
