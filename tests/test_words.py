"""Numbers with their nouns, near misses, and what is shown of values and results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gpulr
from gpulr.words import counted, did_you_mean, is_there_another, shown


def test_counted():
    assert [counted(n, "row") for n in range(3)] == ["0 rows", "1 row", "2 rows"]
    assert counted(1, "class", "classes") == "1 class"
    assert counted(1234, "class", "classes") == "1,234 classes"


def test_near_misses_are_named():
    known = ("mnist", "mnist-original", "digits")
    assert did_you_mean("minst", known) == " (did you mean mnist?)"
    assert did_you_mean("Digit", known) == " (did you mean digits?)"
    assert did_you_mean("iris", known) == ""
    assert did_you_mean(None, known) == ""


def test_files_that_nearly_match_are_named(tmp_path):
    (tmp_path / "table.csv").touch()
    expected = f" (did you mean {tmp_path / 'table.csv'}?)"
    assert is_there_another(tmp_path / "tabel.csv") == expected
    assert is_there_another(tmp_path / "other.png") == ""
    assert is_there_another(tmp_path / "no" / "table.csv") == ""
    assert is_there_another("\0") == ""


def test_values_are_shown_in_short():
    assert shown("abc") == "'abc'"
    assert len(shown(10**400)) < 80
    assert shown(10**10_000) == "<int>"


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda X, y: gpulr.train(X, y, solver="lbgfs"), "lbfgs"),
        (lambda X, y: gpulr.train(X, y, backend="numpi"), "numpy"),
        (lambda X, y: gpulr.search(X, y, scoring="acuracy"), "accuracy"),
        (lambda X, y: gpulr.datasets.load("minst"), "mnist"),
    ],
)
def test_errors_name_what_was_meant(blobs, call, word):
    with pytest.raises(gpulr.GpulrError, match=rf"did you mean {word}\?"):
        call(*blobs)


def test_a_model_file_that_nearly_matches_is_named(blobs, tmp_path):
    gpulr.train(*blobs, max_iter=1, tol=0).save(tmp_path / "model.safetensors")
    with pytest.raises(gpulr.ModelFileError, match=r"did you mean .*model\.safetensors\?"):
        gpulr.load(tmp_path / "modle.safetensors")


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


def test_errors_say_what_is_expected(blobs, tmp_path):
    with pytest.raises(gpulr.ParameterError, match='a number > 0, "auto" or None'):
        gpulr.train(*blobs, scale="minmax")
    with pytest.raises(gpulr.ParameterError, match=r"expected an object of it: ProgressBar\(\)"):
        gpulr.train(*blobs, callbacks=[gpulr.callbacks.ProgressBar])
    model = gpulr.train(*blobs, max_iter=1, tol=0)
    for path in (None, 5, b"page.html", "a\0.html"):
        with pytest.raises(gpulr.ParameterError, match="expected a path"):
            gpulr.report(model, path)
    with pytest.raises(gpulr.ParameterError, match="expected a trained model"):
        gpulr.report(None, tmp_path / "page.html")


def test_the_cure_for_the_name_of_an_array_works(blobs, tmp_path):
    X, y = blobs
    path = str(tmp_path / "X.npy")
    np.save(path, X)
    with pytest.raises(gpulr.DataError) as caught:
        gpulr.train(path)
    (cure,) = [it for it in str(caught.value).split() if it.startswith("numpy.load(")]
    assert gpulr.train(eval(cure, {"numpy": np}), y, max_iter=1, tol=0).n_features == 4


@pytest.mark.parametrize("name", ["digits", b"digits", Path("digits")])
def test_the_cure_for_the_name_of_data_works(blobs, name):
    X, y = blobs
    model = gpulr.train(X, y, max_iter=1, tol=0)
    for call in (lambda: gpulr.train(name), lambda: model.predict(name)):
        with pytest.raises(gpulr.DataError) as caught:
            call()
        (cure,) = [it for it in str(caught.value).split() if it.startswith("gpulr.datasets.load(")]
        assert isinstance(eval(cure), gpulr.datasets.Dataset)


def test_a_dataset_is_no_array_and_a_table_with_a_column_of_such_a_name_is_one(blobs):
    X, y = blobs
    model = gpulr.train(X, y, max_iter=1, tol=0)
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
        "2 replicates of 3 models": gpulr.bootstrap(X, y, n=2, random_state=0),
        "1 value of C on 2 folds": gpulr.search(X, y, Cs=[1], cv=2),
        "y 90 int64": gpulr.datasets.Dataset(X, y),
    }
    for words, result in results.items():
        assert words in repr(result)
        assert "\n" not in repr(result)
        assert len(repr(result)) < 300


def test_one_model_is_one_model(blobs):
    X, y = blobs
    assert "1 model of 1 feature for 2 classes" in repr(gpulr.train(X[:, :1], y > 1))
    with pytest.warns(gpulr.ConvergenceWarning, match=r"\(in 1 iteration\)"):
        gpulr.train(X, y, max_iter=1)
