"""When checkpoints of a training are written, what they are of, and what is done with one."""

from __future__ import annotations

import os
import signal
import threading
import warnings

import numpy as np
import pytest

import gpulr
from checkpoints import Interrupt, interrupted, resumed, rows, same
from gpulr.errors import CheckpointError
from gpulr.families import checkpoint_file
from gpulr.solvers import groups


def test_a_training_that_is_done_is_not_done_again(tmp_path):
    X, y = rows()
    path = tmp_path / "run.ckpt"
    expected = gpulr.train(X, y, checkpoint=path)
    told = Interrupt()
    with pytest.warns(gpulr.ResumedWarning, match="nothing is trained"):
        model = gpulr.train(X, y, checkpoint=path, callbacks=[told], max_iter=50)
    same(model, expected)
    assert not told.told
    assert model.history.seconds.tolist() == expected.history.seconds.tolist()


def test_more_iterations_go_on_where_there_were_too_few(tmp_path):
    X, y = rows()
    path, how = tmp_path / "run.ckpt", {"C": [1.0, 1e3, 1e5, np.inf], "tol": 1e-6}
    expected = gpulr.train(X, y, **how)
    for max_iter in range(expected.n_iter):
        short, told = warned(X, y, checkpoint=path, max_iter=max_iter, **how)
        same(short, warned(X, y, max_iter=max_iter, **how)[0])
        assert (f"goes on from {path}: iteration {max_iter - 2}" in told) == (max_iter > 1)
        again, told = warned(X, y, checkpoint=path, max_iter=max_iter, **how)
        assert "nothing is trained" in told
        same(again, short)
    same(resumed(X, y, checkpoint=path, **how)[0], expected)


