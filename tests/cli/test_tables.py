"""Tables in terminals of any width: no number is cut, no word is broken, and pipes have it all."""

from __future__ import annotations

import io
import re
import sys

import numpy as np
import pytest

pytest.importorskip("rich", reason='not installed: python -m pip install ".[cli]"')

from rich.cells import cell_len
from rich.console import Console

from gpulr.cli import terminal
from gpulr.cli.evaluate import confusion, lowest
from gpulr.cli.tables import shortened, table
from gpulr.model.evaluation import evaluate_labels, evaluate_margins


def drawn(*shown, width, **how):
    screen = Console(file=io.StringIO(), width=width, **how)
    for each in shown:
        screen.print(each)
    return screen.file.getvalue()


def evaluated(counts, names):
    """An evaluation that has these counts of rows by true and predicted class."""
    true, said = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
    return evaluate_margins(np.eye(len(names))[said] - 0.5, true, np.array(names))


def counts_of(k):
    counts = 1000 * np.eye(k, dtype=int)
    counts[3, 5], counts[0, 1] = 98, 12
    return counts


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("k", [10, 12])
def test_counts_of_a_confusion_matrix_are_whole_or_confusions_are_listed(width, k):
    names = [f"number {j:02d}" for j in range(k)] if width == 80 else [str(j) for j in range(k)]
    counts = counts_of(k)
    text = drawn(*confusion(evaluated(counts, names)), width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    if "commonest" in text:
        assert re.search(rf"{names[3]} +[│ ] +{names[5]} +[│ ] +98 +[│ ] +1,098", text)
        assert text.index(" 98 ") < text.index(" 12 ", text.index("rows"))
        assert width < 80 or k == 12
        return
    found = [re.findall(r"[\d,]*\d|·", line)[-k:] for line in text.splitlines()[-k - 1 :]]
    found = [[0 if n == "·" else int(n.replace(",", "")) for n in row] for row in found if row]
    np.testing.assert_array_equal(found[-k:], counts)


def test_many_classes_have_their_commonest_confusions():
    names = [f"class {j:02d}" for j in range(50)]
    text = drawn(*confusion(evaluated(counts_of(50), names)), width=60)
    assert "The commonest confusions of 50 classes" in text
    assert re.search(r"class 03 +│ class 05 +│ +98", text)
    assert len(text.splitlines()) < 10
    right = drawn(*confusion(evaluated(np.eye(50, dtype=int), names)), width=60)
    assert right == "No class is taken for another.\n"


def test_the_diagonal_is_told_apart_and_without_colours_too():
    shown = confusion(evaluated(counts_of(3 + 3), list("abcdef")))
    text = drawn(*shown, width=80, force_terminal=True, color_system="standard")
    assert "\x1b[1;32m1,000\x1b[0m" in text
    assert "\x1b[1;32m98" not in text
    text = drawn(*shown, width=80, force_terminal=True, no_color=True)
    assert "\x1b[1m1,000\x1b[0m" in text
    assert "\x1b[1m98" not in text


HEADS = ["class", "rows", "binary\naccuracy", "average\nprecision", "converged"]
ROWS = [["a", "5", "0.9000", "0.8000", "yes"], ["a rather long name 2", "12,345", "–", "1", "no"]]


@pytest.mark.parametrize("width", [24, 32, 44, 60, 80])
def test_what_gives_way_is_never_a_number(width):
    text = drawn(table(HEADS, ROWS), width=width)
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= width
    for number in ("12,345", "0.9000", "0.8000"):
        assert re.search(rf"(^| ){re.escape(number)} ", text, re.M)
    for line in lines:  # a word is whole, or says that it is not
        for word in re.findall(r"[a-z…]+", line):
            known = " ".join([*HEADS, *ROWS[0], *ROWS[1]])
            assert "…" in word or word in known.split()
    if width > 40:
        assert (ROWS[1][0] in text) == (width >= 60)
    assert ("┃" in text) == (width == 80)


def test_numbers_stand_to_the_right_and_labels_lose_their_middle():
    lines = drawn(table(["n", "what"], [["1", "x"], ["10", "yy"]]), width=80).splitlines()
    assert lines[-3:-1] == ["│  1 │ x    │", "│ 10 │ yy   │"]
    assert shortened("class 00", 20) == "class 00"
    assert shortened("a long name, number 07", 12) == "a long n… 07"
    assert cell_len(shortened("数字の七という名前", 9)) <= 9
    assert drawn(table(["a"], [], title="None"), width=20)


def test_class_names_are_cut_alike_in_the_head_and_beside_the_rows():
    names = [f"Genus longissimum subspecies {x}" for x in ("minor", "maior", "media")]
    counts = np.eye(3, dtype=int)
    text = drawn(*confusion(evaluated(counts, names)), width=60)
    head, *rows = text.splitlines()[1:]
    assert len(rows) == 3
    assert max(map(cell_len, [head, *rows])) <= 60
    ends = [name[-3:] for name in names]
    assert [word[-3:] for word in head.split()[-5:] if "…" in word] == ends
    assert all("…" in row and end in row for row, end in zip(rows, ends, strict=True))
    assert shortened("number 03", 3) == "n…3"
    assert [shortened("number 03", wide) for wide in (1, 2)] == ["…", "n…"]


def test_words_of_heads_have_room_before_labels():
    rows = [["a long name of a class", "0.1234", "1"]] * 2
    text = drawn(table(["", "score", "only\na"], rows), width=20)
    assert {"score", "only"} <= set(text.split())
    assert "name" not in text


@pytest.mark.parametrize("columns", ["60", "80", "200", None])
def test_pipes_are_plain(run, columns):
    how = {} if columns is None else {"COLUMNS": columns}
    result = run("train", "--data", "digits", "--max-iter", 3, **how)
    assert "\x1b" not in result.stdout + result.stderr
    assert "\r" not in result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("multiclass accuracy (test)")
    assert lines[1].startswith("multiclass accuracy (train)")
    assert all(
        re.search(rf"^[│ ] +{j} [│ ] +[01]\.\d{{4}} ", result.stdout, re.M) for j in range(10)
    )
    if columns is None:
        assert max(map(len, lines)) < 120
    else:
        assert max(map(len, lines)) <= int(columns)


def test_nothing_is_folded_in_a_pipe(run, digits_model, tmp_path):
    digits_model.save(tmp_path / "m.safetensors")
    wide = run("evaluate", "m.safetensors", COLUMNS="300").stdout
    assert run("evaluate", "m.safetensors").stdout.split() == wide.split()
    assert wide.splitlines()[1].startswith("multiclass accuracy  ")


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_something_is_shown_before_the_library_is_imported(monkeypatch):
    seen = []

    def command(json):
        seen.append(sys.stderr.getvalue())
        return lambda json: None

    erased = " " * len("Starting …") + "\r"
    for screen, before, after in ((Screen(), "Starting …\r", erased), (io.StringIO(), "", "")):
        monkeypatch.setattr(sys, "stderr", screen)
        terminal.guarded(command)(json=False)
        assert seen.pop() == before
        assert screen.getvalue() == before + after


def test_folds_have_scikit_learns_name_too(told):
    short = ("search", "--data", "digits", "--Cs", "1,", "--max-iter", 2, "--no-refit")
    assert told(*short, "--cv", 3)["n_folds"] == 3


@pytest.mark.parametrize("kind", [dict, list], ids=["classes", "labels"])
def test_of_many_classes_a_screen_has_the_lowest_and_a_pipe_all(kind, monkeypatch):
    names = [f"class {j:02d}" for j in range(50)]
    figures = evaluated(counts_of(50), names)
    if kind is list:
        Z = np.eye(50) - 0.5
        figures = evaluate_labels(Z, (Z > 0).astype(np.uint8), np.array(names))
    assert lowest(figures) == (list(range(50)), None)
    monkeypatch.setattr(terminal, "is_screen", lambda: True)
    shown, words = lowest(figures)
    assert len(shown) == 10
    several = "classes" if kind is dict else "labels"
    assert words == f"The 10 of 50 {several} with the lowest F1 (in a file or pipe: all)"
    if kind is dict:
        assert set(shown[:2]) == {3, 5}
        assert lowest(evaluated(counts_of(30), names[:30]))[1] is None


def test_messages_are_folded_between_words_on_a_screen_alone(monkeypatch, capsys):
    message = "a missing value. Correct the table, then try again.\n  why: this and that and more"
    terminal.show_error(message)
    terminal.show(message)
    for written in capsys.readouterr():
        assert written.removeprefix("error: ") == f"{message}\n"
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setattr(Console, "is_terminal", True)
    terminal.show_error(message)
    terminal.show(message)
    for written in capsys.readouterr():
        written = re.sub("\x1b[^m]*m", "", written)  # colours
        lines = written.splitlines()
        assert max(map(len, lines)) <= 24
        assert " ".join(written.split()).removeprefix("error: ") == " ".join(message.split())
        assert lines[-2:] == ["  why: this and that", "    and more"]
