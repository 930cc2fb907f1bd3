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

import atexit
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

HOST = Path(__file__).parent / "cuda" / "host"
MAX_THREADS = 1024  # of a block
MAX_SHARED = 227 * 1024  # bytes of a block, on sm_90
TIMEOUT = 120  # seconds a launch

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",  # for the symbols of a report
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66:atexit_sleep_ms=0",
    "ASAN_OPTIONS": "detect_leaks=0:exitcode=66",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
# -ffp-contract: what is not written as fma is none, on any host; char is signed, as on the device.
FLAGS = [
    *("-std=c++20", "-O1", "-g1", "-pthread", "-ffp-contract=off", "-fno-strict-aliasing"),
    "-fsigned-char",
]
# The shim's macros leave marks in the preprocessed text: kernels are found there, whatever macros
# made their names, and those of a branch that is not compiled are not.
KERNEL = re.compile(
    r"__attribute__\(\(noinline, used\)\)(?:\s|__attribute__\s*\(\(.*?\)\)|\w+\b(?!\s*\())*"
    r"\b(?!__attribute__)(\w+)\s*\("
)
ALIGNED = r"(?:(?:__attribute__\s*\(\(.*?\)\)|alignas\s*\(.*?\))\s*)?"
DYNAMIC = re.compile(
    rf"\bextern\s+thread_local\s+{ALIGNED}((?:\w|::|\s)+?)\s*{ALIGNED}\b(\w+)\s*\[\s*\]\s*;"
)


class CompilationError(Exception):
    """g++ refuses a source."""


class KernelFault(Exception):  # noqa: N818 - not an error of these tests
    """A launch did not end as it should: the report of the sanitizer, or of the barriers."""


