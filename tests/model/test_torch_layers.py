"""Models as torch's layers and back: the same logits, scores, files and reports."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import gpulr
from gpulr.backend import to_host

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn = torch.nn

NAMES = np.array(["Barolo", "Grignolino", "Barbera"])


@pytest.fixture
def rows(rng):
    codes = np.arange(90) % 3
    return rng.normal(size=(90, 5)) + 2 * np.eye(3, 5)[codes], codes


def logits(layer, X):
    with torch.no_grad():
        return layer(torch.as_tensor(X)).to(torch.float64).numpy()


def exact(model, X):
    """Return X W + b in float64, without the model's code."""
    return X.astype(np.float64) @ to_host(model.weights).astype(np.float64) + model.intercept


def assert_near(found, expected, dtype="float32"):
    """Compare to 1e-6 of the largest logit, or what the dtype holds."""
    atol = {"float64": 1e-13, "float32": 1e-6, "bfloat16": 2e-2, "float16": 2e-3}[dtype]
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol * np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["several", "two", "labels", "one label", "no intercept"])
def test_a_linear_has_the_logits_and_makes_the_model_again(rows, kind, dtype):
    X, codes = rows[0].astype(dtype), rows[1]
    y = {"several": NAMES[codes], "two": NAMES[codes % 2], "labels": np.eye(3)[codes]}
    y |= {"one label": np.eye(3)[codes][:, :1], "no intercept": codes}
    model = gpulr.train(X, y[kind], dtype=dtype, fit_intercept=kind != "no intercept")
    layer = model.to_torch()
    assert type(layer) is nn.Linear
    assert layer.weight.shape == (model.n_models, 5) == (layer.out_features, layer.in_features)
    assert str(layer.weight.dtype) == f"torch.{dtype}"
    assert layer.weight.is_contiguous()
    assert layer.weight.requires_grad
    assert layer.bias.requires_grad
    assert_near(logits(layer, X), exact(model, X), dtype)
    assert_near(logits(layer, X), model.decision_function(X), dtype)
    again = gpulr.from_torch(layer, classes=model.classes, multilabel=model.multilabel)
    for name in ("weights", "intercept", "classes"):
        one, two = getattr(again, name), getattr(model, name)
        np.testing.assert_array_equal(one, two)
        assert one.dtype == two.dtype
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.score(X, y[kind]) == model.score(X, y[kind])


def test_bytes_are_pixels_from_0_to_255(rng):
    X = rng.integers(0, 256, (80, 6), dtype=np.uint8)
    model = gpulr.train(X, X[:, 0] > 128)
    assert model.scale == 1 / 255
    assert_near(logits(model.to_torch(), X.astype(np.float32)), model.decision_function(X))
    again = gpulr.from_torch(model.to_torch(), classes=[False, True])
    np.testing.assert_array_equal(again.decision_function(X), model.decision_function(X))


