"""What a trained model consists of: its arrays, how training went, and typed records of the rest.

The records are dictionaries at run time, and a model's file holds them as JSON. What they may hold
there is what these types say: :mod:`gpulr.model.schema` checks it.
"""

import math
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.words import brief, counted

Array = Any


@dataclass(frozen=True, slots=True)
class Within:
    """The least and the most that a number, or the length of a list, may be in a model's file."""

    least: float = -sys.float_info.max
    most: float = sys.float_info.max


Count = Annotated[int, Within(0, 2**63 - 1)]
Index = Annotated[int, Within(1 - 2**63, 2**63 - 1)]
Positive = Annotated[float, Within(sys.float_info.min)]
NotNegative = Annotated[float, Within(0)]
InversePenalty = Annotated[float, Within(sys.float_info.min, math.inf)]
Scale = Annotated[float, Within(1e-150, 1e150)]  # its square is a number too
Pixel = Annotated[float, Within(0, 2**31)]
Pair = Within(2, 2)
Simple = str | bool | float | None


class TrainingSettings(TypedDict, total=False):
    """The arguments of training, as used."""

    solver: str
    C: InversePenalty | list[InversePenalty]
    scale: Scale
    standardize: bool
    learning_rate: Positive | None
    max_iter: Count
    tol: NotNegative
    dtype: Literal["float32", "float64"]
    fit_intercept: bool
    sample_weight: bool
    class_weight: Literal["balanced"] | dict[str, NotNegative] | None
    pos_weight: Positive | list[Positive] | None
    batched: bool


class SearchRecord(TypedDict):
    """The search that chose a model's C."""

    Cs: Annotated[list[InversePenalty], Within(1)]
    scores: Annotated[list[list[Annotated[float, Within(-1e100, 1e100)]]], Within(1)]
    scoring: str
    folds: Annotated[int, Within(1)]
    converged: Count
    models: Count
    seconds: NotNegative
    refit: NotRequired[Simple]
    best_C: NotRequired[list[InversePenalty]]  # of each model, where each has its own


class SplitRecord(TypedDict):
    """How the command line held out its test rows."""

    test_size: Annotated[float, Within(0, 1)]
    seed: Count


class CalibrationRecord(TypedDict):
    """How margins were calibrated: a z + b for each model, found on so many rows."""

    n_samples: Count
    a: list[NotNegative]
    b: list[float]
    folds: NotRequired[Count]  # of out-of-fold margins, from the command line


class ThresholdRecord(TypedDict):
    """What thresholds were chosen by: "f1", or the least "precision" or "recall"."""

    by: str
    least: float | None
    n_samples: Count
    folds: NotRequired[Count]


class DataRecord(TypedDict, total=False):
    """What a model was trained on, and what was changed since."""

    name: str
    source: str
    n_samples: Count
    n_unknown: Count  # entries of a label matrix that say nothing
    dtype: str
    feature_range: Annotated[list[float], Pair]
    label: str | Index | None
    feature_names: list[str] | None
    chosen_features: bool  # of columns of a table that has others too
    background: Literal["dark", "bright"]
    extent: Annotated[float, Within(sys.float_info.min, 1)]
    middle: Annotated[list[Pixel], Pair]
    origin: str  # of a model that was not trained as it is: what it was made of
    split: SplitRecord | None
    search: SearchRecord | None
    prior: list[Annotated[float, Within(0, 1)]] | None
    calibration: CalibrationRecord | None
    thresholds: ThresholdRecord | None


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """How training went, per model; NumPy arrays.

    Attributes
    ----------
    cost, gradient_norm : (n_iter + 1, n_models) float64
        Values after each iteration, from the start (iteration 0); a model that has converged keeps
        its last ones. The norm is the largest absolute entry of the gradient with respect to the
        intercept and the weights of the scaled X, as ``tol`` of :func:`gpulr.train` uses it.
    seconds : (n_iter + 1,) float64
        When each iteration was done; if models were trained one by one or in groups, the sum of
        their times.
    n_iter : (n_models,) int64
        Iterations that each model took.
    converged : (n_models,) bool
        Whether each model met ``tol``: its gradient, and for "lbfgs" on few rows and features its
        cost too (see :func:`gpulr.train`).
    stalled : (n_models,) bool
        Whether each model ended short of the tolerance because the dtype allowed no better.
    refreshes : (n_models,) int64, or None
        How many times "lbfgs" found a model's own curvature, its Hessian on a sample of the rows,
        since that saves more passes than it takes. 0: the curvature that all models share was
        enough. -1: the Hessian of all rows was used, found anew in every iteration (few rows and
        features). None: not known (a file of an earlier version), or another solver.
    """

    cost: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    n_iter: npt.NDArray[np.int64]
    converged: npt.NDArray[np.bool_]
    stalled: npt.NDArray[np.bool_]
    refreshes: npt.NDArray[np.int64] | None = None

    @property
    def curvature(self) -> list[str] | None:
        """The curvature that each model used: "exact", "shared" or "own"; see ``refreshes``."""
        if self.refreshes is None:
            return None
        return [("exact", "shared", "own")[sign + 1] for sign in np.sign(self.refreshes).tolist()]

    @property
    def known(self) -> bool:
        """Whether the model was trained; otherwise, its weights were assigned."""
        return not np.isnan(self.cost).all()

    def __repr__(self) -> str:
        text, found = brief(self), Counter(self.curvature)
        words = ", ".join(f"{found[kind]} {kind}" for kind in sorted(found))
        return f"{text[:-1]}, curvature: {words})" if words else text


