"""Two processes that download at once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import dataset_files
from dataset_files import mirror, serving

SCRIPT = """
import sys, pathlib
sys.path.insert(0, sys.argv[3])
import dataset_files
from gpulr.datasets import known_files, load_mnist, mnist
known_files.cache_folder = lambda: pathlib.Path(sys.argv[1])
mnist.MIRRORS = (sys.argv[2],)
mnist.FILES, _ = dataset_files.tiny_mnist()
print(load_mnist().X.shape)
"""


@pytest.mark.parametrize("n_processes", [2])
def test_two_processes_download_once(tiny, tmp_path, monkeypatch, n_processes):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv("GPULR_DATA_HOME", raising=False)
    serve = serving(tiny)

    def slowly(handler, name):
        time.sleep(0.1)
        serve(handler, name)

    here = str(Path(dataset_files.__file__).parent)
    with mirror(slowly) as (url, asked):
        command = [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path), url, here]
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(n_processes)
        ]
        results = [process.communicate(timeout=60) for process in running]
    assert results == [("(12, 784)\n", "")] * n_processes
    names = [path.name for path in (tmp_path / "mnist").iterdir() if path.suffix != ".lock"]
    assert sorted(names) == sorted(tiny)
    first, *others = tiny
    assert [asked.count(name) for name in others] == [1] * 3
    assert asked.count(first) <= n_processes + 1  # the probes, and one download
