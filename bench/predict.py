"""What an H100 should measure, by arithmetic; and which targets a result meets.

::

    python -m bench.predict                          # compute bench/predictions/h100.json anew
    python -m bench.predict --check                  # fail if that file is not what this writes
    python -m bench.predict --compare on-gpu.json    # prediction, target and measurement

That file names every assumption about device and code with its source, and every target; what
follows from them is computed here. It is none of the results, and nothing is claimed by it.

A pass needs every entry of X once, and for each entry ``k`` fused multiply-adds for the margins and
``k`` for the gradient, k models. A kernel that does both at once (gpulr/kernels/propagate.cu) is
bound by whichever takes longest: device memory, shared memory (where weights and residuals are
kept), or the instructions that its warps issue, multiply-adds and what is around them. Around it
stand small kernels: the scaling absorbed, partial sums added, the penalty, the cost.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.files import rounded, write
from bench.table import DASH, seconds

PREDICTION = Path(__file__).resolve().parent / "predictions" / "h100.json"
Found = dict[str, Any]
ASSUMED: Found = json.loads(PREDICTION.read_text(encoding="utf-8"))
# Counted on a CPU, on MNIST: bench/results/peers-mnist.json at tol=2e-5, and the most of any model
# at each C of the search.
ITERATIONS = 31
SEARCH_ITERATIONS = (3, 9, 10, 12, 17, 23, 19, 51, 114, 167)


def constant(name: str) -> float:
    """Return the value of an assumption."""
    return float((ASSUMED["device"] | ASSUMED["code"])[name]["value"])


@dataclass(frozen=True, slots=True)
class Size:
    """Rows, features, models; and bytes of an entry of X."""

    n_samples: int = 56_000
    n_features: int = 784
    n_models: int = 10
    itemsize: int = 4

    @property
    def entries(self) -> int:
        return self.n_samples * self.n_features

    @property
    def outputs(self) -> int:
        return self.n_samples * self.n_models


FLOAT32, UINT8 = Size(), Size(itemsize=1)
SIZES = {"float32": FLOAT32, "uint8": UINT8}
MNIST = Size(n_samples=60_000, itemsize=1)


def least(size: Size) -> float:
    """Return the seconds of reading X and the labels once, as fast as a copy moves bytes."""
    n_bytes = size.entries * size.itemsize + 4 * size.n_samples
    return n_bytes / constant("copy_bytes_per_second")


def bounds(size: Size) -> dict[str, float]:
    """Return the seconds that each resource of a fused kernel needs at least."""
    per_clock = constant("multiprocessors") * constant("clock_hz")
    products = 2 * size.entries * size.n_models  # multiply-adds, margins and gradient
    shared = constant("rows_per_weight") * per_clock * constant("shared_bytes_per_clock")
    around = constant("around_uint8" if size.itemsize == 1 else "around_float32")
    issued = constant("multiply_adds") * size.n_models / 10 + around
    warps = size.n_samples * size.n_features / constant("warp_features")
    return {
        "memory": least(size) / constant("bandwidth_share"),
        "shared_memory": 4 * products / shared,
        "issue": warps * issued / (per_clock * constant("issued_per_clock")),
    }


def tensor_bounds(size: Size) -> dict[str, float]:
    """Return the same of the kernel for tensor cores, which takes four models in eight columns."""
    per_clock = constant("multiprocessors") * constant("clock_hz")
    groups, steps = -(-size.n_models // 12), -(-size.n_features // 16)
    products = 2 * size.n_samples / 16 * steps * groups * -(-min(size.n_models, 12) // 4)
    row = (2 * size.itemsize + 6) * size.n_features + constant("tensor_row_bytes")
    issued = constant("tensor_issued") * size.n_features / 784
    rows = groups * size.n_samples
    return {
        "memory": least(size) / constant("bandwidth_share"),
        "shared_memory": rows * row / (per_clock * constant("shared_bytes_per_clock")),
        "issue": rows * issued / (per_clock * constant("issued_per_clock")),
        "tensor_cores": products / (per_clock * constant("tensor_products_per_clock")),
    }


def quicker(size: Size) -> dict[str, float]:
    """Return the bounds of the kernel that should be quicker; narrow rows have two."""
    found = [bounds(size)] if size.itemsize == 4 else [bounds(size), tensor_bounds(size)]
    return min(found, key=lambda each: max(each.values()))


def fused_kernel(size: Size) -> float:
    """Return the fused kernel's seconds: its tightest bound, and a tail."""
    found = quicker(size)
    found["issue"] *= 1 + constant("activation_share")
    return max(found.values()) + constant("tail_seconds")


