"""What a pass does to margins, element by element, compiled for this CPU by LLVM.

NumPy goes through its arrays once for every operation, eleven times for residuals and losses. Here
an element is loaded once, and all that is computed from it is stored or summed. The formulas are
those of :func:`gpulr.logistic.activate` and :func:`gpulr.logistic.derivatives_along`, in float32 or
float64. Sums are taken in float64 and in the order of the rows, so that a column's bits do not
depend on how many others there are.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
from llvmlite import ir

from gpulr import logistic
from gpulr.backend import compiled_loops
from gpulr.backend.buffers import buffer
from gpulr.backend.machine_code import load

Floats = npt.NDArray[Any]  # float32 or float64
Sums = npt.NDArray[np.float64]

FLOAT, DOUBLE, INT32, INT64 = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
ADDRESS = ir.IntType(8).as_pointer()
FUSED = ("contract",)  # a × b + c may be rounded once
SUB_BLOCK = 4096  # elements whose terms stay in the first-level cache until they are summed


class Format(NamedTuple):
    """A format of numbers, and how functions are computed in it.

    exp(t) = 2ⁿ exp(r), r = t − n ln 2 with ln 2 in two parts, the first of few enough bits that n
    times it is exact; exp(r) = 1 + r + r² p(r). log1p(e) = 2 artanh(s), s = e / (2 + e) ≤ 1/3, with
    artanh(s) = s + s³/3 + … . Errors are about one unit in the last place.
    """

    kind: ir.Type
    integer: ir.IntType
    digits: int  # bits after the point
    bias: int  # of exponents
    ln2: tuple[float, float]
    exp: Sequence[float]  # p, from the highest power on
    artanh: Sequence[float]  # of s², times 2
    # Numbers below the smallest normal one take a hundred times as long to compute with.
    least: float  # t from which on half of what is computed is normal
    small: float  # nothing beside 1, and its square is normal


# ln 2 and float32's polynomial are those of Cephes' exp.c and expf.c; float64's is Taylor's.
SINGLE = Format(
    FLOAT,
    INT32,
    23,
    127,
    (0.693359375, -2.12194440e-4),
    (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5),
    [2.0 / n for n in range(15, 0, -2)],
    least=-86.0,
    small=1e-15,
)
WIDE = Format(
    DOUBLE,
    INT64,
    52,
    1023,
    (0.693145751953125, 1.42860682030941723212e-6),
    [1.0 / math.factorial(n) for n in range(13, 1, -1)],
    [2.0 / n for n in range(35, 0, -2)],
    least=-707.0,
    small=1e-150,
)
FORMATS = {"float32": SINGLE, "float64": WIDE}


@dataclass(frozen=True)
class Vector:
    """A vector of floats in the function that ``b`` writes, with the operators of numbers."""

    value: ir.Value
    b: ir.IRBuilder

    @property
    def format(self) -> Format:
        """The format of its numbers."""
        return SINGLE if self.value.type.element == FLOAT else WIDE

    def constant(self, x: float) -> Vector:
        """Return a vector of this length that holds x everywhere."""
        kind = self.value.type
        x = float(np.float32(x)) if kind.element == FLOAT else float(x)
        return Vector(ir.Constant(kind, [x] * kind.count), self.b)

    def _value(self, other: Vector | float) -> ir.Value:
        return (other if isinstance(other, Vector) else self.constant(other)).value

    def __add__(self, other: Vector | float) -> Vector:
        return Vector(self.b.fadd(self.value, self._value(other), flags=FUSED), self.b)

    def __sub__(self, other: Vector | float) -> Vector:
        return Vector(self.b.fsub(self.value, self._value(other), flags=FUSED), self.b)

    def __mul__(self, other: Vector | float) -> Vector:
        return Vector(self.b.fmul(self.value, self._value(other), flags=FUSED), self.b)

    def __rtruediv__(self, other: float) -> Vector:
        return Vector(self.b.fdiv(self._value(other), self.value), self.b)

    def __neg__(self) -> Vector:
        return Vector(self.b.fneg(self.value), self.b)

    def call(self, name: str) -> Vector:
        """Apply one of LLVM's functions, element by element."""
        kind = self.value.type
        function = _declared(self.b, f"llvm.{name}.{_suffix(kind)}", kind, [kind])
        return Vector(self.b.call(function, [self.value]), self.b)

    def where(self, order: str, bound: float, yes: Vector | float, no: Vector | float) -> Vector:
        """Choose by how each number compares with a bound; ``no`` for a NaN."""
        flags = self.b.fcmp_ordered(order, self.value, self._value(bound))
        return Vector(self.b.select(flags, self._value(yes), self._value(no)), self.b)

    def power_of_two(self) -> Vector:
        """Return 2ⁿ of whole numbers n for which it is normal."""
        form, count = self.format, self.value.type.count
        short, whole = (ir.VectorType(kind, count) for kind in (INT32, form.integer))
        exponent = self.b.fptosi((self + form.bias).value, short)
        if whole != short:
            exponent = self.b.sext(exponent, whole)
        bits = self.b.shl(exponent, ir.Constant(whole, [form.digits] * count))
        return Vector(self.b.bitcast(bits, self.value.type), self.b)


