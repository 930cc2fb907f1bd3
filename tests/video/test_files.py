"""Videos of training, and the file where something is missing, wrong or interrupted."""

from __future__ import annotations

import os
import sys
from functools import partial

import numpy as np
import pytest

import gpulr
from gpulr import video
from gpulr.errors import DataError, DataFileError, MissingExtraError, ParameterError
from gpulr.video import film, retraining
from gpulr.video.recording import Recording, pictures_of
from gpulr.video.sheet import Sheet

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
        ("lbfgs", {"scale": 1 / 60, "C": 0.1}),  # features so small that C decides how they enter
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


@pytest.mark.parametrize("n", [1, 2, 4, 6, 8, 9, 10, 12, 15, 20])
def test_the_grid_has_no_holes(monkeypatch, n):
    corners, words = [], []
    draw, write = Sheet.picture, Sheet.text

    def picture(sheet, x, y, side, pixels):
        corners.append((round(x), round(y), side))
        return draw(sheet, x, y, side, pixels)

    def text(sheet, x, y, text, **more):
        words.append(text)
        return write(sheet, x, y, text, **more)

    monkeypatch.setattr(Sheet, "picture", picture)
    monkeypatch.setattr(Sheet, "text", text)
    run = Recording(
        *(np.zeros((2, n, 8, 8), dtype=np.float32), np.array([1, 0.5]), np.array([0.1, 0.4])),
        *([str(j) for j in range(n)], "gradient descent", "accuracy"),
    )
    next(pictures_of(run, (320, 180), 2, 10))
    x, y, sides = (np.array(each) for each in zip(*corners, strict=True))
    assert len(set(x)) * len(set(y)) == n
    assert min(sides) > 85
    assert (y >= 122).all()
    assert (y + sides <= 660).all()
    if n == 10:
        assert (len(set(x)), len(set(y))) == (5, 2)
    assert words.count("iteration, on a square-root scale") == 2


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


@pytest.mark.parametrize("n_models", [1, 3, 12])
def test_a_table_has_bars_of_the_features_that_matter_in_the_end(
    av, tmp_path, recorded, rng, monkeypatch, n_models
):
    pandas = pytest.importorskip("pandas")
    boxes, words, draw, write = [], [], Sheet.box, Sheet.text
    X = rng.normal(size=(120, 30)) * np.geomspace(0.1, 10, 30)
    y = (X / X.std(axis=0))[:, :12].argmax(axis=1) % max(2, n_models)
    X = pandas.DataFrame(X, columns=[f"feature called {i}" for i in range(30)])
    model = gpulr.train(X, y, standardize=True)

    def box(sheet, x, y, width, height, color):
        boxes.append((x, y, width, height, color))
        draw(sheet, x, y, width, height, color)

    def text(sheet, x, y, text, **more):
        words.append(text)
        return write(sheet, x, y, text, **more)

    monkeypatch.setattr(Sheet, "box", box)
    monkeypatch.setattr(Sheet, "text", text)
    how = {"solver": "lbfgs", "max_iter": 30}
    video.training(model, X, y, tmp_path / "t.mp4", **how, **SMALL)
    run = recorded[-1]
    W = (model.weights * model.feature_std[:, np.newaxis])[:, :9].T
    shown = min(9, n_models)
    assert run.weights.shape[:2] == (31, shown)
    for j in range(shown):
        n = run.weights.shape[2]
        largest = np.argsort(-np.abs(W[j]))[:n]
        ours = {int(name.split()[-1]) for name in run.features[j]}
        assert len(ours ^ set(largest)) <= 2  # those of about the same size
        np.testing.assert_allclose(np.sort(run.weights[-1, j])[::-1], run.weights[-1, j])
        np.testing.assert_allclose(
            run.weights[-1, j], [W[j][int(f.split()[-1])] for f in run.features[j]], atol=0.05
        )
    bars = [b for b in boxes if b[4] in ("#D55E00", "#0072B2") and b[1] < 670]
    assert min(x for x, *_ in bars) > 64
    assert max(x + width for x, _, width, *_ in bars) < 800
    assert max(y + height for _, y, _, height, _ in bars) < 660
    assert any(word.startswith("weight per standard deviation") for word in words)
    assert any("the first 9 of 12 classes" in word for word in words) is (n_models == 12)


def test_a_callback_can_end_training(av, model, data, tmp_path, recorded):
    def stop(progress):
        if progress.iteration == 4:
            raise StopIteration

    arguments = (model, data.X, data.y, tmp_path / "t.mp4")
    video.training(*arguments, callbacks=[stop], **SMALL)
    assert len(recorded[0].weights) == len(recorded[0].cost) == 5


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("kind", "how"),
    [("training", "callback"), ("training", "progress"), ("predictions", "progress")],
)
def test_an_interrupted_run_leaves_what_was_there(av, model, data, tmp_path, kind, how, there):
    path = tmp_path / "t.mp4"
    if there:
        path.write_bytes(b"before")

    def interrupt(*_):
        assert len(files(tmp_path)) == there + (how == "progress")  # beside where it will be
        raise KeyboardInterrupt

    more = {"callbacks": [interrupt]} if how == "callback" else {"progress": interrupt}
    more |= {"max_iter": 5} if kind == "training" else {"samples": 5}
    with pytest.raises(KeyboardInterrupt):
        getattr(video, kind)(model, data.X, data.y, path, **more, **SMALL)
    assert files(tmp_path) == ["t.mp4"] * there
    assert not there or path.read_bytes() == b"before"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
