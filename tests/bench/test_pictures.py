"""The README's pictures: a committed script draws them, they are there, and they are small."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "bench" / "pictures.py").exists() or not (ROOT / "README.md").exists():
    pytest.skip("bench and README.md are not beside the tests", allow_module_level=True)

sys.path.append(str(ROOT))  # last, so that an installed gpulr stays the one that is tested
pictures = pytest.importorskip("bench.pictures")


def shown():
    """Paths of the pictures that the README shows."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [ROOT / path for path in re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)]


def test_the_readme_shows_pictures_that_are_small():
    assert len(shown()) >= 2
    assert sum(path.stat().st_size for path in shown()) < 200_000


def test_the_script_draws_all_that_the_readme_shows(tmp_path):
    from PIL import Image

    assert pictures.main(["--data", "digits", "--output", str(tmp_path)]) == 0
    drawn = sorted(tmp_path.iterdir())
    assert {path.name for path in shown()} <= {path.name for path in drawn}
    for path in drawn:
        with Image.open(path) as image:
            assert 800 < image.width < 1200
            assert len(image.convert("RGB").getcolors(2**24)) > 20  # it is not blank
    assert not pyplot.get_fignums()
