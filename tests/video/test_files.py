"""Videos of training, and the file where something is missing, wrong or interrupted."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest

import gpulr
from gpulr import video
from gpulr.errors import DataError, MissingExtraError, ParameterError
from gpulr.video import film, retraining
from gpulr.video.retraining import Recording, pictures_of
from gpulr.video.sheet import Sheet
from helpers import start_python, strict_json

SMALL = {"size": (320, 180), "seconds": 0.2}


def files(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def recorded(monkeypatch):
    """The runs that were filmed."""
    runs = []

    def kept(run, *arguments):
        runs.append(run)
        return pictures_of(run, *arguments)

    monkeypatch.setattr(retraining, "pictures_of", kept)
    return runs


@pytest.mark.parametrize(
    ("solver", "settings"),
    [
        ("gd", {"C": 0.1}),
        ("gd", {"solver": "gd", "learning_rate": 0.3}),
        ("nesterov", {"fit_intercept": False, "dtype": "float64"}),
        ("lbfgs", {"standardize": True}),
        ("gd", {"class_weight": {3: 5.0}, "C": np.arange(1.0, 11.0)}),
    ],
)
def test_training_is_that_of_the_model(av, data, tmp_path, recorded, solver, settings):
    model = gpulr.train(data, max_iter=3, tol=0, **settings)
    made = video.training(
        *(model, data.X, data.y, tmp_path / "t.mp4"),
        **{"X_test": data.X_test, "y_test": data.y_test, "solver": solver, "max_iter": 12},
        **SMALL,
    )
    again = gpulr.train(data, max_iter=12, tol=0, **settings | {"solver": solver})
    run = recorded[0]
    assert len(run.cost) == len(run.accuracy) == len(run.weights) == 13
    np.testing.assert_allclose(run.cost, again.history.cost.mean(axis=1), rtol=1e-6)
    expected = again.weights.T.reshape(-1, 8, 8)
    np.testing.assert_allclose(run.weights[-1], expected, rtol=1e-3, atol=1e-5)
    assert not run.weights[0].any()
    assert made.accuracy == run.accuracy[-1] == again.score(data.X_test, data.y_test)


def test_training_with_sample_weight_needs_it_again(av, data, tmp_path, recorded, rng):
    weight = rng.uniform(0.5, 2, len(data.y))
    model = gpulr.train(data, sample_weight=weight, max_iter=5, tol=0, solver="gd")
    arguments = (model, data.X, data.y, tmp_path / "t.mp4")
    with pytest.raises(ParameterError, match="Pass the same sample_weight="):
        video.training(*arguments, max_iter=5, **SMALL)
    video.training(*arguments, max_iter=5, sample_weight=weight, **SMALL)
    np.testing.assert_allclose(recorded[0].cost, model.history.cost.mean(axis=1), rtol=1e-6)


def test_training_of_several_labels_and_of_one_model(av, data, tmp_path, recorded):
    Y = (data.y[:, None] % [2, 3, 5] == 0) & (data.y[:, None] > 0)
    for y, images in ((Y, 3), (data.y > 4, 1)):
        model = gpulr.train(data.X, y, image_shape=(8, 8), max_iter=3, tol=0)
        made = video.training(model, data.X, y, tmp_path / "t.mp4", max_iter=3, **SMALL)
        assert recorded[-1].weights.shape == (4, images, 8, 8)
        assert made.frames == 6


def test_numbers_and_curves_are_of_the_same_iteration(monkeypatch):
    words, ends = [], []
    draw_text, draw_curve = Sheet.text, Sheet.curve

    def text(sheet, x, y, text, **more):
        words.append(text)
        return draw_text(sheet, x, y, text, **more)

    def curve(sheet, points, *arguments, **more):
        ends.append(points[-1])
        draw_curve(sheet, points, *arguments, **more)

    monkeypatch.setattr(Sheet, "text", text)
    monkeypatch.setattr(Sheet, "curve", curve)
    W = np.zeros((5, 1, 8, 8), dtype=np.float32)
    cost, accuracy = np.array([1, 0.5, 0.3, 0.2, 0.1]), np.array([0.1, 0.4, 0.6, 0.7, 0.8])
    run = Recording(W, cost, accuracy, ["a"], "gradient descent", "accuracy")
    seen = set()
    for _ in pictures_of(run, (320, 180), 36, 10):
        iteration = int(next(word for word in words if "Iteration" in word).split()[1])
        assert {f"{run.cost[iteration]:.4f}", f"{100 * run.accuracy[iteration]:.1f}%"} <= set(words)
        (x, cost), (_, accuracy) = ends
        assert x == pytest.approx(876 + 340 * np.sqrt(iteration / 4))
        assert cost == pytest.approx(348 - 180 * run.cost[iteration])
        assert accuracy == pytest.approx(626 - 180 * run.accuracy[iteration])
        seen.add(iteration)
        words.clear()
        ends.clear()
    assert seen == set(range(5))


def test_early_iterations_are_shown_for_longer_and_weights_in_one_scale():
    W = np.zeros((101, 2, 8, 8), dtype=np.float32)
    W[:, 0] = np.linspace(0, 1, 101)[:, None, None]  # the first class's grow to 1
    W[:, 1] = -W[:, 0]
    cost, accuracy = np.linspace(0.7, 0.1, 101), np.linspace(0.1, 0.9, 101)
    run = Recording(W, cost, accuracy, ["a", "b"], "gradient descent", "test accuracy")
    shown = list(pictures_of(run, (640, 360), 36, 10))
    assert sum(repeats for _, repeats in shown) == 36
    assert shown[-1][1] == 9
    pictures = [np.asarray(picture).astype(int) for picture, _ in shown]
    first, second = (np.array([p[175, x] for p in pictures]) for x in (100, 280))
    assert (np.diff(first[:, 1]) <= 0).all()  # from white to red: less and less green
    assert first[0].min() > 240
    assert first[-1, 0] > first[-1, 2] + 80
    assert second[-1, 2] > second[-1, 0] + 80
    # Half of the time goes to the first quarter of the iterations.
    half = len(pictures) // 2
    reds = 255 - first[:, 1]
    assert 0.2 < reds[half] / reds[-1] < 0.4


def test_a_callback_can_end_training(av, model, data, tmp_path, recorded):
    def stop(progress):
        if progress.iteration == 4:
            raise StopIteration

    arguments = (model, data.X, data.y, tmp_path / "t.mp4")
    video.training(*arguments, callbacks=[stop], **SMALL)
    assert len(recorded[0].weights) == len(recorded[0].cost) == 5


@pytest.mark.parametrize("how", ["callback", "progress"])
def test_an_interrupted_run_leaves_what_was_there(av, model, data, tmp_path, how):
    path = tmp_path / "t.mp4"
    path.write_bytes(b"before")

    def interrupt(*_):
        raise KeyboardInterrupt

    more = {"callbacks": [interrupt]} if how == "callback" else {"progress": interrupt}
    with pytest.raises(KeyboardInterrupt):
        video.training(model, data.X, data.y, path, max_iter=5, **more, **SMALL)
    assert files(tmp_path) == ["t.mp4"]
    assert path.read_bytes() == b"before"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for other processes")
def test_ctrl_c_leaves_no_file(av, tmp_path):
    code = f"""
