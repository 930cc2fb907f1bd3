"""A device that is none: array-api-strict with memory that runs out, and copies that come late.

What a GPU does beside the host happens here at the worst moment that is allowed: a copy is made
only when somebody waits for it, and computing, which is done at once, counts as unfinished until an
event that was recorded after it has passed. So whoever does not wait reads what is not there yet,
or is caught overwriting what is still in use.
"""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from gpulr.backend import Backend, CuPyBackend
from gpulr.backend.host_rows import Copies
from gpulr.backend.memory import capped

array_api_strict = pytest.importorskip("array_api_strict")
Array = array_api_strict._array_object.Array


class OutOfMemoryError(MemoryError):
    """What the device raises, in CuPy's words."""


def owner(array):
    """Return the NumPy array that holds the memory of a NumPy array."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class Pool:
    """All memory of the device's arrays, as long as any of them lives."""

    def __init__(self, budget, monkeypatch):
        self.budget, self.live, self.peak, self.clock = budget, 0, 0, 0
        self.failed = 0
        self.busy_until = {}  # by id of the memory: when what last used it was queued
        new = Array._new.__func__

        def counted(cls, x, /, device):
            array = new(cls, x, device)
            if device == FakeDevice.where:
                self.take(owner(array._array))
            return array

        monkeypatch.setattr(Array, "_new", classmethod(counted))

    def tick(self):
        self.clock += 1
        return self.clock

    def take(self, memory):
        if id(memory) in self.busy_until:
            return
        if self.live + memory.nbytes > self.budget:
            self.failed += 1
            raise OutOfMemoryError(
                f"Out of memory allocating {memory.nbytes:,} bytes "
                f"(allocated so far: {self.live:,} bytes)."
            )
        self.live += memory.nbytes
        self.peak = max(self.peak, self.live)
        # Pools hand out memory that kernels of its former owner may still be using.
        self.busy_until[id(memory)] = self.tick()
        weakref.finalize(memory, self.give, id(memory), memory.nbytes)

    def give(self, key, n_bytes):
        self.live -= n_bytes
        del self.busy_until[key]


class LateCopies(Copies):
    """Copies are made when they are waited for, and not before."""

    def __init__(self, backend):
        super().__init__(backend.xp, backend.device)
        self.backend, self.pool = backend, backend.pool
        self.queue, self.started, self.seen = [], 0, 0

    def upload(self, source, target, after):
        into = target._array
        assert into.flags.c_contiguous
        assert source.flags.c_contiguous
        assert (into.shape, into.dtype) == (source.shape, source.dtype)
        self.seen = max(self.seen, after or 0)
        assert self.seen >= self.pool.busy_until[id(owner(into))], "copied over what is in use"
        # What was queued last on the rows goes on beside this copy.
        self.backend.overlaps += self.seen < self.backend.computing
        self.queue.append((source, source.copy(), target))
        self.backend.uploaded += source.nbytes
        self.started += 1
        return self.started

    def computed(self):
        return self.pool.tick()

    def compute_waits(self, event):
        while event is not None and self.started - len(self.queue) < event:
            source, as_queued, target = self.queue.pop(0)
            assert source.tobytes() == as_queued.tobytes(), "staging was filled while in flight"
            target._array[...] = source

    host_waits = compute_waits


class FakeDevice(Backend):
    """array-api-strict's second device, with ``budget`` bytes of memory."""

    where = array_api_strict.Device("device1")
    out_of_memory = (OutOfMemoryError,)
    bytes_wanted = CuPyBackend.bytes_wanted
    collect_blocks = CuPyBackend.collect_blocks

    def __init__(self, budget, monkeypatch):
        super().__init__("array_api_strict", array_api_strict, self.where)
        self.pool = Pool(budget, monkeypatch)
        self.queues, self.uploaded, self.computing, self.overlaps = [], 0, 0, 0
        self.believed = None  # what memory() says there is, where it is wrong

    def copies(self):
        self.queues.append(LateCopies(self))
        return self.queues[-1]

    def memory(self):
        total = self.pool.budget if self.believed is None else self.believed
        return capped(max(0, total - self.pool.live), total, self.pool.live)

    def as_compute(self, X_block, dtype, center=None):
        memory = owner(X_block._array)
        pending = [target for copies in self.queues for _, _, target in copies.queue]
        assert all(owner(t._array) is not memory for t in pending), "computed before it was copied"
        self.pool.busy_until[id(memory)] = self.computing = self.pool.tick()
        return super().as_compute(X_block, dtype, center)

    @property
    def in_flight(self):
        return sum(len(copies.queue) for copies in self.queues)
