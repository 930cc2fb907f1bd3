"""What a pass should cost on an H100: arithmetic from named assumptions, and no measurement.

A pass needs every entry of X once, and for each entry ``k`` fused multiply-adds for the margins and
``k`` for the gradient, k models. A kernel that does both at once (gpulr/kernels/propagate.cu) is
bound by whichever takes longest: device memory, shared memory (where weights and residuals are
kept), or the instructions that its warps issue, multiply-adds and what is around them. Around it
stand small kernels: the scaling absorbed, partial sums added, the penalty, the cost.
"""

from __future__ import annotations

from dataclasses import dataclass

# What is assumed of the device, with the source of each figure.
DEVICE = {
    "name": ("H100 SXM5 80 GB", "NVIDIA's data sheet"),
    "peak_bytes_per_second": (3.35e12, "data sheet; what no kernel reaches"),
    "copy_bytes_per_second": (2.9e12, "assumed: measured copies are said to reach 2.8e12–3.0e12"),
    "float32_per_second": (67e12, "data sheet, a multiply-add counted as two"),
    "multiprocessors": (132, "data sheet"),
    "clock_hz": (1.7e9, "assumed under load; the boost clock is 1.98e9"),
    "shared_bytes_per_clock": (128, "of each multiprocessor; CUDA programming guide"),
    "issued_per_clock": (4, "instructions of warps, on each multiprocessor; programming guide"),
    "l2_bytes": (50e6, "data sheet"),
    "pinned_bytes_per_second": (50e9, "assumed of PCIe 5 × 16; its peak is 63e9"),
    "staging_bytes_per_second": (
        10e9,
        "assumed: one core copies into pinned memory",
    ),
}

# What is assumed of the code.
CODE = {
    "warp_features": (112, "of four per thread; 784 keep 196 of the 224 threads of a block busy"),
    "multiply_adds": (80, "of a warp for a row of ten models: four features, forward and back"),
    "around_float32": (15, "counted in the machine code for sm_90: loads, addresses, loops"),
    "around_uint8": (20, "the same, and taking bytes apart, twice"),
    "activation_share": (0.05, "more: sigmoid and cost, sums of partial margins, the last tile"),
    "bandwidth_share": (0.95, "of a copy's bandwidth that a kernel reaches which reads only"),
    "rows_per_weight": (4, "rows that use a weight once it has been read from shared memory"),
    "tail_seconds": (4e-6, "start and last wave of the kernel"),
    "small_kernel_seconds": (2e-6, "each, on the device, its launch hidden"),
    "launch_seconds": (6e-6, "each CuPy call on the host"),
    "small_kernels": (21, "counted in Problem.evaluate: scaling 3, sums 3, the rest 15"),
    "fused_kernels": (3, "of parameters.cu, around the pass"),
    "partial_bytes": (2 * 264 * 784 * 40, "sums of 264 segments, written and read: in the L2"),
    "l2_bytes_per_second": (5.5e12, "assumed"),
    "portable_elementwise": (21, "counted in logistic.py, over (n_samples, n_models)"),
    "peer_elementwise": (2, "kernels over (n_samples, n_models) left by torch.compile or XLA"),
    "thin_product_share": (0.75, "of a copy's bandwidth: cuBLAS with ten columns reads X"),
    "wide_product_share": (0.65, "of the float32 peak: cuBLAS with fifty columns and more"),
    "solver_calls": (98, "counted: kernels launched by an L-BFGS iteration with ten pairs"),
    "solver_waits": (0.25, "times an iteration waits for the device: once in a burst of up to 8"),
    "solver_elementwise": (64, "kernels over (n_samples, n_models) of the line search"),
    "wait_seconds": (15e-6, "each"),
    "eigendecomposition_seconds": (0.05, "assumed of cuSOLVER's float64 syevd at 784 features"),
    "other_seconds": (0.01, "checks, labels, the model: on the host"),
}


def constant(name: str) -> float:
    """Return the value of an assumption."""
    return float((DEVICE | CODE)[name][0])  # type: ignore[arg-type]


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


def fused_kernel(size: Size) -> float:
    """Return the fused kernel's seconds: its tightest bound, and a tail."""
    found = bounds(size)
    found["issue"] *= 1 + constant("activation_share")
    return max(found.values()) + constant("tail_seconds")


def fused_pass(size: Size) -> float:
    """Return a whole evaluation's seconds on the device: the kernel and the small ones."""
    small = constant("fused_kernels") * constant("small_kernel_seconds")
    partial = constant("partial_bytes") * size.n_models / 10 / constant("l2_bytes_per_second")
    return fused_kernel(size) + small + partial


def halves(size: Size) -> float:
    """Return the seconds of margins and a pass from margins: X is read by each."""
    found = bounds(size)
    half = max(found["memory"], found["issue"] / 2) + constant("tail_seconds")
    return 2 * half + fused_pass(size) - fused_kernel(size)


def queued_pass(size: Size) -> float:
    """Return the seconds of one fused pass of many: the device's, or those of the launches."""
    launches = (constant("fused_kernels") + 1) * constant("launch_seconds")
    return max(fused_pass(size), launches)


def two_products(size: Size, elementwise: float) -> float:
    """Return the seconds of a pass by two products that each read X as float32."""
    copy = constant("copy_bytes_per_second")
    converted = 4 * size.entries
    flops = 2 * size.entries * size.n_models
    product = max(
        converted / (copy * constant("thin_product_share")),
        flops / (constant("float32_per_second") * constant("wide_product_share")),
    )
    conversion = (size.entries + converted) / copy if size.itemsize == 1 else 0.0
    each = 2 * 4 * size.outputs / copy + constant("small_kernel_seconds")
    return 2 * product + conversion + elementwise * each


def portable_pass(size: Size) -> float:
    """Return the seconds of gpulr's pass without the fused kernel."""
    small = constant("small_kernels") * constant("small_kernel_seconds")
    return two_products(size, constant("portable_elementwise")) + small


def peer_pass(size: Size) -> float:
    """Return the seconds of the pass by torch.compile or XLA, which fuse around the products."""
    return two_products(size, constant("peer_elementwise"))


def loop(size: Size) -> float:
    """Return the seconds of the same pass for one model at a time, fused."""
    one = Size(size.n_samples, size.n_features, 1, size.itemsize)
    return size.n_models * fused_pass(one)


def iteration(size: Size) -> float:
    """Return the seconds of one L-BFGS iteration: a pass in two halves, and all around it."""
    host = constant("solver_calls") * constant("launch_seconds")
    each = 2 * 4 * size.outputs / constant("copy_bytes_per_second")
    device = min(portable_pass(size), halves(size)) + constant("solver_elementwise") * each
    return max(device, host) + constant("solver_waits") * constant("wait_seconds")


def gram(size: Size) -> float:
    """Return the seconds of XᵀX in float32."""
    flops = 2 * size.n_samples * size.n_features**2
    return flops / (constant("float32_per_second") * constant("wide_product_share"))
