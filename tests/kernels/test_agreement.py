"""Kernels that are a little wrong, and those that are not, beside float64 on a few rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fused_kernels import CASES, by_tensor_cores, fused, make
from gpulr.core.problem import Pass, Problem
from gpulr.kernels import fused as fused_pass
from gpulr.kernels.agreement import few_rows, in_float64, parameters, passes_disagree
from helpers import reference

LONGEST = [
    pytest.param(each, marks=pytest.mark.slow)
    for each in ("bytes, standardized", "halves, standardized")
]
SOME = [*LONGEST, "no intercept", "unknown, weighted"]


@pytest.mark.parametrize("what", SOME)
def test_what_is_right_passes(what):
    n, features, models, options = CASES[what]
    problem, *_ = make(n, features, models, **options)
    assert passes_disagree(problem, fused(problem), parameters(problem)) is None


@pytest.mark.parametrize("what", CASES)
def test_a_few_rows_in_float64(what):
    n, features, models, options = CASES[what]
    problem, theta, X, Y, s = make(n, features, models, **options)
    few = few_rows(problem)
    kept = np.arange(min(n, 64)) * n // min(n, 64)
    cost, gradient = in_float64(few, theta)
    sums = s[kept].sum(axis=0)
    with np.errstate(invalid="ignore"):
        found = reference(X[kept], Y[kept], theta, np.inf, s[kept])
    expected = [np.where(sums > 0, each, 0.0) * sums / len(kept) for each in found]
    expected[1][-1] *= problem.intercept
    np.testing.assert_allclose(cost, expected[0], rtol=1e-6)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-6, atol=1e-8)


LOST = {
    "weights": (
        "scale.up * weight(j, 2 * i + 1), g % 2)",
        "scale.up * weight(j, 2 * i + 1), 0) * !(g % 2)",
    ),
    "residuals": ("split(R[2], R[3], g % 2)}};", "split(R[2], R[3], 0) * !(g % 2)}};"),
}


@pytest.mark.parametrize("what", ["weights", pytest.param("residuals", marks=pytest.mark.slow)])
def test_halves_that_are_lost_are_found(what, broken):
    broken(fused_pass, "TENSOR", *LOST[what])
    problem, *_ = make(300, 30, 7, dtype="uint8")
    wrong = passes_disagree(problem, by_tensor_cores(problem), parameters(problem))
    assert "off by" in wrong


def test_a_portable_pass_in_tf32_is_no_reason_to_do_without(monkeypatch):
    problem, *_ = make(90, 30, 7, dtype="uint8")

    def rounded(problem, theta, evaluate=Problem.evaluate):
        cost, gradient = evaluate(problem, theta)
        signs = np.resize([1.0, -1.0], gradient.shape)
        return Pass(cost, gradient + 1e-3 * np.abs(gradient).max() * signs)

    monkeypatch.setattr(Problem, "evaluate", rounded)
    assert passes_disagree(problem, by_tensor_cores(problem), parameters(problem)) is None


def test_a_few_rows_may_weigh_nothing():
    problem, *_ = make(90, 30, 7, dtype="uint8", base=True)
    base = np.zeros_like(problem.weights.base)
    base[~np.isin(np.arange(90), np.arange(64) * 90 // 64)] = 1.0
    problem = replace(problem, weights=replace(problem.weights, base=base))
    assert not in_float64(few_rows(problem), parameters(problem))[0].any()
    assert passes_disagree(problem, by_tensor_cores(problem), parameters(problem)) is None
