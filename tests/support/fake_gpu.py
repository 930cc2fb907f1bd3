"""A GPU that is none, and arrays on it: NumPy arrays that cannot be taken for such.

It is as strict as a card is at its worst: arrays are used on their own device alone, nothing is
allocated or asked for while a stream is captured, an error of a kernel comes back at every later
call, memory runs out as told, and what is copied beside the host arrives when it is waited for. And
it counts: launches, synchronisations, transfers, copies.
"""

from __future__ import annotations

import operator
import types
import weakref
from collections import Counter

import array_api_compat.numpy
import numpy as np


class CudaError(RuntimeError):
    """What CuPy raises has no base class in common."""


class OutOfMemoryError(MemoryError):
    """What CuPy raises where its pool cannot grow."""


class Machine:
    """The devices of a process, and what it asked of them.

    Attributes
    ----------
    current : int
        The device that is current.
    failed : str or None
        An error that comes back at every call from now on: a kernel's, which is sticky.
    crashes : str or None
        The kernel that fails so, once it has been launched.
    budget : int or None
        Bytes that arrays may take.
    launched : list of str
        Kernels and array functions, in order.
    products : list of tuples
        What cuBLAS multiplied, in order: both shapes, and the dtype.
    counts : Counter
        "synchronise", "to host", "to device", "copy", "allocate".
    """

    def __init__(self):
        self.current, self.failed, self.crashes = 0, None, None
        self.budget, self.live = None, 0
        self.launched, self.products, self.counts, self.capturing = [], [], Counter(), None

    def call(self):
        """Stand for any call of the runtime."""
        if self.failed:
            raise CudaError(self.failed)

    def launch(self, name, *arrays):
        self.call()
        for array in arrays:
            assert array.on == self.current, f"{name}: array of {array.on} on {self.current}"
        assert self.capturing is None, f"{name} while a stream is captured"
        self.launched.append(name)

    def wait(self, what="synchronise"):
        self.call()
        assert self.capturing is None, f"{what} while a stream is captured"
        self.counts[what] += 1

    def allocate(self, memory):
        self.call()
        assert self.capturing is None, "a graph cannot hold an allocation"
        self.counts["allocate"] += 1
        if self.budget is not None and self.live + memory.nbytes > self.budget:
            raise OutOfMemoryError(f"Out of memory allocating {memory.nbytes:,} bytes (allocated).")
        self.live += memory.nbytes
        weakref.finalize(memory, self.free, memory.nbytes)

    def free(self, n_bytes):
        self.live -= n_bytes


class Flags:
    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.forc = flags.forc


class FakeArray:
    """An array on a device of the machine: ``a`` is what it holds, ``on`` where."""

    machine = Machine()  # of the latest stand-in
    broken = None
    __array_priority__ = 1000
    __array_ufunc__ = None  # NumPy's arrays and numbers leave operators to it

    def __init__(self, a, owner=None):
        self.a, self.on = a, self.machine.current if owner is None else owner.on
        if owner is None:
            self.machine.allocate(a)

    def __array__(self, *arguments, **options):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    shape, ndim, size, nbytes, dtype, itemsize, strides = (
        property(operator.attrgetter(f"a.{name}"))
        for name in ("shape", "ndim", "size", "nbytes", "dtype", "itemsize", "strides")
    )
    flags = property(lambda self: Flags(self.a.flags))
    data = property(lambda self: types.SimpleNamespace(ptr=self.a.ctypes.data))
    T = property(lambda self: FakeArray(self.a.T, self))
    device = property(lambda self: self.machine.device(self.on))

    def __len__(self):
        return len(self.a)

    def __repr__(self):
        return f"FakeArray({self.a!r}, on={self.on})"

    def get(self):
        self.machine.wait("to host")
        return self.a.copy(order="A")

    def item(self):
        return self.get().item()

    def __bool__(self):
        return bool(self.item())

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    __index__ = __int__

    def set(self, array, stream=None):
        assert (self.shape, self.dtype) == (array.shape, array.dtype)
        assert self.flags.c_contiguous
        self.machine.call()
        self.machine.counts["to device"] += 1
        if stream is None:
            self.a[...] = array
        else:
            stream.copy_later(array, self)

    def copy(self, order="C"):
        self.machine.counts["copy"] += 1
        return apply("copy", lambda a: a.copy(order), self)

    def astype(self, dtype, copy=True):
        if self.dtype == dtype and not copy:
            return self
        return apply("astype", lambda a: a.astype(dtype), self)

    def __getitem__(self, key):
        made = self.a[bare(key)]
        if isinstance(made, np.ndarray) and np.may_share_memory(made, self.a):
            return FakeArray(made, self)
        return apply("take", lambda a: a[bare(key)], self)

    def __setitem__(self, key, value):
        self.machine.launch("set", self, *fakes(value))
        self.a[bare(key)] = bare(value)

    def __matmul__(self, other):
        if hasattr(type(other), "tocsr"):
            return NotImplemented
        if self.machine.capturing is not None:
            raise NotImplementedError("calling cuBLAS API during stream capture is unsupported")
        if self.broken == "matrix product":
            raise CudaError("CUBLAS_STATUS_NOT_INITIALIZED")
        if self.broken == "cuBLAS's memory":
            raise CudaError("CUBLAS_STATUS_ALLOC_FAILED")
        product = apply("matmul", operator.matmul, self, other)
        self.machine.products.append((self.shape, other.shape, product.dtype.name))
        return product + 1 if self.broken == "result" else product


