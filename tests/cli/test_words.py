"""What the command line says: safe for terminals, of near misses, folders and machines."""

from __future__ import annotations

import numpy as np
import pytest

from gpulr.cli import doctor
from gpulr.cli.doctor import _memory, _processors
from gpulr.cli.terminal import escaped, on_one_line
from helpers import strict_json

pytestmark = pytest.mark.usefixtures("wide")
HOSTILE = ("\x1b[31mred\x1b[0m", "bell\x07\r\u202eabc", "[red]x[/red]:smile:")
ACTING = ("\x1b", "\x07", "\r", "\u202e", "\u2066", "\x9b", "\u200b")


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def tables(tmp_path, monkeypatch, invoke):
    """A folder with a table of hostile names and labels, and the model of it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        f"{rng.normal() + 4 * (i % 3):.3f},{rng.normal():.3f},{HOSTILE[i % 3]}" for i in range(60)
    ]
    text = "\n".join(["a\x1b[2J\u2066,b,kind", *(row.replace("\r", "") for row in rows)])
    (tmp_path / "t\x1b[1m.csv").write_text(text, encoding="utf-8")
    invoke("train", "--data", "t\x1b[1m.csv", "-o", "m\x07.safetensors")
    return tmp_path


def test_what_acts_on_a_terminal_is_written_out():
    assert escaped("a\x1b[31m\x07\r\x9b\x7f") == r"a\x1b[31m\x07\r\x9b\x7f"
    assert escaped("\u202e\u2066\u200b\ufeff\u2028\udcff\U000e0001") == (
        r"\u202e\u2066\u200b\ufeff\u2028\udcff\U000e0001"
    )
    assert escaped("a\n\tb") == "a\n\tb"
    assert on_one_line("a\n\tb") == r"a\n\tb"
    harmless = "7 ’naïve’ 数字　ب א می\u200cخواهم 👩\u200d💻 10\xa0000 [red]"
    assert escaped(harmless) == harmless


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--data", "t\x1b[1m.csv"),
        ("train", "--data", "t\x1b[1m.csv", "-o", "m\x07.safetensors"),
        ("evaluate", "m\x07.safetensors"),
        ("predict", "m\x07.safetensors", "t\x1b[1m.csv"),
        ("data", "t\x1b[1m.csv"),
        ("compare", "m\x07.safetensors", "m\x07.safetensors", "--report", "c\x1b.html"),
        ("report", "m\x07.safetensors", "-o", "r\x1b.html"),
        ("search", "--data", "t\x1b[1m.csv", "--Cs", "1,", "--folds", "2"),
        ("bootstrap", "--data", "t\x1b[1m.csv", "--n", "5", "-o", "m\x07.safetensors"),
    ],
)
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_labels_and_names_do_not_act_on_the_terminal(tables, arguments, json, invoke):
    result = invoke(*arguments, *json)
    for character in ACTING:
        assert character not in result.stdout
        assert character not in result.stderr
    if json:
        record = strict_json(result.stdout)
        if "classes" in record:
            assert HOSTILE[0] in record["classes"]
    elif arguments[0] in ("train", "evaluate", "predict", "data"):
        assert r"\x1b[31mred\x1b[0m" in result.stdout
        assert "[red]x[/red]:smile:" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("evaluate", "x\x1b\n\u202e"), 3, r"error: x\x1b\n\u202e: there is no such file"),
        (("data", "x\x1b\n\u202e"), 3, r"error: x\x1b\n\u202e: is no data set's name"),
        (("train", "--backend", "x\x1b\u202e"), 2, r"--backend x\x1b\u202e; use one of"),
        (
            ("predict", "{model}", "x\x1b\u202e.png"),
            3,
            r"error: x\x1b\u202e.png: This model was trained on t\x1b[1m",
        ),
        (("evaluate", "{model}", "--data", "other.csv"), 3, r"lacks 'a\x1b[2J\u2066'"),
    ],
)
def test_errors_do_not_act_on_the_terminal(tables, arguments, code, words, invoke):
    (tables / "other.csv").write_text("x,b,kind\n1,2,red\n")
    result = invoke(*(each.format(model="m\x07.safetensors") for each in arguments), code=code)
    assert words in result.stderr
    assert not [character for character in ACTING if character in result.stderr]


def test_usage_errors_say_what_to_do_and_do_not_act_on_the_terminal(run):
    for arguments in (["x\x1b\u202e"], ["train", "--x\x1b\u202e"], ["train", "x\x1b\u202e"]):
        error = run(*arguments, code=2).stderr
        assert r"x\x1b\u202e" in error
        assert not [character for character in ACTING if character in error]
    assert "No such command 'trian' (did you mean train?). `" in run("trian", code=2).stderr
    error = run("train", "table.csv", code=2).stderr
    assert error.startswith("error: Got unexpected extra argument (table.csv). Data are named by")
    assert "(s)" not in error
    assert "gpulr train --help` tells what there is" in error


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("train", "--data", "minst"), 3, "mnist"),
        (("train", "--data", "tabel.csv"), 3, "table.csv"),
        (("train", "--data", "digits", "--solver", "nestrov"), 2, "nesterov"),
        (("train", "--data", "digits", "--backend", "numpi"), 2, "numpy"),
        (("search", "--data", "digits", "--scoring", "acuracy"), 2, "accuracy"),
        (("evaluate", "digts.safetensors"), 3, "digits.safetensors"),
        (("predict", "digits.safetensors", "sevn.png"), 3, "seven.png"),
        (("export", "digits.safetensors", "-o", "m.onnx", "--input-dtype", "unit8"), 2, "uint8"),
    ],
)
def test_near_misses_are_asked_about(run, model_file, tmp_path, arguments, code, word):
    if arguments[0] == "export":
        pytest.importorskip("onnx", reason="onnx is not installed")
    for name in ("table.csv", "seven.png"):
        (tmp_path / name).touch()
    assert f"(did you mean {word}?)" in run(*arguments, code=code).stderr


def test_the_first_line_is_in_words(invoke):
    result = invoke("train", "--data", "digits", "--max-iter", 1, "--tol", 0)
    assert result.stderr.splitlines()[:2] == [
        "Loading digits …",
        "digits: 1,442 rows to train on, 355 to test on, 64 features (float32), images of 8×8; "
        "from scikit-learn's bundled digits",
    ]
    assert ": 1 iteration of lbfgs" in result.stdout


def test_doctor_says_whose_blas_and_what_is_not_installed(monkeypatch, invoke):
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "llvmlite" else "1.0")
    shown = invoke("doctor").stdout
    assert "llvmlite not installed" in shown
    assert "None" not in shown
    for line in (it for it in shown.splitlines() if it.startswith("BLAS")):
        assert line.startswith("BLAS of ")


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/venv/lib/python3.11/site-packages/numpy.libs/libscipy_openblas64_-1.so", "NumPy"),
        ("C:\\venv\\Lib\\site-packages\\scipy.libs\\libscipy_openblas-1.dll", "SciPy"),
        ("/venv/lib/python3.11/site-packages/numpy/.dylibs/libopenblas.dylib", "NumPy"),
        ("/venv/lib/python3.11/site-packages/torch/lib/libmkl.so", "torch"),
        ("/opt/conda/lib/libopenblas.so", "/opt/conda/lib/libopenblas.so"),
    ],
)
def test_the_owner_of_a_library(path, owner):
    assert doctor._owner(path) == owner


@pytest.mark.parametrize(
    ("quota", "threads", "words"),
    [
        (None, 8, "no quota of a container's"),
        (8.0, 8, "the time of 8"),
        (1.5, 8, "Passes use 8 threads, which then wait for each other: set OMP_NUM_THREADS=1 "),
        (0.5, 8, "set OMP_NUM_THREADS=1 "),
        (0.5, 1, "the time of 0.5"),
    ],
)
def test_doctor_tells_of_quotas_and_memory(quota, threads, words):
    line = _processors({"machine": 16, "allowed": 8, "quota": quota, "threads": threads})
    assert line.startswith("processors: 16, of which this process may use 8; ")
    assert words in line
    assert ("OMP_NUM_THREADS" in line) == (quota is not None and threads > max(1, quota))
    assert _memory({"machine": 2**34, "limit": None}).startswith("memory: 16.0 GiB; no limit")
    assert _memory({"machine": 2**34, "limit": 2**31}).endswith("(control group): 2.0 GiB")
    assert _memory({"machine": None, "limit": None}).startswith("memory: unknown")
