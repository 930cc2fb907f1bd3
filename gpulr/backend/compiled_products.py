"""Products of many rows with few columns, X W and Rᵀ X, compiled for this CPU by LLVM.

BLAS is made for square products. With ten columns it repacks operands for longer than it
multiplies, and it takes floats only, so that bytes have to be converted first. These two loops read
X where it is and as it is, once each, and keep their accumulators in registers.

The floor, for 56,000×784 bytes and ten float32 columns: 0.88 GFLOP each way, 8.2 ms on one core at
107 GFLOP/s, against 44 MB of rows, 2.5 ms at 18 GB/s. So the arithmetic is what counts:

* Both loops run along the features, ``lanes`` at a time: every lane does useful work for any number
  of columns. A vector of x is converted once and serves all columns of a group.
* X W: accumulators of ``depth`` rows × ``columns``; each vector of W serves all rows of the tile.
  The lanes are added up at the end of a row.
* Rᵀ X: accumulators of ``depth`` vectors × ``columns`` stay in registers while the rows of a
  sub-block, some 200, go by; each entry of R is broadcast once for all chunks. Sums of sub-blocks
  are added up afterwards, which rounds less than one long sum.
* Rows are prefetched into the second-level cache. Without, floats take twice as long.

What does not fit a tile overlaps its neighbour instead of needing code of its own: the last columns
and rows are computed twice, to the same bits, and the last features are masked.

The functions that :func:`compile_products` returns take addresses and check nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir

from gpulr.backend.machine_code import load

MOST_COLUMNS = {32: 10, 16: 6}  # of a tile, by the number of vector registers
SUB_BLOCK_BYTES = 192 * 1024  # of rows: this sub-block and the next one fit in 1 MiB of cache
ROWS_AHEAD = 4  # how far X W prefetches

INT8, INT32, INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
STORAGE: dict[str, ir.Type] = {  # what rows may be stored as, by NumPy's name
    "bool": INT8,
    "uint8": INT8,
    "int8": INT8,
    "float32": ir.FloatType(),
    "float64": ir.DoubleType(),
}
FUSED = ("contract",)  # a × b + c may be rounded once


@dataclass(frozen=True, slots=True)
class Tile:
    """How many accumulators of how many lanes are kept in registers."""

    lanes: int  # numbers in a vector
    columns: int  # of W, or of R
    depth: int  # rows in a tile of X W; vectors of features in a tile of Rᵀ X

    @classmethod
    def of(cls, n_columns: int, itemsize: int) -> Tile:
        """Return the tile for products with so many columns of numbers of so many bytes."""
        width, registers = _vectors()
        groups = -(-n_columns // MOST_COLUMNS[registers])
        columns = -(-n_columns // groups)
        # rows × columns accumulators, a vector of x for each row, one of w, and one to spare.
        return cls(width // itemsize, columns, min(8, (registers - 1) // (columns + 1)))


@cache
def _vectors() -> tuple[int, int]:
    """Return this CPU's width of a vector in bytes, and how many registers it has for them."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if "neon" in features:
        return 16, 32
    return (32 if features.get("avx") else 16), 16


class Products(NamedTuple):
    """The compiled functions, and the tile they were compiled for.

    Both take (X, n_rows, stride, n_features, n_columns, WT, ld, Z), or DT and R for WT and Z. Rows
    of X are ``stride`` entries apart, those of WT and DT (n_columns, ≥ n_features) ``ld`` entries;
    Z and R (n_rows, n_columns) are contiguous.
    """

    tile: Tile
    margins: Callable[..., None]  # Z = X W
    gradient: Callable[..., None]  # DT += Rᵀ X
    engine: Any  # owns the machine code


