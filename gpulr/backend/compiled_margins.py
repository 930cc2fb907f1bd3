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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from gpulr import logistic
from gpulr.backend import compiled_loops
from gpulr.backend.buffers import address, buffer, ones
from gpulr.backend.compiled_loops import DOUBLE, FLOAT, FUSED, INT32, INT64, NAMES, Writer
from gpulr.backend.machine_code import load

Floats = npt.NDArray[Any]  # float32 or float64
Sums = npt.NDArray[np.float64]

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
    """A vector of floats in the function that is being written, with the operators of numbers."""

    value: ir.Value
    writer: Writer

    @property
    def b(self) -> ir.IRBuilder:
        """Where the next instruction goes."""
        return self.writer.b

    @property
    def format(self) -> Format:
        """The format of its numbers."""
        return SINGLE if self.value.type.element == FLOAT else WIDE

    def constant(self, x: float) -> Vector:
        """Return a vector of this length that holds x everywhere."""
        kind = self.value.type
        x = float(np.float32(x)) if kind.element == FLOAT else float(x)
        return Vector(ir.Constant(kind, [x] * kind.count), self.writer)

    def _value(self, other: Vector | float) -> ir.Value:
        return (other if isinstance(other, Vector) else self.constant(other)).value

    def __add__(self, other: Vector | float) -> Vector:
        return Vector(self.b.fadd(self.value, self._value(other), flags=FUSED), self.writer)

    def __sub__(self, other: Vector | float) -> Vector:
        return Vector(self.b.fsub(self.value, self._value(other), flags=FUSED), self.writer)

    def __mul__(self, other: Vector | float) -> Vector:
        return Vector(self.b.fmul(self.value, self._value(other), flags=FUSED), self.writer)

    def __rtruediv__(self, other: float) -> Vector:
        return Vector(self.b.fdiv(self._value(other), self.value), self.writer)

    def __neg__(self) -> Vector:
        return Vector(self.b.fneg(self.value), self.writer)

    def call(self, name: str) -> Vector:
        """Apply one of LLVM's functions, element by element."""
        kind = self.value.type
        name = f"llvm.{name}.v{kind.count}{NAMES[kind.element]}"
        return Vector(self.writer.call(name, kind, self.value), self.writer)

    def where(self, order: str, bound: float, yes: Vector | float, no: Vector | float) -> Vector:
        """Choose by how each number compares with a bound; ``no`` for a NaN."""
        flags = self.b.fcmp_ordered(order, self.value, self._value(bound))
        return Vector(self.b.select(flags, self._value(yes), self._value(no)), self.writer)

    def power_of_two(self) -> Vector:
        """Return 2ⁿ of whole numbers n for which it is normal."""
        form, count = self.format, self.value.type.count
        short, whole = (ir.VectorType(kind, count) for kind in (INT32, form.integer))
        exponent = self.b.fptosi((self + form.bias).value, short)
        if whole != short:
            exponent = self.b.sext(exponent, whole)
        bits = self.b.shl(exponent, ir.Constant(whole, [form.digits] * count))
        return Vector(self.b.bitcast(bits, self.value.type), self.writer)


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
# margin towards the wrong answer, and sign = 1 − 2y. Signed targets are in weights, too.
Step = Callable[..., tuple[list[Vector], list[Vector]]]


def _activate(z: Vector, y: Vector, signed: bool) -> tuple[list[Vector], list[Vector]]:
    """Residual; loss and residual. One division serves 1 / (1 + e) and 1 / (2 + e)."""
    sign = _sign(y, signed)
    u = z * sign
    e = _exp(-u.call("fabs"))
    inverse = 1.0 / ((e + 1.0) * (e + 2.0))
    s = e * (inverse * (e + 1.0))
    form = z.format
    square = (s + form.small) * (s + form.small)
    sign = -y if signed else sign
    residual = sign * u.where(">", 0.0, 1.0, e) * (inverse * (e + 2.0))
    loss = u.where("<", 0.0, 0.0, u) + _polynomial(form.artanh, square) * s
    return [residual], [loss * y.call("fabs") if signed else loss, residual]


