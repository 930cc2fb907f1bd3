"""Callbacks for training and search: plain callables that are told of each iteration."""

from __future__ import annotations

from typing import Any, Self

from gpulr.families.cross_validation import SearchProgress
from gpulr.solvers.solution import Callback, Progress
from gpulr.words import counted

__all__ = ["Callback", "Progress", "ProgressBar", "SearchProgress", "SearchProgressBar"]


NARROW = 80  # columns of a terminal; in fewer there is no time, and a shorter bar


def rich_bar(console: Any) -> Any:
    """Return a bar, shown on terminals alone; None without rich.

    Its tasks have the fields ``state``, words behind the bar, and ``success``: its colour at the
    end.
    """
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar
        from rich.table import Column
    except ImportError:
        return None

    class Coloured(BarColumn):
        def render(self, task: Any) -> Any:
            self.finished_style = "bar.finished" if task.fields["success"] else "bar.complete"
            return super().render(task)

    console = console or Console(stderr=True)
    wide = console.width >= NARROW
    return Bar(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        Coloured(bar_width=max(4, min(40, console.width - 68) if wide else console.width - 56)),
        TextColumn("{task.fields[state]}", table_column=Column(no_wrap=True)),
        *([TimeElapsedColumn()] if wide else []),
        console=console,
        disable=not console.is_terminal,
    )


class _ProgressBar:
    """A bar on standard error for each run; silent where that is no terminal, and without rich."""

    def __init__(self, console: Any = None) -> None:
        self._bar = rich_bar(console)
        self._tasks: dict[tuple[int, ...], Any] = {}

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()  # a terminal has no copy; scikit-learn copies parameters

    def _show(self, key: tuple[int, ...], title: str, done: int, total: int, state: str) -> None:
        if self._bar is None:
            return
        if key not in self._tasks:
            self._bar.start()
            self._tasks[key] = self._bar.add_task(title, total=total, state=state, success=False)
        self._bar.update(self._tasks[key], completed=done, state=state, success=done == total)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


class ProgressBar(_ProgressBar):
    """A progress bar on standard error; silent if that is not a terminal, and without rich.

    When all models have converged it is full, however many iterations were allowed. Use it as
    ``gpulr.train(..., callbacks=[ProgressBar()])``; training closes it.
    """

    def __init__(self, console: Any = None) -> None:
        super().__init__(console)
        self._last: dict[tuple[int, ...], Progress] = {}

    def __call__(self, progress: Progress) -> None:
        """Show an iteration."""
        key = tuple(progress.models.tolist())
        self._last[key] = progress
        title = f"Model {key[0]}" if len(key) == 1 else counted(len(key), "model")
        state = f"{progress.iteration}/{progress.max_iter}, {_state(progress)}"
        self._show(key, title, progress.iteration, progress.max_iter, state)
        if self._bar is not None and progress.converged.all():
            self._end(key)

    def close(self) -> None:
        """Tell how training ended, and leave the terminal as it was."""
        for key in self._last if self._bar is not None else ():
            self._end(key)
        super().close()

    def _end(self, key: tuple[int, ...]) -> None:
        last = self._last[key]
        done = bool(last.converged.all())
        after = f"after {counted(last.iteration, 'iteration')}"
        words = f"converged {after}, cost {last.cost.mean():.4f}"
        if not done:
            words = f"ended {after}, {_state(last)}"
        ends = {"completed": max(1, last.iteration), "total": max(1, last.iteration)}
        self._bar.update(self._tasks[key], state=words, success=done, **(ends if done else {}))


def _state(progress: Progress) -> str:
    converged = f"{progress.converged.sum()}/{len(progress.models)} converged"
    return f"cost {progress.cost.mean():.4f}, {converged}"


class SearchProgressBar(_ProgressBar):
    """A progress bar of a search, on standard error: how many of its models are done.

    It is silent if that is not a terminal, and without rich. Use it as ``gpulr.search(...,
    callbacks=[SearchProgressBar()])``; the search closes it.
    """

    def __call__(self, progress: SearchProgress) -> None:
        """Show an iteration."""
        state = f"{progress.done}/{progress.total}, C = {progress.C:.3g}"
        title = counted(progress.total, "model")
        self._show((), title, progress.done, progress.total, state)
