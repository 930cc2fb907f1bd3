"""The files of checkpoints: whatever happens to them, none is lost, and none half read."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import gpulr
from checkpoints import KILLED, KILLED_SEARCH, TRAINING, Interrupt, interrupted, resumed, rows, same
from gpulr.errors import CheckpointError, CheckpointWarning, ParameterError
from gpulr.families import checkpoint_file
from gpulr.families.checkpoint_writer import SHARE, Dump, Writer
from helpers import start_python

X, Y = rows()
HOW = {"solver": "nesterov", "max_iter": 12, "tol": 0}  # so that it takes a few iterations
train = partial(gpulr.train, X, Y, **HOW)
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals and modes of POSIX")


@pytest.fixture(scope="module")
def expected():
    return train()


@pytest.fixture
def path(tmp_path):
    """A checkpoint after five iterations, and the one before it, after three."""
    path = tmp_path / "run.ckpt"
    interrupted(path, 3, X, Y, **HOW)
    with pytest.warns(gpulr.ResumedWarning):
        interrupted(path, 2, X, Y, **HOW)
    return path


def before(path):
    return path.with_name(path.name + ".previous")


def iteration(path):
    return checkpoint_file.read_one(path).about["iteration"]


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def test_the_one_before_is_kept(path):
    assert (iteration(path), iteration(before(path))) == (5, 3)
    assert names(path.parent) == ["run.ckpt", "run.ckpt.previous"]


def damages(content):
    yield from (content[:n] for n in (0, 1, 7, 8, 100, len(content) // 2, len(content) - 1))
    yield content + b"\0"
    yield bytes(len(content))
    rng = np.random.default_rng(0)
    for at in [0, 9, *rng.integers(0, len(content), 40).tolist()]:
        flipped = bytearray(content)
        flipped[at] ^= 1 << rng.integers(8)
        if flipped.rstrip(b" ") != content:
            yield bytes(flipped)


def test_where_it_is_damaged_the_one_before_serves(path, expected):
    whole, older = path.read_bytes(), before(path).read_bytes()
    for damaged in damages(whole):
        path.write_bytes(damaged)
        if checkpoint_file.FORMAT.encode() not in damaged[:4096] and damaged.strip(b"\0"):
            with pytest.raises(CheckpointError, match="it is not overwritten"):
                train(checkpoint=path)
            continue
        with pytest.warns(CheckpointWarning, match="it is damaged") as caught:
            found, bad = checkpoint_file.read(path)
        assert len(caught) == 1
        assert bad
        assert found.path == before(path)
    with pytest.warns(CheckpointWarning, match="it is damaged"):
        model, told = resumed(X, Y, **HOW, checkpoint=path, checkpoint_every=0)
    assert told[0][1] == 3
    same(model, expected)
    assert before(path).read_bytes() != older
    before(path).write_bytes(older)
    assert iteration(before(path)) == 3


def test_what_is_damaged_does_not_become_the_one_before(path):
    older = before(path).read_bytes()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(CheckpointWarning), pytest.warns(gpulr.ResumedWarning):
        interrupted(path, 1, X, Y, **HOW)
    assert iteration(path) == 4
    assert before(path).read_bytes() == older


def test_where_both_are_damaged_nothing_is_trained(path):
    for each in (path, before(path)):
        each.write_bytes(each.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"is damaged \(.*\), as is .*previous\. Delete it"):
        train(checkpoint=path)


def test_where_it_is_removed_the_one_before_serves_if_it_is_of_the_run(path, expected):
    path.unlink()
    model, told = resumed(X, Y, **HOW, checkpoint=path)
    assert told[0][1] == 3
    same(model, expected)
    path.unlink()
    assert train(C=2.0, checkpoint=path).n_iter > 0  # somebody begins anew
    for damaged in (b"", before(path).read_bytes()[:-1]):
        path.unlink()
        before(path).write_bytes(damaged)
        same(train(checkpoint=path), expected)


@pytest.mark.parametrize("previous", [False, True])
@pytest.mark.parametrize("kind", ["text", "model", "folder", "dangling link"])
def test_what_is_no_checkpoint_is_not_overwritten(tmp_path, expected, kind, previous):
    path = other = tmp_path / "run.ckpt"
    if previous:
        interrupted(path, 3, X, Y, **HOW)
        other = before(path)
    if kind == "text":
        other.write_text("of somebody's\n")
    elif kind == "model":
        expected.save(tmp_path / "m.safetensors")
        (tmp_path / "m.safetensors").rename(other)
    elif kind == "folder":
        other.mkdir()
    else:
        other.symlink_to(tmp_path / "nothing")
    names_before = names(tmp_path)
    error = ParameterError if kind == "folder" and not previous else CheckpointError
    if kind == "dangling link" and not previous:
        same(train(checkpoint=path), expected)  # written where it points to
        assert iteration(tmp_path / "nothing") == expected.n_iter
        return
    with pytest.raises(error, match="folder" if error is ParameterError else "not overwritten"):
        train(checkpoint=path)
    assert names(tmp_path) == names_before


def test_an_empty_file_is_no_checkpoint(tmp_path):
    path = tmp_path / "run.ckpt"
    path.touch()
    with pytest.raises(CheckpointError, match="is damaged"):
        train(checkpoint=path)


def test_links_are_followed(tmp_path, expected):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "run.ckpt"
    link.symlink_to(tmp_path / "disk" / "a.ckpt")
    interrupted(link, 3, X, Y, **HOW)
    same(resumed(X, Y, **HOW, checkpoint=link)[0], expected)
    assert names(tmp_path / "disk") == ["a.ckpt", "a.ckpt.previous"]
    assert link.is_symlink()


def test_a_later_version_of_the_format_is_told(path, monkeypatch):
    monkeypatch.setattr(checkpoint_file, "VERSION", "0")
    with pytest.raises(CheckpointError, match="version 1 of the format, and this gpulr reads 0"):
        train(checkpoint=path)


def test_files_that_have_one_name_only(tmp_path, expected, monkeypatch):
    def refuse(*args):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "run.ckpt"
    train(checkpoint=path, checkpoint_every=0)
    assert names(tmp_path) == ["run.ckpt", "run.ckpt.previous"]
    assert iteration(before(path)) == expected.n_iter - 1


# ---- what cannot be written ---------------------------------------------------------------------


@posix
def test_where_none_could_be_written_nothing_is_trained(tmp_path):
    with pytest.raises(ParameterError, match="in a folder that exists"):
        train(checkpoint=tmp_path / "no" / "run.ckpt")
    if os.geteuid() == 0:
        return  # who may write everywhere
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ParameterError, match="no file can be written there"):
            train(checkpoint=tmp_path / "run.ckpt")
    finally:
        tmp_path.chmod(0o700)


@pytest.fixture
def nobody(expected):
    """A folder that is somebody else's; meanwhile this process is a user who may not do all."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("needs root, to be another user")
    folder = Path(tempfile.mkdtemp())  # where others may look
    folder.chmod(0o755)
    interrupted(folder / "run.ckpt", 3, X, Y, **HOW)  # all is imported now, too
    os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


