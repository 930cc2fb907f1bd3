"""Model files with a right checksum and wrong content: refused when they are loaded, not later."""

from __future__ import annotations

import copy
import json
import random
from importlib.util import find_spec

import numpy as np
import pytest
from safetensors.numpy import save as to_bytes

import gpulr
from gpulr.model import storage
from gpulr.model.schema import classes_of


@pytest.fixture
def model(rng):
    data = gpulr.datasets.Dataset(
        rng.random((12, 6)), np.arange(12) % 3, label_name="kind", feature_names=tuple("abcdef")
    )
    model = gpulr.train(data, image_shape=(2, 3), max_iter=2, tol=0)
    model.data["split"] = {"test_size": 0.2, "seed": 0}
    return model


def parts(model, path):
    """Return the record and the arrays of the file that a model is saved to."""
    from safetensors import safe_open

    model.save(path)
    with safe_open(path, framework="numpy") as file:
        record = json.loads(file.metadata()["model"])
        return record, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def write(path, text, tensors):
    metadata = {
        "format": storage.FORMAT,
        "format_version": str(storage.VERSION),
        "model": text,
        "sha256": storage._digest(tensors, text),
    }
    path.write_bytes(to_bytes(tensors, metadata=metadata))


@pytest.fixture
def changed(model, tmp_path):
    """Load the model after a change of its record and arrays, or of its text."""
    path = tmp_path / "m.safetensors"
    record, tensors = parts(model, path)

    def load(change=None, text=None):
        mutant, arrays = copy.deepcopy((record, tensors))
        if change is not None:
            change(mutant, arrays)
        write(path, json.dumps(mutant) if text is None else text, arrays)
        return gpulr.load(path)

    return load


def test_what_earlier_versions_lack_and_later_ones_may_add_is_taken(changed):
    def change(record, tensors):
        del record["multilabel"]
        record["later"] = {"any": ["thing"]}
        record["data"]["later"] = [[1]]
        record["settings"]["later"] = [1, 2.5]
        tensors["later"] = np.zeros(3)

    loaded = changed(change)
    assert loaded.settings["later"] == [1, 2.5]
    assert not loaded.multilabel
    assert loaded.n_models == 3


SEARCH = {"Cs": [1.0, None], "scores": [[0, 1], [0, 1]], "scoring": "accuracy", "folds": 2}
SEARCH |= {"converged": 6, "models": 12, "seconds": 0.1, "refit": "best"}


WRONG = {
    "classes.dtype": ["O", "<U100000000x", "(1000000,)f8", "i4,f4", "float64", "<c8", "|V3", 8],
    "classes.values": [[0, 1], [0, 1, "2"], [0, 1, 2.5], [0, 1, True], [0, 1, 10**30], [0, 1, 1],
                       [0, 1, [2]], "012", {}, []],
    "multilabel": ["yes", 0, None],
    "backend": [None, 1, []],
    "device": [{}],
    "fallback_reason": [0, []],
    "scale": [0, 1e300, -1.0, "1", None, 10**400, True],
    "image_shape": [[2], [2, 4], [2.0, 3], ["2", 3], [[2, 3]], "23", [-2, -3], [1] * 40 + [2, 3]],
    "versions": [[], {"numpy": 2}, {"numpy": None}, "2.0"],
    "settings": [[], None, "C", {"C": "1"}, {"C": []}, {"C": [1, 2]}, {"C": -1}, {"C": {}}],
    "settings.tol": ["0", None, -1, [1]],
    "settings.max_iter": [2.5, -1, 10**40, None],
    "settings.dtype": ["float16", ["float32"], {}],
    "settings.class_weight": ["even", {"0": "1"}, {"0": [1]}, [1, 2, 3]],
    "settings.other": [[[1]], {"a": {}}, ["a"]],
    "data": [[], None, "digits"],
    "data.name": [None, 3],
    "data.n_samples": ["12", 1.5, -1],
    "data.feature_range": [[0], [0, 1, 2], ["0", 1], None, {}, [0, None]],
    "data.feature_names": ["abcdef", [1, 2, 3, 4, 5, 6], {}],
    "data.label": [[], {}, 1.5],
    "data.extent": [0, -1, "1", 1e9],
    "data.middle": [[1], [1e300, 0], [-1, 0], ["1", "0"]],
    "data.background": ["grey", ["dark"], {}],
    "data.split": [[], {"test_size": 0.2}, {"test_size": "0.2", "seed": 0}, {"seed": 0}, "half"],
    "data.search": [SEARCH | {"scores": [[None, 1], [0, 1]]}, SEARCH | {"folds": 3}, {}, [1],
                    {"Cs": [1], "scores": [[1, 2]]}],
}  # fmt: skip