import gpulr, sys
from gpulr import video
data = gpulr.datasets.load_digits()
model = gpulr.train(data, max_iter=2, tol=0)
tell = lambda done, total: print("frames", flush=True)
video.predictions(model, data.X, data.y, {str(tmp_path / "d.mp4")!r}, samples=1000, progress=tell)
"""
    with start_python(code) as process:
        assert process.stdout.readline() == "frames\n"
        assert len(files(tmp_path)) == 1  # beside where it will be
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode != 0
    assert files(tmp_path) == []


def test_a_file_that_cannot_be_written_is_one_error(av, model, data, tmp_path):
    if sys.platform == "win32":
        pytest.skip("Windows has no limit on a file's size")
    code = f"""
import gpulr, resource, signal
from gpulr import video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
data = gpulr.datasets.load_digits()
model = gpulr.train(data, max_iter=2, tol=0)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    video.predictions(model, data.X, data.y, {str(tmp_path / "d.mp4")!r}, samples=20, seconds=0.2)
except gpulr.DataFileError as error:
    print(error)
"""
    with start_python(code) as process:
        output, _ = process.communicate(timeout=60)
    assert "the video could not be written" in output
    assert "What was there before is untouched" in output
    assert files(tmp_path) == []
    os.mkfifo(tmp_path / "d.mp4")
    with pytest.raises(ParameterError, match="not a regular file"):
        video.predictions(model, data.X, data.y, tmp_path / "d.mp4", samples=1)


def test_rows_that_are_no_images_are_a_typed_error(av, data, tmp_path):
    flat = gpulr.train(data.X, data.y, max_iter=1, tol=0)
    deep = gpulr.train(data.X.reshape(-1, 2, 2, 4, 4), data.y, max_iter=1, tol=0)
    words = r"64 numbers without an image shape.*image_shape="
    for write, model, message in (
        (video.predictions, flat, words),
        (video.training, flat, words),
        (video.predictions, deep, r"shape \(2, 2, 4, 4\)"),
    ):
        with pytest.raises(DataError, match=message):
            write(model, data.X, data.y, tmp_path / "d.mp4")
    assert files(tmp_path) == []


def test_without_pyav_the_error_names_the_extra(monkeypatch, model, data, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    for write in (video.predictions, video.training):
        with pytest.raises(MissingExtraError, match=r'python -m pip install "\.\[video\]"'):
            write(model, data.X, data.y, tmp_path / "d.mp4")


def test_pyav_without_libx264_says_which_to_install(av, monkeypatch):
    monkeypatch.setattr("av.codec.codecs_available", {"mpeg4"})
    with pytest.raises(MissingExtraError, match="--only-binary av"):
        film.require_pyav()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"path": "d.avi"}, "ends in .mp4"),
        ({"path": "no/such/folder/d.mp4"}, "folder that exists"),
        ({"size": (641, 360)}, "even numbers"),
        ({"size": (64, 36)}, "even numbers"),
        ({"size": "big"}, "even numbers"),
        ({"fps": 0}, "fps=0"),
        ({"fps": 1000}, "1 to 120"),
        ({"samples": 0}, "samples=0"),
        ({"seconds": 0}, "seconds=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_settings_that_cannot_be_used(av, model, data, tmp_path, changed, message):
    path = tmp_path / changed.pop("path", "d.mp4")
    with pytest.raises(ParameterError, match=message):
        video.predictions(model, data.X, data.y, path, **changed)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "rows", "more", "error", "message"),
    [
        ("predictions", lambda X, y: (X[:, :10], y), {}, DataError, "10 features"),
        ("predictions", lambda X, y: (X, y + 100), {}, DataError, "not trained on"),
        ("training", lambda X, y: (X, y % 5), {}, DataError, "has the classes"),
        ("training", lambda X, y: (X, y), {"X_test": [[0.0]]}, DataError, "both X_test and y_test"),
        ("training", lambda X, y: (X, y), {"solver": "newton"}, ParameterError, "solver='newton'"),
    ],
)
def test_data_that_are_not_the_models(av, model, data, tmp_path, kind, rows, more, error, message):
    with pytest.raises(error, match=message):
        getattr(video, kind)(model, *rows(data.X, data.y), tmp_path / "d.mp4", **more)
    assert files(tmp_path) == []


@pytest.fixture
def model_file(model, tmp_path):
    path = tmp_path / "digits.safetensors"
    model.save(path)
    return path


def test_command(av, run, model, data, model_file, tmp_path):
    output = tmp_path / "digits.mp4"
    small = ("--size", "320x180", "--fps", 10, "--json")
    of_samples = ("--samples", 4, "--seconds-per-sample", 0.5, "--seed", 3)
    result = run("video", model_file, "-o", output, *small, *of_samples)
    record = strict_json(result.stdout)
    rows = record.pop("rows")
    assert record == {
        "model": str(model_file),
        "output": str(output),
        "data": "digits",
        "frames": 20,
        "fps": 10,
        "size": [320, 180],
        "seconds": 2.0,
        "bytes": output.stat().st_size,
        "accuracy": model.score(data.X_test[rows], data.y_test[rows]),
    }
    assert "Wrote" in result.stderr
    of_training = ("--training", "--seconds", 1, "--max-iter", 20)
    trained = run("video", model_file, "-o", output, *small, *of_training)
    record = strict_json(trained.stdout)
    assert record["frames"] == 10
    again = gpulr.train(data, solver="gd", max_iter=20, tol=0)
    assert record["accuracy"] == pytest.approx(again.score(data.X_test, data.y_test), abs=0.005)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--size", "big"], 2, "such as 1280x720"),
        (["--size", "1281x720"], 2, "even numbers"),
        (["--solver", "gd"], 2, "only --training trains; leave out --solver"),
        (
            *(["--training", "--seconds-per-sample", 1], 2),
            "--training shows no samples; leave out --seconds-per-sample",
        ),
        (["--data", "none.npz"], 3, "does not exist"),
    ],
)
def test_command_failures(av, run, model_file, tmp_path, options, code, words):
    result = run("video", model_file, "-o", tmp_path / "d.mp4", *options, code=code)
    assert words in " ".join(result.stderr.split())
    assert files(tmp_path) == ["digits.safetensors"]


def test_command_refuses_rows_that_are_no_images_and_to_replace_the_model(
    av, run, model, data, tmp_path
):
    path = tmp_path / "m.safetensors"
    gpulr.train(data.X, data.y, max_iter=1, tol=0).save(path)
    assert "without an image shape" in run("video", path, "-o", "d.mp4", code=3).stderr
    model.save(path)
    path = path.rename(tmp_path / "m.mp4")
    assert "would be lost" in run("video", path, "-o", path, code=2).stderr
    assert gpulr.load(path).n_models == 10
