"""Which rows each fold of a cross-validation trains on, and which it is scored on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import is_sparse, to_host
from gpulr.distributed import StratifiedFolds
from gpulr.errors import DataError, FoldWarning, ParameterError, warn
from gpulr.validation.labels import LabelMatrix, Labels
from gpulr.words import counted, shown

ROWS = 4096  # whose labels are counted at a time
WEIGHED = 2**18  # and whose weights are


@dataclass(frozen=True, eq=False)
class Folds:
    """Folds of one set of rows.

    How often each fold trains on each row, (n_samples, n_folds): 0 or 1, more where a splitter
    repeats rows, a byte each; and the rows that each fold is scored on, ascending, four bytes each
    (eight from 2³¹ rows on).
    """

    counts: npt.NDArray[np.unsignedinteger[Any]]
    tests: tuple[npt.NDArray[np.integer[Any]], ...]

    def __len__(self) -> int:
        return len(self.tests)


def split(cv: Any, y: npt.NDArray[Any], groups: Any = None) -> Folds:
    """Return the folds that ``cv``, as :func:`gpulr.search` takes it, makes of labels ``y``.

    A number of folds is as scikit-learn's estimators make them: stratified, without shuffling.

    Raises
    ------
    ParameterError
        ``cv`` is nothing that splits these rows.
    DataError
        A fold without rows, or with rows that there are not.
    """
    n_samples = len(y)
    if groups is None and isinstance(cv, int | np.integer):
        return _stratified(cv, y)
    columns: list[npt.NDArray[Any]] = []
    tests: list[npt.NDArray[np.integer[Any]]] = []
    for number, pair in enumerate(_pairs(cv, y, groups)):
        try:
            train, test = (_rows(part, n_samples) for part in pair)
        except (TypeError, ValueError, IndexError) as error:
            raise DataError(
                f"Fold {number} of cv is not a pair of row indices: {error}; expected "
                f"(train, test), each of whole numbers below {n_samples}."
            ) from error
        if not len(train) or not len(test):
            raise DataError(
                f"Fold {number} of cv trains on {len(train)} rows and is scored on {len(test)}; "
                "expected at least one of each."
            )
        columns.append(count(train, n_samples))
        if (test[1:] < test[:-1]).any():
            test = np.sort(test)
        tests.append(test.astype(np.int32 if n_samples < 2**31 else np.int64))
    if not columns:
        raise DataError("cv makes no folds; expected at least one (train, test) pair.")
    return Folds(np.stack(columns, axis=1), tuple(tests))


def _stratified(n_folds: Any, y: npt.NDArray[Any]) -> Folds:
    """Return the folds that scikit-learn's StratifiedKFold makes, a few rows at a time."""
    counts, first = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for start in range(0, len(y), WEIGHED):
        some, at, times = np.unique(
            y[start : start + WEIGHED], return_index=True, return_counts=True
        )
        more = int(some[-1]) + 1 - len(counts)
        if more > 0:
            counts = np.pad(counts, (0, more))
            first = np.pad(first, (0, more), constant_values=len(y))
        counts[some] += times
        first[some] = np.minimum(first[some], start + at)
    check_number(n_folds, largest=int(counts.max()))
    if 0 < (rarest := int(counts[counts > 0].min())) < n_folds:
        warn(
            f"The least populated class in y has only {counted(rarest, 'member')}, which is less "
            f"than cv={n_folds}: some folds are scored without it. Use fewer folds.",
            FoldWarning,
        )
    rule = StratifiedFolds.of(int(n_folds), counts, first)
    sets = np.empty((len(y), rule.n_sets), np.uint8)
    index = np.int32 if len(y) < 2**31 else np.int64
    tests: list[list[npt.NDArray[Any]]] = [[] for _ in range(rule.n_sets)]
    for rows, folds in rule.in_turn(y):
        sets[rows] = folds[:, np.newaxis] != np.arange(rule.n_sets)
        for number, of_fold in enumerate(tests):
            of_fold.append((rows.start + np.flatnonzero(folds == number)).astype(index))
    return Folds(sets, tuple(map(np.concatenate, tests)))


