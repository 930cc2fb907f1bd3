"""Numbers with their nouns, near misses, and what is shown of values and results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gpulr
from gpulr.words import counted, did_you_mean, first_line, is_there_another, listed, shown


@pytest.fixture
def model(blobs):
    return gpulr.train(*blobs, max_iter=1, tol=0)


def test_listed():
    assert listed(["a", 1]) == "a, 1"
    assert listed(range(10)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert listed(range(1011)).endswith("8, 9 and 1,001 more")


def test_first_line():
    assert first_line(ValueError(" the disk is gone.\nmore")) == "the disk is gone"
    assert first_line(KeyError()) == "KeyError"


def test_counted():
    assert [counted(n, "row") for n in range(3)] == ["0 rows", "1 row", "2 rows"]
    assert counted(1, "class", "classes") == "1 class"
    assert counted(1234, "class", "classes") == "1,234 classes"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        *(("minst", " (did you mean mnist?)"), ("Digit", " (did you mean digits?)")),
        *(("iris", ""), (None, "")),
    ],
)
def test_near_misses_are_named(word, hint):
    assert did_you_mean(word, ("mnist", "mnist-original", "digits")) == hint


def test_files_that_nearly_match_are_named(tmp_path, model):
    (tmp_path / "table.csv").touch()
    expected = f" (did you mean {tmp_path / 'table.csv'}?)"
    assert is_there_another(tmp_path / "tabel.csv") == expected
    for other in (tmp_path / "other.png", tmp_path / "no" / "table.csv", "\0"):
        assert is_there_another(other) == ""
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(gpulr.ModelFileError, match=r"did you mean .*model\.safetensors\?"):
        gpulr.load(tmp_path / "modle.safetensors")


def test_values_are_shown_in_short():
    assert shown("abc") == "'abc'"
    assert len(shown(10**400)) < 80
    assert shown(10**10_000) == "<int>"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda X, y: gpulr.train(X, y, solver="lbgfs"), r"did you mean lbfgs\?"),
        (lambda X, y: gpulr.train(X, y, backend="numpi"), r"did you mean numpy\?"),
        (lambda X, y: gpulr.search(X, y, scoring="acuracy"), r"did you mean accuracy\?"),
        (lambda X, y: gpulr.datasets.load("minst"), r"did you mean mnist\?"),
        (lambda X, y: gpulr.train(X, y, scale="minmax"), 'a number > 0, "auto" or None'),
        (
            lambda X, y: gpulr.train(X, y, callbacks=[gpulr.callbacks.ProgressBar]),
            r"expected an object of it: ProgressBar\(\)",
        ),
        (lambda X, y: gpulr.report(None, "page.html"), "expected a trained model"),
    ],
)
def test_errors_say_what_was_meant_and_what_is_expected(blobs, call, words):
    with pytest.raises(gpulr.GpulrError, match=words):
        call(*blobs)


@pytest.mark.parametrize("path", [None, 5, b"page.html", "a\0.html"])
def test_what_is_no_path_is_refused(model, path):
    with pytest.raises(gpulr.ParameterError, match="expected a path"):
        gpulr.report(model, path)


@pytest.mark.parametrize(
    "call",
    [
        lambda X, y, huge: gpulr.train(X, y, C=huge),
        lambda X, y, huge: gpulr.train(X, y, C=[1, huge, 1]),
        lambda X, y, huge: gpulr.train(X, y, tol=huge),
        lambda X, y, huge: gpulr.train(X, y, scale=huge),
        lambda X, y, huge: gpulr.train(X, y, solver="gd", learning_rate=huge),
        lambda X, y, huge: gpulr.train(X, y, class_weight={0: huge}),
        lambda X, y, huge: gpulr.search(X, y, Cs=[huge]),
        lambda X, y, huge: gpulr.search(X, y, Cs=huge),
        lambda X, y, huge: gpulr.search(X, y, cv=huge),
        lambda X, y, huge: gpulr.bootstrap(X, y, n=huge),
    ],
)
@pytest.mark.parametrize("huge", [10**400, 10**5000], ids=["400", "5000"])
def test_numbers_beyond_all_floats_are_refused(blobs, call, huge):
    with pytest.raises(gpulr.ParameterError) as caught:
        call(*blobs, huge)
    assert len(str(caught.value)) < 250


def cure(call, start):
    """Return the code that an error advises, evaluated."""
    with pytest.raises(gpulr.DataError) as caught:
        call()
    (code,) = [word for word in str(caught.value).split() if word.startswith(start)]
    return eval(code, {"numpy": np, "gpulr": gpulr, "Path": Path})


def test_the_cure_for_the_name_of_an_array_works(blobs, tmp_path):
    X, y = blobs
    path = str(tmp_path / "X.npy")
    np.save(path, X)
    found = cure(lambda: gpulr.train(path), "numpy.load(")
    assert gpulr.train(found, y, max_iter=1, tol=0).n_features == 4


@pytest.mark.parametrize("name", ["digits", b"digits", Path("digits")])
def test_the_cure_for_the_name_of_data_works(model, name):
    for call in (gpulr.train, model.predict):
        found = cure(lambda call=call: call(name), "gpulr.datasets.load(")
        assert isinstance(found, gpulr.datasets.Dataset)


def test_a_dataset_is_no_array_and_a_table_with_a_column_of_such_a_name_is_one(blobs, model):
    X, y = blobs
    with pytest.raises(gpulr.DataError, match="Pass its X, or its X_test"):
        model.predict(gpulr.datasets.Dataset(X, y))
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.DataFrame(X, columns=["X_test", "b", "c", "d"])
    assert gpulr.train(table, y, max_iter=1, tol=0).predict(table).shape == (90,)


def test_results_are_shown_in_a_line(blobs):
    X, y = blobs
    told = []
    model = gpulr.train(X, y, callbacks=[told.append])
    indicator = (y[:, np.newaxis] == np.arange(3)).astype(np.uint8)
    results = {
        "accuracy=": model.evaluate(X, y),
        "micro_f1=": gpulr.train(X, indicator).evaluate(X, indicator),
        "n_iter=<3 int64>": model.history,
        f"iteration={model.n_iter}": told[-1],
        "3 models of 4 features for 3 classes": model,
        "1 model of 1 feature for 2 classes": gpulr.train(X[:, :1], y > 1),
        "2 replicates of 3 models": gpulr.bootstrap(X, y, n=2, random_state=0),
        "1 value of C on 2 folds": gpulr.search(X, y, Cs=[1], cv=2),
        "y 90 int64": gpulr.datasets.Dataset(X, y),
    }
    for words, result in results.items():
        assert words in repr(result)
        assert "\n" not in repr(result)
        assert len(repr(result)) < 300
    with pytest.warns(gpulr.ConvergenceWarning, match=r"\(in 1 iteration\)"):
        gpulr.train(X, y, max_iter=1)
