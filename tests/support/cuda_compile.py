"""CUDA kernels compiled by NVRTC as CuPy does, for GPUs that need not be here.

What ptxas says of each kernel is told: registers, what of them spilled into memory, shared memory.
NVRTC is given the options that the installed CuPy would give it, of which some change the
arithmetic. CuPy can be imported without a driver, and little else: gpulr asks it for a kernel as it
does on a card, and where NVRTC would compile it, its options are written down instead. That happens
in a process of its own, since the tests' is to be one without CuPy.

NVRTC comes as a wheel (extra ``cuda-compile``), in two versions: for the GPUs from sm_75 on, and
the one before it, which CuPy for CUDA 12 has, for the older ones and for these too.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import nvrtc
from gpulr.backend.cuda_sources import text_of
from nvrtc import CompilationError

# KiB of shared memory of one multiprocessor.
_SHARED = {60: 64, 70: 96, 75: 64, 80: 164, 86: 100, 89: 100, 90: 228, 100: 228, 120: 100}
EVERY = tuple(f"sm_{capability}" for capability in _SHARED)
OLD, ARCHITECTURES = EVERY[:2], EVERY[2:]  # for which there is no NVRTC after 12; all others
NEWEST = 13  # version of NVRTC
STATIC_SHARED = 48 * 1024  # bytes; a launch cannot ask for more than that without saying so
REGISTERS = 64 * 1024  # of one multiprocessor
SHARED = dict(zip(EVERY, (1024 * size for size in _SHARED.values()), strict=True))
# Of that, by CUDA in each block.
RESERVED = {one: 0 if one in (*OLD, "sm_75") else 1024 for one in EVERY}

ENTRY = re.compile(r"Compiling entry function '(?P<kernel>\w+)' for '(?P<arch>\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SMEM = re.compile(r"(\d+) bytes smem")
BOUNDS = re.compile(
    r"\.entry (\w+)\s*\([^)]*\)\s*(?:\.maxntid (\d+)(?:, (\d+))?(?:, (\d+))?)?"
    r"\s*(?:\.minnctapersm (\d+))?"
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one kernel needs of one kind of GPU; stack and spills, which should be 0, in bytes."""

    kernel: str
    arch: str
    registers: int  # of one thread
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int  # bytes that a block has by __shared__ of known size
    max_threads: int | None  # of __launch_bounds__, as is
    min_blocks: int | None


def complaints(usage: Usage, dynamic: int = 0) -> list[str]:
    """Say what is wrong with a kernel, if anything; ``dynamic`` is shared memory, in bytes."""
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
    shared = usage.shared + dynamic
    if blocks * (shared + RESERVED[usage.arch]) > SHARED[usage.arch]:
        found.append(f"{blocks} × {shared} bytes of shared memory, of {SHARED[usage.arch]}")
    return [f"{usage.kernel} on {usage.arch}: {what}" for what in found]


@cache
def why_not(version: int = NEWEST) -> str | None:
    """Say why NVRTC cannot be used here, or None where it can.

    Found out by compiling the simplest kernel: libraries that can be loaded prove nothing. That
    CuPy's options cannot be read is none of the reasons on Linux, where tests bring a CuPy.
    """
    if sys.platform != "linux" and not importlib.util.find_spec("cupy"):
        return "CuPy is not installed, whose options kernels are compiled with"
    install = 'python -m pip install ".[cuda-compile]"'
    if version not in nvrtc.versions():
        return f"NVRTC {version} is not installed: {install}"
    simplest = 'extern "C" __global__ void tried(int* x) { *x = 1; }'
    try:
        nvrtc.versions()[version].compile(simplest, ["-arch=sm_90"])
    except (CompilationError, RuntimeError) as error:
        return f"NVRTC cannot compile the simplest kernel ({error}): {install}"
    return None


