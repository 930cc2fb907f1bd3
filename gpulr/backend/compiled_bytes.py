"""Products of bytes with few columns by integer dot products, compiled for this CPU by LLVM.

Processors with AVX-512 VNNI multiply and add 64 pairs of bytes in the time of 16 of float32, and
take bytes unconverted. A column of weights is scaled so that its largest is just below 2²³, rounded
to integers, and these are cut into three signed bytes each, digits to the base 256, whose products
with X are summed without any error. A weight is off by at most 6e-8 of the column's largest, so
that the products are as accurate as float32's, unless one weight dwarfs the others: such columns
are left to float32. So are those with a NaN or infinity.

The floor, for 56,000×784 bytes and ten columns: 1.3 G products of digits each way, 3.7 ms at two
instructions a cycle and 2.8 GHz (float32: 5), against 44 MB of rows, 2.5 ms at 18 GB/s.

* X W: the lanes are columns, sixteen a panel. Four bytes of a row, broadcast, meet four digits of
  each column. The last panel has space for 5, 10 or 16 columns, whose digits fill whole vectors.
* Rᵀ X: the lanes are features. Rows are taken four at a time, their bytes interleaved, for which
  64 features of a sub-block are copied into the first-level cache; four digits of a column of R are
  broadcast. Each sub-block of R has scales of its own; a NaN there makes the column's result one.

Since sums of integers are exact, a column's bits depend on nothing but the column and its rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
from llvmlite import ir

from gpulr.backend.buffers import address, buffer
from gpulr.backend.compiled_loops import FLOAT, FUSED, INT8, INT16, INT32, INT64, Writer
from gpulr.backend.machine_code import load

LANES = 16
DIGITS = 3
LARGEST = 8_355_000.0  # of the integers: all three digits fit in −128 … 127
SMALLEST = 1e-30  # what a column's largest is taken for at least
DWARFED = 256.0  # a column whose largest weight is that many times the mean is left to float32
PANELS = (5, 10, 16)  # columns; their digits fill whole vectors
DEPTH = 8  # rows of X W at a time: with three vectors of digits, 24 accumulators
COLUMNS = 2  # of Rᵀ X at a time: with three digits of each and 64 features, 24 accumulators
SUB_BLOCK = 256  # rows: int32 would hold the sums of 65,793
STRIP = 64  # features
BYTES = 4  # that one lane multiplies and adds

FLOATS, INTS, LINE = (ir.VectorType(*kind) for kind in ((FLOAT, 16), (INT32, 16), (INT8, 64)))
ADDRESSES = {kind: kind.as_pointer() for kind in (FLOAT, INT8, INT32)}


def _vectors(width: int) -> int:
    """Return how many vectors the digits of so many columns fill."""
    return -(-DIGITS * width // LANES)


class _Writer(Writer):
    """Writes the functions into an LLVM module."""

    def dot(self, total: ir.Value, x: ir.Value, digits: ir.Value) -> ir.Value:
        """Add to each lane four products of an unsigned byte of x and a signed one."""
        return self.call("llvm.x86.avx512.vpdpbusd.512", INTS, total, x, digits)

    def numbers(self, value: float) -> ir.Constant:
        return ir.Constant(FLOATS, [float(np.float32(value))] * LANES)

    def integers(self, value: int) -> ir.Constant:
        return ir.Constant(INTS, [value] * LANES)

    def digits(self, width: int) -> ir.Function:
        """Write (A, n, k, m, limit, Q, scale): cut up the first m ≤ ``width`` columns of A.

        A is (n, k) float32, Q (n / 4, vectors, 16) int32: of four entries of a column the lowest
        digits, the middle ones, the highest ones. ``scale`` (16,) times the integers is A; it is
        NaN for a column whose largest entry is more than ``limit`` times the mean, or NaN itself.
        """
        takes = [ADDRESSES[FLOAT], INT64, INT64, INT64, FLOAT, ADDRESSES[INT32], ADDRESSES[FLOAT]]
        function = self.begin(f"digits_{width}", takes, internal=True)
        (A, n, k, m, limit, Q, scale), b, n_ = function.args, self.b, self.count
        mask, sign = self.first_lanes(m, LANES), self.integers(2**31 - 1)

        # As integers, sizes of floats compare as the floats do, and NaN is the largest.
        least = self.integers(int(np.float32(SMALLEST).view(np.int32)))
        with self.loop(n_(0), n, 1, least, self.numbers(0.0)) as (row, carried):
            entries = self.load_first(self.at(A, b.mul(row, k)), FLOATS, mask)
            size = b.and_(b.bitcast(entries, INTS), sign)
            carried[0] = self.call("llvm.smax.v16i32", INTS, carried[0], size)
            carried[1] = b.fadd(carried[1], b.bitcast(size, FLOATS))
        largest = b.bitcast(carried[0], FLOATS)
        length = self.everywhere(b.sitofp(n, FLOAT), LANES)
        bound = b.fmul(self.everywhere(limit, LANES), carried[1])
        dwarfs = b.fcmp_ordered(">", b.fmul(largest, length), bound)
        unit = b.fmul(largest, self.numbers(1.0 / LARGEST))
        self.store(b.select(dwarfs, self.numbers(np.nan), unit), scale)
        inverse = b.fdiv(self.numbers(LARGEST), largest)

        def cut(group: ir.Value, *, beyond: bool) -> None:
            vectors = [self.integers(0)] * DIGITS
            for byte in range(BYTES):
                row = b.add(b.mul(group, n_(BYTES)), n_(byte))
                inside = mask
                if beyond:  # what is beyond the rows counts as 0
                    inside = b.and_(mask, self.everywhere(b.icmp_signed("<", row, n), LANES))
                entries = self.load_first(self.at(A, b.mul(row, k)), FLOATS, inside)
                scaled = self.call("llvm.rint.v16f32", FLOATS, b.fmul(entries, inverse))
                rest = b.fptosi(scaled, INTS)
                for d in range(DIGITS):
                    digit = b.shl(b.and_(rest, self.integers(255)), self.integers(8 * byte))
                    vectors[d] = b.or_(vectors[d], digit)
                    rest = b.ashr(b.add(rest, self.integers(128)), self.integers(8))
            for i, vector in enumerate(self.packed(vectors, width)):
                n_vectors = _vectors(width)
                place = self.at(Q, b.mul(group, n_(LANES * n_vectors)), LANES * i)
                self.store(vector, place, align=64)

        whole = b.sdiv(n, n_(BYTES))
        with self.loop(n_(0), whole, 1) as (group, _):
            cut(group, beyond=False)
        with b.if_then(b.icmp_signed("<", b.mul(whole, n_(BYTES)), n)):
            cut(whole, beyond=True)
        b.ret_void()
        return function

    def packed(self, vectors: list[ir.Value], width: int) -> list[ir.Value]:
        """Return the first ``width`` lanes of each vector one after the other."""
        if width == LANES:
            return vectors
        low, middle, high = vectors
        used = list(range(width))
        unused = [0] * (2 * LANES - 2 * width)
        pair = self.shuffle(low, middle, [*used, *(LANES + i for i in used), *unused])
        high = self.shuffle(high, high, range(2 * LANES))
        order = [*range(2 * width), *(2 * LANES + i for i in used), *unused]
        starts = range(0, LANES * _vectors(width), LANES)
        return [self.shuffle(pair, high, order[i : i + LANES]) for i in starts]

    def unpacked(self, vectors: list[ir.Value], width: int) -> list[ir.Value]:
        """Return the sums of each digit, as 16 lanes of which ``width`` are used."""
        if width == LANES:
            return vectors
        most = LANES * len(vectors) - 1
        orders = ([min(d * width + i, most) for i in range(LANES)] for d in range(DIGITS))
        return [self.shuffle(vectors[0], vectors[-1], order) for order in orders]

    def value(self, sums: list[ir.Value]) -> ir.Value:
        """Return the number that sums of digits, the lowest first, stand for."""
        b = self.b
        *lower, total = (b.sitofp(part, FLOATS) for part in sums)
        for part in reversed(lower):
            total = b.fadd(b.fmul(total, self.numbers(256.0), flags=FUSED), part, flags=FUSED)
        return total

    def panel(self, width: int) -> ir.Function:
        """Write (X, n_rows, stride, n, Q, scale, bias, Z, k, m): m ≤ ``width`` columns."""
        takes = [ADDRESSES[INT8], INT64, INT64, INT64, ADDRESSES[INT32], *[ADDRESSES[FLOAT]] * 3]
        function = self.begin(f"panel_{width}", [*takes, INT64, INT64], internal=True)
        (X, n_rows, stride, n, Q, scale, bias, Z, k, m), b, n_ = function.args, self.b, self.count
        n_vectors, mask = _vectors(width), self.first_lanes(m, LANES)
        unit, intercept = self.load(scale, FLOATS), self.load_first(bias, FLOATS, mask)
        fours = b.sdiv(n, n_(BYTES))
        rest = b.sub(n, b.mul(fours, n_(BYTES)))
        lines = self.whole(fours, LANES)

        def step(sums: list[ir.Value], group: ir.Value, xs: list[ir.Value]) -> None:
            digits = self.at(Q, b.mul(group, n_(LANES * n_vectors)))
            ws = [self.load(self.at(digits, LANES * j), INTS, 64) for j in range(n_vectors)]
            for i, x in enumerate(xs):
                x = self.everywhere(x, LANES)
                for j, w in enumerate(ws):
                    sums[i * n_vectors + j] = self.dot(sums[i * n_vectors + j], x, w)

        with self.loop(n_(0), n_rows, DEPTH) as (row, _):
            row = self.smaller(row, b.sub(n_rows, n_(DEPTH)))
            xs = [self.at(X, b.mul(b.add(row, n_(i)), stride)) for i in range(DEPTH)]

            def four(group: ir.Value, xs: list[ir.Value] = xs) -> list[ir.Value]:
                return [self.load(self.at(x, b.mul(group, n_(BYTES))), INT32) for x in xs]

            zeros = [self.integers(0)] * (DEPTH * n_vectors)
            with self.loop(n_(0), lines, LANES, *zeros) as (line, sums):
                for x in xs:
                    self.ahead(self.at(x, b.mul(line, n_(BYTES)), b.mul(stride, n_(DEPTH))))
                with self.loop(line, b.add(line, n_(LANES)), 1, *sums) as (group, inner):
                    step(inner, group, four(group))
                sums[:] = inner
            with self.loop(lines, fours, 1, *sums) as (group, sums):
                step(sums, group, four(group))
            # The last one to three bytes, from the last four: those before are shifted out.
            end = b.add(fours, n_(1))
            start = b.select(b.icmp_signed(">", rest, n_(0)), fours, end)
            with self.loop(start, end, 1, *sums) as (group, sums):
                shift = b.trunc(b.mul(b.sub(n_(BYTES), rest), n_(8)), INT32)
                last = [self.load(self.at(x, b.sub(n, n_(BYTES))), INT32) for x in xs]
                step(sums, group, [b.lshr(x, shift) for x in last])
            for i in range(DEPTH):
                parts = self.unpacked(sums[i * n_vectors : (i + 1) * n_vectors], width)
                z = b.fmul(self.value(parts), unit, flags=FUSED)
                z = b.fadd(z, intercept, flags=FUSED)
                self.store_first(z, self.at(Z, b.mul(b.add(row, n_(i)), k)), mask)
        b.ret_void()
        return function

    def by_width(
        self, digits: ir.Value, n: ir.Value, k: ir.Value, write: Callable[..., None]
    ) -> None:
        """Call ``write`` (width, column, m, Q, scale) for each panel, as narrow as serves it."""
        b, n_ = self.b, self.count
        scales, Q = self.parts(digits, k)
        apart = b.mul(b.sdiv(b.add(n, n_(BYTES - 1)), n_(BYTES)), n_(LANES * DIGITS))
        with self.loop(n_(0), k, LANES) as (column, _):
            m = self.smaller(n_(LANES), b.sub(k, column))
            place = self.at(Q, b.mul(b.sdiv(column, n_(LANES)), apart))
            arguments = column, m, place, self.at(scales, column)

            def narrowest(widths: Sequence[int]) -> None:
                first, *wider = widths
                if not wider:
                    write(first, *arguments)
                    return
                with b.if_else(b.icmp_signed("<=", m, n_(first))) as (fits, does_not):
                    with fits:
                        write(first, *arguments)
                    with does_not:
                        narrowest(wider)

            narrowest(PANELS)

    def cut(self) -> None:
        """Write (W, n, k, digits): cut up W (n, k); digits begin with the scales of the columns."""
        functions = {width: self.digits(width) for width in PANELS}
        W, n, k, digits = self.begin("cut", [ADDRESSES[FLOAT], INT64, INT64, ADDRESSES[INT8]]).args

        def cut(width: int, column: ir.Value, m: ir.Value, Q: ir.Value, scale: ir.Value) -> None:
            limit = ir.Constant(FLOAT, DWARFED)
            self.b.call(functions[width], [self.at(W, column), n, k, m, limit, Q, scale])

        self.by_width(digits, n, k, cut)
        self.b.ret_void()

    def margins(self) -> None:
        """Write Z = X W + b, of the digits of W; rows are prefetched in a way of its own."""
        panels = {width: self.panel(width) for width in PANELS}
        X, n_rows, stride, n, k, digits, _, Z, bias, *_ = self.public("margins")
        b, n_ = self.b, self.count
        with self.loop(n_(0), n_rows, SUB_BLOCK) as (row, _):
            row = self.smaller(row, b.sub(n_rows, n_(DEPTH)))
            length = self.smaller(n_(SUB_BLOCK), b.sub(n_rows, row))
            x, z = self.at(X, b.mul(row, stride)), self.at(Z, b.mul(row, k))

            def multiply(
                width: int, column: ir.Value, m: ir.Value, Q: ir.Value, scale: ir.Value
            ) -> None:
                places = self.at(bias, column), self.at(z, column)
                b.call(panels[width], [x, length, stride, n, Q, scale, *places, k, m])

            self.by_width(digits, n, k, multiply)
        b.ret_void()

    def interleave(self) -> ir.Function:
        """Write (x, n_rows, stride, n, strip): copy n ≤ 64 features of a sub-block.

        strip is (n_rows / 4, 4, 16, 4) bytes: of four rows, and of the j-th four features of each
        of four sixteens, all four bytes of a feature.
        """
        takes = [ADDRESSES[INT8], INT64, INT64, INT64, ADDRESSES[INT8]]
        function = self.begin("interleave", takes, internal=True)
        (X, n_rows, stride, n, strip), b, n_ = function.args, self.b, self.count
        last, mask = b.sub(n_rows, n_(1)), self.first_lanes(n, STRIP)
        pairs = ir.VectorType(INT16, STRIP // 2)

        def zipped(x: ir.Value, y: ir.Value) -> list[ir.Value]:
            """Interleave the first halves, and the second halves, of all 16 bytes."""
            lanes = x.type.count
            each = lanes // 4
            orders = (
                [
                    at + i + y_s
                    for at in range(half, lanes, each)
                    for i in range(each // 2)
                    for y_s in (0, lanes)
                ]
                for half in (0, each // 2)
            )
            return [self.shuffle(x, y, order) for order in orders]

        with self.loop(n_(0), n_rows, BYTES) as (row, _):
            places = (self.smaller(b.add(row, n_(i)), last) for i in range(BYTES))
            rows = [self.load_first(self.at(X, b.mul(i, stride)), LINE, mask) for i in places]
            first, second = zipped(*rows[:2]), zipped(*rows[2:])
            fours = [
                vector
                for x, y in zip(first, second, strict=True)
                for vector in zipped(b.bitcast(x, pairs), b.bitcast(y, pairs))
            ]
            for j, vector in enumerate(fours):
                self.store(vector, self.at(strip, b.mul(row, n_(STRIP)), STRIP * j), align=64)
        b.ret_void()
        return function

    def tile(self) -> ir.Function:
        """Write (n_rows, Q, strip, scale, D, ld, m, soon): add two columns' products to D.

        64 features of a sub-block, as the strip has them. The second column is there if m > 1.
        Rows from ``soon`` on are prefetched.
        """
        takes = [INT64, ADDRESSES[INT32], ADDRESSES[INT8], *[ADDRESSES[FLOAT]] * 2, INT64, INT64]
        function = self.begin("tile", [*takes, ADDRESSES[INT8]], internal=True)
        (n_rows, Q, strip, scale, D, ld, m, soon), b, n_ = function.args, self.b, self.count
        n_vectors = STRIP // LANES
        zeros = [self.integers(0)] * (COLUMNS * DIGITS * n_vectors)
        n_groups = b.sdiv(b.add(n_rows, n_(BYTES - 1)), n_(BYTES))
        with self.loop(n_(0), n_groups, 1, *zeros) as (group, sums):
            self.ahead(self.at(soon, b.mul(group, n_(64))))
            x = self.at(strip, b.mul(group, n_(STRIP * BYTES)))
            xs = [self.load(self.at(x, 64 * j), INTS, 64) for j in range(n_vectors)]
            digits = self.at(Q, b.mul(group, n_(LANES * DIGITS)))
            for i in range(COLUMNS * DIGITS):
                column, digit = divmod(i, DIGITS)
                r = self.load(self.at(digits, LANES * digit + column), INT32, 4)
                for j, x in enumerate(xs):
                    at = i * n_vectors + j
                    sums[at] = self.dot(sums[at], x, self.everywhere(r, LANES))
        for column in range(COLUMNS):
            unit = self.everywhere(self.load(self.at(scale, column), FLOAT, 4), LANES)
            with b.if_then(b.icmp_signed("<", n_(column), m)):
                for j in range(n_vectors):
                    parts = [sums[(column * DIGITS + d) * n_vectors + j] for d in range(DIGITS)]
                    place = self.at(D, b.mul(n_(column), ld), LANES * j)
                    total = b.fmul(self.value(parts), unit, flags=FUSED)
                    self.store(b.fadd(self.load(place, FLOATS, 64), total), place, 64)
        b.ret_void()
        return function

    def gradient(self) -> None:
        """Write DT += Rᵀ X.

        The features of DT (k, ld), a multiple of 64, are in the order of the strips. It is followed
        by space for a strip, scales, and digits of R.
        """
        digits = self.module.globals[f"digits_{LANES}"]
        interleave, tile = self.interleave(), self.tile()
        X, n_rows, stride, n, k, found, ld, R = self.public("gradient")
        b, n_ = self.b, self.count
        DT = b.bitcast(found, ADDRESSES[FLOAT])
        strip = b.bitcast(self.at(DT, b.mul(k, ld)), ADDRESSES[INT8])
        scales, Q = self.parts(self.at(strip, SUB_BLOCK * STRIP), k)
        apart = SUB_BLOCK // BYTES * LANES * DIGITS

        with self.loop(n_(0), n_rows, SUB_BLOCK) as (row, _):
            length = self.smaller(n_(SUB_BLOCK), b.sub(n_rows, row))
            here, r = self.at(X, b.mul(row, stride)), self.at(R, b.mul(row, k))
            following = self.at(here, b.mul(length, stride))
            with self.loop(n_(0), k, LANES) as (column, _):
                m = self.smaller(n_(LANES), b.sub(k, column))
                limit = ir.Constant(FLOAT, float("inf"))
                place = self.at(Q, b.mul(b.sdiv(column, n_(LANES)), n_(apart)))
                places = place, self.at(scales, column)
                b.call(digits, [self.at(r, column), length, k, m, limit, *places])
            with self.loop(n_(0), n, STRIP) as (feature, _):
                width = self.smaller(n_(STRIP), b.sub(n, feature))
                b.call(interleave, [self.at(here, feature), length, stride, width, strip])
                with self.loop(n_(0), k, COLUMNS) as (column, _):
                    # As many lines of the next sub-block as there are rows, a quarter by each of
                    # the first four calls: loads would wait for more at a time.
                    share = self.smaller(b.sdiv(column, n_(COLUMNS)), n_(BYTES - 1))
                    share = b.mul(share, b.mul(length, n_(64 // BYTES)))
                    soon = self.at(following, b.mul(length, feature), share)
                    panel, lane = b.sdiv(column, n_(LANES)), b.srem(column, n_(LANES))
                    place = self.at(Q, b.mul(panel, n_(apart)), lane)
                    D = self.at(DT, b.mul(column, ld), feature)
                    left = b.sub(k, column)
                    scale = self.at(scales, column)
                    b.call(tile, [length, place, strip, scale, D, ld, left, soon])
        b.ret_void()

    def public(self, name: str) -> tuple[ir.Value, ...]:
        """Begin a function that is called as :class:`Products` says, and return its arguments."""
        takes = [ADDRESSES[INT8], *[INT64] * 4, ADDRESSES[INT8], INT64, ADDRESSES[FLOAT]]
        if name == "margins":
            takes += [ADDRESSES[FLOAT], INT64, INT64]
        return tuple(self.begin(name, takes).args)

    def parts(self, digits: ir.Value, k: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Return where the scales of k columns are, and where their digits."""
        columns = self.whole(self.b.add(k, self.count(LANES - 1)), LANES)
        scales = self.b.bitcast(digits, ADDRESSES[FLOAT])
        return scales, self.b.bitcast(self.at(scales, columns), ADDRESSES[INT32])