@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "int64"])
@pytest.mark.filterwarnings("ignore:X is uint8:gpulr.GpulrWarning")
def test_standardised_rows_are_centred_first(rows, kind, mean):
    X, codes = rows
    mean = 100 if kind == "uint8" else mean
    X = (np.rint(20 * X + 100 * mean) if kind in ("uint8", "int64") else X + mean).astype(kind)
    model = gpulr.train(X, codes, standardize=True)
    layer = model.to_torch()
    assert type(layer) is nn.Sequential
    assert isinstance(layer.linear, nn.Linear)
    expected = X.astype(np.float64) - to_host(model.center).astype(np.float64)
    expected = expected @ model.weights.astype(np.float64) + model.intercept_at_center
    assert_near(logits(layer, X), expected)
    assert_near(logits(layer, X), model.decision_function(X))
    assert logits(layer, X[:0]).shape == (0, 3)
    again = gpulr.from_torch(layer)
    assert_near(again.decision_function(X), expected)
    np.testing.assert_array_equal(again.intercept_at_center, layer.linear.bias.detach())
    plain = replace(model, center=None, intercept_at_center=None).to_torch()
    assert type(plain) is nn.Linear
    wrong = np.abs(logits(plain, X.astype(np.float32)) - expected).max() / np.abs(expected).max()
    assert (wrong > 1e-5) == (mean == 1e4 and kind != "uint8")  # what the centre is for


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("standardize", [False, True])
def test_the_dtype_that_is_asked_for(rows, dtype, standardize):
    X, codes = rows
    X = torch.tensor(X + 30).to(getattr(torch, dtype))  # a mean that bfloat16 rounds
    exactly = X.to(torch.float64).numpy()
    model = gpulr.train(exactly, codes, standardize=standardize)
    for asked in (dtype, getattr(torch, dtype)):
        layer = model.to_torch(dtype=asked)
        assert {tensor.dtype for tensor in layer.state_dict().values()} == {X.dtype}
        found = layer(X)
        assert found.dtype == X.dtype
    found, expected = found.detach().to(torch.float64).numpy(), model.decision_function(exactly)
    if dtype == "float64":
        assert_near(found, expected)  # which was computed in float32
    elif standardize:  # without, weights that are rounded are multiplied by 30
        assert_near(found, expected, dtype)
    again = gpulr.from_torch(layer)
    assert again.weights.dtype == ("float64" if dtype == "float64" else "float32")
    if standardize and dtype == "bfloat16":  # a centre rounded afterwards is off by up to 1/16
        late = model.to_torch().to(torch.bfloat16)(X).detach().to(torch.float64).numpy()
        assert np.abs(late - expected).max() > 1.5 * np.abs(found - expected).max()


def test_the_layer_has_arrays_of_its_own_and_draws_nothing(rows):
    X, codes = rows
    model = gpulr.train(X, codes)
    before, state = model.weights.copy(), torch.random.get_rng_state()
    layer = model.to_torch(device="cpu")
    assert torch.equal(torch.random.get_rng_state(), state)
    again = gpulr.from_torch(layer)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    for kept in (model, again):
        np.testing.assert_array_equal(kept.weights, before)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("standardize", [False, True])
def test_models_of_tensors_become_layers_and_answer_for_tensors(rows, dtype, standardize):
    X, codes = torch.tensor(rows[0]).to(getattr(torch, dtype)), torch.tensor(rows[1])
    model = gpulr.train(X, codes, standardize=standardize)
    assert isinstance(model.weights, torch.Tensor)
    layer = model.to_torch()
    wide = X.to(model.weights.dtype)
    assert_near(logits(layer, wide), to_host(model.decision_function(X)))
    again = gpulr.from_torch(layer)
    assert isinstance(again.weights, np.ndarray)
    assert torch.equal(again.predict(X), model.predict(X))
    assert_near(to_host(again.decision_function(X)), to_host(model.decision_function(X)))
    wide.requires_grad_()
    again.decision_function(wide).sum().backward()
    np.testing.assert_allclose(wide.grad[0], to_host(model.weights).sum(axis=1), rtol=1e-5)
    with torch.no_grad():
        parameters = list(layer.parameters())
        before = to_host(model.weights).copy()
        parameters[0].zero_()
    np.testing.assert_array_equal(to_host(model.weights), before)


def test_a_head_can_be_trained_on_and_started_from(rows):
    X, codes = rows
    model = gpulr.train(X, codes, standardize=True, max_iter=1, tol=0)
    head = model.to_torch()
    X32, Y = torch.tensor(X).float(), torch.eye(3)[codes]
    loss = nn.BCEWithLogitsLoss()
    before = loss(head(X32), Y).item()
    for _ in range(50):  # torch.optim would take seconds to import
        head.zero_grad()
        loss(head(X32), Y).backward()
        with torch.no_grad():
            for parameter in head.parameters():
                parameter -= 0.5 * parameter.grad
    assert loss(head(X32), Y).item() < before
    tuned = gpulr.from_torch(head, classes=model.classes)
    assert_near(tuned.decision_function(X32.numpy()), logits(head, X32))
    started, anew = (gpulr.train(X, codes, start=start) for start in (tuned, None))
    np.testing.assert_allclose(started.weights, anew.weights, atol=2e-3)