class _Writer:
    """Writes the two functions into an LLVM module."""

    def __init__(self, tile: Tile, storage: str, compute: str) -> None:
        self.tile = tile
        self.storage, self.signed = STORAGE[storage], storage == "int8"
        self.number = STORAGE[compute]
        self.vector = ir.VectorType(self.number, tile.lanes)
        self.zero = ir.Constant(self.vector, None)
        self.module = ir.Module()
        self.module.triple = llvm.get_process_triple()
        name = f"v{tile.lanes}f{8 * self._bytes(self.number)}"
        self.add_lanes = ir.Function(
            self.module,
            ir.FunctionType(self.number, [self.number, self.vector]),
            f"llvm.vector.reduce.fadd.{name}",
        )
        self.prefetch = ir.Function(
            self.module,
            ir.FunctionType(ir.VoidType(), [INT8.as_pointer(), INT32, INT32, INT32]),
            "llvm.prefetch.p0",
        )

    @staticmethod
    def _bytes(type_: ir.Type) -> int:
        return {INT8: 1, ir.FloatType(): 4, ir.DoubleType(): 8}[type_]

    def function(self, name: str) -> tuple[ir.Value, ...]:
        """Begin a function and return its arguments."""
        rows, numbers = self.storage.as_pointer(), self.number.as_pointer()
        arguments = [rows, *[INT64] * 4, numbers, INT64, numbers]
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), arguments), name)
        for i in (0, 5, 7):
            function.args[i].add_attribute("noalias")
        self.b = ir.IRBuilder(function.append_basic_block())
        return tuple(function.args)

    def count(self, value: int) -> ir.Constant:
        return ir.Constant(INT64, value)

    def smaller(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.select(self.b.icmp_signed("<", a, b), a, b)

    def at(self, pointer: ir.Value, *terms: ir.Value) -> ir.Value:
        """Return the address of an entry whose index is the sum of the terms."""
        for term in terms:
            pointer = self.b.gep(pointer, [term])
        return pointer

    @contextmanager
    def loop(
        self, start: ir.Value, stop: ir.Value, step: int, *values: ir.Value
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
        following, last = b.add(index, self.count(step)), b.block
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

    @contextmanager
    def groups(
        self, n_rows: ir.Value, stride: ir.Value, k: ir.Value
    ) -> Iterator[tuple[ir.Value, ...]]:
        """Write loops over sub-blocks of rows, and groups of columns within.

        Yields where the rows begin and end, the first column of the group, and the first of its
        columns that is new: the last group may begin with columns of the one before.
        """
        b, n_ = self.b, self.count
        most = b.sdiv(n_(SUB_BLOCK_BYTES // self._bytes(self.storage)), stride)
        length = b.mul(b.sdiv(most, n_(8)), n_(8))
        length = b.select(b.icmp_signed("<", length, n_(8)), n_(8), length)
        n_blocks = b.sdiv(b.sub(b.add(n_rows, length), n_(1)), length)
        last = b.sub(k, n_(self.tile.columns))
        with self.loop(n_(0), n_blocks, 1) as (block, _):
            start = b.mul(block, length)
            end = self.smaller(b.add(start, length), n_rows)
            with self.loop(n_(0), k, self.tile.columns) as (new, _):
                yield start, end, self.smaller(new, last), new

    def load(self, pointer: ir.Value) -> ir.Value:
        """Return a vector of numbers."""
        return self.b.load(self.b.bitcast(pointer, self.vector.as_pointer()), align=1)

    def load_rows(self, pointer: ir.Value) -> ir.Value:
        """Return a vector of a row's entries, converted."""
        b, lanes = self.b, self.tile.lanes
        stored = ir.VectorType(self.storage, lanes)
        x = b.load(b.bitcast(pointer, stored.as_pointer()), align=1)
        if self.storage is INT8:
            wide = ir.VectorType(INT32, lanes)
            x = b.sext(x, wide) if self.signed else b.zext(x, wide)
            return b.sitofp(x, self.vector)
        if self.storage == self.number:
            return x
        narrow = self._bytes(self.storage) < self._bytes(self.number)
        return b.fpext(x, self.vector) if narrow else b.fptrunc(x, self.vector)

    def everywhere(self, value: ir.Value) -> ir.Value:
        """Return a vector of one value."""
        undefined = ir.Constant(ir.VectorType(value.type, self.tile.lanes), ir.Undefined)
        one = self.b.insert_element(undefined, value, ir.Constant(INT32, 0))
        first = ir.Constant(ir.VectorType(INT32, self.tile.lanes), None)
        return self.b.shuffle_vector(one, undefined, first)

    def last_chunk(self, n: ir.Value, first: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Return where the chunk of feature ``first`` is read, and which lanes are not before."""
        start = self.smaller(first, self.b.sub(n, self.count(self.tile.lanes)))
        lane = ir.VectorType(INT64, self.tile.lanes)
        skipped = self.everywhere(self.b.sub(first, start))
        number = ir.Constant(lane, list(range(self.tile.lanes)))
        return start, self.b.icmp_signed(">=", number, skipped)

    def add_products(
        self, sums: list[ir.Value], xs: list[ir.Value], ys: Iterable[ir.Value]
    ) -> None:
        """Add each x × y to its sum, in place."""
        for c, y in enumerate(ys):
            for i, x in enumerate(xs):
                at = i * self.tile.columns + c
                sums[at] = self.b.fadd(sums[at], self.b.fmul(x, y, flags=FUSED), flags=FUSED)

    def ahead(self, pointer: ir.Value) -> None:
        """Prefetch for reading, into the second-level cache."""
        address = self.b.bitcast(pointer, INT8.as_pointer())
        self.b.call(self.prefetch, [address, *(ir.Constant(INT32, v) for v in (0, 2, 1))])

    def margins(self) -> None:
        """Write Z = X W."""
        tile, (X, n_rows, stride, n, k, WT, ld, Z) = self.tile, self.function("margins")
        b, n_ = self.b, self.count
        whole = b.mul(b.sdiv(n, n_(tile.lanes)), n_(tile.lanes))
        last_rows = b.sub(n_rows, n_(tile.depth))
        soon = b.mul(stride, n_(ROWS_AHEAD))

        with self.groups(n_rows, stride, k) as (start, end, column, _):
            W = self.at(WT, b.mul(column, ld))

            def weights(f: ir.Value) -> Iterator[ir.Value]:
                for c in range(tile.columns):
                    yield self.load(self.at(W, f, b.mul(n_(c), ld)))

            with self.loop(start, end, tile.depth) as (row, _):
                row = self.smaller(row, last_rows)
                xs = [self.at(X, b.mul(b.add(row, n_(r)), stride)) for r in range(tile.depth)]
                zeros = [self.zero] * (tile.depth * tile.columns)
                with self.loop(n_(0), whole, tile.lanes, *zeros) as (f, sums):
                    for x in xs:
                        self.ahead(self.at(x, f, soon))
                    self.add_products(sums, [self.load_rows(self.at(x, f)) for x in xs], weights(f))
                with self.loop(whole, n, tile.lanes, *sums) as (f, sums):
                    f, new = self.last_chunk(n, f)
                    loaded = [self.load_rows(self.at(x, f)) for x in xs]
                    loaded = [b.select(new, x, self.zero) for x in loaded]
                    self.add_products(sums, loaded, weights(f))
                for i, lanes in enumerate(sums):
                    r, c = divmod(i, tile.columns)
                    z = self.at(Z, b.mul(b.add(row, n_(r)), k), column, n_(c))
                    zero = ir.Constant(self.number, 0.0)
                    total = b.call(self.add_lanes, [zero, lanes], fastmath=("reassoc",))
                    b.store(total, z, align=1)
        b.ret_void()

    def gradient(self) -> None:
        """Write DT += Rᵀ X."""
        tile, (X, n_rows, stride, n, k, DT, ld, R) = self.tile, self.function("gradient")
        b, n_ = self.b, self.count
        wide = tile.depth * tile.lanes
        tiled = b.mul(b.sdiv(n, n_(wide)), n_(wide))
        line = 64 // self._bytes(self.storage)

        with self.groups(n_rows, stride, k) as (start, end, column, new_columns):
            length = b.sub(end, start)
            here = self.at(X, b.mul(start, stride))
            following = self.at(here, b.mul(length, stride))
            D = self.at(DT, b.mul(column, ld))
            residuals = self.at(R, b.mul(start, k), column)

            def add_rows(places: list[ir.Value], new: ir.Value | None = None) -> None:
                """Add the sub-block's products for these chunks, or their new lanes, to DT."""
                zeros = [self.zero] * (len(places) * tile.columns)
                with self.loop(n_(0), length, 1, *zeros) as (row, sums):
                    x = self.at(here, b.mul(row, stride))
                    if new is None:  # a share of the next sub-block, as long as this one
                        done = b.add(b.mul(length, places[0]), b.mul(row, n_(wide)))
                        for j in range(0, wide, line):
                            self.ahead(self.at(following, done, n_(j)))
                    xs = [self.load_rows(self.at(x, f)) for f in places]
                    r = self.at(residuals, b.mul(row, k))
                    rs = [b.load(self.at(r, n_(c)), align=1) for c in range(tile.columns)]
                    self.add_products(sums, xs, [self.everywhere(residual) for residual in rs])
                for i, total in enumerate(sums):
                    j, c = divmod(i, tile.columns)
                    at = self.at(D, b.mul(n_(c), ld), places[j])
                    again = b.icmp_signed("<", b.add(column, n_(c)), new_columns)
                    total = b.select(again, self.zero, total)
                    if new is not None:
                        total = b.select(new, total, self.zero)
                    total = b.fadd(self.load(at), total)
                    b.store(total, b.bitcast(at, self.vector.as_pointer()), align=1)

            with self.loop(n_(0), tiled, wide) as (f, _):
                add_rows([b.add(f, n_(j * tile.lanes)) for j in range(tile.depth)])
            with self.loop(tiled, n, tile.lanes) as (f, _):
                f, new = self.last_chunk(n, f)
                add_rows([f], new)
        b.ret_void()


def compile_products(n_columns: int, storage: str, compute: str) -> Products:
    """Compile both products for rows stored as ``storage`` and computed in ``compute``.

    The functions serve any number of columns, this one without waste.
    """
    tile = Tile.of(n_columns, 4 if compute == "float32" else 8)

    def write() -> ir.Module:
        writer = _Writer(tile, storage, compute)
        writer.margins()
        writer.gradient()
        return writer.module

    shape = f"{tile.lanes}x{tile.columns}x{tile.depth}"
    engine = load(f"products-{storage}-{compute}-{shape}", write)
    address, size = ctypes.c_void_p, ctypes.c_int64
    kind = ctypes.CFUNCTYPE(None, address, size, size, size, size, address, size, address)
    return Products(
        tile,
        kind(engine.get_function_address("margins")),
        kind(engine.get_function_address("gradient")),
        engine,
    )
