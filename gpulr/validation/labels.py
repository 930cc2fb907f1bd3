"""Labels of every form: one class for each row, or a 0/1 column for each of several labels.

And the weights of rows, which may be those of their classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from gpulr.backend import (
    Backend,
    backend_of,
    computing_with,
    detached,
    is_device_array,
    is_sparse,
    to_host,
)
from gpulr.core.targets import UNKNOWN, ClassTargets, LabelTargets, Targets
from gpulr.errors import DataError, ParameterError
from gpulr.namespaces import array_namespace
from gpulr.validation.conversion import (
    as_csr,
    as_numpy,
    is_any_sparse,
    is_extension_float,
    on_device,
    real_numbers,
    shape_of,
)
from gpulr.validation.label_values import check_labels
from gpulr.validation.parameters import positive_number
from gpulr.validation.tables import column_names, from_table, is_table, names_of
from gpulr.words import shown

Array = Any
Floats = npt.NDArray[np.float64]
_ENTRIES = 2**20  # of labels that are counted at once
_NO_WEIGHT = "where these columns have no missing value rows have weight 0"


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of rows that have one class each.

    Attributes
    ----------
    classes : (n_classes,)
        Sorted, in the dtype of y.
    codes : (n_samples,) int32
        The class of each row, as an index.
    """

    classes: npt.NDArray[Any]
    codes: npt.NDArray[np.int32]
    multilabel: ClassVar[bool] = False
    n_unknown: ClassVar[int] = 0

    @property
    def n_models(self) -> int:
        """One for each class; for two classes, one for the second."""
        return len(self.classes) if len(self.classes) > 2 else 1

    @property
    def names(self) -> npt.NDArray[Any]:
        """The class that each model separates from all others, (n_models,)."""
        return self.classes[-self.n_models :]

    def targets(self, backend: Backend, dtype: Any) -> Targets:
        """Return the targets of every model, on the backend's device."""
        table = np.eye(len(self.classes))[:, -self.n_models :]
        return ClassTargets(backend.asarray(self.codes), backend.asarray(table, dtype), backend)

    def truth(self, rows: npt.NDArray[np.integer[Any]] | slice) -> npt.NDArray[Any]:
        """Return the truth about some rows, for scores: class indices (n_rows,)."""
        return np.asarray(self.codes[rows])

    def positive_share(self, weight: Floats | None) -> Floats:
        """Return the share of rows that each model answers with 1, by their weight, (n_models,)."""
        rows = np.bincount(self.codes, weight, minlength=len(self.classes))
        share: Floats = rows[-self.n_models :] / rows.sum()
        return share

    @property
    def strata(self) -> npt.NDArray[Any]:
        """What stratified folds have equal shares of: class indices (n_samples,)."""
        return self.codes

    def row_weight(self, sample_weight: Any, class_weight: Any) -> npt.NDArray[np.float64] | None:
        """Return the weight of each row, (n_samples,), or None where all are 1.

        Raises
        ------
        DataError
            Weights of the wrong length, negative, not finite, or zero for all of a class.
        ParameterError
            A class weight for a class that y does not have, or that is no number ≥ 0.
        """
        each = self.weight_of_classes(class_weight)
        if sample_weight is None and each is None:
            return None
        classes, codes = self.classes, self.codes
        weight = np.ones(len(codes))
        if sample_weight is not None:
            weight = check_row_weight(sample_weight, len(codes))
        if each is not None:
            weight = weight * each[codes]
        self.check_weights(np.bincount(codes, weight, len(classes)).astype(np.float64))
        return weight

    def weight_of_classes(self, class_weight: Any) -> Floats | None:
        """Return what rows of each class weigh, (n_classes,), or None where it is the same."""
        return _class_weights(class_weight, self.classes)

    def check_weights(self, of_classes: Floats) -> None:
        """Raise DataError where the weights of rows, (n_classes,) sums, leave fewer than two."""
        empty = of_classes <= 0
        if np.count_nonzero(~empty) < 2:
            raise DataError(
                f"The weights of all rows of {self.classes[empty][:10].tolist()} are zero, which "
                "leaves fewer than two classes. Give rows of at least two classes a weight."
            )


