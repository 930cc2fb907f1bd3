"""Benchmarks: one pass and a whole training, batched against the per-digit loop.

Run from the root of a checkout; MNIST is found as gpulr finds it (``GPULR_DATA_HOME``, the cache
folder, a download), and where it cannot be had made-up rows of the same size are timed, which the
results then say. What is timed is in :mod:`bench.contestants`.

Beside one pass of gpulr run jax's and torch's (:mod:`bench.pass_peers`), on the same rows in the
same process, where they are installed; the results say which were not.

Ratios, of runs in turn in one process (the README's table)::

    python -m bench.interleaved --backend numpy --output bench/results/numpy.json
    python -m bench.interleaved --backend numpy --backend cupy --output bench/results/cupy.json

Absolute figures, by pytest-benchmark::

    python -m pytest bench -k numpy --benchmark-enable \
        --benchmark-json=bench/results/numpy-pytest.json
    GPULR_REQUIRE_GPU=1 python -m pytest bench -k cupy --benchmark-enable \
        --benchmark-json=bench/results/cupy-pytest.json

Time and distance to the optimum, beside scikit-learn's and other solvers: :mod:`bench.peers`.
Choosing C by cross-validation, beside scikit-learn's: :mod:`bench.search`.

One GPU, all of it, in under eight minutes: ``bash bench/on_gpu.sh OUTDIR`` (:mod:`bench.gpu`); what
an H100 should measure, by arithmetic, and a result beside it: :mod:`bench.predict`. What is
computed without a card is no result: tests keep it out of bench/results.

Training in threads other than the main one, and in joblib's: :mod:`bench.threads`.

How often bootstrap intervals hold the truth: :mod:`bench.coverage`.

Without ``--benchmark-enable`` every benchmark runs once and is only checked. Without ``-k`` CuPy's
are skipped where CuPy cannot be used, and fail there under ``GPULR_REQUIRE_GPU=1`` or
``GPULR_FALLBACK=error``. Charts and the README's tables, from the JSON in bench/results::

    python -m bench.plot                     # draw the charts, print the tables
    python -m bench.plot --write README.md   # and put them between the README's markers
    python -m bench.plot --check README.md   # fail if the README has others

The README's pictures of models: :mod:`bench.pictures`.
"""