def _pairs(cv: Any, y: npt.NDArray[Any], groups: Any) -> Iterator[Any]:
    """Yield what ``cv`` makes of labels ``y``, one pair at a time: they are as long as y."""
    from sklearn.model_selection import check_cv

    if isinstance(cv, int | np.integer):  # beside groups, which StratifiedKFold passes over
        check_number(cv, largest=int(np.unique(y, return_counts=True)[1].max()))
    try:
        if isinstance(cv, Iterable) and not hasattr(cv, "split"):
            yield from cv
        else:
            splitter = check_cv(cv, y, classifier=True)
            groups = None if groups is None else to_host(groups)
            # Splitters look at the length of X alone; this one takes no memory.
            yield from splitter.split(np.broadcast_to(0.0, (len(y), 1)), y, groups)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"cv={shown(cv)} cannot split these rows: {str(error).rstrip('.')}. Use a number of "
            "folds, a splitter of scikit-learn's (with groups= if it needs groups), or a list of "
            "(train, test) index arrays."
        ) from error


def count(rows: npt.NDArray[np.integer[Any]], n_samples: int) -> npt.NDArray[Any]:
    """Return how often each row is among these, (n_samples,) of the smallest type that holds it."""
    once = np.zeros(n_samples, np.uint8)
    once[rows] = 1
    if np.count_nonzero(once) == len(rows):
        return once
    times = np.bincount(rows, minlength=n_samples)
    return times.astype(np.min_scalar_type(times.max()))


def check_number(n_folds: Any, *, largest: int | None = None) -> None:
    """Raise ParameterError unless that many stratified folds can be made.

    ``largest`` is the number of rows of the most frequent label, where it is known.
    """
    if isinstance(n_folds, bool) or n_folds < 2:
        raise ParameterError(f"cv={shown(n_folds)}; expected at least 2 folds.")
    if largest is not None and n_folds > largest:
        raise ParameterError(
            f"cv={shown(n_folds)} is too many folds: the most frequent label has "
            f"{counted(largest, 'row')}. Use no more folds than that, better no more than the "
            "rarest has rows."
        )


def check_folds(
    folds: Folds,
    labels: Labels | LabelMatrix,
    weight: npt.NDArray[np.float64] | None,
    scored: npt.NDArray[np.float64] | None,
) -> None:
    """Raise DataError where a fold cannot be trained, or not be scored.

    It trains on no row of some class, or on none that says anything of a label, or is scored on
    rows without weight only. Rows weigh ``weight`` in training and ``scored`` in scores, or all 1.
    A fold may train on rows that all have a label, or all not, which is learnt as that constant:
    where rows differ otherwise, one FoldWarning tells of it.
    """
    if isinstance(labels, LabelMatrix):
        check_labels(folds, labels, weight)
    else:
        n_classes = len(labels.classes)
        of_class = np.zeros((n_classes, len(folds)))  # the weight of rows of each that folds have
        for start in range(0, len(labels.codes), WEIGHED):
            rows = slice(start, start + WEIGHED)
            for number, counts in enumerate(folds.counts[rows].T):
                each = counts if weight is None else counts * weight[rows]
                of_class[:, number] += np.bincount(labels.codes[rows], each, n_classes)
        for number, found in enumerate(of_class.T):
            check_classes(number, found, labels, weighted=weight is not None)
    check_scored(folds, scored)


def check_classes(number: int, rows: npt.NDArray[Any], labels: Labels, *, weighted: bool) -> None:
    """Raise DataError where a fold trains on no row of a class, by the weights of these."""
    if not (rows > 0).all():
        raise DataError(
            f"Fold {number} trains on no row of {labels.classes[rows <= 0][:10].tolist()}"
            f"{' that has a weight' if weighted else ''}. Use fewer folds, stratified ones, or "
            "leave rare classes out."
        )


def check_scored(folds: Folds, weight: npt.NDArray[np.float64] | None, of: str = "") -> None:
    """Raise DataError where all rows that a fold (``of`` what) is scored on weigh 0."""
    for number, test in enumerate(folds.tests):
        if weight is not None:
            check_weight(number, len(test), weight[test].sum(), of)


def check_weight(number: int, n_rows: int, weight: float, of: str = "") -> None:
    """Raise DataError where rows that a fold is scored on weigh nothing together."""
    if not weight > 0:
        raise DataError(
            f"All {n_rows} rows that fold {number}{of} is scored on have sample_weight 0. "
            "Use fewer folds, or leave out rows without weight."
        )


