"""MNIST's files: found on this machine, or downloaded from mirrors that may be bad or silent."""

from __future__ import annotations

import gzip
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dataset_files
from dataset_files import mirror, serving
from gpulr.datasets import describe, download, load_default, load_mnist, mnist
from gpulr.errors import (
    DataFallbackWarning,
    DataFileError,
    DataUnavailableError,
    MissingExtraError,
    ParameterError,
)

for package in ("filelock", "pooch", "platformdirs"):
    pytest.importorskip(package, reason="the extra data is not installed")
LABELS = "train-labels-idx1-ubyte.gz"
PLAIN_LABELS = LABELS.removesuffix(".gz")
NEEDED = ("pooch", "filelock", "platformdirs", "requests")


def files_in(folder):
    """All but locks."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return sorted(path.name for path in files)


def check(dataset):
    arrays = dataset.X, dataset.y, dataset.X_test, dataset.y_test
    assert [array.shape for array in arrays] == [(12, 784), (12,), (4, 784), (4,)]
    assert [array.dtype for array in arrays] == [np.uint8, np.int64] * 2
    assert (dataset.image_shape, dataset.name) == ((28, 28), "mnist")


# -- on this machine ---------------------------------------------------------------------------


def test_home_goes_before_cache(tiny, home, cache_folder, put):
    put(cache_folder / "mnist", tiny)
    assert load_mnist().source == str(cache_folder / "mnist")
    put(home / "mnist", tiny)
    check(load_mnist())
    assert load_mnist().source == str(home / "mnist")


def test_home_is_read_at_each_call_and_may_be_relative(tiny, tmp_path, home, put, monkeypatch):
    put(tmp_path / "here" / "mnist", tiny)
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    for value in ("here", "./here", "~/here"):
        monkeypatch.setenv("GPULR_DATA_HOME", value)
        check(load_mnist())
    for value, error in (("", DataUnavailableError), ("~nobody-of-this-name/x", ParameterError)):
        monkeypatch.setenv("GPULR_DATA_HOME", value)
        with pytest.raises(error, match="GPULR_DATA_HOME"):
            load_mnist()


def test_decompressed_files_are_taken_and_verified(tiny, home, put):
    plain = {name.removesuffix(".gz"): gzip.decompress(tiny[name]) for name in list(tiny)[:3]}
    put(home / "mnist", plain | {name: tiny[name] for name in list(tiny)[3:]})
    check(load_mnist())
    assert describe()[0].available
    plain = bytearray(plain[PLAIN_LABELS])
    plain[-1] ^= 1
    put(home / "mnist", {**tiny, PLAIN_LABELS: plain})
    check(load_mnist())  # the gzipped one is right
    (home / "mnist" / LABELS).unlink()
    with pytest.raises(DataFileError, match="train-labels-idx1-ubyte: is damaged"):
        load_mnist()


@pytest.mark.parametrize("at_home", [{}, {LABELS: b"bad"}], ids=["absent", "damaged"])
def test_cache_has_what_is_not_good_at_home(tiny, home, cache_folder, put, at_home):
    put(home / "mnist", {name: tiny[name] for name in tiny if name != LABELS} | at_home)
    put(cache_folder / "mnist", {LABELS: tiny[LABELS]})
    check(load_mnist())


def test_damaged_in_home_is_named_and_kept(tiny, home, put):
    good = tiny[LABELS]
    file = next(file for file in mnist.FILES if file.name == LABELS)
    for bad in (good[:-1], good[:-1] + bytes([good[-1] ^ 1]), b"", b"<html>"):
        put(home / "mnist", tiny | {LABELS: bad})
        with pytest.raises(DataFileError) as info:
            load_mnist()
        message = str(info.value)
        assert str(home / "mnist" / LABELS) in message
        assert f"found {len(bad)} bytes, sha256" in message
        assert f"expected {file.size} bytes, sha256 {file.sha256}" in message
        assert "delete it" in message
        assert isinstance(info.value.__cause__, DataUnavailableError)
        assert (home / "mnist" / LABELS).read_bytes() == bad
    with pytest.warns(DataFallbackWarning, match="is damaged"):
        assert load_default().name == "digits"
    assert describe()[0].available is False
    assert "is damaged" in describe()[0].note


def refusing(original, refused):
    """The function, which has no permission for what `refused` says: root has all."""

    def refuse(*args, **kwargs):
        if refused(*args, **kwargs):
            raise PermissionError(13, "Permission denied")
        return original(*args, **kwargs)

    return refuse


def test_folder_or_unreadable_file_in_its_place(tiny, home, put, monkeypatch):
    path = put(home / "mnist", tiny) / LABELS
    refuse = refusing(Path.open, lambda path, *_, **__: path.name == LABELS)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(DataFileError, match="Permission denied"):
            load_mnist()
    path.unlink()
    path.mkdir()
    with pytest.raises(DataFileError, match="not a regular file"):
        load_mnist()


def test_of_another_size_than_is_known(tiny, home, put):
    """As one that grows while it is read."""
    put(home / "mnist", tiny)
    file = mnist.FILES[0]
    wrong = replace(file, size=file.size + 1)
    found, faults = download.search([wrong], [home / "mnist"])
    assert not found
    assert f"found {file.size:,} bytes, sha256 {file.sha256}" in str(*faults)


@pytest.mark.parametrize("package", NEEDED)
def test_without_what_downloads_need(tiny, cache_folder, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/",))
    with pytest.raises(MissingExtraError, match=r'GPULR_DATA_HOME.*pip install "\.\[data\]"'):
        load_mnist()
    with pytest.warns(DataFallbackWarning, match=r"\.\[data\]"):
        assert load_default().name == "digits"


def test_files_at_home_need_nothing_else(tiny, home, put, monkeypatch):
    for package in NEEDED:
        monkeypatch.setitem(sys.modules, package, None)
    put(home / "mnist", tiny)
    check(load_mnist())
    (home / "mnist" / LABELS).write_bytes(b"bad")
    with pytest.raises(DataFileError, match="is damaged"):
        load_mnist()


def test_cache_folder_is_the_users():
    from platformdirs import user_cache_path

    assert download.cache_folder() == user_cache_path("gpulr", appauthor=False)


# -- download ----------------------------------------------------------------------------------


def test_downloads_into_cache_once(tiny, cache_folder, mirrors):
    with mirrors(serving(tiny)) as [(_, asked)]:
        assert not describe()[0].available
        assert asked == []
        check(load_mnist())
        count = len(asked)
        check(load_mnist())
        assert len(asked) == count
    assert files_in(cache_folder) == sorted(tiny)
    assert describe()[0].available


def test_downloads_into_home(tiny, home, cache_folder, mirrors):
    with mirrors(serving(tiny)):
        assert load_mnist().source == str(home / "mnist")
    assert not cache_folder.exists()


def test_downloads_into_cache_where_home_is_read_only(
    tiny, home, cache_folder, put, monkeypatch, mirrors
):
    put(home / "mnist", {LABELS: tiny[LABELS]})
    refuse = refusing(download.tempfile.TemporaryFile, lambda dir: dir == home / "mnist")  # noqa: A006
    monkeypatch.setattr(download.tempfile, "TemporaryFile", refuse)
    with mirrors(serving(tiny)) as [(_, asked)]:
        check(load_mnist())
    assert files_in(home) == [LABELS]
    assert LABELS not in asked
    assert len(files_in(cache_folder)) == 3


def test_nowhere_to_write(tiny, cache_folder, mirrors):
    cache_folder.write_bytes(b"a file where the folder should be")
    with mirrors(serving(tiny)), pytest.raises(DataUnavailableError, match="cannot write to"):
        load_mnist()


def test_damaged_in_cache_is_replaced(tiny, cache_folder, put, mirrors):
    put(cache_folder / "mnist", tiny | {LABELS: b"bad"})
    with pytest.raises(DataUnavailableError, match=r"damaged: .*train-labels"):
        load_mnist()
    with mirrors(serving(tiny)):
        check(load_mnist())
    assert (cache_folder / "mnist" / LABELS).read_bytes() == tiny[LABELS]


def test_damaged_in_home_is_not_overwritten_by_download(tiny, home, cache_folder, put, mirrors):
    put(home / "mnist", tiny | {LABELS: b"bad"})
    with mirrors(serving(tiny)):
        check(load_mnist())
    assert (home / "mnist" / LABELS).read_bytes() == b"bad"
    assert (cache_folder / "mnist" / LABELS).read_bytes() == tiny[LABELS]


def answering(change, **options):
    """Have each file answered so."""
    return lambda tiny: serving({name: change(tiny[name]) for name in tiny}, **options)


forbidden = answering(lambda content: b"no", status=403)
BAD_MIRRORS = {
    "begins with b'<!'": answering(lambda content: b"<!DOCTYPE html>"),
    f"{mnist.FILES[0].name} is damaged or another file: found": answering(
        lambda content: content[:-1] + b"?"
    ),
    "HTTP 403": forbidden,
    "Error": answering(lambda content: content[:20], length=4000),
}


@pytest.mark.parametrize("answer", BAD_MIRRORS)
def test_bad_mirrors(tiny, cache_folder, mirrors, answer):
    bad = BAD_MIRRORS[answer](tiny)
    with (
        mirrors(bad, forbidden(tiny)) as [(first, _), (second, _)],
        pytest.raises(DataUnavailableError) as info,
    ):
        load_mnist()
    message = str(info.value)
    assert f"tried {second}: HTTP 403" in message
    for words in (str(cache_folder / "mnist"), f"tried {first}: ", answer, "GPULR_DATA_HOME"):
        assert words in message
    assert files_in(cache_folder) == []
    with mirrors(bad, serving(tiny)) as [(_, asked), _]:
        check(load_mnist())
    assert asked
    assert files_in(cache_folder) == sorted(tiny)


def test_refused_connection_is_quick_and_leaves_nothing(tiny, cache_folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    monkeypatch.setattr(mnist, "MIRRORS", (url,))
    start = time.monotonic()
    with pytest.raises(DataUnavailableError, match="ConnectionError"):
        load_mnist()
    assert time.monotonic() - start < 2
    assert not cache_folder.exists()


@pytest.mark.slow
def test_silent_host_and_hanging_names_within_the_deadline(tiny, cache_folder, monkeypatch):
    """The real limits: a host that accepts and says nothing, and a DNS that never answers."""
    original, over = socket.getaddrinfo, threading.Event()

    def hang(host, *args, **kwargs):
        if host == "127.0.0.1":
            return original(host, *args, **kwargs)
        over.wait(60)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setattr(mnist, "MIRRORS", (silent, "http://mirror.invalid/"))
        start = time.monotonic()
        with pytest.warns(DataFallbackWarning, match=r"no answer within 5 s") as caught:
            assert load_default().name == "digits"
        assert time.monotonic() - start < 8
        assert f"tried {silent}: ReadTimeout" in str(caught[0].message)
        assert caught[0].filename == __file__
    over.set()
    assert not cache_folder.exists()


def test_silence_in_the_middle_of_a_body(tiny, cache_folder, monkeypatch, mirrors):
    monkeypatch.setattr(download, "READ_TIMEOUT", 0.2)
    over = threading.Event()

    def stall(handler, name):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(tiny[name])))
        handler.end_headers()
        handler.wfile.write(tiny[name][:30])
        handler.wfile.flush()
        over.wait(10)

    with mirrors(stall), pytest.raises(DataUnavailableError, match="timed out"):
        load_mnist()
    assert files_in(cache_folder) == []
    with mirrors(stall, serving(tiny)):
        check(load_mnist())
        over.set()


@pytest.mark.parametrize(
    ("raised", "seen", "words"),
    [
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
        (OSError(28, "No space left on device"), DataUnavailableError, "No space left"),
    ],
)
def test_a_download_that_is_cut_off_leaves_nothing_behind(
    tiny, cache_folder, monkeypatch, mirrors, raised, seen, words
):
    def cut_off(self, url, output_file, *args, **kwargs):
        Path(output_file).write_bytes(b"half")
        raise raised

    with mirrors(serving(tiny)):
        with monkeypatch.context() as patch:
            patch.setattr("pooch.HTTPDownloader.__call__", cut_off)
            with pytest.raises(seen, match=words):
                load_mnist()
        assert files_in(cache_folder) == []
        check(load_mnist())  # and its lock is free


def test_leftover_lock_file_and_file_system_without_locks(
    tiny, cache_folder, put, monkeypatch, mirrors
):
    def refuse(*args, **kwargs):
        raise NotImplementedError("flock")

    put(cache_folder / "mnist", {".download.lock": b""})
    with mirrors(serving(tiny)):
        with monkeypatch.context() as patch:
            patch.setattr("filelock.FileLock.acquire", refuse)
            check(load_mnist())
        (cache_folder / "mnist" / LABELS).unlink()
        check(load_mnist())


def test_progress_bar_on_a_terminal_only(tiny, cache_folder, monkeypatch, capsys, mirrors):
    with mirrors(serving(tiny)):
        check(load_mnist())
        assert capsys.readouterr() == ("", "")
        (cache_folder / "mnist" / LABELS).unlink()
        monkeypatch.setattr(download.sys.stderr, "isatty", lambda: True, raising=False)
        check(load_mnist())
    out, err = capsys.readouterr()
    assert out == ""
    assert LABELS in err


SCRIPT = """
import sys, pathlib
sys.path.insert(0, sys.argv[3])
import dataset_files
from gpulr.datasets import download, load_mnist, mnist
download.cache_folder = lambda: pathlib.Path(sys.argv[1])
mnist.MIRRORS = (sys.argv[2],)
mnist.FILES, _ = dataset_files.tiny_mnist()
print(load_mnist().X.shape)
"""


@pytest.mark.slow
def test_two_processes_download_once(tiny, tmp_path, cache_folder):
    serve = serving(tiny)

    def slowly(handler, name):
        time.sleep(0.1)
        serve(handler, name)

    here = str(Path(dataset_files.__file__).parent)
    with mirror(slowly) as (url, asked):
        command = [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path), url, here]
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        results = [process.communicate(timeout=60) for process in running]
    assert results == [("(12, 784)\n", "")] * 2
    assert files_in(tmp_path / "mnist") == sorted(tiny)
    assert set(asked) == set(tiny)
    assert len(asked) <= 6  # the two processes' probes, and one download of each
