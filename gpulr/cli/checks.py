"""What is refused before anything is loaded, let alone trained for hours."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gpulr.backend import BACKENDS
from gpulr.errors import ParameterError
from gpulr.model.storage import check_suffix, is_model
from gpulr.output_files import check_folder
from gpulr.words import did_you_mean


def check_run(backend: str, test_size: float, output: Path | None) -> None:
    """Refuse a backend, a share of test rows, or a file for the model that cannot be used."""
    known = ("auto", *BACKENDS)
    if backend not in known:
        near = did_you_mean(backend, known)
        raise ParameterError(f"--backend {backend}{near}; use one of {', '.join(known)}.")
    if not 0 <= test_size < 1:
        raise ParameterError(
            f"--test-size {test_size}: test_size is a share of the rows, from 0 to below 1."
        )
    if output is None:
        return
    check_folder(output, f"--output {output}", "model.safetensors")
    if output.is_file() and not is_model(output):
        raise ParameterError(
            f"--output {output}: that file exists and is no gpulr model; it would be lost. Choose "
            "another path."
        )
    check_suffix(output, f"--output {output}")


def not_the_model(output: Path, model: Path) -> None:
    """Refuse to write something else over the model that it is made from."""
    if output.exists() and output.samefile(model):
        raise ParameterError(
            f"--output {output} is the model itself, which would be lost. Choose another path."
        )


def parse_scale(text: str) -> float | str | None:
    """Return "auto", None or a number; accepts fractions such as 1/16."""
    if text.lower() in ("auto", "none"):
        return text.lower() if text.lower() == "auto" else None
    try:
        numerator, _, denominator = text.partition("/")
        return float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        raise ParameterError(f"--scale {text}; expected auto, a number, or e.g. 1/255.") from None


def in_options(names: Iterable[str]) -> str:
    """Return parameters as the options that they are."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in sorted(names))
