"""The progress bar: on terminals only, one line per run, and gone when training is."""

from __future__ import annotations

import io

import pytest

import gpulr
from gpulr.callbacks import ProgressBar, SearchProgress, SearchProgressBar

rich = pytest.importorskip("rich.console", reason='not installed: python -m pip install ".[cli]"')


def console(terminal):
    return rich.Console(file=io.StringIO(), force_terminal=terminal, width=120)


def test_it_is_silent_where_there_is_no_terminal(blobs):
    screen = console(False)
    gpulr.train(*blobs, max_iter=3, tol=0, callbacks=[ProgressBar(screen)])
    assert screen.file.getvalue() == ""


@pytest.mark.parametrize("batched", [True, False])
def test_it_shows_what_is_trained_on_a_terminal(blobs, batched):
    screen = console(True)
    bar = ProgressBar(screen)
    model = gpulr.train(*blobs, max_iter=4, tol=0, batched=batched, callbacks=[bar])
    shown = screen.file.getvalue()
    titles = ["Training 3 models"] if batched else ["Model 0", "Model 1", "Model 2"]
    assert all(title in shown for title in titles)
    assert "4/4" in shown
    last = model.history.cost[-1]
    assert f"{last.mean() if batched else last[-1]:.4f}" in shown
    assert "\x1b[?25h" in shown  # the cursor is back


def test_it_leaves_the_terminal_in_order_after_an_error(blobs):
    screen = console(True)
    with pytest.raises(gpulr.DivergenceError):
        gpulr.train(*blobs, solver="gd", learning_rate=1e30, callbacks=[ProgressBar(screen)])
    assert screen.file.getvalue().rstrip().endswith("\x1b[?25h")


# ---- of a search --------------------------------------------------------------------------------


def test_the_bar_is_silent_where_there_is_no_terminal(blobs):
    screen = console(False)
    gpulr.search(*blobs, Cs=[1, 2], cv=2, callbacks=[SearchProgressBar(screen)])
    assert screen.file.getvalue() == ""


def test_the_bar_counts_models_on_a_terminal(blobs):
    screen = console(True)
    gpulr.search(*blobs, Cs=[1, 2], cv=2, callbacks=[SearchProgressBar(screen)])
    shown = screen.file.getvalue()
    assert "Training 12 models" in shown
    assert "12/12" in shown
    assert "C = 2" in shown
    assert "\x1b[?25h" in shown  # the cursor is back


def test_the_bar_leaves_the_terminal_in_order_when_interrupted(blobs):
    screen = console(True)

    def interrupt(progress: SearchProgress):
        if progress.C == 2:
            raise KeyboardInterrupt

    with pytest.raises(gpulr.SearchInterrupted):
        gpulr.search(*blobs, Cs=[1, 2], cv=2, callbacks=[SearchProgressBar(screen), interrupt])
    assert screen.file.getvalue().rstrip().endswith("\x1b[?25h")