def fakes(value):
    """Return the arrays on a device among some values."""
    if isinstance(value, FakeArray):
        return [value]
    if isinstance(value, (tuple, list)):
        return [array for each in value for array in fakes(each)]
    assert not isinstance(value, np.ndarray) or value.ndim == 0, "an array of the host"
    return []


def bare(value):
    """Return NumPy's arrays in place of those on a device."""
    if isinstance(value, FakeArray):
        return value.a
    if isinstance(value, (tuple, list)):
        return type(value)(map(bare, value))
    return value


def on_device(made):
    """Return what NumPy made, as it would be on the device."""
    if isinstance(made, (np.ndarray, np.generic)):
        return FakeArray(np.array(made, order="A"))
    if isinstance(made, tuple):
        return tuple(map(on_device, made))
    return made


def apply(name, function, *arguments, **options):
    """Compute on the device: one launch."""
    FakeArray.machine.launch(name, *fakes(arguments), *fakes(tuple(options.values())))
    options = {key: bare(value) for key, value in options.items()}
    return on_device(function(*bare(arguments), **options))


def _operators():
    for name in (
        *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"),
        *("lshift", "rshift"),
    ):
        function = getattr(operator, f"__{name}__")

        def forward(self, other, name=name, function=function):
            return apply(name, function, self, other)

        def reflected(self, other, name=name, function=function):
            return apply(name, lambda a, b: function(b, a), self, other)

        def in_place(self, other, name=name):
            self.machine.launch(name, self, *fakes(other))
            self.a = getattr(operator, f"__i{name}__")(self.a, bare(other))
            return self

        for prefix, method in (("", forward), ("r", reflected), ("i", in_place)):
            setattr(FakeArray, f"__{prefix}{name}__", method)
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        function = getattr(operator, name)
        method = lambda self, other, n=name, f=function: apply(n, f, self, other)  # noqa: E731
        setattr(FakeArray, f"__{name}__", method)
    for name in ("neg", "invert", "abs"):
        function = getattr(operator, name)
        setattr(FakeArray, f"__{name}__", lambda self, n=name, f=function: apply(n, f, self))
    FakeArray.__hash__ = object.__hash__


_operators()

VIEWS = ("reshape", "expand_dims", "squeeze", "broadcast_to", "permute_dims", "matrix_transpose")
PLAIN = ("isdtype", "finfo", "iinfo", "result_type", "can_cast")


class Namespace(types.ModuleType):
    """array_api_compat's namespace of CuPy, as far as NumPy has the functions."""

    def __init__(self, name="array_api_compat.cupy", of=array_api_compat.numpy):
        super().__init__(name)
        self.of = of

    @property
    def linalg(self):
        return Namespace(f"{self.__name__}.linalg", self.of.linalg)

    def asarray(self, x, dtype=None, device=None, copy=None):
        if isinstance(x, FakeArray):
            with FakeArray.machine.device(device) as there:
                if x.on != there.id:  # CuPy copies what is on another device to that
                    x = FakeArray(x.a.copy())
            same = dtype is None or x.dtype == dtype
            return (x.copy() if copy else x) if same else x.astype(dtype)
        FakeArray.machine.call()
        FakeArray.machine.counts["to device"] += 1
        with FakeArray.machine.device(device):
            return FakeArray(np.array(x, dtype=dtype))

    def __array_namespace_info__(self):
        found = self.of.__array_namespace_info__()

        def dtypes(*, device=None, kind=None):
            return found.dtypes(kind=kind)

        return types.SimpleNamespace(dtypes=dtypes)

    def astype(self, x, dtype, copy=True, device=None):
        return x.astype(dtype, copy)

    def empty(self, shape, dtype=None, device=None):
        with FakeArray.machine.device(device):
            made = FakeArray(np.empty(shape, dtype))
        made.a.view(np.uint8).fill(0xFF)  # NaN, where anybody reads it
        return made

    def __getattr__(self, name):
        value = getattr(self.of, name)
        if not callable(value) or isinstance(value, type) or name in PLAIN:
            return value

        def function(*arguments, device=None, **options):
            if name in VIEWS:
                return FakeArray(value(*bare(arguments), **options), arguments[0])
            with FakeArray.machine.device(device):
                return apply(name, value, *arguments, **options)

        return function