def _digit_bytes(n: int, k: int) -> int:
    """Return how many bytes scales and digits of n entries of k columns take."""
    return -(-k // LANES) * 4 * LANES * (1 + DIGITS * -(-n // BYTES))


class ByteProducts:
    """The compiled functions, of NumPy arrays: X of bytes or bits (n_rows ≥ 8, n_features ≥ 4)."""

    sub_block = SUB_BLOCK

    def __init__(self) -> None:
        def write() -> ir.Module:
            writer = _Writer()
            writer.cut()
            writer.margins()
            writer.gradient()
            return writer.module

        self._engine = load("products-of-bytes", write)
        address, size = ctypes.c_void_p, ctypes.c_int64
        product = [address, *[size] * 4, address, size, address]
        self._cut, self.margins, self.gradient = (
            ctypes.CFUNCTYPE(None, *takes)(self._engine.get_function_address(name))
            for name, takes in (
                ("cut", [address, size, size, address]),
                ("margins", [*product, address, size, size]),
                ("gradient", product),
            )
        )

    def cut(self, W: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Return scales and digits of W, valid until this thread's next call.

        Margins of a column whose digits do not suffice will be NaN.
        """
        W = np.ascontiguousarray(W, np.float32)
        digits = buffer("digits", _digit_bytes(*W.shape), np.uint8)
        self._cut(address(W), *W.shape, address(digits))
        return digits

    def sums(self, n_features: int, k: int) -> tuple[npt.NDArray[np.float32], int]:
        """Return zeros for a gradient DT, with what follows it, and its ``ld``.

        Valid until this thread's next call.
        """
        ld = -(-n_features // STRIP) * STRIP
        after = SUB_BLOCK * STRIP + _digit_bytes(SUB_BLOCK, k)
        DT = buffer("sums", k * ld + after // 4, np.float32)
        DT[: k * ld] = 0.0
        return DT, ld

    @staticmethod
    def in_order(DT: npt.NDArray[np.float32], n_features: int, k: int) -> npt.NDArray[np.float32]:
        """Return the gradient (k, n_features), its features in the order of X."""
        n_strips = -(-n_features // STRIP)
        strips = DT[: k * n_strips * STRIP].reshape(k, n_strips, 4, 4, 4).swapaxes(2, 3)
        return strips.reshape(k, n_strips * STRIP)[:, :n_features]


def usable() -> bool:
    """Whether this processor has the instructions."""
    features = llvm.get_host_cpu_features()
    return bool(features.get("avx512vnni") and features.get("avx512bw"))
