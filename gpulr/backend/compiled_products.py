"""Products of many rows with few columns, X W and Rᵀ X, compiled for this CPU by LLVM.

BLAS is made for square products. With ten columns it repacks operands for longer than it
multiplies, and it takes floats only, so that bytes have to be converted first. These two loops read
X where it is and as it is, once each, and keep their accumulators in registers.

The floor, for 56,000×784 bytes and ten float32 columns: 0.88 GFLOP each way, 8.2 ms on one core at
107 GFLOP/s, against 44 MB of rows, 2.5 ms at 18 GB/s. So the arithmetic is what counts:

* Both loops run along the features, ``lanes`` at a time: every lane does useful work for any number
  of columns. A vector of x is converted once and serves all columns of a group.
* X W: accumulators of ``depth`` rows × ``columns``; each vector of W serves all rows of the tile.
  The lanes are added up at the end of a row, those of all columns together.
* Rᵀ X: accumulators of ``depth`` vectors × ``columns`` stay in registers while the rows of a
  sub-block, some 200, go by; each entry of R is broadcast once for all chunks. Sums of sub-blocks
  are added up afterwards, which rounds less than one long sum.
* Rows are prefetched into the second-level cache. Without, floats take twice as long.
* Rows of more than ``WIDE`` features are multiplied panel by panel. Of whole rows of 4,096 floats
  eight would be a sub-block, and ten columns of W would leave the first-level cache.
* Where such a panel serves three groups of columns or more, each sub-block of it is copied first,
  converted: rows at distances of 16 KB displace each other in the caches. On 4,096×200 columns both
  are twice as fast for it; with one or two groups the copy would take longer than it saves.
* Numbers of 16 bits are converted for each group anew: copies that are converted once for all take
  a tenth longer, with 30 columns as with 100. They are as fast as loads of wider ones.

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
from itertools import zip_longest
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir

from gpulr.backend import compiled_loops
from gpulr.backend.buffers import SUB_BLOCK_BYTES
from gpulr.backend.compiled_loops import (
    DOUBLE,
    FLOAT,
    FUSED,
    HALF,
    INT8,
    INT16,
    INT32,
    INT64,
    Writer,
)
from gpulr.backend.machine_code import load

WIDE = 1024  # features; more are cut into panels
PANEL, PANEL_BYTES = 768, 128 * 1024  # features of a panel, about, and bytes of a sub-block of it
COPIED = PANEL_BYTES // 4 * 9 // 8  # numbers, with the margins
MARGIN = 16  # numbers between copied rows: the lanes of the longest vector
MOST_COLUMNS = {32: 10, 16: 6}  # of a tile, by the number of vector registers

STORAGE: dict[str, ir.Type] = {  # what rows may be stored as, by NumPy's name
    "bool": INT8,
    "uint8": INT8,
    "int8": INT8,
    "float16": HALF,
    "bfloat16": INT16,  # ml_dtypes's: the upper half of a float32
    "float32": FLOAT,
    "float64": DOUBLE,
}
HALVES = frozenset(("float16", "bfloat16"))
BYTES = {INT8: 1, HALF: 2, INT16: 2, FLOAT: 4, DOUBLE: 8}


def panel(n_features: int) -> int:
    """Return how many features the panels of wide rows have, all but the last one."""
    each = -(-n_features // -(-n_features // PANEL))
    return -(-each // 128) * 128


@dataclass(frozen=True, slots=True)
class Tile:
    """How many accumulators of how many lanes are kept in registers."""

    lanes: int  # numbers in a vector
    columns: int  # of W, or of R
    depth: int  # rows in a tile of X W; vectors of features in a tile of Rᵀ X

    @classmethod
    def of(cls, n_columns: int, itemsize: int) -> Tile:
        """Return the tile for products with so many columns of numbers of so many bytes."""
        width, registers = compiled_loops.vector_registers()
        groups = -(-n_columns // most_columns())
        columns = -(-n_columns // groups)
        # rows × columns accumulators, a vector of x for each row, one of w, and one to spare.
        return cls(width // itemsize, columns, min(8, (registers - 1) // (columns + 1)))


def most_columns() -> int:
    """Return how many columns a tile has at most; more are multiplied in groups."""
    return MOST_COLUMNS[compiled_loops.vector_registers()[1]]


def counted_as(storage: str, compute: str) -> str:
    """Return as what numbers of rows are counted where these are cut into sub-blocks.

    Those of 16 bits as what they are converted to: sums have the bits of wider rows' then.
    """
    return compute if storage in HALVES else storage


@cache
def storage_types() -> frozenset[str]:
    """Return what rows may be stored as on this CPU, by NumPy's names."""
    features = llvm.get_host_cpu_features()
    converts = features.get("f16c") or "neon" in features
    return frozenset(STORAGE) if converts else frozenset(STORAGE) - {"float16"}


