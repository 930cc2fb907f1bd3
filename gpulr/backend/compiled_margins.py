"""What a pass does to margins, element by element, compiled for this CPU by LLVM.

NumPy goes through its arrays once for every operation, eleven times for residuals and losses. Here
an element is loaded once, and all that is computed from it is stored or summed. The formulas are
those of :func:`gpulr.logistic.activate` and :func:`gpulr.logistic.derivatives_along`, in float32.
Sums are taken in float64 and in the order of the rows, so that a column's bits do not depend on how
many others there are.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
from llvmlite import ir

from gpulr import logistic
from gpulr.backend.compiled_products import _vectors, engine_of

Floats = npt.NDArray[np.float32]

FLOAT, DOUBLE, INT32, INT64 = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
ADDRESS = ir.IntType(8).as_pointer()
TERMS = 4096  # elements of a sub-block, whose terms are in the first cache until they are summed

# exp(t) = 2ⁿ exp(r), r = t − n ln 2 with ln 2 in two parts, of which n times the first is exact, and
# exp(r) = 1 + r + r² p(r): the polynomial of Cephes' expf.c, right to one unit in the last place.
LN2 = (0.693359375, -2.12194440e-4)
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)
LEAST = -87.0  # e^−87 is about the smallest normal number
# log1p(e) = 2 artanh(s), s = e / (2 + e) ≤ 1/3, whose series s + s³/3 + … ends below 1e-8 here.
ARTANH = tuple(2.0 / n for n in (15, 13, 11, 9, 7, 5, 3, 1))


@dataclass(frozen=True)
class Vector:
    """A vector of floats in a function that is being written, with their operators."""

    value: ir.Value
    b: ir.IRBuilder

    def _of(self, other: Vector | float) -> ir.Value:
        if isinstance(other, Vector):
            return other.value
        kind = self.value.type
        return ir.Constant(kind, [float(np.float32(other))] * kind.count)

    def constant(self, x: float) -> Vector:
        return Vector(self._of(x), self.b)

    def __add__(self, other: Vector | float) -> Vector:
        return Vector(self.b.fadd(self.value, self._of(other), flags=("contract",)), self.b)

    def __sub__(self, other: Vector | float) -> Vector:
        return Vector(self.b.fsub(self.value, self._of(other), flags=("contract",)), self.b)

    def __mul__(self, other: Vector | float) -> Vector:
        return Vector(self.b.fmul(self.value, self._of(other), flags=("contract",)), self.b)

    def __rtruediv__(self, other: float) -> Vector:
        return Vector(self.b.fdiv(self._of(other), self.value), self.b)

    def __neg__(self) -> Vector:
        return Vector(self.b.fneg(self.value), self.b)

    def call(self, name: str) -> Vector:
        """Apply one of LLVM's functions of a vector."""
        kind = self.value.type
        function = _declared(self.b, f"llvm.{name}.{_short(kind)}", kind, [kind])
        return Vector(self.b.call(function, [self.value]), self.b)

    def where(self, order: str, bound: float, yes: Vector | float, no: Vector | float) -> Vector:
        """Choose by how each number compares with a bound; a NaN is ``no``."""
        flags = self.b.fcmp_ordered(order, self.value, self._of(bound))
        return Vector(self.b.select(flags, self._of(yes), self._of(no)), self.b)

    def power_of_two(self) -> Vector:
        """Return 2ⁿ of whole numbers −127 < n < 128."""
        ints = ir.VectorType(INT32, self.value.type.count)
        exponent = self.b.fptosi((self + 127.0).value, ints)
        bits = self.b.shl(exponent, ir.Constant(ints, [23] * ints.count))
        return Vector(self.b.bitcast(bits, self.value.type), self.b)


def _polynomial(coefficients: Sequence[float], x: Vector) -> Vector:
    first, *others = coefficients
    return reduce(lambda total, c: total * x + c, others, x.constant(first))