@pytest.mark.parametrize("field", WRONG)
def test_wrong_types_are_refused(changed, field):
    *outer, name = field.split(".")
    for value in WRONG[field]:

        def change(record, tensors, value=value):
            for key in outer:
                record = record[key]
            record[name] = value

        with pytest.raises(gpulr.ModelFileError, match="incomplete model"):
            changed(change)


TEXTS = ["", "null", "[]", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, "NaN", '{"scale": 1e999}']


@pytest.mark.parametrize("text", TEXTS, ids=range(8))
def test_other_text_is_refused(changed, text):
    with pytest.raises(gpulr.ModelFileError, match="incomplete model"):
        changed(text=text)


WRONG_ARRAYS = {
    "weights": [np.zeros((6, 4)), np.zeros((5, 3)), np.zeros((0, 3)), np.zeros(18),
                np.zeros((6, 3), np.float16), np.zeros((6, 3), np.int64), np.full((6, 3), np.nan)],
    "intercept": [np.zeros((3, 1)), np.full(3, np.inf), np.zeros(3, np.float64)],
    "cost": [np.zeros((0, 3)), np.zeros((3, 2)), np.full((3, 3), np.inf)],
    "gradient_norm": [np.zeros((9, 3))],
    "seconds": [np.zeros(1), np.full(3, np.nan)],
    "n_iter": [np.zeros(3), np.array([0, 0, 99]), np.zeros(3, np.uint64), np.array([0, 0, -1])],
    "converged": [np.zeros(3)],
    "stalled": [np.zeros(2, bool)],
    "refreshes": [np.zeros(2, np.int64), np.zeros(3), np.array([0, -2, 1])],
    "center": [np.zeros(6)],
    "intercept_at_center": [np.zeros(3)],
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_arrays_that_do_not_fit_are_refused(changed, name):
    for array in WRONG_ARRAYS[name]:
        with pytest.raises(gpulr.ModelFileError, match="incomplete model"):
            changed(lambda record, tensors, array=array: tensors.update({name: array}))


def a_single_class(record, tensors):
    record["classes"]["values"] = [0]
    record["settings"]["C"] = 1.0
    record["data"]["prior"] = None
    for name, array in tensors.items():
        if name != "seconds":
            tensors[name] = np.ascontiguousarray(array[..., :1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record, tensors: record["classes"].update(values=[0, 1, 2, 3]), "fit 4 classes"),
        (lambda record, tensors: record.pop("settings"), "has no settings"),
        (lambda record, tensors: tensors.pop("weights"), "hold 0 features"),
        (lambda record, tensors: tensors.pop("cost"), "lacks weights or costs"),
        (a_single_class, "fit 1 classes"),
        (
            lambda record, tensors: record["classes"].update(dtype="<c8"),
            "'<c8'; expected that of numbers, booleans, text, bytes or times",
        ),
        (
            lambda record, tensors: record["data"].update(feature_names="ab"),
            "'ab'; expected a list or: ",
        ),
        (
            lambda record, tensors: record["classes"].update(values=[]),
            "a list of 0; expected a list of 1 or more\\)",
        ),
        (
            lambda record, tensors: record.update(image_shape="23"),
            "'23'; expected a list of 1 to 32 or: ",
        ),
        (
            lambda record, tensors: record["data"].update(feature_range=[0]),
            "a list of 1; expected a list of 2\\)",
        ),
        (lambda record, tensors: tensors["weights"].fill(np.nan), "weights holds what is no fin"),
        (lambda record, tensors: tensors["cost"].fill(np.inf), "cost holds infinity"),
        (
            lambda record, tensors: tensors["n_iter"].fill(99),
            "n_iter holds .* more iterations than there are costs",
        ),
    ],
    ids=range(13),
)
def test_an_incomplete_model_is_refused(changed, change, message):
    with pytest.raises(gpulr.ModelFileError, match=f"incomplete model.*{message}") as caught:
        changed(change)
    assert caught.value.remedy in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_wide_dtype_of_labels_takes_no_more_than_they_need():
    wide = classes_of({"dtype": "<U100000000", "values": ["a", "bcd"]}, limit=1000)
    assert wide.dtype == np.dtype("<U3")
    assert wide.tolist() == ["a", "bcd"]
    kept = classes_of({"dtype": "<U100", "values": ["a", "bcd"]}, limit=1000)
    assert kept.dtype == np.dtype("<U100")
    wide = classes_of({"dtype": "|S100000000", "values": ["\xff"]}, limit=1000)
    assert wide.tolist() == [b"\xff"]
    empty = classes_of({"dtype": "<U0", "values": [""]}, limit=1000)
    assert empty.tolist() == [""]
    with pytest.raises(ValueError, match="has a label twice"):
        classes_of({"dtype": "|S0", "values": ["", ""]}, limit=1000)
    with pytest.raises(ValueError, match="longer"):
        classes_of({"dtype": "<U1", "values": ["a", "bcd"]}, limit=1000)


