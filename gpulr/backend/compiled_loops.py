"""What compiled functions are written with: loops, addresses, vectors in LLVM's language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import llvmlite.binding as llvm
from llvmlite import ir

INT1, INT8, INT16, INT32, INT64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
HALF, FLOAT, DOUBLE = ir.HalfType(), ir.FloatType(), ir.DoubleType()
PANEL = 4  # vectors of columns that are kept in registers
FUSED = ("contract",)  # a × b + c may be rounded once
NAMES = {FLOAT: "f32", DOUBLE: "f64", INT8: "i8", INT16: "i16", INT32: "i32"}


@cache
def vector_registers() -> tuple[int, int]:
    """Return this CPU's width of a vector in bytes, and how many registers it has for them."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if "neon" in features:
        return 16, 32
    return (32 if features.get("avx") else 16), 16


class Writer:
    """Writes functions into an LLVM module; ``b`` is where the next instruction goes."""

    def __init__(self) -> None:
        self.module = ir.Module()
        self.module.triple = llvm.get_process_triple()
        self.b: ir.IRBuilder

    def begin(self, name: str, takes: Sequence[ir.Type], *, internal: bool = False) -> ir.Function:
        """Begin a function that returns nothing, whose pointers lead to separate memory."""
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), takes), name)
        for argument in function.args:
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        if internal:
            function.linkage = "internal"
            function.attributes.add("noinline")
        self.b = ir.IRBuilder(function.append_basic_block())
        return function

    def call(self, name: str, returns: ir.Type, *values: ir.Value) -> ir.Value:
        """Call one of LLVM's own functions."""
        takes = [value.type for value in values]
        function = self.module.globals.get(name)
        function = function or ir.Function(self.module, ir.FunctionType(returns, takes), name)
        return self.b.call(function, values)

    def count(self, value: int) -> ir.Constant:
        return ir.Constant(INT64, value)

    def smaller(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.select(self.b.icmp_signed("<", a, b), a, b)

    def whole(self, n: ir.Value, size: int) -> ir.Value:
        """Return the largest multiple of ``size`` up to n."""
        return self.b.mul(self.b.sdiv(n, self.count(size)), self.count(size))

    def at(self, pointer: ir.Value, *terms: ir.Value | int) -> ir.Value:
        """Return the address of an entry whose index is the sum of the terms."""
        for term in terms:
            index = self.count(term) if isinstance(term, int) else term
            pointer = self.b.gep(pointer, [index])
        return pointer

    @contextmanager
    def loop(
        self, start: ir.Value, stop: ir.Value, step: ir.Value | int, *values: ir.Value
    ) -> Iterator[tuple[ir.Value, list[ir.Value]]]:
        """Write a loop over start, start + step, … below stop around what the block writes.

        Yields the index, and a list of what the loop carries: ``values`` at first. The block puts
        there what it makes of them, and finds there, after the loop, what they have become.
        """
        b, before = self.b, self.b.block
        body, after = b.append_basic_block(), b.append_basic_block()
        b.cbranch(b.icmp_signed("<", start, stop), body, after)
        b.position_at_end(body)
        index, phis = b.phi(INT64), [b.phi(value.type) for value in values]
        carried = list(phis)
        yield index, carried
        step = self.count(step) if isinstance(step, int) else step
        following, last = b.add(index, step), b.block
        b.cbranch(b.icmp_signed("<", following, stop), body, after)
        b.position_at_end(after)
        ends = [b.phi(value.type) for value in values]
        for phi, first, new in (
            (index, start, following),
            *zip(phis, values, carried, strict=True),
            *zip(ends, values, carried, strict=True),
        ):
            phi.add_incoming(first, before)
            phi.add_incoming(new, last)
        carried[:] = ends

    def panels(self, k: ir.Value, lanes: int) -> Iterator[tuple[ir.Value, list[ir.Value | None]]]:
        """Write what the caller writes for ``PANEL`` vectors of k columns at a time, and the rest.

        Yields the first column, and for each vector None, or the mask of the lanes that there are.
        What is left goes into one panel: each goes through all rows anew.
        """
        b, size = self.b, PANEL * lanes
        whole = self.whole(k, size)
        with self.loop(self.count(0), whole, size) as (column, _):
            yield column, [None] * PANEL
        left = b.sub(k, whole)
        for vectors in range(1, PANEL + 1):
            before = self.count((vectors - 1) * lanes)
            some = b.icmp_signed(">", left, before)
            fit = b.icmp_signed("<=", left, self.count(vectors * lanes))
            with b.if_then(b.and_(some, fit)):
                masks: list[ir.Value | None] = [None] * (vectors - 1)
                yield whole, [*masks, self.first_lanes(b.sub(left, before), lanes)]

    def load(self, pointer: ir.Value, kind: ir.Type, align: int = 1) -> ir.Value:
        return self.b.load(self.b.bitcast(pointer, kind.as_pointer()), align=align)

    def store(self, value: ir.Value, pointer: ir.Value, align: int = 1) -> None:
        self.b.store(value, self.b.bitcast(pointer, value.type.as_pointer()), align=align)

    def load_first(self, pointer: ir.Value, kind: ir.VectorType, mask: ir.Value | None) -> ir.Value:
        """Load a vector of which only the lanes of a mask, if any, are in memory, the others 0."""
        if mask is None:
            return self.load(pointer, kind)
        name = f"llvm.masked.load.v{kind.count}{NAMES[kind.element]}.p0"
        address = self.b.bitcast(pointer, kind.as_pointer())
        return self.call(name, kind, address, INT32(1), mask, ir.Constant(kind, None))

    def store_first(self, value: ir.Value, pointer: ir.Value, mask: ir.Value | None) -> None:
        """Store the lanes of a mask, or all."""
        if mask is None:
            self.store(value, pointer)
            return
        kind = value.type
        name = f"llvm.masked.store.v{kind.count}{NAMES[kind.element]}.p0"
        address = self.b.bitcast(pointer, kind.as_pointer())
        self.call(name, ir.VoidType(), value, address, INT32(1), mask)

    def first_lanes(self, n: ir.Value, lanes: int) -> ir.Value:
        """Return the mask of the first n lanes (all of them, where n is more)."""
        number = ir.Constant(ir.VectorType(INT64, lanes), list(range(lanes)))
        return self.b.icmp_signed("<", number, self.everywhere(n, lanes))

    def everywhere(self, value: ir.Value, lanes: int) -> ir.Value:
        """Return a vector of one value."""
        undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        one = self.b.insert_element(undefined, value, INT32(0))
        return self.shuffle(one, undefined, [0] * lanes)

    def shuffle(self, a: ir.Value, b: ir.Value, order: Sequence[int]) -> ir.Value:
        """Return lanes of two vectors, those of b numbered after those of a."""
        kind = ir.VectorType(INT32, len(order))
        return self.b.shuffle_vector(a, b, ir.Constant(kind, list(order)))

    def ahead(self, pointer: ir.Value) -> None:
        """Prefetch for reading, into the second-level cache."""
        address = self.b.bitcast(pointer, INT8.as_pointer())
        self.call("llvm.prefetch.p0", ir.VoidType(), address, INT32(0), INT32(2), INT32(1))
