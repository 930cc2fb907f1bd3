"""Where parts of rows are made: on the workers of a Dask cluster, or in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gpulr.distributed import Here


class Cluster:
    """The workers of a ``distributed.Client``: blocks and parts are futures."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def engine(self, function: Callable[..., Any], *columns: Sequence[Any]) -> Any:
        """Return an engine of what a function makes of each row of the columns.

        These are of parts that an engine of this place has, of Dask's Delayed objects, and of
        anything else, which goes to the workers with the task that takes it.
        """
        from gpulr.distributed.dask_engine import DaskEngine

        return DaskEngine.make(self.client, function, *columns)


class ThisProcess:
    """Where the client is, for parts that are called one after the other."""

    def engine(self, function: Callable[..., Any], *columns: Sequence[Any]) -> Any:
        """Return an engine of what a function makes of each row of the columns."""

        def here(x: Any) -> Any:
            return x.compute(scheduler="sync") if hasattr(x, "__dask_graph__") else x

        return Here(function(*map(here, row)) for row in zip(*columns, strict=True))


Place = Cluster | ThisProcess
