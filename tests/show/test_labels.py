"""Labels as short text on one line, which differ where labels do."""

import pytest

from gpulr.show.labels import label_text, label_texts, shortened, shortened_apart

LABELS = {
    **{"<script>$x$": "<script>$x$", "a\nb": "a b", "a\x1bb": "a�b", "\ud800": "�", "": "(empty)"},
    **{
        " ": "(empty)",
        7: "7",
        b"\xff": "b'\\xff'",
        "x" * 18: "x" * 18,
        "x" * 19: "x" * 9 + "…" + "x" * 8,
    },
}


def test_labels_are_one_printable_line():
    assert {label: label_text(label) for label in LABELS} == LABELS
    # A word is not cut off after a space.
    assert [shortened("ab cd", n) for n in (5, 4, 3)] == ["ab cd", "ab…d", "a…d"]


@pytest.mark.parametrize("longest", [26, 16, 8, 4])
def test_labels_that_differ_in_their_middle_differ_when_they_are_shortened(longest):
    labels = [f"class of category {k:02d} in the taxonomy" for k in range(60)]
    short = shortened_apart(labels, longest)
    assert len(set(short)) == 60
    assert max(map(len, short)) <= longest
    assert all(f"{k:02d}" in each for k, each in enumerate(short))
    assert label_texts(labels, longest) == short


def test_what_is_cut_around_what_differs_begins_with_a_word(rng):
    labels = ["class of kind 1 in the table", "class of kind 2 in the table"]
    assert shortened_apart(labels, 18) == ["…kind 1 in the ta…", "…kind 2 in the ta…"]
    labels = ["".join(rng.choice(list("ab …"), 20)) for _ in range(300)]
    for longest in range(1, 21):
        assert max(map(len, shortened_apart(labels, longest))) <= longest


def test_equal_labels_and_short_ones_stay():
    labels = ["one and the same label", "one and the same label", "other"]
    assert shortened_apart(labels, 10) == ["one a…abel", "one a…abel", "other"]
