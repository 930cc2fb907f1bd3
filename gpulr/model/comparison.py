"""Two models on the same rows: how much better one is, how sure that is, and where each is right.

Rows differ in few kinds of ways, as one model right and the other wrong, so a bootstrap of the rows
draws how many are of each kind, which is the same as drawing rows and takes no longer for more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.core.targets import UNKNOWN
from gpulr.errors import DataError, ParameterError
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.predicted import predicted, predicted_codes
from gpulr.model.row_scores import row_scores
from gpulr.validation.parameters import whole_number
from gpulr.words import brief, listed

MOST_KINDS = 1024  # of differences between rows

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two models, a and b, on the same labelled rows.

    Attributes
    ----------
    n_rows : int
        Number of rows.
    scores : structured array (n_scores,)
        Scores of all models together: ``name``, the scores ``a`` and ``b``, their ``difference`` b
        − a, and ``low`` and ``high``, the ends of its interval. They are accuracy (with several
        labels, the share of rows whose labels are all right), the mean of the models' own
        accuracies, F1, area under the ROC curve, and log-loss, of which less is better. NaN if the
        rows leave a score undefined.
    table : structured array (n_models,)
        A record for each class or label that has a model: the same for the accuracy of its own yes
        or no; the number of rows whose truth is known (``rows``), that only a gets right
        (``only_a``), and that only b gets right (``only_b``); and the ``p_value`` of McNemar's
        test.
    rows_a, rows_b : (n_only_a,), (n_only_b,) int64
        The rows that only a, and only b, gets right.
    p_value : float
        The p-value of McNemar's exact test: how probable so unequal numbers of these rows would be,
        if both models were right equally often.
    level : float
        Level of the intervals.
    multilabel : bool
        Whether the models have labels, of which a row may have any number.
    """

    n_rows: int
    scores: npt.NDArray[Any]
    table: npt.NDArray[Any]
    rows_a: npt.NDArray[np.int64]
    rows_b: npt.NDArray[np.int64]
    p_value: float
    level: float
    multilabel: bool

    __repr__ = brief

    def __str__(self) -> str:
        """Return a table of the scores, and the rows that only one of the models gets right."""
        width = max(map(len, self.scores["name"].tolist()))
        heads = "".join(f"{head:>10}" for head in ("a", "b", "b − a"))
        lines = [f"{'':{width}}{heads}   {100 * self.level:g} % interval"]
        for name, a, b, difference, low, high in self.scores.tolist():
            means = f"{a:10.4f}{b:10.4f}{difference:+10.4f}"
            lines.append(f"{name:{width}}{means}   {low:+.4f} to {high:+.4f}")
        alone = f"a alone is right in {len(self.rows_a):,}, b alone in {len(self.rows_b):,}"
        lines.append(f"Of {self.n_rows:,} rows {alone} (McNemar's test: p = {self.p_value:.2g}).")
        return "\n".join(lines)