def fused_pass(size: Size) -> float:
    """Return a whole evaluation's seconds on the device: the kernel and the small ones."""
    small = constant("fused_kernels") * constant("small_kernel_seconds")
    partial = constant("partial_bytes") * size.n_models / 10 / constant("l2_bytes_per_second")
    return fused_kernel(size) + small + partial


def halves(size: Size) -> float:
    """Return the seconds of margins and a pass from margins: X is read by each."""
    found = quicker(size)
    half = max(found.pop("memory"), max(found.values()) / 2) + constant("tail_seconds")
    return 2 * half + fused_pass(size) - fused_kernel(size)


def queued_pass(size: Size) -> float:
    """Return the seconds of one fused pass of many: the device's, or those of the launches."""
    launches = (constant("fused_kernels") + 1) * constant("launch_seconds")
    return max(fused_pass(size), launches)


def two_products(size: Size, elementwise: float) -> float:
    """Return the seconds of a pass by two products that each read X as float32."""
    copied = constant("copy_bytes_per_second")
    converted, flops = 4 * size.entries, 2 * size.entries * size.n_models
    product = max(
        converted / (copied * constant("thin_product_share")),
        flops / (constant("float32_per_second") * constant("wide_product_share")),
    )
    conversion = (size.entries + converted) / copied if size.itemsize == 1 else 0.0
    each = 2 * 4 * size.outputs / copied + constant("small_kernel_seconds")
    return 2 * product + conversion + elementwise * each


def portable_pass(size: Size) -> float:
    """Return the seconds of gpulr's pass without the fused kernel."""
    small = constant("small_kernels") * constant("small_kernel_seconds")
    return two_products(size, constant("portable_elementwise")) + small


def peer_pass(size: Size) -> float:
    """Return the seconds of the pass by torch.compile or XLA, which fuse around the products."""
    return two_products(size, constant("peer_elementwise"))


def iteration(size: Size) -> float:
    """Return the seconds of one L-BFGS iteration: a pass in two halves, and all around it."""
    host = constant("solver_calls") * constant("launch_seconds")
    each = 2 * 4 * size.outputs / constant("copy_bytes_per_second")
    device = min(portable_pass(size), halves(size)) + constant("solver_elementwise") * each
    return max(device, host) + constant("solver_waits") * constant("wait_seconds")


def whole(size: Size, iterations: int) -> float:
    """Return the seconds of XᵀX in float32, its eigendecomposition, iterations, and the rest."""
    flops = 2 * size.n_samples * size.n_features**2
    gram = flops / (constant("float32_per_second") * constant("wide_product_share"))
    fixed = constant("eigendecomposition_seconds") + constant("other_seconds")
    return gram + fixed + iterations * iteration(size)


def predicted() -> dict[str, float]:
    """Return what the arithmetic makes of each target: seconds, or a ratio."""
    upload = MNIST.entries / constant("staging_bytes_per_second")
    found = {f"pass-{rows}": fused_pass(size) for rows, size in SIZES.items()}
    found["pass-float32-of-copy"] = least(FLOAT32) / fused_pass(FLOAT32)
    for rows, size in SIZES.items():
        found[f"torch.compile-{rows}"] = peer_pass(size) / queued_pass(size)
        found[f"jax.jit-{rows}"] = peer_pass(size) / queued_pass(size)
        one = replace(size, n_models=1)
        found[f"loop-{rows}"] = size.n_models * fused_pass(one) / fused_pass(size)
    found["training"] = upload + whole(MNIST, ITERATIONS)
    found["search"] = whole(replace(MNIST, n_models=50), sum(SEARCH_ITERATIONS))
    return found