def test_a_file_that_cannot_be_written_is_one_error(av, model, data, tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))
    try:
        with pytest.raises(DataFileError, match=r"could not be written.*is untouched"):
            video.predictions(model, data.X, data.y, tmp_path / "d.mp4", samples=9, **SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files(tmp_path) == []
    os.mkfifo(tmp_path / "d.mp4")
    with pytest.raises(ParameterError, match="not a regular file"):
        video.predictions(model, data.X, data.y, tmp_path / "d.mp4", samples=1)


def test_without_pyav_the_error_names_the_extra(monkeypatch, model, data, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    for write in (video.predictions, video.training):
        with pytest.raises(MissingExtraError, match=r'python -m pip install "\.\[video\]"'):
            write(model, data.X, data.y, tmp_path / "d.mp4")


def test_pyav_without_libx264_says_which_to_install(av, monkeypatch):
    monkeypatch.setattr("av.codec.codecs_available", {"mpeg4"})
    with pytest.raises(MissingExtraError, match="--only-binary av"):
        film.require_pyav()


@pytest.fixture(scope="module")
def models(model, data):
    """Of images, of rows that are none, and of images that no video shows."""
    train = partial(gpulr.train, max_iter=1, tol=0)
    deep = data.X.reshape(-1, 2, 2, 4, 4)
    return {"images": model, "flat": train(data.X, data.y), "deep": train(deep, data.y)}


FLAT = r"64 numbers without an image shape.*one of training takes tables.*image_shape="


@pytest.mark.parametrize(
    ("kind", "rows", "more", "error", "message"),
    [
        ("predictions", None, {"path": "d.avi"}, ParameterError, "ends in .mp4"),
        ("predictions", None, {"path": "no/such/d.mp4"}, ParameterError, "folder that exists"),
        ("predictions", None, {"size": (641, 360)}, ParameterError, "even numbers"),
        ("predictions", None, {"size": (64, 36)}, ParameterError, "even numbers"),
        ("predictions", None, {"size": "big"}, ParameterError, "even numbers"),
        ("predictions", None, {"fps": 0}, ParameterError, "fps=0"),
        ("predictions", None, {"fps": 1000}, ParameterError, "1 to 120"),
        ("predictions", None, {"samples": 0}, ParameterError, "samples=0"),
        ("predictions", None, {"seconds": 0}, ParameterError, "seconds=0"),
        ("predictions", None, {"seed": -1}, ParameterError, "seed=-1"),
        ("predictions", lambda X, y: (X[:, :10], y), {}, DataError, "10 features"),
        ("predictions", lambda X, y: (X, y + 100), {}, DataError, "not trained on"),
        ("training", lambda X, y: (X, y % 5), {}, DataError, "has the classes"),
        ("training", None, {"X_test": [[0.0]]}, DataError, "both X_test and y_test"),
        ("training", None, {"solver": "newton"}, ParameterError, "solver='newton'"),
        ("predictions", None, {"model": "flat"}, DataError, FLAT),
        ("predictions", None, {"model": "deep"}, DataError, r"shape \(2, 2, 4, 4\)"),
    ],
)
def test_what_cannot_be_filmed(av, models, data, tmp_path, kind, rows, more, error, message):
    X, y = (data.X, data.y) if rows is None else rows(data.X, data.y)
    how = {"model": "images", "path": "d.mp4"} | more
    model, path = models[how.pop("model")], tmp_path / how.pop("path")
    with pytest.raises(error, match=message):
        getattr(video, kind)(model, X, y, path, **how)
    assert files(tmp_path) == []


@pytest.fixture
def model_file(model, tmp_path):
    path = tmp_path / "digits.safetensors"
    model.save(path)
    return path


def test_command(av, run, told, model, data, model_file, tmp_path):
    output = tmp_path / "digits.mp4"
    command = ("video", model_file, "-o", output, "--size", "320x180", "--fps", 10)
    of_samples = ("--samples", 4, "--seconds-per-sample", 0.5, "--seed", 3)
    record = told(*command, *of_samples)
    rows = record.pop("rows")
    assert record == {
        **{"model": str(model_file), "output": str(output), "data": "digits", "frames": 20},
        **{"fps": 10, "size": [320, 180], "seconds": 2.0, "bytes": output.stat().st_size},
        "accuracy": model.score(data.X_test[rows], data.y_test[rows]),
    }
    assert "Wrote" in run(*command, *of_samples).stderr
    wrong = np.flatnonzero(model.predict(data.X_test) != data.y_test)
    assert set(told(*command, *of_samples, "--mistakes")["rows"]) < set(wrong)
    record = told(*command, "--training", "--seconds", 1, "--max-iter", 20)
    assert record["frames"] == 10
    again = gpulr.train(data, solver="gd", max_iter=20, tol=0)
    assert record["accuracy"] == pytest.approx(again.score(data.X_test, data.y_test), abs=0.005)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--size", "big"], 2, "such as 1280x720"),
        (["--size", "1281x720"], 2, "even numbers"),
        (["--solver", "gd"], 2, "only --training trains; leave out --solver"),
        (["--training", "--mistakes"], 2, "--training shows no samples; leave out --mistakes"),
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
    av, run, models, model_file, tmp_path
):
    models["flat"].save(tmp_path / "m.safetensors")
    assert "without an image shape" in run("video", "m.safetensors", "-o", "d.mp4", code=3).stderr
    path = model_file.rename(tmp_path / "m.mp4")
    assert "would be lost" in run("video", path, "-o", path, code=2).stderr
    assert gpulr.load(path).n_models == 10
