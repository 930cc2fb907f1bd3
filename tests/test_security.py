"""What SECURITY.md promises; sizes, damage and writing are tested in test_faults, the page's policy
in test_report.
"""

from __future__ import annotations

import ast
import re
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

import gpulr
from gpulr.datasets import mnist

PACKAGE = Path(gpulr.__file__).parent
PROMISES = PACKAGE.parent / "SECURITY.md"
PICKLES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "distributed.protocol.pickle"}
RUNNING = {"eval", "exec", "compile", "__import__", "system", "popen", "Popen"}
LOADING = {("joblib", "load"), ("torch", "load"), ("yaml", "load")}
ALLOWED = {
    "cli/process.py": {"exec"},  # of no text
    # Messages between a client and its workers, which run each other's code anyway.
    "distributed/dask_engine.py": {"distributed.protocol.pickle"},
    "distributed/dask_worker.py": {"distributed.protocol.pickle"},
    "distributed/engine.py": {"pickle"},
    "distributed/part.py": {"pickle"},
}
NETWORK = {"requests", "pooch", "urllib", "http", "socket", "ftplib", "smtplib"}


def trees():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        yield name, [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


def imported(nodes):
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def running(nodes):
    """Yield what could run code that is not gpulr's own."""
    yield from PICKLES & {*imported(nodes)}
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in RUNNING:
            yield node.func.id
        elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            name = node.func.value.id, node.func.attr
            if name in LOADING or (name[0] in ("os", "subprocess") and name[1] in RUNNING):
                yield ".".join(name)
        for keyword in node.keywords:
            if keyword.arg in ("allow_pickle", "shell") and ast.unparse(keyword.value) != "False":
                yield keyword.arg


def test_no_code_is_run_that_a_file_holds():
    found = {name: {*running(nodes)} for name, nodes in trees()}
    assert {name: what for name, what in found.items() if what} == ALLOWED


def test_one_file_knows_the_network():
    found = [
        name for name, nodes in trees() if NETWORK & {m.split(".")[0] for m in imported(nodes)}
    ]
    assert found == ["datasets/download.py"]


def test_downloads_are_by_https_and_have_a_sha256():
    assert all(mirror.startswith("https://") for mirror in mnist.MIRRORS)
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in mnist.FILES)
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"http://(?!www\.w3\.org/)", text), path


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **how):
        raise AssertionError(f"a connection is made: {args} {how}")

    for name in ("socket", "create_connection", "getaddrinfo", "create_server"):
        monkeypatch.setattr(socket, name, refuse)


def test_no_connection_is_made(no_network, blobs, tmp_path):
    X, y = blobs
    np.savez(tmp_path / "a.npz", X=X, y=y)
    data = gpulr.datasets.load(tmp_path / "a.npz")
    model = gpulr.train(data)
    model.save(tmp_path / "m.safetensors")
    model = gpulr.load(tmp_path / "m.safetensors")
    model.evaluate(X, y)
    gpulr.search(X, y, Cs=[0.1, 1.0], cv=2)
    gpulr.bootstrap(X, y, n=2)
    gpulr.OneVsAllLogisticRegression().fit(X, y).predict(X)
    gpulr.backends()


def test_a_report_makes_none_either(no_network, blobs, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("PIL")
    gpulr.report(gpulr.train(*blobs), tmp_path / "report.html", *blobs)


@pytest.mark.skipif(not PROMISES.exists(), reason="not in an installed package")
def test_who_decodes_is_named():
    """Each library that reads a file for gpulr; none may be added without a word."""
    told, packages = PROMISES.read_text(encoding="utf-8"), set()
    for name, nodes in trees():
        if name.startswith(("datasets/readers", "images", "sources")):
            packages |= {module.split(".")[0] for module in imported(nodes)}
    # What reads no files; gzip and zipfile are zlib's.
    packages -= {"gpulr", "dask", "distributed", "pandas", ""} | sys.stdlib_module_names - {"zlib"}
    words = {"PIL": "Pillow", "scipy": "SciPy", "numpy": "NumPy"}
    assert not [each for each in packages if words.get(each, each) not in told]
