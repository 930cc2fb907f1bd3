"""Which rows each fold of a cross-validation trains on, and which it is scored on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import is_sparse, to_host
from gpulr.errors import DataError, FoldWarning, ParameterError, warn
from gpulr.validation.labels import LabelMatrix, Labels
from gpulr.words import counted, shown

ROWS = 4096  # whose labels are counted at a time


@dataclass(frozen=True, eq=False)
class Folds:
    """Folds of one set of rows.

    How often each fold trains on each row, (n_samples, n_folds): 0 or 1, more where a splitter
    repeats rows; and the rows that each fold is scored on.
    """

    counts: npt.NDArray[np.unsignedinteger[Any]]
    tests: tuple[npt.NDArray[np.int64], ...]

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
    from sklearn.model_selection import check_cv

    n_samples = len(y)
    if isinstance(cv, int | np.integer):
        check_number(cv, largest=int(np.unique(y, return_counts=True)[1].max()))
    try:
        if isinstance(cv, Iterable) and not hasattr(cv, "split"):
            pairs = list(cv)
        else:
            splitter = check_cv(cv, y, classifier=True)
            groups = None if groups is None else to_host(groups)
            pairs = list(splitter.split(np.zeros((n_samples, 1)), y, groups))
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"cv={shown(cv)} cannot split these rows: {str(error).rstrip('.')}. Use a number of "
            "folds, a splitter of scikit-learn's (with groups= if it needs groups), or a list of "
            "(train, test) index arrays."
        ) from error
    trains, tests = [], []
    for number, pair in enumerate(pairs):
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
        trains.append(np.bincount(train, minlength=n_samples))
        tests.append(test)
    if not trains:
        raise DataError("cv makes no folds; expected at least one (train, test) pair.")
    counts = np.stack(trains, axis=1)
    return Folds(counts.astype(np.min_scalar_type(counts.max())), tuple(tests))


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
    for number, counts in enumerate(folds.counts.T):
        weights = counts if weight is None else counts * weight
        if not isinstance(labels, LabelMatrix):
            rows = np.bincount(labels.codes, weights=weights, minlength=len(labels.classes))
            if not (rows > 0).all():
                raise DataError(
                    f"Fold {number} trains on no row of {labels.classes[rows <= 0][:10].tolist()}"
                    f"{'' if weight is None else ' that has a weight'}. Use fewer folds, "
                    "stratified ones, or leave rare classes out."
                )
    check_scored(folds, scored)


def check_scored(folds: Folds, weight: npt.NDArray[np.float64] | None, of: str = "") -> None:
    """Raise DataError where all rows that a fold (``of`` what) is scored on weigh 0."""
    for number, test in enumerate(folds.tests):
        if weight is not None and not weight[test].any():
            raise DataError(
                f"All {len(test)} rows that fold {number}{of} is scored on have sample_weight 0. "
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
    counts = folds.counts > 0 if weight is None else (folds.counts > 0) & (weight > 0)[:, None]
    trains = np.column_stack([counts, np.ones(len(counts), np.bool_)])
    kinds = np.zeros((2, trains.shape[1], labels.n_models))  # rows with a 0, and with a 1
    for start in range(0, len(counts), ROWS):
        rows = np.arange(start, min(start + ROWS, len(counts)))
        truth, of_rows = labels.truth(rows), trains[rows].T.astype(np.float32)
        for kind in (0, 1):
            kinds[kind] += of_rows @ (truth == kind).astype(np.float32)
    has: npt.NDArray[np.bool_] = kinds[:, :-1] > 0
    nothing = ~has[0] & ~has[1]
    one = ~(has[0] & has[1]) & np.all(kinds[:, -1] > 0, axis=0)
    n_folds = len(folds) // max(1, len(sizes))
    use = "Use larger train_sizes, fewer folds," if len(sizes) else "Use fewer folds,"
    for number in np.flatnonzero(nothing.any(axis=1)).tolist():
        size = f", with {counted(sizes[number // n_folds], 'row')}," if len(sizes) else ""
        raise DataError(
            f"Fold {number % n_folds}{size} trains on no row that says anything of "
            f"{labels.classes[nothing[number]][:10].tolist()}"
            f"{'' if weight is None else ' and has a weight'}. {use} or leave out labels of which "
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


def _rows(part: Any, n_samples: int) -> npt.NDArray[np.int64]:
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
    return np.asarray(rows % n_samples, dtype=np.int64)
