"""CUDA kernels compiled for GPUs that need not be here: by nvcc, and by NVRTC as CuPy does.

Both are given the options that the installed CuPy would give NVRTC (see cupy_options.py), of which
some change the arithmetic, and tell what ptxas says of each kernel: registers, what of them spilled
into memory, shared memory. nvcc is that of the machine; NVRTC comes as a wheel, with cuda-bindings
to call it (extra ``cuda-compile``). Neither needs a GPU or a driver.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cupy_options import cupy_options

ARCHITECTURES = ("sm_75", "sm_80", "sm_90")
STATIC_SHARED = 48 * 1024  # bytes; a launch cannot ask for more than that without saying so
REGISTERS = 64 * 1024  # of one multiprocessor
SHARED = {"sm_75": 64 * 1024, "sm_80": 164 * 1024, "sm_90": 228 * 1024}  # of one multiprocessor
RESERVED = {"sm_75": 0, "sm_80": 1024, "sm_90": 1024}  # of that, by CUDA in each block

# What NVRTC alone has, and where things are that no kernel of gpulr includes.
NOT_NVCCS = ("-arch=", "-I", "--device-as-default-execution-space", "--pch")

ENTRY = re.compile(r"Compiling entry function '(?P<kernel>\w+)' for '(?P<arch>\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SMEM = re.compile(r"(\d+) bytes smem")
BOUNDS = re.compile(
    r"\.entry (\w+)\s*\([^)]*\)\s*(?:\.maxntid (\d+)(?:, (\d+))?(?:, (\d+))?)?"
    r"\s*(?:\.minnctapersm (\d+))?"
)


class CompilationError(Exception):
    """A compiler refuses a source, or warns of it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one kernel needs of one kind of GPU.

    Attributes
    ----------
    kernel, arch : str
    registers : int
        Of one thread.
    stack, spill_stores, spill_loads : int
        Bytes of a thread's memory, and that registers are moved into it and back; 0 is wanted.
    shared : int
        Bytes that a block has by ``__shared__`` of known size.
    max_threads, min_blocks : int or None
        Of ``__launch_bounds__``.
    """

    kernel: str
    arch: str
    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int
    max_threads: int | None
    min_blocks: int | None


def complaints(usage: Usage) -> list[str]:
    """Say what is wrong with a kernel, if anything."""
    found = []
    if usage.spill_stores or usage.spill_loads:
        found.append(f"{usage.spill_stores} bytes of spill stores, {usage.spill_loads} of loads")
    if usage.stack:
        found.append(
            f"{usage.stack} bytes of stack: an array that is indexed by variables, or more"
        )
    if usage.max_threads is None:
        found.append("no __launch_bounds__: nothing bounds the registers")
    threads, blocks = usage.max_threads or 1024, usage.min_blocks or 1
    warps = -(-threads // 32)
    # A warp gets registers in units of 256.
    if blocks * warps * -(-usage.registers * 32 // 256) * 256 > REGISTERS:
        found.append(f"{usage.registers} registers are too many for {blocks} × {threads} threads")
    if usage.shared > STATIC_SHARED:
        found.append(f"{usage.shared} bytes of static shared memory, of {STATIC_SHARED}")
    if blocks * (usage.shared + RESERVED[usage.arch]) > SHARED[usage.arch]:
        found.append(f"{blocks} × {usage.shared} bytes of shared memory, of {SHARED[usage.arch]}")
    return [f"{usage.kernel} on {usage.arch}: {what}" for what in found]


def why_not(compiler: str) -> str | None:
    """Say why "nvcc" or "nvrtc" cannot be used here, or None where it can.

    That CuPy's options cannot be read is none of the reasons on Linux, where tests bring a CuPy.
    """
    if sys.platform != "linux" and not importlib.util.find_spec("cupy"):
        return "CuPy is not installed, whose options kernels are compiled with"
    if compiler == "nvcc":
        if _nvcc():
            return None
        return "nvcc is neither on PATH, nor in $CUDA_HOME/bin or /usr/local/cuda/bin"
    return _tried()


@cache
def _tried() -> str | None:
    """Compile by NVRTC the simplest kernel: wheels that can be imported prove nothing."""
    install = 'python -m pip install ".[cuda-compile]"'
    try:
        import cuda.bindings.nvrtc  # noqa: F401 - which looks for the library when it is used
    except ImportError as error:
        return f"cuda-bindings, for NVRTC, cannot be imported ({error}): {install}"
    if not _headers():
        return f"there is no wheel with cuda_fp16.h: {install}"
    try:
        _compiled('extern "C" __global__ void tried(int* x) { *x = 1; }', ["-arch=sm_90"])
    except (CompilationError, RuntimeError) as error:
        return f"NVRTC cannot compile the simplest kernel ({error}): {install}"
    return None


@cache
def _nvcc() -> str | None:
    homes = filter(None, (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")))
    folders = [str(Path(home) / "bin") for home in (*homes, "/usr/local/cuda")]
    return shutil.which("nvcc") or shutil.which("nvcc", path=os.pathsep.join(folders))


@cache
def _headers() -> str | None:
    """Return the folder of NVIDIA's headers, from the wheel nvidia-cuda-runtime."""
    nvidia = importlib.util.find_spec("nvidia")
    for root in (nvidia and nvidia.submodule_search_locations) or ():
        for header in Path(root).glob("*/include/cuda_fp16.h"):
            return str(header.parent)
    return None


