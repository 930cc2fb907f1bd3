"""What families train on where the rows are elsewhere: problems and scores of parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.core.targets import Targets
from gpulr.distributed import Before, PartitionedProblem, Parts, added
from gpulr.errors import BackendFallbackWarning, warn
from gpulr.families.folds import check_classes, check_kinds, check_weight
from gpulr.families.partitioned_folds import PartitionedFolds
from gpulr.families.partitioned_inputs import PartitionedInputs
from gpulr.families.prepared_part import Computer
from gpulr.families.scoring import LEFT_OUT, tell_undefined
from gpulr.families.training_data import TrainingData
from gpulr.model.ranked import RankedScore, ranked
from gpulr.model.scores import Scorer, check_defined, left_out_of
from gpulr.validation.labels import LabelMatrix

Array = Any

MESSAGE_BYTES = 2**26  # of parameters that parts are sent at once to score with
EXCHANGED = 2**28  # margins that parts give each other at once, if not of more than one C


@dataclass(frozen=True, eq=False)
class PartitionedData(TrainingData):
    """Rows and targets of parts, of which ``rows`` and ``targets`` have what is common to all."""

    inputs: PartitionedInputs
    requested: str = "auto"  # the backend that was asked for

    # Parts, and what computes with them, once they are made: of copies with other settings too.
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def parts(self) -> Parts:
        """The parts, as problems take them."""
        if not self.made:
            self.made["parts"] = self._prepared()
            self.made["computer"] = self._computer()  # now: at the end, workers may be lost
        return self.made["parts"]  # type: ignore[no-any-return]

    @property
    def trained_by(self) -> Computer:
        """What computes with the rows, on all workers."""
        return self.made["computer"]  # type: ignore[no-any-return]

    def _prepared(self) -> Parts:
        inputs, r = self.inputs, self.rows
        common, engine = inputs.common, inputs.engine
        rows = {name: getattr(r, name) for name in ("scale", "center", "dtype", "factor", "known")}
        counts = common.rows, engine.call("n_weighted")
        classes, n_weighted = (np.cumsum(each, axis=0) for each in counts)
        before = [Before(np.zeros_like(classes[0]), 0)]
        before += map(Before, classes[:-1], map(int, n_weighted[:-1]))
        engine = engine.map_each("prepared", [(rows, self.unit, b, self.requested) for b in before])
        inputs.engine.parts.clear()  # which workers need not keep beside those made of them
        return Parts(engine, r, self.targets)

    def _computer(self) -> Computer:
        found = self.made["parts"].engine.call("computer")
        names = zip(*((each.name, each.device_name) for each in found), strict=True)
        name, device = (", ".join(dict.fromkeys(each)) for each in names)
        why = next((each.fallback_reason for each in found if each.fallback_reason), None)
        if why is not None:
            warn(f"Workers of the cluster compute with {name}: {why}.", BackendFallbackWarning)
        return Computer(name, device, why, found[0].versions)

    def sets(self, weight_sets: Any) -> Any:
        """Return the rule by which parts make weight sets."""
        return weight_sets

    def check_folds(self, folds: PartitionedFolds, scorer: Scorer | None) -> None:
        """Do what :func:`gpulr.families.folds.check_folds` does, and tell of undefined scores."""
        labels, weighted = self.inputs.labels, self.inputs.weighed
        answers = self.parts.engine.call("fold_sums", folds.counts)
        sums = sum(answers[1:], answers[0])
        if isinstance(labels, LabelMatrix):
            check_kinds(sums.trained, labels, weighted=weighted)
        else:
            for number, rows in enumerate(sums.trained):
                check_classes(number, rows, labels, weighted=weighted)
        for number, (n, weight) in enumerate(zip(sums.held, sums.scored, strict=True)):
            check_weight(number, int(n), float(weight))
        if isinstance(labels, LabelMatrix) and scorer is not None:
            undefined = np.zeros(labels.n_models, np.bool_)
            for lacking, having in zip(*(sums.kinds[:, :-1] > 0), strict=True):
                undefined |= left_out_of(scorer.name, lacking, having)
            tell_undefined(undefined, labels.names, LEFT_OUT)

    def scores(
        self, rule: Any, scorer: Scorer, thetas: npt.NDArray[Any], *, per_model: bool
    ) -> npt.NDArray[np.float64]:
        """Return the scores of the rows that folds do not train on, as Path.score does.

        ``thetas`` are (n_Cs, n_folds, n_features + 1, n_models).
        """
        n_Cs, n_folds, _, k = thetas.shape
        score = scorer.over_parts(per_model=per_model, multilabel=self.inputs.labels.multilabel)
        scores = np.zeros((n_folds, n_Cs, *((k,) if per_model else ())))
        at_once, how = MESSAGE_BYTES // max(1, thetas[:1].nbytes), self._summed
        if isinstance(score, RankedScore):  # all folds together hold out each row once
            at_once = min(at_once, EXCHANGED // max(1, self.rows.n_samples * k))
            how = self._ranked
        for first in range(0, n_Cs, at_once := max(1, at_once)):
            some = slice(first, first + at_once)
            scores[:, some] = how(score, rule, scorer.name, per_model, thetas[some])
        for value in () if per_model else scores.ravel():
            check_defined(scorer.name, value)
        return scores

    def _summed(self, score: Any, *message: Any) -> npt.NDArray[np.float64]:
        """Return the scores (n_folds, n_Cs, …) of what parts' sums say of rows and parameters."""
        of_folds = zip(*self.parts.engine.call("scores", *message), strict=True)
        scores = []
        for answers in of_folds:
            sums = zip(*(answer for answer in answers if answer is not None), strict=True)
            scores.append([score.finish(*added(each)) for each in sums])
        return np.array(scores)

    def _ranked(self, score: Any, *message: Any) -> npt.NDArray[np.float64]:
        """Return the same of a score for which parts give each other their margins."""
        n_Cs, n_folds, _, k = message[-1].shape
        sizes = n_folds * n_Cs * k, self.rows.n_samples * n_Cs * k
        found = ranked(self.parts.engine, score.measure, *sizes, "ranked_columns", *message)
        values, true = (each.reshape(n_folds, n_Cs, -1) for each in found)
        scores = [
            [score.finish(*each) for each in zip(*fold, strict=True)]
            for fold in zip(values, true, strict=True)
        ]
        return np.array(scores)

    def _problem(self, targets: Targets, C: Array, **how: Any) -> PartitionedProblem:
        how["rule"] = how.pop("weight_sets")
        return PartitionedProblem.of(self.parts, C, **how)
