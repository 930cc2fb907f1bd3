"""The scripts in docs/examples do what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def test_rare_labels(capsys):
    found = runpy.run_path(str(EXAMPLES / "rare_labels.py"))
    never, after = found["never"], found["after"]
    assert never.sum() >= 10
    assert (after[never] > 0).all()
    assert after.mean() > found["before"].mean() + 0.1
    assert f"{never.sum()} before, 0 after" in capsys.readouterr().out
