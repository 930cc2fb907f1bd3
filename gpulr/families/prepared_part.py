"""Rows of one part where they are, as problems take them; and scores of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat, starmap
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import Backend, is_sparse
from gpulr.core.targets import ClassTargets
from gpulr.distributed import Part
from gpulr.families.folds import count_kinds
from gpulr.model.measures import LABEL_SCORES, SCORES
from gpulr.model.ranked import Column, shared_out

Array = Any
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Computer:
    """What computes with the rows of a part."""

    name: str
    device_name: str
    fallback_reason: str | None
    versions: dict[str, str]

    @staticmethod
    def of(backend: Backend) -> Computer:
        """Return what a backend is."""
        facts = backend.name, backend.device_name, backend.fallback_reason
        return Computer(*facts, backend.versions)


@dataclass(frozen=True, eq=False)
class FoldSums:
    """What rows of a part are to folds; it adds up over parts.

    Attributes
    ----------
    trained : (n_folds, n_classes), or (2, n_folds + 1, n_labels)
        Weights of rows of each class that each fold trains on; of a matrix of labels
        :func:`gpulr.families.folds.count_kinds` of rows that have weight.
    held, scored : (n_folds,)
        How many rows each fold is scored on, and what they weigh there.
    kinds : (2, n_folds + 1, n_labels), or 0
        As ``trained``, of the rows that each fold is scored on.
    """

    trained: Floats
    held: npt.NDArray[np.int64]
    scored: Floats
    kinds: Floats | int

    def __add__(self, other: FoldSums) -> FoldSums:
        return FoldSums(
            self.trained + other.trained,
            self.held + other.held,
            self.scored + other.scored,
            self.kinds + other.kinds,
        )


class PreparedPart(Part):
    """A part whose rows are scored too, and that tells what computes with them.

    ``scored`` (n_rows,) float64 is what rows count by in scores; None: 1 each.
    """

    def __init__(self, scored: Floats | None, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.scored = scored

    def computer(self) -> Computer:
        """Say what computes with the rows."""
        with self.active():
            return Computer.of(self.rows_here.backend)

    def truth(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return the truth about some rows, as scores take it."""
        if isinstance(self.targets, ClassTargets):
            return np.asarray(self.targets.codes[rows])
        some = self.targets.indicator[rows]
        return np.asarray(some.toarray() if is_sparse(some) else some)

    def fold_sums(self, rule: Any) -> FoldSums:
        """Return what the rows are to the folds that a rule makes."""
        sets, scored = self.sets(rule), self._scored()
        held = sets == 0
        trained: Any
        kinds: Any = 0
        if isinstance(self.targets, ClassTargets):
            weight = 1.0 if self.weight is None else self.weight[:, 0].astype(np.float64)
            codes, k = self.targets.codes, len(self.targets.table)
            trained = np.stack([np.bincount(codes, s * weight, k) for s in sets.T])
        else:
            k = self.targets.n_models
            trained = count_kinds(sets, self.truth, k, self.kept)
            kinds = count_kinds(held, self.truth, k, scored)
        return FoldSums(trained, held.sum(axis=0), scored @ held, kinds)

    def _scored(self) -> Floats:
        return np.ones(self.n_rows) if self.scored is None else self.scored

    def scores(
        self, rule: Any, name: str, per_model: bool, thetas: npt.NDArray[Any]
    ) -> list[list[tuple[Any, ...]] | None]:
        """Return the sums of a score of the rows that each fold does not train on.

        ``thetas`` are (n_Cs, n_folds, n_features + 1, n_models); of each fold there are the sums of
        each C, or None where no row of it is here.
        """
        score = self._score(name, per_model)
        return [
            [score.sums(*rows) for rows in of_fold] or None
            for of_fold in self._held_out(rule, thetas)
        ]

    def ranked_columns(
        self, n_groups: int, rule: Any, name: str, per_model: bool, thetas: npt.NDArray[Any]
    ) -> list[list[Column]]:
        """Return, for each group, its columns of what a score ranks; arguments as of scores.

        Those of the first fold come first, and of these those of the first C.
        """
        sets = chain.from_iterable(self._held_out(rule, thetas, empty_too=True))
        return shared_out(n_groups, starmap(self._score(name, per_model).entries, sets))

    def _score(self, name: str, per_model: bool) -> Any:
        known = SCORES if isinstance(self.targets, ClassTargets) else LABEL_SCORES
        return known[name][per_model]

    def _held_out(
        self, rule: Any, thetas: npt.NDArray[Any], *, empty_too: bool = False
    ) -> Iterator[Iterator[tuple[Array, Array, Floats]]]:
        """Yield of each fold, for each C, margins, truth and weights of the rows that it holds out.

        Of a fold that holds out no row of this part there is nothing, or with ``empty_too`` empty
        arrays.
        """
        sets = self.sets(rule)
        with self.active():
            rows, backend = self.rows_here, self.rows_here.backend
            for fold in range(thetas.shape[1]):
                held = np.flatnonzero(sets[:, fold] == 0)
                truth, weight = self.truth(held), self._scored()[held]
                each = (backend.asarray(theta, backend.xp.float64) for theta in thetas[:, fold])
                margins: Any = rows.host_margins(each, held) if len(held) else ()
                if empty_too and not len(held):
                    nothing = np.zeros((0, thetas.shape[3]), thetas.dtype)
                    margins = [nothing] * len(thetas)
                yield zip(margins, repeat(truth), repeat(weight))