@cache
def why_not(sanitize=None) -> str | None:
    """Say why kernels cannot be run here, with such a sanitizer, or None where they can.

    Found out by a program without any CUDA in it, so that a fault of the shim does not skip.
    """
    if sys.platform != "linux":
        return "the host shim of CUDA is for Linux"
    if not shutil.which("g++"):
        return "g++ is not installed (Debian: apt-get install g++)"
    made = _folder() / f"plain-{sanitize}"
    made.with_suffix(".cpp").write_text("#include <bit>\nint main() {}\n", encoding="utf-8")
    try:
        _gxx("-std=c++20", *_sanitized(sanitize), made.with_suffix(".cpp"), "-o", made)
        _run([str(made)], b"")
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
        self.seed = seed
        macros = tuple(f"-D{name}={value}" for name, value in (defines or {}).items())
        self._program, self.kernels = _built(source, macros, sanitize)

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
        AssertionError
            Arguments or sizes that a launch cannot have.
        """
        grid, block = ((*np.ravel(sizes).tolist(), 1, 1)[:3] for sizes in (grid, block))
        assert 0 < np.prod(block) <= MAX_THREADS, block
        assert block[2] <= 64, block
        assert min(grid) > 0, grid
        assert max(grid[1:]) < 65536, grid
        assert 0 <= shared <= MAX_SHARED
        payload, outputs = _packed(name, self.kernels[name], args)
        command = [*map(str, (self._program, name, *grid, *block, int(shared), self.seed))]
        output = _run(command, payload)
        assert len(output) == sum(array.nbytes for array in outputs)
        for array in outputs:
            flat = array.reshape(-1, order="A")
            flat[...] = np.frombuffer(output[: array.nbytes], array.dtype)
            output = output[array.nbytes :]


def _packed(name, parameters, args):
    """Return the bytes of the arguments as runtime.cpp reads them, and the arrays to be written."""
    pieces, outputs, arrays = [], [], []
    for i, ((kind, dtype), value) in enumerate(zip(parameters, args, strict=True)):
        what = f"{name}, argument {i} ({kind} {dtype}): {value!r}"
        if kind == "value":
            scalar = np.array(value, dtype)
            assert scalar == value, what
            pieces += [b"v", struct.pack("=q", scalar.nbytes), scalar.tobytes()]
        elif value is None:
            pieces += [b"r", struct.pack("=q", -1)]
        else:
            assert dtype in ("void", value.dtype), what
            assert value.flags.forc, what
            assert kind == "in" or value.flags.writeable, what
            for other in arrays if kind == "out" else outputs:
                assert not np.may_share_memory(value, other), what
            arrays.append(value)
            if kind == "out":
                outputs.append(value)
            mark = b"w" if kind == "out" else b"r"
            pieces += [mark, struct.pack("=q", value.nbytes), value.tobytes(order="A")]
    return b"".join(pieces), outputs


def _run(command, payload):
    """Run the program; without address randomisation where ThreadSanitizer cannot live with it."""
    *_, what = command[:2]
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
            raise KernelFault(f"{what} did not end in {TIMEOUT} s") from None
        report = process.stderr.decode(errors="replace")
        if "unexpected memory mapping" not in report:
            break
    if process.returncode or report:
        end = f"exit status {process.returncode}"
        raise KernelFault(f"{what}: {report.strip() or end}")
    return process.stdout


# ---- by g++ --------------------------------------------------------------------------------------


@cache
def _built(source, macros, sanitize):
    """Compile a source: preprocess it, rewrite what C++ lacks, and add a table of kernels.

    Return the program, and each kernel's parameters: pairs of kind (in, out or value) and dtype.
    """
    if isinstance(source, Path):
        text, label = source.read_text(encoding="utf-8"), str(source.resolve())
        local = ["-iquote", source.resolve().parent]
    else:
        text, label, local = source, "<source>", []
    stem = _folder() / sha256(repr((text, label, macros, sanitize)).encode()).hexdigest()[:16]
    plain, expanded = stem.with_suffix(".cu"), stem.with_suffix(".ii")
    plain.write_text(f'#line 1 "{label}"\n{text}', encoding="utf-8")
    _gxx(
        *(*FLAGS, *macros, "-I", HOST, *local, "-include", HOST / "shim.h", "-x", "c++", "-E"),
        *(plain, "-o", expanded),
    )
    made = _with_table(expanded.read_text(encoding="utf-8"), f'# 1 "{label}"')
    expanded.write_text(made, encoding="utf-8")
    fatal = ["-fno-sanitize-recover=all"] if "undefined" in (sanitize or "") else []
    sanitized = [*_sanitized(sanitize), *fatal]
    _gxx(*FLAGS, *_filled(), *sanitized, expanded, _runtime(sanitize), "-o", stem)
    lines = [line.split() for line in _run([str(stem)], b"").decode().splitlines()]
    return stem, {name: [tuple(word.split(":")) for word in words] for name, *words in lines}


def _with_table(text: str, start: str) -> str:
    """Return the preprocessed text, rewritten, with the table of its kernels."""
    shim, mark, own = text.partition(start)
    names = []
    for found in KERNEL.finditer(own):
        before = re.split(r"[;{}]", own[: found.start()])[-1]
        if not re.search(r"\btemplate\b", before):  # whose instances have no name
            names.append(found[1])
    names = list(dict.fromkeys(names))
    if not names:
        raise CompilationError(f"{start} has no kernel: nothing is __global__")
    kernels = ", ".join(f'Trampoline<&::{name}>::kernel("{name}")' for name in names)
    shared = r"static \1*& \2 = reinterpret_cast<\1*&>(::cuda_host::dynamic_shared);"
    table = (
        f'\n# 1 "<kernels>"\nnamespace cuda_host {{ const Kernel kernels[] = {{{kernels}}}; '
        f"const int n_kernels = {len(names)}; }}\n"
    )
    return shim + mark + DYNAMIC.sub(shared, own) + table


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="cuda-host-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _sanitized(sanitize):
    return [f"-fsanitize={name}" for name in sanitize.split(",")] if sanitize else []


@cache
def _filled() -> list[str]:
    """Variables that nobody initialises are filled with garbage, by g++ from version 12 on."""
    version = subprocess.run(["g++", "-dumpversion"], capture_output=True, text=True, check=True)
    major = int(version.stdout.split(".")[0])
    return ["-ftrivial-auto-var-init=pattern"] if major >= 12 else []


@cache
def _runtime(sanitize) -> Path:
    """Compile what runs blocks, once for each way to sanitize; itself it is not instrumented."""
    made = _folder() / f"runtime-{sanitize}.o"
    known = {"thread": "-DCUDA_HOST_TSAN", "address": "-DCUDA_HOST_ASAN"}
    macros = [known[name] for name in known if name in (sanitize or "")]
    _gxx("-std=c++20", "-O2", "-g1", *macros, "-c", HOST / "runtime.cpp", "-o", made)
    return made


def _gxx(*arguments) -> None:
    process = subprocess.run(
        ["g++", *map(str, arguments)], capture_output=True, text=True, errors="replace"
    )
    if process.returncode:
        raise CompilationError(process.stderr)