class Products(NamedTuple):
    """The compiled functions, and the tile they were compiled for.

    Both take (X, n_rows, stride, n_features, n_columns, WT, ld, Z, b, even, odd), or DT and R for
    WT and Z, and nothing after. Rows of X are ``stride`` entries apart, those of WT and DT
    (n_columns, ≥ n_features) ``ld`` entries; Z and R (n_rows, n_columns) are contiguous. ``even``
    and ``odd`` are how many entries ahead every other row of a tile is prefetched. Functions of
    centred rows take these from X less what WT and DT have in one row more, below the others, and
    those that copy have ``COPIED`` numbers below that row to do so.
    """

    tile: Tile
    margins: Callable[..., None]  # Z = X W + b
    gradient: Callable[..., None]  # DT += Rᵀ X
    engine: Any  # owns the machine code


class Part(NamedTuple):
    """What the loops of both functions are at."""

    features: tuple[ir.Value, ir.Value]  # where they begin and end
    rows: tuple[ir.Value, ir.Value]
    length: ir.Value  # of sub-blocks
    column: ir.Value  # the first one of the group
    new: ir.Value  # the first that the group before has not: the last group may begin earlier
    X: ir.Value  # where row 0 and feature 0 are, or would be if all were copied
    stride: ir.Value  # entries between rows there


