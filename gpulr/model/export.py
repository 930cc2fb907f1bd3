"""Models for other software: ONNX files, and scikit-learn's estimators.

onnx is optional (the extra ``onnx``), and imported here and in
:mod:`gpulr.estimators.onnx_pipelines` alone.

The graph of an ONNX file is the model's forward pass, for rows as training was given them::

    X → [Cast] → [Sub center] → Gemm with W and b → margins → Sigmoid → probabilities
    margins → ArgMax, or Greater than 0 for one model → index → Gather from the classes → label

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
from gpulr.output_files import path_of, replace_file
from gpulr.words import did_you_mean, shown

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

OPSET, IR_VERSION = 17, 8
INPUT_DTYPES = (
    *("uint8", "float32", "float64", "float16", "bool", "int8"),
    *("int16", "int32", "int64", "uint16", "uint32", "uint64"),
)
_LARGEST = 2**31 - 2**20  # a protobuf message ends at 2 GiB; what is not weights is small


def save_onnx(
    model: Trained, path: str | Path, *, input_dtype: npt.DTypeLike | None = None
) -> None:
    """Write a model as an ONNX file; see :meth:`gpulr.OneVsAll.to_onnx`."""
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
    from onnx import helper

    proto = helper.make_model(
        _graph(model, dtype),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="gpulr",
        producer_version=__version__,
    )
    # ASCII only, as in model files.
    facts = {
        "gpulr_version": __version__,
        "classes": json.dumps(_labels(model.classes).tolist()),
        "image_shape": json.dumps(model.image_shape),
        "scale": json.dumps(model.scale),
    }
    helper.set_model_props(proto, facts)
    return proto


def _graph(model: Trained, dtype: np.dtype[Any]) -> GraphProto:
    """Return the forward pass; ``dtype`` is that of X."""
    from onnx import helper, numpy_helper

    nodes, tensors = margins_graph(model, dtype)
    _add(nodes, "Sigmoid", ["margins"], "probabilities")
    computed, integer, k = tensors["weights"].dtype, np.dtype(np.int64), model.n_models
    outputs: dict[str, tuple[np.dtype[Any], list[Any]]] = {
        "probabilities": (computed, ["batch", k]),
        "margins": (computed, ["batch", k]),
        "label": (integer, ["batch", k]),
    }
    to_integer = {"to": helper.np_dtype_to_tensor_dtype(integer)}
    if k == 1 or model.multilabel:
        tensors["zero"] = np.zeros((), computed)
        _add(nodes, "Greater", ["margins", "zero"], "positive")
    if model.multilabel:
        _add(nodes, "Cast", ["positive"], "label", **to_integer)
    else:
        if k == 1:
            tensors["columns"] = np.array([1])
            _add(nodes, "Cast", ["positive"], "positive_int64", **to_integer)
            _add(nodes, "Squeeze", ["positive_int64", "columns"], "index")
        else:
            _add(nodes, "ArgMax", ["margins"], "index", axis=1, keepdims=0)
        tensors["classes"] = _labels(model.classes)
        _add(nodes, "Gather", ["classes", "index"], "label", axis=0)
        outputs |= {"label": (tensors["classes"].dtype, ["batch"]), "index": (integer, ["batch"])}

    def value(name: str, kind: np.dtype[Any], shape: list[Any], says: str = "") -> Any:
        code = helper.np_dtype_to_tensor_dtype(kind)
        return helper.make_tensor_value_info(name, code, shape, doc_string=says)

    rows = "Rows as training was given them: scaling and standardisation are part of the model."
    return helper.make_graph(
        nodes,
        "one_vs_all",
        [value("X", dtype, ["batch", model.n_features], rows)],
        [value(name, *output) for name, output in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )


def margins_graph(
    model: Trained, dtype: np.dtype[Any]
) -> tuple[list[NodeProto], dict[str, npt.NDArray[Any]]]:
    """Return the forward pass as far as the margins: nodes from "X", and its arrays by name."""
    from onnx import helper

    weights = np.ascontiguousarray(to_host(model.weights))
    tensors = {"weights": weights, "intercept": to_host(model.intercept)}
    nodes: list[NodeProto] = []

    def cast(name: str, before: np.dtype[Any], after: np.dtype[Any]) -> str:
        if before == after:
            return name
        code = helper.np_dtype_to_tensor_dtype(after)
        return _add(nodes, "Cast", [name], f"{name}_{after.name}", to=code)

    if model.center is None:
        X = cast("X", dtype, weights.dtype)
    else:
        exact = weights.dtype
        if dtype != exact and dtype.itemsize > 1:
            exact = np.dtype(np.float64)  # subtracted before rounding, as in Backend.as_compute
        tensors["center"] = to_host(model.center).astype(exact)
        tensors["intercept"] = to_host(model.intercept_at_center)
        centered = _add(nodes, "Sub", [cast("X", dtype, exact), "center"], "X_centered")
        X = cast(centered, exact, weights.dtype)
    _add(nodes, "Gemm", [X, "weights", "intercept"], "margins")
    return nodes, tensors


def _add(
    nodes: list[NodeProto], kind: str, inputs: list[str], output: str, **attributes: Any
) -> str:
    from onnx import helper

    nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
    return output


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
    """Return a model as a scikit-learn estimator; see :meth:`gpulr.OneVsAll.to_sklearn`.

    Raises ParameterError where scikit-learn refuses the classes.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

    W, b = to_host(model.weights), to_host(model.intercept)
    if model.center is not None:
        # scikit-learn has no centre: X W + b, which in float32 cancels where means are large.
        W, b = W.astype(np.float64), uncentered_intercept(model)
    settings = {k: v for k, v in model.settings.items() if k in ("tol", "max_iter")}
    # ‖w / scale‖² / C, w being of the raw X, is ‖w‖² / (C scale²).
    C = model.scale**2 * np.asarray(model.settings.get("C", 1.0), dtype=np.float64)
    penalties = np.broadcast_to(C, model.n_models).tolist()

    def fitted(j: int, classes: npt.NDArray[Any], **more: Any) -> LogisticRegression:
        estimator = LogisticRegression(C=penalties[j], **settings, **more)
        estimator.classes_ = classes
        estimator.coef_ = np.ascontiguousarray(W.T[j : j + 1])
        estimator.intercept_ = b[j : j + 1].copy()
        estimator.n_iter_ = model.history.n_iter[j : j + 1].astype(np.int32)
        estimator.n_features_in_ = model.n_features
        return estimator

    multilabel = model.multilabel
    no_or_yes = np.array([0, 1])
    if model.n_models == 1:
        if multilabel:
            return fitted(0, no_or_yes)
        return fitted(0, model.classes.copy(), class_weight=class_weight_of(model))
    common = {"C": penalties[0]} if len(set(penalties)) == 1 else {}
    whole = OneVsRestClassifier(LogisticRegression(**settings, **common))
    whole.estimators_ = [fitted(j, no_or_yes) for j in range(model.n_models)]
    try:
        whole.label_binarizer_ = LabelBinarizer(sparse_output=True).fit(
            np.eye(model.n_models, dtype=np.int64) if multilabel else model.classes
        )
    except (TypeError, ValueError) as error:
        raise _no_such_labels(model.classes, "scikit-learn's OneVsRestClassifier") from error
    if not multilabel:
        whole.label_binarizer_.y_type_ = "multiclass"  # of two classes too: each has its own model
    whole.classes_ = whole.label_binarizer_.classes_
    whole.n_features_in_ = model.n_features
    return whole


def class_weight_of(model: Trained) -> Any:
    """Return the class weights of two classes by label; the record has them by its name."""
    record = model.settings.get("class_weight")
    if not isinstance(record, dict):
        return record
    labels = {str(label): label for label in model.classes.tolist()}
    return {labels[name]: weight for name, weight in record.items() if name in labels}


def save_joblib(model: Trained, path: str | Path) -> None:
    """Write :func:`to_sklearn`'s estimator as a joblib file, replacing what is there when complete.

    Such a file is a pickle: it is for the same version of scikit-learn, and for readers who trust
    it.
    """
    import joblib

    content = io.BytesIO()
    joblib.dump(to_sklearn(model), content)
    replace_file(path, content.getvalue())
