"""What an H100 is to reach: each target, its prediction, and where a result has the figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import cost_model as model
from bench.cost_model import Size, constant
from bench.words import DASH, seconds

FLOAT32, UINT8 = Size(), Size(itemsize=1)
MNIST = Size(n_samples=60_000, itemsize=1)
# Counted on a CPU, on MNIST: bench/results/peers-mnist.json at tol=2e-5, and the most of any model
# at each C of bench.search's.
ITERATIONS = 31
SEARCH_ITERATIONS = (3, 9, 10, 12, 17, 23, 19, 51, 114, 167)
Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """One figure that an H100 is to reach.

    Attributes
    ----------
    name, words : str
    goal : float
        Seconds, at most; or a ratio, at least.
    ratio : bool
    predicted : float
    how : str
        The arithmetic.
    measured : callable
        Takes the parts of a result and returns the figure; KeyError where it was not measured.
    """

    name: str
    words: str
    goal: float
    ratio: bool
    predicted: float
    how: str
    measured: Callable[[Found], float]

    def met_by(self, value: float) -> bool:
        return value >= self.goal if self.ratio else value <= self.goal

    def in_words(self, value: float | None) -> str:
        if value is None:
            return DASH
        return f"{value:.2f}" if self.ratio else seconds(value)


def result(parts: Found, part: str, name: str) -> Found:
    """Return one result of a part. KeyError if it is not there."""
    for found in parts[part]["results"]:
        if found["name"] == name:
            return dict(found)
    raise KeyError(name)


def time_of(part: str, name: str, kind: str) -> Callable[[Found], float]:
    """Return what reads a median time."""
    return lambda parts: float(result(parts, part, name)["seconds"][kind]["median"])


def quotient(
    above: Callable[[Found], float], below: Callable[[Found], float]
) -> Callable[[Found], float]:
    """Return what reads a ratio of two figures."""
    return lambda parts: above(parts) / below(parts)


def to_the_optimum(parts: Found) -> float:
    """Read the shortest whole training from the host's rows that came within a gap of 1e-4."""
    times = [
        found["seconds"]["host"]["median"]
        for found in parts["training"]["results"]
        if found["name"].startswith("lbfgs-from-host") and found["gap"] <= 1e-4
    ]
    if not times:
        raise KeyError("lbfgs-from-host")
    return float(min(times))


def fused(rows: str, kind: str = "device_cold") -> Callable[[Found], float]:
    return time_of("pass", f"fused-float32-on-{rows}", kind)


def over(library: str, rows: str) -> Callable[[Found], float]:
    """Return what reads how many times faster than a peer gpulr is, many calls in a row."""
    return lambda parts: float(parts["peers"]["speedup"][f"{library}-on-{rows}"]["queued"])


def training_seconds() -> float:
    upload = MNIST.entries / constant("staging_bytes_per_second")
    fixed = constant("eigendecomposition_seconds") + constant("other_seconds")
    return upload + model.gram(MNIST) + fixed + ITERATIONS * model.iteration(MNIST)


def search_seconds() -> float:
    fifty = Size(n_samples=60_000, n_models=50, itemsize=1)
    fixed = model.gram(MNIST) + constant("eigendecomposition_seconds") + constant("other_seconds")
    return fixed + sum(SEARCH_ITERATIONS) * model.iteration(fifty)


def targets() -> list[Target]:
    """Return every target, with what the arithmetic makes of it."""
    whole = "tightest bound + tail + small kernels (cost_model.fused_pass)"
    two = "two cuBLAS products that each read X as float32 (peer_pass) / launches (queued_pass)"
    found = [
        Target(
            *("pass-float32", "fused pass, float32 rows, L2 cold", 85e-6, False),
            *(model.fused_pass(FLOAT32), whole, fused("float32")),
        ),
        Target(
            *("pass-float32-of-copy", "its bytes per second, as a share of a copy's", 0.7, True),
            model.least(FLOAT32) / model.fused_pass(FLOAT32),
            "bytes of X and labels / predicted time / assumed copy",
            lambda parts: float(
                result(parts, "pass", "fused-float32-on-float32")["fraction_of_copy"]
            ),
        ),
        Target(
            *("pass-uint8", "fused pass, uint8 rows, L2 cold", 45e-6, False),
            *(model.fused_pass(UINT8), whole, fused("uint8")),
        ),
    ]
    for library in ("torch.compile", "jax.jit"):
        for rows, size in (("float32", FLOAT32), ("uint8", UINT8)):
            found.append(
                Target(
                    f"{library}-{rows}",
                    *(f"times as fast as {library}, {rows} rows", 1.5, True),
                    *(model.peer_pass(size) / model.queued_pass(size), two, over(library, rows)),
                )
            )
    for rows, size in (("float32", FLOAT32), ("uint8", UINT8)):
        batched = time_of("pass", f"batched-float32-on-{rows}", "device")
        looped = time_of("pass", f"loop-float32-on-{rows}", "device")
        found.append(
            Target(
                *(f"loop-{rows}", f"times as fast as the loop over digits, {rows} rows", 8.0, True),
                model.loop(size) / model.fused_pass(size),
                "ten fused passes of one model / one of ten",
                quotient(looped, batched),
            )
        )
    return [
        *found,
        Target(
            *("training", "MNIST to a gap of 1e-4, with the upload", 0.1, False),
            training_seconds(),
            f"upload + Gram + eigendecomposition + {ITERATIONS} iterations (cost_model.iteration)",
            to_the_optimum,
        ),
        Target(
            *("search", "search of 500 models", 1.0, False),
            search_seconds(),
            f"Gram + eigendecomposition + {sum(SEARCH_ITERATIONS)} iterations of fifty columns",
            time_of("search", "search", "host"),
        ),
    ]
