"""Machine code for this CPU: compiled by LLVM, and kept on disk for the next process.

Compiling takes as long as many passes, reading what was compiled a few milliseconds. A file is
named by all that its code depends on: the functions and their shape, the lines of gpulr that write
them, LLVM, and the processor with its features. It begins with its own checksum, and is moved into
place once it is whole, so that any number of processes may write it at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from gpulr.output_files import replaced

VARIABLE = "GPULR_CODE_CACHE"  # a folder, or "never"


def load(name: str, write: Callable[[], Any]) -> Any:
    """Return an engine that owns the functions called ``name``, which ``write`` writes as a module.

    Whoever uses a function keeps the engine alive.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features, opt=2, jit=True
    )
    path = _path(name, machine.triple, cpu, features)
    code = None if path is None else _kept(path)
    if code is None:
        code = machine.emit_object(llvm.parse_assembly(str(write())))
        if path is not None:
            _keep(path, code)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def folder() -> Path | None:
    """Return where code is kept: what ``GPULR_CODE_CACHE`` names, or in the user's cache folder.

    None: nowhere. Others must not be able to put code there, which would then be run.
    """
    chosen = os.environ.get(VARIABLE, "").strip()
    if chosen.lower() == "never":
        return None
    try:
        if not chosen:
            import platformdirs

            chosen = str(platformdirs.user_cache_path("gpulr", appauthor=False) / "code")
        path = Path(chosen)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except (ImportError, OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        return None
    return path


def _path(name: str, *target: str) -> Path | None:
    """Return the file of this code; None where none can be kept."""
    if (where := folder()) is None:
        return None
    try:
        key = _sources().copy()
    except OSError:
        return None
    key.update("\0".join((name, llvmlite.__version__, *target)).encode())
    return where / f"{name}-{key.hexdigest()[:32]}.o"


@cache
def _sources() -> Any:
    """Return a digest of the lines that write code; OSError where only their bytecode is there."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    # The last two have a constant of theirs and LLVM's settings, and show that there are sources.
    others = here / "buffers.py", here / "machine_code.py"
    for source in (*sorted(here.glob("compiled_*.py")), *others):
        digest.update(source.read_bytes())
    return digest


def _kept(path: Path) -> bytes | None:
    """Return the code of a file; None where there is none, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, code = content[:32], content[32:]
    return code if hashlib.sha256(code).digest() == checksum else None


def _keep(path: Path, code: bytes) -> None:
    # Where it cannot be, as on a full disk, it is compiled again next time.
    with contextlib.suppress(OSError), replaced(path) as temporary:
        temporary.write_bytes(hashlib.sha256(code).digest() + code)
