"""NVIDIA's run-time compiler, called by ctypes: each version whose wheel is installed.

Wheels of several versions do each other no harm: nvidia-cuda-nvrtc (13), nvidia-cuda-nvrtc-cu12,
which still compiles for the GPUs before sm_75. Further libraries are named by ``GPULR_NVRTC``, with
paths separated as those of PATH are.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
from functools import cache
from pathlib import Path

LIBRARIES = "*/lib/libnvrtc.so.*", "*/bin/**/nvrtc64_*_0.dll"  # below nvidia/; Linux, Windows

DEPRECATED = re.compile(
    r"^nvrtc: warning: Architectures prior to .* are deprecated.*$", re.MULTILINE
)


class CompilationError(Exception):
    """NVRTC refuses a source, or warns of it."""


@cache
def versions() -> dict[int, Nvrtc]:
    """Return what of NVRTC is here and can be loaded, by major version."""
    nvidia = importlib.util.find_spec("nvidia")
    roots = map(Path, (nvidia and nvidia.submodule_search_locations) or ())
    paths = [path for root in roots for pattern in LIBRARIES for path in root.glob(pattern)]
    paths += map(Path, filter(None, os.environ.get("GPULR_NVRTC", "").split(os.pathsep)))
    found = {}
    for path in paths:
        try:
            one = Nvrtc(path)
        except OSError:
            continue
        found[one.version[0]] = one
    return found


class Nvrtc:
    """One library."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = major.value, minor.value

    def compile(self, text: str, options: list[str]) -> tuple[str, str]:
        """Return the log, and the assembly."""
        program = ctypes.c_void_p()
        source = text.encode()
        self._call("nvrtcCreateProgram", ctypes.byref(program), source, b"source.cu", 0, None, None)
        try:
            encoded = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            status = self._library.nvrtcCompileProgram(program, len(options), encoded)
            # It warns of GPUs that the version after it will know no more; these are tested for.
            log = DEPRECATED.sub("", self._text("nvrtcGetProgramLog", program))
            if status or "warning" in log:
                raise CompilationError(f"{self._words(status)}: {log}")
            return log, self._text("nvrtcGetPTX", program)
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, name: str, program: ctypes.c_void_p) -> str:
        size = ctypes.c_size_t()
        self._call(f"{name}Size", program, ctypes.byref(size))
        made = ctypes.create_string_buffer(size.value)
        self._call(name, program, made)
        return made.value.decode(errors="replace")

    def _call(self, name: str, *arguments: object) -> None:
        if status := getattr(self._library, name)(*arguments):
            raise RuntimeError(f"{name}: {self._words(status)}")

    def _words(self, status: int) -> str:
        return self._library.nvrtcGetErrorString(status).decode()
