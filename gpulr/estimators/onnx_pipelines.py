"""ONNX files of scikit-learn's pipelines that end in one of gpulr's estimators, by skl2onnx.

The only file that imports skl2onnx, which is optional. skl2onnx converts the classes that it has
been told of, and finds none by itself: :func:`register_skl2onnx` tells it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpulr.errors import MissingExtraError, ParameterError
from gpulr.model.export import margins_graph

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer
    from skl2onnx.common._topology import Operator, Scope

# What users of skl2onnx may pass as ``options``, as for scikit-learn's linear classifiers.
OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}

# σ(z) / Σ σ(z) is the softmax of log σ(z) = min(z, 0) − log(1 + exp(−|z|)), which does not
# underflow. (Softplus would say it shorter; ONNX Runtime has none in float64.)
_NORMALIZED = """
    size = Abs (both)
    exponent = Neg (size)
    e = Exp (exponent)
    one_plus_e = Add (e, one)
    log_one_plus_e = Log (one_plus_e)
    negative_part = Min (both, zero)
    log_p = Sub (negative_part, log_one_plus_e)
    probabilities = Softmax <axis = 1> (log_p)
"""


def register_skl2onnx() -> None:
    """Tell skl2onnx how to convert gpulr's estimators, alone, in pipelines and in meta-estimators.

    Call it once, before ``skl2onnx.to_onnx``. The file computes in the dtype of ``coef_``. Its
    outputs are those of ``predict`` and ``predict_proba``, or margins with skl2onnx's option
    ``raw_scores``. A model alone needs no skl2onnx: see :meth:`gpulr.OneVsAll.to_onnx`.

    Raises
    ------
    MissingExtraError
        skl2onnx is not installed.

    Examples
    --------
    >>> import gpulr, skl2onnx                                           # doctest: +SKIP
    >>> gpulr.register_skl2onnx()                                        # doctest: +SKIP
    >>> onnx_model = skl2onnx.to_onnx(pipeline, X[:1])                   # doctest: +SKIP
    """
    try:
        from skl2onnx import update_registered_converter
        from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
    except ImportError as error:
        raise MissingExtraError(
            f"Converting pipelines to ONNX needs skl2onnx, which cannot be imported ({error}). "
            "Install it: python -m pip install skl2onnx"
        ) from error
    from gpulr.estimators.cross_validated import OneVsAllLogisticRegressionCV
    from gpulr.estimators.logistic_regression import OneVsAllLogisticRegression

    for estimator in (OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV):
        update_registered_converter(
            estimator,
            f"Gpulr{estimator.__name__}",
            calculate_linear_classifier_output_shapes,
            _convert,
            options=OPTIONS,
        )


def _convert(scope: Scope, operator: Operator, container: ModelComponentContainer) -> None:
    """Add an estimator's forward pass to a file: X → margins → label, probabilities."""
    from onnx import TensorProto, helper, parser
    from skl2onnx.common.data_types import guess_proto_type
    from skl2onnx.common.utils_classifier import get_label_classes

    estimator, X = operator.raw_operator, operator.inputs[0]
    label, scores = operator.outputs
    dtype = helper.tensor_dtype_to_np_dtype(guess_proto_type(X.type))
    steps, tensors = margins_graph(estimator._predictor(), dtype)  # in the order of classes_
    compute = tensors["weights"].dtype
    tensors |= {"zero": np.zeros((), compute), "one": np.ones((), compute)}
    found, raw = "both", container.get_options(estimator, {"raw_scores": False})["raw_scores"]
    if estimator.multilabel_:
        found, to_int64 = "margins", f"Cast <to = {TensorProto.INT64}>"
        steps += ["positive = Greater (margins, zero)", f"label = {to_int64} (positive)"]
        if not raw:
            found, steps = "probabilities", [*steps, "probabilities = Sigmoid (margins)"]
    else:
        tensors["classes"] = _labels(get_label_classes(scope, estimator))
        if tensors["weights"].shape[1] == 1:  # its margin is the second class's
            steps += ["first = Neg (margins)", "both = Concat <axis = 1> (first, margins)"]
        else:
            steps += ["both = Identity (margins)"]
        steps += ["index = ArgMax <axis = 1, keepdims = 0> (both)"]
        steps += ["label = Gather (classes, index)"]
        if not raw:
            found, steps = "probabilities", [*steps, _NORMALIZED]
    steps += [f"scores = Cast <to = {guess_proto_type(scores.type)}> ({found})"]
    names: dict[str, str] = {"X": X.full_name, "label": label.full_name, "scores": scores.full_name}

    def name(own: str) -> str:
        if own not in names:
            names[own] = scope.get_unique_variable_name(f"gpulr_{own}")
        return names[own]

    for key, array in tensors.items():
        code = helper.np_dtype_to_tensor_dtype(array.dtype)
        container.add_initializer(name(key), code, array.shape, array.ravel().tolist())
    for node in parser.parse_graph("\n".join(["g (X) => (label, scores) {", *steps, "}"])).node:
        container.add_node(
            node.op_type,
            [name(own) for own in node.input],
            [name(own) for own in node.output],
            name=scope.get_unique_operator_name(node.op_type),
            **{a.name: helper.get_attribute_value(a) for a in node.attribute},
        )


def _labels(classes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the classes in a dtype that skl2onnx's labels have: strings or int64."""
    if classes.dtype.kind in "UO":
        return classes.astype(object)
    with np.errstate(invalid="ignore"):
        whole = classes.astype(np.int64)
    if (whole != classes).any():
        raise ParameterError(
            f"The classes {classes[whole != classes].tolist()} do not fit into int64, as labels of "
            "skl2onnx have to. Train with strings or smaller numbers, or use model_.to_onnx()."
        )
    return whole
