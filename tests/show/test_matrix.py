"""The confusion matrix of few classes and of many."""

from __future__ import annotations

import itertools
import string

import numpy as np
import pytest
from matplotlib.figure import Figure

from gpulr import show
from gpulr.errors import ParameterError
from gpulr.model.evaluation import Evaluation, evaluate_margins
from shown import drawn, names_of


def of_counts(counts, classes=None):
    counts = np.asarray(counts)
    classes = np.arange(len(counts)) if classes is None else np.array(classes)
    share = np.trace(counts) / counts.sum()
    return Evaluation(share, np.ones(len(counts)), 1.0, counts, classes)


def heads(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


def test_confusion_counts_and_colours_mistakes():
    ax = show.confusion(of_counts([[2, 0, 1], [0, 1, 2], [0, 0, 2]]))
    counts = np.zeros((3, 3), dtype=int)
    for text in ax.texts:
        column, row = text.get_position()
        counts[row, column] = int(text.get_text())
    assert counts.tolist() == [[2, 0, 1], [0, 1, 2], [0, 0, 2]]
    assert len(ax.texts) == 5  # zeros are left out
    right, mistakes = (image.get_array() for image in ax.images)
    assert np.diag(mistakes.mask).all()
    assert mistakes[0, 2] == pytest.approx(100 / 3)
    assert ax.images[1].get_clim() == (0, pytest.approx(200 / 3))
    assert np.diag(right).tolist() == pytest.approx([200 / 3, 100 / 3, 100])
    assert ax.images[0].get_clim() == (0, 100)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    assert ax.get_title(loc="left") == "5 of 8 rows right (62.5%)"
    drawn(ax)


def test_few_mistakes_of_many_rows_are_pale():
    ax = show.confusion(of_counts([[207, 5], [0, 100]]))
    assert ax.images[1].get_clim() == (0, 20)
    assert ax.images[1].norm(ax.images[1].get_array()[0, 1]) < 0.15


def test_confusion_without_mistakes_and_with_a_class_that_has_no_rows():
    perfect = evaluate_margins(np.eye(3)[[0, 1]] - 0.5, np.array([0, 1]), np.arange(3))
    assert "2 of 2 rows right (100.0%)" in drawn(show.confusion(perfect))
    many = of_counts(np.eye(99, dtype=np.int64))
    ax = show.confusion(many)
    assert not ax.texts
    assert ax.get_title(loc="left") == "99 of 99 rows right (100.0%)"
    assert names_of(ax) == heads(ax) == []


def test_of_many_classes_those_that_are_confused_are_neighbours(rng):
    n, partner = 26, np.arange(26) ^ 1
    shuffled = rng.permutation(n)
    counts = np.eye(n, dtype=np.int64) * 20
    counts[shuffled, shuffled[partner]] += 9  # pairs, which lie apart in the alphabet
    letters = list(string.ascii_lowercase)
    ax = show.confusion(of_counts(counts, letters))
    assert sorted(names_of(ax)) == letters
    assert names_of(ax) == heads(ax)
    place = {name: i for i, name in enumerate(names_of(ax))}
    pairs = [(letters[shuffled[i]], letters[shuffled[i ^ 1]]) for i in range(n)]
    assert {abs(place[a] - place[b]) for a, b in pairs} == {1}
    drawn_counts = {text.get_position(): int(text.get_text()) for text in ax.texts}
    first = counts[letters.index(names_of(ax)[0])]
    assert drawn_counts[0, 0] == first.max() == 20
    assert names_of(show.confusion(of_counts(counts, letters), sort=False)) == letters
    few = of_counts(counts[:3, :3] + 1)
    assert sorted(names_of(show.confusion(few, sort=True))) == ["0", "1", "2"]


def test_of_classes_whose_counts_cannot_be_read_the_commonest_confusions_are_listed():
    counts = np.eye(40, dtype=np.int64) * 50
    counts[3, 5], counts[7, 6] = 30, 12
    title = show.confusion(of_counts(counts)).get_title(loc="left")
    lines = title.split("\n")
    assert lines[0] == "2,000 of 2,042 rows right (97.9%)"
    assert lines[2:] == ["3 as 5: 30   ·   7 as 6: 12"]


def test_wide_characters_stand_upright_one_below_the_other(cjk):
    names = ["猫狗猫狗猫狗猫狗", "a long name of a class", "狗 and a long name"]
    ax = show.confusion(of_counts(np.eye(3, dtype=np.int64), names))
    labels = ax.get_xticklabels()
    assert labels[0].get_text().replace("\n", "") == names[0]
    assert [label.get_rotation() for label in labels] == [0, 90, 90]
    assert "\n" in labels[0].get_text()
    drawn(ax)


def test_in_small_axes_as_many_classes_are_named_as_have_room():
    ax = Figure(figsize=(3, 2)).subplots()
    counts = np.eye(60, dtype=np.int64)
    counts[3, 5] = 4
    show.confusion(of_counts(counts, [f"{i:02}" for i in range(60)]), sort=False, ax=ax)
    assert 8 <= len(names_of(ax)) == len(heads(ax)) < 30
    assert names_of(ax)[1] == f"{int(ax.get_yticks()[1]):02}"
    drawn(ax)
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert all(one.y0 > other.y1 for one, other in itertools.pairwise(boxes))
    assert "\n" not in ax.get_title(loc="left")
    few = Figure(figsize=(3, 2)).subplots()
    show.confusion(of_counts(1000 * np.eye(30, dtype=np.int64)), ax=few)
    assert not few.texts


def test_what_scikit_learn_takes(ten, digits):
    _, _, X, y = digits
    result = ten.evaluate(X, y)
    counts = result.confusion
    for normalize, total in (("true", counts.sum(axis=1)), ("pred", counts.sum(axis=0))):
        ax = show.confusion(result, normalize=normalize, values_format=".3f")
        at = {tuple(map(int, text.get_position())): text.get_text() for text in ax.texts}
        assert at[1, 8] == f"{counts[8, 1] / total[8 if normalize == 'true' else 1]:.3f}"
        drawn(ax)
    ax = show.confusion(result, normalize="all", cmap="Blues", text_kw={"size": 4, "color": "red"})
    assert {text.get_text() for text in ax.texts} >= {format(counts[0, 0] / len(y), ".2g")}
    assert {(text.get_color(), text.get_fontsize()) for text in ax.texts} == {("red", 4)}
    assert ax.images[1].get_cmap().name == "Blues"
    assert "mistakes, % of rows (grey: right)" in drawn(ax)
    ax = show.confusion(result, include_values=False, colorbar=False, im_kw={"vmax": 50})
    assert not ax.texts
    assert len(ax.figure.axes) == 1
    assert ax.images[1].get_clim() == (0, 50)
    many = of_counts(np.eye(40, dtype=np.int64), [str(i) for i in range(40)])
    assert len(show.confusion(many, include_values=True).texts) == 40
    with pytest.raises(ParameterError, match=r"normalize='rows'; use one of 'true', 'pred', 'all'"):
        show.confusion(result, normalize="rows")
