"""What a kernel's source says of its arguments, which CUDA takes by place and size alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gpulr.backend.cuda_sources import text_of

TYPES = {
    **{"double": "float64", "float": "float32", "int": "int32"},
    **{"unsigned char": "uint8", "void": None},  # void: any
}
VALUES: dict[str, type] = {"int": int, "double": float}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a kernel."""

    name: str
    type: str  # in C, as in TYPES
    pointer: bool

    def takes(self, value: Any) -> bool:
        """Whether a C-contiguous array of this dtype, None, or a number of Python's is given."""
        if not self.pointer:
            return type(value) is VALUES[self.type]
        if value is None:
            return True
        wanted = TYPES[self.type]
        return bool(wanted is None or value.dtype == wanted) and bool(value.flags.c_contiguous)


@cache
def signature(source: Path, kernel: str) -> tuple[Parameter, ...]:
    """Return the parameters of a ``__global__`` function, of which macros may stand for some."""
    text = re.sub(r"//.*|\\\n", " ", text_of(source))
    found = re.search(rf"__global__[^;{{}}]*?\b{kernel}\(([^{{}}]*?)\)\s*\{{", text)
    if found is None:
        raise ValueError(f"{source.name} has no kernel {kernel!r}.")
    declared = found[1]
    for name, body in re.findall(r"^#define (\w+) (.*)$", text, re.MULTILINE):
        declared = re.sub(rf"\b{name}\b", body, declared)
    for name, x, body in re.findall(r"^#define (\w+)\((\w+)\) (.*)$", text, re.MULTILINE):

        def expanded(use: re.Match[str], mark: str = f"{x}##", body: str = body) -> str:
            return body.replace(mark, use[1])

        declared = re.sub(rf"\b{name}\(([^()]*)\)", expanded, declared)
    return tuple(map(_parameter, declared.split(",")))


def _parameter(words: str) -> Parameter:
    plain = words.replace("const ", "").replace("*", " ")
    kind, _, name = plain.strip().rpartition(" ")
    return Parameter(name, kind.strip(), "*" in words)


def check(kernel: str, parameters: Sequence[Parameter], arguments: Sequence[Any]) -> None:
    """Raise TypeError where arguments are not what a kernel declares: it would read astray."""
    if len(arguments) != len(parameters):
        raise TypeError(f"{kernel} takes {len(parameters)} arguments, not {len(arguments)}.")
    for parameter, value in zip(parameters, arguments, strict=True):
        if not parameter.takes(value):
            got = type(value).__name__
            if hasattr(value, "flags"):
                order = "" if value.flags.c_contiguous else ", not C-contiguous"
                got = f"{value.dtype}{order}"
            kind = f"{parameter.type}{'*' if parameter.pointer else ''}"
            raise TypeError(f"{kernel} takes {parameter.name} as {kind}, and it is {got}.")