def _derivatives_along(
    z: Vector, d: Vector, y: Vector, signed: bool
) -> tuple[list[Vector], list[Vector]]:
    """Nothing; first and second derivative along d, and σ'."""
    sign = _sign(y, signed)
    u = z * sign
    e = _exp(-u.call("fabs"))
    inverse = 1.0 / (e + 1.0)
    residual = (-y if signed else sign) * u.where(">", 0.0, 1.0, e) * inverse
    slope = e * inverse * inverse
    slope = slope * y.call("fabs") if signed else slope
    return [], [residual * d, slope * d * d, slope]


def _sign(y: Vector, signed: bool) -> Vector:
    return y.where(">", 0.0, -1.0, 1.0) if signed else y * -2.0 + 1.0


class _Writer(Writer):
    """Writes functions of arrays (n, k), contiguous and of one format.

    Each is (n, k, t, weights, by_element, terms, sums, *arrays) -> None: of three arrays read, the
    first is z, the second d, and z + t d takes the place of z. ``weights``, (n,) or (n, k) if
    ``by_element``, multiply what is added to ``sums`` (n_sums, k) float64. ``terms`` has space for
    n_sums × max(``SUB_BLOCK``, k) numbers of the format.
    """

    def __init__(self, kind: ir.Type, lanes: int) -> None:
        super().__init__()
        self.kind, self.lanes = kind, lanes
        self.numbers, self.totals = kind.as_pointer(), DOUBLE.as_pointer()
        self.add_rows = [self._add_rows(by_element) for by_element in (False, True)]

    def function(self, name: str, step: Step, n_read: int, n_written: int) -> None:
        """Write a function of so many arrays that are read, and others that are written."""
        arrays = [self.numbers] * (n_read + n_written)
        takes = [INT64, INT64, self.kind, self.numbers, INT64, self.numbers, self.totals, *arrays]
        n, k, t, weights, by_element, terms, sums, *arrays = self.begin(name, takes).args
        b, n_, floats = self.b, self.count, ir.VectorType(self.kind, self.lanes)
        fit = b.sdiv(n_(SUB_BLOCK), k)
        fit = b.select(b.icmp_signed("<", fit, n_(1)), n_(1), fit)
        with self.loop(n_(0), n, fit) as (first, _):
            n_rows = self.smaller(b.sub(n, first), fit)
            start, length = b.mul(first, k), b.mul(n_rows, k)

            def compute(at: ir.Value, mask: ir.Value | None) -> int:
                places = [self.at(array, start, at) for array in arrays]
                read = [Vector(self.load_first(a, floats, mask), self) for a in places[:n_read]]
                if n_read == 3:
                    read[0] += read[1] * Vector(self.everywhere(t, self.lanes), self)
                stored, summed = step(*read)
                for place, vector in zip(places[n_read:], stored, strict=True):
                    self.store_first(vector.value, place, mask)
                for i, vector in enumerate(summed):
                    place = self.at(terms, b.mul(n_(i), length), at)
                    self.store_first(vector.value, place, mask)
                return len(summed)

            whole = self.whole(length, self.lanes)
            with self.loop(n_(0), whole, self.lanes) as (at, _):
                compute(at, None)
            with b.if_then(b.icmp_signed("<", whole, length)):
                n_sums = compute(whole, self.first_lanes(b.sub(length, whole), self.lanes))

            for i in range(n_sums):
                part, total = (self.at(a, b.mul(n_(i), m)) for a, m in ((terms, length), (sums, k)))
                with b.if_else(b.icmp_signed("!=", by_element, n_(0))) as branches:
                    for branch, add, offset in zip(
                        branches, reversed(self.add_rows), (start, first), strict=True
                    ):
                        with branch:
                            b.call(add, [part, total, n_rows, k, self.at(weights, offset)])
        b.ret_void()

    def _add_rows(self, by_element: bool) -> ir.Function:
        """Write (terms, sums, n, k, weights): add terms (n, k), weighted, to sums (k,) float64."""
        takes = [self.numbers, self.totals, INT64, INT64, self.numbers]
        function = self.begin(f"add_rows_{by_element:d}", takes, internal=True)
        (terms, sums, n, k, weights), b = function.args, self.b

        def add(column: ir.Value, width: int) -> None:
            """Go down some columns, with their sums in registers."""
            floats, doubles = (ir.VectorType(kind, width) for kind in (self.kind, DOUBLE))
            place = self.at(sums, column)
            with self.loop(self.count(0), n, 1, self.load(place, doubles)) as (row, totals):
                at = b.add(b.mul(row, k), column)
                if by_element:
                    weight = self.load(self.at(weights, at), floats)
                else:
                    weight = self.everywhere(b.load(self.at(weights, row)), width)
                term = b.fmul(self.load(self.at(terms, at), floats), weight)
                term = term if floats == doubles else b.fpext(term, doubles)
                totals[0] = b.fadd(totals[0], term)
            self.store(totals[0], place)

        whole = self.whole(k, self.lanes)
        with self.loop(self.count(0), whole, self.lanes) as (column, _):
            add(column, self.lanes)
        column, width = whole, self.lanes // 2
        while width:  # the columns that are left, by the bits of their number
            bit = b.and_(k, self.count(width))
            with b.if_then(b.icmp_signed("!=", bit, self.count(0))):
                add(column, width)
            column, width = b.add(column, bit), width // 2
        b.ret_void()
        return function


