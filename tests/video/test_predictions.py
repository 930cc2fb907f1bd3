"""Videos: what is in the file, what is in its frames, and what cannot be filmed."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr import video
from gpulr.video.predicting import pictures_of, samples_of
from gpulr.video.sheet import BAR, RIGHT, TRACK, WRONG, Sheet

SIZE = (1280, 720)


def rgb(color):
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def shows(frame, color, *, at=np.s_[:, :], tolerance=8):
    """Count the pixels of a colour in part of a frame."""
    return int((np.abs(frame[at].astype(int) - rgb(color)).max(axis=-1) <= tolerance).sum())


def decode(av, path):
    """Return all frames, (n, height, width, 3), by BT.709's formulas and not by the library's."""
    frames = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            h, w = frame.height, frame.width
            planes = frame.to_ndarray(format="yuv420p").astype(float)
            luma = (planes[:h] - 16) / 219
            chroma = planes[h:].reshape(2, h // 2, w // 2).repeat(2, axis=1).repeat(2, axis=2)
            blue, red = (chroma - 128) / 224
            r, b = luma + 1.5748 * red, luma + 1.8556 * blue
            g = (luma - 0.2126 * r - 0.0722 * b) / 0.7152
            frames.append(np.clip(255 * np.stack([r, g, b], axis=-1), 0, 255))
    return np.stack(frames)


def stills(model, X, y, size=SIZE):
    """Return the picture of each row at rest, (n, height, width, 3), as it is encoded."""
    codes = np.asarray(y)
    true = codes == 1 if codes.ndim == 2 else codes[:, np.newaxis] == model.classes
    samples = samples_of(model, X, true, np.arange(len(X)))
    return samples, [np.asarray(picture) for picture, _ in pictures_of(samples, size, 1)]


def bars(picture, color, y):
    """Return how many pixels of a bar's middle line are filled, and how many are not."""
    line = picture[y : y + 1, 664:1216]
    return shows(line, color), shows(line, TRACK)


