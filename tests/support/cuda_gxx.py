"""Compile a CUDA source by g++: preprocess, rewrite what C++ lacks, add a table of kernels.

The shim's macros leave marks in the preprocessed text: kernels are found there, whatever macros
made their names, and those of a branch that is not compiled are not.
"""

from __future__ import annotations

import atexit
import re
import shutil
import subprocess
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

HOST = Path(__file__).parent / "cuda" / "host"

# -ffp-contract: what is not written as fma is none, on any host; char is signed, as on the device.
FLAGS = [
    *("-std=c++20", "-O1", "-g1", "-pthread", "-ffp-contract=off", "-fno-strict-aliasing"),
    "-fsigned-char",
]
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


@cache
def build(
    source: Path | str, macros: tuple[str, ...], sanitizers: tuple[str, ...]
) -> tuple[Path, tuple[str, ...]]:
    """Compile a source, once for the same arguments; return the program and its kernels' names."""
    if isinstance(source, Path):
        text, label = source.read_text(encoding="utf-8"), str(source.resolve())
        local = ["-iquote", source.resolve().parent]
    else:
        text, label, local = source, "<source>", []
    stem = _folder() / sha256(repr((text, label, macros, sanitizers)).encode()).hexdigest()[:16]
    plain, expanded = stem.with_suffix(".cu"), stem.with_suffix(".ii")
    plain.write_text(f'#line 1 "{label}"\n{text}', encoding="utf-8")
    _gxx(
        *(*FLAGS, *macros, "-I", HOST, *local, "-include", HOST / "shim.h", "-x", "c++", "-E"),
        *(plain, "-o", expanded),
    )
    made, names = _with_table(expanded.read_text(encoding="utf-8"), f'# 1 "{label}"')
    if not names:
        raise CompilationError(f"{label} has no kernel: nothing is __global__")
    expanded.write_text(made, encoding="utf-8")
    sanitize = [f"-fsanitize={name}" for name in sanitizers]
    if "undefined" in sanitizers:
        sanitize.append("-fno-sanitize-recover=all")
    _gxx(
        *(*FLAGS, *_filled(), *sanitize, expanded, _runtime(sanitizers), "-o", stem),
    )
    return stem, names


def build_plain(text: str, sanitizers: tuple[str, ...]) -> Path:
    """Compile a program that is C++ alone."""
    made = _folder() / f"plain-{'-'.join(sanitizers)}"
    source = made.with_suffix(".cpp")
    source.write_text(text, encoding="utf-8")
    _gxx("-std=c++20", *(f"-fsanitize={name}" for name in sanitizers), source, "-o", made)
    return made


def _with_table(text: str, start: str) -> tuple[str, tuple[str, ...]]:
    """Return the preprocessed text, rewritten, and the names of its kernels."""
    shim, mark, own = text.partition(start)
    names = []
    for found in KERNEL.finditer(own):
        before = re.split(r"[;{}]", own[: found.start()])[-1]
        if not re.search(r"\btemplate\b", before):  # whose instances have no name
            names.append(found[1])
    names = list(dict.fromkeys(names))
    kernels = ", ".join(f'Trampoline<&::{name}>::kernel("{name}")' for name in names)
    shared = r"static \1*& \2 = reinterpret_cast<\1*&>(::cuda_host::dynamic_shared);"
    table = (
        f'\n# 1 "<kernels>"\nnamespace cuda_host {{ const Kernel kernels[] = {{{kernels}}}; '
        f"const int n_kernels = {len(names)}; }}\n"
    )
    return shim + mark + DYNAMIC.sub(shared, own) + table, tuple(names)


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="cuda-host-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _filled() -> list[str]:
    """Variables that nobody initialises are filled with garbage, by g++ from version 12 on."""
    version = subprocess.run(["g++", "-dumpversion"], capture_output=True, text=True, check=True)
    major = int(version.stdout.split(".")[0])
    return ["-ftrivial-auto-var-init=pattern"] if major >= 12 else []


@cache
def _runtime(sanitizers: tuple[str, ...]) -> Path:
    """Compile what runs blocks, once for each way to sanitize; itself it is not instrumented."""
    made = _folder() / f"runtime-{'-'.join(sanitizers)}.o"
    known = {"thread": "-DCUDA_HOST_TSAN", "address": "-DCUDA_HOST_ASAN"}
    macros = [known[name] for name in sanitizers if name in known]
    _gxx("-std=c++20", "-O2", "-g1", *macros, "-c", HOST / "runtime.cpp", "-o", made)
    return made


def _gxx(*arguments) -> None:
    process = subprocess.run(
        ["g++", *map(str, arguments)], capture_output=True, text=True, errors="replace"
    )
    if process.returncode:
        raise CompilationError(process.stderr)