def usages(source: Path, defines=None, architectures=ARCHITECTURES, version=NEWEST) -> list[Usage]:
    """Compile as CuPy's RawModule does: one text, its options, macros. Warnings are errors."""
    found = []
    for log, assembly in _by_nvrtc(source, defines, architectures, version):
        bounds = {}
        for kernel, x, y, z, blocks in BOUNDS.findall(assembly):
            threads = int(x) * int(y or 1) * int(z or 1) if x else None
            bounds[kernel] = threads, int(blocks) if blocks else None
        starts = [*ENTRY.finditer(log)]
        for start, end in zip(starts, [*(s.start() for s in starts[1:]), len(log)], strict=True):
            said = log[start.end() : end]
            frame = map(int, FRAME.search(said).groups())
            shared = SMEM.search(said)
            numbers = int(USED.search(said)[1]), *frame, int(shared[1]) if shared else 0
            found.append(Usage(start["kernel"], start["arch"], *numbers, *bounds[start["kernel"]]))
    return found


def ptx(source: Path, defines=None, architecture="sm_90") -> str:
    """Return the assembly that is made."""
    return _by_nvrtc(source, defines, [architecture])[0][1]


def _by_nvrtc(source, defines, architectures, version=NEWEST):
    """Return log and assembly for each architecture."""
    more = [*(f"-D{name}={value}" for name, value in (defines or {}).items()), "--ptxas-options=-v"]
    library, text = nvrtc.versions()[version], text_of(source)
    options = cupy_options(tuple(a.removeprefix("sm_") for a in EVERY), library.version)
    every = (options[a.removeprefix("sm_")] for a in architectures)
    return [library.compile(text, [*each, *more]) for each in every]


@cache
def cupy_options(
    capabilities: tuple[str, ...], version: tuple[int, int] | None = None
) -> dict[str, list[str]]:
    """Return CuPy's options for a kernel without macros, by the capability of the card ("90").

    They are those for a version of NVRTC, or for the one that CuPy finds.

    Raises
    ------
    RuntimeError
        CuPy or NVRTC is not installed, or CuPy does not come as far as to compile something.
    """
    import gpulr

    path = filter(None, [str(Path(gpulr.__file__).parents[1]), os.environ.get("PYTHONPATH")])
    process = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), json.dumps([version, *capabilities])],
        # In memory: not from the cache of compiled kernels, which it would read first.
        env=os.environ | {"CUPY_CACHE_IN_MEMORY": "1", "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        errors="replace",
    )
    if process.returncode:
        raise RuntimeError(f"CuPy's own options cannot be read: {process.stderr.strip()}")
    return json.loads(process.stdout)


class Told(BaseException):
    """The options, in place of a compilation; nothing catches it on its way."""


def _options(version: list[int] | None, *capabilities: str) -> dict[str, list[str]]:
    """Return the options for each card, in a process where CuPy may be changed.

    What of CuPy would ask a device is replaced, and nothing else: what it adds is found, whatever
    that is.
    """
    import cupy
    from cupy._core import raw
    from cupy.cuda import compiler

    from gpulr.backend.cuda_kernels import Kernels
    from gpulr.kernels.recursion import SOURCE

    def tell(program, options):
        raise Told(options)

    class Module(cupy.RawModule):
        def get_function(self, name):  # which would ask for the device's number first
            self.compile()

    cupy.RawModule = Module
    compiler.nvrtc = SimpleNamespace(**{**vars(compiler.nvrtc), "compileProgram": tell})
    if version is not None:
        compiler._nvrtc_version = tuple(version)
    compiler._preprocess = lambda *what: ""  # an empty program, for the name of a cache's file
    for module, name in ((compiler, "_get_arch_for_options_for_nvrtc"), (raw, "_get_raw_module")):
        # Less what remembers their answers for each device.
        setattr(module, name, getattr(module, name).__wrapped__)
    found = {}
    for capability in capabilities:
        compiler._get_arch = lambda capability=capability: capability
        try:
            Kernels(0).kernel(SOURCE, {}, "find_direction", 0)
        except Told as told:
            found[capability] = list(told.args[0])
    return found


if __name__ == "__main__":
    print(json.dumps(_options(*json.loads(sys.argv[1]))))
