"""Measurements of one CUDA GPU: what gpulr costs there, apart and beside others.

``bash bench/on_gpu.sh OUTDIR`` runs all of it, the GPU tests first, in less than eight minutes and
without a network; it says which modules are missing. Each part is also run by itself::

    GPULR_FALLBACK=error python -m bench.gpu pass --output pass.json

pass      cost and gradient: gpulr's batched pass, its loop over digits, with and without the
          fused kernel, each from float32 rows and from bytes; bytes per second beside a copy's
transfer  rows to the device, and margins back
training  the whole way to the optimum, and gradient descent, batched and one digit at a time
search    C by cross-validation: 500 models
peers     the same pass by torch, torch.compile and jax.jit, each in its own process
start     import, first and second call in a fresh process, with and without compiled kernels
tests     the GPU tests, as far as time allows

Times of a pass are of four kinds. ``device``: from CUDA events, while a kernel that only waits
holds the stream until everything has been queued, so that no launch is in it. ``device_cold``: the
same after a buffer that is larger than the L2 cache has been written. ``host``: from the call until
the device is idle, launches and all. ``queued``: many calls and one wait, divided by their number.
``first`` is the first call in its process, in which kernels are compiled or loaded. A pass that
waits for the device by itself shows that in every kind.

``GPULR_BENCH_REHEARSE=numpy`` (or ``strict``, for array-api-strict) runs the same parts on few rows
and without a GPU, to see that they work. Such a result says ``"rehearsal": true``; its figures mean
nothing. What the figures on an H100 should be, and how a result compares: :mod:`bench.predict`.
"""