def _polynomial(coefficients: Sequence[float], x: Vector) -> Vector:
    first, *others = coefficients
    return reduce(lambda total, c: total * x + c, others, x.constant(first))


def _exp(t: Vector) -> Vector:
    """Return e^t for t ≤ 0, at least that of the least t; the product keeps a NaN one."""
    form = t.format
    t = t.where("<", form.least, form.least, t)
    n = (t * math.log2(math.e)).call("rint")
    r = t - n * form.ln2[0] - n * form.ln2[1]
    return (_polynomial(form.exp, r) * (r * r) + r + 1.0) * n.power_of_two()


# What is computed from an element: (what is stored, what is summed). As in gpulr.logistic, u is the
# margin towards the wrong answer, and sign = 1 − 2y.
Step = Callable[..., tuple[list[Vector], list[Vector]]]


def _activate(z: Vector, y: Vector) -> tuple[list[Vector], list[Vector]]:
    """Residual; loss and residual. One division serves 1 / (1 + e) and 1 / (2 + e)."""
    sign = y * -2.0 + 1.0
    u = z * sign
    e = _exp(-u.call("fabs"))
    inverse = 1.0 / ((e + 1.0) * (e + 2.0))
    s = e * (inverse * (e + 1.0))
    form = z.format
    square = (s + form.small) * (s + form.small)
    residual = sign * u.where(">", 0.0, 1.0, e) * (inverse * (e + 2.0))
    return [residual], [u.where("<", 0.0, 0.0, u) + _polynomial(form.artanh, square) * s, residual]


def _derivatives_along(z: Vector, d: Vector, y: Vector) -> tuple[list[Vector], list[Vector]]:
    """Nothing; first and second derivative along d, and σ'."""
    sign = y * -2.0 + 1.0
    u = z * sign
    e = _exp(-u.call("fabs"))
    inverse = 1.0 / (e + 1.0)
    residual = sign * u.where(">", 0.0, 1.0, e) * inverse
    slope = e * inverse * inverse
    return [], [residual * d, slope * d * d, slope]


def _suffix(kind: ir.VectorType) -> str:
    return f"v{kind.count}f{32 if kind.element == FLOAT else 64}"


def _declared(b: ir.IRBuilder, name: str, returns: ir.Type, takes: list[ir.Type]) -> ir.Function:
    known = b.module.globals.get(name)
    return known or ir.Function(b.module, ir.FunctionType(returns, takes), name)


@contextmanager
def _loop(b: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: ir.Value) -> Iterator[ir.Value]:
    """Write a loop over start, start + step, … below stop around what the block writes."""
    before, body, after = b.block, b.append_basic_block(), b.append_basic_block()
    b.cbranch(b.icmp_signed("<", start, stop), body, after)
    b.position_at_end(body)
    index = b.phi(INT64)
    index.add_incoming(start, before)
    yield index
    following = b.add(index, step)
    index.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, stop), body, after)
    b.position_at_end(after)


