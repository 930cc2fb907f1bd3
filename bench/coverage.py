"""How often bootstrap intervals hold the truth: coverage on simulated data.

::

    python -m bench.coverage                     # 1,000 data sets of each size, some minutes
    python -m bench.coverage --sets 100 --n 100  # a glance

Rows are standard normal, labels are drawn with probability σ(x·w + b), and the penalty is next to
none, so that the weights that the intervals are to hold are w and b. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import numpy.typing as npt

import gpulr

WEIGHTS, INTERCEPT = np.array([0.8, -0.5, 0.0]), 0.3
C = 1e3


def covered(
    sets: int, n_rows: int, *, n: int, level: float = 0.95, weights: str = "poisson", seed: int = 0
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Tell of each data set which true values its intervals hold.

    Returns
    -------
    parameters : (sets, 4) bool
        Three weights and the intercept.
    probabilities : (sets, 5) bool
        Those of five rows, the same for all data sets.
    """
    rng = np.random.default_rng(seed)
    new = rng.normal(size=(5, len(WEIGHTS)))
    truth = np.append(WEIGHTS, INTERCEPT)
    parameters, probabilities = [], []
    for _ in range(sets):
        X = rng.normal(size=(n_rows, len(WEIGHTS)))
        y = rng.random(n_rows) < _probability(X)
        result = gpulr.bootstrap(X, y, n=n, C=C, weights=weights, random_state=rng)
        ends = zip(result.coef_interval(level), result.intercept_interval(level), strict=True)
        low, high = (np.append(coef, intercept) for coef, intercept in ends)
        parameters.append((low <= truth) & (truth <= high))
        low, high = (end[:, 0] for end in result.proba_interval(new, level))
        probabilities.append((low <= _probability(new)) & (_probability(new) <= high))
    return np.array(parameters), np.array(probabilities)


def _probability(X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-(X @ WEIGHTS + INTERCEPT)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", type=int, default=1000, help="data sets of each size")
    parser.add_argument("--n", type=int, default=200, help="replicates")
    parser.add_argument("--level", type=float, default=0.95)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 200, 500])
    arguments = parser.parse_args()
    error = math.sqrt(arguments.level * (1.0 - arguments.level) / arguments.sets)
    print(
        f"{arguments.sets} data sets, {arguments.n} replicates, {arguments.level:.0%} intervals; "
        f"the standard error of a share is {error:.1%}.\n"
    )
    print("| rows | draws | w₁ | w₂ | w₃ | b | probabilities |\n|---:|---|" + "---:|" * 5)
    for n_rows in arguments.rows:
        for weights in ("poisson", "multinomial"):
            parameters, probabilities = covered(
                arguments.sets, n_rows, n=arguments.n, level=arguments.level, weights=weights
            )
            shares = (*parameters.mean(axis=0), probabilities.mean())
            print(f"| {n_rows} | {weights} | " + " | ".join(f"{s:.1%}" for s in shares) + " |")


if __name__ == "__main__":
    main()