@dataclass(frozen=True, eq=False)
class LabelMatrix:
    """The labels of rows that have any number each: one model for each label.

    Attributes
    ----------
    classes : (n_labels,)
        The labels' names, in the order of the columns.
    indicator : (n_samples, n_labels) uint8 of 0 and 1, where y was; or a SciPy CSR array of them
        2 where y does not say whether the row has the label; not in a CSR array.
    """

    classes: npt.NDArray[Any]
    indicator: Array
    multilabel: ClassVar[bool] = True

    @cached_property
    def n_unknown(self) -> int:
        """How many entries are not known."""
        if is_sparse(self.indicator):
            return 0
        xp = array_namespace(self.indicator)
        with backend_of(self.indicator).activate():
            if int(xp.max(self.indicator)) < UNKNOWN:
                return 0
            return int(xp.sum(xp.astype(self.indicator == UNKNOWN, xp.int64)))

    @property
    def n_models(self) -> int:
        """One for each label."""
        return len(self.classes)

    @property
    def names(self) -> npt.NDArray[Any]:
        """The label that each model predicts, (n_models,)."""
        return self.classes

    def targets(self, backend: Backend, dtype: Any) -> Targets:
        """Return the targets of every model, on the backend's device."""
        indicator = self.indicator
        if is_sparse(indicator) and backend.name != "numpy":
            indicator = indicator.toarray()
        label = backend.asarray(np.arange(self.n_models, dtype=np.int32))
        return LabelTargets(backend.asarray(indicator), label, backend, dtype)

    def truth(self, rows: npt.NDArray[np.integer[Any]] | slice) -> npt.NDArray[Any]:
        """Return the truth about some rows, for scores: 0, 1 or 2 (unknown), (n_rows, n_labels)."""
        if is_sparse(self.indicator):
            return np.asarray(self.indicator[rows].toarray())
        return np.asarray(to_host(self.indicator)[rows])

    def check_known(self, rows: npt.NDArray[np.integer[Any]] | slice, why: str) -> None:
        """Raise DataError where nothing is known of a label in some rows, and say ``why``."""
        if not self.n_unknown:
            return
        self.check_some(np.any(to_host(self.indicator)[rows] != UNKNOWN, axis=0), why)

    def check_some(self, known: npt.NDArray[np.bool_], why: str) -> None:
        """Raise DataError for labels (n_labels,) of which nothing is known, and say ``why``."""
        if not known.all():
            names = self.classes[~known][:10].tolist()
            raise DataError(f"y says nothing of {names}: {why}. Leave them out.")

    def weight_of_classes(self, class_weight: Any) -> None:
        """Refuse weights of classes: rows have none, or several."""
        if isinstance(class_weight, Mapping):
            raise ParameterError(
                f"class_weight={shown(class_weight)} gives each row the weight of its one class; "
                'rows of an indicator matrix have any number of labels. Use "balanced", or '
                f"{_as_pos_weight(class_weight) or 'pos_weight=, one for each label'}."
            )
        _class_weights(class_weight, self.classes)

    def check_weights(self, kinds: Floats) -> None:
        """Raise DataError where rows of any weight say nothing of a label.

        ``kinds`` (2, n_labels) are the weights of rows that lack and that have each label.
        """
        if not kinds.any():
            raise DataError("All rows have weight 0. Give some of them a weight.")
        self.check_some(np.any(kinds, axis=0), _NO_WEIGHT)

    def positive_share(self, weight: Floats | None) -> Floats:
        """Return the share of rows that have each label, by their weight, (n_models,).

        Of the rows of which that is known.
        """
        Y, n_rows = self.indicator, int(self.indicator.shape[0])
        if is_sparse(Y):
            weight = np.ones(n_rows) if weight is None else weight
            of_rows: Floats = (weight @ Y) / weight.sum()
            return of_rows
        Y, step = to_host(Y), max(1, _ENTRIES // self.n_models)
        positive = known = np.zeros(self.n_models)

        def total(entries: npt.NDArray[np.bool_], rows: slice) -> Floats:
            found: Floats
            if weight is None:  # a twentieth of the time that a product takes
                found = entries.view(np.uint8).sum(axis=0, dtype=np.uint32).astype(np.float64)
            else:
                found = weight[rows] @ entries
            return found

        for start in range(0, n_rows, step):
            rows = slice(start, start + step)
            positive = positive + total(Y[rows] == 1, rows)
            if self.n_unknown:
                known = known + total(Y[rows] != UNKNOWN, rows)
        if not self.n_unknown:
            known = known + (n_rows if weight is None else weight.sum())
        share: Floats = positive / known
        return share

    @property
    def strata(self) -> npt.NDArray[Any]:
        """All zeros, (n_samples,): rows with several labels have no class to stratify by."""
        return np.zeros(int(self.indicator.shape[0]), dtype=np.int64)

    def row_weight(self, sample_weight: Any, class_weight: Any) -> npt.NDArray[np.float64] | None:
        """Return the weight of each row, (n_samples,), or None where all are 1."""
        self.weight_of_classes(class_weight)
        if sample_weight is None:
            return None
        weight = check_row_weight(sample_weight, int(self.indicator.shape[0]))
        if not weight.any():
            raise DataError("All rows have weight 0. Give some of them a weight.")
        if not weight.all():
            rows = np.flatnonzero(weight)
            self.check_known(rows, _NO_WEIGHT)
        return weight


def check_row_weight(sample_weight: Any, n_samples: int) -> npt.NDArray[np.float64]:
    """Return the weights of the rows as (n_samples,) float64, or raise DataError."""
    weight = real_numbers(as_numpy(sample_weight, "sample_weight"), "sample_weight")
    weight = weight.astype(np.float64)
    if weight.shape != (n_samples,):
        raise DataError(
            f"sample_weight has shape {weight.shape}; expected one for each row, ({n_samples},)."
        )
    if not np.all(np.isfinite(weight)) or weight.min() < 0:
        raise DataError("sample_weight holds NaN, infinity or negative numbers; expected ≥ 0.")
    return weight


def _class_weights(class_weight: Any, classes: npt.NDArray[Any]) -> npt.NDArray[np.float64] | None:
    """Return the weight of each class, (n_classes,); None where rows weigh the same in all.

    What is balanced is for each model by itself: see :meth:`gpulr.core.problem.Problem.of`.
    """
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return None
    if not isinstance(class_weight, Mapping):
        raise ParameterError(f'class_weight={shown(class_weight)}; use "balanced" or a dict.')
    labels = list(classes) if classes.dtype.kind in "mM" else classes.tolist()
    known = set(labels)  # a tensor equals one of them, and is found in no dict by it
    if unknown := [label for label in class_weight if label not in known]:
        raise ParameterError(
            f"class_weight names {unknown[:10]}, which y does not have."
            + (f" Use {use}." if (use := _as_pos_weight(class_weight)) else "")
        )
    each = ((f"class_weight[{label!r}]", class_weight.get(label, 1.0)) for label in labels)
    return np.array([positive_number(name, weight, zero=True) for name, weight in each])


def _as_pos_weight(class_weight: Mapping[Any, Any]) -> str:
    """Return what to pass instead of weights of 0 and 1, as models of scikit-learn's take them."""
    if not set(class_weight) <= {0, 1}:
        return ""
    a, b = (class_weight.get(label, 1.0) for label in (0, 1))
    with suppress(TypeError, ZeroDivisionError):
        return f"pos_weight={b / a:g} for models that weigh what they are to answer with 1"
    return ""


def read_labels(y: Any, n_samples: int) -> Labels | LabelMatrix:
    """Return the labels of the rows, of whichever form y is.

    Raises DataError as :func:`check_labels` and :func:`check_indicator` do, and for fewer than two
    classes.
    """
    if is_label_matrix(y):
        labels = LabelMatrix(*check_indicator(y, n_samples))
        labels.check_known(slice(None), "these columns are missing values throughout")
        return labels
    classes, codes = _coded(check_labels(y, n_samples))
    check_several(classes)
    return Labels(classes, codes)


def _coded(y: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Return the classes, sorted, and each row's as an index.

    In blocks: to sort all rows takes 24 bytes more for each.
    """
    blocks = [slice(start, start + _ENTRIES) for start in range(0, len(y), _ENTRIES)]
    if len(blocks) < 2:
        classes, places = np.unique(y, return_inverse=True)
        return classes, places.astype(np.int32)
    classes = np.unique(np.concatenate([np.unique(y[rows]) for rows in blocks]))
    codes = np.empty(len(y), np.int32)
    for rows in blocks:
        codes[rows] = np.searchsorted(classes, y[rows])
    return classes, codes


def check_several(classes: npt.NDArray[Any]) -> None:
    """Raise DataError for fewer than two classes."""
    if len(classes) < 2:
        raise DataError(
            f"y holds one class only ({classes.tolist()}); expected at least two. "
            "Check the labels, or how the rows were split."
        )


class PartLabels:
    """Labels that are read in parts, of any form; of ``classes``, or of those that there are.

    Of rows that have one class each, what is kept of a part is as small as its classes are few.
    """

    def __init__(self, classes: Any = None) -> None:
        self._given = None if classes is None else np.unique(check_labels(classes, len(classes)))
        self._kind: tuple[Any, ...] | None = None
        self._found: list[tuple[npt.NDArray[Any], Array]] = []  # classes and codes, or a matrix

    def add(self, y: Any, n_samples: int) -> None:
        """Read a part's labels; raises DataError as :func:`read_labels`, or for another form."""
        kind: tuple[Any, ...]
        if is_label_matrix(y):
            names, Y = check_indicator(y, n_samples, self._given)
            kind = ("a matrix", names.tolist(), is_sparse(Y))
            found = names, Y if is_sparse(Y) else to_host(Y)
        else:
            classes, codes = np.unique(check_labels(y, n_samples), return_inverse=True)
            kind = (kind_of(classes),)
            if self._given is not None and not np.isin(classes, self._given).all():
                raise DataError(
                    f"y holds {classes[~np.isin(classes, self._given)][:10].tolist()}, which "
                    f"classes does not have: {self._given[:20].tolist()}. Name there all labels "
                    "that y may hold, or leave classes out."
                )
            found = classes, codes.astype(np.min_scalar_type(len(classes)))
        self._kind = kind if self._kind is None else self._kind
        if kind != self._kind:
            raise DataError(
                f"y holds {_form(kind)}, and in the parts before {_form(self._kind)}. Let all "
                "loaders return labels of one form."
            )
        self._found.append(found)

    def together(self) -> Labels | LabelMatrix | None:
        """Return the labels of all parts, in their order; None where there are none."""
        if self._kind is None:
            return None
        if self._kind[0] == "a matrix":
            names, Ys = self._found[0][0], [Y for _, Y in self._found]
            if self._kind[2]:
                from scipy.sparse import vstack

                return LabelMatrix(names, vstack(Ys, format="csr"))
            labels = LabelMatrix(names, np.concatenate(Ys))
            labels.check_known(slice(None), "these columns are missing values throughout")
            return labels
        classes = self._given
        if classes is None:
            classes = np.unique(np.concatenate([own for own, _ in self._found]))
        check_several(classes)
        whole, start = np.empty(sum(len(codes) for _, codes in self._found), np.int32), 0
        for own, codes in self._found:
            place = np.searchsorted(classes, own).astype(np.int32)
            np.take(place, codes, out=whole[start : start + len(codes)])
            start += len(codes)
        return Labels(classes, whole)


def kind_of(classes: npt.NDArray[Any]) -> str:
    """Return what labels are that can be classes together: "numbers", or the kind of a dtype."""
    return "numbers" if classes.dtype.kind in "buif" else classes.dtype.kind


def _form(kind: tuple[Any, ...]) -> str:
    words = {"U": "text", "S": "bytes", "m": "durations", "M": "dates", "O": "objects"}
    if len(kind) == 1:
        return words.get(kind[0], str(kind[0]))
    return f"{'a sparse' if kind[2] else 'a'} matrix of the labels {kind[1][:20]}"


def is_label_matrix(y: Any) -> bool:
    """Whether y has several columns: one for each label that a row may have."""
    if is_table(y) and not isinstance(y, np.ndarray):
        return len(column_names(y)) > 1
    shape = shape_of(y)
    return len(shape) == 2 and shape[1] > 1


def check_indicator(
    y: Any, n_samples: int, known: npt.NDArray[Any] | None = None
) -> tuple[npt.NDArray[Any], Array]:
    """Return the labels' names and y as 0, 1 and 2: uint8 in its own library, or a CSR array.

    2 stands for what is not known: NaN, None or a table's missing values.

    Names are those of y's columns where it has names, else those that are ``known``, or 0, 1, ….
    Raises DataError for what is not a matrix of zeros and ones, of another number of rows or
    labels, or with columns that are not the known labels.
    """
    names, Y = _names(y), _real_matrix(y)
    if Y.ndim != 2 or Y.shape[0] != n_samples or (known is not None and len(known) != Y.shape[1]):
        expected = "n_labels" if known is None else len(known)
        raise DataError(
            f"y has shape {tuple(Y.shape)}; expected ({n_samples}, {expected}), a row of zeros "
            "and ones for each row of X."
        )
    if names is None:
        names = np.arange(Y.shape[1]) if known is None else known
    elif known is not None and names.tolist() != known.tolist():
        raise DataError(
            f"y has the columns {names[:20].tolist()}; this model tells the labels "
            f"{known[:20].tolist()}, in that order. Pass those columns, or y.to_numpy() if they "
            "are the same labels by other names."
        )
    with computing_with(detached(Y)) as (_, Y):
        if isinstance(Y, np.ndarray) and is_extension_float(Y.dtype):  # bfloat16 of a tensor
            Y = Y.astype(np.float32)
        return names, _zeros_and_ones(Y)


def _names(y: Any) -> npt.NDArray[Any] | None:
    """Return the names of columns, whole numbers or text; None for arrays without."""
    if (names := names_of(y)) is None:
        return None
    whole = all(isinstance(name, int | np.integer) for name in names)
    array = np.asarray(names if whole else [str(name) for name in names])
    if len(np.unique(array)) < len(array):
        raise DataError(f"y has several columns of one name: {array[:20].tolist()}. Rename them.")
    return array


def _real_matrix(y: Any) -> Array:
    """Return y as an array of real numbers or booleans, in its own library, or as a CSR array."""
    if is_table(y):
        return from_table(y, "y")
    if is_device_array(y) and not is_any_sparse(y):
        return on_device(y, "y")
    sparse = is_any_sparse(y)
    Y = as_csr(y, "y") if sparse else as_numpy(y, "y")
    if Y.dtype.kind == "O" and not sparse:
        with suppress(DataError):
            Y = real_numbers(Y, "y")
    if Y.dtype.kind not in "buif" and not is_extension_float(Y.dtype):
        raise DataError(
            f"y is a matrix of dtype {Y.dtype}; expected zeros and ones, a column for each label. "
            "sklearn.preprocessing.MultiLabelBinarizer makes one from lists of labels."
        )
    return Y


def _zeros_and_ones(Y: Array, *, sparse: bool = False) -> Array:
    """Return Y as uint8, or raise DataError where it holds anything but 0, 1 and, as NaN, 2."""
    if is_sparse(Y):
        return type(Y)((_zeros_and_ones(Y.data, sparse=True), Y.indices, Y.indptr), shape=Y.shape)
    xp = array_namespace(Y)
    if xp.isdtype(Y.dtype, "bool"):
        return xp.astype(Y, xp.uint8)
    if not bool(xp.all((Y == 0) | (Y == 1))):
        unknown = Y != Y
        if not sparse and bool(xp.all((Y == 0) | (Y == 1) | unknown)):
            return xp.astype(xp.where(unknown, UNKNOWN, Y), xp.uint8)
        values = np.unique(to_host(Y))
        other = values[(values != 0) & (values != 1)]
        raise DataError(
            f"y is a matrix that holds {other[:10].tolist()}; expected 0 and 1 only, a column for "
            "each label. Pass one class per row as (n_samples,), a row without labels as zeros."
        )
    return xp.astype(Y, xp.uint8)
