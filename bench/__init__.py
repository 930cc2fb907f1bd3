"""Benchmarks: what is measured, beside whom, and the tables made of it.

Run from the root of a checkout; MNIST is found as gpulr finds it (``GPULR_DATA_HOME``, the cache
folder, a download), and where it cannot be had made-up rows of the same size are timed, which the
results then say. Whatever was measured is checked before and after, and recorded with the machine,
the versions and the commit::

    python -m bench interleaved --backend numpy --output bench/results/numpy.json
    python -m bench goals --output bench/results             # all that the goals are about
    python -m bench goals --only mnist --peer torch-lbfgs    # or some of it
    python -m bench threads
    python -m bench passes-to-optimum
    python -m bench coverage
    python -m bench scores
    python -m bench.table                   # bench/RESULTS.md, README's table, the charts
    python -m bench.table --pictures        # pictures of models

goals are measured beside the libraries in bench/requirements.txt; one that is missing is recorded,
and the others run. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE should be unset: they change which
kernels are timed.

One GPU, all of it, in under ten minutes: ``bash bench/on_gpu.sh OUTDIR`` (:mod:`bench.gpu`); what
an H100 should measure, by arithmetic, and a result beside it: :mod:`bench.predict`. What is
computed without a card is no result: tests keep it out of bench/results.
"""