def test_file_is_what_browsers_play(av, model, data, tmp_path):
    path = tmp_path / "digits.mp4"
    made = video.predictions(
        model, data.X_test, data.y_test, path, samples=3, seconds=0.5, size=(640, 360)
    )
    assert (made.path, made.frames, made.seconds) == (path, 3 * 15, 1.5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (640, 360)
        assert stream.average_rate == stream.base_rate == 30
        assert stream.duration * stream.time_base == 1.5
        assert (codec.color_primaries, codec.color_trc, codec.colorspace) == (1, 1, 1)  # BT.709
        assert codec.color_range == 1  # limited
        times = [frame.pts * stream.time_base for frame in container.decode(stream)]
    np.testing.assert_allclose(np.array(times, dtype=float), np.arange(45) / 30)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # it plays before all has come
    assert [file.name for file in tmp_path.iterdir()] == ["digits.mp4"]


def test_right_is_green_and_wrong_is_vermilion_after_decoding(av, model, data, tmp_path):
    predicted = model.predict(data.X_test)
    right = np.flatnonzero(predicted == data.y_test)[0]
    wrong = np.flatnonzero(predicted != data.y_test)[0]
    for row, shown, absent in ((right, RIGHT, WRONG), (wrong, WRONG, RIGHT)):
        path = tmp_path / "one.mp4"
        X, y = data.X_test[row : row + 1], data.y_test[row : row + 1]
        made = video.predictions(model, X, y, path, seconds=0.04)
        frame = decode(av, path)[-1]
        title = np.s_[20:110, 60:1216]
        assert shows(frame, shown, at=title) > 1000
        assert shows(frame, absent, at=title) == 0
        assert made.accuracy == (row == right)


def test_bars_are_as_long_as_probabilities_and_the_predicted_is_highlighted(model, data):
    X, y = data.X_test[:20], data.y_test[:20]
    P, predicted = model.predict_proba(X), model.predict(X)
    _, pictures = stills(model, X, y)
    for i, picture in enumerate(pictures):
        for j in range(10):
            middle = round(154 + (j + 0.5) * 50) - 11  # above the word "true"
            highlight = RIGHT if predicted[i] == y[i] else WRONG
            filled, empty = bars(picture, highlight if predicted[i] == j else BAR, middle)
            assert filled / (filled + empty) == pytest.approx(P[i, j], abs=0.006)
            assert filled + empty == pytest.approx(410, abs=2)


def test_image_is_left_crisp_and_whole(model, data):
    _, pictures = stills(model, data.X_test[:3], data.y_test[:3])
    for x, picture in zip(data.X_test, pictures, strict=False):
        side, corner = 66, np.array([122, 64]) + 2  # eight times 66 in 532
        image = picture[corner[0] : corner[0] + 528, corner[1] : corner[1] + 528, 0]
        expected = np.kron(np.rint(255 * x.reshape(8, 8)), np.ones((side, side)))
        np.testing.assert_array_equal(image, expected)


def test_bars_move_from_one_sample_to_the_next(model, data):
    samples, _ = stills(model, data.X_test[:2], data.y_test[:2])
    pictures = list(pictures_of(samples, SIZE, 30))
    assert sum(repeats for _, repeats in pictures) == 60
    assert [repeats for _, repeats in pictures] == [30, 1, 1, 1, 1, 1, 25]
    P = samples.predictions.probabilities
    j = int(samples.bars[1][np.argmax(P[1] - P[0])])  # the bar that grows most
    y = round(154 + (j + 0.5) * 50) - 11
    widths = [bars(np.asarray(picture), RIGHT, y)[0] for picture, _ in pictures[1:]]
    assert widths == sorted(widths)
    assert len(set(widths)) == 6


def test_numbers_move_with_their_bars(monkeypatch, model, data):
    samples, _ = stills(model, data.X_test[:2], data.y_test[:2])
    told, drawn = [], []
    write, fill = Sheet.text, Sheet.box

    def text(sheet, x, y, text, **more):
        told.extend([float(text[:-1])] if text.endswith("%") and len(text) < 7 else [])
        return write(sheet, x, y, text, **more)

    def box(sheet, x, y, width, height, color):
        drawn.extend([width] if color in (BAR, RIGHT, WRONG) else [])
        fill(sheet, x, y, width, height, color)

    monkeypatch.setattr(Sheet, "text", text)
    monkeypatch.setattr(Sheet, "box", box)
    for _ in pictures_of(samples, SIZE, 30):
        np.testing.assert_allclose(told, np.array(drawn) / 4.1, atol=0.2)
        told.clear()
        drawn.clear()


def test_mistakes_alone(av, model, data, tmp_path):
    how = {"seconds": 0.1, "size": (320, 180), "mistakes": True}
    made = video.predictions(model, data.X_test, data.y_test, tmp_path / "m.mp4", **how)
    wrong = np.flatnonzero(model.predict(data.X_test) != data.y_test)
    assert sorted(made.rows) == wrong.tolist()
    assert made.accuracy == 0
    right = np.flatnonzero(model.predict(data.X_test) == data.y_test)
    with pytest.raises(gpulr.DataError, match="rows are predicted right; leave mistakes=True out"):
        video.predictions(model, data.X_test[right], data.y_test[right], tmp_path / "n.mp4", **how)
    assert not (tmp_path / "n.mp4").exists()


def test_bytes_and_rows_depend_on_the_seed_alone(av, model, data, tmp_path):
    def film(seed):
        path = tmp_path / f"{seed}.mp4"
        made = video.predictions(
            *(model, data.X_test, data.y_test, path),
            **{"samples": 4, "seconds": 0.2, "size": (320, 180), "seed": seed},
        )
        return path.read_bytes(), made.rows.tolist()

    first, rows = film(1)
    assert film(1) == (first, rows)
    # What x264 says of itself: threads of slices would race for what they share.
    assert b" threads=1 " in first
    assert b" sliced_threads=0 " in first
    other, other_rows = film(2)
    assert other != first
    assert other_rows != rows
    assert len(set(rows)) == 4


def test_fewer_rows_than_samples_are_all_shown_once(av, model, data, tmp_path):
    told = []
    made = video.predictions(
        *(model, data.X[:3], data.y[:3], tmp_path / "all.mp4"),
        **{"samples": 60, "seconds": 0.1, "size": (320, 180)},
        progress=lambda done, total: told.append((done, total)),
    )
    assert sorted(made.rows) == [0, 1, 2]
    assert made.frames == 9
    assert told[-1] == (9, 9)


HOSTILE = [
    *("<script>alert(1)</script>", "$x$", "$\\frac{1}{2", "a\nb\x00\x1b[31m", "", " ", "\u202eno"),
    *("\ud800", "%s {0}", "x" * 5000),
]


def test_hostile_labels_are_drawn_as_they_are(data):
    names = np.array(HOSTILE, dtype=object)
    model = gpulr.train(data.X, names[data.y].astype(str), image_shape=(8, 8), max_iter=5, tol=0)
    samples, pictures = stills(model, data.X_test[:4], names[data.y_test[:4]].astype(str))
    for picture in pictures:
        assert (picture[:710, 1217:] == 255).all()  # nothing runs over
    assert all(name.isprintable() and name.strip() for name in samples.names)


def test_names_that_begin_alike_are_cut_in_their_middle_and_have_a_font(tmp_path):
    sheet = Sheet((1280, 720))
    names = [f"the mean of what was measured {i}" for i in (1, 2)]
    for name in names:
        before = sheet.image.copy()
        assert sheet.text(10, 50, name, size=16, width=90, in_middle=True) <= 90
        assert np.abs(np.asarray(sheet.image).astype(int) - np.asarray(before)).max() > 0
    a, b = (Sheet((1280, 720)) for _ in range(2))
    for at, name in ((a, names[0]), (b, names[1])):
        at.text(10, 50, name, size=16, width=90, in_middle=True)
    assert (np.asarray(a.image) != np.asarray(b.image)).any()
    assert sheet.width_of("ascii", size=16) == a.width_of("ascii", size=16)


def test_text_is_cut_to_its_width():
    sheet = Sheet(SIZE)
    assert 90 < sheet.text(0, 50, "W" * 5000, size=20, width=100) <= 100
    assert sheet.text(0, 50, "W", size=20, width=100) == sheet.width_of("W", size=20)


def many_classes(data, k):
    """The digits, with k made-up classes, and a model of them."""
    y = data.y * (k // 10 + 1) % k + (data.X[:, 20] > 0.5)
    y[:k] = np.arange(k)
    return y, gpulr.train(data.X, y, image_shape=(8, 8), max_iter=5, tol=0)


def test_26_classes_have_bars_in_two_columns_unless_their_names_are_long(data):
    y, model = many_classes(data, 26)
    names = np.array([f"a long name, number {j}" for j in range(26)])
    long = gpulr.train(data.X, names[y], image_shape=(8, 8), max_iter=2, tol=0)
    true = names[y[:1], np.newaxis] == long.classes
    assert samples_of(long, data.X[:1], true, [0]).bars.shape[1] == 10
    P = model.predict_proba(data.X[:2])
    samples, pictures = stills(model, data.X[:2], y[:2])
    assert samples.bars.shape == (2, 26)
    assert "need not sum to 100%" in samples.caption
    pitch = 500 / 13
    for i, picture in enumerate(pictures):
        for j in np.flatnonzero(~samples.predictions.true[i]):
            middle = round(154 + (j % 13 + 0.5) * pitch)
            at = np.s_[middle : middle + 1, 664 + 290 * (j // 13) : 926 + 290 * (j // 13)]
            color = WRONG if samples.predictions.predicted[i, j] else BAR
            filled, empty = shows(picture, color, at=at), shows(picture, TRACK, at=at)
            assert filled + empty > 130
            assert filled / (filled + empty) == pytest.approx(P[i, j], abs=0.012)


def test_beyond_30_classes_the_ten_most_probable_and_the_true_one(data):
    y, model = many_classes(data, 47)
    P = model.predict_proba(data.X)
    true = y[:, np.newaxis] == model.classes
    samples = samples_of(model, data.X, true, np.arange(len(y)))
    assert samples.bars.shape == (len(y), 10)
    assert "10 most probable of 47 classes" in samples.caption
    np.testing.assert_array_equal(samples.bars[:, 0], P.argmax(axis=1))
    assert (samples.bars == y[:, np.newaxis]).any(axis=1).all()
    ranks = np.argsort(np.argsort(-P, axis=1, kind="stable"), axis=1)[np.arange(len(y)), y]
    assert (ranks >= 10).any()  # else this tests nothing
    np.testing.assert_array_equal(samples.bars[ranks >= 10, -1], y[ranks >= 10])


def test_one_model_has_two_bars_that_sum_to_one(data):
    y = np.where(data.y == 3, "three", "other")
    model = gpulr.train(data.X, y, image_shape=(8, 8), max_iter=30, tol=0)
    samples, _ = stills(model, data.X[:20], y[:20])
    np.testing.assert_allclose(samples.predictions.probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(
        samples.predictions.probabilities[:, 1], model.predict_proba(data.X[:20])[:, 0], rtol=1e-5
    )
    np.testing.assert_array_equal(
        model.classes[samples.predictions.predicted.argmax(axis=1)], model.predict(data.X[:20])
    )
    assert "one model" in samples.caption


def test_several_labels(data):
    Y = (data.y[:, None] % [2, 3, 5] == 0) & (data.y[:, None] > 0)
    model = gpulr.train(data.X, Y, image_shape=(8, 8), max_iter=30, tol=0)
    samples, pictures = stills(model, data.X[:15], Y[:15].astype(int))
    np.testing.assert_array_equal(samples.predictions.predicted, model.predict(data.X[:15]))
    assert samples.predictions.right.mean() == model.score(data.X[:15], Y[:15])
    assert 0 < samples.predictions.right.mean() < 1
    assert samples.joined(np.array([True, False, True])) == "0, 2"
    assert samples.joined(np.zeros(3, dtype=bool)) == "none"
    title = np.s_[20:110, 60:1216]
    for right, picture in zip(samples.predictions.right, pictures, strict=True):
        assert (shows(picture, RIGHT, at=title) > 500) == right
        assert (shows(picture, WRONG, at=title) > 500) != right