def _exp(t: Vector) -> Vector:
    """e^t for t ≤ 0."""
    t = t.where("<", LEAST, LEAST, t)
    n = (t * math.log2(math.e)).call("rint")
    r = t - n * LN2[0] - n * LN2[1]
    return (_polynomial(EXP, r) * (r * r) + r + 1.0) * n.power_of_two()


def _activate(z: Vector, y: Vector) -> tuple[list[Vector], list[Vector]]:
    """Residuals, to be stored, and losses, to be summed."""
    sign = y * -2.0 + 1.0
    u = z * sign
    e = _exp(-u.call("fabs"))
    inverse = 1.0 / ((e + 1.0) * (e + 2.0))
    ratio = e * (inverse * (e + 1.0))
    log1p = _polynomial(ARTANH, ratio * ratio) * ratio
    residual = sign * u.where(">", 0.0, 1.0, e) * (inverse * (e + 2.0))
    return [residual], [u.where("<", 0.0, 0.0, u) + log1p]


def _derivatives_along(z: Vector, d: Vector, y: Vector) -> tuple[list[Vector], list[Vector]]:
    """First and second derivatives along d, and σ', all to be summed."""
    sign = y * -2.0 + 1.0
    u = z * sign
    e = _exp(-u.call("fabs"))
    inverse = 1.0 / (e + 1.0)
    residual = sign * u.where(">", 0.0, 1.0, e) * inverse
    slope = e * inverse * inverse
    return [], [residual * d, slope * d * d, slope]


def _short(kind: ir.VectorType) -> str:
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


