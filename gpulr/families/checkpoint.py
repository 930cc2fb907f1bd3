"""Checkpoints of a run: written now and then, and where it ends or is interrupted.

What a family has to do, where ``place`` is what :func:`place_of` made of its arguments::

    def fingerprint():
        return fingerprint_of("bootstrap", inputs, settings, data.rows.backend, C=C, n=n)

    with prepare(…) as data, ctrl_c(terminated=place is not None) as interrupted,
            checkpointed(place, fingerprint, KEPT) as kept:
        result, progress = kept.read(problem)
        if result is None:
            …  # from ``progress`` on, if it is not None; between iterations:
            kept.offer(progress)
            …
            kept.finish(result)  # or, where it was interrupted or stopped: kept.keep()

(``kept.done(solution, solution.result)`` is one or the other, where the result is a Solution.)

- ``KEPT`` is a :class:`Kept`: of which classes progress and result are. They are trees of
  :mod:`gpulr.families.checkpoint_tree`: of numbers, text, arrays, tuples, lists, dicts and
  dataclasses. These are stored by their fields, or as their methods ``stored`` and ``restored``
  say, and read again their fields hold what their types say, or there is an error.
- A progress that is offered must stay what it is (frozen dataclasses, tuples): it is written when
  that is due, and the last one when an exception leaves the block. That costs nothing else.
- Each run of a solver offers a :class:`gpulr.solvers.Run`, and goes on with one: ``minimize(…,
  checkpoint=lambda run: kept.offer(replace(state, run=run)), resumed=state.run)``; in groups it is
  a :class:`gpulr.solvers.GroupedRun`. Without a place, ``kept.offer`` is None.
- A run is restored on its problem: ``kept.read(problem)`` ties what is of a problem to this one.
  Where a family has several, a class's ``restored(read, problem)`` says which is whose.
- Its ``about(progress, result)`` returns what ``gpulr checkpoint`` shows, as a dict of numbers and
  text; ``"where"`` says in words how far the run has come, as in "iteration 12".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpulr.errors import CheckpointError, GpulrError, ResumedWarning, warn
from gpulr.families import checkpoint_file
from gpulr.families.checkpoint_file import CURE
from gpulr.families.checkpoint_place import Place
from gpulr.families.checkpoint_tree import Packer, Unpacker
from gpulr.families.checkpoint_writer import Dump, Writer
from gpulr.families.fingerprint import Fingerprint, difference
from gpulr.solvers.driver import EARLY
from gpulr.words import first_line

About = Callable[[Any, Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a family keeps."""

    about: About
    progress: type  # a class of its own, or one of CLASSES
    result: type
    classes: tuple[type, ...] = ()  # others of its own that these hold


class NoCheckpoint:
    """Stands for checkpoints where none are asked for."""

    offer: Any = None

    def read(
        self, problem: Any, within: Callable[[Any], Any] = lambda kept: kept
    ) -> tuple[Any, Any]:
        """Return result and progress: see :meth:`Checkpoint.read`."""
        return None, None

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Return a context in which there is nothing that has to fit."""
        yield

    def done(self, result: Any, how: str) -> None:
        """Write what a run left that has ended as a Solution's ``result`` says."""
        if how in EARLY:
            self.keep()
        else:
            self.finish(result, goes_on=how == "max_iter")

    def keep(self) -> None:
        """Do nothing."""

    def finish(self, result: Any, *, goes_on: bool = False) -> None:
        """Do nothing."""

    @property
    def way_on(self) -> str:
        """What a message of an interruption adds."""
        return ""


@contextmanager
def checkpointed(
    place: Place | None,
    fingerprint: Callable[[], Fingerprint],
    kept: Kept,
    *,
    backend: Any = None,
) -> Iterator[NoCheckpoint]:
    """Return a context in which a run reads and writes its checkpoints.

    What was offered last is written when an exception leaves it.

    Parameters
    ----------
    backend : Backend, optional
        Where arrays go that were on a device.

    Raises
    ------
    CheckpointError
        There is a file that is no checkpoint, or is one of another run.
    """
    if place is None:
        yield NoCheckpoint()
        return
    checkpoint = Checkpoint(place, fingerprint(), kept, backend)
    try:
        yield checkpoint
    except BaseException:
        checkpoint.keep()
        raise
    finally:
        checkpoint.wait()


