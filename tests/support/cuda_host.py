"""CUDA kernels run without a GPU: compiled by g++ against a small shim, one fiber a CUDA thread.

    module = HostModule(Path("kernel.cu"), defines={"TILE": 16}, sanitize="thread")
    module.launch("add", grid=4, block=128, args=[x, y, out, x.size], shared=0)

Arguments are NumPy arrays for pointers (None: a null pointer), whose dtype has to be the C type,
and Python numbers for values; arrays that a kernel takes without ``const`` are written in place. A
launch is a process of its own (4 ms), with buffers of exactly the arrays' sizes, so that no kernel
harms the tests.

Between barriers the threads of a block run one after the other, in an order that ``seed`` permutes
anew after every barrier; blocks run in a permuted order too. Shared memory begins as bytes of 0xff
(NaN, −1) in every block, variables that nobody initialises as 0xfe. A barrier that some threads
miss ends the launch with a `KernelFault` that says where everybody was. ``sanitize`` adds g++'s:

- "thread": ThreadSanitizer is told that fibers are threads, which barriers order and nothing else:
  not even the blocks of a grid. What it finds does not depend on the order in which they ran.
- "address": accesses beyond a pointer's array, or beyond the dynamic shared memory; not beyond a
  static ``__shared__`` array, which is for
- "undefined": indices beyond an array of known size, shifts, overflow, misaligned vectors.
  "address,undefined" has both.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from cuda_gxx import CompilationError, build, build_plain

SANITIZERS = ("thread", "address", "undefined")
MAX_THREADS = 1024  # of a block
MAX_SHARED = 227 * 1024  # bytes of a block, on sm_90
TIMEOUT = 120  # seconds a launch

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",  # for the symbols of a report
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66:atexit_sleep_ms=0",
    "ASAN_OPTIONS": "detect_leaks=0:exitcode=66",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class KernelFault(Exception):  # noqa: N818 - not an error of these tests
    """A launch did not end as it should: the report of the sanitizer, or of the barriers."""


def why_not(sanitize=None) -> str | None:
    """Say why kernels cannot be run here, with such a sanitizer, or None where they can."""
    if sys.platform != "linux":
        return "the host shim of CUDA is for Linux"
    if not shutil.which("g++"):
        return "g++ is not installed (Debian: apt-get install g++)"
    return _tried(sanitize)


@cache
def _tried(sanitize) -> str | None:
    """Build and run a program without any CUDA in it, so that a fault of the shim does not skip."""
    try:
        _run([str(build_plain("#include <bit>\nint main() {}\n", _names(sanitize)))], b"")
    except (CompilationError, KernelFault) as error:
        return f"g++ cannot do C++20 with -fsanitize={sanitize}: {error}"
    return None


def require(reason: str | None) -> None:
    """Skip for that reason, or fail where compilers of CUDA code are required."""
    if reason:
        required = os.environ.get("GPULR_REQUIRE_CUDA_COMPILE", "").strip() not in ("", "0")
        (pytest.fail if required else pytest.skip)(reason)


class HostModule:
    """The kernels of one source, compiled for this machine's CPU.

    Parameters
    ----------
    source : Path or str
        A file, or the text itself.
    defines : dict, optional
        Macros, as of -D.
    sanitize : str, optional
        Names for -fsanitize, separated by commas.
    seed : int
        Of the order of threads and blocks.

    Raises
    ------
    CompilationError
        g++'s own words.
    """

    def __init__(self, source, *, defines=None, sanitize=None, seed=0):
        names = _names(sanitize)
        self.seed = seed
        macros = tuple(f"-D{name}={value}" for name, value in (defines or {}).items())
        self._program, _ = build(source, macros, names)
        self.kernels = _described(self._program)

    def launch(self, name, grid, block, args, shared=0):
        """Run every block of one kernel, and write what it wrote into the arrays.

        Parameters
        ----------
        name : str
        grid, block : int or tuple of up to three
        args : list
            One for each parameter; see the docstring of the module.
        shared : int
            Bytes of dynamic shared memory.

        Raises
        ------
        KernelFault
            A sanitizer's report, a divergent barrier, a trap, a crash, or no end in two minutes.
        TypeError, ValueError
            Arguments or sizes that a launch cannot have.
        """
        if name not in self.kernels:
            raise ValueError(f"there is no kernel {name!r}, but {sorted(self.kernels)}")
        grid, block = _three(grid), _three(block)
        if not 0 < np.prod(block) <= MAX_THREADS or block[2] > 64:
            raise ValueError(f"block={block}: a block has 1 to {MAX_THREADS} threads, z up to 64")
        if min(grid) < 1 or max(grid[1:]) > 65535:
            raise ValueError(f"grid={grid}: from 1 to 65535 blocks, more along x alone")
        if not 0 <= shared <= MAX_SHARED:
            raise ValueError(f"shared={shared}: from 0 to {MAX_SHARED} bytes")
        payload, outputs = _packed(name, self.kernels[name], args)
        command = [*map(str, (self._program, name, *grid, *block, int(shared), self.seed))]
        output = _run(command, payload)
        if len(output) != sum(array.nbytes for array in outputs):
            raise KernelFault(f"{name}: {len(output)} bytes came back, not those of the arrays")
        for array in outputs:
            flat = array.reshape(-1, order="A")
            flat[...] = np.frombuffer(output[: array.nbytes], array.dtype)
            output = output[array.nbytes :]


@cache
def _described(program):
    """Return each kernel's parameters: pairs of kind (in, out or value) and dtype."""
    kernels = {}
    for line in _run([str(program)], b"").decode().splitlines():
        name, *words = line.split()
        kernels[name] = [tuple(word.split(":")) for word in words]
    return kernels


