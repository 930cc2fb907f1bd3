"""What a search found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import SearchRecord
from gpulr.model.score_table import frame_of
from gpulr.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Scores of every C on every fold, the best C, and the model trained with it.

    Attributes
    ----------
    Cs : (n_Cs,) float64
        Inverse regularisation strengths, in the order in which they were passed.
    scores : (n_folds, n_Cs) float64
        Scores on each fold's held-out rows; greater is better. With ``per_model``, the mean of the
        models' own scores.
    scoring : str
        Name of the score.
    best_C : float, or (n_models,) float64
        The C of the best mean score; the smallest of equal ones. With ``per_model``, each model's.
    best_C_1se : float, or (n_models,) float64
        The smallest C whose mean score is within one standard error of the best.
    model : OneVsAll or None
        The model that ``refit`` asked for: trained on all rows with the C chosen, or the mean of
        the folds' models.
    n_iter : (n_folds, n_Cs, n_models) int64
        Iterations on all rows, from where the next smaller C ended.
    converged : (n_folds, n_Cs, n_models) bool
        Whether each model reached the tolerance.
    cost, gradient_norm : (n_folds, n_Cs, n_models) float64
        Values where each model ended, on its fold's training rows.
    seconds : float
        Time that everything took, refitting included.
    model_scores : (n_folds, n_Cs, n_models) float64, or None
        With ``per_model``, the score of each model alone, its class or label against all others;
        NaN where a fold's rows leave it undefined.
    paths : (n_folds, n_Cs, n_models, n_features + 1), or None
        With ``keep_paths``, the weights of each fold and C for X as it was passed, in the compute
        dtype and X's array library. The intercept is last, if one is fitted.
    """

    Cs: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    scoring: str
    best_C: float | npt.NDArray[np.float64]
    best_C_1se: float | npt.NDArray[np.float64]
    model: OneVsAll | None
    n_iter: npt.NDArray[np.int64]
    converged: npt.NDArray[np.bool_]
    cost: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    seconds: float
    model_scores: npt.NDArray[np.float64] | None = None
    paths: Any = None

    @property
    def mean_scores(self) -> npt.NDArray[np.float64]:
        """Mean score over the folds, (n_Cs,)."""
        return np.asarray(self.scores.mean(axis=0))

    @property
    def standard_errors(self) -> npt.NDArray[np.float64]:
        """Standard error of each mean over the folds, (n_Cs,); 0 for a single fold."""
        return standard_errors(self.scores)

    @property
    def table(self) -> npt.NDArray[Any]:
        """One record for each C, with fields C, mean, standard_error and each fold's score.

        It is a structured array: ``pandas.DataFrame(search.table)`` makes a frame of it.
        """
        names = ["C", "mean", "standard_error", *(f"fold_{i}" for i in range(len(self.scores)))]
        rows = zip(self.Cs, self.mean_scores, self.standard_errors, *self.scores, strict=True)
        return np.array(list(rows), dtype=[(name, np.float64) for name in names])

    def to_frame(self) -> Any:
        """Return :attr:`table` as a pandas DataFrame; pandas must be installed."""
        return frame_of(self.table)

    def __repr__(self) -> str:
        n_folds, n_Cs = self.scores.shape
        words = f"<Search: {counted(n_Cs, 'value')} of C on {counted(n_folds, 'fold')}, "
        if self.model_scores is not None:
            choices = np.array([self.best_C, self.best_C_1se])
            low, high = choices.min(axis=1), choices.max(axis=1)
            return (
                f"{words}best C of each model {low[0]:g} to {high[0]:g}, within one standard error "
                f"{low[1]:g} to {high[1]:g}>"
            )
        best = self.mean_scores[np.argmax(self.Cs == self.best_C)]
        return (
            f"{words}best C = {self.best_C:g} with {self.scoring} {best:.4f}, within one standard "
            f"error C = {self.best_C_1se:g}>"
        )

    def plot(self, ax: Axes | None = None, **how: Any) -> Axes:
        """Draw mean score and standard error against C, as :func:`gpulr.show.c_path` does.

        ``found.plot().figure.savefig("path.png")`` saves the picture.
        """
        from gpulr.show import c_path

        return c_path(self, ax=ax, **how)


def search_record(found: Search) -> SearchRecord:
    """Return what a model's file keeps of the search that chose its C, as JSON holds it."""
    record: SearchRecord = {
        "Cs": found.Cs.tolist(),
        "scores": found.scores.tolist(),
        "scoring": found.scoring,
        "folds": len(found.scores),
        "converged": int(found.converged.sum()),
        "models": int(found.converged.size),
        "seconds": found.seconds,
    }
    if found.model_scores is not None:
        record["best_C"] = np.asarray(found.best_C).tolist()
    return record


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


def choose_each(
    scores: npt.NDArray[np.float64], Cs: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return what :func:`choose` does for each model, (n_models,), by its own scores.

    ``scores`` are (n_folds, n_Cs, n_models). Folds where a model's are undefined (NaN) have no part
    in its choice; one that has none in any fold goes by the mean of the others.
    """
    every, chosen = mean_of_defined(scores), []
    for own in np.moveaxis(scores, 2, 0):
        defined = ~np.isnan(own).any(axis=1)
        chosen.append(choose(own[defined] if defined.any() else every, Cs))
    best, one_se = np.array(chosen).T
    return best, one_se


def mean_of_defined(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean over the last axis of what is not NaN; NaN where all is."""
    defined = ~np.isnan(scores)
    total, n = np.where(defined, scores, 0.0).sum(axis=-1), defined.sum(axis=-1)
    return np.asarray(np.where(n > 0, total / np.maximum(n, 1), np.nan))