def test_a_folder_of_another_user(nobody):
    told, content = Interrupt(), (nobody / "run.ckpt").read_bytes()
    for name in ("run.ckpt", "new.ckpt"):
        with pytest.raises(ParameterError, match="no file can be written there"):
            train(callbacks=[told], checkpoint=nobody / name)
    assert not told.told
    assert names(nobody) == ["run.ckpt"]
    assert (nobody / "run.ckpt").read_bytes() == content


@pytest.mark.filterwarnings("ignore::gpulr.ResumedWarning")
def test_a_folder_that_becomes_read_only(nobody, expected):
    own = Path(tempfile.mkdtemp())
    try:
        interrupted(own / "run.ckpt", 3, X, Y, **HOW)
        content = (own / "run.ckpt").read_bytes()

        def close(progress):
            own.chmod(0o500)

        with pytest.warns(gpulr.CheckpointWarning, match="what was written before is kept"):
            model = train(callbacks=[close], checkpoint=own / "run.ckpt", checkpoint_every=0)
        same(model, expected)
        assert (own / "run.ckpt").read_bytes() == content
        own.chmod(0o700)
        with pytest.warns(gpulr.ResumedWarning, match="iteration 3"):
            same(train(checkpoint=own / "run.ckpt"), expected)
    finally:
        own.chmod(0o700)
        shutil.rmtree(own)


@pytest.mark.parametrize(
    ("name", "value"),
    [("checkpoint", 5), ("checkpoint_every", -1), ("checkpoint_every", "often")],
)
def test_arguments_are_checked(tmp_path, name, value):
    with pytest.raises(ParameterError, match=f"{name}="):
        train(**{"checkpoint": tmp_path / "run.ckpt"} | {name: value})


def failing(monkeypatch, at):
    """Fail to write checkpoints whose numbers ``at`` says so of."""
    written, write = [], checkpoint_file.write

    def maybe(*args, **how):
        written.append(how["about"])
        if at(len(written)):
            raise OSError(28, "No space left on device")
        write(*args, **how)

    monkeypatch.setattr(checkpoint_file, "write", maybe)
    return written


def test_training_goes_on_where_some_cannot_be_written(tmp_path, expected, monkeypatch):
    path = tmp_path / "run.ckpt"
    failing(monkeypatch, lambda n: 2 <= n <= 4)
    words = r"\(No space left on device\); what was written before is kept\. Training goes on\.$"
    with pytest.warns(CheckpointWarning, match=words) as caught:
        same(train(checkpoint=path, checkpoint_every=0), expected)
    assert len(caught) == 1, [str(each.message) for each in caught]
    assert iteration(path) == expected.n_iter
    assert iteration(before(path)) == expected.n_iter - 1