def test_what_could_not_be_loaded_is_not_saved(model, tmp_path):
    path = tmp_path / "m.safetensors"
    model.save(path)
    before = path.read_bytes()
    wrong = {"n_samples": "12", "label": 2.5, "extent": np.float32(2), "x": {1j}}
    for name, value in wrong.items():
        changed = copy.deepcopy(model)
        changed.data[name] = value
        with pytest.raises(gpulr.ModelFileError, match="not written"):
            changed.save(path)
    assert path.read_bytes() == before


def test_numbers_of_numpy_and_the_search_that_chose_c_are_saved(model, tmp_path):
    model.data["search"] = SEARCH
    model.data.update(extent=np.float32(0.5), n_samples=np.int64(12))
    model.settings.update(C=np.array([1, np.inf, 2]), tol=np.float32(0))
    model.save(tmp_path / "m.safetensors")
    loaded = gpulr.load(tmp_path / "m.safetensors")
    assert loaded.data["search"] == SEARCH
    assert loaded.data["extent"] == 0.5
    assert loaded.settings["C"] == [1, np.inf, 2]


VALUES = [None, True, -1, 0.5, 10**19, 10**400, "", "\ud800", [], {}, [1], ["a"], [[1]], {"a": 1}]


def test_mutants_are_refused_or_usable(model, tmp_path):
    """What loads can be used: seventy records, each with a value replaced or left out."""
    generator, path = random.Random(3), tmp_path / "m.safetensors"
    record, tensors = parts(model, path)
    X, loaded = np.zeros((2, 6)), 0
    for _ in range(70):
        mutant = copy.deepcopy(record)
        place = mutant
        while True:
            key = generator.choice([*place] if isinstance(place, dict) else range(len(place)))
            inner = isinstance(place[key], dict | list) and place[key]
            if not inner or generator.random() < 0.3:
                break
            place = place[key]
        if generator.random() < 0.2:
            del place[key]
        else:
            place[key] = generator.choice(VALUES)
        write(path, json.dumps(mutant), tensors)
        try:
            its = gpulr.load(path)
        except gpulr.ModelFileError:
            continue
        loaded += 1
        its.predict(X)
        its.to_sklearn()
        its.save(path)
        if loaded % 8 == 0 and find_spec("jinja2"):
            gpulr.report(its, tmp_path / "r.html")
    assert loaded >= 6
