"""The layer before an ``nn.Linear`` of a standardised model; the one file that needs torch to load.

A class at the top of a module, so that ``torch.save`` and pickles find it again.
"""

from __future__ import annotations

import torch
from torch import nn


class Center(nn.Module):  # type: ignore[misc]
    """Subtracts the mean of each feature: X − center, (…, n_features), in the centre's dtype.

    X may be bytes, or of a wider dtype: it is rounded after the subtraction, which then has most of
    its digits left where means are large.
    """

    center: torch.Tensor

    def __init__(self, center: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("center", center)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return X − center, as floating point."""
        return (X - self.center).to(self.center.dtype)

    def extra_repr(self) -> str:
        """Return what ``print`` shows of the layer."""
        return f"n_features={len(self.center)}"
