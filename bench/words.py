"""Times, ratios, machines and versions in words, for every table and chart."""

from __future__ import annotations

from typing import Any

DASH = "–"
BLAS = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS"}
NAMES = {
    "gpulr": "gpulr",
    "python": "Python",
    "numpy": "NumPy",
    "llvmlite": "llvmlite",
    "cupy": "CuPy",
}


def seconds(value: float) -> str:
    """Return a time in words, to three digits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1.0 or unit == "µs":
            return f"{_three_digits(value * factor)} {unit}"
    raise AssertionError


def times(ratio: float | None) -> str:
    """Return a ratio in words, to two digits below ten and whole above; a dash for none."""
    if ratio is None:
        return DASH
    return f"{ratio:.1f}×" if ratio < 9.95 else f"{ratio:,.0f}×"


def _three_digits(value: float) -> str:
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:,.{digits}f}"


def machine_words(about: dict[str, Any]) -> str:
    """Return the machine of a result file in words."""
    found = about["machine"]
    words = f"{found['cpu']}, {found['cores']} core{'s' if found['cores'] != 1 else ''}"
    return f"{found['gpu']}; {words}" if "gpu" in found else words


def software_words(about: dict[str, Any]) -> str:
    """Return versions, BLAS and commit of a result file in words."""
    versions = about["versions"]
    words = [f"{NAMES[name]} {versions[name]}" for name in NAMES if name in versions]
    for library in about["blas"]:
        if library["of"] != "scipy":
            name = BLAS.get(library["internal_api"], library["internal_api"])
            words.append(
                f"{name} {library['version']} ({library['architecture']} kernels, "
                f"{library['num_threads']} threads)"
            )
    commit = about["commit"]
    words.append(f"commit {commit['id'][:10]}" if commit["id"] else "no commit")
    if commit["dirty"]:
        words[-1] += " with changes"
    return ", ".join(words)