class MarginFunctions:
    """The compiled functions, of NumPy arrays; see :class:`gpulr.backend.Backend`.

    They are of signed targets, or of 0 and 1.
    """

    def __init__(self, dtype: npt.DTypeLike = np.float32, *, signed: bool = False) -> None:
        self.dtype = np.dtype(dtype)
        kind = FORMATS[self.dtype.name].kind
        lanes = compiled_loops.vector_registers()[0] // self.dtype.itemsize

        def write() -> ir.Module:
            writer = _Writer(kind, lanes)
            writer.function("activate", partial(_activate, signed=signed), 2, 1)
            writer.function("derivatives_along", partial(_derivatives_along, signed=signed), 3, 0)
            return writer.module

        name = f"margins-{self.dtype.name}-{lanes}"
        self._engine = load(f"{name}-signed" if signed else name, write)
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
        one, terms = self.space(n_rows, n, k)
        s = one if s is None else s
        by_element, sums = s.ndim == 2 and s.shape[1] > 1, np.zeros((n, k))
        used: tuple[npt.NDArray[Any], ...] = (s, terms, sums, *arrays)
        weights, *others = map(address, used)
        function(n_rows, k, t, weights, by_element, *others)
        return sums

    def space(self, n_rows: int, n_sums: int, k: int) -> tuple[Floats, Floats]:
        """Return ones for so many rows, and space for the terms of sums."""
        return ones(n_rows, self.dtype), buffer("terms", n_sums * max(k, SUB_BLOCK), self.dtype)


def compile_functions(
    dtype: npt.DTypeLike = np.float32, *, signed: bool = False
) -> MarginFunctions | None:
    """Compile them, and compare what they return with NumPy's; None where that is wrong."""
    functions = MarginFunctions(dtype, signed=signed)
    rtol, atol = (1e-5, 1e-7) if functions.dtype == np.float32 else (1e-12, 1e-14)
    Z = np.linspace(-90.0, 90.0, 37 * 3, dtype=dtype).reshape(37, 3)
    Y, D = (np.arange(37 * 3).reshape(37, 3) % 2).astype(dtype), Z[::-1] / 8.0
    s, weight = D, np.abs(D[:, :1])
    given, of_rows = Y, weight
    if signed:
        given = (np.arange(37 * 3).reshape(37, 3) % 5 - 2.0).astype(dtype)
        (Y, s), (_, weight) = logistic.unsigned(given, D), logistic.unsigned(given, weight)
    with np.errstate(under="ignore"):
        found: tuple[Any, ...] = (
            *functions.activate(Z, given, D),
            *functions.derivatives_along(Z, D, 0.5, given, of_rows),
        )
        R, loss = logistic.activate(Z, Y, s)
        expected: tuple[Any, ...] = (
            *(s * R, loss, *logistic.row_sums(s * R)),
            *logistic.derivatives_along(Z + 0.5 * D, D, Y, weight),
        )
    right = all(
        np.allclose(a, b, rtol=rtol, atol=atol) for a, b in zip(found, expected, strict=True)
    )
    return functions if right else None
