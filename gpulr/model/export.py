"""Models for other software: ONNX files, and scikit-learn's estimators.

onnx is optional (the extra ``onnx``), and imported here and in
:mod:`gpulr.estimators.onnx_pipelines` alone.

The graph of an ONNX file is the model's forward pass, for rows as training was given them::

    X → [Cast] → [Sub center] → Gemm with W and b → margins → Sigmoid → probabilities
    margins → ArgMax, or Greater than 0 for one model → index → Gather from the classes → label

With thresholds, ArgMax is of margins less these, in float64, and Greater is GreaterOrEqual.

Opset 17 and IR version 8 are those of ONNX 1.12 (2022) and ONNX Runtime 1.12: every operator here
is older, and runtimes refuse files that are newer than they are.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpulr._version import __version__
from gpulr.backend import to_host
from gpulr.errors import ParameterError, needs_extra
from gpulr.model.record import Trained, uncentered_intercept
from gpulr.model.selection import take
from gpulr.output_files import path_of, replace_file
from gpulr.words import did_you_mean, shown

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET, IR_VERSION = 17, 8
INPUT_DTYPES = (
    *("uint8", "float32", "float64", "float16", "bool", "int8"),
    *("int16", "int32", "int64", "uint16", "uint32", "uint64"),
)
_LARGEST = 2**31 - 2**20  # a protobuf message ends at 2 GiB; what is not weights is small


def save_onnx(
    model: Trained, path: str | Path, *, input_dtype: npt.DTypeLike | None = None
) -> None:
    """Write the model as an ONNX file, for runtimes without Python or gpulr.

    The input "X" (batch, n_features) takes rows as training did, and does not check them for NaN.
    The outputs are "probabilities" and "margins", (batch, n_models), each model's own, in the dtype
    of the weights; "label" (batch,), as ``predict`` returns it; and "index" (batch,) int64, its
    place in ``classes``. The metadata are gpulr_version, and as JSON classes, image_shape and scale
    (which the weights already include). Needs the extra ``onnx``. For a pipeline of scikit-learn's
    see :func:`gpulr.register_skl2onnx`.

    Parameters
    ----------
    path : path-like
        The file to write.
    input_dtype : dtype, optional
        The dtype of "X": uint8, float32, float64, or another that NumPy and ONNX share; the graph
        converts it. None is that of the training X.

    Raises
    ------
    MissingExtraError
        onnx is not installed.
    ModelFileError
        The file could not be written; what was there before is untouched.
    ParameterError
        ``input_dtype`` cannot be used, or the model does not fit into an ONNX file.
    """
    path = path_of("path", path)
    with needs_extra("onnx", "Writing ONNX files needs onnx"):
        import onnx
    size = model.n_features * model.n_models * to_host(model.weights[:1, :1]).itemsize
    if size > _LARGEST:
        raise ParameterError(
            f"The weights take {size / 2**30:.1f} GiB; an ONNX file holds less than 2. Export "
            "fewer models to each file, or use save()."
        )
    proto = _model(model, _input_dtype(model, input_dtype))
    onnx.checker.check_model(proto, full_check=True)
    replace_file(path, proto.SerializeToString())


def _input_dtype(model: Trained, dtype: npt.DTypeLike | None) -> np.dtype[Any]:
    """Return the dtype of X in the file: the one asked for, or that of training's X."""
    if dtype is None:
        trained = model.data.get("dtype")
        return np.dtype(trained if trained in INPUT_DTYPES else to_host(model.weights).dtype)
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = np.dtype(np.void)
    if found.name not in INPUT_DTYPES:
        near = did_you_mean(dtype, INPUT_DTYPES)
        raise ParameterError(
            f"input_dtype={shown(dtype)}{near}; use one of {', '.join(INPUT_DTYPES)}."
        )
    return found