class _Writer:
    """Writes functions of arrays (n, k), contiguous and of one format.

    Each is (n, k, t, weights, by_element, terms, sums, *arrays) -> None: of three arrays read, the
    first is z, the second d, and z + t d takes the place of z. ``weights``, (n,) or (n, k) if
    ``by_element``, multiply what is added to ``sums`` (n_sums, k) float64. ``terms`` has space for
    n_sums × max(``SUB_BLOCK``, k) numbers of the format.
    """

    def __init__(self, kind: ir.Type, lanes: int) -> None:
        self.module, self.kind, self.lanes = ir.Module(), kind, lanes
        self.module.triple = llvm.get_process_triple()
        self.floats = ir.VectorType(kind, lanes)
        self.add_rows = [self._add_rows(by_element) for by_element in (False, True)]

    def _begin(self, name: str, takes: list[ir.Type]) -> ir.Function:
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), takes), name)
        for argument in function.args:
            if argument.type == ADDRESS:
                argument.add_attribute("noalias")
        self.b = ir.IRBuilder(function.append_basic_block())
        return function

    def function(self, name: str, step: Step, n_read: int, n_written: int) -> None:
        """Write a function of so many arrays that are read, and others that are written."""
        takes = [INT64, INT64, self.kind, ADDRESS, INT64, *[ADDRESS] * (2 + n_read + n_written)]
        n, k, t, weights, by_element, terms, sums, *arrays = self._begin(name, takes).args
        b, zero, one = self.b, INT64(0), INT64(1)
        fit = b.sdiv(INT64(SUB_BLOCK), k)
        fit = b.select(b.icmp_signed("<", fit, one), one, fit)
        with _loop(b, zero, n, fit) as first:
            left = b.sub(n, first)
            n_rows = b.select(b.icmp_signed("<", left, fit), left, fit)
            start, length = b.mul(first, k), b.mul(n_rows, k)

            def compute(at: ir.Value, mask: ir.Value | None) -> int:
                here = b.add(start, at)
                read = [Vector(self._load(a, here, self.floats, mask), b) for a in arrays[:n_read]]
                if n_read == 3:
                    read[0] += read[1] * Vector(self._splat(t, self.lanes), b)
                stored, summed = step(*read)
                for array, vector in zip(arrays[n_read:], stored, strict=True):
                    self._store(vector.value, array, here, mask)
                for i, vector in enumerate(summed):
                    self._store(vector.value, terms, b.add(b.mul(INT64(i), length), at), mask)
                return len(summed)

            lanes = INT64(self.lanes)
            whole = b.mul(b.sdiv(length, lanes), lanes)
            with _loop(b, zero, whole, lanes) as at:
                compute(at, None)
            with b.if_then(b.icmp_signed("<", whole, length)):
                lane = ir.Constant(ir.VectorType(INT64, self.lanes), list(range(self.lanes)))
                rest = self._splat(b.sub(length, whole), self.lanes)
                n_sums = compute(whole, b.icmp_signed("<", lane, rest))

            for i in range(n_sums):
                part = b.bitcast(self._at(terms, b.mul(INT64(i), length), self.kind), ADDRESS)
                total = b.bitcast(self._at(sums, b.mul(INT64(i), k), DOUBLE), ADDRESS)
                with b.if_else(b.icmp_signed("!=", by_element, zero)) as branches:
                    for branch, add, offset in zip(
                        branches, reversed(self.add_rows), (start, first), strict=True
                    ):
                        with branch:
                            weight = b.bitcast(self._at(weights, offset, self.kind), ADDRESS)
                            b.call(add, [part, total, n_rows, k, weight])
        b.ret_void()

    def _add_rows(self, by_element: bool) -> ir.Function:
        """Write (terms, sums, n, k, weights): add terms (n, k), weighted, to sums (k,) float64."""
        function = self._begin(
            f"add_rows_{by_element:d}", [ADDRESS, ADDRESS, INT64, INT64, ADDRESS]
        )
        function.linkage = "internal"
        function.attributes.add("noinline")
        (terms, sums, n, k, weights), b = function.args, self.b

        def add(column: ir.Value, width: int) -> None:
            """Go down some columns, with their sums in registers."""
            floats, doubles = (ir.VectorType(kind, width) for kind in (self.kind, DOUBLE))
            before, body, after = b.block, b.append_basic_block(), b.append_basic_block()
            start = self._load(sums, column, doubles)
            b.branch(body)  # there are rows
            b.position_at_end(body)
            row, total = b.phi(INT64), b.phi(doubles)
            at = b.add(b.mul(row, k), column)
            if by_element:
                weight = self._load(weights, at, floats)
            else:
                weight = self._splat(b.load(self._at(weights, row, self.kind), align=4), width)
            term = b.fmul(self._load(terms, at, floats), weight)
            term = term if floats == doubles else b.fpext(term, doubles)
            following, added = b.add(row, INT64(1)), b.fadd(total, term)
            for phi, first, next_ in ((row, INT64(0), following), (total, start, added)):
                phi.add_incoming(first, before)
                phi.add_incoming(next_, body)
            b.cbranch(b.icmp_signed("<", following, n), body, after)
            b.position_at_end(after)
            self._store(added, sums, column)

        lanes = INT64(self.lanes)
        whole = b.mul(b.sdiv(k, lanes), lanes)
        with _loop(b, INT64(0), whole, lanes) as column:
            add(column, self.lanes)
        column, width = whole, self.lanes // 2
        while width:  # the columns that are left, by the bits of their number
            bit = b.and_(k, INT64(width))
            with b.if_then(b.icmp_signed("!=", bit, INT64(0))):
                add(column, width)
            column, width = b.add(column, bit), width // 2
        b.ret_void()
        return function

    def _splat(self, value: ir.Value, lanes: int) -> ir.Value:
        """Return a vector of one value."""
        undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        one = self.b.insert_element(undefined, value, INT32(0))
        first = ir.Constant(ir.VectorType(INT32, lanes), None)
        return self.b.shuffle_vector(one, undefined, first)

    def _at(self, base: ir.Value, index: ir.Value, kind: ir.Type) -> ir.Value:
        """Return the address of an entry of an array."""
        return self.b.gep(self.b.bitcast(base, kind.as_pointer()), [index])

    def _load(
        self, base: ir.Value, at: ir.Value, kind: ir.VectorType, mask: ir.Value | None = None
    ) -> ir.Value:
        b = self.b
        address = b.bitcast(self._at(base, at, kind.element), kind.as_pointer())
        if mask is None:
            return b.load(address, align=4)
        takes = [address.type, INT32, mask.type, kind]
        masked = _declared(b, f"llvm.masked.load.{_suffix(kind)}.p0", kind, takes)
        return b.call(masked, [address, INT32(4), mask, ir.Constant(kind, None)])

    def _store(
        self, value: ir.Value, base: ir.Value, at: ir.Value, mask: ir.Value | None = None
    ) -> None:
        b, kind = self.b, value.type
        address = b.bitcast(self._at(base, at, kind.element), kind.as_pointer())
        if mask is None:
            b.store(value, address, align=4)
            return
        takes = [kind, address.type, INT32, mask.type]
        masked = _declared(b, f"llvm.masked.store.{_suffix(kind)}.p0", ir.VoidType(), takes)
        b.call(masked, [value, address, INT32(4), mask])


