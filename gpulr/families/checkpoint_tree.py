"""What is kept of a run as text and arrays, and back: trees of a few known classes.

A tree is made of None, booleans, whole and floating numbers, text, arrays of any library, tuples,
lists, dicts with keys of text, and dataclasses of the classes in :data:`CLASSES`, or of those that
a family adds. Nothing in a file names anything else that is called: it holds no code.

A class is stored by its fields, or says itself which, and what of it comes from the problem that it
is of: ``stored(self)`` returns a dict of what is stored, and ``restored(read, problem)``, a class
method, makes the object anew. ``read(name, problem)`` returns an item, in which what is of a
problem is of that one; ``read(name, in_blocks=True)`` an array of which slices are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gpulr.backend import Backend, FileArray, library_of, to_host
from gpulr.core.problem import Margins
from gpulr.distributed import PartitionedMargins
from gpulr.families.checkpoint_fields import FieldTypes, sizes_of
from gpulr.solvers import GroupedRun, Run, Solution
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.exact_curvature import ExactCurvature
from gpulr.solvers.gradient_descent import GradientDescentState, NesterovState
from gpulr.solvers.lbfgs_state import LBFGSState, Pair, Prepared
from gpulr.solvers.model_curvature import ModelCurvature
from gpulr.solvers.refresh import Pool
from gpulr.solvers.solver import State

Array = Any

CLASSES: tuple[type, ...] = (
    *(GroupedRun, Run, Solution),
    *(State, GradientDescentState, NesterovState, LBFGSState),
    *(Pair, Prepared, Pool, SharedCurvature, ModelCurvature, ExactCurvature),
    *(Margins, PartitionedMargins),
)
DEEPEST = 100  # of a tree in a file; of ours some 20


class Blocks(Protocol):
    """An array of which slices of rows can be read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        """Return a slice of the rows, or all that ``...`` stands for."""


class Packer:
    """Turns a tree into what JSON holds, and into arrays by name, which are copies if so wanted.

    Arrays and objects that occur several times are kept once. Arrays in temporary files are never
    copied: there is no memory for that, and nobody writes to them.
    """

    def __init__(self, classes: Iterable[type] = (), *, copy: bool = True) -> None:
        self._copy = copy
        self.objects: list[Any] = []  # each as JSON holds it
        self._names = {cls: cls.__name__ for cls in (*CLASSES, *classes)}
        self.arrays: dict[str, npt.NDArray[Any] | FileArray] = {}
        self._known: dict[int, tuple[Any, Any]] = {}  # by id, and what keeps that in use

    def pack(self, value: Any) -> Any:
        """Return what JSON holds of a tree."""
        if value is None or isinstance(value, str | bool):
            return value
        if type(value) is int:
            return value
        if type(value) is float:
            return value if np.isfinite(value) else {"float": repr(value)}
        if type(value) not in self._names and isinstance(value, tuple):
            return {"tuple": [self.pack(item) for item in value]}
        if isinstance(value, list):
            return [self.pack(item) for item in value]
        if isinstance(value, dict):
            return {"dict": {name: self.pack(item) for name, item in value.items()}}
        if id(value) in self._known:
            return self._known[id(value)][1]
        if type(value) in self._names:
            packed, name = {"object": len(self.objects)}, self._names[type(value)]
            self._known[id(value)] = value, packed
            self.objects.append(None)
            items = {name: self.pack(item) for name, item in _items(value).items()}
            self.objects[packed["object"]] = {"class": name, "items": items}
            return packed
        return self._array(value)

    def _array(self, value: Any) -> dict[str, Any]:
        name = f"{len(self.arrays):05}"
        packed: dict[str, Any] = {"array": name}
        if isinstance(value, FileArray):
            self.arrays[name] = value
        elif isinstance(value, np.generic):
            self.arrays[name], packed["scalar"] = np.array(value), True
        elif library_of(value) is not None:
            host = to_host(value)
            # In the order in which it lies: products of others have other bits.
            order = sorted(range(host.ndim), key=lambda axis: -abs(host.strides[axis]))
            if order != list(range(host.ndim)):
                packed["order"] = order
            self.arrays[name] = np.array(host.transpose(order), order="C", copy=self._copy or None)
            if not isinstance(value, np.ndarray):
                packed["device"] = True
        else:
            raise TypeError(f"{type(value).__name__} is not among what a checkpoint holds")
        self._known[id(value)] = value, packed
        return packed


def _items(value: Any) -> Mapping[str, Any]:
    if hasattr(value, "stored"):
        stored: dict[str, Any] = value.stored()
        return stored
    if isinstance(value, tuple):
        return dict(zip(value._fields, value, strict=True))  # type: ignore[attr-defined]
    return {field.name: getattr(value, field.name) for field in fields(value)}


class Unpacker:
    """Makes a tree of what :class:`Packer` made of one.

    Raises ValueError, TypeError, KeyError and the like where it is none.

    Parameters
    ----------
    objects, arrays : those of a Packer; slices of arrays are read
    backend : where arrays go that were on a device
    """

    def __init__(
        self,
        objects: Sequence[Any],
        arrays: Mapping[str, Blocks],
        backend: Backend | None = None,
        classes: Iterable[type] = (),
    ) -> None:
        self._classes = {cls.__name__: cls for cls in (*CLASSES, *classes)}
        self._objects, self._arrays, self._backend = objects, arrays, backend
        self._known: dict[Any, Any] = {}  # objects by their numbers, arrays by their names
        self._types = FieldTypes(tuple(self._classes.values()))
        self._depth = 0

    def unpack(self, packed: Any, problem: Any = None, kind: Any = Any) -> Any:
        """Return a tree of a type, in which what is of a problem is of this one.

        Raises ValueError where a field holds what it is not to hold.
        """
        made = self._made(packed, problem)
        self._types.check(made, kind, sizes_of(problem))
        return made

    def _made(self, packed: Any, problem: Any) -> Any:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        try:
            return self._unpacked(packed, problem)
        finally:
            self._depth -= 1

    def _unpacked(self, packed: Any, problem: Any) -> Any:
        if isinstance(packed, list):
            return [self._made(item, problem) for item in packed]
        if not isinstance(packed, dict):
            return packed
        if "tuple" in packed:
            return tuple(self._made(item, problem) for item in packed["tuple"])
        if "dict" in packed:
            return {name: self._made(item, problem) for name, item in packed["dict"].items()}
        if "float" in packed:
            return float(packed["float"])
        if "array" in packed:
            return self._array(packed)
        number = packed["object"]
        if number not in self._known:
            self._known[number] = self._object(self._objects[number], problem)
        return self._known[number]

    def _object(self, packed: Any, problem: Any) -> Any:
        cls, items = self._classes[packed["class"]], packed["items"]

        def read(name: str, of: Any = None, kind: Any = Any, *, in_blocks: bool = False) -> Any:
            item = items[name]
            return self._arrays[item["array"]] if in_blocks else self.unpack(item, of, kind)

        if hasattr(cls, "restored"):
            return cls.restored(read, problem)
        return cls(**{name: self._made(item, problem) for name, item in items.items()})

    def _array(self, packed: Any) -> Any:
        name = packed["array"]
        if name not in self._known:
            array = self._arrays[name][...]
            if "order" in packed:
                array = array.transpose(np.argsort(packed["order"]))
            if packed.get("scalar"):
                array = array[()]
            if packed.get("device"):
                assert self._backend is not None
                array = self._backend.asarray(array)
            self._known[name] = array
        return self._known[name]