class Writer:
    """Writes functions of arrays (n, k), float32 and contiguous.

    Each is (n, k, t, weights, by_element, terms, sums, *arrays) -> None. Weights are those of the
    rows, (n,), or of the elements, and are multiplied into what is added to ``sums`` (n_sums, k)
    float64. ``terms`` is room for ``n_sums`` × max(``TERMS``, k) float32.
    """

    def __init__(self, lanes: int) -> None:
        self.module, self.lanes = ir.Module(), lanes
        self.module.triple = llvm.get_process_triple()
        self.floats, self.doubles = (ir.VectorType(kind, lanes) for kind in (FLOAT, DOUBLE))
        self.add = [self.add_rows(False), self.add_rows(True)]

    def function(self, name: str, step: Callable[..., Any], n_read: int, n_written: int) -> None:
        count = n_read + n_written
        kind = [INT64, INT64, FLOAT, ADDRESS, INT64, ADDRESS, ADDRESS, *[ADDRESS] * count]
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), kind), name)
        for argument in function.args:
            if argument.type == ADDRESS:
                argument.add_attribute("noalias")
        self.b = b = ir.IRBuilder(function.append_basic_block())
        n, k, t, weights, by_element, terms, sums, *arrays = function.args
        rows = b.sdiv(INT64(TERMS), k)
        rows = b.select(b.icmp_signed("<", rows, INT64(1)), INT64(1), rows)
        with _loop(b, INT64(0), n, rows) as first:
            left = b.sub(n, first)
            height = b.select(b.icmp_signed("<", left, rows), left, rows)
            length, start = b.mul(height, k), b.mul(first, k)

            def compute(at: ir.Value, mask: ir.Value | None) -> None:
                here = b.add(start, at)
                read = [Vector(self.load(a, here, self.floats, mask), b) for a in arrays[:n_read]]
                if n_read == 3:  # z, d, y: the margins are z + t d
                    read[0] = read[0] + read[1] * Vector(self.splat(t, self.lanes), b)
                written, summed = step(*read)
                for array, vector in zip(arrays[n_read:], written, strict=True):
                    self.store(vector.value, array, here, mask)
                for i, vector in enumerate(summed):
                    self.store(vector.value, terms, b.add(b.mul(INT64(i), length), at), mask)
                self.n_sums = len(summed)

            self.vectors(length, compute)
            for i in range(self.n_sums):
                part = self.at(terms, b.mul(INT64(i), length), FLOAT)
                total = self.at(sums, b.mul(INT64(i), k), DOUBLE)
                with b.if_else(b.icmp_signed("!=", by_element, INT64(0))) as (yes, no):
                    with yes:
                        b.call(
                            self.add[1], [part, total, height, k, self.at(weights, start, FLOAT)]
                        )
                    with no:
                        b.call(
                            self.add[0], [part, total, height, k, self.at(weights, first, FLOAT)]
                        )
        b.ret_void()

    def add_rows(self, by_element: bool) -> ir.Function:
        kind = ir.FunctionType(
            ir.VoidType(),
            [FLOAT.as_pointer(), DOUBLE.as_pointer(), INT64, INT64, FLOAT.as_pointer()],
        )
        function = ir.Function(self.module, kind, f"add_rows_{by_element:d}")
        function.linkage = "internal"
        function.attributes.add("noinline")
        self.b = b = ir.IRBuilder(function.append_basic_block())
        terms, sums, n, k, weights = function.args

        def columns(column: ir.Value, width: int) -> None:
            floats, doubles = (ir.VectorType(kind, width) for kind in (FLOAT, DOUBLE))
            start, before = self.load(sums, column, doubles), b.block
            body, after = b.append_basic_block(), b.append_basic_block()
            b.branch(body)
            b.position_at_end(body)
            row, total = b.phi(INT64), b.phi(doubles)
            at = b.add(b.mul(row, k), column)
            if by_element:
                weight = self.load(weights, at, floats)
            else:
                weight = self.splat(b.load(self.at(weights, row, FLOAT), align=4), width)
            term = b.fpext(b.fmul(self.load(terms, at, floats), weight), doubles)
            sum_, following = b.fadd(total, term), b.add(row, INT64(1))
            for phi, a, z in ((row, INT64(0), following), (total, start, sum_)):
                phi.add_incoming(a, before)
                phi.add_incoming(z, body)
            b.cbranch(b.icmp_signed("<", following, n), body, after)
            b.position_at_end(after)
            self.store(sum_, sums, column)

        whole = b.mul(b.sdiv(k, INT64(self.lanes)), INT64(self.lanes))
        with _loop(b, INT64(0), whole, INT64(self.lanes)) as column:
            columns(column, self.lanes)
        width, column = self.lanes // 2, whole
        while width:
            fits = b.icmp_signed("!=", b.and_(k, INT64(width)), INT64(0))
            with b.if_then(fits):
                columns(column, width)
            column = b.add(column, b.and_(k, INT64(width)))
            width //= 2
        b.ret_void()
        return function

    def vectors(self, length: ir.Value, write: Callable[[ir.Value, ir.Value | None], None]) -> None:
        """Write what goes through so many numbers: whole vectors, and a masked one for the rest."""
        b, lanes = self.b, INT64(self.lanes)
        whole = b.mul(b.sdiv(length, lanes), lanes)
        with _loop(b, INT64(0), whole, lanes) as at:
            write(at, None)
        with b.if_then(b.icmp_signed("<", whole, length)):
            lane = ir.Constant(ir.VectorType(INT64, self.lanes), list(range(self.lanes)))
            write(whole, b.icmp_signed("<", lane, self.splat(b.sub(length, whole), self.lanes)))

    def splat(self, value: ir.Value, lanes: int) -> ir.Value:
        """Return a vector of one value."""
        undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        one = self.b.insert_element(undefined, value, INT32(0))
        first = ir.Constant(ir.VectorType(INT32, lanes), None)
        return self.b.shuffle_vector(one, undefined, first)

    def at(self, base: ir.Value, index: ir.Value, kind: ir.Type) -> ir.Value:
        return self.b.gep(self.b.bitcast(base, kind.as_pointer()), [index])

    def _address(self, base: ir.Value, at: ir.Value, kind: ir.VectorType) -> ir.Value:
        return self.b.bitcast(self.at(base, at, kind.element), kind.as_pointer())

    def load(self, base: ir.Value, at: ir.Value, kind: ir.VectorType, mask: Any = None) -> ir.Value:
        address, b = self._address(base, at, kind), self.b
        if mask is None:
            return b.load(address, align=4)
        takes = [address.type, INT32, mask.type, kind]
        masked = _declared(b, f"llvm.masked.load.{_short(kind)}.p0", kind, takes)
        return b.call(masked, [address, INT32(4), mask, ir.Constant(kind, None)])

    def store(self, value: ir.Value, base: ir.Value, at: ir.Value, mask: Any = None) -> None:
        address, b = self._address(base, at, value.type), self.b
        if mask is None:
            b.store(value, address, align=4)
            return
        takes = [value.type, address.type, INT32, mask.type]
        masked = _declared(b, f"llvm.masked.store.{_short(value.type)}.p0", ir.VoidType(), takes)
        b.call(masked, [value, address, INT32(4), mask])