def unknown_history(n_models: int) -> History:
    """Return the history of weights that were not trained but assigned."""
    nothing = np.full((1, n_models), np.nan)
    no = np.zeros(n_models, dtype=np.bool_)
    return History(nothing, nothing, np.zeros(1), np.zeros(n_models, dtype=np.int64), no, no)


# What a model says beside its arrays, classes and history: plain values.
FACTS = (
    *("backend", "device", "fallback_reason", "settings", "scale"),
    *("image_shape", "data", "versions", "multilabel"),
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trained:
    """The fields of :class:`gpulr.OneVsAll`, which says what they are."""

    weights: Array
    intercept: Array
    classes: npt.NDArray[Any]
    history: History
    backend: str
    device: str
    fallback_reason: str | None = None
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    scale: float = 1.0
    image_shape: tuple[int, ...] | None = None
    data: DataRecord = field(default_factory=DataRecord)
    versions: dict[str, str] = field(default_factory=dict)
    center: Array | None = None
    intercept_at_center: Array | None = None
    multilabel: bool = False
    thresholds: npt.NDArray[np.float64] | None = None
    feature_std: npt.NDArray[np.float64] | None = None

    @property
    def n_features(self) -> int:
        """Number of features (784 for MNIST)."""
        return int(self.weights.shape[0])

    @property
    def n_models(self) -> int:
        """Number of columns of the weight matrix."""
        return int(self.weights.shape[1])

    @property
    def refinements(self) -> list[str]:
        """What was done to the model after training, in words: thresholds and calibration."""
        words, chosen = [], self.data.get("thresholds")
        if self.thresholds is not None:
            words.append("thresholds")
            if chosen:
                best = f"{chosen['by']} of {chosen['least']:g} or more" if chosen["least"] else "F1"
                words[0] += f" for {best} {_rows_of(chosen)}"
        if calibration := self.data.get("calibration"):
            words.append(f"calibration {_rows_of(calibration)}")
        return words


def _rows_of(record: CalibrationRecord | ThresholdRecord) -> str:
    """Say by which margins something was found."""
    rows = counted(record["n_samples"], "row")
    if "folds" in record:
        return f"by out-of-fold margins of {rows} in {record['folds']} folds"
    return f"by margins of {rows}"


def weight_steps(model: Trained) -> tuple[npt.NDArray[np.float64], str]:
    """Return how far features go, (n_features,), so that weights times that compare; and its name.

    Of a table that is their standard deviation, otherwise 1 as training saw the scaled X.
    """
    if model.feature_std is not None:
        return model.feature_std, "weight per standard deviation"
    words = "weight" if model.scale == 1.0 else f"weight × {1 / model.scale:.4g}"
    return np.full(model.n_features, 1.0 / model.scale), words


def uncentered_intercept(model: Trained) -> npt.NDArray[np.float64]:
    """Return the intercept (n_models,) of a standardised model for X without its centre."""
    W, center = to_host(model.weights), to_host(model.center).astype(np.float64)
    b: npt.NDArray[np.float64] = to_host(model.intercept_at_center).astype(np.float64) - center @ W
    return b
