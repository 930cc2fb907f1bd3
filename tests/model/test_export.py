"""ONNX files in ONNX Runtime, and scikit-learn's estimators, against the model they come from."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gpulr
from gpulr.backend import to_host

onnx_test = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))),
    reason='onnx and onnxruntime are not installed: python -m pip install ".[test]"',
)


def session(model, path, **options):
    import onnxruntime

    model.to_onnx(path, **options)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def outputs(runtime, X):
    names = [output.name for output in runtime.get_outputs()]
    return dict(zip(names, runtime.run(None, {"X": X}), strict=True))


def assert_same(model, found, X, atol=None):
    """Compare what ONNX Runtime found with what the model says."""
    Z = to_host(model.decision_function(X))
    tight = 1e-5 if Z.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found["margins"], Z, rtol=tight, atol=atol or 10 * tight)
    P = to_host(model.predict_proba(X))
    np.testing.assert_allclose(found["probabilities"], P, rtol=0, atol=atol or tight)
    assert found["margins"].dtype == found["probabilities"].dtype == Z.dtype
    labels = to_host(model.predict(X))
    assert found["label"].tolist() == labels.tolist()
    assert found["index"].dtype == np.int64
    assert model.classes[found["index"]].tolist() == labels.tolist()
    if labels.dtype.kind != "U":
        assert found["label"].dtype == labels.dtype


def rows(rng, kind, n=60):
    codes = np.arange(n) % 3
    X = rng.normal(size=(n, 4)) + 2 * np.eye(3, 4)[codes]
    if kind == "bool":
        return X > 0.5, codes
    if np.dtype(kind).kind in "ui":
        return np.clip(np.rint(20 * X + 100), 0, 127).astype(kind), codes
    return X.astype(kind), codes


KINDS = ["uint8", "float32", "float64", "float16", "bool", "int8", "int64", "uint16"]


@onnx_test
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:X is uint8:gpulr.GpulrWarning")
def test_what_it_was_trained_on_gives_the_same(tmp_path, rng, kind, standardize, dtype):
    X, y = rows(rng, kind)
    model = gpulr.train(X, y, standardize=standardize, dtype=dtype)
    runtime = session(model, tmp_path / "model.onnx")
    assert runtime.get_inputs()[0].shape == ["batch", 4]
    for part in (X, X[:1]):
        assert_same(model, outputs(runtime, part), part)
    if kind == "int64":  # the input may be of another dtype
        for other in ("uint8", "float32", "float64"):
            found = outputs(session(model, tmp_path / "m.onnx", input_dtype=other), X.astype(other))
            assert_same(model, found, X.astype(other))


@onnx_test
@pytest.mark.parametrize("kind", ["float32", "float64", "int64"])
def test_large_means_do_not_cancel(tmp_path, rng, kind):
    X, y = rows(rng, "float64")
    X = np.rint(100 * X + 1e7).astype(kind)  # X W + b would lose all but two digits in float32
    model = gpulr.train(X, y, standardize=True)
    found = outputs(session(model, tmp_path / "m.onnx"), X)
    assert_same(model, found, X)
    scaled = StandardScaler().fit_transform(X.astype(float))
    exact = gpulr.train(scaled, y, dtype="float64").decision_function(scaled)
    np.testing.assert_allclose(found["margins"], exact, atol=1e-4)
    # scikit-learn's estimator has no centre.
    np.testing.assert_allclose(model.to_sklearn().decision_function(X), exact, atol=1e-4)


LABELS = {
    "int": [3, 5, 9],
    "int8": np.array([-1, 0, 1], np.int8),
    "float": [-1.0, 0.0, 2.0],
    "str": ["a", "Ærø", "数字 🙂"],
    "longdouble": np.array([0, 1, 2], np.longdouble),
    "two": [4, 7],
    "two str": ["nein", "jå"],
    "bool": [False, True],
}


@onnx_test
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_of_every_kind(tmp_path, rng, labels):
    X, codes = rows(rng, "float32")
    y = np.asarray(labels)[codes % len(labels)]
    model = gpulr.train(X, y)
    runtime = session(model, tmp_path / "model.onnx")
    for part in (X, X[:1]):
        found = outputs(runtime, part)
        if y.dtype == np.longdouble:
            found["label"] = found["label"].astype(y.dtype)
        assert_same(model, found, part)
    facts = runtime.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == model.classes.tolist()


@onnx_test
def test_ties_are_decided_as_by_the_model(tmp_path):
    X = np.eye(4, dtype=np.float32)
    for y in ([2, 4, 6, 6], [2, 4, 2, 4]):
        model = gpulr.train(X, y, max_iter=0, tol=0)  # all margins are 0
        found = outputs(session(model, tmp_path / "model.onnx"), X)
        assert found["label"].tolist() == model.predict(X).tolist() == [2] * 4


@onnx_test
def test_the_file_is_whole_and_says_what_it_is(tmp_path, digits):
    import onnx

    X, y, X_test, _ = digits
    X, X_test = (np.rint(255 * part).astype(np.uint8) for part in (X, X_test))
    model = gpulr.train(X.reshape(-1, 8, 8), y, tol=1e-3)
    path = tmp_path / "bytes.onnx"
    path.write_bytes(b"what was there before")
    assert_same(model, outputs(session(model, str(path)), X_test), X_test)
    assert [file.name for file in tmp_path.iterdir()] == ["bytes.onnx"]
    proto = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(proto, full_check=True)
    assert not any(tensor.external_data for tensor in proto.graph.initializer)
    assert proto.ir_version == 8
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", 17)]
    assert {prop.key: json.loads(f'"{prop.value}"') for prop in proto.metadata_props} == {
        "gpulr_version": gpulr.__version__,
        "classes": str(list(range(10))),
        "image_shape": "[8, 8]",
        "scale": str(1 / 255),
    }
    kinds = [node.op_type for node in proto.graph.node]
    assert kinds == ["Cast", "Gemm", "Sigmoid", "ArgMax", "Gather"]


@onnx_test
@pytest.mark.parametrize("standardize", [False, True])
def test_models_on_a_device(tmp_path, put, blobs, standardize):
    X, y = blobs
    model = gpulr.train(put(X), y, standardize=standardize)
    assert_same(model, outputs(session(model, tmp_path / "model.onnx"), X), X)
    np.testing.assert_array_equal(model.to_sklearn().predict(X), to_host(model.predict(put(X))))


@onnx_test
def test_unknown_dtypes_and_loaded_models(tmp_path, blobs):
    model = gpulr.train(*blobs, dtype="float64")
    runtime = session(replace(model, data={"dtype": "bfloat16"}), tmp_path / "model.onnx")
    assert runtime.get_inputs()[0].type == "tensor(double)"  # of the weights
    model.save(tmp_path / "model.safetensors")
    model.to_onnx(tmp_path / "a.onnx")
    gpulr.load(tmp_path / "model.safetensors").to_onnx(tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def assert_sklearn_agrees(estimator, model, X, *, rtol=1e-4, atol=1e-5):
    Z = model.decision_function(X)
    margins = estimator.decision_function(X)
    np.testing.assert_allclose(margins.reshape(Z.shape), Z, rtol=rtol, atol=atol)
    P = model.predict_proba(X, normalize=True)
    np.testing.assert_allclose(estimator.predict_proba(X), P, rtol=rtol, atol=atol)
    labels = estimator.predict(X)
    np.testing.assert_array_equal(labels, model.predict(X))
    assert labels.dtype == model.classes.dtype
    np.testing.assert_array_equal(estimator.classes_, model.classes)
    assert estimator.n_features_in_ == model.n_features


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("labels", [[3, 5, 9], ["a", "b", "ø"], [False, True], ["no", "yes"]])
@pytest.mark.filterwarnings("ignore:X is uint8:gpulr.GpulrWarning")
def test_sklearns_estimator_predicts_the_same(tmp_path, rng, kind, labels, standardize):
    X, codes = rows(rng, kind)
    y = np.asarray(labels)[codes % len(labels)]
    model = gpulr.train(X, y, standardize=standardize)
    estimator = model.to_sklearn()
    assert type(estimator) is (LogisticRegression if len(labels) == 2 else OneVsRestClassifier)
    assert_sklearn_agrees(estimator, model, X)
    joblib.dump(make_pipeline(estimator), tmp_path / "pipeline.joblib")
    assert_sklearn_agrees(joblib.load(tmp_path / "pipeline.joblib"), model, X)
    assert estimator.score(X, y) == model.score(X, y)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_sklearns_estimator_knows_the_names_of_columns(rng, n_classes):
    X = pytest.importorskip("pandas").DataFrame(rng.normal(size=(40, 3)), columns=["a", "b", "c"])
    model = gpulr.train(X, np.arange(40) % n_classes)
    estimator = model.to_sklearn()
    assert estimator.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(estimator.predict(X), model.predict(X))  # and no warning
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(X[["c", "b", "a"]])
    assert not hasattr(
        gpulr.train(X.to_numpy(), np.arange(40) % 2).to_sklearn(), "feature_names_in_"
    )


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_a_clone_fitted_anew_finds_the_same_optimum(rng, n_classes, scale):
    X, codes = rows(rng, "float64")
    y = codes % n_classes
    weights = {0: 2.0, 1: 0.5} if n_classes == 2 else None
    settings = {"C": 0.5, "scale": scale, "tol": 1e-8, "dtype": "float64", "max_iter": 999}
    model = gpulr.train(X, y, class_weight=weights, **settings)
    estimator = model.to_sklearn()
    again = clone(estimator).fit(X, y).decision_function(X)
    np.testing.assert_allclose(again, estimator.decision_function(X), atol=1e-4)
    one = estimator if n_classes == 2 else estimator.estimator
    np.testing.assert_allclose(one.C, 0.5 * scale**2)
    assert (one.tol, one.max_iter) == (1e-8, 999)


def test_penalties_of_each_model_and_class_weights(blobs):
    X, y = blobs
    estimator = gpulr.train(X, y, C=[0.1, 1.0, np.inf], max_iter=20, tol=0).to_sklearn()
    assert [one.C for one in estimator.estimators_] == [0.1, 1.0, np.inf]
    assert estimator.estimator.C == LogisticRegression().C
    assert [one.n_iter_.tolist() for one in estimator.estimators_] == [[20]] * 3
    balanced = gpulr.train(X, y > 0, class_weight="balanced").to_sklearn()
    assert balanced.class_weight == "balanced"
    three = gpulr.train(X, y, class_weight="balanced").to_sklearn()
    assert three.estimator.class_weight == "balanced"
    named = gpulr.train(X, y, class_weight={0: 3.0}).to_sklearn()
    assert named.estimator.class_weight is None
    two = {"class_weight": {False: 2.0, True: 3.0}, "pos_weight": 5.0}
    assert gpulr.train(X, y > 0, **two).to_sklearn().class_weight == {False: 2.0, True: 15.0}
    each = gpulr.train(X, y, pos_weight=[1.0, 2.0, 3.0]).to_sklearn()
    assert [one.class_weight[1] for one in each.estimators_] == [1.0, 2.0, 3.0]
    assert each.estimator.class_weight is None


def test_errors_name_what_to_do(tmp_path, blobs, monkeypatch):
    X, y = blobs
    model, path = gpulr.train(X, y), tmp_path / "model.onnx"
    surrogate = gpulr.train(X, np.array(["a", "b", "\udcff"])[y])
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "onnx", None)
        with pytest.raises(gpulr.MissingExtraError, match=r'python -m pip install "\.\[onnx\]"'):
            model.to_onnx(path)
    assert issubclass(gpulr.MissingExtraError, ImportError)
    pytest.importorskip("onnx")
    for dtype in ("complex64", "no dtype", str, "datetime64[s]"):
        with pytest.raises(gpulr.ParameterError, match=r"input_dtype=.*; use one of uint8, float"):
            model.to_onnx(path, input_dtype=dtype)
    for place in (tmp_path, tmp_path / "no" / "folder.onnx"):
        with pytest.raises(gpulr.ModelFileError, match="could not be written"):
            model.to_onnx(place)
    with pytest.raises(gpulr.ParameterError, match="not Unicode"):
        surrogate.to_onnx(path)
    monkeypatch.setattr("gpulr.model.export._LARGEST", 40)
    with pytest.raises(gpulr.ParameterError, match="holds less than 2"):
        model.to_onnx(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_models", [1, 3])
def test_any_number_of_labels(tmp_path, blobs, n_models):
    X, y = blobs
    model = replace(gpulr.train(X, np.minimum(y, n_models)), multilabel=True)
    estimator, Z = model.to_sklearn(), model.decision_function(X)
    np.testing.assert_array_equal(estimator.predict(X).reshape(Z.shape), Z > 0)
    if n_models > 1:
        assert estimator.multilabel_
        P = 1 / (1 + np.exp(-Z))
        np.testing.assert_allclose(estimator.predict_proba(X), P, rtol=1e-4)
    pytest.importorskip("onnxruntime")
    found = outputs(session(model, tmp_path / "model.onnx"), X)
    assert set(found) == {"probabilities", "margins", "label"}
    assert found["label"].dtype == np.int64
    np.testing.assert_array_equal(found["label"], Z > 0)


def test_the_estimators_arrays_are_its_own(blobs):
    model = gpulr.train(*blobs)
    before = model.weights.copy(), model.intercept.copy(), model.classes.copy()
    estimator = model.to_sklearn()
    for one in estimator.estimators_:
        one.coef_ += 1
        one.intercept_ += 1
    for now, then in zip((model.weights, model.intercept, model.classes), before, strict=True):
        np.testing.assert_array_equal(now, then)
    without = replace(model, settings={})
    assert_sklearn_agrees(without.to_sklearn(), without, blobs[0])


UNUSUAL = {
    "bytes": np.array([b"a", b"b", b"c"]),
    "times": np.array(["2020", "2021", "2022"], dtype="M8[D]"),
    "durations": np.array([1, 2, 3], dtype="m8[s]"),
    "dates": [date(2020 + i, 1, 1) for i in range(3)],
    "datetimes": [datetime(2020 + i, 1, 1) for i in range(3)],
    "decimals": [Decimal(i) for i in range(3)],
}


@onnx_test
@pytest.mark.parametrize("kind", UNUSUAL)
def test_labels_that_other_software_has_not_are_refused_with_a_cure(blobs, tmp_path, kind):
    X, y = blobs
    model = gpulr.train(X, [UNUSUAL[kind][i] for i in y])
    named = replace(model, classes=model.classes.astype(str))
    path = tmp_path / "m.onnx"
    with pytest.raises(gpulr.ParameterError, match=r"ONNX file cannot hold.*astype\(str\)"):
        model.to_onnx(path)
    assert not path.exists()
    found = outputs(session(named, path), X)["label"]
    assert found.tolist() == model.predict(X).astype(str).tolist()
    if kind in ("times", "durations"):
        estimator = model.to_sklearn()
    else:
        with pytest.raises(gpulr.ParameterError, match=r"OneVsRestClassifier cannot hold.*str"):
            model.to_sklearn()
        estimator, model = named.to_sklearn(), named
    np.testing.assert_array_equal(estimator.predict(X), model.predict(X))
    if kind in ("bytes", "dates", "decimals"):
        with pytest.raises(gpulr.DataError, match=r"scikit-learn does not take.*gpulr\.train"):
            gpulr.OneVsAllLogisticRegression().fit(X, [UNUSUAL[kind][i] for i in y])


def test_wide_floats_as_labels_are_saved_as_what_a_file_holds(blobs, tmp_path):
    X, y = blobs
    model = gpulr.train(X, y.astype(np.longdouble))
    assert model.classes.dtype == np.longdouble
    model.save(tmp_path / "m.safetensors")
    loaded = gpulr.load(tmp_path / "m.safetensors")
    assert loaded.classes.dtype == np.float64
    assert loaded.evaluate(X, y.astype(np.longdouble)).accuracy == model.score(X, y)