def _model(model: Trained, dtype: np.dtype[Any]) -> ModelProto:
    """Return the forward pass of X of a dtype, in ONNX's text format and then as a message."""
    from onnx import TensorProto, helper, numpy_helper, parser

    steps, tensors = margins_graph(model, dtype)
    steps.append("probabilities = Sigmoid (margins)")
    to_int64 = f"Cast <to = {TensorProto.INT64}> (positive)"
    classes, k = _labels(model.classes), model.n_models
    number, label = (_onnx_type(of) for of in (tensors["weights"].dtype, classes.dtype))
    outputs = f"{number}[batch, {k}] probabilities, {number}[batch, {k}] margins"
    at = model.thresholds
    if k == 1 or model.multilabel:
        if at is None:
            tensors["zero"] = np.zeros((), tensors["weights"].dtype)
            steps.append("positive = Greater (margins, zero)")
        else:
            tensors["thresholds"] = _rounded_up(at, tensors["weights"].dtype)
            steps.append("positive = GreaterOrEqual (margins, thresholds)")
    if model.multilabel:
        steps.append(f"label = {to_int64}")
        outputs += f", int64[batch, {k}] label"
    else:
        tensors["classes"] = classes
        if k == 1:
            tensors["columns"] = np.array([1])
            steps.append(f"positive_int64 = {to_int64}")
            steps.append("index = Squeeze (positive_int64, columns)")
        else:
            compared = "margins"
            if at is not None:
                tensors["thresholds"], compared = at, "above"
                steps.append(f"margins_float64 = Cast <to = {TensorProto.DOUBLE}> (margins)")
                steps.append("above = Sub (margins_float64, thresholds)")
            steps.append(f"index = ArgMax <axis = 1, keepdims = 0> ({compared})")
        steps.append("label = Gather <axis = 0> (classes, index)")
        outputs += f", {label}[batch] label, int64[batch] index"
    X = f"{_onnx_type(dtype)}[batch, {model.n_features}] X"
    opened = f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]> one_vs_all'
    proto = parser.parse_model("\n".join([f"{opened} ({X}) => ({outputs}) {{", *steps, "}"]))
    proto.producer_name, proto.producer_version = "gpulr", __version__
    says = "Rows as training was given them: scaling and standardisation are part of the model."
    proto.graph.input[0].doc_string = says
    for node in proto.graph.node:
        node.name = node.output[0]
    proto.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in tensors.items())
    facts = {"classes": classes.tolist(), "image_shape": model.image_shape, "scale": model.scale}
    # ASCII only, as in model files.
    props = {"gpulr_version": __version__} | {name: json.dumps(facts[name]) for name in facts}
    helper.set_model_props(proto, props)
    return proto


def margins_graph(
    model: Trained, dtype: np.dtype[Any]
) -> tuple[list[str], dict[str, npt.NDArray[Any]]]:
    """Return the forward pass from X to the margins, a line for each step, and its arrays."""
    from onnx import helper

    weights = np.ascontiguousarray(to_host(model.weights))
    tensors = {"weights": weights, "intercept": to_host(model.intercept)}
    steps: list[str] = []

    def cast(name: str, before: np.dtype[Any], after: np.dtype[Any]) -> str:
        if before == after:
            return name
        code = helper.np_dtype_to_tensor_dtype(after)
        steps.append(f"{name}_{after.name} = Cast <to = {code}> ({name})")
        return f"{name}_{after.name}"

    if model.center is None:
        X = cast("X", dtype, weights.dtype)
    else:
        exact = weights.dtype
        if dtype != exact and dtype.itemsize > 1:
            exact = np.dtype(np.float64)  # subtracted before rounding, as in Backend.as_compute
        tensors["center"] = to_host(model.center).astype(exact)
        tensors["intercept"] = to_host(model.intercept_at_center)
        wide = cast("X", dtype, exact)
        steps.append(f"X_centered = Sub ({wide}, center)")
        X = cast("X_centered", exact, weights.dtype)
    return [*steps, f"margins = Gemm ({X}, weights, intercept)"], tensors