def warned(*args, **how):
    """Train in too few iterations; return the model, and the texts of all warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = gpulr.train(*args, **how)
    assert caught[-1].category is gpulr.ConvergenceWarning
    return model, "\n".join(str(each.message) for each in caught)


@pytest.mark.parametrize("batched", [True, False])
def test_groups_that_had_too_few_iterations_begin_anew(tmp_path, batched, monkeypatch):
    X, y = rows()
    if batched:
        monkeypatch.setattr(groups, "cut", lambda n, *sizes: np.array_split(np.arange(n), 2))
    path, how = tmp_path / "run.ckpt", {"C": [1.0, 1e3, 1e5, np.inf], "tol": 1e-9}
    how |= {"dtype": "float64"}
    how["batched"] = batched
    expected = gpulr.train(X, y, **how)
    warned(X, y, checkpoint=path, max_iter=2, **how)
    same(resumed(X, y, checkpoint=path, **how)[0], expected)


def test_fewer_iterations_than_were_done_keep_what_was_done(tmp_path):
    X, y = rows()
    path, how = tmp_path / "run.ckpt", {"solver": "nesterov", "tol": 0}
    interrupted(path, 4, X, y, max_iter=12, **how)
    with pytest.warns(gpulr.ResumedWarning, match="iteration 4"):
        assert gpulr.train(X, y, checkpoint=path, max_iter=1, **how).n_iter == 4
    other, how["tol"] = tmp_path / "other.ckpt", 1e-9
    interrupted(other, 4, X, y, max_iter=12, **how)
    assert "(in 4 iterations)" in warned(X, y, checkpoint=other, max_iter=1, **how)[1]
    how["tol"] = 0
    model, told = resumed(X, y, checkpoint=path, max_iter=12, **how)
    assert told[0][1] == 4
    same(model, gpulr.train(X, y, max_iter=12, **how))


def test_a_callback_that_ends_training_ends_it_again_at_once(tmp_path):
    X, y = rows()
    path, stop = tmp_path / "run.ckpt", Interrupt(3, StopIteration)
    stopped = gpulr.train(X, y, checkpoint=path, callbacks=[stop])
    again = Interrupt(0, StopIteration)
    with pytest.warns(gpulr.ResumedWarning, match="iteration 3"):
        same(gpulr.train(X, y, checkpoint=path, callbacks=[again]), stopped)
    assert [iteration for _, iteration in again.told] == [3]
    same(resumed(X, y, checkpoint=path)[0], gpulr.train(X, y))


@pytest.mark.parametrize("error", [ValueError("of a callback"), MemoryError()])
def test_an_error_leaves_what_was_before(tmp_path, error):
    X, y = rows()
    expected = gpulr.train(X, y)
    for at in range(1, expected.n_iter + 1):
        path = tmp_path / f"{at}.ckpt"
        with pytest.raises(type(error)):
            gpulr.train(X, y, checkpoint=path, callbacks=[Interrupt(at, error)])
        model, told = resumed(X, y, checkpoint=path)
        same(model, expected)
        assert told[0][1] == at - 1


@pytest.mark.filterwarnings("ignore::gpulr.ResumedWarning")
def test_divergence_leaves_the_last_good_state(tmp_path):
    X, y = rows()
    path, how = tmp_path / "run.ckpt", {"solver": "gd", "learning_rate": 1e155, "C": 1e-3}
    for _ in range(2):
        with pytest.raises(gpulr.DivergenceError):
            gpulr.train(X, y, checkpoint=path, **how)
        assert checkpoint_file.read_one(path).about["iteration"] == 0


def test_each_iteration_is_written(tmp_path, monkeypatch):
    X, y = rows()
    path, seen, how = tmp_path / "run.ckpt", [], {"solver": "nesterov", "max_iter": 40, "tol": 0}
    write = checkpoint_file.write
    monkeypatch.setattr(
        checkpoint_file,
        "write",
        lambda *args, **how: [seen.append(how["about"]), write(*args, **how)],
    )
    expected = gpulr.train(X, y, checkpoint=path, checkpoint_every=0, **how)
    iterations = [about["iteration"] for about in seen if not about["finished"]]
    assert iterations == list(range(expected.n_iter))
    assert [about["finished"] for about in seen] == [False] * len(iterations) + [True]
    assert checkpoint_file.read_one(tmp_path / "run.ckpt.previous").about == seen[-2]


X, Y = rows()
ANOTHER = {
    "X": ({"X": np.where(X[200, 3] == X, X + 1e-6, X)}, "X is another one here"),
    "shape": ({"X": X[:, 1:]}, r"the shape of X was \(240, 9\), and is \(240, 8\)"),
    "dtype of X": ({"X": X.astype(np.float64)}, "the dtype of X was float32, and is float64"),
    "y": ({"y": np.roll(Y, 1)}, "y is another one here"),
    "classes": ({"y": Y + 1}, "the classes of y are others here"),
    "names": ({"y": Y.astype(str)}, "the classes of y are others here"),
    "weights": ({"sample_weight": np.ones(240)}, "sample_weight was None, and is given"),
    "solver": ({"solver": "nesterov"}, "solver was lbfgs, and is nesterov"),
    "C": ({"C": 2}, r"C was 1\.0, and is 2\.0"),
    "tol": ({"tol": 1e-5}, r"tol was 0\.0001, and is 1e-05"),
    "dtype": ({"dtype": "float64"}, "dtype was float32, and is float64"),
    "batched": ({"batched": False}, "batched was True, and is False"),
    "balanced": ({"class_weight": "balanced"}, "class_weight was None, and is balanced"),
    "start": ({"start": None}, "start was None, and is given"),
}


@pytest.mark.parametrize("other", ANOTHER)
def test_another_run_is_told(tmp_path, other):
    path, (change, words) = tmp_path / "run.ckpt", ANOTHER[other]
    interrupted(path, 3, X, Y)
    before = path.read_bytes()
    arguments = {"X": X, "y": Y} | change
    if "start" in change:
        arguments["start"] = gpulr.train(X, Y)
    with pytest.raises(CheckpointError, match=words + ".* Delete it to begin anew") as caught:
        gpulr.train(**arguments, checkpoint=path)
    assert caught.value.path == path
    assert path.read_bytes() == before


def test_another_version_is_told(tmp_path, monkeypatch):
    X, y = rows()
    path = tmp_path / "run.ckpt"
    interrupted(path, 3, X, y)
    monkeypatch.setattr("gpulr.families.fingerprint.__version__", "9.0")
    with pytest.raises(CheckpointError, match=r"gpulr was .*, and is 9\.0 here"):
        gpulr.train(X, y, C=2.0, checkpoint=path)


def test_in_another_thread_those_on_the_way_are_written(tmp_path):
    path, found = tmp_path / "run.ckpt", []
    how = {"solver": "nesterov", "max_iter": 20, "tol": 0, "checkpoint": path}

    def tell(progress):
        if progress.iteration == 15:
            found.append(checkpoint_file.read_one(path).about["iteration"])

    def train():
        found.append(gpulr.train(X, Y, checkpoint_every=0, callbacks=[tell], **how))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert found[0] >= 12
    assert checkpoint_file.read_one(path).about["finished"]


@pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")
def test_signals_do_what_they_did_before_and_after(tmp_path):
    number, seen = signal.SIGTERM, []
    before = signal.getsignal(number)

    def look(progress):
        seen.append(signal.getsignal(number))

    def own(*_):
        raise AssertionError

    try:
        for handler in (signal.SIG_DFL, signal.SIG_IGN, own):
            signal.signal(number, handler)
            for path in (None, tmp_path / f"{len(seen)}.ckpt"):
                gpulr.train(X, Y, max_iter=0, tol=0, callbacks=[look], checkpoint=path)
                assert signal.getsignal(number) == handler
    finally:
        signal.signal(number, before)
    kept = [signal.SIG_DFL, None, signal.SIG_IGN, signal.SIG_IGN, own, own]
    assert [None if i == 1 else each for i, each in enumerate(seen)] == kept
    assert seen[1] not in (signal.SIG_DFL, signal.SIG_IGN, own)
