"""Solvers are tested on few rows: here as if these were many."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _pairs(as_if_large):
    """L-BFGS learns pairs, and does not take each model's own Hessian instead."""
