"""Whatever becomes of a file's bytes, each reader reads it, or raises an error of gpulr's.

So it is within bounded memory and time, and what a checksum covers is never read as something else.
Readers run in a process of their own, which may crash: see `fuzz_run`.
"""

from __future__ import annotations

import secrets

import pytest

pytest.importorskip("resource", reason="needs processes of POSIX")

from fuzz_readers import READERS
from fuzz_run import Worker

FILES = [name for name, reader in READERS.items() if not reader.stored]
STORED = [name for name, reader in READERS.items() if reader.stored]


def files(quick, slow, nightly):
    """Return parameters: how many files, by which seed; nightly ones are others in each run."""
    return [
        pytest.param(quick, "quick", id=f"{quick}"),
        pytest.param(slow, "slow", marks=pytest.mark.slow, id=f"{slow}"),
        pytest.param(nightly, None, marks=pytest.mark.nightly, id=f"{nightly}-others"),
    ]


@pytest.fixture(scope="module")
def worker():
    worker = Worker()
    yield worker
    worker.close()


def check(worker, name, count, seed):
    if absent := READERS[name].absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    seed = seed or secrets.token_hex(4)
    counts, failures = worker.run(name, seed, 0, count)
    again = f"python tests/support/fuzz_run.py '{name}' 1 '{seed}' --from "
    assert not failures, "\n".join(f"{again}{each['number']}: {each['what']}" for each in failures)
    assert counts["done"] == count
    assert min(counts["read"], counts["refused"]) > count / 50


@pytest.mark.parametrize(("count", "seed"), files(300, 2_000, 50_000))
@pytest.mark.parametrize("name", FILES)
def test_readers(worker, name, count, seed):
    check(worker, name, count, seed)


@pytest.mark.parametrize(("count", "seed"), files(200, 2_000, 10_000))
@pytest.mark.parametrize("name", STORED)
def test_stored_files(worker, name, count, seed):
    check(worker, name, count, seed)
