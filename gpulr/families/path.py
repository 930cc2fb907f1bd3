"""How far the models of a search have come along C: what they are so far, and how they score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import backend_of
from gpulr.core.problem import Problem
from gpulr.errors import WorkersLostError
from gpulr.families.advice import END
from gpulr.families.partitioned_data import PartitionedData
from gpulr.families.scoring import weight_of
from gpulr.families.training_data import TrainingData
from gpulr.model.scores import Scorer
from gpulr.solvers import Run
from gpulr.solvers.continuation import Continuation
from gpulr.solvers.lbfgs_state import Prepared
from gpulr.solvers.restoring import check_parameters, check_places, record_of

Array = Any
# Fields of a path that are in a file as they are; of the others not all are.
STORED = "groups", "theta", "n_steps", "n_trained", "too_few"


@dataclass(frozen=True, eq=False)
class Path:
    """How far a search has come along C: all that is needed to go on.

    The two arrays are those of the steps before, with more filled in. They hold where models ended,
    (n_Cs, n_folds, n_features + 1, n_models) of the scaled rows in the compute dtype, and how,
    (n_folds, n_Cs, n_models) of END. A step trains a group of classes with one C; steps go through
    all C of a group, then to the next group.
    """

    task: Any  # the CrossValidation, whose steps lead along it
    groups: tuple[Annotated[npt.NDArray[np.int64], "(_,)"], ...]  # classes that are trained at once
    theta: Annotated[npt.NDArray[Any], "(n_Cs, n_folds, n_features + 1, n_classes)"]
    ends: Annotated[npt.NDArray[Any], "(n_folds, n_Cs, n_classes)"]
    n_steps: int = 0
    n_trained: int = 0  # models
    # After how many iterations the first step ended that ended for want of more; None: no step did.
    too_few: int | None = None
    problem: Problem | None = None  # of the group that is in training, with C = 1
    prepared: Prepared | None = None  # what all models share; it does not depend on the labels
    continuation: Continuation | None = None  # where the group ended with the last C
    run: Run | None = None  # of the step that has begun,
    collected: Continuation | None = None  # and where those of its models ended that are done
    stopped: bool = False  # by a callback or an interrupt
    lost: WorkersLostError | None = None  # what ended it, where the rows are elsewhere
    # By the place of C, of those that were scored as soon as they were done: (n_folds, …).
    scores: dict[int, npt.NDArray[np.float64]] = field(default_factory=dict)

    def stored(self) -> dict[str, Any]:
        """Return what of it is in a file; how models ended as an array for each field."""
        return {
            **{name: getattr(self, name) for name in (*STORED, "prepared", "run", "collected")},
            "ends": {name: self.ends[name].copy() for name in END.names or ()},
            "continuation": self.continuation if self.run is None else None,
            "scores": [(c, each) for c, each in self.scores.items() if self.done[c]],
        }

    @classmethod
    def restored(cls, read: Callable[..., Any], task: Any) -> Path:
        """Return a path of this task from what :meth:`stored` returned, whose items are read."""
        like, items = task.begin(), {name: read(name) for name in STORED}
        ends = record_of(read("ends"), like.ends.shape, END)
        path, each = cls(task, ends=ends, **items), np.concatenate(items["groups"])
        same = path.theta.shape == like.theta.shape and path.theta.dtype == like.theta.dtype
        if not same or not 0 <= path.n_steps <= len(path.groups) * len(task.Cs):
            raise ValueError(f"parameters of {path.theta.shape} after {path.n_steps} steps")
        check_parameters(path.theta)
        check_places(each, like.ends.shape[-1], "classes")
        unit = path.unit
        return replace(
            path,
            problem=None if path.complete else unit,
            prepared=read("prepared", unit),
            continuation=read("continuation", unit),
            run=None if path.complete else read("run", replace(unit, C=unit.C * path.C)),
            collected=read("collected", unit),
            scores=dict(read("scores")),
        )

    @property
    def unit(self) -> Problem:
        """The problem of the group that is in training, with C = 1; of the last one when done."""
        if self.problem is not None:
            return self.problem
        group = self.groups[min(self.n_steps // len(self.task.Cs), len(self.groups) - 1)]
        data: TrainingData = self.task.data
        return data.problem(1.0, weight_sets=self.task.counts, models=group)

    @property
    def place(self) -> int:
        """The place in ``task.Cs`` of the C of the next step."""
        return int(self.task.order[self.n_steps % len(self.task.Cs)])

    @property
    def C(self) -> float:  # noqa: N802
        """The C of the next step."""
        return float(self.task.Cs[self.place])

    @property
    def complete(self) -> bool:
        """Whether all models have been trained."""
        return self.n_trained == self.ends.size

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """The values of C with which all classes have been trained, (n_Cs,)."""
        n_Cs = len(self.task.Cs)
        done = np.zeros(n_Cs, dtype=np.bool_)
        done[self.task.order[: max(0, self.n_steps - (len(self.groups) - 1) * n_Cs)]] = True
        return done

    def score(self, scorer: Scorer, *, per_model: bool = False) -> npt.NDArray[np.float64]:
        """Return the scores on held-out rows of the values of C that are done, (n_folds, n_done).

        Or (n_folds, n_done, n_models), of each model by itself.
        """
        data, done = self.task.data, np.flatnonzero(self.done).tolist()
        tests, n_folds = self.task.folds.tests, len(self.task.folds)
        function = scorer.per_model if per_model else scorer.function
        scores = np.zeros((n_folds, len(done), *((data.n_models,) if per_model else ())))
        if isinstance(data, PartitionedData):
            rule = self.task.folds.counts
            new = [c for c in done if c not in self.scores]
            found = data.scores(rule, scorer, self.theta[new], per_model=per_model)
            self.scores.update(zip(new, np.moveaxis(found, 1, 0), strict=True))
            for i, c in enumerate(done):
                scores[:, i] = self.scores[c]
            return scores
        for f, test in enumerate(tests if len(done) else ()):
            truth = data.inputs.labels.truth(test)
            weight = weight_of(data.inputs, test)
            for i, Z in enumerate(data.margins((self.theta[c, f] for c in done), test)):
                scores[f, i] = function(Z, truth, weight)
        return scores

    def mean_theta(self, Cs: npt.ArrayLike) -> Array:
        """Return the mean over the folds of the parameters at these C.

        ``Cs`` is one C, or broadcasts to one for each fold and model, (n_folds, n_models).
        (n_features + 1, n_models) float64, on the device.
        """
        _, n_folds, _, k = self.theta.shape
        chosen = np.broadcast_to(Cs, (n_folds, k))[..., np.newaxis]
        index = np.argmax(chosen == self.task.Cs, axis=-1)  # (n_folds, n_models)
        thetas = self.theta[index, np.arange(n_folds)[:, np.newaxis], :, np.arange(k)]
        theta = np.ascontiguousarray(thetas.mean(axis=0, dtype=np.float64).T)
        return self.task.data.rows.backend.asarray(theta)

    def coefficients(self) -> Array:
        """Return the parameters for X as it was passed, of the values of C that are done.

        (n_folds, n_done, n_models, n_features + 1) in the compute dtype, the intercept last;
        without it where none is fitted.
        """
        data, theta = self.task.data, self.theta[self.done]
        sets, columns = theta.shape[:2], np.moveaxis(theta, 2, 0).reshape(theta.shape[2], -1)
        of_X = data.parameters(columns, sets)
        parts, here = [of_X["weights"]], backend_of(of_X["weights"])
        xp = here.xp
        with here.activate():
            if data.settings.fit_intercept:
                parts.append(xp.expand_dims(of_X["intercept"], axis=-2))
            return xp.permute_dims(xp.concat(parts, axis=-2), (1, 0, 3, 2))