def _rounded_up(thresholds: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the least number of a dtype that is not below each threshold.

    A margin of that dtype reaches the one exactly if it reaches the other.
    """
    with np.errstate(over="ignore"):
        near: npt.NDArray[Any] = thresholds.astype(dtype)
    return np.where(near < thresholds, np.nextafter(near, dtype.type(np.inf)), near)


def _onnx_type(dtype: np.dtype[Any]) -> str:
    from onnx import TensorProto, helper

    return TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(dtype)).lower()  # type: ignore[no-any-return]


def _labels(classes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the classes in a dtype that ONNX has: object for strings, float64 at most."""
    if classes.dtype.kind in "biuf":
        wide = classes.dtype.itemsize > 8
        return classes.astype(np.float64 if wide else classes.dtype.newbyteorder("="))
    if classes.dtype.kind != "U":
        raise _no_such_labels(classes, "an ONNX file")
    for label in classes.tolist():
        try:
            label.encode()
        except UnicodeEncodeError as error:
            raise ParameterError(
                f"The class {label!r} is not Unicode ({error.reason}), which ONNX's strings are. "
                "Train with labels that are."
            ) from error
    return classes.astype(object)


def _no_such_labels(classes: npt.NDArray[Any], where: str) -> ParameterError:
    """Return the error of classes that other software has no type for."""
    kind = classes.dtype if classes.dtype.kind != "O" else f"{type(classes[0]).__name__} objects"
    return ParameterError(
        f"The classes are {kind}, which {where} cannot hold: it takes numbers and text. Give the "
        "model such names, in the same order: dataclasses.replace(model, "
        "classes=model.classes.astype(str))."
    )


def to_sklearn(model: Trained) -> Any:
    """Return a fitted scikit-learn estimator that predicts the same.

    With two classes it is a ``LogisticRegression``. With more it is a ``OneVsRestClassifier`` of
    one for each, whose ``predict_proba`` is the model's with ``normalize=True``. It knows the names
    of columns. After standardised training it computes in float64, as it has no centre.

    ``tol`` and ``max_iter`` are the model's. ``C`` is in units of X as it was passed, since
    scikit-learn does not scale: it is the model's C times ``scale``², so that a clone fitted anew
    has the same optimum. A model trained with C=1 on pixels times 1/255 shows
    ``LogisticRegression(C=1.5e-05)``, 1 / 255². (A clone will not standardise; after standardised
    training, C is the model's own.) If the models' C differ, each of ``estimators_`` has its own,
    and a clone the default.

    ``class_weight="balanced"`` is kept. ``pos_weight`` is kept as ``class_weight={0: 1, 1:
    pos_weight}``; a clone has it only if it is the same for all models and not combined with
    "balanced". A dict of class weights is kept for two classes. For more, as for weights of rows,
    scikit-learn has no equivalent.

    Raises
    ------
    ParameterError
        The model has thresholds, which these estimators cannot hold (moved into the intercept they
        would change the probabilities); or it has more than two classes of a type that scikit-learn
        does not take: bytes, or dates.
    """
    if model.thresholds is not None:
        raise ParameterError(
            "This model has thresholds, which scikit-learn's estimators cannot hold. Export it "
            "without, dataclasses.replace(model, thresholds=None).to_sklearn(), and compare what "
            "decision_function returns with model.thresholds; or use to_onnx, which has them."
        )
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

    if not model.multilabel and model.classes.dtype.kind != "O":
        order = np.argsort(model.classes)  # scikit-learn's are sorted
        model = take(model, classes=order) if (np.diff(order) < 0).any() else model
    W, b = to_host(model.weights), to_host(model.intercept)
    if model.center is not None:
        # scikit-learn has no centre: X W + b, which in float32 cancels where means are large.
        W, b = W.astype(np.float64), uncentered_intercept(model)
    settings = {k: v for k, v in model.settings.items() if k in ("tol", "max_iter")}
    # ‖w / scale‖² / C, w being of the raw X, is ‖w‖² / (C scale²).
    C = model.scale**2 * np.asarray(model.settings.get("C", 1.0), dtype=np.float64)
    penalties = np.broadcast_to(C, model.n_models).tolist()

    names = model.data.get("feature_names")

    def fitted(j: int, classes: npt.NDArray[Any], **more: Any) -> LogisticRegression:
        estimator = LogisticRegression(C=penalties[j], **settings, **more)
        estimator.classes_ = classes
        estimator.coef_ = np.ascontiguousarray(W.T[j : j + 1])
        estimator.intercept_ = b[j : j + 1].copy()
        estimator.n_iter_ = model.history.n_iter[j : j + 1].astype(np.int32)
        return named(estimator)

    def named(estimator: Any) -> Any:
        estimator.n_features_in_ = model.n_features
        if names is not None:
            estimator.feature_names_in_ = np.asarray(names, dtype=object)
        return estimator

    multilabel, no_or_yes = model.multilabel, np.array([0, 1])
    two = no_or_yes if multilabel else model.classes.copy()
    if model.n_models == 1:
        return fitted(0, two, class_weight=_weights_of_two(model, 0, two))
    weights = [_weights_of_two(model, j, no_or_yes) for j in range(model.n_models)]
    common = {"C": penalties[0]} if len(set(penalties)) == 1 else {}
    if all(weight == weights[0] for weight in weights):
        common["class_weight"] = weights[0]
    whole = OneVsRestClassifier(LogisticRegression(**settings, **common))
    whole.estimators_ = [
        fitted(j, no_or_yes, class_weight=weight) for j, weight in enumerate(weights)
    ]
    try:
        whole.label_binarizer_ = LabelBinarizer(sparse_output=True).fit(
            np.eye(model.n_models, dtype=np.int64) if multilabel else model.classes
        )
    except (TypeError, ValueError) as error:
        raise _no_such_labels(model.classes, "scikit-learn's OneVsRestClassifier") from error
    if not multilabel:
        whole.label_binarizer_.y_type_ = "multiclass"  # of two classes too: each has its own model
    whole.classes_ = whole.label_binarizer_.classes_
    return named(whole)


def class_weight_of(model: Trained) -> Any:
    """Return the class weights of two classes by label; the record has them by its name."""
    record = model.settings.get("class_weight")
    if not isinstance(record, dict):
        return record
    labels = {str(label): label for label in model.classes.tolist()}
    return {labels[name]: weight for name, weight in record.items() if name in labels}


def _weights_of_two(model: Trained, j: int, classes: npt.NDArray[Any]) -> Any:
    """Return the class weights of one model, as scikit-learn has them for its two classes."""
    weight: Any = class_weight_of(model)
    if weight == "balanced" or (isinstance(weight, dict) and model.n_models > 1):
        return weight if weight == "balanced" else None
    if (pos_weight := model.settings.get("pos_weight")) is None:
        return weight
    each = float(np.broadcast_to(pos_weight, model.n_models)[j])
    no, yes = classes.tolist()
    weight = {no: 1.0, yes: 1.0} | (weight or {})
    return weight | {yes: each * weight[yes]}


def save_joblib(model: Trained, path: str | Path) -> None:
    """Write :func:`to_sklearn`'s estimator as a joblib file, which replaces one that is there.

    It is replaced only when the new one is complete. The file is a pickle: it is for the same
    version of scikit-learn, and for readers who trust it.
    """
    import joblib

    content = io.BytesIO()
    joblib.dump(to_sklearn(model), content)
    replace_file(path, content.getvalue())
