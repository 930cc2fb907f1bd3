"""The progress bars: on terminals only, one line per run, and gone when training is."""

from __future__ import annotations

import io
import re

import pytest

import gpulr
from gpulr.callbacks import ProgressBar, SearchProgressBar

rich = pytest.importorskip("rich.console", reason='not installed: python -m pip install ".[cli]"')

from rich.theme import Theme  # noqa: E402

CURSOR_IS_BACK = "\x1b[?25h"


@pytest.fixture
def shown(blobs):
    """A function that trains or searches with a bar, and returns what it wrote."""

    def shown(function, *others, terminal=True, raises=None, **settings):
        screen = rich.Console(file=io.StringIO(), force_terminal=terminal, width=120)
        bar = (ProgressBar if function is gpulr.train else SearchProgressBar)(screen)
        if raises is None:
            function(*blobs, callbacks=[bar, *others], **settings)
        else:
            with pytest.raises(raises):
                function(*blobs, callbacks=[bar, *others], **settings)
        return screen.file.getvalue()

    return shown


TRAINING = {"max_iter": 4, "tol": 0}
SEARCH = {"Cs": [1, 2], "cv": 2}


@pytest.mark.parametrize(
    ("function", "settings"), [(gpulr.train, TRAINING), (gpulr.search, SEARCH)]
)
def test_it_is_silent_where_there_is_no_terminal(shown, function, settings):
    assert shown(function, terminal=False, **settings) == ""


@pytest.mark.parametrize("batched", [True, False])
def test_it_shows_what_is_trained_on_a_terminal(shown, blobs, batched):
    text = shown(gpulr.train, batched=batched, **TRAINING)
    titles = ["3 models"] if batched else ["Model 0", "Model 1", "Model 2"]
    assert all(title in text for title in titles)
    assert "after 4 iterations" in text
    last = gpulr.train(*blobs, batched=batched, **TRAINING).history.cost[-1]
    assert f"{last.mean() if batched else last[-1]:.4f}" in text
    assert CURSOR_IS_BACK in text


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("batched", [True, False])
def test_it_ends_full_and_says_what_came_of_it(blobs, width, batched):
    theme = Theme({"bar.finished": "green", "bar.back": "blue", "bar.complete": "red"})
    color = {"force_terminal": True, "color_system": "standard", "theme": theme}
    screen = rich.Console(file=io.StringIO(), width=width, **color)
    model = gpulr.train(*blobs, callbacks=[ProgressBar(screen)], batched=batched)
    assert model.converged
    end = screen.file.getvalue().rpartition("\x1b[2K")[2]
    words = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", end).splitlines()[0]
    n = model.n_iter if batched else int(model.history.n_iter[-1])
    assert f"converged after {n} iterations, cost 0." in words
    assert "2000" not in words
    assert "…" not in words
    assert len(words) <= width
    assert "\x1b[32m━" in end
    assert "\x1b[34m━" not in end
    screen = rich.Console(file=io.StringIO(), width=width, **color)
    gpulr.train(*blobs, callbacks=[ProgressBar(screen)], **TRAINING)
    end = screen.file.getvalue().rpartition("\x1b[2K")[2]
    assert "ended after 4 iterations" in end
    assert "\x1b[32m━" not in end


def test_it_counts_the_models_of_a_search(shown):
    text = shown(gpulr.search, **SEARCH)
    for words in ("12 models", "12/12", "C = 2", CURSOR_IS_BACK):
        assert words in text


def test_it_leaves_the_terminal_in_order_after_an_error(shown):
    def interrupt(progress):
        if progress.C == 2:
            raise KeyboardInterrupt

    wrong = {"solver": "gd", "learning_rate": 1e30, "raises": gpulr.DivergenceError}
    for text in (
        shown(gpulr.train, **wrong),
        shown(gpulr.search, interrupt, raises=gpulr.SearchInterrupted, **SEARCH),
    ):
        assert text.rstrip().endswith(CURSOR_IS_BACK)