def check_labels(
    folds: Folds,
    labels: LabelMatrix,
    weight: npt.NDArray[np.float64] | None,
    sizes: Sequence[int] = (),
) -> None:
    """Raise DataError where a fold knows nothing of a label, and warn of rows of one kind only.

    With ``sizes``, the folds are those of each size, of so many training rows.
    """
    if not is_sparse(labels.indicator):
        labels = replace(labels, indicator=to_host(labels.indicator))
    kinds = count_kinds(folds.counts, labels.truth, labels.n_models, weight)
    check_kinds(kinds, labels, sizes, weighted=weight is not None)


def count_kinds(
    counts: npt.NDArray[Any],
    truth_of: Callable[[npt.NDArray[np.int64]], npt.NDArray[Any]],
    n_labels: int,
    weight: npt.NDArray[Any] | None = None,
) -> npt.NDArray[np.float64]:
    """Count the rows known to lack and to have each label, (2, n_sets + 1, n_labels).

    In each of some sets, of rows that it ``counts`` (n_samples, n_sets) and that have ``weight``
    (n_samples,), and last in all rows.
    """
    n_samples, n_sets = counts.shape
    kinds = np.zeros((2, n_sets + 1, n_labels))
    for start in range(0, n_samples, ROWS):
        rows = np.arange(start, min(start + ROWS, n_samples))
        trains = np.ones((n_sets + 1, len(rows)), np.float32)  # the last: all rows
        trains[:-1] = counts[rows].T > 0
        if weight is not None:
            trains[:-1] *= weight[rows] > 0
        truth = truth_of(rows)
        for kind in (0, 1):
            kinds[kind] += trains @ (truth == kind).astype(np.float32)
    return kinds


def check_kinds(
    kinds: npt.NDArray[np.float64],
    labels: LabelMatrix,
    sizes: Sequence[int] = (),
    *,
    weighted: bool,
) -> None:
    """Do what :func:`check_labels` does, by what :func:`count_kinds` found."""
    has: npt.NDArray[np.bool_] = kinds[:, :-1] > 0
    nothing = ~has[0] & ~has[1]
    one = ~(has[0] & has[1]) & np.all(kinds[:, -1] > 0, axis=0)
    n_folds = has.shape[1] // max(1, len(sizes))
    use = "Use larger train_sizes, fewer folds," if len(sizes) else "Use fewer folds,"
    for number in np.flatnonzero(nothing.any(axis=1)).tolist():
        size = f", with {counted(sizes[number // n_folds], 'row')}," if len(sizes) else ""
        raise DataError(
            f"Fold {number % n_folds}{size} trains on no row that says anything of "
            f"{labels.classes[nothing[number]][:10].tolist()}"
            f"{' and has a weight' if weighted else ''}. {use} or leave out labels of which "
            "little is known."
        )
    if one.any():
        names, left = labels.classes[one.any(axis=0)], np.flatnonzero(one.any(axis=1))
        which = f"{counted(len(left), 'fold')} of {n_folds} train{'s' if len(left) == 1 else ''}"
        if len(sizes):
            which = f"Folds of train_sizes {[sizes[i] for i in np.unique(left // n_folds)]} train"
        warn(
            f"{which} on rows that all have, or all lack, {counted(len(names), 'label')}: "
            f"{names[:10].tolist()}. There they are learnt as that constant. {use} or leave rare "
            "labels out.",
            FoldWarning,
        )


def _rows(part: Any, n_samples: int) -> npt.NDArray[np.integer[Any]]:
    """Return indices or a mask as indices ≥ 0."""
    rows = to_host(part)
    if rows.dtype == np.bool_:
        if rows.shape != (n_samples,):
            raise ValueError(f"a mask of shape {rows.shape}")
        return np.flatnonzero(rows)
    if rows.size == 0:
        return np.empty(0, dtype=np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise ValueError(f"an array of shape {rows.shape} and dtype {rows.dtype}")
    if rows.min() < -n_samples or rows.max() >= n_samples:
        raise IndexError(f"rows {rows.min()} to {rows.max()}")
    return rows % n_samples if rows.min() < 0 else rows
