"""What a search found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import MissingExtraError
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import SearchRecord
from gpulr.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Scores of every C on every fold, the best C, and the model trained with it.

    Attributes
    ----------
    Cs : (n_Cs,) float64
        Inverse regularisation strengths, in the order they were asked for.
    scores : (n_folds, n_Cs) float64
        On each fold's held-out rows; the greater the better.
    scoring : str
    best_C : float
        The C of the best mean score; of equal ones the smallest.
    best_C_1se : float
        The smallest C whose mean score is within one standard error of the best.
    model : OneVsAll or None
        Trained on all rows with the C that ``refit`` chose.
    n_iter : (n_folds, n_Cs, n_models) int64
        Iterations on all rows, from where the next smaller C ended.
    converged : (n_folds, n_Cs, n_models) bool
    cost, gradient_norm : (n_folds, n_Cs, n_models) float64
        Where each model ended, on its fold's training rows.
    seconds : float
        Everything, refitting included.
    """

    Cs: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    scoring: str
    best_C: float
    best_C_1se: float
    model: OneVsAll | None
    n_iter: npt.NDArray[np.int64]
    converged: npt.NDArray[np.bool_]
    cost: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    seconds: float

    @property
    def mean_scores(self) -> npt.NDArray[np.float64]:
        """Mean over the folds, (n_Cs,)."""
        return np.asarray(self.scores.mean(axis=0))

    @property
    def standard_errors(self) -> npt.NDArray[np.float64]:
        """Standard error of each mean over the folds, (n_Cs,); 0 for a single fold."""
        return standard_errors(self.scores)

    @property
    def table(self) -> npt.NDArray[Any]:
        """One record for each C, with fields C, mean, standard_error and each fold's score.

        A structured array: ``pandas.DataFrame(search.table)`` makes a frame of it.
        """
        names = ["C", "mean", "standard_error", *(f"fold_{i}" for i in range(len(self.scores)))]
        rows = zip(self.Cs, self.mean_scores, self.standard_errors, *self.scores, strict=True)
        return np.array(list(rows), dtype=[(name, np.float64) for name in names])

    def to_frame(self) -> Any:
        """Return :attr:`table` as a pandas DataFrame; pandas has to be installed."""
        return frame_of(self.table)

    def __repr__(self) -> str:
        n_folds, n_Cs = self.scores.shape
        best = self.mean_scores[np.argmax(self.Cs == self.best_C)]
        return (
            f"<Search: {counted(n_Cs, 'value')} of C on {counted(n_folds, 'fold')}, best C = "
            f"{self.best_C:g} with {self.scoring} {best:.4f}, within one standard error C = "
            f"{self.best_C_1se:g}>"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw mean score and standard error along C; see :func:`gpulr.show.c_path`.

        ``found.plot().figure.savefig("path.png")`` saves the picture.
        """
        from gpulr.show import c_path

        return c_path(self, ax=ax)


def frame_of(table: npt.NDArray[Any]) -> Any:
    """Return a result's table as a pandas DataFrame; raises MissingExtraError without pandas."""
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError(
            "to_frame() needs pandas, which is not installed: python -m pip install pandas. "
            "The same figures are in .table, a NumPy array of records."
        ) from error

    return pandas.DataFrame(table)


def search_record(found: Search) -> SearchRecord:
    """Return what a model's file keeps of the search that chose its C, as JSON holds it."""
    return {
        "Cs": found.Cs.tolist(),
        "scores": found.scores.tolist(),
        "scoring": found.scoring,
        "folds": len(found.scores),
        "converged": int(found.converged.sum()),
        "models": int(found.converged.size),
        "seconds": found.seconds,
    }


def standard_errors(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the standard error of the mean over folds, (n_Cs,), of scores (n_folds, n_Cs)."""
    n_folds, n_Cs = scores.shape
    if n_folds == 1:
        return np.zeros(n_Cs)
    return np.asarray(scores.std(axis=0, ddof=1) / np.sqrt(n_folds))


def choose(scores: npt.NDArray[np.float64], Cs: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the C of the best mean score, and the smallest within one standard error of it."""
    mean, error = scores.mean(axis=0), standard_errors(scores)
    order = np.argsort(Cs, kind="stable")
    best = order[np.argmax(mean[order])]
    near = order[mean[order] >= mean[best] - error[best]]
    return float(Cs[best]), float(Cs[near[0]])
