"""What CuPy passes to NVRTC for gpulr's kernels: its own options beside ours, by its own code.

CuPy can be imported without a driver, and little else. So gpulr asks it for a kernel as it does on
a card, and where NVRTC would compile it, its options are written down instead. What of CuPy would
ask a device before that is replaced, and nothing else: what it adds is found, whatever that is. All
of it in a process of its own, since the tests' is to be one without CuPy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path


@cache
def cupy_options(capabilities: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the options for a kernel without macros, by the capability of the card ("90").

    Raises
    ------
    RuntimeError
        CuPy or NVRTC is not installed, or CuPy does not come as far as to compile something.
    """
    import gpulr

    # Not from the cache of compiled kernels, which it would read first.
    environment = os.environ | {"CUPY_CACHE_IN_MEMORY": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path(gpulr.__file__).parents[1]), os.environ.get("PYTHONPATH")])
    )
    command = [sys.executable, str(Path(__file__).resolve()), *capabilities]
    process = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace"
    )
    if process.returncode:
        raise RuntimeError(f"CuPy's own options cannot be read: {process.stderr.strip()}")
    return json.loads(process.stdout)


class Told(BaseException):
    """The options, in place of a compilation; nothing catches it on its way."""


def _options(capabilities: list[str]) -> dict[str, list[str]]:
    """Return the options for each card, in a process where CuPy may be changed."""
    from types import SimpleNamespace

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
    print(json.dumps(_options(sys.argv[1:])))
