"""Files that are replaced when they are complete: what stays, what goes, and whose it is."""

from __future__ import annotations

import os
import signal
import stat
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from gpulr import output_files
from gpulr.errors import ParameterError
from gpulr.output_files import check_folder, replaced
from helpers import start_python

posix = pytest.mark.skipif(os.name != "posix", reason="needs locks and modes of POSIX")


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def write(path, content=b"new"):
    with replaced(path) as temporary:
        temporary.write_bytes(content)


WRITER = """
import os, time
from pathlib import Path
from gpulr.output_files import replaced
with replaced(Path(os.environ["TARGET"])) as temporary:
    temporary.write_bytes(b"half")
    print("writing", flush=True)
    while not Path(os.environ.get("DONE", "")).is_file():
        time.sleep(0.01)
"""


@contextmanager
def writing(path, **environment):
    """Another process, while it writes."""
    with start_python(WRITER, TARGET=str(path), **environment) as process:
        assert process.stdout.readline() == "writing\n"
        yield process
        process.communicate(timeout=60)


@posix
def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_there(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with writing(path) as process:
        process.kill()
    assert len(names(tmp_path)) == 2
    assert path.read_bytes() == b"old"
    write(tmp_path / "another.bin")
    assert names(tmp_path) == ["a.bin", "another.bin"]


@posix
def test_an_interrupted_process_removes_its_own(tmp_path):
    with writing(tmp_path / "a.bin") as process:
        process.send_signal(signal.SIGINT)
    assert names(tmp_path) == []


@posix
def test_what_a_living_process_writes_is_left(tmp_path, tmp_path_factory):
    path, done = tmp_path / "a.bin", tmp_path_factory.mktemp("done") / "done"
    with writing(path, DONE=str(done)) as process:
        write(tmp_path / "another.bin")
        assert len(names(tmp_path)) == 2
        done.touch()
    assert process.returncode == 0
    assert path.read_bytes() == b"half"
    assert names(tmp_path) == ["a.bin", "another.bin"]


def test_what_this_process_writes_is_left(tmp_path):
    with replaced(tmp_path / "a.bin") as first:
        first.write_bytes(b"first")
        write(tmp_path / "b.bin")
        write(tmp_path / "a.bin", b"second")
    assert (tmp_path / "a.bin").read_bytes() == b"first"
    assert names(tmp_path) == ["a.bin", "b.bin"]


def test_files_of_users_stay(tmp_path):
    others = [".a.bin.0123abcd.tmp", ".gpulr-0123456789abcdef.tmp.bak", ".gpulr-mine.tmp"]
    others += [".gpulr-0123456789abcde.tmp", "gpulr-0123456789abcdef.tmp"]
    for name in others:
        (tmp_path / name).write_text("kept")
    (tmp_path / ".gpulr-0123456789abcdef.tmp").mkdir()
    (tmp_path / ".gpulr-0123456789abcdee.tmp").symlink_to(tmp_path / others[0])
    before = names(tmp_path)
    write(tmp_path / "a.bin")
    assert names(tmp_path) == sorted([*before, "a.bin"])
    assert {(tmp_path / name).read_text() for name in others} == {"kept"}


@posix
def test_a_file_taken_for_abandoned_before_it_was_locked_is_made_anew(tmp_path, monkeypatch):
    flock, calls = output_files.fcntl.flock, []

    def late(lock, how):
        calls.append(how)
        if len(calls) == 1:  # another process is quicker
            write(tmp_path / "b.bin")
        return flock(lock, how)

    monkeypatch.setattr(output_files.fcntl, "flock", late)
    write(tmp_path / "a.bin")
    assert len(calls) == 4
    assert names(tmp_path) == ["a.bin", "b.bin"]


@posix
def test_where_there_are_no_locks_nothing_is_removed(tmp_path, monkeypatch):
    def refuse(lock, how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(output_files.fcntl, "flock", refuse)
    with replaced(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"first")
        write(tmp_path / "b.bin")
    assert names(tmp_path) == ["a.bin", "b.bin"]


def test_without_locks_of_posix(tmp_path, monkeypatch):
    """As on Windows, but for files that are open, which can be removed here."""
    monkeypatch.setattr(output_files, "fcntl", None)
    (tmp_path / ".gpulr-0123456789abcdef.tmp").write_text("left")
    write(tmp_path / "a.bin")
    write(tmp_path / "a.bin", b"newer")
    with pytest.raises(KeyError), replaced(tmp_path / "a.bin"):
        raise KeyError
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"newer"


def test_many_threads_at_once(tmp_path):
    faults = []

    def often(i):
        try:
            for k in range(20):
                write(tmp_path / f"{i % 3}.bin", bytes([k]))
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=often, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert names(tmp_path) == ["0.bin", "1.bin", "2.bin"]


@posix
def test_a_working_directory_that_was_removed(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ParameterError, match=r"^m: no file can .* there \(No such.*another path"):
        check_folder(Path("m.bin"), "m", "model.bin")


@pytest.mark.parametrize("length", [237, 238, 250, 255])
def test_names_as_long_as_the_file_system_takes(tmp_path, length):
    name = "x" * (length - 12) + ".safetensors"
    write(tmp_path / name)
    write(tmp_path / name, b"newer")
    with pytest.raises(OSError, match="too long"):
        write(tmp_path / ("y" * 256))
    assert names(tmp_path) == [name]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666, 0o755, 0o200])
def test_the_mode_of_what_is_replaced_is_kept(tmp_path, mode, request):
    request.addfinalizer(partial(os.umask, os.umask(0o027)))
    path = tmp_path / "a.bin"
    path.touch()
    path.chmod(mode)
    with replaced(path) as temporary:
        open_to = stat.S_IMODE(temporary.stat().st_mode)
        temporary.write_bytes(b"new")
    assert open_to & 0o077 & ~mode == 0  # nobody reads meanwhile what is not for them
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.stat().st_size == 3
    write(tmp_path / "new.bin")
    assert stat.S_IMODE((tmp_path / "new.bin").stat().st_mode) == 0o640  # as of any file


@posix
def test_owner_and_group_are_kept_where_they_may_be(tmp_path, monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    path = tmp_path / "a.bin"
    path.touch()
    os.chown(path, 1234, 2345)
    path.chmod(0o664)
    write(path)
    after = path.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (1234, 2345, 0o664)

    def refuse(*args):
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604  # the group is another