class MarginFunctions:
    """The compiled functions, of NumPy arrays; see :class:`gpulr.backend.Backend`."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine  # owns the machine code
        number, pointer = ctypes.c_int64, ctypes.c_void_p

        def function(name: str) -> Any:
            kind = [number, number, ctypes.c_float, pointer, number, *[pointer] * 5]
            return ctypes.CFUNCTYPE(None, *kind)(engine.get_function_address(name))

        self._activate, self._derivatives = function("activate"), function("derivatives_along")
        self._scratch = threading.local()

    @staticmethod
    def take(*arrays: npt.NDArray[Any] | None) -> bool:
        """Whether these margins, targets and weights are as the functions read them."""
        return all(a is None or (a.dtype == np.float32 and a.flags.c_contiguous) for a in arrays)

    def activate(self, Z: Floats, Y: Floats, s: Floats | None) -> tuple[Floats, Any]:
        n, k = Z.shape
        R = self._room("residuals", n * k)[: n * k].reshape(n, k)
        (loss,) = self._call(self._activate, 1, 0.0, s, Z, Y, R)
        return R, loss

    def derivatives_along(
        self, Z: Floats, D: Floats, t: float, Y: Floats, s: Floats | None
    ) -> tuple[Any, Any, Any]:
        first, second, spread = self._call(self._derivatives, 3, t, s, Z, D, Y)
        return first, second, spread

    def _call(self, function: Any, n_sums: int, t: float, s: Floats | None, *arrays: Floats) -> Any:
        n, k = arrays[0].shape
        if s is None:
            s = self._room("ones", n)
            s[:n] = 1.0
        by_element, sums = s.shape[1:] not in ((), (1,)), np.zeros((n_sums, k))
        terms = self._room("terms", n_sums * max(k, TERMS))
        pointers = (a.ctypes.data for a in arrays)
        function(n, k, t, s.ctypes.data, by_element, terms.ctypes.data, sums.ctypes.data, *pointers)
        return sums

    def _room(self, name: str, size: int) -> Floats:
        """Return this thread's array of that name: fresh memory takes as long as the arithmetic."""
        array = getattr(self._scratch, name, None)
        if array is None or array.size < size:
            array = np.empty(size, np.float32)
            setattr(self._scratch, name, array)
        return array


def compile_functions() -> MarginFunctions | None:
    """Compile them, and compare what they return with NumPy's; None where that is wrong."""
    writer = Writer(_vectors()[0] // 4)
    writer.function("activate", _activate, 2, 1)
    writer.function("derivatives_along", _derivatives_along, 3, 0)
    functions = MarginFunctions(engine_of(writer.module))
    Z = np.linspace(-95.0, 95.0, 37 * 3, dtype=np.float32).reshape(37, 3)
    Y, D = (np.arange(37 * 3).reshape(37, 3) % 2).astype(np.float32), Z[::-1].copy() / 8.0
    with np.errstate(under="ignore"):
        pairs = [
            *zip(functions.activate(Z, Y, D), logistic.activate(Z, Y, D), strict=True),
            *zip(
                functions.derivatives_along(Z, D, 0.5, Y, D[:, :1].copy()),
                logistic.derivatives_along(Z + 0.5 * D, D, Y, D[:, :1]),
                strict=True,
            ),
        ]
    right = all(np.allclose(*pair, rtol=1e-4, atol=1e-6) for pair in pairs)
    return functions if right else None