def nvcc(source: Path, defines=None, architectures=ARCHITECTURES) -> list[Usage]:
    """Compile by nvcc, for all architectures in one call, with CuPy's options but for its paths.

    Warnings are errors. There is no -D but for ``defines``.
    """
    options = [o for o in _cupys(architectures)[0] if not o.startswith(NOT_NVCCS)]
    with tempfile.TemporaryDirectory(prefix="cuda-compile-") as folder:
        targets = [f"-gencode=arch=compute_{a[3:]},code={a}" for a in architectures]
        macros = [f"-D{name}={value}" for name, value in (defines or {}).items()]
        process = subprocess.run(
            [
                *(_nvcc(), "-fatbin", *options, *targets, *macros, "-Xptxas=-v,-warn-spills"),
                *("-Werror=all-warnings", "--keep", "--keep-dir", folder),
                *(str(source), "-o", str(Path(folder) / "made.fatbin")),
            ],
            capture_output=True,
            text=True,
            errors="replace",
        )
        if process.returncode:
            raise CompilationError(process.stderr + process.stdout)
        ptx = next(Path(folder).glob("*.ptx")).read_text(encoding="utf-8")
    return _usages(process.stderr + process.stdout, ptx)


def nvrtc(source: Path, defines=None, architectures=ARCHITECTURES) -> list[Usage]:
    """Compile as CuPy's RawModule does: one text, its options, macros, NVIDIA's headers.

    Warnings are errors.
    """
    made = _by_nvrtc(source, defines, architectures)
    return [usage for log, assembly in made for usage in _usages(log, assembly)]


def ptx(source: Path, defines=None, architecture="sm_90") -> str:
    """Return the assembly that :func:`nvrtc` makes."""
    return _by_nvrtc(source, defines, [architecture])[0][1]


def _by_nvrtc(source, defines, architectures):
    macros = [f"-D{name}={value}" for name, value in (defines or {}).items()]
    more = [*macros, f"-I{_headers()}", "--ptxas-options=-v"]
    text = source.read_text(encoding="utf-8")
    return [_compiled(text, [*options, *more]) for options in _cupys(architectures)]


def _cupys(architectures) -> list[list[str]]:
    """Return CuPy's options for each architecture."""
    capabilities = tuple(a.removeprefix("sm_") for a in architectures)
    found = cupy_options(capabilities)
    return [found[capability] for capability in capabilities]


def _compiled(text: str, options: list[str]) -> tuple[str, str]:
    """Return the log and the assembly."""
    from cuda.bindings import nvrtc as library

    def call(function, *arguments):
        status, *results = function(*arguments)
        if status != library.nvrtcResult.NVRTC_SUCCESS:
            raise RuntimeError(f"{function.__name__}: {status.name}")
        return results[0] if results else None

    program = call(library.nvrtcCreateProgram, text.encode(), b"source.cu", 0, [], [])
    try:
        encoded = [option.encode() for option in options]
        (status,) = library.nvrtcCompileProgram(program, len(encoded), encoded)
        log = bytearray(call(library.nvrtcGetProgramLogSize, program))
        call(library.nvrtcGetProgramLog, program, log)
        words = log.decode(errors="replace").rstrip("\0")
        if status != library.nvrtcResult.NVRTC_SUCCESS or "warning" in words:
            raise CompilationError(f"{status.name}: {words}")
        ptx = bytearray(call(library.nvrtcGetPTXSize, program))
        call(library.nvrtcGetPTX, program, ptx)
        return words, ptx.decode()
    finally:
        library.nvrtcDestroyProgram(program)


def _usages(log: str, ptx: str) -> list[Usage]:
    """Read ptxas's log and, for launch bounds, one of the assemblies that it was given."""
    bounds = {}
    for kernel, x, y, z, blocks in BOUNDS.findall(ptx):
        threads = int(x) * int(y or 1) * int(z or 1) if x else None
        bounds[kernel] = threads, int(blocks) if blocks else None
    usages = []
    starts = [*ENTRY.finditer(log)]
    for start, end in zip(starts, [*(s.start() for s in starts[1:]), len(log)], strict=True):
        said = log[start.end() : end]
        kernel = start["kernel"]
        shared = SMEM.search(said)
        usages.append(
            Usage(
                kernel,
                start["arch"],
                int(USED.search(said)[1]),
                *(int(number) for number in FRAME.search(said).groups()),
                int(shared[1]) if shared else 0,
                *bounds[kernel],
            )
        )
    return usages