class MarginFunctions:
    """The compiled functions, of NumPy arrays; see :class:`gpulr.backend.Backend`."""

    def __init__(self, dtype: npt.DTypeLike = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        kind = FORMATS[self.dtype.name].kind
        lanes = compiled_loops.vector_registers()[0] // self.dtype.itemsize

        def write() -> ir.Module:
            writer = _Writer(kind, lanes)
            writer.function("activate", _activate, 2, 1)
            writer.function("derivatives_along", _derivatives_along, 3, 0)
            return writer.module

        self._engine = load(f"margins-{self.dtype.name}-{lanes}", write)
        number, address = ctypes.c_int64, ctypes.c_void_p
        real = ctypes.c_float if kind == FLOAT else ctypes.c_double
        takes: list[Any] = [number, number, real, address, number, *[address] * 5]
        self.functions = tuple(
            ctypes.CFUNCTYPE(None, *takes)(self._engine.get_function_address(name))
            for name in ("activate", "derivatives_along")
        )

    def take(self, *arrays: npt.NDArray[Any] | None) -> bool:
        """Whether these margins, targets and weights are as the functions read them."""
        dtype = self.dtype
        return all(
            a is None or (a.dtype == dtype and a.flags.c_contiguous and a.size > 0) for a in arrays
        )

    def activate(self, Z: Floats, Y: Floats, s: Floats | None) -> tuple[Floats, Sums, Sums]:
        """Return s ∘ R, valid until this thread's next call, and the sums of s ℓ and of s r."""
        R = buffer("residuals", Z.size, self.dtype).reshape(Z.shape)
        loss, db = self._sums(self.functions[0], 2, 0.0, s, Z, Y, R)
        if s is not None:
            R *= s
        return R, loss, db

    def derivatives_along(
        self, Z: Floats, D: Floats, t: float, Y: Floats, s: Floats | None
    ) -> tuple[Sums, Sums, Sums]:
        """Return the sums of first and second derivatives at Z + t D along D, and of σ'."""
        first, second, spread = self._sums(self.functions[1], 3, t, s, Z, D, Y)
        return first, second, spread

    def _sums(self, function: Any, n: int, t: float, s: Floats | None, *arrays: Floats) -> Sums:
        n_rows, k = arrays[0].shape
        ones, terms = self.space(n_rows, n, k)
        s = ones if s is None else s
        by_element, sums = s.ndim == 2 and s.shape[1] > 1, np.zeros((n, k))
        used: tuple[npt.NDArray[Any], ...] = (s, terms, sums, *arrays)
        weights, *others = (a.ctypes.data for a in used)
        function(n_rows, k, t, weights, by_element, *others)
        return sums

    def space(self, n_rows: int, n_sums: int, k: int) -> tuple[Floats, Floats]:
        """Return ones for so many rows, and space for the terms of sums."""
        ones = buffer("ones", n_rows, self.dtype)
        ones[:] = 1.0
        return ones, buffer("terms", n_sums * max(k, SUB_BLOCK), self.dtype)


def compile_functions(dtype: npt.DTypeLike = np.float32) -> MarginFunctions | None:
    """Compile them, and compare what they return with NumPy's; None where that is wrong."""
    functions = MarginFunctions(dtype)
    rtol, atol = (1e-5, 1e-7) if functions.dtype == np.float32 else (1e-12, 1e-14)
    Z = np.linspace(-90.0, 90.0, 37 * 3, dtype=dtype).reshape(37, 3)
    Y, D = (np.arange(37 * 3).reshape(37, 3) % 2).astype(dtype), Z[::-1] / 8.0
    weight = np.abs(D[:, :1])
    with np.errstate(under="ignore"):
        found: tuple[Any, ...] = (
            *functions.activate(Z, Y, D),
            *functions.derivatives_along(Z, D, 0.5, Y, weight),
        )
        R, loss = logistic.activate(Z, Y, D)
        expected: tuple[Any, ...] = (
            *(D * R, loss, *logistic.row_sums(D * R)),
            *logistic.derivatives_along(Z + 0.5 * D, D, Y, weight),
        )
    right = all(
        np.allclose(a, b, rtol=rtol, atol=atol) for a, b in zip(found, expected, strict=True)
    )
    return functions if right else None