def test_a_result_that_cannot_be_written_is_returned_all_the_same(tmp_path, expected, monkeypatch):
    path = tmp_path / "run.ckpt"
    interrupted(path, 3, X, Y, **HOW)
    failing(monkeypatch, lambda n: True)
    with pytest.warns(
        CheckpointWarning, match=r"No space left.* what was written before is kept\.$"
    ):
        same(resumed(X, Y, **HOW, checkpoint=path)[0], expected)
    assert iteration(path) == 3
    with (
        pytest.warns(CheckpointWarning, match="No space left"),
        pytest.warns(gpulr.ResumedWarning),
        pytest.raises(gpulr.TrainingInterrupted, match=r"of this exception\.$"),
    ):
        train(checkpoint=path, callbacks=[Interrupt(1)])


def test_what_another_run_writes_to_the_path_is_left_alone(tmp_path, expected):
    path = tmp_path / "run.ckpt"

    def meanwhile(progress):
        if progress.iteration == 4:
            interrupted(path, 2, X, Y, **HOW, C=2.0)

    words = "another run has written its checkpoint there meanwhile.* a path of its own\\.$"
    with pytest.warns(CheckpointWarning, match=words) as caught:
        same(train(checkpoint=path, callbacks=[meanwhile]), expected)
    assert len(caught) == 1
    assert checkpoint_file.read_one(path).fingerprint["C"] == "2.0"
    assert iteration(path) == 2


def test_on_the_way_another_run_is_told_once(tmp_path):
    path = tmp_path / "run.ckpt"
    dump = Dump({}, {"fingerprint": {}, "about": {}, "tree": {}})
    writer, other = (Writer(path, 0, lambda *run, copy: dump) for _ in range(2))
    writer.offer(1)
    writer.offer(2)
    writer.wait()
    content = path.read_bytes()
    other.offer(1)
    with pytest.warns(CheckpointWarning, match="another run .* Training goes on"):
        other.wait()
    other.offer(2)
    other.wait()  # which warns no more
    assert path.read_bytes() == content
    path.unlink()
    other.offer(3)
    other.wait()
    assert path.read_bytes() == content


def test_a_full_disk(small_disk, expected):
    path = small_disk / "run.ckpt"
    interrupted(path, 3, X, Y, **HOW)
    (small_disk / "other").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096 - 4096))
    with pytest.warns(CheckpointWarning, match="No space left"):
        model, _ = resumed(X, Y, **HOW, checkpoint=path, checkpoint_every=0)
    same(model, expected)
    assert iteration(path) == 3
    assert names(small_disk) == ["other", "run.ckpt"]
    (small_disk / "other").unlink()
    same(resumed(X, Y, **HOW, checkpoint=path)[0], expected)


# ---- when ----------------------------------------------------------------------------------------


def test_none_is_written_on_the_way_where_that_is_asked_for(tmp_path, monkeypatch):
    written = failing(monkeypatch, lambda n: False)
    for every in (None, 60.0):
        train(checkpoint=tmp_path / f"{every}.ckpt", checkpoint_every=every)
    assert [about["finished"] for about in written] == [True, True]


def test_writing_takes_a_hundredth_of_the_time(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint_file, "write", lambda *args, **how: written.append(now[0]))
    monkeypatch.setattr(time, "thread_time", lambda: 2.0 * len(written))
    written = []
    writer = Writer(tmp_path / "run.ckpt", 10.0, lambda *run, copy: Dump({}, {}))
    for now[0] in range(0, 500, 5):
        writer.offer(f"at {now[0]}")
        writer.wait()
    assert len(written) == 3
    assert written[0] == 10.0
    assert np.all(np.abs(np.diff(written) - 2.0 / SHARE) <= 5.0)


@posix
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_that_end_a_process_leave_a_checkpoint(tmp_path, number):
    path = tmp_path / "run.ckpt"
    with start_python(TRAINING, CHECKPOINT=str(path)) as process:
        while "iteration 7" not in process.stdout.readline():
            pass
        process.send_signal(getattr(signal, number))
        text = process.communicate(timeout=60)[0]
    assert f"TrainingInterrupted: Training was interrupted after {iteration(path)}" in text
    assert f"The same call goes on from {path}." in text


@posix
@pytest.mark.parametrize(
    ("solver", "kills"),
    [
        ("lbfgs", 8),
        pytest.param("lbfgs", 100, marks=pytest.mark.slow),
        pytest.param("gd", 100, marks=pytest.mark.nightly),
    ],
)
def test_none_is_lost_however_often_the_process_is_killed(tmp_path, solver, kills):
    settings = {"CHECKPOINT": str(tmp_path / "run.ckpt"), "SOLVER": solver, "KILLS": str(kills)}
    with start_python(KILLED, **settings) as process:
        text = process.communicate(timeout=300)[0]
    assert "the same after" in text, text


@posix
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arrays", "blocks", "a C for each model"])
def test_searches_that_are_killed_go_on_to_the_same_bits(tmp_path, kind):
    with start_python(KILLED_SEARCH, CHECKPOINT=str(tmp_path / "run.ckpt"), KIND=kind) as process:
        text = process.communicate(timeout=300)[0]
    assert "the same after" in text, text
    assert int(text.split()[-1]) > 3, text