def compare(
    a: OneVsAll,
    b: OneVsAll,
    X: Any,
    y: Any,
    *,
    n: int = 2000,
    level: float = 0.95,
    random_state: int = 0,
) -> Comparison:
    """Compare two models on the same labelled rows.

    Parameters
    ----------
    a, b : OneVsAll
        Models of the same classes or labels, and the same features.
    X, y
        Labelled rows, as for :meth:`OneVsAll.evaluate`: (n_samples, n_features) and (n_samples,),
        or (n_samples, n_labels) for multi-label models. Unknown entries of y do not count.
    n : int
        Number of resamples of the rows, which are the same for both models.
    level : float
        Level of the percentile intervals, which are taken from the resamples.
    random_state : int
        Seed of the resamples.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        The models do not have the same classes or features; or X, y do not belong to them.
    ParameterError
        One of them is no model, or a setting cannot be used.

    Examples
    --------
    >>> import gpulr
    >>> data = gpulr.datasets.load_digits()
    >>> a, b = (gpulr.train(data, C=C) for C in (0.01, 1))
    >>> len(gpulr.compare(a, b, data.X_test, data.y_test).rows_b)  # that b alone gets right
    18
    """
    n = whole_number("n", n, least=2)
    seed = whole_number("random_state", random_state, least=0, most=None)
    check_alike(a, b, level=level)
    (Z_a, truth, _), (Z_b, _, _) = (model._read_truth(X, y, None) for model in (a, b))
    (right_a, each_a, known), (right_b, each_b, _) = (
        _right(model, Z, truth) for model, Z in ((a, Z_a), (b, Z_b))
    )
    rng, tails = np.random.default_rng(seed), [(1 - level) / 2, (1 + level) / 2]

    def record(name: Any, of_a: Any, of_b: Any) -> tuple[Any, ...]:
        """Return scores that are means over rows, and the interval of their difference."""
        values, counts = _kinds(of_b.astype(np.float64) - of_a)
        draws = rng.multinomial(len(of_a), counts / len(of_a), n) @ values / len(of_a)
        low, high = np.quantile(draws, tails)
        return name, of_a.mean(), of_b.mean(), of_b.mean() - of_a.mean(), low, high

    of_a, of_b = (row_scores(Z, truth, m.thresholds) for m, Z in ((a, Z_a), (b, Z_b)))
    scores = [record(name, of_a[name], of_b[name]) for name in of_a]
    table = []
    names = a.classes[-each_a.shape[1] :]
    for j, name in enumerate(names.tolist()):
        own_a, own_b = each_a[known[:, j], j], each_b[known[:, j], j]
        if not len(own_a):
            table.append((name, *[np.nan] * 5, 0, 0, 0, 1.0))
            continue
        alone = int((own_a & ~own_b).sum()), int((own_b & ~own_a).sum())
        table.append((*record(name, own_a, own_b), len(own_a), *alone, mcnemar(*alone)))
    rows = np.flatnonzero(right_a & ~right_b), np.flatnonzero(right_b & ~right_a)
    columns = [(each, np.float64) for each in ("a", "b", "difference", "low", "high")]
    counted = [(each, np.int64) for each in ("rows", "only_a", "only_b")]
    named: Any = np.result_type(names) if names.dtype.kind != "O" else np.dtype(object)
    return Comparison(
        len(right_a),
        np.array(scores, [("name", "U40"), *columns]),
        np.array(table, [("name", named), *columns, *counted, ("p_value", np.float64)]),
        *rows,
        mcnemar(*map(len, rows)),
        level,
        a.multilabel,
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the p-value of McNemar's test, two-sided, by the binomial distribution itself."""
    from scipy.special import bdtr

    return float(min(1.0, 2 * bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def check_alike(
    a: OneVsAll,
    b: OneVsAll,
    *,
    level: float,
    names: tuple[str, str] = ("the first", "the second"),
) -> None:
    """Raise what :func:`compare` raises before it looks at rows; ``names`` are of the models."""
    if not 0 < level < 1:
        raise ParameterError(f"level={level!r}; expected a number between 0 and 1.")
    for name, model in (("a", a), ("b", b)):
        if not isinstance(model, OneVsAll):
            raise ParameterError(
                f"{name} is of type {type(model).__name__}; expected a trained model, as "
                "gpulr.train and gpulr.load return it."
            )
    if a.multilabel != b.multilabel:
        several, one = names if a.multilabel else names[::-1]
        raise DataError(
            f"{several} says any number of labels of a row, {one} its class. Compare models that "
            "answer the same question."
        )
    if a.n_features != b.n_features:
        raise DataError(
            f"The models have other numbers of features: {names[0]} {a.n_features:,}, {names[1]} "
            f"{b.n_features:,}. Compare models that predict the same rows."
        )
    if not np.array_equal(a.classes, b.classes):
        what = "labels" if a.multilabel else "classes"
        ours, theirs = a.classes.tolist(), b.classes.tolist()
        remedy = "model.select, in Python, brings them to the same ones, in the same order."
        if not set(ours) & set(theirs):
            remedy = f"Compare models of the same {what}."
        raise DataError(f"The models have other {what}{_unshared(ours, theirs, names)}. {remedy}")
    of_a, of_b = (model.data.get("feature_names") for model in (a, b))
    if of_a is not None and of_b is not None and list(of_a) != list(of_b):
        raise DataError(
            f"The models have other features{_unshared(of_a, of_b, names)}. Compare models that "
            "were trained on the same columns, in the same order."
        )


def _unshared(of_a: Iterable[Any], of_b: Iterable[Any], names: tuple[str, str]) -> str:
    """Return in words what only one of the models knows."""
    pairs = zip(names, ((of_a, set(of_b)), (of_b, set(of_a))), strict=True)
    only = [(side, [it for it in own if it not in other]) for side, (own, other) in pairs]
    words = [f"only {side} has {listed(some)}" for side, some in only if some]
    return f": {'; '.join(words) or 'the same ones in another order'}"


def _kinds(differences: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return the differences that rows have, and how many have each.

    Of more than ``MOST_KINDS``, those that are nearly the same stand for their mean.
    """
    values, counts = np.unique(differences, return_counts=True)
    if len(values) <= MOST_KINDS:
        return values, counts
    parts = np.linspace(0, len(differences), MOST_KINDS + 1).astype(np.intp)
    counts = np.diff(parts)
    return np.add.reduceat(np.sort(differences), parts[:-1]) / counts, counts


def _right(
    model: OneVsAll, Z: npt.NDArray[np.floating], truth: npt.NDArray[Any]
) -> tuple[Flags, Flags, Flags]:
    """Return whether rows are right, (n_rows,), each model's yes or no, and whether that is known.

    The last two are (n_rows, n_models).
    """
    said = predicted(Z, model.thresholds)
    if model.multilabel:
        known = truth != UNKNOWN
        each = ~known | (said == (truth == 1))
        return each.all(axis=1), each, known
    own = np.arange(len(model.classes))[-Z.shape[1] :]
    each = said == (truth[:, np.newaxis] == own)
    return predicted_codes(Z, model.thresholds) == truth, each, np.ones_like(each)
