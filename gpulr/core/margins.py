"""The margins of all rows, which a line search keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpulr.backend import Backend

Array = Any


@dataclass(frozen=True, eq=False)
class Margins:
    """Z = X W + b of all rows, kept where the rows are.

    Solvers know nothing but the methods, so that a problem whose rows are elsewhere can return
    margins of its own kind.

    Attributes
    ----------
    Z : (n_samples, n_models) in the compute dtype
    backend : Backend
    """

    Z: Array
    backend: Backend

    def blocks(self) -> list[slice]:
        """Return the blocks of rows to map over where only margins are needed."""
        return self.backend.row_blocks(int(self.Z.shape[0]), 0, int(self.Z.shape[1]))

    def along(self, direction: Margins, t: Array) -> Margins:
        """Return Z + t D, for steps t (n_models,) and the margins D of a direction."""
        D = direction.Z
        t = self.backend.xp.astype(t, D.dtype)
        Z = self.backend.collect_blocks(
            lambda rows: self.Z[rows, :] + t * D[rows, :], self.blocks()
        )
        return Margins(Z, self.backend)

    def where(self, flags: Array, other: Margins) -> Margins:
        """Return these margins for the models that ``flags`` names, and the other's elsewhere."""
        return Margins(self.backend.xp.where(flags, self.Z, other.Z), self.backend)

    def take(self, models: Array) -> Margins:
        """Return the margins of some of the models (int indices on the device)."""
        return Margins(self.backend.xp.take(self.Z, models, axis=1), self.backend)