def measured(parts: Found, target: Found) -> float:
    """Read a target's figure, or the quotient of two, from a result; KeyError where it is missing.

    A path names a part, one of its results (with * the fastest that came within a gap of 1e-4) or
    fields, and fields below it.
    """

    def follow(found: Any, path: Sequence[str]) -> float:
        for name in path:
            found = found[name]
        return float(found)

    figures = []
    for path in target["measured"]:
        part, name, *rest = path.split("/")
        results = {found["name"]: found for found in parts[part].get("results", [])}
        if name.endswith("*"):
            close = [r for n, r in results.items() if n.startswith(name[:-1]) and r["gap"] <= 1e-4]
            if not close:
                raise KeyError(name)
            figures.append(min(follow(found, rest) for found in close))
        else:
            figures.append(follow(results.get(name) or parts[part][name], rest))
    return figures[0] / figures[1] if len(figures) == 2 else figures[0]


def meets(target: Found, value: float) -> bool:
    return value >= target["goal"] if target["unit"] == "ratio" else value <= target["goal"]


def prediction() -> Found:
    """Return what is written to bench/predictions."""
    found = copy.deepcopy(ASSUMED)
    for rows, size in SIZES.items():
        found["bounds"][rows] = {name: rounded(b, 3) for name, b in bounds(size).items()}
        if size.itemsize < 4:
            by_tensor_cores = {name: rounded(b, 3) for name, b in tensor_bounds(size).items()}
            found["bounds"][f"{rows}, tensor cores"] = by_tensor_cores
        found["kernel"][rows] = rounded(fused_kernel(size), 3)
    for target in found["targets"]:
        value = predicted()[target["name"]]
        target |= {"predicted": rounded(value, 3), "predicted_to_meet": meets(target, value)}
    return found


def compared(content: Found) -> list[str]:
    """Return a result beside the prediction, line by line, and which targets were met."""
    card, rehearsed = (
        content.get("card", {}).get("name", "an unknown card"),
        content.get("rehearsal"),
    )
    found = [f"{'':52} {'target':>9} {'predicted':>10} {'measured':>9}"]
    for target in prediction()["targets"]:
        ratio = target["unit"] == "ratio"
        words = (lambda value: f"{value:.2f}") if ratio else seconds
        try:
            value = measured(content["parts"], target)
            verdict = "met" if meets(target, value) else "refuted"
            shown, verdict = words(value), "a rehearsal" if rehearsed else verdict
        except (KeyError, TypeError, ZeroDivisionError):
            shown, verdict = DASH, "not measured"
        goal = ("≥ " if ratio else "≤ ") + words(target["goal"])
        found.append(
            f"{target['words']:52} {goal:>9} {words(predicted()[target['name']]):>10} {shown:>9}  "
            f"{verdict}"
        )
    if rehearsed:
        found.append("This was a rehearsal: its figures mean nothing.")
    elif "H100" not in card:
        found.append(f"Targets and predictions are of {ASSUMED['of']}; this is {card}.")
    data = content.get("data", {}).get("data")
    if data != "MNIST":
        found.append(f"Of {data}, not of MNIST: training and search are another problem.")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Write, check or compare."""
    parser = argparse.ArgumentParser(prog="python -m bench.predict", description=__doc__)
    parser.add_argument("--compare", type=Path, metavar="RESULT", help="an on-gpu.json")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    if options.compare:
        try:
            content = json.loads(options.compare.read_text(encoding="utf-8"))
            lines = compared(content) if content["kind"] == "gpulr-on-gpu" else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            parser.error(f"{options.compare} cannot be read ({type(error).__name__}: {error})")
        if lines is None:
            parser.error(f"{options.compare} is no result of bench/on_gpu.sh")
        print("\n".join(lines))
        return 0
    if options.check:
        return int(json.loads(PREDICTION.read_text(encoding="utf-8")) != prediction())
    write(prediction(), PREDICTION)
    return 0


if __name__ == "__main__":
    sys.exit(main())
