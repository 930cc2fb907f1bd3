"""AUROC and average precision of rows that lie in parts, against those of all rows at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from gpulr.distributed import Here
from gpulr.model import ranked as module
from gpulr.model.evaluation import evaluate_labels, evaluate_margins
from gpulr.model.evaluation_sums import evaluate_sums, sums_of
from gpulr.model.labelled_blocks import LabelledBlock
from gpulr.model.measures import LABEL_SCORES, SCORES, normalized_classes
from gpulr.model.ranked import RankedScore, as_they_are, ranked
from gpulr.model.ranking import area, ranking

N = 3000
RANKED = [name for name, of in SCORES.items() if isinstance(of[0], RankedScore)]


def parts_of(Z, truth, weight, edges=(0, 1, 1, 700, 705, N)):
    """Cut rows; one of the parts has none."""
    some = [slice(a, b) for a, b in pairwise(edges)]
    return Here(
        LabelledBlock(None, None if at.start == at.stop else (Z[at], truth[at], weight[at]))
        for at in some
    )


@pytest.fixture(autouse=True)
def several_groups(monkeypatch):
    """Columns go to several workers, as those of many rows do."""
    monkeypatch.setattr(module, "TOGETHER", N + 1)


def rows_of(kind, k, dtype="float32", ties=False, weights=False):
    rng = np.random.default_rng(5)
    Z = rng.normal(size=(N, k)).astype(dtype)
    if ties:
        Z = np.round(2 * Z) / 2  # also -0
    if kind == "labels":
        truth = (Z + rng.normal(size=Z.shape) > 0.3).astype(np.uint8)
        truth[rng.random(Z.shape) < 0.2] = 2  # not known
    elif k == 1:
        truth = (Z[:, 0] + rng.normal(size=N) > 0).astype(np.int32)
    else:
        truth = np.argmax(Z + rng.normal(size=Z.shape), axis=1).astype(np.int32)
    weight = np.where(rng.random(N) < 0.3, 0.0, rng.uniform(0.5, 2, N)) if weights else np.ones(N)
    return Z, truth, weight


CASES = {
    "classes": {"kind": "classes", "k": 4},
    "two classes, ties": {"kind": "classes", "k": 1, "ties": True},
    "float64": {"kind": "classes", "k": 3, "dtype": "float64", "weights": True},
    "ties, weights": {"kind": "classes", "k": 3, "ties": True, "weights": True},
    "labels": {"kind": "labels", "k": 3},
    "labels, ties, weights": {"kind": "labels", "k": 35, "ties": True, "weights": True},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", RANKED)
@pytest.mark.parametrize("per_model", [False, True], ids=["", "per model"])
def test_scores_are_those_of_one_process(case, name, per_model):
    Z, truth, weight = rows_of(**CASES[case])
    score = (LABEL_SCORES if truth.ndim > 1 else SCORES)[name][per_model]
    sizes = Z.shape[1], Z.size
    *values, true = ranked(
        parts_of(Z, truth, weight), score.measure, *sizes, "ranked_columns", score.entries
    )
    found = score.finish(*values, true)
    np.testing.assert_allclose(found, score(Z, truth, weight), rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_each_model_against_scikit_learn(case):
    Z, truth, weight = rows_of(**CASES[case])
    sizes = Z.shape[1], Z.size
    found = ranked(parts_of(Z, truth, weight), ranking, *sizes, "ranked_columns", as_they_are)
    for j in range(Z.shape[1]):
        y = truth[:, j] if truth.ndim > 1 else truth == (j if Z.shape[1] > 1 else 1)
        some = y != 2 if truth.ndim > 1 else np.ones(N, bool)
        own = {"y_true": y[some], "y_score": Z[some, j], "sample_weight": weight[some]}
        assert found[0][j] == pytest.approx(roc_auc_score(**own), abs=1e-12)
        assert found[1][j] == pytest.approx(average_precision_score(**own), abs=1e-12)
        assert found[2][j] == pytest.approx(weight[some] @ y[some])


@pytest.mark.parametrize("case", CASES)
def test_evaluations_leave_nothing_out(case):
    Z, truth, weight = rows_of(**CASES[case])
    k, several = Z.shape[1], truth.ndim == 1 and Z.shape[1] > 1
    classes = np.arange(k if truth.ndim > 1 else max(2, k))
    parts, sizes = parts_of(Z, truth, weight), (k, Z.size)
    ranks = ranked(parts, ranking, *sizes, "ranked_columns", as_they_are)[:2]
    if several:
        ranks += ranked(parts, area, *sizes, "ranked_columns", normalized_classes)[:1]
    sums = sums_of(Z, truth, weight, len(classes))
    found = evaluate_sums(sums, ranks, classes, counted=bool((weight == 1).all()))
    judge = evaluate_labels if truth.ndim > 1 else evaluate_margins
    whole = judge(Z, truth, classes, None, weight)
    assert list(found.averages) == list(whole.averages)
    np.testing.assert_allclose(
        list(found.averages.values()), list(whole.averages.values()), rtol=1e-12
    )
    assert found.table.dtype.names == whole.table.dtype.names


def test_what_no_row_defines_is_undefined():
    Z, truth, weight = rows_of("labels", 3)
    truth[:, 0], truth[:, 1] = 0, 1
    sizes = 3, Z.size
    found = ranked(parts_of(Z, truth, weight), ranking, *sizes, "ranked_columns", as_they_are)
    assert np.isnan(found[0]).tolist() == [True, True, False]
    assert np.isnan(found[1]).tolist() == [True, False, False]


def test_what_comes_here_does_not_grow_with_the_rows():
    Z, truth, weight = rows_of("classes", 4)
    engines = []

    class Seen(Here):
        def exchange(self, *arguments):
            engines.append(super().exchange(*arguments))
            return engines[-1]

    for n in (300, N):
        parts = parts_of(Z, truth, weight, (0, n // 3, n)).parts
        ranked(Seen(parts), ranking, 4, 4 * N, "ranked_columns", as_they_are)
    few, many = (engine.counts.received for engine in engines)
    assert few == many < 1000


@pytest.mark.parametrize(("together", "groups"), [(2**22, 1), (2 * N, 2), (N, 4), (1, 4)])
def test_groups_are_as_many_as_the_margins_are_worth(monkeypatch, together, groups):
    monkeypatch.setattr(module, "TOGETHER", together)
    asked = []

    class Seen(Here):
        def exchange(self, method, function, n_groups, *arguments):
            asked.append(n_groups)
            return super().exchange(method, function, n_groups, *arguments)

    parts = parts_of(*rows_of("classes", 4)).parts
    ranked(Seen(parts), ranking, 4, 4 * N, "ranked_columns", as_they_are)
    assert asked == [groups]