def test_calibration_is_part_of_the_logits_and_thresholds_are_not(rows):
    X, codes = rows
    Z = gpulr.cross_val_predict(X, codes, method="decision_function")
    calibrated = gpulr.train(X, codes).calibrated(Z, codes)
    changed = calibrated.with_thresholds(Z, codes, "f1")
    for model in (calibrated, changed):
        assert_near(logits(model.to_torch(), X.astype(np.float32)), calibrated.decision_function(X))


@pytest.mark.parametrize("standardize", [False, True])
def test_layers_are_saved_and_part_of_networks(rows, standardize):
    X, codes = rows[0].astype(np.float32), rows[1]
    layer = gpulr.train(X, codes, standardize=standardize).to_torch()
    expected = logits(layer, X)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    copy = torch.load(file, weights_only=False)
    np.testing.assert_array_equal(logits(copy, X), expected)
    copy.load_state_dict({name: 0 * tensor for name, tensor in layer.state_dict().items()})
    copy.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(logits(copy, X), expected)
    network = nn.Sequential(nn.Unflatten(1, (5, 1)), nn.Flatten(), layer)
    np.testing.assert_array_equal(logits(network, X), expected)


@pytest.mark.slow
def test_networks_are_exported(rows):
    X, codes = rows[0].astype(np.float32), rows[1]
    network = nn.Sequential(nn.Flatten(), gpulr.train(X, codes, standardize=True).to_torch())
    exported = torch.export.export(network.eval(), (torch.tensor(X),)).module()
    np.testing.assert_allclose(logits(exported, X), logits(network, X), rtol=1e-6)


def test_models_from_torch_evaluate_report_save_and_export(rows, tmp_path):
    X, codes = rows[0].astype(np.float32), rows[1]
    for standardize in (False, True):
        layer = gpulr.train(X, codes, standardize=standardize).to_torch()
        model = gpulr.from_torch(layer, classes=NAMES)
        assert model.evaluate(X, NAMES[codes]).accuracy > 0.9
        assert repr(model) == (
            "<OneVsAll: 3 models of 5 features for 3 classes, made of an nn.Linear of torch>"
        )
        model.save(tmp_path / "model.safetensors")
        loaded = gpulr.load(tmp_path / "model.safetensors")
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
        assert loaded.classes.tolist() == NAMES.tolist()
        assert loaded.data["origin"] == "an nn.Linear of torch"
        assert loaded.versions["torch"] == torch.__version__
        np.testing.assert_array_equal(
            loaded.to_torch().state_dict()[f"{'linear.' * standardize}weight"],
            layer.state_dict()[f"{'linear.' * standardize}weight"],
        )
        estimator = model.to_sklearn()
        assert (estimator.predict(X) == model.predict(X)).all()
        assert model.select(classes=["Barbera", "Barolo"]).predict(X).tolist()
        both = gpulr.stack([model, replace(model, classes=np.array(["a", "b", "c"]))])
        assert both.n_models == 6
        pytest.importorskip("jinja2", reason="reports have an extra of their own")
        gpulr.report(model, tmp_path / "report.html", X, NAMES[codes])
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert "an nn.Linear of torch" in page


def test_a_layer_without_bias_has_intercepts_of_zero(rng):
    layer = nn.Linear(4, 3, bias=False)
    model, X = gpulr.from_torch(layer), rng.normal(size=(5, 4)).astype(np.float32)
    assert not model.intercept.any()
    assert_near(model.decision_function(X), logits(layer, X))


