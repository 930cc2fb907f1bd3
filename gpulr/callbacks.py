"""Callbacks for training and search: plain callables that are told of each iteration."""

from __future__ import annotations

from typing import Any, Self

from gpulr.families.cross_validation import SearchProgress
from gpulr.solvers.solution import Callback, Progress

__all__ = ["Callback", "Progress", "ProgressBar", "SearchProgress", "SearchProgressBar"]


def rich_bar(console: Any, *columns: str) -> Any:
    """Return a bar with these columns of text, shown on terminals alone; None without rich."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    console = console or Console(stderr=True)
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *map(TextColumn, columns),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


class _ProgressBar:
    """A bar on standard error for each run; silent where that is no terminal, and without rich."""

    columns: tuple[str, ...] = ()

    def __init__(self, console: Any = None) -> None:
        self._bar = rich_bar(console, *self.columns)
        self._tasks: dict[tuple[int, ...], Any] = {}

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()  # a terminal has no copy; scikit-learn copies parameters

    def _show(self, key: tuple[int, ...], title: str, done: int, total: int, **texts: str) -> None:
        if self._bar is None:
            return
        if key not in self._tasks:
            self._bar.start()
            self._tasks[key] = self._bar.add_task(title, total=total, **texts)
        self._bar.update(self._tasks[key], completed=done, **texts)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


class ProgressBar(_ProgressBar):
    """A progress bar on standard error; silent where that is not a terminal, and without rich.

    Use it as ``gpulr.train(..., callbacks=[ProgressBar()])``; training closes it.
    """

    columns = ("mean cost {task.fields[cost]}", "converged {task.fields[converged]}")

    def __call__(self, progress: Progress) -> None:
        """Show an iteration."""
        key = tuple(progress.models.tolist())
        self._show(
            key,
            f"Model {key[0]}" if len(key) == 1 else f"Training {len(key)} models",
            progress.iteration,
            progress.max_iter,
            cost=f"{progress.cost.mean():.4f}",
            converged=f"{progress.converged.sum()}/{len(key)}",
        )


class SearchProgressBar(_ProgressBar):
    """A bar of the models that are done, on standard error; silent elsewhere, and without rich.

    Use it as ``gpulr.search(..., callbacks=[SearchProgressBar()])``; the search closes it.
    """

    columns = ("C = {task.fields[C]}",)

    def __call__(self, progress: SearchProgress) -> None:
        """Show an iteration."""
        title = f"Training {progress.total} models"
        self._show((), title, progress.done, progress.total, C=f"{progress.C:.3g}")
