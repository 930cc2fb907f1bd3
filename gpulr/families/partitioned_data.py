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
from gpulr.model.scores import Scorer, check_defined, left_out_of
from gpulr.validation.labels import LabelMatrix

Array = Any

MESSAGE_BYTES = 2**26  # of parameters that parts are sent at once to score with


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
        multilabel, n_Cs, n_folds = self.inputs.labels.multilabel, *thetas.shape[:2]
        score = scorer.sums(per_model=per_model, multilabel=multilabel)
        shape = (n_folds, n_Cs, *((self.n_models,) if per_model else ()))
        scores, at_once = np.zeros(shape), max(1, MESSAGE_BYTES // max(1, thetas[:1].nbytes))
        for first in range(0, n_Cs, at_once):
            message = rule, scorer.name, per_model, thetas[first : first + at_once]
            answers = self.parts.engine.call("scores", *message)
            for fold in range(n_folds):
                of_fold = [answer[fold] for answer in answers if answer[fold] is not None]
                for i, sums in enumerate(zip(*of_fold, strict=True), first):
                    scores[fold, i] = score.finish(*added(sums))
                    if not per_model:
                        check_defined(scorer.name, scores[fold, i])
        return scores

    def _problem(self, targets: Targets, C: Array, **how: Any) -> PartitionedProblem:
        how["rule"] = how.pop("weight_sets")
        return PartitionedProblem.of(self.parts, C, **how)
