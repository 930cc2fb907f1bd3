"""Callbacks for training and search: plain callables that are told of each iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpulr.families.cross_validation import SearchProgress
from gpulr.solvers.driver import Callback, Progress

if TYPE_CHECKING:
    from rich.progress import TaskID

__all__ = ["Callback", "Progress", "ProgressBar", "SearchProgress", "SearchProgressBar"]


class ProgressBar:
    """A progress bar on standard error; silent where that is not a terminal.

    Use it as ``gpulr.train(..., callbacks=[ProgressBar()])``; training closes it.
    """

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        console = console or Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("mean cost {task.fields[cost]}"),
            TextColumn("converged {task.fields[converged]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[tuple[int, ...], TaskID] = {}

    def __reduce__(self) -> tuple[type[ProgressBar], tuple[()]]:
        return type(self), ()  # a terminal has no copy; scikit-learn copies parameters

    def __call__(self, progress: Progress) -> None:
        """Show an iteration."""
        fields: dict[str, Any] = {
            "cost": f"{progress.cost.mean():.4f}",
            "converged": f"{progress.converged.sum()}/{len(progress.models)}",
        }
        key = tuple(progress.models.tolist())
        if key not in self._tasks:
            self._bar.start()
            title = f"Model {key[0]}" if len(key) == 1 else f"Training {len(key)} models"
            self._tasks[key] = self._bar.add_task(title, total=progress.max_iter, **fields)
        self._bar.update(self._tasks[key], completed=progress.iteration, **fields)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()


class SearchProgressBar:
    """A progress bar of the models that are done, on standard error; silent elsewhere.

    Use it as ``gpulr.search(..., callbacks=[SearchProgressBar()])``; the search closes it.
    """

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        console = console or Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("C = {task.fields[C]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __reduce__(self) -> tuple[type[SearchProgressBar], tuple[()]]:
        return type(self), ()

    def __call__(self, progress: SearchProgress) -> None:
        """Show an iteration."""
        C = f"{progress.C:.3g}"
        if self._task is None:
            self._bar.start()
            title = f"Training {progress.total} models"
            self._task = self._bar.add_task(title, total=progress.total, C=C)
        self._bar.update(self._task, completed=progress.done, C=C)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()