def _names(sanitize):
    names = tuple(sanitize.split(",")) if sanitize else ()
    if unknown := set(names) - set(SANITIZERS):
        raise ValueError(f"sanitize={sanitize!r}: {unknown} unknown; known: {SANITIZERS}")
    return names


def _three(sizes):
    sizes = (sizes,) if np.ndim(sizes) == 0 else tuple(sizes)
    if not 1 <= len(sizes) <= 3:
        raise ValueError(f"{sizes}: one to three sizes")
    return tuple(int(size) for size in sizes + (1, 1, 1)[len(sizes) :])


def _packed(name, parameters, args):
    """Return the bytes of the arguments as runtime.cpp reads them, and the arrays to be written."""
    if len(args) != len(parameters):
        raise TypeError(f"{name} takes {len(parameters)} arguments, not {len(args)}")
    pieces, outputs, arrays = [], [], []
    for i, ((kind, dtype), value) in enumerate(zip(parameters, args, strict=True)):
        what = f"{name}, argument {i} ({kind} {dtype})"
        if dtype == "unknown" and (kind == "value" or value is not None):
            raise TypeError(f"{what}: a struct, which cannot be passed from here")
        if kind == "value":
            data = _scalar(what, dtype, value).tobytes()
            pieces += [b"v", struct.pack("=q", len(data)), data]
            continue
        if kind == "out" and value is not None:
            outputs.append(value)
        if value is None:
            pieces += [b"r", struct.pack("=q", -1)]
            continue
        if not isinstance(value, np.ndarray):
            raise TypeError(f"{what}: an array or None, not {type(value).__name__}")
        if dtype != "void" and value.dtype != dtype:
            raise TypeError(f"{what}: the array is {value.dtype}")
        if not value.flags.forc:
            raise TypeError(f"{what}: the array is not contiguous")
        if kind == "out" and not value.flags.writeable:
            raise TypeError(f"{what}: the array is read-only")
        for other_kind, other in arrays:
            if "out" in (kind, other_kind) and np.may_share_memory(value, other):
                raise ValueError(f"{what}: shares memory with another argument")
        arrays.append((kind, value))
        mark = b"w" if kind == "out" else b"r"
        pieces += [mark, struct.pack("=q", value.nbytes), value.tobytes(order="A")]
    return b"".join(pieces), outputs


def _scalar(what, dtype, value):
    kinds = {"f": (int, float, np.number), "b": (bool, np.bool_)}
    wanted = kinds.get(np.dtype(dtype).kind, (int, np.integer))
    if not isinstance(value, wanted) or (isinstance(value, bool) and dtype != "bool"):
        raise TypeError(f"{what}: a number of that type, not {value!r}")
    return np.array(value, dtype=dtype)


def _run(command, payload):
    """Run the program; without address randomisation where ThreadSanitizer cannot live with it."""
    for prefix in ([], ["setarch", "-R"]):
        try:
            process = subprocess.run(
                [*prefix, *command],
                input=payload,
                capture_output=True,
                env=ENVIRONMENT,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            raise KernelFault(f"{command[1]} did not end in {TIMEOUT} s") from None
        report = process.stderr.decode(errors="replace")
        if "unexpected memory mapping" not in report:
            break
    if process.returncode or report:
        end = f"exit status {process.returncode}"
        raise KernelFault(f"{command[1]}: {report.strip() or end}")
    return process.stdout