class _Writer(Writer):
    """Writes the two functions into an LLVM module."""

    def __init__(
        self,
        tile: Tile,
        storage: str,
        compute: str,
        *,
        centred: bool = False,
        wide: bool = False,
        copied: bool = False,
    ) -> None:
        super().__init__()
        self.tile, self.centred, self.wide, self.copied = tile, centred, wide, copied
        self.storage, self.signed = STORAGE[storage], storage == "int8"
        self.number = STORAGE[compute]
        self.counted_as = STORAGE[counted_as(storage, compute)]
        self.vector = ir.VectorType(self.number, tile.lanes)
        self.zero = ir.Constant(self.vector, None)

    def function(self, name: str) -> tuple[ir.Value, ...]:
        """Begin a function and return its arguments."""
        rows, numbers = self.storage.as_pointer(), self.number.as_pointer()
        takes = [rows, *[INT64] * 4, numbers, INT64, numbers]
        if name == "margins":
            takes += [numbers, INT64, INT64]
        return tuple(self.begin(name, takes).args)

    @contextmanager
    def groups(
        self, X: ir.Value, sizes: tuple[ir.Value, ...], W: ir.Value, ld: ir.Value
    ) -> Iterator[Part]:
        """Write loops over panels of features, sub-blocks of rows, and groups of columns within."""
        (n_rows, stride, n, k), b, n_ = sizes, self.b, self.count
        panel, most = n, b.sdiv(n_(SUB_BLOCK_BYTES // BYTES[self.counted_as]), stride)
        if self.wide:
            n_panels = b.sdiv(b.add(n, n_(PANEL - 1)), n_(PANEL))
            panel = b.sdiv(b.sub(b.add(n, n_panels), n_(1)), n_panels)
            panel = self.whole(b.add(panel, n_(127)), 128)
            most = b.sdiv(n_(PANEL_BYTES // BYTES[self.number]), panel)
        length = self.whole(most, 8)
        length = b.select(b.icmp_signed("<", length, n_(8)), n_(8), length)
        n_blocks = b.sdiv(b.sub(b.add(n_rows, length), n_(1)), length)
        last = b.sub(k, n_(self.tile.columns))
        pitch = b.add(panel, n_(MARGIN)) if self.copied else stride
        with self.loop(n_(0), n, panel) as (feature, _), self.loop(n_(0), n_blocks, 1) as (i, _):
            features = feature, self.smaller(b.add(feature, panel), n)
            start = b.mul(i, length)
            rows = start, self.smaller(b.add(start, length), n_rows)
            place = X
            if self.copied:
                # Of the last rows so many that a tile may begin before the sub-block.
                begin = self.smaller(start, b.sub(n_rows, n_(8)))
                space = self.at(W, b.mul(b.add(k, n_(1)), ld), MARGIN)
                place = self.at(space, b.sub(n_(0), b.add(b.mul(begin, pitch), feature)))
                center_of = self.centers(W, k, ld)
                with self.loop(begin, rows[1], 1) as (row, _):
                    x, copy = self.at(X, b.mul(row, stride)), self.at(place, b.mul(row, pitch))
                    with self.loop(*features, self.tile.lanes) as (f, _):
                        f, _ = self.last_chunk(n, f)
                        self.store(self.load_shifted(self.at(x, f), center_of(f)), self.at(copy, f))
            with self.loop(n_(0), k, self.tile.columns) as (new, _):
                yield Part(features, rows, length, self.smaller(new, last), new, place, pitch)

    def centers(self, wide: ir.Value, k: ir.Value, ld: ir.Value) -> Callable[[ir.Value], Any]:
        """Return what gives the centres of features from the first one on; None: there are none."""
        below = self.at(wide, self.b.mul(k, ld)) if self.centred else None
        return lambda f: None if below is None else self.load(self.at(below, f), self.vector)

    def load_row(self, pointer: ir.Value, center: ir.Value | None) -> ir.Value:
        """Return a vector of a row, or of its copy, to compute with."""
        return (
            self.load(pointer, self.vector) if self.copied else self.load_shifted(pointer, center)
        )

    def load_shifted(self, pointer: ir.Value, center: ir.Value | None) -> ir.Value:
        """Return a vector of a row's entries, less the centre, converted."""
        b = self.b
        if center is None:
            return self.load_rows(pointer)
        if BYTES[self.storage] <= BYTES[self.number]:
            return b.fsub(self.load_rows(pointer), center)
        wide = ir.VectorType(self.storage, self.tile.lanes)  # which is rounded afterwards
        return b.fptrunc(b.fsub(self.load(pointer, wide), b.fpext(center, wide)), self.vector)

    def load_rows(self, pointer: ir.Value) -> ir.Value:
        """Return a vector of a row's entries, converted."""
        b, lanes = self.b, self.tile.lanes
        x = self.load(pointer, ir.VectorType(self.storage, lanes))
        if self.storage is INT8:
            wide = ir.VectorType(INT32, lanes)
            x = b.sext(x, wide) if self.signed else b.zext(x, wide)
            return b.sitofp(x, self.vector)
        if self.storage is HALF:  # processors convert it to float32 alone
            x = b.fpext(x, ir.VectorType(FLOAT, lanes))
        if self.storage is INT16:
            wide = ir.VectorType(INT32, lanes)
            x = b.shl(b.zext(x, wide), ir.Constant(wide, [16] * lanes))
            x = b.bitcast(x, ir.VectorType(FLOAT, lanes))
        if x.type == self.vector:
            return x
        narrow = BYTES[x.type.element] < BYTES[self.number]
        return b.fpext(x, self.vector) if narrow else b.fptrunc(x, self.vector)

    def added_up(self, vectors: list[ir.Value]) -> list[ir.Value]:
        """Return the sums of each vector's lanes, in the order of the vectors, in vectors.

        Halves of two vectors are put together and added, then quarters, and so on: half the work of
        each by itself, and in the same order for all of them.
        """
        lanes = each = self.tile.lanes
        while each > 1:
            each //= 2
            low = [i for i in range(2 * lanes) if i % (2 * each) < each]
            high = [each + i for i in low]
            pairs = zip_longest(vectors[::2], vectors[1::2], fillvalue=vectors[-1])
            vectors = [
                self.b.fadd(*(self.shuffle(*two, at) for at in (low, high))) for two in pairs
            ]
        return vectors

    def parts(
        self, vectors: list[ir.Value], start: int, stop: int
    ) -> Iterator[tuple[int, ir.Value]]:
        """Yield numbers ``start`` to ``stop`` of vectors, by parts, and how many were before."""
        at = start
        while at < stop:
            i, lane = divmod(at, self.tile.lanes)
            end = min(self.tile.lanes, lane + stop - at)
            yield at - start, self.shuffle(vectors[i], vectors[i], range(lane, end))
            at += end - lane

    def last_chunk(self, n: ir.Value, first: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Return where the chunk of feature ``first`` is read, and which lanes are not before."""
        start = self.smaller(first, self.b.sub(n, self.count(self.tile.lanes)))
        before = self.first_lanes(self.b.sub(first, start), self.tile.lanes)
        return start, self.b.not_(before)

    def add_products(
        self, sums: list[ir.Value], xs: list[ir.Value], ys: Iterable[ir.Value]
    ) -> None:
        """Add each x × y to its sum, in place."""
        for c, y in enumerate(ys):
            for i, x in enumerate(xs):
                at = i * self.tile.columns + c
                sums[at] = self.b.fadd(sums[at], self.b.fmul(x, y, flags=FUSED), flags=FUSED)

    def margins(self) -> None:
        """Write Z = X W + b."""
        tile, (X, n_rows, stride, n, k, WT, ld, Z, bias, *soon) = (
            self.tile,
            self.function("margins"),
        )
        b, n_ = self.b, self.count
        with self.groups(X, (n_rows, stride, n, k), WT, ld) as part:
            (first, stop), column = part.features, part.column
            whole = b.add(first, self.whole(b.sub(stop, first), tile.lanes))
            W, center_of = self.at(WT, b.mul(column, ld)), self.centers(WT, k, ld)

            def loaded(f: ir.Value) -> list[ir.Value]:
                center = center_of(f)
                return [self.load_row(self.at(x, f), center) for x in xs]

            def weights(f: ir.Value) -> Iterator[ir.Value]:
                for c in range(tile.columns):
                    yield self.load(self.at(W, f, b.mul(n_(c), ld)), self.vector)

            with self.loop(*part.rows, tile.depth) as (new_row, _):
                end = part.rows[1] if self.wide else n_rows
                row = self.smaller(new_row, b.sub(end, n_(tile.depth)))
                numbers = [b.add(row, n_(r)) for r in range(tile.depth)]
                xs = [self.at(part.X, b.mul(r, part.stride)) for r in numbers]
                if self.copied:
                    later = [self.at(X, b.mul(b.add(r, part.length), stride)) for r in numbers]
                else:
                    later = [self.at(x, soon[r % 2]) for r, x in enumerate(xs)]
                zeros = [self.zero] * (tile.depth * tile.columns)
                with self.loop(first, whole, tile.lanes, *zeros) as (f, sums):
                    for x in later:
                        self.ahead(self.at(x, f))
                    self.add_products(sums, loaded(f), weights(f))
                with self.loop(whole, stop, tile.lanes, *sums) as (f, sums):
                    f, lanes = self.last_chunk(n, f)
                    rest = [b.select(lanes, x, self.zero) for x in loaded(f)]
                    self.add_products(sums, rest, weights(f))
                totals = self.added_up(sums)
                for r, number in enumerate(numbers):
                    z = self.at(Z, b.mul(number, k), column)
                    own = self.parts(totals, r * tile.columns, (r + 1) * tile.columns)
                    for before, total in own:
                        place = self.at(z, before)
                        known = self.load(self.at(bias, column, before), total.type)
                        if self.wide:  # rows and columns of the tile before have their sums
                            begins = b.icmp_signed("==", first, n_(0))
                            known = b.select(begins, known, self.load(place, total.type))
                            old = b.sub(part.new, b.add(column, n_(before)))
                            old = b.select(b.icmp_signed("<", number, new_row), n_(tile.lanes), old)
                            again = self.first_lanes(b.select(begins, n_(0), old), total.type.count)
                            total = b.select(again, ir.Constant(total.type, None), total)
                        self.store(b.fadd(total, known), place)
        b.ret_void()

    def gradient(self) -> None:
        """Write DT += Rᵀ X."""
        tile, (X, n_rows, stride, n, k, DT, ld, R) = self.tile, self.function("gradient")
        b, n_ = self.b, self.count
        wide = tile.depth * tile.lanes
        line = 64 // BYTES[self.storage]

        with self.groups(X, (n_rows, stride, n, k), DT, ld) as part:
            (first, stop), (start, end), column = part.features, part.rows, part.column
            tiled = b.add(first, self.whole(b.sub(stop, first), wide))
            length = b.sub(end, start)
            here = self.at(part.X, b.mul(start, part.stride))
            following = self.at(X, b.mul(end, stride))
            D, center_of = self.at(DT, b.mul(column, ld)), self.centers(DT, k, ld)
            residuals = self.at(R, b.mul(start, k), column)

            def add_rows(places: list[ir.Value], new: ir.Value | None = None) -> None:
                """Add the sub-block's products for these chunks, or their new lanes, to DT."""
                zeros = [self.zero] * (len(places) * tile.columns)
                centers = [center_of(f) for f in places]
                with self.loop(n_(0), length, 1, *zeros) as (row, sums):
                    # A share of the next sub-block, as long as this one.
                    share = len(places) * tile.lanes
                    if self.wide:
                        soon = b.add(b.mul(row, stride), places[0])
                    else:
                        soon = b.add(b.mul(length, places[0]), b.mul(row, n_(share)))
                    for j in range(0, share, line):
                        self.ahead(self.at(following, soon, j))
                    x = self.at(here, b.mul(row, part.stride))
                    xs = [
                        self.load_row(self.at(x, f), center)
                        for f, center in zip(places, centers, strict=True)
                    ]
                    r = self.at(residuals, b.mul(row, k))
                    rs = [self.load(self.at(r, c), self.number) for c in range(tile.columns)]
                    self.add_products(sums, xs, [self.everywhere(r, tile.lanes) for r in rs])
                for i, total in enumerate(sums):
                    j, c = divmod(i, tile.columns)
                    at = self.at(D, b.mul(n_(c), ld), places[j])
                    again = b.icmp_signed("<", b.add(column, n_(c)), part.new)
                    total = b.select(again, self.zero, total)
                    if new is not None:
                        total = b.select(new, total, self.zero)
                    self.store(b.fadd(self.load(at, self.vector), total), at)

            with self.loop(first, tiled, wide) as (f, _):
                add_rows([b.add(f, n_(j * tile.lanes)) for j in range(tile.depth)])
            with self.loop(tiled, stop, tile.lanes) as (f, _):
                f, new = self.last_chunk(n, f)
                add_rows([f], new)
        b.ret_void()


def compile_products(
    n_columns: int,
    storage: str,
    compute: str,
    *,
    centred: bool = False,
    wide: bool = False,
    copied: bool = False,
) -> Products:
    """Compile both products for rows stored as ``storage`` and computed in ``compute``.

    The functions serve any number of columns, this one without waste.
    """
    tile = Tile.of(n_columns, 4 if compute == "float32" else 8)

    def write() -> ir.Module:
        writer = _Writer(tile, storage, compute, centred=centred, wide=wide, copied=copied)
        writer.margins()
        writer.gradient()
        return writer.module

    shape = (
        f"{tile.lanes}x{tile.columns}x{tile.depth}"
        + "-centred" * centred
        + "-wide" * wide
        + "-copied" * copied
    )
    engine = load(f"products-{storage}-{compute}-{shape}", write)
    address, size = ctypes.c_void_p, ctypes.c_int64
    takes = [address, size, size, size, size, address, size, address]
    margins = ctypes.CFUNCTYPE(None, *takes, address, size, size)
    return Products(
        tile,
        margins(engine.get_function_address("margins")),
        ctypes.CFUNCTYPE(None, *takes)(engine.get_function_address("gradient")),
        engine,
    )