CASES = {
    "compiled": (lambda: torch.compile(nn.Linear(4, 3)), {}, r"was compiled: linear\._orig_mod\."),
    "wrapped": (
        lambda: nn.DataParallel(nn.Sequential(nn.Linear(4, 3))),
        {},
        r"was wrapped: linear\.module\.fc, its last layer",
    ),
    "no layer": (lambda: np.eye(3), {}, "ndarray; expected torch.nn.Linear. Pass the layer"),
    "a network": (
        *(lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)), {}),
        r"type Sequential; expected torch.nn.Linear.*network\[-1\]",
    ),
    "too few": (lambda: nn.Linear(4, 3), {"classes": "ab"}, "are no labels"),
    "two of three": (lambda: nn.Linear(4, 3), {"classes": ["a", "b"]}, "3 outputs.* 2 entries"),
    "one": (lambda: nn.Linear(4, 1), {"classes": ["a"]}, "1 output, .* 1 entry; .*multilabel=True"),
    "twice": (lambda: nn.Linear(4, 3), {"classes": [1, 2, 1]}, "one twice"),
    "NaN": (lambda: nn.Linear(4, 3), {"classes": [1, 2, np.nan]}, "are no labels"),
    "mixed": (lambda: nn.Linear(4, 3), {"classes": [1, "b", None]}, "are no labels"),
    "a number": (lambda: nn.Linear(4, 3), {"classes": 3}, "are no labels"),
    "lazy": (lambda: nn.LazyLinear(3), {}, "weight has no numbers yet"),
    "meta": (lambda: nn.Linear(4, 3, device="meta"), {}, "weight has no numbers yet"),
    "complex": (lambda: nn.Linear(4, 3, dtype=torch.complex64), {}, "expected real numbers"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_makes_no_model_is_refused(case):
    make, options, words = CASES[case]
    with pytest.raises(gpulr.ParameterError, match=words):
        gpulr.from_torch(make(), **options)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_weights_that_are_no_numbers_are_refused(name, value):
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        getattr(layer, name)[..., 1] = value
    with pytest.raises(gpulr.ParameterError, match=f"{name} holds NaN or infinity, in . entr"):
        gpulr.from_torch(layer)


def test_classes_without_names_are_numbers_from_0():
    assert gpulr.from_torch(nn.Linear(4, 3)).classes.tolist() == [0, 1, 2]
    assert gpulr.from_torch(nn.Linear(4, 1)).classes.tolist() == [0, 1]
    assert gpulr.from_torch(nn.Linear(4, 1), multilabel=True).classes.tolist() == [0]
    names = torch.tensor([7, 5, 6])
    assert gpulr.from_torch(nn.Linear(4, 3), classes=names).classes.tolist() == [7, 5, 6]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float23"}, "did you mean float32"),
        ({"dtype": torch.int8}, "use one of float32, float64"),
        ({"dtype": "int8"}, "use one of float32, float64"),
        ({"device": "nowhere"}, "'nowhere' cannot hold the model's torch.float32"),
        ({"device": "cuda:99"}, "cannot hold"),
        ({"device": "meta"}, "'meta' cannot hold"),
    ],
)
def test_devices_and_dtypes_that_there_are_not(rows, options, words):
    with pytest.raises(gpulr.ParameterError, match=words):
        gpulr.train(*rows, max_iter=1, tol=0).to_torch(**options)


@pytest.mark.parametrize("standardize", [False, True])
def test_weights_beyond_a_narrow_dtype_are_refused(rows, standardize):
    X, codes = rows
    X = X * (1e6 if standardize else 1e-6)  # large means, or large weights
    model = gpulr.train(X + 1e6 * standardize, codes, C=1e12, standardize=standardize, max_iter=5)
    with pytest.raises(gpulr.ParameterError, match=r"numbers up to .*float16 holds .* 6\.55e\+04"):
        model.to_torch(dtype="float16")
    assert np.isfinite(gpulr.from_torch(model.to_torch(dtype="bfloat16")).weights).all()


def test_importing_gpulr_loads_no_torch():
    code = "import sys, gpulr; gpulr.from_torch; gpulr.OneVsAll; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