class Checkpoint(NoCheckpoint):
    """The checkpoints of one run; see this module."""

    def __init__(
        self,
        place: Place,
        fingerprint: Fingerprint,
        kept: Kept,
        backend: Any = None,
    ) -> None:
        self._fingerprint, self._kept, self._backend = fingerprint, kept, backend
        self._result: Any = None  # that was read
        self._classes = (kept.progress, kept.result, *kept.classes)
        stored, damaged = checkpoint_file.read(place.path)
        other = "" if stored is None else difference(stored.fingerprint, fingerprint)
        if stored is not None and other:
            if stored.path == place.path or damaged:
                other = f"it is the checkpoint of another run: {other}"
                raise CheckpointError(stored.path, other, CURE)
            stored = None  # somebody has removed the one after it, to begin anew
        self._stored = stored
        self._writer = Writer(place.path, place.every, self._dump, damaged=damaged)

    def read(
        self, problem: Any, within: Callable[[Any], Any] = lambda kept: kept
    ) -> tuple[Any, Any]:
        """Return the result and the progress that are in the file, one of them None, or both.

        Says so with a :class:`ResumedWarning`.

        Parameters
        ----------
        problem : Problem
            To which belongs what is of a problem.
        within : callable
            Takes a result, or a progress, and returns it if all of it counts here; else, as where
            more iterations may be taken now, a progress with what does. None: of a result nothing,
            so that the progress in the file is what to go on with.

        Raises
        ------
        CheckpointError
            It does not fit the problem.
        """
        stored, self._stored = self._stored, None
        if stored is None:
            return None, None
        with self.fitting(stored.path):
            objects = stored.tree["objects"]
            unpacker = Unpacker(objects, stored.arrays, self._backend, self._classes)
            kept, tree = self._kept, stored.tree
            whole = result = unpacker.unpack(tree["result"], problem, kept.result | None)
            progress = None if result is None else within(result)
            if progress is result:  # all of it counts, or there is none
                progress = None
            else:
                result = None
            if result is None and progress is None:
                progress = unpacker.unpack(tree["progress"], problem, kept.progress | None)
                if progress is not None:
                    progress = within(progress)
                elif whole is None:
                    raise ValueError("it holds nothing")
            where = kept.about(progress, result)["where"]
        if result is not None:
            warn(
                f"{stored.path} holds the result of this call: nothing is trained. {CURE}",
                ResumedWarning,
            )
        elif progress is not None:
            self._writer.resume(progress)
            warn(f"Training goes on from {stored.path}: {where}.", ResumedWarning)
        else:
            what = "a result of fewer iterations than there may be now: training begins anew"
            warn(f"{stored.path} holds {what}.", ResumedWarning)
        self._result = result
        return result, progress

    @contextmanager
    def fitting(self, path: Path | None = None) -> Iterator[None]:
        """Return a context in which what does not fit raises CheckpointError, whatever it is."""
        try:
            yield
        except (GpulrError, MemoryError):
            raise
        except Exception as error:  # of whatever reads what gpulr did not write
            raise CheckpointError(
                path or self._writer.path, f"it does not fit this run ({first_line(error)})", CURE
            ) from error

    def offer(self, progress: Any) -> None:
        """Take what can be gone on with, and write it if that is due, in the background."""
        self._writer.offer(progress)

    def keep(self) -> None:
        """Write what was offered last, now."""
        self._writer.keep()

    def finish(self, result: Any, *, goes_on: bool = False) -> None:
        """Write the result, now, unless it was read.

        With what was offered last, if that is to be gone on with where more iterations may be
        taken: see ``within`` of :meth:`read`.
        """
        if result is not self._result:
            self._writer.finish(result, goes_on=goes_on)

    def wait(self) -> None:
        """Wait until nothing is being written."""
        self._writer.wait()

    @property
    def way_on(self) -> str:
        """What a message of an interruption adds: how to go on."""
        kept = self._writer.written is not None
        return f" The same call goes on from {self._writer.path}." if kept else ""

    def _dump(self, progress: Any, result: Any, *, copy: bool) -> Dump:
        """Return what is written of progress and result, either of which may be None."""
        packer = Packer(self._classes, copy=copy)
        tree = {"progress": packer.pack(progress), "result": packer.pack(result)}
        tree["objects"] = packer.objects
        about = {"time": time.time(), "finished": result is not None}
        about |= self._kept.about(progress, result)
        texts = {"fingerprint": self._fingerprint, "about": about, "tree": tree}
        return Dump(packer.arrays, texts)
